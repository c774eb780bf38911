/*
 * A ring buffer that grows on demand up to a hard maximum and gives its memory back when it is
 * empty. In front of each byte that is stored there are RX_RING_HEADROOM writable bytes, so that a
 * message's head can stand before the data while both are sealed in one piece, without a copy.
 */
#ifndef REXEC_PROTO_RING_H
#define REXEC_PROTO_RING_H

#include <stddef.h>
#include <stdint.h>

enum {
    RX_RING_HEADROOM = 16,
    RX_RING_FIRST = 4096, /* first allocation */
};

/* Zero-initialised is empty. Positions are counts since the start: they rise and never wrap. */
struct rx_ring {
    uint8_t *base; /* headroom, then cap bytes */
    size_t cap;    /* 0 or a power of two */
    size_t head;   /* place of the oldest byte, below cap */
    size_t used;
};

/*
 * Contiguous room for new bytes behind the newest: *room and its size. Grows the ring so that at
 * least min(want, max - used) bytes fit, though not always in one piece. 0: full (used == max),
 * nothing wanted, or out of memory; never more than max in all. max is a power of two, at least
 * RX_RING_FIRST.
 */
size_t rx_ring_room(struct rx_ring *ring, size_t want, size_t max, uint8_t **room);

/* Counts n bytes that were written to the room as stored. */
void rx_ring_filled(struct rx_ring *ring, size_t n);

/* The contiguous bytes from `skip` bytes behind the oldest: *bytes and how many (0: none). */
size_t rx_ring_peek(const struct rx_ring *ring, size_t skip, uint8_t **bytes);

/* Drops the n oldest bytes; frees the memory when none is left. */
void rx_ring_drop(struct rx_ring *ring, size_t n);

/* Frees all. */
void rx_ring_clear(struct rx_ring *ring);

#endif
