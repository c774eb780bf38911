/*
 * proto/request.c: of requests that are repeated, left out, altered, cut or made longer, only those
 * pass that come as they were signed and in their order; after the first other one none does.
 *
 * Each step is three bytes: what to do, and with what.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/request.h"
#include "tests/duel/toy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SIGNED_MAX = 16, LENGTH_MAX = 256 };

struct request {
    uint8_t bytes[RX_MESSAGE_HEAD + LENGTH_MAX + RX_REQUEST_TRAILER];
    size_t n; /* with its trailer */
};

struct game {
    struct toy_mac toy;
    struct rx_request_chain signer, checker;
    struct request requests[SIGNED_MAX];
    size_t count, next;
    bool refused;
};

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_request.c:%d: does not hold\n", line);
    abort();
}

/* Not memcmp: the fuzzer looks into that, and would learn requests as a whole, with their MACs. */
static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint8_t different = 0;
    for (size_t i = 0; i < n; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}

static void sign(struct game *g, uint8_t length, uint8_t fill)
{
    if (g->count == SIGNED_MAX)
        return;
    struct request *r = &g->requests[g->count];
    size_t n = (size_t)RX_MESSAGE_HEAD + length;
    memset(r->bytes, fill, n);
    must(rx_request_sign(&g->signer, r->bytes, n) == RX_OK);
    r->n = n + RX_REQUEST_TRAILER;
    g->count++;
}

/* Shows n bytes, from memory of just that size; they pass exactly if they are what was signed next.
 */
static void show(struct game *g, const uint8_t *bytes, size_t n)
{
    const struct request *due = g->next < g->count ? &g->requests[g->next] : NULL;
    bool right = due != NULL && n == due->n && same(bytes, due->bytes, n);
    uint8_t *copy = malloc(n > 0 ? n : 1);
    must(copy != NULL);
    memcpy(copy, bytes, n);
    enum rx_error error = rx_request_check(&g->checker, copy, n);
    free(copy);
    must(error == RX_OK || error == RX_E_REQUEST_REJECTED);
    must((error == RX_OK) == (right && !g->refused));
    g->refused |= error != RX_OK;
    must((g->checker.failed != RX_OK) == g->refused);
    g->next += error == RX_OK;
    must(g->checker.next == g->next + 1);
}

static void show_one(struct game *g, uint8_t what, uint8_t which, uint8_t how)
{
    size_t i = what % 2 == 0 ? g->next : which % (g->count + 1); /* in order, or any */
    if (i >= g->count)
        return;
    struct request r = g->requests[i];
    switch (what / 2 % 4) {
    case 0:
        break;
    case 1: /* a bit */
        r.bytes[(size_t)which * 7 % r.n] ^= (uint8_t)(1U << how % 8);
        break;
    case 2: /* cut */
        r.n = how % (r.n + 1);
        break;
    default: /* another's trailer */
        memcpy(r.bytes + r.n - RX_REQUEST_TRAILER,
               g->requests[how % g->count].bytes + g->requests[how % g->count].n -
                   RX_REQUEST_TRAILER,
               RX_REQUEST_TRAILER);
        break;
    }
    show(g, r.bytes, r.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct game g;
    g = (struct game){.next = 0};
    struct rx_mac mac = toy_mac(&g.toy);
    rx_request_chain_init(&g.signer, &mac);
    rx_request_chain_init(&g.checker, &mac);
    for (; n >= 3; data += 3, n -= 3) {
        if (data[0] < 100)
            sign(&g, data[1], data[2]);
        else if (data[0] < 250)
            show_one(&g, (uint8_t)(data[0] - 100), data[1], data[2]);
        else
            show(&g, data, n); /* what nobody signed */
    }
    return 0;
}
