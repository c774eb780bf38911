/*
 * A channel: one command as the two ends see it on the wire: its three byte streams, where the
 * stream's state machine stands, and its EXIT until that is acknowledged. A channel is bound to an
 * engine under a stream number; when the connection is lost it can be released and bound to another
 * one.
 */
#ifndef REXEC_PROTO_CHANNEL_H
#define REXEC_PROTO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/message.h"
#include "proto/stream.h"

struct rx_channel;

/* A command's byte streams, as the wire numbers them. */
enum rx_which { RX_WHICH_STDIN = 0, RX_WHICH_STDOUT = 1, RX_WHICH_STDERR = 2, RX_WHICH_COUNT = 3 };

/* Where the byte streams of a command stand: body of STARTED, RESUMED and RESUME. */
struct rx_offsets {
    uint64_t at[RX_WHICH_COUNT];
    uint32_t window;
    bool ended[RX_WHICH_COUNT]; /* its LAST was received by the sender of this */
};

/* The stream's number on its connection. */
uint32_t rx_channel_stream(const struct rx_channel *channel);

enum rx_stream_state rx_channel_state(const struct rx_channel *channel);

/* Something of the caller's that belongs to the channel; NULL at first. */
void rx_channel_set_user(struct rx_channel *channel, void *user);
void *rx_channel_user(const struct rx_channel *channel);

/*
 * The half of a byte stream that this side has: on a client stdin is sent and the others are
 * received, on a server the other way round. NULL for the half it does not have. For looking
 * (offsets, fullness); changes go through the engine.
 */
const struct rx_out *rx_channel_out(const struct rx_channel *channel, enum rx_which which);
const struct rx_in *rx_channel_in(const struct rx_channel *channel, enum rx_which which);

/*
 * A server's channel of a command whose connection was lost before the command was started: it
 * runs, and waits to be bound by rx_engine_start. keep and window as in rx_engine_config, window
 * not 0. NULL: no memory.
 */
struct rx_channel *rx_channel_new_running(size_t keep, uint32_t window);

/* Frees a channel that was released; NULL is fine. One that is bound belongs to its engine. */
void rx_channel_free(struct rx_channel *channel);

/*
 * What a message makes of its stream's state, whichever side sends it: *next, or RX_E_BAD_STATE if
 * the message is not legal there (with these flags). The only place that knows the state machine of
 * docs/PROTOCOL.md, "Commands".
 */
enum rx_error rx_stream_next_state(enum rx_stream_state state, const struct rx_kind *kind,
                                   uint8_t flags, enum rx_stream_state *next);

/* The 32 bytes of an offsets body. decode: RX_E_BAD_BODY for bits that must be zero, a window
 * beyond RX_WINDOW_MAX, or an offset that leaves no room for one below 2^64. */
void rx_offsets_encode(const struct rx_offsets *offsets, uint8_t out[static RX_OFFSETS_SIZE]);
enum rx_error rx_offsets_decode(const uint8_t in[static RX_OFFSETS_SIZE],
                                struct rx_offsets *offsets);

#endif
