/*
 * What the engine's own files share; nobody else includes it. engine.c: life, channels, sending of
 * messages; engine_input.c: records to events; engine_output.c: messages and data to records.
 */
#ifndef REXEC_PROTO_ENGINE_INTERNAL_H
#define REXEC_PROTO_ENGINE_INTERNAL_H

#include <sys/queue.h>

#include "proto/engine.h"

/* A message that waits to be sealed: its payload as it will be. */
struct control {
    STAILQ_ENTRY(control) link;
    size_t len;
    uint8_t bytes[];
};

/* One byte stream; which half is used follows from the role. */
union half {
    struct rx_out out;
    struct rx_in in;
};

struct rx_channel {
    TAILQ_ENTRY(rx_channel) active_link; /* in the engine's `active` if `active` is set */
    union half halves[RX_WHICH_COUNT];
    struct control *exit;       /* server: EXIT, kept until it is acknowledged */
    struct rx_offsets asked_at; /* server: what RESUME named, until it is answered */
    void *user;
    const struct rx_engine *owner; /* the engine that it is bound to; NULL: it is the caller's */
    uint32_t stream;
    enum rx_stream_state state;
    enum rx_role role;
    uint8_t opened_by; /* the type of the request that opened the stream */
    uint8_t turn;      /* which byte stream is first at the next turn */
    bool active;       /* has something to send */
    bool gated;        /* client: no data until the answer says from where */
    bool exit_due;     /* server: EXIT is to be sent when all data is */
    bool ack_now[RX_WHICH_COUNT];
};

/* Received bytes that are still in the caller's input, offered through rx_engine_peek. */
struct direct {
    struct rx_channel *channel;
    enum rx_which which;
    const uint8_t *bytes;
    size_t n;
};

struct rx_engine {
    struct rx_engine_config config;
    enum rx_session_state state;
    enum rx_error error;
    struct rx_request_chain requests; /* client */

    uint8_t *input; /* what was fed and not used */
    size_t input_len;
    struct rx_record_reader reader;
    struct direct direct;
    struct rx_channel *doomed; /* closed by the last event: freed at the next call */

    STAILQ_HEAD(, control) queue;
    size_t queued; /* bytes in it */
    size_t chunk;  /* of the next record with data */
    TAILQ_HEAD(, rx_channel) active;

    struct rx_channel **channels; /* by rising stream number */
    size_t channel_count, channel_cap;
    uint32_t last_stream;
    bool welcomed;           /* client: WELCOME has come */
    unsigned pings_sent;     /* without their PONG */
    unsigned pings_received; /* whose PONG has not left yet */
    unsigned pongs_queued;   /* of those */
};

/* A new channel in state idle, for no stream yet; keep is a channel_keep. NULL: no memory. */
struct rx_channel *channel_new(enum rx_role role, size_t keep, uint32_t window);

/* A size that a stream can keep: at least `wanted` as far as that is possible, a power of two. */
size_t channel_keep(size_t wanted);

/* Whether this side sends, or receives, the byte stream. */
bool channel_sends(const struct rx_channel *channel, enum rx_which which);

struct rx_out *channel_out(struct rx_channel *channel, enum rx_which which);
struct rx_in *channel_in(struct rx_channel *channel, enum rx_which which);

/* Makes room for one channel more. RX_E_LIMIT_REACHED, RX_E_NO_MEMORY. */
enum rx_error engine_reserve(struct rx_engine *e);

/* Binds a channel that is in no engine under a number that is free. The place must be reserved. */
void engine_bind_at(struct rx_engine *e, struct rx_channel *channel, uint32_t stream);

/* Forgets all that waits to be sent; or the data alone, and its ACKs. */
void engine_drop_output(struct rx_engine *e);
void engine_drop_data(struct rx_engine *e);

/* A new channel bound to `stream`, in state idle; NULL: no memory or too many (*error says). */
struct rx_channel *engine_bind_new(struct rx_engine *e, uint32_t stream, enum rx_error *error);

/* The bound channel of a stream, or NULL. */
struct rx_channel *engine_find(const struct rx_engine *e, uint32_t stream);

/* Takes the channel out of the engine; it is the caller's. */
void engine_unbind(struct rx_engine *e, struct rx_channel *channel);

/* The one setter of each state. */
void engine_set_state(struct rx_engine *e, enum rx_session_state state);
void engine_set_stream_state(struct rx_engine *e, struct rx_channel *channel,
                             enum rx_stream_state state);

/* Puts the channel in the active list if it is bound and has something to send. */
void engine_activate(struct rx_engine *e, struct rx_channel *channel);

/* Whether the channel's next turn would send anything. */
bool channel_has_output(struct rx_channel *channel);

/* Keeps what of the offered bytes was not consumed. */
enum rx_error engine_settle_direct(struct rx_engine *e);

/* A message with its head, and room for a trailer if its type has one. NULL: no memory. */
struct control *control_new(enum rx_type type, uint8_t flags, uint32_t stream, const void *header,
                            size_t header_len, const void *body, size_t body_len);

/* What can be said before anything is built: the session's state, the type's bounds, the queue's.
 */
enum rx_error engine_may_send(const struct rx_engine *e, const struct rx_kind *kind,
                              size_t header_len, size_t body_len);

/* Queues a message of the session (channel NULL), or one on a bound channel's stream, whose state
 * it advances. RX_E_MISUSE if the channel is not bound here. */
enum rx_error engine_send(struct rx_engine *e, enum rx_type type, uint8_t flags,
                          struct rx_channel *channel, const void *header, size_t header_len,
                          const void *body, size_t body_len);

/* The first error counts; an error that the peer shall hear of goes out as ERROR. */
void engine_set_error(struct rx_engine *e, enum rx_error error);

#endif
