/*
 * HMAC-SHA256 (RFC 2104) over several pieces, and HKDF-SHA256 (RFC 5869), from libsodium's HMAC.
 */
#ifndef REXEC_AUTH_HKDF_H
#define REXEC_AUTH_HKDF_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum { RX_HASH_SIZE = 32 };

/* A piece of input. */
struct rx_bytes {
    const void *p;
    size_t n;
};

/* A string literal without its NUL. */
#define RX_LITERAL(text) ((struct rx_bytes){(text), sizeof(text) - 1})

/* HMAC of `count` pieces, one after another, under a key of any length. RX_E_CRYPTO_FAILED. */
enum rx_error rx_hmac(const uint8_t *key, size_t key_len, const struct rx_bytes *pieces,
                      size_t count, uint8_t out[static RX_HASH_SIZE]);

/* SHA-256 of `count` pieces. RX_E_CRYPTO_FAILED. */
enum rx_error rx_hash(const struct rx_bytes *pieces, size_t count,
                      uint8_t out[static RX_HASH_SIZE]);

/* SHA-256 of what is still growing: what there is of it so far, at any time. */
struct rx_hashing {
    crypto_hash_sha256_state state;
};

/* All of them RX_E_CRYPTO_FAILED. `now` leaves it as it is. */
enum rx_error rx_hashing_begin(struct rx_hashing *h);
enum rx_error rx_hashing_add(struct rx_hashing *h, const void *bytes, size_t n);
enum rx_error rx_hashing_now(const struct rx_hashing *h, uint8_t out[static RX_HASH_SIZE]);

/* RFC 5869, 2.2: PRK = HMAC(salt, ikm). RX_E_CRYPTO_FAILED. */
enum rx_error rx_hkdf_extract(const uint8_t *salt, size_t salt_len, const uint8_t *ikm,
                              size_t ikm_len, uint8_t prk[static RX_HASH_SIZE]);

/*
 * RFC 5869, 2.3, with the info in `count` pieces (at most 8). n is at most 255 * 32; RX_E_MISUSE
 * beyond, RX_E_CRYPTO_FAILED; out is wiped on error.
 */
enum rx_error rx_hkdf_expand(const uint8_t *prk, size_t prk_len, const struct rx_bytes *info,
                             size_t count, uint8_t *out, size_t n);

/* The same for several outputs of one PRK, whose two blocks of HMAC are hashed but once. A secret:
 * the caller ends it with rx_hkdf_wipe, also after an error. */
struct rx_hkdf {
    crypto_auth_hmacsha256_state keyed;
};

enum rx_error rx_hkdf_begin(struct rx_hkdf *k, const uint8_t *prk, size_t prk_len);
enum rx_error rx_hkdf_output(const struct rx_hkdf *k, const struct rx_bytes *info, size_t count,
                             uint8_t *out, size_t n);
void rx_hkdf_wipe(struct rx_hkdf *k);

#endif
