/* The engine's way in: bytes to records, records to messages, messages to events. */

#include "proto/bytes.h"
#include "proto/engine_internal.h"

void rx_engine_feed(struct rx_engine *e, uint8_t *bytes, size_t n)
{
    e->input = bytes;
    e->input_len = n;
}

size_t rx_engine_room(struct rx_engine *e, uint8_t **room)
{
    if (e->error != RX_OK || e->input_len > 0)
        return 0;
    return rx_record_room(&e->reader, room);
}

void rx_engine_filled(struct rx_engine *e, size_t n)
{
    rx_record_filled(&e->reader, n);
}

enum rx_error rx_engine_eof(const struct rx_engine *e)
{
    if (e->error != RX_OK)
        return e->error;
    return e->input_len > 0 || rx_record_partial(&e->reader) ? RX_E_CLOSED_EARLY : RX_OK;
}

enum rx_error engine_settle_direct(struct rx_engine *e)
{
    struct direct d = e->direct;
    if (d.n > 0) {
        enum rx_error error = rx_in_keep(channel_in(d.channel, d.which), d.bytes, d.n);
        if (error != RX_OK)
            return error;
    }
    e->direct = (struct direct){0};
    return RX_OK;
}

/* ---- messages of the session ------------------------------------------------------------ */

static enum rx_error enter_session_message(struct rx_engine *e, const struct rx_message *m)
{
    switch (m->type) {
    case RX_WELCOME:
        e->welcomed = true;
        if (e->state == RX_SESSION_START) /* CLOSE may have been said already */
            engine_set_state(e, RX_SESSION_OPEN);
        return RX_OK;
    case RX_PING:
        if (e->pings_received >= RX_PINGS_MAX)
            return RX_E_FLOOD;
        e->pings_received++;
        return RX_OK;
    case RX_PONG:
        if (e->pings_sent == 0)
            return RX_E_BAD_STATE;
        e->pings_sent--;
        return RX_OK;
    case RX_GOAWAY:
        if (e->state == RX_SESSION_OPEN)
            engine_set_state(e, RX_SESSION_GOING);
        return RX_OK;
    case RX_CLOSE:
        engine_set_state(e, RX_SESSION_CLOSING);
        return RX_OK;
    case RX_ERROR:
        /* The event is given first; then there is nothing more to say or hear. */
        rx_engine_fail(e, RX_E_PEER_ERROR, NULL, 0);
        return RX_OK;
    default:
        return RX_E_INTERNAL;
    }
}

/* Whether the session's state lets this message in at all. */
static bool session_allows(const struct rx_engine *e, uint8_t type)
{
    if (e->config.role == RX_SERVER)
        return e->state == RX_SESSION_OPEN || e->state == RX_SESSION_GOING;
    if (!e->welcomed)
        return type == RX_WELCOME || type == RX_ERROR;
    return type != RX_WELCOME;
}

/* ---- data and acknowledgements ---------------------------------------------------------- */

static enum rx_error enter_data(struct rx_engine *e, const struct rx_message *m,
                                struct rx_event *event)
{
    uint64_t offset = rx_get64(m->body);
    const uint8_t *bytes = m->body + RX_DATA_OFFSET;
    size_t n = m->body_len - RX_DATA_OFFSET;
    bool last = (m->flags & RX_FLAG_LAST) != 0;
    if (n == 0 && !last)
        return RX_E_BAD_BODY;
    event->which = m->type - RX_STDIN;
    struct rx_channel *channel = event->channel;
    if (channel == NULL || channel->state == RX_STREAM_EXITED)
        return RX_OK; /* it crossed the end on its way */
    if (channel->state == RX_STREAM_ASKED && channel->opened_by != RX_EXEC)
        return RX_E_BAD_STATE;
    struct rx_in *in = channel_in(channel, event->which);
    enum rx_error error = rx_in_accept(in, offset, n, last);
    if (error != RX_OK)
        return error;
    if (in->ring.used > 0) {
        error = rx_in_keep(in, bytes, n); /* behind what is kept already */
        if (error != RX_OK)
            rx_in_unaccept(in, n);
        return error;
    }
    e->direct = (struct direct){channel, event->which, bytes, n};
    return RX_OK;
}

