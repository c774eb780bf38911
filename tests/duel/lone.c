#include "tests/duel/lone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum { HEARD_ROOM = 2 * RX_OUTPUT_MIN };

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "lone: %s\n", what);
        abort();
    }
}

/* ---- life ------------------------------------------------------------------------------- */

void lone_begin(struct lone *l, enum rx_role role, const struct rx_engine_config *config)
{
    *l = (struct lone){.role = role, .sequence = 1};
    struct rx_engine_config c = config != NULL ? *config : (struct rx_engine_config){.role = role};
    c.role = role;
    c.seal = toy_seal(&l->engine_out);
    c.open = toy_seal(&l->engine_in);
    c.mac = toy_mac(&l->mac);
    l->engine = rx_engine_new(&c);
    l->said = malloc(RX_OUTPUT_MIN);
    l->heard = malloc(HEARD_ROOM);
    must(l->engine != NULL && l->said != NULL && l->heard != NULL, "no memory");
}

void lone_open(struct lone *l, enum rx_role role, const struct rx_engine_config *config)
{
    lone_begin(l, role, config);
    if (role == RX_CLIENT) {
        must(lone_say(l, RX_WELCOME, 0, 0, NULL, NULL, 0) == RX_OK, "WELCOME refused");
    } else {
        must(rx_engine_welcome(l->engine, NULL, 0) == RX_OK, "WELCOME not sent");
        must(lone_hears(l, RX_WELCOME, 0), "WELCOME not heard");
    }
}

void lone_close(struct lone *l)
{
    rx_engine_free(l->engine);
    free(l->said);
    free(l->heard);
    *l = (struct lone){0};
}

/* ---- saying ----------------------------------------------------------------------------- */

enum rx_error lone_settle(struct lone *l)
{
    struct rx_event none;
    switch (rx_engine_next(l->engine, &none)) {
    case RX_NEXT_MORE:
        return RX_OK;
    case RX_NEXT_ERROR:
        return rx_engine_error(l->engine);
    case RX_NEXT_EVENT:
        break;
    }
    must(false, "two events of one message");
    return RX_E_INTERNAL;
}

enum rx_error lone_say_payload(struct lone *l, const uint8_t *payload, size_t n)
{
    enum rx_error error = lone_settle(l);
    if (error != RX_OK)
        return error;
    struct rx_seal seal = toy_seal(&l->peer_out);
    size_t written;
    must(rx_record_seal(&seal, payload, n, l->said, &written) == RX_OK, "payload's size");
    rx_engine_feed(l->engine, l->said, written);
    switch (rx_engine_next(l->engine, &l->event)) {
    case RX_NEXT_EVENT:
        return RX_OK;
    case RX_NEXT_ERROR:
        error = rx_engine_error(l->engine);
        break;
    case RX_NEXT_MORE:
        error = RX_E_INTERNAL;
        break;
    }
    must(error != RX_OK && error != RX_E_INTERNAL, "no event, and no error");
    return error;
}

enum rx_error lone_say(struct lone *l, unsigned type, unsigned flags, uint32_t stream,
                       const char *header, const void *body, size_t n)
{
    static uint8_t payload[RX_RECORD_MAX];
    size_t header_len = header != NULL ? strlen(header) : 0;
    size_t len = RX_MESSAGE_HEAD + header_len + n;
    must(len + RX_REQUEST_TRAILER <= sizeof payload, "message too long");
    rx_message_head(payload, (uint8_t)type, (uint8_t)flags, header_len, stream);
    if (header_len > 0)
        memcpy(payload + RX_MESSAGE_HEAD, header, header_len);
    if (n > 0)
        memcpy(payload + RX_MESSAGE_HEAD + header_len, body, n);
    if (rx_is_request((uint8_t)type)) {
        struct rx_mac mac = toy_mac(&l->mac);
        rx_put64(payload + len, l->sequence++);
        must(mac.sign(mac.context, payload, len + 8, payload + len + 8) == RX_OK, "mac");
        len += RX_REQUEST_TRAILER;
    }
    if (stream > l->stream)
        l->stream = stream;
    return lone_say_payload(l, payload, len);
}

