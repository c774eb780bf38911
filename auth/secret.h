/*
 * Sizes of what the handshake and the key schedule deal in, and the one HMAC they are built from.
 * docs/PROTOCOL.md, "Keys, grants and names".
 */
#ifndef REXEC_AUTH_SECRET_H
#define REXEC_AUTH_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum {
    RX_KEY_SIZE = 32,        /* psk, K_c, K_s, K_m, nonces, challenges, X25519 keys */
    RX_KID_SIZE = 16,        /* names a grant */
    RX_SESSION_ID_SIZE = 16, /* names a session; public */
    RX_SERVER_NAME_MAX = 255,
    RX_PRINCIPAL_MAX = 64,
};

/* What a server holds of a client's key: enough to verify it and to prove itself, for one server
 * name. */
struct rx_grant_keys {
    uint8_t kid[RX_KID_SIZE];
    uint8_t client_auth[RX_KEY_SIZE]; /* K_c */
    uint8_t server_auth[RX_KEY_SIZE]; /* K_s */
    uint8_t mix[RX_KEY_SIZE];         /* K_m */
};

/*
 * Folds a server name of n bytes into `out` (RX_SERVER_NAME_MAX + 1 bytes, NUL-terminated): A-Z
 * become a-z. RX_E_BAD_NAME if it is empty, too long, or has a byte outside 0x21 to 0x7e.
 */
enum rx_error rx_server_name_fold(const char *name, size_t n,
                                  char out[static RX_SERVER_NAME_MAX + 1]);

/*
 * Derives the grant's keys from the client's psk for a server name (folded here). RX_E_BAD_NAME,
 * RX_E_CRYPTO_FAILED; *keys is wiped on error. The caller wipes it after use.
 */
enum rx_error rx_grant_keys_derive(const uint8_t psk[static RX_KEY_SIZE], const char *server_name,
                                   struct rx_grant_keys *keys);

/*
 * The keys that stand in for a client without a (usable) grant: random to whoever does not know
 * the server's decoy secret, and always the same for one kid. RX_E_CRYPTO_FAILED.
 */
enum rx_error rx_decoy_keys_derive(const uint8_t decoy_secret[static RX_KEY_SIZE],
                                   const uint8_t kid[static RX_KID_SIZE],
                                   struct rx_grant_keys *keys);

#endif
