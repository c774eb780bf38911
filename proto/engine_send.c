/* The engine's messages: what a client asks, what a server answers, what both say. */

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/engine_internal.h"

/* ---- client ----------------------------------------------------------------------------- */

/*
 * Readies a released channel for a new stream. For RESUME, what it promises to receive begins anew
 * at what it has received; `at` becomes the request's body.
 */
static void rejoin(struct rx_engine *e, struct rx_channel *channel, enum rx_type type,
                   struct rx_offsets *at)
{
    engine_set_stream_state(e, channel, RX_STREAM_IDLE);
    if (type != RX_RESUME)
        return;
    *at = (struct rx_offsets){.at = {channel->halves[RX_WHICH_STDIN].out.acked},
                              .window = RX_WINDOW_MAX};
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        struct rx_in *in = &channel->halves[w].in;
        uint32_t window = rx_in_resume(in);
        at->at[w] = in->received;
        at->ended[w] = in->last;
        if (window < at->window)
            at->window = window;
    }
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        struct rx_in *in = &channel->halves[w].in;
        in->limit = in->received + at->window; /* one number stands for both */
    }
}

/* The channel for a request that opens a stream: `old` or a new one. NULL: *error says why. */
static struct rx_channel *open_stream(struct rx_engine *e, enum rx_type type,
                                      struct rx_channel *old, enum rx_error *error)
{
    if (e->last_stream == UINT32_MAX) {
        *error = RX_E_STREAMS_EXHAUSTED;
        return NULL;
    }
    uint32_t stream = e->last_stream + 1;
    struct rx_channel *channel = old;
    if (old == NULL) {
        channel = engine_bind_new(e, stream, error);
    } else {
        *error = type == RX_EXEC || type == RX_RESUME ? engine_reserve(e) : RX_E_MISUSE;
        if (*error != RX_OK)
            return NULL;
        engine_bind_at(e, old, stream);
    }
    if (channel != NULL) {
        channel->opened_by = (uint8_t)type;
        channel->gated = type == RX_RESUME || type == RX_ATTACH || old != NULL;
    }
    return channel;
}

static bool opens_stream(const struct rx_engine *e, enum rx_type type, const struct rx_channel *c)
{
    return type == RX_EXEC || type == RX_RESUME || type == RX_ATTACH || type == RX_LIST ||
           type == RX_FORGET || (type == RX_SIGNAL && (c == NULL || c->owner != e));
}

enum rx_error rx_engine_request(struct rx_engine *e, enum rx_type type, const void *header,
                                size_t header_len, const void *body, size_t body_len,
                                struct rx_channel **channel)
{
    if (!rx_is_request((uint8_t)type) || e->config.role != RX_CLIENT)
        return RX_E_MISUSE;
    if (!opens_stream(e, type, *channel))
        return engine_send(e, type, 0, *channel, header, header_len, body, body_len);
    if (*channel != NULL && ((*channel)->owner != NULL || *channel == e->doomed))
        return RX_E_MISUSE; /* bound already, or about to be freed */

    uint8_t offsets[RX_OFFSETS_SIZE];
    if (type == RX_RESUME) {
        if (*channel == NULL)
            return RX_E_MISUSE;
        body = offsets;
        body_len = sizeof offsets;
    }
    bool command = type == RX_EXEC || type == RX_RESUME || type == RX_ATTACH;
    if (command && e->state == RX_SESSION_GOING)
        return RX_E_SHUTTING_DOWN;
    enum rx_error error = engine_may_send(e, rx_kind((uint8_t)type), header_len, body_len);
    if (error != RX_OK)
        return error;
    uint32_t last_stream = e->last_stream;
    struct rx_channel *old = *channel;
    struct rx_channel *fresh = open_stream(e, type, old, &error);
    if (fresh == NULL)
        return error;
    if (old != NULL) {
        struct rx_offsets at;
        rejoin(e, old, type, &at);
        if (type == RX_RESUME)
            rx_offsets_encode(&at, offsets);
    }
    error = engine_send(e, type, 0, fresh, header, header_len, body, body_len);
    if (error != RX_OK) {
        engine_unbind(e, fresh);
        e->last_stream = last_stream;
        if (fresh != old)
            rx_channel_free(fresh);
        return error;
    }
    *channel = fresh;
    return RX_OK;
}

