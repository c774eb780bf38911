#include "auth/grants.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum { FIRST_CAPACITY = 8 };

/* kids[i] is slots[i].keys.kid: apart from the rest, so that the look-up reads one short array. */
struct rx_grants {
    uint8_t (*kids)[RX_KID_SIZE];
    struct rx_grant *slots;
    size_t count, capacity;
};

struct rx_grants *rx_grants_new(void)
{
    return calloc(1, sizeof(struct rx_grants));
}

/* Wipes and frees both arrays; the table is unusable until it has others. */
static void drop_arrays(struct rx_grants *grants)
{
    if (grants->capacity > 0) {
        sodium_memzero(grants->kids, grants->capacity * sizeof *grants->kids);
        sodium_memzero(grants->slots, grants->capacity * sizeof *grants->slots);
    }
    free(grants->kids);
    free(grants->slots);
}

void rx_grants_free(struct rx_grants *grants)
{
    if (grants == NULL)
        return;
    drop_arrays(grants);
    free(grants);
}

/* Makes room for twice as many. Not by realloc: it would leave a copy of the keys behind. */
static enum rx_error grow(struct rx_grants *grants)
{
    struct rx_grants old = *grants;
    struct rx_grants larger = {
        .count = old.count,
        .capacity = old.capacity > 0 ? old.capacity * 2 : FIRST_CAPACITY,
    };
    larger.kids = calloc(larger.capacity, sizeof *larger.kids);
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.kids == NULL || larger.slots == NULL) {
        free(larger.kids);
        free(larger.slots);
        return RX_E_NO_MEMORY;
    }
    if (old.count > 0) {
        memcpy(larger.kids, old.kids, old.count * sizeof *larger.kids);
        memcpy(larger.slots, old.slots, old.count * sizeof *larger.slots);
    }
    *grants = larger;
    drop_arrays(&old);
    return RX_OK;
}

/* The mask itself. A compiler that knows that it is all ones or 0 may make a branch of its use. */
static uint64_t opaque(uint64_t mask)
{
    __asm__("" : "+r"(mask));
    return mask;
}

/* All ones if the two are the same, else 0. */
static uint64_t same_kid(const uint8_t a[static RX_KID_SIZE], const uint8_t b[static RX_KID_SIZE])
{
    uint64_t differ = (rx_get64(a) ^ rx_get64(b)) | (rx_get64(a + 8) ^ rx_get64(b + 8));
    return opaque(((differ | (0 - differ)) >> 63) - 1);
}

/* Where the kid is, or `otherwise`; *known is all ones or 0. Compares with every kid, without a
 * branch. */
static size_t find(const struct rx_grants *grants, const uint8_t kid[static RX_KID_SIZE],
                   size_t otherwise, uint64_t *known)
{
    uint64_t index = otherwise;
    *known = 0;
    for (size_t i = 0; i < grants->count; i++) {
        uint64_t same = same_kid(grants->kids[i], kid);
        index = (i & same) | (index & ~same);
        *known |= same;
    }
    return (size_t)index;
}

enum rx_error rx_grants_add(struct rx_grants *grants, const struct rx_grant *grant)
{
    uint64_t known;
    size_t at = find(grants, grant->keys.kid, 0, &known);
    if (known != 0) {
        grants->slots[at].revoked |= grant->revoked;
        return RX_E_BAD_FILE;
    }
    if (grants->count == grants->capacity) {
        enum rx_error error = grow(grants);
        if (error != RX_OK)
            return error;
    }
    memcpy(grants->kids[grants->count], grant->keys.kid, RX_KID_SIZE);
    grants->slots[grants->count] = *grant;
    grants->count++;
    return RX_OK;
}

size_t rx_grants_count(const struct rx_grants *grants)
{
    return grants->count;
}

const struct rx_grant *rx_grants_at(const struct rx_grants *grants, size_t i)
{
    return i < grants->count ? &grants->slots[i] : NULL;
}

const struct rx_grant *rx_grants_find(const struct rx_grants *grants,
                                      const uint8_t kid[static RX_KID_SIZE])
{
    uint64_t known;
    size_t index = find(grants, kid, 0, &known);
    return known != 0 ? &grants->slots[index] : NULL;
}

/* n bytes of a where the mask is all ones, of b where it is 0. */
static void choose(uint64_t mask, const void *a, const void *b, void *out, size_t n)
{
    const uint8_t *one = a;
    const uint8_t *other = b;
    uint8_t *to = out;
    uint8_t byte_mask = (uint8_t)mask;
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((one[i] & byte_mask) | (other[i] & ~byte_mask));
}

enum rx_error rx_grants_look_up(const struct rx_grants *grants,
                                const uint8_t decoy_secret[static RX_KEY_SIZE],
                                const uint8_t kid[static RX_KID_SIZE], int64_t now,
                                const struct rx_source *peer, struct rx_grant_keys *keys,
                                const struct rx_grant **found)
{
    static const struct rx_grant nobody; /* judged where there is no grant at all */

    struct rx_grant_keys decoy;
    enum rx_error error = rx_decoy_keys_derive(decoy_secret, kid, &decoy);
    if (error != RX_OK) {
        sodium_memzero(&decoy, sizeof decoy);
        sodium_memzero(keys, sizeof *keys);
        *found = NULL;
        return error;
    }

    /* A kid always has the same stand-in: asking again warms the same memory as with one that is
     * known. */
    size_t stand_in = grants->count > 0 ? (size_t)(rx_get64(kid) % grants->count) : 0;
    uint64_t known;
    size_t index = find(grants, kid, stand_in, &known);
    const struct rx_grant *grant = grants->count > 0 ? &grants->slots[index] : &nobody;
    uint64_t chosen = opaque(known & (0 - (uint64_t)rx_grant_usable(grant, now, peer)));

    const struct rx_grant *none = NULL;
    choose(chosen, &grant->keys, &decoy, keys, sizeof *keys);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): it is the pointer that is chosen
    choose(chosen, &grant, &none, found, sizeof *found);
    memcpy(keys->kid, kid, RX_KID_SIZE);
    sodium_memzero(&decoy, sizeof decoy);
    return RX_OK;
}
