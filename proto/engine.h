/*
 * The engine: one end of a connection behind its handshake, without any I/O. Bytes that came are
 * fed in and taken out as events; messages and data are put in and taken out as bytes to send. The
 * same engine serves client and server. It reads no clock, draws no randomness, never blocks, and
 * holds no more memory than its configuration says; after an error it says the same error for ever.
 *
 * A loop around it:
 *   input:  n = read(fd, buf);  rx_engine_feed(e, buf, n);
 *           while (rx_engine_next(e, &event) == RX_NEXT_EVENT) act on event;
 *   output: n = rx_engine_output(e, buf, cap);  write(fd, buf, n);
 */
#ifndef REXEC_PROTO_ENGINE_H
#define REXEC_PROTO_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/channel.h"
#include "proto/error.h"
#include "proto/message.h"
#include "proto/record.h"
#include "proto/request.h"

struct rx_engine;

enum rx_role { RX_CLIENT, RX_SERVER };

enum rx_session_state {
    RX_SESSION_START,   /* WELCOME not yet sent or received */
    RX_SESSION_OPEN,    /* everything goes */
    RX_SESSION_GOING,   /* GOAWAY: nothing new */
    RX_SESSION_CLOSING, /* CLOSE: the client wants nothing more */
    RX_SESSION_FAILED,  /* a fatal error; rx_engine_error says which */
};

enum {
    RX_CHANNELS_DEFAULT = 1024,
    RX_QUEUE_DEFAULT = 4 * 1024 * 1024,
    RX_CHUNK_DEFAULT = 64 * 1024,
    RX_FIRST_CHUNK = 4 * 1024, /* a good one */
    RX_PINGS_MAX = 16,
    /* Output buffers of at least this size always take at least one record. */
    RX_OUTPUT_MIN = RX_RECORD_LENGTH + RX_RECORD_MAX,
};

/* Zero means the default where one is named. */
struct rx_engine_config {
    enum rx_role role;
    struct rx_seal seal; /* for what is sent */
    struct rx_seal open; /* for what is received */
    struct rx_mac mac;   /* client: proves its requests; server: unused, they are passed on */
    size_t max_channels; /* bound at once; a peer that opens more fails the session */
    size_t max_queue;    /* bytes of messages (not data) waiting to be sent */
    uint32_t window;     /* promised to each byte stream received, at most RX_WINDOW_MAX;
                            0: RX_WINDOW_OUTPUT */
    size_t keep;         /* bytes kept of each byte stream sent, at least RX_KEEP_MIN; rounded up to
                            a power of two */
    size_t chunk;        /* bytes of data in one record at most */
    size_t first_chunk;  /* of the first record with data: each may have twice as many as the one
                            before, as far as `chunk`. A record counts when all of it has come, so
                            that one that is lost again and again gets on in small ones. 0: chunk */
    /* Told of each change of state, if not NULL: stream 0 is the session itself. */
    void (*trace)(void *context, uint32_t stream, const char *from, const char *to);
    void *trace_context;
};

/* An event: one message that came, checked and entered. Pointers live until the next call on the
 * engine. */
struct rx_event {
    struct rx_message message;
    struct rx_channel *channel; /* NULL: the session's, or its stream is closed */
    enum rx_which which;        /* data and ACK: which byte stream */
    struct rx_offsets offsets;  /* STARTED, RESUMED, RESUME */
};

enum rx_next {
    RX_NEXT_EVENT, /* *event is filled in */
    RX_NEXT_MORE,  /* all that was fed is used up */
    RX_NEXT_ERROR, /* rx_engine_error says which; what was queued to say it is still to be sent */
};

/* ---- life ------------------------------------------------------------------------------- */

/* A new engine; the config is copied, seals and mac must outlive it. NULL: no memory. */
struct rx_engine *rx_engine_new(const struct rx_engine_config *config);

/* Frees it and the channels bound to it; NULL is fine. */
void rx_engine_free(struct rx_engine *e);

enum rx_session_state rx_engine_state(const struct rx_engine *e);
const char *rx_session_state_name(enum rx_session_state state);