enum rx_error lone_say_data(struct lone *l, unsigned type, unsigned flags, uint32_t stream,
                            uint64_t offset, const void *bytes, size_t n)
{
    static uint8_t body[RX_DATA_OFFSET + RX_DATA_MAX];
    must(n <= RX_DATA_MAX, "data too long");
    rx_put64(body, offset);
    if (bytes != NULL && n > 0)
        memcpy(body + RX_DATA_OFFSET, bytes, n);
    return lone_say(l, type, flags, stream, NULL, body, RX_DATA_OFFSET + n);
}

enum rx_error lone_say_ack(struct lone *l, uint32_t stream, unsigned which, uint64_t offset,
                           uint32_t window)
{
    uint8_t body[16] = {(uint8_t)which};
    rx_put32(body + 4, window);
    rx_put64(body + 8, offset);
    return lone_say(l, RX_ACK, 0, stream, NULL, body, sizeof body);
}

enum rx_error lone_say_offsets(struct lone *l, unsigned type, uint32_t stream,
                               const struct rx_offsets *offsets)
{
    uint8_t body[RX_OFFSETS_SIZE];
    rx_offsets_encode(offsets, body);
    return lone_say(l, type, 0, stream, NULL, body, sizeof body);
}

enum rx_error lone_say_exit(struct lone *l, uint32_t stream, uint64_t in, uint64_t out,
                            uint64_t err)
{
    uint8_t body[24];
    rx_put64(body, in);
    rx_put64(body + 8, out);
    rx_put64(body + 16, err);
    return lone_say(l, RX_EXIT, 0, stream, NULL, body, sizeof body);
}

/* ---- hearing ---------------------------------------------------------------------------- */

bool lone_hear(struct lone *l, struct rx_message *m)
{
    if (l->heard_at == l->heard_len) {
        l->heard_at = 0;
        l->heard_len = rx_engine_output(l->engine, l->heard, HEARD_ROOM);
        if (l->heard_len == 0)
            return false;
    }
    struct rx_record_reader reader = {0};
    struct rx_seal open = toy_seal(&l->peer_in);
    uint8_t *input = l->heard + l->heard_at, *payload;
    size_t left = l->heard_len - l->heard_at, n;
    enum rx_error error = RX_OK;
    must(rx_record_next(&reader, &open, &input, &left, &payload, &n, &error) == RX_READ_RECORD,
         "output that is no record");
    l->heard_at = l->heard_len - left;
    enum rx_direction direction = l->role == RX_CLIENT ? RX_C2S : RX_S2C;
    must(rx_message_decode(payload, n, direction, m) == RX_OK, "output that is no message");
    return true;
}

bool lone_hears(struct lone *l, unsigned type, uint32_t stream)
{
    struct rx_message m;
    return lone_hear(l, &m) && m.type == type && m.stream == stream;
}

size_t lone_hear_all(struct lone *l)
{
    struct rx_message m;
    size_t n = 0;
    while (lone_hear(l, &m))
        n++;
    return n;
}

/* ---- commands --------------------------------------------------------------------------- */

struct rx_channel *lone_asked(struct lone *l)
{
    struct rx_channel *channel = NULL;
    if (l->role == RX_SERVER) {
        must(lone_say(l, RX_EXEC, 0, ++l->stream, NULL, NULL, 0) == RX_OK, "EXEC refused");
        return l->event.channel;
    }
    must(rx_engine_request(l->engine, RX_EXEC, NULL, 0, NULL, 0, &channel) == RX_OK,
         "EXEC not sent");
    l->stream = rx_channel_stream(channel);
    must(lone_hears(l, RX_EXEC, l->stream), "EXEC not heard");
    return channel;
}

struct rx_channel *lone_running(struct lone *l)
{
    struct rx_channel *channel = lone_asked(l);
    if (l->role == RX_SERVER) {
        must(rx_engine_start(l->engine, RX_STARTED, &channel, NULL, NULL, 0) == RX_OK,
             "STARTED not sent");
        must(lone_hears(l, RX_STARTED, rx_channel_stream(channel)), "STARTED not heard");
        return channel;
    }
    const struct rx_offsets offsets = {.window = RX_WINDOW_STDIN};
    must(lone_say_offsets(l, RX_STARTED, l->stream, &offsets) == RX_OK, "STARTED refused");
    return channel;
}
