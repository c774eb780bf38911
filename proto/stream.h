/*
 * Byte streams with absolute offsets: the sender's and the receiver's half of one of a command's
 * stdin, stdout, stderr (docs/PROTOCOL.md, "Byte streams"). Flow control and going on after a lost
 * connection are one mechanism: the sender keeps what is not acknowledged and goes on from
 * the offset that the receiver names.
 */
#ifndef REXEC_PROTO_STREAM_H
#define REXEC_PROTO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/ring.h"

enum {
    RX_WINDOW_STDIN = 64 * 1024,      /* first window of stdin */
    RX_WINDOW_OUTPUT = 256 * 1024,    /* first window of stdout and of stderr */
    RX_WINDOW_MAX = 16 * 1024 * 1024, /* greatest window */
    RX_ACK_AT_LEAST = 128 * 1024,     /* consumed bytes after which an ACK is due */
    RX_KEEP_MIN = 256 * 1024,         /* least a sender keeps, so that it never waits for an ACK
                                         that is not due */
    RX_KEEP_MAX = RX_WINDOW_MAX,      /* more is never of use */
};

/* ---- the sending half ------------------------------------------------------------------- */

/* acked <= sent <= acked + ring.used; sent <= limit. */
struct rx_out {
    struct rx_ring ring; /* what is not acknowledged, from offset `acked` on */
    uint64_t acked;
    uint64_t sent;
    uint64_t limit; /* the first offset that may not be sent */
    size_t keep;    /* most bytes kept; a power of two */
    bool last;      /* nothing more will be written */
    bool last_sent;
};

/* A stream at offset 0 with the given first window, that keeps at most `keep` bytes: a power of
 * two, and at least RX_KEEP_MIN or the greatest window to be expected. */
void rx_out_init(struct rx_out *out, uint32_t window, size_t keep);

/* Offset behind the last byte written. */
uint64_t rx_out_end(const struct rx_out *out);

/*
 * Room to read a file descriptor into: *room and its size, when `want` bytes are hoped for. 0 when
 * nothing may be written now: `keep` is reached (wait for an ACK), the stream has ended, or no
 * memory (rx_out_full tells).
 */
size_t rx_out_room(struct rx_out *out, size_t want, uint8_t **room);
void rx_out_filled(struct rx_out *out, size_t n);

/* Whether `keep` bytes are waiting to be sent or acknowledged. */
bool rx_out_full(const struct rx_out *out);

/* Copies up to n bytes in; returns how many fitted. */
size_t rx_out_write(struct rx_out *out, const uint8_t *bytes, size_t n);

/* Ends the stream behind what was written. */
void rx_out_finish(struct rx_out *out);

/* Whether bytes, or the end, can be sent now. */
bool rx_out_sendable(const struct rx_out *out);

/* Whether all that was written was sent (not: acknowledged). */
bool rx_out_all_sent(const struct rx_out *out);

/*
 * The next bytes to send, at most `max` in one piece, from offset out->sent: *bytes
 * (RX_RING_HEADROOM bytes before them are writable, but belong to the stream: whoever writes there
 * puts them back) and how many; *last whether the stream ends behind them. With 0 bytes and *last
 * the end alone is due. rx_out_advance then counts them as sent.
 */
size_t rx_out_next(const struct rx_out *out, size_t max, uint8_t **bytes, bool *last);
void rx_out_advance(struct rx_out *out, size_t n, bool last);

/* An ACK: drops what is before `offset`, and allows up to offset + window. RX_E_BAD_OFFSET if it
 * goes back, exceeds what was sent, or lowers the limit, or if the window is beyond RX_WINDOW_MAX.
 */
enum rx_error rx_out_ack(struct rx_out *out, uint64_t offset, uint32_t window);

/*
 * Goes on from `offset`, over a new connection: what was sent from there on is sent again.
 * last_received: the other side has had the end. RX_E_DATA_LOST if the bytes are no longer (or not
 * yet) there, or the end is said to be received but was not sent.
 */
enum rx_error rx_out_resume(struct rx_out *out, uint64_t offset, uint32_t window,
                            bool last_received);

/* Frees all. */
void rx_out_clear(struct rx_out *out);

/* ---- the receiving half ----------------------------------------------------------------- */

/* consumed <= received <= limit. */
struct rx_in {
    struct rx_ring ring; /* received and not consumed; without the newest, see rx_in_accept */
    uint64_t consumed;
    uint64_t received;
    uint64_t limit;    /* promised: the sender may send up to here */
    uint64_t ack_sent; /* `consumed` as last told */
    uint32_t window;   /* how far beyond `consumed` the next promise goes */
    bool last;         /* the end was received */
};

/* A stream at offset 0; `first` is the protocol's first window, `window` (at least 1, at most
 * RX_WINDOW_MAX) what is promised from then on. */
void rx_in_init(struct rx_in *in, uint32_t first, uint32_t window);

/*
 * Checks and counts n bytes at `offset`, perhaps the last: RX_E_BAD_OFFSET, RX_E_WINDOW_EXCEEDED,
 * or RX_E_BAD_STATE behind the end. The bytes are not kept: the caller offers them to whom they are
 * for, and gives what was not taken to rx_in_keep.
 */
enum rx_error rx_in_accept(struct rx_in *in, uint64_t offset, size_t n, bool last);

/* Keeps n bytes, the newest received, until they are consumed. RX_E_NO_MEMORY: none is kept. */
enum rx_error rx_in_keep(struct rx_in *in, const uint8_t *bytes, size_t n);

/* The newest n bytes (at least 1), and the end, count as not received: they could not be kept, and
 * shall come again over another connection. */
void rx_in_unaccept(struct rx_in *in, size_t n);

/* The oldest kept bytes: *bytes and how many in one piece. */
size_t rx_in_peek(const struct rx_in *in, const uint8_t **bytes);

/* Counts n bytes as consumed; drops them from what is kept, if they were kept. */
void rx_in_consume(struct rx_in *in, size_t n);

/* All received was consumed, and the end too. */
bool rx_in_done(const struct rx_in *in);

/* Whether an ACK must be sent: since the last one, RX_ACK_AT_LEAST bytes were consumed, or half of
 * the window that it gave. */
bool rx_in_ack_due(const struct rx_in *in);

/* Whether an ACK would say anything new at all. */
bool rx_in_ack_news(const struct rx_in *in);

/* The ACK to send now: counts it as sent. */
void rx_in_ack(struct rx_in *in, uint64_t *offset, uint32_t *window);

/* Promises as much as the window allows; returns the window to name beside in->received. */
uint32_t rx_in_promise(struct rx_in *in);

/* The same on a new connection, where the promises and ACKs of the old one no longer count. */
uint32_t rx_in_resume(struct rx_in *in);

/* ATTACH: a new stream begins at `offset`, with nothing received before it. */
void rx_in_start_at(struct rx_in *in, uint64_t offset);

/* Frees all. */
void rx_in_clear(struct rx_in *in);

#endif
