/* The engine's way out: queued messages, then data by turns, into sealed records. */

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/engine_internal.h"

enum {
    DATA_HEAD = RX_MESSAGE_HEAD + RX_DATA_OFFSET,
    SMALL_CHUNK = 4096, /* less data than this is not cut off for the sake of a buffer's end */
};

_Static_assert((int)DATA_HEAD == (int)RX_RING_HEADROOM, "a data message's head fits the headroom");

static const uint8_t data_types[RX_WHICH_COUNT] = {RX_STDIN, RX_STDOUT, RX_STDERR};

/* Where the output goes, and how far it has come. */
struct sink {
    uint8_t *bytes;
    size_t cap, n;
};

/* ---- records ---------------------------------------------------------------------------- */

static size_t record_size(const struct rx_engine *e, size_t payload)
{
    return RX_RECORD_LENGTH + payload + e->config.seal.ops->tag_size;
}

static bool fits(const struct rx_engine *e, const struct sink *sink, size_t payload)
{
    return sink->cap - sink->n >= record_size(e, payload);
}

static bool emit(struct rx_engine *e, struct sink *sink, const uint8_t *payload, size_t n)
{
    size_t written;
    enum rx_error error =
        rx_record_seal(&e->config.seal, payload, n, sink->bytes + sink->n, &written);
    if (error != RX_OK) {
        /* No more records can be sealed, so nobody can be told either. */
        rx_engine_fail(e, error, NULL, 0);
        engine_drop_output(e);
        return false;
    }
    sink->n += written;
    return true;
}

/* ---- a channel's turn ------------------------------------------------------------------- */

static bool ack_wanted(struct rx_channel *channel, enum rx_which which)
{
    if (channel->state != RX_STREAM_RUNNING && channel->opened_by != RX_EXEC)
        return false;
    struct rx_in *in = channel_in(channel, which);
    return in != NULL && !channel->gated && !in->last &&
           (channel->ack_now[which] || rx_in_ack_due(in));
}

static bool data_wanted(struct rx_channel *channel, enum rx_which which)
{
    struct rx_out *out = channel_out(channel, which);
    if (out == NULL || channel->gated || !rx_out_sendable(out))
        return false;
    /* EXIT ends the output: an end that carries nothing need not be sent before it. */
    return !(channel->exit_due && rx_out_all_sent(out));
}

static bool exit_wanted(struct rx_channel *channel)
{
    return channel->exit_due && rx_out_all_sent(&channel->halves[RX_WHICH_STDOUT].out) &&
           rx_out_all_sent(&channel->halves[RX_WHICH_STDERR].out);
}

static bool state_sends(const struct rx_channel *channel)
{
    if (channel->role == RX_CLIENT)
        return channel->state == RX_STREAM_ASKED || channel->state == RX_STREAM_RUNNING;
    return channel->state == RX_STREAM_RUNNING;
}

bool channel_has_output(struct rx_channel *channel)
{
    if (!state_sends(channel))
        return false;
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++)
        if (ack_wanted(channel, w) || data_wanted(channel, w))
            return true;
    return exit_wanted(channel);
}

/* What became of one attempt to send. */
enum turn {
    TURN_NOTHING, /* had nothing to send */
    TURN_SENT,
    TURN_STOP, /* no room, or an error: the output ends here */
};

static enum turn send_ack(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                          struct sink *sink)
{
    if (!ack_wanted(channel, which))
        return TURN_NOTHING;
    uint8_t payload[RX_MESSAGE_HEAD + 16] = {0};
    if (!fits(e, sink, sizeof payload))
        return TURN_STOP;
    uint64_t offset;
    uint32_t window;
    rx_in_ack(channel_in(channel, which), &offset, &window);
    channel->ack_now[which] = false;
    rx_message_head(payload, RX_ACK, 0, 0, channel->stream);
    payload[RX_MESSAGE_HEAD] = (uint8_t)which;
    rx_put32(payload + RX_MESSAGE_HEAD + 4, window);
    rx_put64(payload + RX_MESSAGE_HEAD + 8, offset);
    return emit(e, sink, payload, sizeof payload) ? TURN_SENT : TURN_STOP;
}

/*
 * Seals straight from the ring: the message's head is put into the bytes before the data, which
 * belong to the ring (they may be data that is not acknowledged yet), and those are put back
 * afterwards.
 */