static enum rx_error enter_ack(struct rx_engine *e, const struct rx_message *m,
                               struct rx_event *event)
{
    const uint8_t *b = m->body;
    if (b[0] >= RX_WHICH_COUNT || (b[1] | b[2] | b[3]) != 0)
        return RX_E_BAD_BODY;
    event->which = b[0];
    bool ours = (e->config.role == RX_CLIENT) == (event->which == RX_WHICH_STDIN);
    if (!ours)
        return RX_E_BAD_BODY;
    struct rx_channel *channel = event->channel;
    if (channel == NULL || channel->state == RX_STREAM_EXITED)
        return RX_OK;
    if (channel->state == RX_STREAM_ASKED && channel->opened_by != RX_EXEC)
        return RX_E_BAD_STATE;
    enum rx_error error =
        rx_out_ack(channel_out(channel, event->which), rx_get64(b + 8), rx_get32(b + 4));
    if (error == RX_OK)
        engine_activate(e, channel);
    return error;
}

/* ---- answers, at the client ------------------------------------------------------------- */

/* STARTED to a first EXEC: the offset is where the server was; data is under way and goes on. */
static enum rx_error enter_first_start(struct rx_channel *channel, const struct rx_offsets *at)
{
    struct rx_out *out = &channel->halves[RX_WHICH_STDIN].out;
    if (at->at[0] < out->acked || at->at[0] > out->sent || at->at[1] != 0 || at->at[2] != 0 ||
        at->ended[1] || at->ended[2] || at->at[0] + at->window < out->limit)
        return RX_E_BAD_OFFSET;
    if (at->ended[0] && !(out->last_sent && at->at[0] == out->sent))
        return RX_E_BAD_OFFSET;
    out->limit = at->at[0] + at->window;
    return RX_OK;
}

/* The answer to a request that was repeated, to RESUME or to ATTACH: stdin goes on from what is
 * named. */
static enum rx_error enter_later_start(struct rx_channel *channel, const struct rx_offsets *at)
{
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        struct rx_in *in = &channel->halves[w].in;
        if (channel->opened_by == RX_ATTACH)
            rx_in_start_at(in, at->at[w]);
        if (in->received != at->at[w] || at->ended[w])
            return RX_E_BAD_OFFSET;
    }
    struct rx_out *out = &channel->halves[RX_WHICH_STDIN].out;
    if (channel->opened_by == RX_ATTACH)
        out->acked = out->sent = at->at[0];
    if (at->ended[0] && channel->opened_by == RX_ATTACH) {
        rx_out_clear(out); /* written before it was known that nobody would read it */
        out->last = out->last_sent = true;
    }
    channel->gated = false;
    return rx_out_resume(out, at->at[0], at->window, at->ended[0]) == RX_OK ? RX_OK
                                                                            : RX_E_BAD_OFFSET;
}

static enum rx_error enter_start(const struct rx_message *m, struct rx_event *event)
{
    struct rx_channel *channel = event->channel;
    if ((m->type == RX_STARTED) != (channel->opened_by == RX_EXEC))
        return RX_E_BAD_STATE;
    enum rx_error error = rx_offsets_decode(m->body, &event->offsets);
    if (error != RX_OK)
        return error;
    return channel->gated ? enter_later_start(channel, &event->offsets)
                          : enter_first_start(channel, &event->offsets);
}

static enum rx_error enter_exit(const struct rx_message *m, struct rx_event *event)
{
    struct rx_channel *channel = event->channel;
    struct rx_in *out = &channel->halves[RX_WHICH_STDOUT].in;
    struct rx_in *err = &channel->halves[RX_WHICH_STDERR].in;
    if (rx_get64(m->body) > channel->halves[RX_WHICH_STDIN].out.sent ||
        rx_get64(m->body + 8) != out->received || rx_get64(m->body + 16) != err->received)
        return RX_E_COUNT_MISMATCH;
    out->last = err->last = true;
    return RX_OK;
}

/* LISTED answers LIST alone, and DONE all else. */
static enum rx_error enter_answer(const struct rx_message *m, const struct rx_event *event)
{
    if (event->channel == NULL) /* it crossed the end on its way */
        return RX_OK;
    bool list = event->channel->opened_by == RX_LIST;
    return (m->type == RX_LISTED) == list ? RX_OK : RX_E_BAD_STATE;
}

/* ---- all messages on streams ------------------------------------------------------------ */

static bool opens_stream(uint8_t type)
{
    return (rx_kind(type)->states & RX_STREAM_IDLE) != 0;
}

