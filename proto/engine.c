#include "proto/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/engine_internal.h"

/* ---- life ------------------------------------------------------------------------------- */

struct rx_engine *rx_engine_new(const struct rx_engine_config *config)
{
    struct rx_engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->config = *config;
    if (e->config.max_channels == 0)
        e->config.max_channels = RX_CHANNELS_DEFAULT;
    if (e->config.max_queue == 0)
        e->config.max_queue = RX_QUEUE_DEFAULT;
    if (e->config.window == 0)
        e->config.window = RX_WINDOW_OUTPUT;
    if (e->config.window > RX_WINDOW_MAX)
        e->config.window = RX_WINDOW_MAX;
    e->config.keep = channel_keep(config->keep);
    if (e->config.chunk == 0)
        e->config.chunk = RX_CHUNK_DEFAULT;
    if (e->config.chunk > RX_DATA_MAX)
        e->config.chunk = RX_DATA_MAX;
    e->chunk = e->config.chunk;
    if (config->first_chunk > 0 && config->first_chunk < e->chunk)
        e->chunk = config->first_chunk;
    e->state = RX_SESSION_START;
    rx_request_chain_init(&e->requests, &config->mac);
    STAILQ_INIT(&e->queue);
    TAILQ_INIT(&e->active);
    return e;
}

void engine_drop_data(struct rx_engine *e)
{
    struct rx_channel *channel;
    while ((channel = TAILQ_FIRST(&e->active)) != NULL) {
        TAILQ_REMOVE(&e->active, channel, active_link);
        channel->active = false;
    }
}

void engine_drop_output(struct rx_engine *e)
{
    struct control *c;
    while ((c = STAILQ_FIRST(&e->queue)) != NULL) {
        STAILQ_REMOVE_HEAD(&e->queue, link);
        free(c);
    }
    e->queued = 0;
    engine_drop_data(e);
}

void rx_engine_free(struct rx_engine *e)
{
    if (e == NULL)
        return;
    engine_drop_output(e);
    for (size_t i = 0; i < e->channel_count; i++)
        rx_channel_free(e->channels[i]);
    rx_channel_free(e->doomed);
    free((void *)e->channels);
    rx_record_reader_clear(&e->reader);
    free(e);
}

enum rx_session_state rx_engine_state(const struct rx_engine *e)
{
    return e->state;
}

const char *rx_session_state_name(enum rx_session_state state)
{
    switch (state) {
    case RX_SESSION_START:
        return "start";
    case RX_SESSION_OPEN:
        return "open";
    case RX_SESSION_GOING:
        return "going";
    case RX_SESSION_CLOSING:
        return "closing";
    case RX_SESSION_FAILED:
        return "failed";
    }
    return "unknown";
}

enum rx_error rx_engine_error(const struct rx_engine *e)
{
    return e->error;
}

void engine_set_state(struct rx_engine *e, enum rx_session_state state)
{
    if (state == e->state)
        return;
    if (e->config.trace != NULL)
        e->config.trace(e->config.trace_context, 0, rx_session_state_name(e->state),
                        rx_session_state_name(state));
    e->state = state;
}

void engine_set_stream_state(struct rx_engine *e, struct rx_channel *channel,
                             enum rx_stream_state state)
{
    if (state == channel->state)
        return;
    if (e->config.trace != NULL)
        e->config.trace(e->config.trace_context, channel->stream,
                        rx_stream_state_name(channel->state), rx_stream_state_name(state));
    channel->state = state;
}

/* ---- channels --------------------------------------------------------------------------- */

struct rx_channel *rx_engine_channel_at(const struct rx_engine *e, size_t i)
{
    return i < e->channel_count ? e->channels[i] : NULL;
}

struct rx_channel *rx_engine_channel(const struct rx_engine *e, uint32_t stream)
{
    return engine_find(e, stream);
}

/* The place of the first channel whose stream is not below `stream`. */
static size_t place_of(const struct rx_engine *e, uint32_t stream)
{
    size_t low = 0, high = e->channel_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->channels[middle]->stream < stream)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct rx_channel *engine_find(const struct rx_engine *e, uint32_t stream)
{
    size_t i = place_of(e, stream);
    if (i < e->channel_count && e->channels[i]->stream == stream)
        return e->channels[i];
    return NULL;
}

enum rx_error engine_reserve(struct rx_engine *e)
{
    if (e->channel_count >= e->config.max_channels)
        return RX_E_LIMIT_REACHED;
    if (e->channel_count < e->channel_cap)
        return RX_OK;
    size_t cap = e->channel_cap > 0 ? e->channel_cap * 2 : 4;
    struct rx_channel **p = realloc((void *)e->channels, cap * sizeof *p);
    if (p == NULL)
        return RX_E_NO_MEMORY;
    e->channels = p;
    e->channel_cap = cap;
    return RX_OK;
}

void engine_bind_at(struct rx_engine *e, struct rx_channel *channel, uint32_t stream)
{
    size_t i = place_of(e, stream);
    memmove((void *)(e->channels + i + 1), (void *)(e->channels + i),
            (e->channel_count - i) * sizeof *e->channels);
    e->channels[i] = channel;
    e->channel_count++;
    channel->owner = e;
    channel->stream = stream;
    channel->active = false;
    if (stream > e->last_stream)
        e->last_stream = stream;
}

struct rx_channel *engine_bind_new(struct rx_engine *e, uint32_t stream, enum rx_error *error)
{
    *error = engine_reserve(e);
    if (*error != RX_OK)
        return NULL;
    struct rx_channel *channel = channel_new(e->config.role, e->config.keep, e->config.window);
    if (channel == NULL) {
        *error = RX_E_NO_MEMORY;
        return NULL;
    }
    engine_bind_at(e, channel, stream);
    return channel;
}