static enum turn send_data(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                           struct sink *sink)
{
    if (!data_wanted(channel, which))
        return TURN_NOTHING;
    if (!fits(e, sink, DATA_HEAD))
        return TURN_STOP;
    size_t room = sink->cap - sink->n - record_size(e, DATA_HEAD);
    struct rx_out *out = channel_out(channel, which);
    uint8_t *bytes;
    bool last;
    size_t n = rx_out_next(out, e->chunk, &bytes, &last);
    if (n > room) {
        if (sink->n > 0 && room < SMALL_CHUNK)
            return TURN_STOP;
        n = rx_out_next(out, room, &bytes, &last);
        if (n == 0)
            return TURN_STOP;
    }
    uint8_t alone[DATA_HEAD], saved[DATA_HEAD];
    uint8_t *head = n > 0 ? bytes - DATA_HEAD : alone;
    if (n > 0)
        memcpy(saved, head, DATA_HEAD);
    rx_message_head(head, data_types[which], last ? RX_FLAG_LAST : 0, 0, channel->stream);
    rx_put64(head + RX_MESSAGE_HEAD, out->sent);
    bool sealed = emit(e, sink, head, DATA_HEAD + n);
    if (n > 0)
        memcpy(head, saved, DATA_HEAD);
    if (!sealed)
        return TURN_STOP;
    rx_out_advance(out, n, last);
    e->chunk = e->chunk < e->config.chunk / 2 ? e->chunk * 2 : e->config.chunk;
    return TURN_SENT;
}

static enum turn send_exit(struct rx_engine *e, struct rx_channel *channel, struct sink *sink)
{
    if (!exit_wanted(channel))
        return TURN_NOTHING;
    struct control *c = channel->exit;
    if (!fits(e, sink, c->len))
        return TURN_STOP;
    uint8_t *counts = c->bytes + c->len - 24;
    rx_put32(c->bytes + 4, channel->stream);
    rx_put64(counts, channel->halves[RX_WHICH_STDIN].in.received);
    rx_put64(counts + 8, channel->halves[RX_WHICH_STDOUT].out.sent);
    rx_put64(counts + 16, channel->halves[RX_WHICH_STDERR].out.sent);
    if (!emit(e, sink, c->bytes, c->len))
        return TURN_STOP;
    channel->exit_due = false;
    /* EXIT ends both, whether their LAST was sent or not: a client that comes back may say so. */
    channel->halves[RX_WHICH_STDOUT].out.last_sent = true;
    channel->halves[RX_WHICH_STDERR].out.last_sent = true;
    engine_set_stream_state(e, channel, RX_STREAM_EXITED);
    return TURN_SENT;
}

/* One turn: what ACKs are due, then one record of data, then EXIT if all else is gone. */
static enum turn take_turn(struct rx_engine *e, struct rx_channel *channel, struct sink *sink)
{
    enum turn t;
    if (!state_sends(channel))
        return TURN_NOTHING; /* it has changed since it was put in the list */
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++)
        if ((t = send_ack(e, channel, w, sink)) == TURN_STOP)
            return t;
    for (unsigned i = 0; i < RX_WHICH_COUNT; i++) {
        enum rx_which w = (channel->turn + i) % RX_WHICH_COUNT;
        t = send_data(e, channel, w, sink);
        if (t == TURN_STOP)
            return t;
        if (t == TURN_SENT) {
            channel->turn = (uint8_t)((w + 1) % RX_WHICH_COUNT);
            break;
        }
    }
    return send_exit(e, channel, sink);
}

/* ---- all -------------------------------------------------------------------------------- */

bool rx_engine_pending(const struct rx_engine *e)
{
    return !STAILQ_EMPTY(&e->queue) || !TAILQ_EMPTY(&e->active);
}

size_t rx_engine_queued(const struct rx_engine *e)
{
    return e->queued;
}

static bool output_queue(struct rx_engine *e, struct sink *sink)
{
    struct control *c;
    while ((c = STAILQ_FIRST(&e->queue)) != NULL) {
        if (!fits(e, sink, c->len))
            return false;
        if (!emit(e, sink, c->bytes, c->len))
            return false;
        STAILQ_REMOVE_HEAD(&e->queue, link);
        e->queued -= c->len;
        if (c->bytes[0] == RX_PONG) {
            e->pings_received--;
            e->pongs_queued--;
        }
        free(c);
    }
    return true;
}

size_t rx_engine_output(struct rx_engine *e, uint8_t *out, size_t cap)
{
    struct sink sink = {.bytes = out, .cap = cap};
    if (!output_queue(e, &sink))
        return sink.n;
    struct rx_channel *channel;
    while ((channel = TAILQ_FIRST(&e->active)) != NULL) {
        if (take_turn(e, channel, &sink) == TURN_STOP)
            break;
        TAILQ_REMOVE(&e->active, channel, active_link);
        channel->active = false;
        engine_activate(e, channel);
    }
    return sink.n;
}
