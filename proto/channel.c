#include "proto/channel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/engine_internal.h"

uint32_t rx_channel_stream(const struct rx_channel *channel)
{
    return channel->stream;
}

enum rx_stream_state rx_channel_state(const struct rx_channel *channel)
{
    return channel->state;
}

void rx_channel_set_user(struct rx_channel *channel, void *user)
{
    channel->user = user;
}

void *rx_channel_user(const struct rx_channel *channel)
{
    return channel->user;
}

bool channel_sends(const struct rx_channel *channel, enum rx_which which)
{
    return (channel->role == RX_CLIENT) == (which == RX_WHICH_STDIN);
}

struct rx_out *channel_out(struct rx_channel *channel, enum rx_which which)
{
    return channel_sends(channel, which) ? &channel->halves[which].out : NULL;
}

struct rx_in *channel_in(struct rx_channel *channel, enum rx_which which)
{
    return channel_sends(channel, which) ? NULL : &channel->halves[which].in;
}

const struct rx_out *rx_channel_out(const struct rx_channel *channel, enum rx_which which)
{
    return channel_sends(channel, which) ? &channel->halves[which].out : NULL;
}

const struct rx_in *rx_channel_in(const struct rx_channel *channel, enum rx_which which)
{
    return channel_sends(channel, which) ? NULL : &channel->halves[which].in;
}

size_t channel_keep(size_t wanted)
{
    size_t keep = RX_KEEP_MIN;
    while (keep < wanted && keep < RX_KEEP_MAX)
        keep *= 2;
    return keep;
}

struct rx_channel *channel_new(enum rx_role role, size_t keep, uint32_t window)
{
    struct rx_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return NULL;
    channel->role = role;
    channel->state = RX_STREAM_IDLE;
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
        uint32_t first = w == RX_WHICH_STDIN ? RX_WINDOW_STDIN : RX_WINDOW_OUTPUT;
        if (channel_sends(channel, w))
            rx_out_init(&channel->halves[w].out, first, keep);
        else
            rx_in_init(&channel->halves[w].in, first, window);
    }
    return channel;
}

struct rx_channel *rx_channel_new_running(size_t keep, uint32_t window)
{
    struct rx_channel *channel = channel_new(RX_SERVER, channel_keep(keep), window);
    if (channel != NULL)
        channel->state = RX_STREAM_RUNNING;
    return channel;
}

void rx_channel_free(struct rx_channel *channel)
{
    if (channel == NULL)
        return;
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
        if (channel_sends(channel, w))
            rx_out_clear(&channel->halves[w].out);
        else
            rx_in_clear(&channel->halves[w].in);
    }
    free(channel->exit);
    free(channel);
}

enum rx_error rx_stream_next_state(enum rx_stream_state state, const struct rx_kind *kind,
                                   uint8_t flags, enum rx_stream_state *next)
{
    bool last = (flags & RX_FLAG_LAST) != 0;
    bool unanswered = state == RX_STREAM_ASKED || state == RX_STREAM_ASKING;
    *next = state;
    if ((kind->states & state) == 0)
        return RX_E_BAD_STATE;
    if (state == RX_STREAM_CLOSED)
        return RX_OK; /* it crossed the end on its way */
    switch (kind->number) {
    case RX_EXEC:
    case RX_RESUME:
    case RX_ATTACH:
        *next = RX_STREAM_ASKED;
        break;
    case RX_LIST:
    case RX_FORGET:
        *next = RX_STREAM_ASKING;
        break;
    case RX_SIGNAL:
        if (state == RX_STREAM_IDLE)
            *next = RX_STREAM_ASKING;
        break;
    case RX_STARTED:
    case RX_RESUMED:
        *next = RX_STREAM_RUNNING;
        break;
    case RX_REFUSED:
        if (unanswered && !last)
            return RX_E_BAD_STATE;
        if (last)
            *next = RX_STREAM_CLOSED;
        break;
    case RX_DONE:
        if (last != (state == RX_STREAM_ASKING))
            return RX_E_BAD_STATE;
        if (last)
            *next = RX_STREAM_CLOSED;
        break;
    case RX_LISTED:
        if (last)
            *next = RX_STREAM_CLOSED;
        break;
    case RX_EXIT:
        *next = RX_STREAM_EXITED;
        break;
    case RX_EXIT_ACK:
        *next = RX_STREAM_CLOSED;
        break;
    default:
        break;
    }
    return RX_OK;
}

void rx_offsets_encode(const struct rx_offsets *offsets, uint8_t out[static RX_OFFSETS_SIZE])
{
    uint32_t bits = 0;
    for (unsigned w = 0; w < RX_WHICH_COUNT; w++) {
        rx_put64(out + (size_t)8 * w, offsets->at[w]);
        if (offsets->ended[w])
            bits |= 1U << w;
    }
    rx_put32(out + 24, offsets->window);
    rx_put32(out + 28, bits);
}

enum rx_error rx_offsets_decode(const uint8_t in[static RX_OFFSETS_SIZE],
                                struct rx_offsets *offsets)
{
    uint32_t bits = rx_get32(in + 28);
    offsets->window = rx_get32(in + 24);
    if (bits > 7 || offsets->window > RX_WINDOW_MAX)
        return RX_E_BAD_BODY;
    for (unsigned w = 0; w < RX_WHICH_COUNT; w++) {
        offsets->at[w] = rx_get64(in + (size_t)8 * w);
        if (offsets->at[w] > UINT64_MAX - RX_WINDOW_MAX)
            return RX_E_BAD_BODY; /* no window would fit behind it */
        offsets->ended[w] = (bits >> w & 1U) != 0;
    }
    return RX_OK;
}
