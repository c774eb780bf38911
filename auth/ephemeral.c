#include "auth/ephemeral.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "auth/x25519_base.h"

enum rx_error rx_key_pair_make(const uint8_t random[static RX_KEY_SIZE], struct rx_key_pair *pair)
{
    memcpy(pair->secret, random, sizeof pair->secret);
    enum rx_error error = rx_x25519_base(pair->secret, pair->public);
    if (error != RX_OK)
        rx_key_pair_wipe(pair);
    return error;
}

enum rx_error rx_key_pair_agree(const struct rx_key_pair *pair,
                                const uint8_t other[static RX_KEY_SIZE],
                                uint8_t shared[static RX_KEY_SIZE])
{
    if (crypto_scalarmult(shared, pair->secret, other) != 0) {
        sodium_memzero(shared, RX_KEY_SIZE);
        return RX_E_LOW_ORDER;
    }
    return RX_OK;
}

void rx_key_pair_wipe(struct rx_key_pair *pair)
{
    sodium_memzero(pair, sizeof *pair);
}

/* What a fork must empty is in pages of its own; `filled` too, so that a child sees no pair at all.
 */
struct pages {
    size_t filled;
    struct rx_key_pair pairs[];
};

struct rx_pool {
    struct pages *pages;
    size_t capacity;
    size_t bytes; /* of the mapping */
};

struct rx_pool *rx_pool_new(size_t capacity)
{
    if (capacity > (SIZE_MAX - sizeof(struct pages)) / sizeof(struct rx_key_pair))
        return NULL;
    struct rx_pool *pool = malloc(sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->capacity = capacity;
    pool->bytes = sizeof *pool->pages + capacity * sizeof pool->pages->pairs[0];
    void *p = mmap(NULL, pool->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(pool);
        return NULL;
    }
    pool->pages = p;
    if (madvise(p, pool->bytes, MADV_WIPEONFORK) != 0) {
        rx_pool_free(pool);
        return NULL;
    }
    /* Core dumps need not have them; without it the pool works as well. */
    (void)madvise(p, pool->bytes, MADV_DONTDUMP);
    return pool;
}

void rx_pool_free(struct rx_pool *pool)
{
    if (pool == NULL)
        return;
    sodium_memzero(pool->pages, pool->bytes);
    (void)munmap(pool->pages, pool->bytes);
    free(pool);
}

size_t rx_pool_count(const struct rx_pool *pool)
{
    return pool->pages->filled;
}

size_t rx_pool_capacity(const struct rx_pool *pool)
{
    return pool->capacity;
}

enum rx_error rx_pool_add(struct rx_pool *pool, const uint8_t random[static RX_KEY_SIZE])
{
    struct pages *pages = pool->pages;
    if (pages->filled >= pool->capacity)
        return RX_E_FLOOD;
    enum rx_error error = rx_key_pair_make(random, &pages->pairs[pages->filled]);
    if (error == RX_OK)
        pages->filled++;
    return error;
}

bool rx_pool_take(struct rx_pool *pool, struct rx_key_pair *pair)
{
    struct pages *pages = pool->pages;
    if (pages->filled == 0)
        return false;
    pages->filled--;
    *pair = pages->pairs[pages->filled];
    rx_key_pair_wipe(&pages->pairs[pages->filled]);
    return true;
}
