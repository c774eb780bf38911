/*
 * Messages: what a record's payload holds. The layout and what each type may carry
 * (docs/PROTOCOL.md, "Messages"); the list is proto/message.def. Knows nothing of what a message
 * means: that is the engine's.
 */
#ifndef REXEC_PROTO_MESSAGE_H
#define REXEC_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum {
    RX_MESSAGE_HEAD = 8,         /* type, flags, header length, stream */
    RX_DATA_OFFSET = 8,          /* the offset at the head of a data message's body */
    RX_DATA_MAX = 255 * 1024,    /* bytes of one data message */
    RX_REQUEST_TRAILER = 8 + 32, /* sequence, mac */
    RX_OFFSETS_SIZE = 32,        /* body of STARTED, RESUMED, RESUME */
    RX_WORDS_MAX = 188 * 1024,   /* body of EXEC, LISTED */
    RX_HEADER_MAX = 4096,        /* the longest header of any type */
    RX_FLAG_LAST = 0x01,
};

enum rx_type {
#define X(number, NAME, direction, flags, header_max, body_min, body_max, states)                  \
    RX_##NAME = (number),
#include "proto/message.def"
#undef X
};

enum rx_direction {
    RX_C2S = 1,
    RX_S2C = 2,
    RX_BOTH = RX_C2S | RX_S2C,
};

/* States of a stream, as bits, so that a type can name the set in which it is legal. */
enum rx_stream_state {
    RX_STREAM_IDLE = 1 << 0,    /* a number higher than all used so far */
    RX_STREAM_ASKED = 1 << 1,   /* EXEC, RESUME or ATTACH, no answer yet */
    RX_STREAM_ASKING = 1 << 2,  /* LIST, FORGET or SIGNAL of its own, no answer yet */
    RX_STREAM_RUNNING = 1 << 3, /* STARTED or RESUMED */
    RX_STREAM_EXITED = 1 << 4,  /* EXIT */
    RX_STREAM_CLOSED = 1 << 5,  /* used and over */
    RX_STREAM_SESSION = 1 << 6, /* not a stream: messages of the session */
};

/* What the list says of one type. */
struct rx_kind {
    uint8_t number;
    const char *name;
    unsigned directions; /* enum rx_direction bits */
    uint8_t flags;       /* flag bits it may have */
    uint16_t header_max;
    uint32_t body_min, body_max;
    unsigned states; /* enum rx_stream_state bits */
};

/* A message taken apart; the pointers are into the payload that was given. */
struct rx_message {
    const struct rx_kind *kind;
    uint8_t type, flags;
    uint32_t stream;
    const uint8_t *header;
    size_t header_len;
    const uint8_t *body; /* without the trailer */
    size_t body_len;
    const uint8_t *raw; /* the whole payload, with the trailer */
    size_t raw_len;
};

/* The type's entry, or NULL for a number that is not in the list. Static. */
const struct rx_kind *rx_kind(uint8_t type);

/* The i-th entry of the list (from 0), or NULL behind its end: for tables and tests. */
const struct rx_kind *rx_kind_at(size_t i);

/* The state's name ("running") for logs and texts. Static. */
const char *rx_stream_state_name(enum rx_stream_state state);

/* Whether the type is a request: it carries a trailer and is proven on its own. */
static inline bool rx_is_request(uint8_t type)
{
    return type >= 16 && type <= 23;
}

/* Whether the type carries bytes of stdin, stdout or stderr. */
static inline bool rx_is_data(uint8_t type)
{
    return type == RX_STDIN || type == RX_STDOUT || type == RX_STDERR;
}

/*
 * Takes a payload of n bytes apart, as received from the side that sends in `direction`. Checks all
 * that the list says except the stream's state: type, direction, flags, stream 0 or not, sizes.
 * Returns RX_OK, or RX_E_BAD_MESSAGE and leaves *m undefined.
 */
enum rx_error rx_message_decode(const uint8_t *payload, size_t n, enum rx_direction direction,
                                struct rx_message *m);

/* Writes the first 8 bytes of a message. header_len must be within the type's bound. */
void rx_message_head(uint8_t out[static RX_MESSAGE_HEAD], uint8_t type, uint8_t flags,
                     size_t header_len, uint32_t stream);

#endif