/* The first fatal error, RX_OK while there is none. */
enum rx_error rx_engine_error(const struct rx_engine *e);

/* The channel bound to a stream number, or NULL. */
struct rx_channel *rx_engine_channel(const struct rx_engine *e, uint32_t stream);

/* The i-th bound channel in the order of stream numbers, or NULL behind the last. */
struct rx_channel *rx_engine_channel_at(const struct rx_engine *e, size_t i);

/* ---- input ------------------------------------------------------------------------------ */

/*
 * Gives n bytes that came. They are opened in place, so the buffer is written to, and it must stay
 * until rx_engine_next has said MORE or ERROR; only then may the next be fed.
 */
void rx_engine_feed(struct rx_engine *e, uint8_t *bytes, size_t n);

/*
 * Instead of feeding: room for the rest of a record that has come in part, so that a (vectored)
 * read puts it where it belongs, without a copy. 0: there is none. The n bytes read there count
 * with rx_engine_filled; rx_engine_feed may follow with what was read behind them.
 */
size_t rx_engine_room(struct rx_engine *e, uint8_t **room);
void rx_engine_filled(struct rx_engine *e, size_t n);

/* The next event out of what was fed. */
enum rx_next rx_engine_next(struct rx_engine *e, struct rx_event *event);

/* The connection has ended: RX_OK, or RX_E_CLOSED_EARLY in the middle of a record, or the engine's
 * error. */
enum rx_error rx_engine_eof(const struct rx_engine *e);

/* ---- output ----------------------------------------------------------------------------- */

/* Whether rx_engine_output would write anything. */
bool rx_engine_pending(const struct rx_engine *e);

/* Bytes of messages (not data) waiting: a caller stops reading when they grow. */
size_t rx_engine_queued(const struct rx_engine *e);

/*
 * Seals as many records as fit into `cap` bytes at `out` and returns how many bytes that is. They
 * must be sent, in order, all. Messages go before data; channels take turns, record by record. 0:
 * nothing to send, or an error (rx_engine_error), or cap below RX_OUTPUT_MIN and the next record
 * larger.
 */
size_t rx_engine_output(struct rx_engine *e, uint8_t *out, size_t cap);

/* ---- data ------------------------------------------------------------------------------- */

/* In this part, and for rx_engine_exit, the engine is NULL for a channel that was released: its
 * bytes still come and go at this end, and wait there for the next engine. */

/* Received bytes of a byte stream: *bytes and how many in one piece; 0: none. */
size_t rx_engine_peek(const struct rx_engine *e, const struct rx_channel *channel,
                      enum rx_which which, const uint8_t **bytes);

/* n of the bytes that peek gave were used: they are dropped, and acknowledged in time. */
void rx_engine_consume(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       size_t n);

/* Acknowledges what was consumed now, if that says anything new. */
void rx_engine_ack(struct rx_engine *e, struct rx_channel *channel, enum rx_which which);

/* Room for bytes to send, to read a descriptor into: as rx_out_room. */
size_t rx_engine_write_room(struct rx_channel *channel, enum rx_which which, size_t want,
                            uint8_t **room);
void rx_engine_written(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       size_t n);

/* Copies bytes to send; returns how many of n were taken. */
size_t rx_engine_write(struct rx_engine *e, struct rx_channel *channel, enum rx_which which,
                       const void *bytes, size_t n);

/* Ends the byte stream behind what was written. */
void rx_engine_finish(struct rx_engine *e, struct rx_channel *channel, enum rx_which which);

/*
 * Takes a channel that the last event has closed: it is the caller's, with the bytes that were
 * received and not consumed, and would otherwise be freed by the next call. False if it is not that
 * one.
 */
bool rx_engine_keep(struct rx_engine *e, const struct rx_channel *channel);

/* ---- messages: client ------------------------------------------------------------------- */

