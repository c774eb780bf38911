#include "proto/ring.h"

#include <stdlib.h>
#include <string.h>

static int ring_grow(struct rx_ring *ring, size_t want, size_t max)
{
    size_t cap = ring->cap > 0 ? ring->cap : RX_RING_FIRST;
    size_t need = want > max - ring->used ? max : ring->used + want;
    while (cap < need)
        cap *= 2;
    if (cap == ring->cap)
        return 0;
    uint8_t *base = malloc(RX_RING_HEADROOM + cap);
    if (base == NULL)
        return -1;
    uint8_t *bytes;
    size_t n, copied = 0;
    while ((n = rx_ring_peek(ring, copied, &bytes)) > 0) {
        memcpy(base + RX_RING_HEADROOM + copied, bytes, n);
        copied += n;
    }
    free(ring->base);
    ring->base = base;
    ring->cap = cap;
    ring->head = 0;
    return 0;
}

size_t rx_ring_room(struct rx_ring *ring, size_t want, size_t max, uint8_t **room)
{
    if (ring->used >= max)
        return 0;
    if (ring->cap - ring->used < want)
        (void)ring_grow(ring, want, max); /* where it fails, what there is may still do */
    if (ring->cap == ring->used)
        return 0;
    size_t tail = (ring->head + ring->used) & (ring->cap - 1);
    *room = ring->base + RX_RING_HEADROOM + tail;
    size_t free_bytes = ring->cap - ring->used;
    size_t to_end = ring->cap - tail;
    return free_bytes < to_end ? free_bytes : to_end;
}

void rx_ring_filled(struct rx_ring *ring, size_t n)
{
    ring->used += n;
}

size_t rx_ring_peek(const struct rx_ring *ring, size_t skip, uint8_t **bytes)
{
    if (skip >= ring->used)
        return 0;
    size_t at = (ring->head + skip) & (ring->cap - 1);
    *bytes = ring->base + RX_RING_HEADROOM + at;
    size_t left = ring->used - skip;
    size_t to_end = ring->cap - at;
    return left < to_end ? left : to_end;
}

void rx_ring_drop(struct rx_ring *ring, size_t n)
{
    ring->used -= n;
    if (ring->used == 0) {
        rx_ring_clear(ring);
        return;
    }
    ring->head = (ring->head + n) & (ring->cap - 1);
}

void rx_ring_clear(struct rx_ring *ring)
{
    free(ring->base);
    *ring = (struct rx_ring){0};
}
