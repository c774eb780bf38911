/*
 * A toy server and client over a connected socket, for interoperability tests: the same commands
 * and the same scenario as tests/python/toy.py, which was written without this code. Nothing is
 * run: a command is a few lines in peer_server.c. Exec, named by the first word:
 *
 *   echo W...  writes the words joined by one space, and LF; exit code 0
 *   cat        copies stdin to stdout until its end; 0
 *   both       writes "out\n" to stdout and "err\n" to stderr; 3
 *   big N      writes N bytes, byte i being peer_byte(i); 0
 *   wait       goes on until a SIGNAL ends it
 *   words      writes its words as they came; 0
 */
#ifndef REXEC_TESTS_DUEL_PEER_H
#define REXEC_TESTS_DUEL_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/duel/wire.h"

static inline uint8_t peer_byte(uint64_t i)
{
    return (uint8_t)((i * 31 + 7) & 255);
}

/* Serves one session on a wire that was opened, until the client says CLOSE. NULL, or what went
 * wrong (static, for people). */
const char *peer_serve(struct wire *w, const struct rx_grant *grant, bool readable);

/* Goes through the scenario as a client; the server's name for itself to *server (RX_NAME_MAX + 1
 * bytes). NULL, or what went wrong. */
const char *peer_visit(struct wire *w, const uint8_t psk[static RX_KEY_SIZE],
                       const char *server_name, unsigned suites, char *server);

#endif
