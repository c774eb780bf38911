/*
 * The handshake: three messages of fixed size, both ends as machines without I/O (docs/PROTOCOL.md,
 * "The handshake"). Randomness, key pairs and grants come from the caller. Each function is called
 * once, in its order; any error is final, wipes the machine, and makes all later calls fail.
 */
#ifndef REXEC_AUTH_HANDSHAKE_H
#define REXEC_AUTH_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/ephemeral.h"
#include "auth/hkdf.h"
#include "auth/schedule.h"
#include "auth/seal.h"
#include "auth/secret.h"

enum {
    RX_M1_SIZE = 88,
    RX_M2_SIZE = 104,
    RX_M3_SIZE = 40,
    RX_VERSION = 1,            /* the only one so far */
    RX_HANDSHAKE_SECONDS = 10, /* from the connection's start to M3, at most */
};

/* What one side is willing to speak. */
struct rx_offer {
    uint8_t version_min, version_max; /* RX_VERSION, RX_VERSION */
    uint8_t suites; /* bits of enum rx_suite; the readable one only by its user's word */
};

enum rx_handshake_step { RX_STEP_NEW, RX_STEP_BEGUN, RX_STEP_ANSWERED, RX_STEP_OVER };

/* ---- client ----------------------------------------------------------------------------- */

/* To be zeroed by no one: begin does it. Not to be copied while in use. */
struct rx_client_handshake {
    enum rx_handshake_step step;
    struct rx_offer offer;
    struct rx_grant_keys keys;
    struct rx_key_pair pair;
    uint8_t m1[RX_M1_SIZE];
};

/*
 * Writes M1. `keys` are derived from the client's key for the server's name; nonce is random; pair
 * is fresh and may be NULL if the readable suite alone is offered. Both are copied, and the caller
 * wipes its own. RX_E_MISUSE for an offer that cannot be, RX_E_ZERO_VALUE for a zero nonce.
 */
enum rx_error rx_client_handshake_begin(struct rx_client_handshake *h, const struct rx_offer *offer,
                                        const struct rx_grant_keys *keys,
                                        const uint8_t nonce[static RX_KEY_SIZE],
                                        const struct rx_key_pair *pair,
                                        uint8_t m1[static RX_M1_SIZE]);

/*
 * Takes M2, writes M3 and derives the session's keys. Errors: RX_E_NOT_REXEC, RX_E_PROOF_WRONG,
 * then, from a server that has proven itself, RX_E_NO_COMMON_VERSION (*server_version is then the
 * server's), RX_E_NO_COMMON_SUITE, RX_E_DOWNGRADE, RX_E_ZERO_VALUE, RX_E_LOW_ORDER,
 * RX_E_CRYPTO_FAILED; M3 is not written then. server_version may be NULL.
 */
enum rx_error rx_client_handshake_finish(struct rx_client_handshake *h,
                                         const uint8_t m2[static RX_M2_SIZE],
                                         uint8_t m3[static RX_M3_SIZE],
                                         struct rx_session_keys *keys, uint8_t *server_version);

void rx_client_handshake_wipe(struct rx_client_handshake *h);

/* ---- server ----------------------------------------------------------------------------- */

struct rx_server_handshake {
    enum rx_handshake_step step;
    struct rx_offer offer;
    bool genuine;
    struct rx_grant_keys keys;
    struct rx_key_pair pair;
    struct rx_hashing said; /* M1 and M2 */
    uint8_t m1[RX_M1_SIZE];
    uint8_t m2[RX_M2_SIZE];
};

/*
 * Takes M1, and gives the kid to look up. RX_E_NOT_REXEC (wrong magic, type, or version range),
 * RX_E_ZERO_VALUE: close without a word.
 */
enum rx_error rx_server_handshake_begin(struct rx_server_handshake *h, const struct rx_offer *offer,
                                        const uint8_t m1[static RX_M1_SIZE],
                                        uint8_t kid[static RX_KID_SIZE]);

/*
 * Writes M2. `keys` are what the look-up gave, `genuine` whether they are a grant's and not decoys;
 * it changes nothing here. challenge is random, pair fresh. Both are copied. RX_OK: send M2 and
 * wait for M3. RX_E_NO_COMMON_VERSION, RX_E_NO_COMMON_SUITE: M2 is written and says so; send it and
 * close. RX_E_ZERO_VALUE (challenge), RX_E_CRYPTO_FAILED: M2 is not written.
 */
enum rx_error rx_server_handshake_answer(struct rx_server_handshake *h,
                                         const struct rx_grant_keys *keys, bool genuine,
                                         const uint8_t challenge[static RX_KEY_SIZE],
                                         const struct rx_key_pair *pair,
                                         uint8_t m2[static RX_M2_SIZE]);

/*
 * Takes M3 and derives the session's keys. RX_E_RESPONSE_WRONG (a wrong header, a wrong response,
 * decoy keys: alike, and before any X25519), RX_E_LOW_ORDER, RX_E_CRYPTO_FAILED: close without a
 * word.
 */
enum rx_error rx_server_handshake_finish(struct rx_server_handshake *h,
                                         const uint8_t m3[static RX_M3_SIZE],
                                         struct rx_session_keys *keys);

void rx_server_handshake_wipe(struct rx_server_handshake *h);

#endif
