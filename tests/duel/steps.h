/*
 * All that libsodium is asked for on the way from a key to a session and in it, one step at a time:
 * for tests that do something to each.
 */
#ifndef REXEC_TESTS_DUEL_STEPS_H
#define REXEC_TESTS_DUEL_STEPS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/ephemeral.h"
#include "auth/request_mac.h"
#include "proto/record.h"
#include "tests/duel/session.h"

enum { STEPS_PAYLOAD = 40, STEPS_UNTOUCHED = 0xa5 };

/* In their order. */
enum step {
    STEP_DERIVE, /* the grant */
    STEP_DECOY,
    STEP_CLIENT_PAIR,
    STEP_SERVER_PAIR, /* by way of the pool */
    STEP_M1,
    STEP_M2,
    STEP_M3,
    STEP_END, /* the client is proven */
    STEP_OUT, /* the sealer, the opener */
    STEP_IN,
    STEP_CLIENT_KEY, /* for requests */
    STEP_MONITOR_KEY,
    STEP_SIGN,
    STEP_SEAL,
    STEP_OPEN,
    STEP_CHECK,
    STEP_SEAL_REKEYED, /* the next epoch's first record */
    STEP_OPEN_REKEYED,
    STEPS,
};

/* A client, a server, and what went between them. What a step makes is STEPS_UNTOUCHED before. */
struct steps {
    enum rx_suite suite;
    struct handshake_pair p;
    struct rx_grant_keys decoy;
    struct rx_pool *pool;
    uint8_t random[RX_KEY_SIZE]; /* the secret of both pairs */
    struct rx_sealer out, in;
    struct rx_request_key client_key, monitor_key;
    struct rx_request_chain client_chain, monitor_chain;
    uint8_t request[STEPS_PAYLOAD + RX_REQUEST_TRAILER];
    uint8_t record[RX_RECORD_LENGTH + STEPS_PAYLOAD + RX_TAG_MAX];
};

/* The same beginning each time. */
void steps_begin(struct steps *s, enum rx_suite suite);
enum rx_error steps_run(struct steps *s, enum step step);
/* Wipes all of it. */
void steps_end(struct steps *s);

#endif