void engine_unbind(struct rx_engine *e, struct rx_channel *channel)
{
    size_t i = place_of(e, channel->stream);
    e->channel_count--;
    memmove((void *)(e->channels + i), (void *)(e->channels + i + 1),
            (e->channel_count - i) * sizeof *e->channels);
    if (channel->active) {
        TAILQ_REMOVE(&e->active, channel, active_link);
        channel->active = false;
    }
    if (e->direct.channel == channel)
        e->direct = (struct direct){0};
    channel->owner = NULL;
}

/* Whether this side has said CLOSE: it sends nothing behind it. */
static bool said_close(const struct rx_engine *e)
{
    return e->state == RX_SESSION_CLOSING && e->config.role == RX_CLIENT;
}

void engine_activate(struct rx_engine *e, struct rx_channel *channel)
{
    if (e == NULL || channel->owner != e || channel->active || e->error != RX_OK || said_close(e) ||
        !channel_has_output(channel))
        return;
    TAILQ_INSERT_TAIL(&e->active, channel, active_link);
    channel->active = true;
}

/* ---- queueing messages ------------------------------------------------------------------ */

struct control *control_new(enum rx_type type, uint8_t flags, uint32_t stream, const void *header,
                            size_t header_len, const void *body, size_t body_len)
{
    size_t len = RX_MESSAGE_HEAD + header_len + body_len;
    struct control *c =
        malloc(sizeof *c + len + (rx_is_request((uint8_t)type) ? RX_REQUEST_TRAILER : 0));
    if (c == NULL)
        return NULL;
    c->len = len;
    rx_message_head(c->bytes, (uint8_t)type, flags, header_len, stream);
    if (header_len > 0)
        memcpy(c->bytes + RX_MESSAGE_HEAD, header, header_len);
    if (body_len > 0)
        memcpy(c->bytes + RX_MESSAGE_HEAD + header_len, body, body_len);
    return c;
}

static void enqueue(struct rx_engine *e, struct control *c)
{
    STAILQ_INSERT_TAIL(&e->queue, c, link);
    e->queued += c->len;
}

enum rx_error engine_may_send(const struct rx_engine *e, const struct rx_kind *kind,
                              size_t header_len, size_t body_len)
{
    enum rx_direction ours = e->config.role == RX_CLIENT ? RX_C2S : RX_S2C;
    if (e->error != RX_OK)
        return e->error;
    if (said_close(e))
        return RX_E_BAD_STATE;
    if (e->state == RX_SESSION_START && e->config.role == RX_SERVER && kind->number != RX_WELCOME)
        return RX_E_BAD_STATE;
    if ((kind->directions & ours) == 0 || header_len > kind->header_max ||
        body_len < kind->body_min || body_len > kind->body_max)
        return RX_E_BAD_MESSAGE;
    if (e->queued >= e->config.max_queue)
        return RX_E_FLOOD;
    return RX_OK;
}

enum rx_error engine_send(struct rx_engine *e, enum rx_type type, uint8_t flags,
                          struct rx_channel *channel, const void *header, size_t header_len,
                          const void *body, size_t body_len)
{
    const struct rx_kind *kind = rx_kind((uint8_t)type);
    if ((channel == NULL) != (kind->states == RX_STREAM_SESSION) ||
        (channel != NULL && channel->owner != e))
        return RX_E_MISUSE;
    enum rx_error error = engine_may_send(e, kind, header_len, body_len);
    enum rx_stream_state next = RX_STREAM_SESSION;
    if (error == RX_OK && channel != NULL)
        error = rx_stream_next_state(channel->state, kind, flags, &next);
    if (error != RX_OK)
        return error;
    struct control *c = control_new(type, flags, channel != NULL ? channel->stream : 0, header,
                                    header_len, body, body_len);
    if (c == NULL)
        return RX_E_NO_MEMORY;
    if (rx_is_request((uint8_t)type)) {
        error = rx_request_sign(&e->requests, c->bytes, c->len);
        if (error != RX_OK) {
            free(c);
            return error;
        }
        c->len += RX_REQUEST_TRAILER;
    }
    enqueue(e, c);
    if (channel != NULL)
        engine_set_stream_state(e, channel, next);
    return RX_OK;
}

/* ---- errors ----------------------------------------------------------------------------- */

void rx_engine_fail(struct rx_engine *e, enum rx_error error, const void *header, size_t header_len)
{
    if (e->error != RX_OK)
        return;
    if (said_close(e))
        header = NULL; /* that stands, and is the last that is said */
    else
        engine_drop_output(e);
    if (header != NULL && header_len <= rx_kind(RX_ERROR)->header_max) {
        struct control *c = control_new(RX_ERROR, 0, 0, header, header_len, NULL, 0);
        if (c != NULL)
            enqueue(e, c);
    }
    e->error = error;
    engine_set_state(e, RX_SESSION_FAILED);
}

void engine_set_error(struct rx_engine *e, enum rx_error error)
{
    char header[512];
    int n = snprintf(header, sizeof header, "{\"code\":%u,\"name\":\"%s\",\"text\":\"%s\"}",
                     (unsigned)error, rx_error_name(error), rx_error_text(error));
    bool wire = rx_error_class(error) == RX_CLASS_SESSION && n > 0 && (size_t)n < sizeof header;
    rx_engine_fail(e, error, wire ? header : NULL, wire ? (size_t)n : 0);
}
