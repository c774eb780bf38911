#include "rexecd/ids.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "proto/bytes.h"

struct entry {
    LIST_ENTRY(entry) chain;
    STAILQ_ENTRY(entry) age; /* ended ones */
    uint8_t id[RX_COMMAND_ID_SIZE], kid[RX_KID_SIZE];
    int64_t began;
    bool ended;
};

LIST_HEAD(bucket, entry);

struct ids {
    struct bucket *buckets;
    size_t mask;
    STAILQ_HEAD(entries, entry) ended; /* the longest ended first */
    size_t ended_count, remembered;
    int64_t horizon;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* of the hash */
};

struct ids *ids_new(size_t remembered, int64_t now)
{
    size_t count = 1024;
    while (count < remembered)
        count *= 2;
    struct ids *ids = calloc(1, sizeof *ids);
    if (ids == NULL)
        return NULL;
    ids->buckets = calloc(count, sizeof *ids->buckets);
    if (ids->buckets == NULL) {
        free(ids);
        return NULL;
    }
    ids->mask = count - 1;
    ids->remembered = remembered;
    ids->horizon = now;
    randombytes_buf(ids->key, sizeof ids->key);
    STAILQ_INIT(&ids->ended);
    return ids;
}

void ids_free(struct ids *ids)
{
    if (ids == NULL)
        return;
    for (size_t i = 0; i <= ids->mask; i++) {
        struct entry *e;
        while ((e = LIST_FIRST(&ids->buckets[i])) != NULL) {
            LIST_REMOVE(e, chain);
            free(e);
        }
    }
    free(ids->buckets);
    free(ids);
}

uint64_t ids_hash(const struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    uint8_t hash[crypto_shorthash_BYTES] = {0};
    _Static_assert(sizeof hash == sizeof(uint64_t), "one number");
    (void)crypto_shorthash(hash, id, RX_COMMAND_ID_SIZE, ids->key); /* it cannot fail */
    return rx_get64(hash);
}

static struct bucket *bucket_of(const struct ids *ids, const uint8_t *id)
{
    return &ids->buckets[ids_hash(ids, id) & ids->mask];
}

static struct entry *find(const struct ids *ids, const uint8_t *id)
{
    struct entry *e;
    LIST_FOREACH(e, bucket_of(ids, id), chain)
    if (memcmp(e->id, id, sizeof e->id) == 0)
        return e;
    return NULL;
}

enum ids_answer ids_find(const struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE],
                         const uint8_t kid[static RX_KID_SIZE])
{
    const struct entry *e = find(ids, id);
    if (e == NULL)
        return IDS_UNKNOWN;
    return memcmp(e->kid, kid, sizeof e->kid) == 0 ? IDS_OWN : IDS_FOREIGN;
}

int ids_add(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE],
            const uint8_t kid[static RX_KID_SIZE], int64_t now)
{
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL)
        return -1;
    memcpy(e->id, id, sizeof e->id);
    memcpy(e->kid, kid, sizeof e->kid);
    e->began = now;
    LIST_INSERT_HEAD(bucket_of(ids, id), e, chain);
    return 0;
}

void ids_remove(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct entry *e = find(ids, id);
    if (e == NULL || e->ended)
        return;
    LIST_REMOVE(e, chain);
    free(e);
}

void ids_end(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct entry *e = find(ids, id);
    if (e == NULL || e->ended)
        return;
    e->ended = true;
    STAILQ_INSERT_TAIL(&ids->ended, e, age);
    ids->ended_count++;
    while (ids->ended_count > ids->remembered) {
        e = STAILQ_FIRST(&ids->ended);
        STAILQ_REMOVE_HEAD(&ids->ended, age);
        LIST_REMOVE(e, chain);
        ids->ended_count--;
        if (e->began > ids->horizon)
            ids->horizon = e->began;
        free(e);
    }
}

int64_t ids_horizon(const struct ids *ids)
{
    return ids->horizon;
}
