#include "proto/message.h"

#include "proto/bytes.h"

/* The list's words, short there for its table's sake. */
#define C2S RX_C2S
#define S2C RX_S2C
#define BOTH RX_BOTH
#define LAST RX_FLAG_LAST
#define SESSION RX_STREAM_SESSION
#define IDLE RX_STREAM_IDLE
#define ASKED RX_STREAM_ASKED
#define ASKING RX_STREAM_ASKING
#define RUNNING RX_STREAM_RUNNING
#define EXITED RX_STREAM_EXITED
#define CLOSED RX_STREAM_CLOSED

static const struct rx_kind kinds[] = {
#define X(number, NAME, direction, flags, header_max, body_min, body_max, states)                  \
    {(number), #NAME, (direction), (flags), (header_max), (body_min), (body_max), (states)},
#include "proto/message.def"
#undef X
};

enum kind_place {
#define X(number, NAME, direction, flags, header_max, body_min, body_max, states) PLACE_##NAME,
#include "proto/message.def"
#undef X
    KIND_COUNT
};

/* By number: the place in kinds, plus 1; 0 where there is no such type. */
static const uint8_t places[] = {
#define X(number, NAME, direction, flags, header_max, body_min, body_max, states)                  \
    [(number)] = PLACE_##NAME + 1,
#include "proto/message.def"
#undef X
};

const struct rx_kind *rx_kind(uint8_t type)
{
    if (type >= sizeof places || places[type] == 0)
        return NULL;
    return &kinds[places[type] - 1];
}

const struct rx_kind *rx_kind_at(size_t i)
{
    return i < KIND_COUNT ? &kinds[i] : NULL;
}

const char *rx_stream_state_name(enum rx_stream_state state)
{
    switch (state) {
    case RX_STREAM_IDLE:
        return "idle";
    case RX_STREAM_ASKED:
        return "asked";
    case RX_STREAM_ASKING:
        return "asking";
    case RX_STREAM_RUNNING:
        return "running";
    case RX_STREAM_EXITED:
        return "exited";
    case RX_STREAM_CLOSED:
        return "closed";
    case RX_STREAM_SESSION:
        return "session";
    }
    return "unknown";
}

enum rx_error rx_message_decode(const uint8_t *payload, size_t n, enum rx_direction direction,
                                struct rx_message *m)
{
    if (n < RX_MESSAGE_HEAD)
        return RX_E_BAD_MESSAGE;
    const struct rx_kind *kind = rx_kind(payload[0]);
    if (kind == NULL || (kind->directions & direction) == 0)
        return RX_E_BAD_MESSAGE;
    uint8_t flags = payload[1];
    size_t header_len = rx_get16(payload + 2);
    uint32_t stream = rx_get32(payload + 4);
    if ((flags & ~kind->flags) != 0 || header_len > kind->header_max)
        return RX_E_BAD_MESSAGE;
    if ((stream == 0) != (kind->states == RX_STREAM_SESSION))
        return RX_E_BAD_MESSAGE;

    size_t around = RX_MESSAGE_HEAD + header_len;
    if (rx_is_request(kind->number))
        around += RX_REQUEST_TRAILER;
    if (n < around || n - around < kind->body_min || n - around > kind->body_max)
        return RX_E_BAD_MESSAGE;

    *m = (struct rx_message){
        .kind = kind,
        .type = kind->number,
        .flags = flags,
        .stream = stream,
        .header = payload + RX_MESSAGE_HEAD,
        .header_len = header_len,
        .body = payload + RX_MESSAGE_HEAD + header_len,
        .body_len = n - around,
        .raw = payload,
        .raw_len = n,
    };
    return RX_OK;
}

void rx_message_head(uint8_t out[static RX_MESSAGE_HEAD], uint8_t type, uint8_t flags,
                     size_t header_len, uint32_t stream)
{
    out[0] = type;
    out[1] = flags;
    rx_put16(out + 2, (uint16_t)header_len);
    rx_put32(out + 4, stream);
}