/* Finds the message's stream, or opens it; event->channel stays NULL for one that is closed. */
static enum rx_error enter_stream(struct rx_engine *e, const struct rx_message *m,
                                  struct rx_event *event, enum rx_stream_state *state)
{
    if (m->kind->states == RX_STREAM_IDLE && m->stream <= e->last_stream)
        return RX_E_BAD_STREAM; /* it was used before */
    event->channel = engine_find(e, m->stream);
    if (event->channel != NULL) {
        *state = event->channel->state;
        return RX_OK;
    }
    if (m->stream <= e->last_stream) {
        *state = RX_STREAM_CLOSED;
        return RX_OK;
    }
    if (e->config.role == RX_CLIENT || !opens_stream(m->type))
        return RX_E_BAD_STREAM;
    enum rx_error error;
    event->channel = engine_bind_new(e, m->stream, &error);
    if (event->channel == NULL)
        return error == RX_E_LIMIT_REACHED ? RX_E_FLOOD : error;
    event->channel->opened_by = m->type;
    *state = RX_STREAM_IDLE;
    return RX_OK;
}

static enum rx_error enter_by_type(struct rx_engine *e, const struct rx_message *m,
                                   struct rx_event *event)
{
    switch (m->type) {
    case RX_STDIN:
    case RX_STDOUT:
    case RX_STDERR:
        return enter_data(e, m, event);
    case RX_ACK:
        return enter_ack(e, m, event);
    case RX_STARTED:
    case RX_RESUMED:
        return enter_start(m, event);
    case RX_EXIT:
        return enter_exit(m, event);
    case RX_LISTED:
    case RX_DONE:
        return enter_answer(m, event);
    case RX_RESUME: {
        enum rx_error error = rx_offsets_decode(m->body, &event->offsets);
        if (error == RX_OK && event->offsets.ended[RX_WHICH_STDIN])
            return RX_E_BAD_BODY;
        event->channel->asked_at = event->offsets;
        return error;
    }
    default:
        return RX_OK;
    }
}

static enum rx_error enter_stream_message(struct rx_engine *e, const struct rx_message *m,
                                          struct rx_event *event)
{
    enum rx_stream_state state = RX_STREAM_CLOSED, next = RX_STREAM_CLOSED;
    enum rx_error error = enter_stream(e, m, event, &state);
    if (error == RX_OK)
        error = rx_stream_next_state(state, m->kind, m->flags, &next);
    if (error == RX_OK)
        error = enter_by_type(e, m, event);
    if (error != RX_OK || event->channel == NULL)
        return error;
    engine_set_stream_state(e, event->channel, next);
    if (next == RX_STREAM_CLOSED) {
        engine_unbind(e, event->channel);
        e->doomed = event->channel;
    } else if (next != state) {
        engine_activate(e, event->channel); /* ACKs and data may have waited for this state */
    }
    return RX_OK;
}

/* ---- the next event --------------------------------------------------------------------- */

/* Ends what the last event left open: bytes that were not consumed, a channel that closed. */
static enum rx_error finish_last_event(struct rx_engine *e)
{
    rx_channel_free(e->doomed);
    e->doomed = NULL;
    enum rx_error error = engine_settle_direct(e);
    if (error != RX_OK) { /* the caller may reuse the input from now on */
        rx_in_unaccept(channel_in(e->direct.channel, e->direct.which), e->direct.n);
        e->direct = (struct direct){0};
    }
    return error;
}

static enum rx_error enter(struct rx_engine *e, const uint8_t *payload, size_t n,
                           struct rx_event *event)
{
    enum rx_direction theirs = e->config.role == RX_CLIENT ? RX_S2C : RX_C2S;
    *event = (struct rx_event){0};
    enum rx_error error = rx_message_decode(payload, n, theirs, &event->message);
    if (error != RX_OK)
        return error;
    if (!session_allows(e, event->message.type))
        return RX_E_BAD_STATE;
    if (event->message.stream == 0)
        return enter_session_message(e, &event->message);
    return enter_stream_message(e, &event->message, event);
}

enum rx_next rx_engine_next(struct rx_engine *e, struct rx_event *event)
{
    enum rx_error error = finish_last_event(e);
    if (e->error != RX_OK)
        return RX_NEXT_ERROR;
    uint8_t *payload;
    size_t n;
    if (error == RX_OK) {
        switch (rx_record_next(&e->reader, &e->config.open, &e->input, &e->input_len, &payload, &n,
                               &error)) {
        case RX_READ_MORE:
            return RX_NEXT_MORE;
        case RX_READ_RECORD:
            error = enter(e, payload, n, event);
            break;
        case RX_READ_ERROR:
            break;
        }
    }
    if (error == RX_OK)
        return RX_NEXT_EVENT;
    engine_set_error(e, error);
    return RX_NEXT_ERROR;
}
