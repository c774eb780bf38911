/*
 * proto/message.c and proto/header.c: what is taken apart lies within the payload, and a header
 * that is good can be written again and says the same; read with a space in front, which jansson
 * reads, it is what it is without.
 *
 * An input whose first byte is even is a payload as it is; else it is the type's place in the list,
 * flags, header length, and what follows them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/header.h"
#include "proto/record.h"
#include "proto/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_message.c:%d: does not hold\n", line);
    abort();
}

static void check_parts(const struct rx_message *m, const uint8_t *payload, size_t n)
{
    must(m->kind == rx_kind(m->type) && m->kind != NULL && m->raw == payload && m->raw_len == n);
    must(m->header == payload + RX_MESSAGE_HEAD && m->header_len <= m->kind->header_max);
    must(m->body == m->header + m->header_len);
    must(m->body_len >= m->kind->body_min && m->body_len <= m->kind->body_max);
    size_t trailer = rx_is_request(m->type) ? RX_REQUEST_TRAILER : 0;
    must(m->body + m->body_len + trailer == payload + n);
    must((m->stream == 0) == (m->kind->states == RX_STREAM_SESSION));
    uint8_t head[RX_MESSAGE_HEAD];
    rx_message_head(head, m->type, m->flags, m->header_len, m->stream);
    must(memcmp(head, payload, sizeof head) == 0);
}

/* The header of a good message, written and read again. */
static void check_header(enum rx_type type, const struct rx_header *h)
{
    static struct rx_header again;
    uint8_t bytes[2 * RX_HEADER_MAX];
    size_t length, second;
    must(rx_header_encode(type, h, bytes, sizeof bytes, &length) == RX_OK);
    must(rx_header_decode(type, bytes, length, &again) == RX_OK);
    /* Both were zeroed as a whole, padding too. NOLINTNEXTLINE */
    must(memcmp(&again, h, sizeof again) == 0);
    if (length > 0)
        must(rx_header_encode(type, h, bytes, length - 1, &second) == RX_E_NO_SPACE);
    must(rx_header_encode(type, h, bytes, length, &second) == RX_OK && second == length);
}

/* The header alone, spelled in a way that only jansson reads. */
static void check_spelling(const struct rx_message *m)
{
    static struct rx_header plain, spaced;
    uint8_t *text = malloc(m->header_len + 1);
    must(text != NULL);
    text[0] = ' ';
    memcpy(text + 1, m->header, m->header_len);
    enum rx_type type = (enum rx_type)m->type;
    enum rx_error error = rx_header_decode(type, m->header, m->header_len, &plain);
    must(rx_header_decode(type, text, m->header_len + 1, &spaced) == error);
    /* Both were zeroed as a whole, padding too. NOLINTNEXTLINE */
    must(error != RX_OK || memcmp(&plain, &spaced, sizeof plain) == 0);
    free(text);
}

static void check_message(const uint8_t *payload, size_t n)
{
    static struct rx_header h;
    struct rx_message m;
    for (int direction = RX_C2S; direction <= RX_S2C; direction++) {
        if (rx_message_decode(payload, n, (enum rx_direction)direction, &m) != RX_OK)
            continue;
        check_parts(&m, payload, n);
        enum rx_error error = rx_message_check(&m, &h);
        must(error == RX_OK || error == RX_E_BAD_HEADER ||
             (error == RX_E_BAD_BODY && (m.type == RX_EXEC || m.type == RX_LISTED)));
        if (m.header_len > 0)
            check_spelling(&m);
        if (error == RX_OK)
            check_header((enum rx_type)m.type, &h);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    if (data[0] % 2 == 0 || n < 5) {
        check_message(data + 1, n - 1);
        return 0;
    }
    size_t count = 1; /* the list is not empty */
    while (rx_kind_at(count) != NULL)
        count++;
    const struct rx_kind *kind = rx_kind_at(data[1] % count);
    size_t rest = n - 5, header = rx_get16(data + 3);
    header = header < rest ? header : rest;
    size_t trailer = rx_is_request(kind->number) ? RX_REQUEST_TRAILER : 0;
    size_t length = RX_MESSAGE_HEAD + rest + trailer;
    uint8_t *payload = calloc(1, length);
    must(payload != NULL);
    rx_message_head(payload, kind->number, data[2] & RX_FLAG_LAST, header,
                    kind->states == RX_STREAM_SESSION ? 0 : 1);
    memcpy(payload + RX_MESSAGE_HEAD, data + 5, rest);
    check_message(payload, length);
    free(payload);
    return 0;
}
