#include "tests/duel/station.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

/* ---- docs/PROTOCOL.md, sections 6 to 11 ------------------------------------------------- */

static const struct shape shapes[] = {
    {1, RX_S2C, false, 4096, 0, 0},       {2, RX_BOTH, false, 0, 8, 8},
    {3, RX_BOTH, false, 0, 16, 16},       {4, RX_C2S, false, 1024, 0, 0},
    {5, RX_S2C, false, 1024, 0, 0},       {6, RX_BOTH, false, 1024, 0, 0},
    {16, RX_C2S, false, 4096, 0, 192512}, {17, RX_C2S, false, 1024, 32, 32},
    {18, RX_C2S, false, 1024, 0, 0},      {19, RX_C2S, false, 1024, 0, 0},
    {20, RX_C2S, false, 1024, 0, 0},      {21, RX_C2S, false, 1024, 0, 0},
    {22, RX_C2S, false, 1024, 0, 0},      {23, RX_C2S, false, 1024, 0, 0},
    {32, RX_S2C, false, 1024, 32, 32},    {33, RX_S2C, false, 1024, 32, 32},
    {34, RX_S2C, true, 1024, 0, 0},       {35, RX_S2C, true, 1024, 0, 0},
    {36, RX_S2C, true, 4096, 0, 192512},  {37, RX_S2C, false, 4096, 24, 24},
    {48, RX_C2S, true, 0, 8, 261128},     {49, RX_S2C, true, 0, 8, 261128},
    {50, RX_S2C, true, 0, 8, 261128},     {51, RX_BOTH, false, 0, 16, 16},
    {52, RX_C2S, false, 0, 0, 0},
};

#define SAME STATE_NONE

static const struct rule rules[] = {
    {RX_WELCOME, RX_S2C, SPOT_SESSION, LAST_NO, SAME},
    {RX_PING, RX_BOTH, SPOT_SESSION, LAST_NO, SAME},
    {RX_PONG, RX_BOTH, SPOT_SESSION, LAST_NO, SAME},
    {RX_CLOSE, RX_C2S, SPOT_SESSION, LAST_NO, SAME},
    {RX_GOAWAY, RX_S2C, SPOT_SESSION, LAST_NO, SAME},
    {RX_ERROR, RX_BOTH, SPOT_SESSION, LAST_NO, SAME},

    {RX_EXEC, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKED},
    {RX_RESUME, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKED},
    {RX_ATTACH, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKED},
    {RX_LIST, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKING},
    {RX_FORGET, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKING},
    {RX_SIGNAL, RX_C2S, SPOT_IDLE, LAST_NO, RX_STREAM_ASKING},
    {RX_SIGNAL, RX_C2S, SPOTS_USED, LAST_NO, SAME},
    {RX_DETACH, RX_C2S, SPOTS_USED, LAST_NO, SAME},
    {RX_RESIZE, RX_C2S, SPOTS_USED, LAST_NO, SAME},
    {RX_STDIN, RX_C2S, SPOT_ASKED_EXEC, LAST_ANY, SAME},
    {RX_STDIN, RX_C2S, SPOTS_RUNNING | SPOT_EXITED | SPOTS_CLOSED, LAST_ANY, SAME},
    {RX_EXIT_ACK, RX_C2S, SPOT_EXITED, LAST_NO, RX_STREAM_CLOSED},
    {RX_EXIT_ACK, RX_C2S, SPOTS_CLOSED, LAST_NO, SAME},
    {RX_ACK, RX_BOTH, SPOT_ASKED_EXEC, LAST_NO, SAME},
    {RX_ACK, RX_BOTH, SPOTS_RUNNING | SPOT_EXITED | SPOTS_CLOSED, LAST_NO, SAME},

    {RX_STARTED, RX_S2C, SPOT_ASKED_EXEC, LAST_NO, RX_STREAM_RUNNING},
    {RX_RESUMED, RX_S2C, SPOT_ASKED_RESUME | SPOT_ASKED_ATTACH, LAST_NO, RX_STREAM_RUNNING},
    {RX_REFUSED, RX_S2C, SPOTS_ASKED | SPOTS_ASKING, LAST_YES, RX_STREAM_CLOSED},
    {RX_REFUSED, RX_S2C, SPOTS_RUNNING | SPOT_EXITED, LAST_YES, RX_STREAM_CLOSED},
    {RX_REFUSED, RX_S2C, SPOTS_RUNNING | SPOT_EXITED, LAST_NO, SAME},
    {RX_REFUSED, RX_S2C, SPOTS_CLOSED, LAST_ANY, SAME},
    {RX_DONE, RX_S2C, SPOT_ASKING_FORGET | SPOT_ASKING_SIGNAL, LAST_YES, RX_STREAM_CLOSED},
    {RX_DONE, RX_S2C, SPOTS_RUNNING | SPOT_EXITED, LAST_NO, SAME},
    {RX_DONE, RX_S2C, SPOTS_CLOSED, LAST_ANY, SAME},
    {RX_LISTED, RX_S2C, SPOT_ASKING_LIST, LAST_NO, SAME},
    {RX_LISTED, RX_S2C, SPOT_ASKING_LIST, LAST_YES, RX_STREAM_CLOSED},
    {RX_STDOUT, RX_S2C, SPOTS_RUNNING, LAST_ANY, SAME},
    {RX_STDERR, RX_S2C, SPOTS_RUNNING, LAST_ANY, SAME},
    {RX_EXIT, RX_S2C, SPOTS_RUNNING, LAST_NO, RX_STREAM_EXITED},
};

