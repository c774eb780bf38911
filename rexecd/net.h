/*
 * The net role: everything that touches bytes from the network. It has no privileges, no long-term
 * key and no request key; it asks the monitor for all that it does on anybody's behalf.
 */
#ifndef REXEC_REXECD_NET_H
#define REXEC_REXECD_NET_H

#include "auth/aead.h"

/*
 * Runs the role over its end of the link, which it owns. Reads its setup and listeners from there,
 * gives up all rights (rexecd/sandbox.h), serves until the monitor is gone. `aead` seals large
 * flows, if not NULL. libsodium is initialised already. Returns the process's exit status.
 */
int net_main(int ipc_fd, const struct rx_aead *aead);

#endif
