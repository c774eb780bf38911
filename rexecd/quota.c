#include "rexecd/quota.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "proto/bytes.h"

enum { BUCKET_COUNT = 1024 };

struct count {
    LIST_ENTRY(count) chain;
    uint8_t kid[RX_KID_SIZE];
    uint32_t n;
};

struct quota {
    LIST_HEAD(counts, count) buckets[BUCKET_COUNT];
};

struct quota *quota_new(void)
{
    return calloc(1, sizeof(struct quota)); /* empty lists are zeros */
}

void quota_free(struct quota *quota)
{
    for (size_t i = 0; quota != NULL && i < BUCKET_COUNT; i++) {
        struct count *c;
        while ((c = LIST_FIRST(&quota->buckets[i])) != NULL) {
            LIST_REMOVE(c, chain);
            free(c);
        }
    }
    free(quota);
}

static struct count *find(const struct quota *quota, const uint8_t *kid)
{
    struct count *c;
    LIST_FOREACH(c, &quota->buckets[rx_get64(kid) % BUCKET_COUNT], chain)
    if (memcmp(c->kid, kid, sizeof c->kid) == 0)
        return c;
    return NULL;
}

bool quota_take(struct quota *quota, const uint8_t kid[static RX_KID_SIZE], uint32_t max)
{
    struct count *c = find(quota, kid);
    if (c == NULL) {
        c = calloc(1, sizeof *c);
        if (c == NULL)
            return false;
        memcpy(c->kid, kid, sizeof c->kid);
        LIST_INSERT_HEAD(&quota->buckets[rx_get64(kid) % BUCKET_COUNT], c, chain);
    }
    if (max > 0 && c->n >= max)
        return false;
    c->n++;
    return true;
}

void quota_give(struct quota *quota, const uint8_t kid[static RX_KID_SIZE])
{
    struct count *c = find(quota, kid);
    if (c == NULL || --c->n > 0)
        return;
    LIST_REMOVE(c, chain);
    free(c);
}