const struct shape *shape_at(size_t i)
{
    return i < sizeof shapes / sizeof shapes[0] ? &shapes[i] : NULL;
}

const struct shape *shape_of(uint8_t type)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (shapes[i].type == type)
            return &shapes[i];
    }
    return NULL;
}

enum rx_stream_state spot_state(enum spot spot)
{
    if ((spot & SPOTS_ASKED) != 0)
        return RX_STREAM_ASKED;
    if ((spot & SPOTS_ASKING) != 0)
        return RX_STREAM_ASKING;
    if ((spot & SPOTS_RUNNING) != 0)
        return RX_STREAM_RUNNING;
    if ((spot & SPOTS_CLOSED) != 0)
        return RX_STREAM_CLOSED;
    return spot == SPOT_EXITED ? RX_STREAM_EXITED
           : spot == SPOT_IDLE ? RX_STREAM_IDLE
                               : RX_STREAM_SESSION;
}

const char *spot_name(enum spot spot)
{
    static const char *const names[] = {
        "session",      "idle",           "asked by EXEC",   "asked by RESUME", "asked by ATTACH",
        "asking: LIST", "asking: FORGET", "asking: SIGNAL",  "running",         "resumed",
        "exited",       "closed",         "closed, refused", "closed, skipped",
    };
    size_t i = 0;
    while (i + 1 < sizeof names / sizeof names[0] && (unsigned)spot >> i > 1)
        i++;
    return names[i];
}

bool place_exists(const struct place *place)
{
    unsigned at_start = SPOT_SESSION | SPOT_IDLE;
    if (place->role == RX_CLIENT)
        at_start |= SPOTS_ASKED | SPOTS_ASKING;
    if (place->pinged && place->spot != SPOT_SESSION)
        return false;
    if (place->role == RX_CLIENT && place->spot == SPOT_SKIPPED)
        return false; /* the client chooses the numbers */
    return place->session != RX_SESSION_START || ((unsigned)place->spot & at_start) != 0;
}

/* Section 7. */
static bool session_allows(const struct place *place, uint8_t type)
{
    if (place->session == RX_SESSION_FAILED)
        return false;
    if (place->role == RX_SERVER)
        return place->session == RX_SESSION_OPEN || place->session == RX_SESSION_GOING;
    if (place->session == RX_SESSION_START)
        return type == RX_WELCOME || type == RX_ERROR;
    return type != RX_WELCOME;
}

