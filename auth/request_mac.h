/*
 * The MAC of requests: HMAC-SHA256 under the session's request key, for proto/request.h.
 */
#ifndef REXEC_AUTH_REQUEST_MAC_H
#define REXEC_AUTH_REQUEST_MAC_H

#include <sodium.h>
#include <stdint.h>

#include "auth/secret.h"
#include "proto/request.h"

/* A keyed HMAC, so that each request pays only for its own bytes. */
struct rx_request_key {
    crypto_auth_hmacsha256_state keyed;
};

/* RX_E_CRYPTO_FAILED, *k wiped. */
enum rx_error rx_request_key_init(struct rx_request_key *k, const uint8_t key[static RX_KEY_SIZE]);

/* The interface of proto/ to it; the key must outlive its use. */
struct rx_mac rx_request_key_mac(struct rx_request_key *k);

void rx_request_key_wipe(struct rx_request_key *k);

#endif
