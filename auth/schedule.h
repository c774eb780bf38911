/*
 * A session's keys from its handshake (docs/PROTOCOL.md, "Keys of a session").
 */
#ifndef REXEC_AUTH_SCHEDULE_H
#define REXEC_AUTH_SCHEDULE_H

#include <stdint.h>

#include "auth/hkdf.h"
#include "auth/seal.h"
#include "auth/secret.h"

struct rx_session_keys {
    uint8_t version;
    enum rx_suite suite;
    uint8_t c2s[RX_KEY_SIZE];     /* secret of epoch 0, client to server */
    uint8_t s2c[RX_KEY_SIZE];     /* secret of epoch 0, server to client */
    uint8_t request[RX_KEY_SIZE]; /* proves requests; stays in the monitor */
    uint8_t id[RX_SESSION_ID_SIZE];
};

/*
 * Derives the keys. `shared` is the X25519 result, NULL for the readable suite; `transcript` is
 * SHA256(M1 || M2 || M3). version and suite are copied in. RX_E_CRYPTO_FAILED, *keys wiped.
 */
enum rx_error rx_session_keys_derive(uint8_t version, enum rx_suite suite,
                                     const uint8_t mix[static RX_KEY_SIZE], const uint8_t *shared,
                                     const uint8_t transcript[static RX_HASH_SIZE],
                                     struct rx_session_keys *keys);

void rx_session_keys_wipe(struct rx_session_keys *keys);

#endif