const struct rule *place_allows(const struct place *place, uint8_t type, uint8_t flags)
{
    enum rx_direction theirs = place->role == RX_CLIENT ? RX_S2C : RX_C2S;
    if (flags > RX_FLAG_LAST || !session_allows(place, type))
        return NULL;
    if (type == RX_PONG && !place->pinged)
        return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *r = &rules[i];
        if (r->type == type && (r->directions & theirs) != 0 &&
            (r->spots & (unsigned)place->spot) != 0 && (r->last == LAST_ANY || r->last == flags))
            return r;
    }
    return NULL;
}

/* ---- a receiver ------------------------------------------------------------------------- */

static void must(bool done, const char *what)
{
    if (!done) {
        (void)fprintf(stderr, "station: %s\n", what);
        abort();
    }
}

static void hear(void *context, const struct rx_event *event)
{
    struct station *s = context;
    s->events++;
    s->heard_type = event->message.type;
    s->heard_state = STATE_NONE;
    if (event->channel == NULL)
        return;
    s->heard_state = rx_channel_state(event->channel);
    s->channel = s->heard_state == RX_STREAM_CLOSED ? NULL : event->channel;
}

enum rx_next station_tell(struct station *s, const struct forged *m)
{
    size_t n;
    const uint8_t *record = forge(&s->peer, m, &n);
    const struct listener l = {hear, s};
    return deliver(s->end.engine, record, n, &l);
}

void station_listen(struct station *s)
{
    static struct tape sent;
    sent.n = 0;
    tape_output(&sent, s->end.engine);
    s->said_count = 0;
    struct rx_seal seal = rx_sealer_seal(&s->opener);
    struct rx_record_reader reader = {0};
    uint8_t *input = sent.bytes;
    uint8_t *payload;
    size_t n = sent.n;
    size_t len;
    enum rx_error error = RX_OK;
    while (n > 0) {
        must(rx_record_next(&reader, &seal, &input, &n, &payload, &len, &error) == RX_READ_RECORD,
             "its own output cannot be opened");
        s->said_count++;
        s->said_type = payload[0];
        if (payload[0] != RX_ERROR)
            continue;
        struct rx_header h;
        must(rx_header_decode(RX_ERROR, payload + RX_MESSAGE_HEAD, rx_get16(payload + 2), &h) ==
                 RX_OK,
             "its ERROR cannot be read");
        s->said_code = (unsigned)h.notice.code;
    }
}

/* What is right for a type where its contents are looked at. */
static size_t right_body(const struct station *s, uint8_t type, uint8_t body[static 64])
{
    memset(body, 0, 64);
    switch (type) {
    case RX_ACK:
        body[0] = s->place.role == RX_SERVER ? RX_WHICH_STDOUT : RX_WHICH_STDIN;
        rx_put32(body + 4, 1U << 20);
        break;
    case RX_STARTED:
    case RX_RESUMED:
    case RX_RESUME:
        rx_put32(body + 24, 1U << 20);
        break;
    case RX_STDIN:
    case RX_STDOUT:
    case RX_STDERR:
        return 9; /* at offset 0, one byte */
    default:
        break;
    }
    const struct shape *shape = shape_of(type);
    return shape != NULL ? shape->body_min : 0;
}

struct forged station_message(const struct station *s, uint8_t type, uint8_t flags)
{
    static uint8_t body[64];
    const struct shape *shape = shape_of(type);
    bool of_session = type < 16;
    return (struct forged){.type = type,
                           .flags = flags,
                           .stream = of_session ? 0 : s->stream,
                           .header = "{}",
                           .header_len = shape != NULL && shape->header_max > 0 ? 2 : 0,
                           .body = body,
                           .body_len = right_body(s, type, body)};
}

static void tell_type(struct station *s, uint8_t type)
{
    const struct forged m = station_message(s, type, 0);
    must(station_tell(s, &m) == RX_NEXT_MORE, "a right message was refused");
}