enum rx_error rx_engine_exit_ack(struct rx_engine *e, struct rx_channel *channel)
{
    enum rx_error error = engine_send(e, RX_EXIT_ACK, 0, channel, NULL, 0, NULL, 0);
    if (error == RX_OK) {
        engine_unbind(e, channel);
        rx_channel_free(channel);
    }
    return error;
}

enum rx_error rx_engine_close(struct rx_engine *e, const void *header, size_t header_len)
{
    enum rx_error error = engine_send(e, RX_CLOSE, 0, NULL, header, header_len, NULL, 0);
    if (error == RX_OK) {
        engine_set_state(e, RX_SESSION_CLOSING);
        engine_drop_data(e);
    }
    return error;
}

/* ---- server ----------------------------------------------------------------------------- */

enum rx_error rx_engine_welcome(struct rx_engine *e, const void *header, size_t header_len)
{
    if (e->state != RX_SESSION_START && e->error == RX_OK)
        return RX_E_BAD_STATE;
    enum rx_error error = engine_send(e, RX_WELCOME, 0, NULL, header, header_len, NULL, 0);
    if (error == RX_OK)
        engine_set_state(e, RX_SESSION_OPEN);
    return error;
}

enum rx_error rx_engine_goaway(struct rx_engine *e, const void *header, size_t header_len)
{
    enum rx_error error = engine_send(e, RX_GOAWAY, 0, NULL, header, header_len, NULL, 0);
    if (error == RX_OK && e->state == RX_SESSION_OPEN)
        engine_set_state(e, RX_SESSION_GOING);
    return error;
}

/* The output's two halves, to be put back when nothing comes of an answer. */
struct outputs {
    struct rx_out out, err;
};

/* Sets the command's output to where the client of `placeholder` wants it to go on. */
static enum rx_error place_outputs(const struct rx_channel *placeholder, struct rx_channel *old)
{
    const struct rx_offsets *asked = &placeholder->asked_at;
    bool resume = placeholder->opened_by == RX_RESUME;
    bool attach = placeholder->opened_by == RX_ATTACH;
    if (resume && asked->at[RX_WHICH_STDIN] > old->halves[RX_WHICH_STDIN].in.received)
        return RX_E_DATA_LOST; /* the client no longer has what comes next */
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        struct rx_out *out = &old->halves[w].out;
        uint64_t from = resume ? asked->at[w] : attach ? out->acked : 0;
        /* Without RESUME it is the first window, or what an early ACK has made of it. */
        const struct rx_out *fresh = &placeholder->halves[w].out;
        uint32_t window = resume ? asked->window : (uint32_t)(fresh->limit - fresh->acked);
        enum rx_error error = rx_out_resume(out, from, window, resume && asked->ended[w]);
        if (error != RX_OK)
            return error;
    }
    return RX_OK;
}

/* Puts `old` in the place of the channel that the request opened. */
static void replace(struct rx_engine *e, struct rx_channel *placeholder, struct rx_channel *old)
{
    engine_unbind(e, placeholder);
    engine_bind_at(e, old, placeholder->stream);
    old->state = placeholder->state;
    old->opened_by = placeholder->opened_by;
    old->exit_due = old->exit != NULL;
    rx_channel_free(placeholder);
}