/*
 * Sends a request (EXEC ... FORGET) with a JSON header (NULL, 0: none) and a body. On a new stream
 * if *channel is NULL: it gets the channel. With a channel that was released, EXEC and RESUME bind
 * it to a new stream, and it sends no stdin until the answer says where to go on; RESUME's body is
 * made from it (body NULL). With a bound one, SIGNAL, RESIZE and DETACH go to its stream; all else
 * is RX_E_MISUSE. RX_E_BAD_MESSAGE (bounds), RX_E_BAD_STATE, RX_E_SHUTTING_DOWN (GOAWAY has come),
 * RX_E_FLOOD (too much waiting: send first), RX_E_STREAMS_EXHAUSTED, RX_E_LIMIT_REACHED (channels),
 * RX_E_NO_MEMORY, RX_E_CRYPTO_FAILED, or the engine's error; nothing was sent then, and a released
 * channel stays the caller's.
 */
enum rx_error rx_engine_request(struct rx_engine *e, enum rx_type type, const void *header,
                                size_t header_len, const void *body, size_t body_len,
                                struct rx_channel **channel);

/* Acknowledges EXIT: the server forgets the command, and the channel is freed. */
enum rx_error rx_engine_exit_ack(struct rx_engine *e, struct rx_channel *channel);

/* Says CLOSE: nothing is wanted any more. */
enum rx_error rx_engine_close(struct rx_engine *e, const void *header, size_t header_len);

/* ---- messages: server ------------------------------------------------------------------- */

enum rx_error rx_engine_welcome(struct rx_engine *e, const void *header, size_t header_len);
enum rx_error rx_engine_goaway(struct rx_engine *e, const void *header, size_t header_len);

/*
 * Answers EXEC, RESUME or ATTACH on `channel` with STARTED or RESUMED. `old`, if not NULL, is the
 * released channel of the command that is meant: it takes the stream over and *channel is set to
 * it; its output goes on from where the client asked (EXEC: from 0; ATTACH: from the oldest byte
 * kept), and its EXIT comes again. RX_E_DATA_LOST if it does not have those bytes: then nothing has
 * changed.
 */
enum rx_error rx_engine_start(struct rx_engine *e, enum rx_type answer, struct rx_channel **channel,
                              struct rx_channel *old, const void *header, size_t header_len);

/* REFUSED, DONE, LISTED: with `last` where the stream ends with it, unanswered until now; the
 * channel is then freed. RX_E_BAD_STATE for `last` on a stream whose command runs. */
enum rx_error rx_engine_answer(struct rx_engine *e, enum rx_type type, struct rx_channel *channel,
                               bool last, const void *header, size_t header_len, const void *body,
                               size_t body_len);

/* The command is over: EXIT goes out behind all that was written; counts are added here. */
enum rx_error rx_engine_exit(struct rx_engine *e, struct rx_channel *channel, const void *header,
                             size_t header_len);

/* ---- messages: both --------------------------------------------------------------------- */

/* RX_E_FLOOD: RX_PINGS_MAX are unanswered. */
enum rx_error rx_engine_ping(struct rx_engine *e, const uint8_t token[static 8]);

/* Answers the event of a PING; clock in nanoseconds since 1970, 0: none. RX_E_MISUSE: each PING has
 * its answer. */
enum rx_error rx_engine_pong(struct rx_engine *e, const uint8_t token[static 8], uint64_t clock);

/*
 * Fails the session for a reason of the caller's: drops all that waits, sends ERROR with this
 * header, and nothing more; where CLOSE was said, that stays the last. The first error counts.
 */
void rx_engine_fail(struct rx_engine *e, enum rx_error error, const void *header,
                    size_t header_len);

/*
 * Unbinds a channel and makes it the caller's, to be bound again by another engine or freed; its
 * command's state stays. A
 * header, if there is one, is sent as REFUSED+LAST on its stream (the server's word that it was
 * taken over). Bytes that were received and not consumed stay in the channel. RX_E_NO_MEMORY if
 * those could not be kept: the channel is then still bound. RX_E_MISUSE if it is not bound here.
 */
enum rx_error rx_engine_release(struct rx_engine *e, struct rx_channel *channel, const void *header,
                                size_t header_len);

#endif