/* ---- into a place ----------------------------------------------------------------------- */

static enum rx_type opener_of(enum spot spot)
{
    switch (spot) {
    case SPOT_ASKED_RESUME:
    case SPOT_RESUMED:
        return RX_RESUME;
    case SPOT_ASKED_ATTACH:
        return RX_ATTACH;
    case SPOT_ASKING_LIST:
        return RX_LIST;
    case SPOT_ASKING_FORGET:
        return RX_FORGET;
    case SPOT_ASKING_SIGNAL:
        return RX_SIGNAL;
    default:
        return RX_EXEC;
    }
}

static void keep_channel(void *context, const struct rx_event *event)
{
    struct rx_channel **channel = context;
    *channel = event->channel;
}

static void tell_engine(struct end *end, struct forger *peer, const struct forged *m,
                        struct rx_channel **channel)
{
    size_t n;
    const uint8_t *record = forge(peer, m, &n);
    const struct listener l = {keep_channel, channel};
    must(deliver(end->engine, record, n, &l) == RX_NEXT_MORE, "the connection before");
}

/* A command that ran on a connection before. */
static struct rx_channel *released_channel(enum rx_role role, enum rx_suite suite, struct dice *d)
{
    static const uint8_t offsets[RX_OFFSETS_SIZE] = {[RX_OFFSETS_SIZE - 7] = 16};
    static const struct forged exec = {.type = RX_EXEC, .stream = 1};
    static const struct forged welcome = {.type = RX_WELCOME};
    static const struct forged started = {
        .type = RX_STARTED, .stream = 1, .body = offsets, .body_len = sizeof offsets};
    struct rx_session_keys keys = random_keys(d, suite);
    struct rx_channel *channel = NULL;
    struct forger peer;
    struct end end;
    end_open(&end, role, &keys, NULL);
    forger_open(&peer, role == RX_CLIENT ? RX_SERVER : RX_CLIENT, &keys);
    if (role == RX_CLIENT) {
        tell_engine(&end, &peer, &welcome, &channel);
        must(end_exec(&end, 1, &channel) == RX_OK, "EXEC before");
        tell_engine(&end, &peer, &started, &channel);
    } else {
        must(end_welcome(&end) == RX_OK, "WELCOME before");
        tell_engine(&end, &peer, &exec, &channel);
        must(end_started(&end, channel) == RX_OK, "STARTED before");
    }
    must(rx_engine_release(end.engine, channel, NULL, 0) == RX_OK, "release");
    end_close(&end);
    return channel;
}

/* The request that opens the stream, on a server. Streams below are left out. */
static void server_ask(struct station *s)
{
    s->stream = 5;
    tell_type(s, (uint8_t)opener_of(s->place.spot));
}

static void server_advance(struct station *s, enum rx_suite suite, struct dice *d)
{
    struct rx_channel *old = NULL;
    if (s->place.spot == SPOT_RESUMED)
        old = released_channel(RX_SERVER, suite, d);
    if (s->place.spot == SPOT_REFUSED) {
        must(end_refuse(&s->end, s->channel, true, RX_E_NOT_PERMITTED) == RX_OK, "REFUSED");
        return;
    }
    enum rx_type answer = old != NULL ? RX_RESUMED : RX_STARTED;
    must(rx_engine_start(s->end.engine, answer, &s->channel, old, NULL, 0) == RX_OK, "start");
    if (((unsigned)s->place.spot & SPOTS_RUNNING) != 0)
        return;
    must(end_exit(&s->end, s->channel, 0) == RX_OK, "EXIT");
    station_listen(s);
    if (s->place.spot == SPOT_CLOSED)
        tell_type(s, RX_EXIT_ACK);
}

static void server_session(struct station *s)
{
    static const char header[] = "{\"code\":65,\"name\":\"shutting_down\"}";
    if (s->place.session == RX_SESSION_GOING)
        must(rx_engine_goaway(s->end.engine, header, sizeof header - 1) == RX_OK, "GOAWAY");
    if (s->place.session == RX_SESSION_CLOSING)
        tell_type(s, RX_CLOSE);
}

