/*
 * Records made by hand, under the right keys: what a side could send that keeps to nothing.
 */
#ifndef REXEC_TESTS_DUEL_FORGE_H
#define REXEC_TESTS_DUEL_FORGE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/duel/session.h"

/* One side's sealing and proving, without an engine. */
struct forger {
    struct rx_sealer out;
    struct rx_request_key key;
    struct rx_request_chain chain;
};

/* A message of any kind. A request's trailer is made by the forger. */
struct forged {
    uint8_t type, flags;
    uint32_t stream;
    const void *header;
    size_t header_len;
    const void *body;
    size_t body_len;
};

/* Session keys from dice: the engines ask not whether there was a handshake. */
struct rx_session_keys random_keys(struct dice *d, enum rx_suite suite);

/* Makes a forger of what `role` sends. Not to be moved afterwards. */
void forger_open(struct forger *f, enum rx_role role, const struct rx_session_keys *keys);

/* The record, and how long it is. Lives until the next call. Aborts when it is too long for one. */
const uint8_t *forge(struct forger *f, const struct forged *m, size_t *n);

#endif
