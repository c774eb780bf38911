#include "tests/duel/tape.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

static uint8_t *or_abort(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static void tape_reserve(struct tape *tape, size_t n)
{
    size_t cap = tape->cap > 0 ? tape->cap : 4096;
    while (cap - tape->n < n)
        cap *= 2;
    if (cap != tape->cap) {
        tape->bytes = or_abort(realloc(tape->bytes, cap));
        tape->cap = cap;
    }
}

void tape_append(struct tape *tape, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    tape_reserve(tape, n);
    memcpy(tape->bytes + tape->n, bytes, n);
    tape->n += n;
}

void tape_output(struct tape *tape, struct rx_engine *e)
{
    while (rx_engine_pending(e)) {
        tape_reserve(tape, RX_OUTPUT_MIN);
        size_t n = rx_engine_output(e, tape->bytes + tape->n, tape->cap - tape->n);
        if (n == 0)
            return;
        tape->n += n;
    }
}

void tape_clear(struct tape *tape)
{
    free(tape->bytes);
    *tape = (struct tape){0};
}

size_t tape_record(const struct tape *tape, size_t at)
{
    if (tape->n - at < RX_RECORD_LENGTH)
        return 0;
    size_t n = RX_RECORD_LENGTH + rx_get32(tape->bytes + at);
    return n <= tape->n - at ? n : 0;
}

static enum rx_next take_events(struct rx_engine *e, const struct listener *to)
{
    struct rx_event event;
    enum rx_next next;
    while ((next = rx_engine_next(e, &event)) == RX_NEXT_EVENT)
        to->heard(to->context, &event);
    return next;
}

enum rx_next deliver(struct rx_engine *e, const void *bytes, size_t n, const struct listener *to)
{
    uint8_t *copy = or_abort(malloc(n > 0 ? n : 1));
    if (n > 0)
        memcpy(copy, bytes, n);
    rx_engine_feed(e, copy, n);
    enum rx_next next = take_events(e, to);
    free(copy);
    return next;
}

enum rx_next deliver_to_room(struct rx_engine *e, const void *bytes, size_t n,
                             const struct listener *to)
{
    uint8_t *room = NULL;
    size_t space = rx_engine_room(e, &room);
    if (space > n)
        space = n;
    if (space > 0) {
        memcpy(room, bytes, space);
        rx_engine_filled(e, space);
    }
    const uint8_t *rest = space > 0 ? (const uint8_t *)bytes + space : bytes;
    return deliver(e, rest, n - space, to);
}