static void client_ask(struct station *s, enum rx_suite suite, struct dice *d)
{
    enum rx_type type = opener_of(s->place.spot);
    struct rx_channel *none = NULL;
    if (type == RX_RESUME)
        s->channel = released_channel(RX_CLIENT, suite, d);
    must(rx_engine_request(s->end.engine, RX_LIST, NULL, 0, NULL, 0, &none) == RX_OK, "LIST");
    must(rx_engine_request(s->end.engine, type, "{}", 2, NULL, 0, &s->channel) == RX_OK, "request");
    s->stream = rx_channel_stream(s->channel);
}

static void client_advance(struct station *s)
{
    if (s->place.spot == SPOT_REFUSED) {
        const struct forged m = station_message(s, RX_REFUSED, RX_FLAG_LAST);
        must(station_tell(s, &m) == RX_NEXT_MORE, "REFUSED");
        return;
    }
    tell_type(s, s->place.spot == SPOT_RESUMED ? RX_RESUMED : RX_STARTED);
    if (((unsigned)s->place.spot & SPOTS_RUNNING) != 0)
        return;
    tell_type(s, RX_EXIT);
    if (s->place.spot == SPOT_CLOSED)
        must(rx_engine_exit_ack(s->end.engine, s->channel) == RX_OK, "EXIT_ACK");
}

static void client_session(struct station *s)
{
    if (s->place.session == RX_SESSION_GOING)
        tell_type(s, RX_GOAWAY);
    if (s->place.session == RX_SESSION_CLOSING)
        must(rx_engine_close(s->end.engine, NULL, 0) == RX_OK, "CLOSE");
}

static void go_to_spot(struct station *s, enum rx_suite suite, struct dice *d)
{
    bool client = s->place.role == RX_CLIENT;
    unsigned spot = (unsigned)s->place.spot;
    s->stream = client ? 1 : 9;
    if ((spot & (SPOT_SESSION | SPOT_IDLE)) != 0)
        return;
    if (client) {
        client_ask(s, suite, d);
    } else {
        server_ask(s);
    }
    if (s->place.spot == SPOT_SKIPPED) {
        s->stream--;
    } else if ((spot & (SPOTS_ASKED | SPOTS_ASKING)) == 0 && client) {
        client_advance(s);
    } else if ((spot & (SPOTS_ASKED | SPOTS_ASKING)) == 0) {
        server_advance(s, suite, d);
    }
}

void station_open(struct station *s, const struct place *place, enum rx_suite suite, struct dice *d)
{
    bool client = place->role == RX_CLIENT;
    struct rx_session_keys keys = random_keys(d, suite);
    *s = (struct station){.place = *place};
    end_open(&s->end, place->role, &keys, NULL);
    forger_open(&s->peer, client ? RX_SERVER : RX_CLIENT, &keys);
    must(rx_sealer_init(&s->opener, suite, client ? keys.c2s : keys.s2c) == RX_OK, "opener");
    if (place->session != RX_SESSION_START) {
        if (client) {
            tell_type(s, RX_WELCOME);
        } else {
            must(end_welcome(&s->end) == RX_OK, "WELCOME");
        }
    }
    go_to_spot(s, suite, d);
    if (place->pinged)
        must(rx_engine_ping(s->end.engine, (const uint8_t *)"pingpong") == RX_OK, "PING");
    if (client) {
        client_session(s);
    } else {
        server_session(s);
    }
    if (place->session == RX_SESSION_FAILED)
        rx_engine_fail(s->end.engine, RX_E_INTERNAL, NULL, 0);
    station_listen(s);
    must(rx_engine_state(s->end.engine) == place->session, "the wrong state of the session");
    s->events = 0;
}

void station_close(struct station *s)
{
    end_close(&s->end);
}