/* The answer itself, with where the command's byte streams stand. */
static enum rx_error send_start(struct rx_engine *e, enum rx_type answer, struct rx_channel *asked,
                                struct rx_channel *command, const void *header, size_t header_len)
{
    struct rx_in *in = &command->halves[RX_WHICH_STDIN].in;
    struct rx_offsets at = {
        .at = {in->received, command->halves[RX_WHICH_STDOUT].out.sent,
               command->halves[RX_WHICH_STDERR].out.sent},
        .window = command == asked ? rx_in_promise(in) : rx_in_resume(in),
        .ended = {in->last},
    };
    uint8_t body[RX_OFFSETS_SIZE];
    rx_offsets_encode(&at, body);
    return engine_send(e, answer, 0, asked, header, header_len, body, sizeof body);
}

enum rx_error rx_engine_start(struct rx_engine *e, enum rx_type answer, struct rx_channel **channel,
                              struct rx_channel *old, const void *header, size_t header_len)
{
    struct rx_channel *asked = *channel;
    if (e->config.role != RX_SERVER || asked->owner != e || (old != NULL && old->owner != NULL))
        return RX_E_MISUSE;
    bool exec = asked->opened_by == RX_EXEC;
    if ((answer == RX_STARTED) != exec || (!exec && old == NULL))
        return RX_E_MISUSE;
    if (old == NULL) {
        enum rx_error error = send_start(e, answer, asked, asked, header, header_len);
        if (error == RX_OK)
            engine_activate(e, asked);
        return error;
    }

    const struct rx_in *in = &asked->halves[RX_WHICH_STDIN].in;
    if (in->received > 0 || in->last)
        return RX_E_BAD_STATE; /* the client must wait for the answer to a request it repeats */
    struct outputs saved = {old->halves[RX_WHICH_STDOUT].out, old->halves[RX_WHICH_STDERR].out};
    enum rx_error error = place_outputs(asked, old);
    if (error == RX_OK)
        error = send_start(e, answer, asked, old, header, header_len);
    if (error != RX_OK) {
        old->halves[RX_WHICH_STDOUT].out = saved.out;
        old->halves[RX_WHICH_STDERR].out = saved.err;
        return error;
    }
    replace(e, asked, old);
    *channel = old;
    engine_activate(e, old);
    return RX_OK;
}

enum rx_error rx_engine_answer(struct rx_engine *e, enum rx_type type, struct rx_channel *channel,
                               bool last, const void *header, size_t header_len, const void *body,
                               size_t body_len)
{
    if (type != RX_REFUSED && type != RX_DONE && type != RX_LISTED)
        return RX_E_MISUSE;
    if (type != RX_REFUSED && (type == RX_LISTED) != (channel->opened_by == RX_LIST))
        return RX_E_MISUSE;
    /* What runs is taken from its stream with rx_engine_release: here it would be freed. */
    if (last && channel->state != RX_STREAM_ASKED && channel->state != RX_STREAM_ASKING)
        return RX_E_BAD_STATE;
    enum rx_error error =
        engine_send(e, type, last ? RX_FLAG_LAST : 0, channel, header, header_len, body, body_len);
    if (error == RX_OK && channel->state == RX_STREAM_CLOSED) {
        engine_unbind(e, channel);
        rx_channel_free(channel);
    }
    return error;
}

enum rx_error rx_engine_exit(struct rx_engine *e, struct rx_channel *channel, const void *header,
                             size_t header_len)
{
    if (channel->state != RX_STREAM_RUNNING || channel->exit != NULL)
        return RX_E_BAD_STATE;
    if (header_len > rx_kind(RX_EXIT)->header_max || channel->role != RX_SERVER)
        return RX_E_BAD_MESSAGE;
    static const uint8_t counts[24]; /* filled in when it is sent */
    channel->exit = control_new(RX_EXIT, 0, 0, header, header_len, counts, sizeof counts);
    if (channel->exit == NULL)
        return RX_E_NO_MEMORY;
    channel->exit_due = true;
    rx_engine_finish(e, channel, RX_WHICH_STDOUT);
    rx_engine_finish(e, channel, RX_WHICH_STDERR);
    engine_activate(e, channel);
    return RX_OK;
}

/* ---- both ------------------------------------------------------------------------------- */

