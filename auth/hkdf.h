/*
 * HMAC-SHA256 (RFC 2104) over several pieces, and HKDF-SHA256 (RFC 5869), from libsodium's HMAC.
 */
#ifndef REXEC_AUTH_HKDF_H
#define REXEC_AUTH_HKDF_H

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

/* RFC 5869, 2.2: PRK = HMAC(salt, ikm). RX_E_CRYPTO_FAILED. */
enum rx_error rx_hkdf_extract(const uint8_t *salt, size_t salt_len, const uint8_t *ikm,
                              size_t ikm_len, uint8_t prk[static RX_HASH_SIZE]);

/*
 * RFC 5869, 2.3, with the info in `count` pieces (at most 8). n is at most 255 * 32; RX_E_MISUSE
 * beyond, RX_E_CRYPTO_FAILED; out is wiped on error.
 */
enum rx_error rx_hkdf_expand(const uint8_t *prk, size_t prk_len, const struct rx_bytes *info,
                             size_t count, uint8_t *out, size_t n);

#endif
