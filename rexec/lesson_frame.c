#include "rexec/lesson_frame.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"

bool frame_add(enum framing framing, const void *bytes, size_t n, struct buffer *out)
{
    uint8_t length[FRAME_LENGTH];
    char header[64] = "";
    if (n > FRAME_BODY_MAX)
        return false;
    if (framing == FRAMING_HEADER)
        (void)snprintf(header, sizeof header, "{\"type\":\"text\",\"size\":%zu}", n);
    rx_put32(length, (uint32_t)(framing == FRAMING_HEADER ? strlen(header) : n));
    return buffer_add(out, length, sizeof length) && buffer_add(out, header, strlen(header)) &&
           buffer_add(out, bytes, n);
}

bool frame_feed(struct frame_reader *r, const void *bytes, size_t n)
{
    buffer_drop(&r->held, r->used);
    r->used = 0;
    return buffer_add(&r->held, bytes, n);
}

/* What the JSON says of the payload's size; false: it does not, or too much. */
static bool header_size(const char *header, size_t n, size_t *size)
{
    json_t *object = json_loadb(header, n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *value = json_object_get(object, "size");
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    json_decref(object);
    if (number < 0 || number > FRAME_BODY_MAX)
        return false;
    *size = (size_t)number;
    return true;
}

enum frame_next frame_next(struct frame_reader *r, struct frame *frame)
{
    if (r->bad)
        return FRAME_BAD;
    size_t left = r->held.n - r->used;
    if (left < FRAME_LENGTH)
        return FRAME_MORE;
    const char *p = r->held.bytes + r->used;
    size_t length = rx_get32((const uint8_t *)p), head = FRAME_LENGTH, body = length;
    r->bad = length > (r->framing == FRAMING_HEADER ? FRAME_HEADER_MAX : FRAME_BODY_MAX);
    if (r->bad)
        return FRAME_BAD;
    if (r->framing == FRAMING_HEADER) {
        head += length;
        if (left < head)
            return FRAME_MORE;
        r->bad = !header_size(p + FRAME_LENGTH, length, &body);
        if (r->bad)
            return FRAME_BAD;
    }
    if (left - head < body)
        return FRAME_MORE;
    *frame = (struct frame){head, p + head, body, p + FRAME_LENGTH, head - FRAME_LENGTH};
    r->used += head + body;
    return FRAME_WHOLE;
}

void frame_clear(struct frame_reader *r)
{
    buffer_clear(&r->held);
    *r = (struct frame_reader){.framing = r->framing};
}
