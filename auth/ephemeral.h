/*
 * Ephemeral X25519 key pairs (RFC 7748), and a pool of them that can be filled ahead, when there is
 * time, for handshakes to take from. A pool's memory is wiped by the kernel in a forked child, so
 * that no key pair is ever used by two processes.
 */
#ifndef REXEC_AUTH_EPHEMERAL_H
#define REXEC_AUTH_EPHEMERAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"

struct rx_key_pair {
    uint8_t secret[RX_KEY_SIZE];
    uint8_t public[RX_KEY_SIZE];
};

/* A pair from 32 random bytes of the caller's, which the caller wipes. RX_E_CRYPTO_FAILED. */
enum rx_error rx_key_pair_make(const uint8_t random[static RX_KEY_SIZE], struct rx_key_pair *pair);

/*
 * The shared secret. RX_E_LOW_ORDER if the other side's key is of small order (the result would be
 * zero, RFC 7748, 6.1); `shared` is wiped then.
 */
enum rx_error rx_key_pair_agree(const struct rx_key_pair *pair,
                                const uint8_t other[static RX_KEY_SIZE],
                                uint8_t shared[static RX_KEY_SIZE]);

void rx_key_pair_wipe(struct rx_key_pair *pair);

struct rx_pool;

/* A pool for at most `capacity` pairs. NULL: no memory, or a kernel without MADV_WIPEONFORK; then
 * go without. */
struct rx_pool *rx_pool_new(size_t capacity);

/* Wipes and frees; NULL is fine. */
void rx_pool_free(struct rx_pool *pool);

size_t rx_pool_count(const struct rx_pool *pool);
size_t rx_pool_capacity(const struct rx_pool *pool);

/* Makes one pair from 32 random bytes and puts it in. RX_E_FLOOD: full; RX_E_CRYPTO_FAILED. */
enum rx_error rx_pool_add(struct rx_pool *pool, const uint8_t random[static RX_KEY_SIZE]);

/* Takes a pair out, and wipes its place; false if there is none. */
bool rx_pool_take(struct rx_pool *pool, struct rx_key_pair *pair);

#endif
