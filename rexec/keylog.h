/*
 * The traffic keys of this program's sessions in a file, for a packet analyser (REXEC_KEYLOG,
 * KeyLogFile; docs/wireshark/rexec.lua). Whoever has the file can read the sessions that it names,
 * so it is never written unless asked for, and its user is told each time. The key that proves
 * requests is not in it: nobody can make commands with the file.
 *
 * One line per connection:
 *   REXEC_TRAFFIC_SECRETS <nonce_c> <suite> <secret C to S, epoch 0> <secret S to C, epoch 0>
 */
#ifndef REXEC_KEYLOG_H
#define REXEC_KEYLOG_H

#include "auth/schedule.h"
#include "rexec/failure.h"

/* Opens the file, or makes it with mode 0600, to append to it; one that others can read is refused.
 * The descriptor, or -1 with *failure. */
int keylog_open(const char *path, struct rx_failure *failure);

/* Appends one session's line; nonce_c is M1's. False, with errno. */
bool keylog_write(int fd, const uint8_t nonce_c[static RX_KEY_SIZE],
                  const struct rx_session_keys *keys);

#endif