enum rx_error rx_engine_ping(struct rx_engine *e, const uint8_t token[static 8])
{
    if (e->pings_sent >= RX_PINGS_MAX)
        return RX_E_FLOOD;
    enum rx_error error = engine_send(e, RX_PING, 0, NULL, NULL, 0, token, 8);
    if (error == RX_OK)
        e->pings_sent++;
    return error;
}

enum rx_error rx_engine_pong(struct rx_engine *e, const uint8_t token[static 8], uint64_t clock)
{
    if (e->pongs_queued >= e->pings_received)
        return RX_E_MISUSE;
    uint8_t body[16];
    memcpy(body, token, 8);
    rx_put64(body + 8, clock);
    enum rx_error error = engine_send(e, RX_PONG, 0, NULL, NULL, 0, body, sizeof body);
    if (error == RX_OK)
        e->pongs_queued++;
    return error;
}

enum rx_error rx_engine_release(struct rx_engine *e, struct rx_channel *channel, const void *header,
                                size_t header_len)
{
    if (channel->owner != e)
        return RX_E_MISUSE; /* closed by the last event, or not of this engine */
    enum rx_stream_state state = channel->state;
    enum rx_error error = e->direct.channel == channel ? engine_settle_direct(e) : RX_OK;
    if (error == RX_OK && header != NULL)
        error = engine_send(e, RX_REFUSED, RX_FLAG_LAST, channel, header, header_len, NULL, 0);
    if (error != RX_OK)
        return error;
    engine_unbind(e, channel);
    channel->state = state; /* the stream is closed, the command goes on */
    channel->gated = false;
    return RX_OK;
}

bool rx_engine_keep(struct rx_engine *e, const struct rx_channel *channel)
{
    if (channel == NULL || e->doomed != channel)
        return false;
    e->doomed = NULL;
    return true;
}

/* ---- data ------------------------------------------------------------------------------- */

size_t rx_engine_peek(const struct rx_engine *e, const struct rx_channel *channel,
                      enum rx_which which, const uint8_t **bytes)
{
    if (channel_sends(channel, which))
        return 0;
    if (e != NULL && e->direct.channel == channel && e->direct.which == which) {
        *bytes = e->direct.bytes;
        return e->direct.n;
    }
    return rx_in_peek(&channel->halves[which].in, bytes);
}

void rx_engine_consume(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       size_t n)
{
    struct rx_in *in = channel_in(channel, which);
    if (in == NULL)
        return;
    if (e != NULL && e->direct.channel == channel && e->direct.which == which) {
        e->direct.bytes += n;
        e->direct.n -= n;
    }
    rx_in_consume(in, n);
    if (rx_in_ack_due(in))
        engine_activate(e, channel);
}

void rx_engine_ack(struct rx_engine *e, struct rx_channel *channel, enum rx_which which)
{
    struct rx_in *in = channel_in(channel, which);
    if (in != NULL && rx_in_ack_news(in)) {
        channel->ack_now[which] = true;
        engine_activate(e, channel);
    }
}

size_t rx_engine_write_room(struct rx_channel *channel, enum rx_which which, size_t want,
                            uint8_t **room)
{
    struct rx_out *out = channel_out(channel, which);
    return out != NULL ? rx_out_room(out, want, room) : 0;
}

void rx_engine_written(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       size_t n)
{
    struct rx_out *out = channel_out(channel, which);
    if (out == NULL)
        return;
    rx_out_filled(out, n);
    engine_activate(e, channel);
}

size_t rx_engine_write(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       const void *bytes, size_t n)
{
    struct rx_out *out = channel_out(channel, which);
    if (out == NULL)
        return 0;
    n = rx_out_write(out, bytes, n);
    engine_activate(e, channel);
    return n;
}

void rx_engine_finish(struct rx_engine *e, struct rx_channel *channel, enum rx_which which)
{
    struct rx_out *out = channel_out(channel, which);
    if (out == NULL)
        return;
    rx_out_finish(out);
    engine_activate(e, channel);
}
