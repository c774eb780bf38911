/*
 * The two cures: frames that say how long they are. Pure: bytes in, messages out, whatever pieces
 * the bytes come in.
 *
 *   FRAMING_LENGTH   u32 length, big-endian | payload
 *   FRAMING_HEADER   u32 length of the header | JSON {"size": N, ...} | payload of N bytes
 */
#ifndef REXEC_LESSON_FRAME_H
#define REXEC_LESSON_FRAME_H

#include <stdint.h>

#include "rexec/buffer.h"

enum {
    FRAME_LENGTH = 4,
    FRAME_HEADER_MAX = 4096,
    FRAME_BODY_MAX = 1024 * 1024, /* more is refused before a byte of it is kept */
};

enum framing { FRAMING_LENGTH, FRAMING_HEADER };

/* Appends a message of n bytes as a frame; false: no memory, or more than FRAME_BODY_MAX. */
bool frame_add(enum framing framing, const void *bytes, size_t n, struct buffer *out);

struct frame {
    size_t head;      /* bytes before the payload */
    const char *body; /* lives until the next call */
    size_t n;
    const char *header; /* FRAMING_HEADER: the JSON */
    size_t header_n;
};

enum frame_next { FRAME_WHOLE, FRAME_MORE, FRAME_BAD };

/* Zero-initialised, apart from the framing, is empty. */
struct frame_reader {
    enum framing framing;
    struct buffer held;
    size_t used; /* of what is held: the frame that was handed out */
    bool bad;
};

/* False: no memory. */
bool frame_feed(struct frame_reader *r, const void *bytes, size_t n);
enum frame_next frame_next(struct frame_reader *r, struct frame *frame);
void frame_clear(struct frame_reader *r);

#endif
