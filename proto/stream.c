#include "proto/stream.h"

#include <string.h>

/* ---- the sending half ------------------------------------------------------------------- */

void rx_out_init(struct rx_out *out, uint32_t window, size_t keep)
{
    *out = (struct rx_out){.limit = window, .keep = keep};
}

uint64_t rx_out_end(const struct rx_out *out)
{
    return out->acked + out->ring.used;
}

size_t rx_out_room(struct rx_out *out, size_t want, uint8_t **room)
{
    if (out->last)
        return 0;
    return rx_ring_room(&out->ring, want, out->keep, room);
}

void rx_out_filled(struct rx_out *out, size_t n)
{
    rx_ring_filled(&out->ring, n);
}

bool rx_out_full(const struct rx_out *out)
{
    return out->ring.used >= out->keep;
}

size_t rx_out_write(struct rx_out *out, const uint8_t *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        uint8_t *room;
        size_t space = rx_out_room(out, n - done, &room);
        if (space == 0)
            break;
        if (space > n - done)
            space = n - done;
        memcpy(room, bytes + done, space);
        rx_out_filled(out, space);
        done += space;
    }
    return done;
}

void rx_out_finish(struct rx_out *out)
{
    out->last = true;
}

bool rx_out_all_sent(const struct rx_out *out)
{
    return out->sent == rx_out_end(out);
}

bool rx_out_sendable(const struct rx_out *out)
{
    if (rx_out_all_sent(out))
        return out->last && !out->last_sent;
    return out->sent < out->limit;
}

size_t rx_out_next(const struct rx_out *out, size_t max, uint8_t **bytes, bool *last)
{
    size_t n = rx_ring_peek(&out->ring, (size_t)(out->sent - out->acked), bytes);
    if (n > max)
        n = max;
    if (n > out->limit - out->sent)
        n = (size_t)(out->limit - out->sent);
    *last = out->last && out->sent + n == rx_out_end(out);
    return n;
}

void rx_out_advance(struct rx_out *out, size_t n, bool last)
{
    out->sent += n;
    out->last_sent = last;
}

enum rx_error rx_out_ack(struct rx_out *out, uint64_t offset, uint32_t window)
{
    if (offset < out->acked || offset > out->sent || window > RX_WINDOW_MAX ||
        offset + window < out->limit)
        return RX_E_BAD_OFFSET;
    if (offset > out->acked) {
        rx_ring_drop(&out->ring, (size_t)(offset - out->acked));
        out->acked = offset;
    }
    out->limit = offset + window;
    return RX_OK;
}

enum rx_error rx_out_resume(struct rx_out *out, uint64_t offset, uint32_t window,
                            bool last_received)
{
    if (offset < out->acked || offset > out->sent || window > RX_WINDOW_MAX)
        return RX_E_DATA_LOST;
    if (last_received && !(out->last_sent && offset == rx_out_end(out)))
        return RX_E_DATA_LOST;
    out->sent = offset;
    out->limit = offset + window;
    out->last_sent = last_received;
    return RX_OK;
}

void rx_out_clear(struct rx_out *out)
{
    rx_ring_clear(&out->ring);
}

/* ---- the receiving half ----------------------------------------------------------------- */

void rx_in_init(struct rx_in *in, uint32_t first, uint32_t window)
{
    *in = (struct rx_in){.limit = first, .window = window};
}

enum rx_error rx_in_accept(struct rx_in *in, uint64_t offset, size_t n, bool last)
{
    if (in->last)
        return RX_E_BAD_STATE;
    if (offset != in->received)
        return RX_E_BAD_OFFSET;
    if (n > in->limit - in->received)
        return RX_E_WINDOW_EXCEEDED;
    in->received += n;
    in->last = last;
    return RX_OK;
}

enum rx_error rx_in_keep(struct rx_in *in, const uint8_t *bytes, size_t n)
{
    uint8_t *room;
    if (n > 0 && rx_ring_room(&in->ring, n, RX_WINDOW_MAX, &room) == 0)
        return RX_E_NO_MEMORY;
    if (in->ring.cap - in->ring.used < n)
        return RX_E_NO_MEMORY;
    while (n > 0) {
        size_t space = rx_ring_room(&in->ring, n, RX_WINDOW_MAX, &room);
        if (space > n)
            space = n;
        memcpy(room, bytes, space);
        rx_ring_filled(&in->ring, space);
        bytes += space;
        n -= space;
    }
    return RX_OK;
}

void rx_in_unaccept(struct rx_in *in, size_t n)
{
    in->received -= n;
    in->last = false;
}

size_t rx_in_peek(const struct rx_in *in, const uint8_t **bytes)
{
    uint8_t *kept;
    size_t n = rx_ring_peek(&in->ring, 0, &kept);
    if (n > 0)
        *bytes = kept;
    return n;
}

void rx_in_consume(struct rx_in *in, size_t n)
{
    in->consumed += n;
    if (in->ring.used > 0)
        rx_ring_drop(&in->ring, n);
}

bool rx_in_done(const struct rx_in *in)
{
    return in->last && in->consumed == in->received;
}

bool rx_in_ack_due(const struct rx_in *in)
{
    uint64_t consumed = in->consumed - in->ack_sent;
    return !in->last && rx_in_ack_news(in) &&
           (consumed >= RX_ACK_AT_LEAST || consumed * 2 >= in->limit - in->ack_sent);
}

bool rx_in_ack_news(const struct rx_in *in)
{
    return in->consumed > in->ack_sent || in->consumed + in->window > in->limit;
}

void rx_in_ack(struct rx_in *in, uint64_t *offset, uint32_t *window)
{
    if (in->limit < in->consumed + in->window)
        in->limit = in->consumed + in->window;
    in->ack_sent = in->consumed;
    *offset = in->consumed;
    *window = (uint32_t)(in->limit - in->consumed);
}

uint32_t rx_in_promise(struct rx_in *in)
{
    if (in->limit < in->consumed + in->window)
        in->limit = in->consumed + in->window;
    return (uint32_t)(in->limit - in->received);
}

uint32_t rx_in_resume(struct rx_in *in)
{
    in->limit = in->received;
    in->ack_sent = 0; /* the last ones may have been lost */
    return rx_in_promise(in);
}

void rx_in_start_at(struct rx_in *in, uint64_t offset)
{
    in->consumed = in->received = in->ack_sent = offset;
    in->limit += offset;
}

void rx_in_clear(struct rx_in *in)
{
    rx_ring_clear(&in->ring);
}
