/*
 * proto/engine*.c: an engine of either role, told anything by the other side and asked anything by
 * its caller, in any order. Seals are plain, so an input is the messages themselves. Whatever
 * happens: bytes come out once, in order and within the window, what came in is given on as it was,
 * memory stays bounded, lists agree with each other, and an error is the end.
 *
 * The first byte selects role and windows; each byte behind it is a step, the steps take what they
 * need from what follows.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/engine_internal.h"
#include "tests/duel/toy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STREAMS = 64, RELEASED = 4, CHANNELS = 12, QUEUE = 4096, DATA_MOST = 100000 };

/* What the other side has seen of a stream. */
struct seen {
    uint32_t stream;
    bool begun[RX_WHICH_COUNT], ended[RX_WHICH_COUNT], exited;
    uint64_t next[RX_WHICH_COUNT];                         /* of data */
    uint64_t acked[RX_WHICH_COUNT], limit[RX_WHICH_COUNT]; /* by ACKs */
};

struct fuzz {
    const uint8_t *data;
    size_t n;
    struct rx_engine *e;
    struct toy_seal seals[3]; /* engine out, engine in, peer out */
    struct toy_mac mac;
    struct rx_channel *released[RELEASED];
    struct seen seen[STREAMS];
    size_t streams;
    uint64_t requests; /* heard */
    bool over;         /* CLOSE or ERROR was heard */
};

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_engine.c:%d: does not hold\n", line);
    abort();
}

/* ---- the input -------------------------------------------------------------------------- */

static uint8_t take8(struct fuzz *f)
{
    if (f->n == 0)
        return 0;
    f->n--;
    return *f->data++;
}

static uint32_t take16(struct fuzz *f)
{
    uint32_t high = take8(f);
    return high << 8 | take8(f);
}

/* Byte of a stream at an offset, whoever sends it. */
static uint8_t byte_at(enum rx_which which, uint64_t offset)
{
    return (uint8_t)(offset * 31 + (unsigned)which + (offset >> 8));
}

/* A bound channel, or NULL. */
static struct rx_channel *pick(struct fuzz *f)
{
    size_t count = f->e->channel_count;
    uint8_t which = take8(f);
    return count > 0 ? rx_engine_channel_at(f->e, which % count) : NULL;
}

/* What was written before ATTACH was answered moves to another offset. */
static bool attached(const struct rx_channel *channel)
{
    return rx_channel_user(channel) != NULL;
}

/* ---- what must hold --------------------------------------------------------------------- */

static void check_channel(const struct rx_engine *e, struct rx_channel *channel)
{
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
        const struct rx_out *out = rx_channel_out(channel, w);
        const struct rx_in *in = rx_channel_in(channel, w);
        must((out == NULL) != (in == NULL));
        if (out != NULL) {
            must(out->acked <= out->sent && out->sent <= rx_out_end(out));
            must(out->sent <= out->limit && out->limit - out->acked <= 2U * RX_WINDOW_MAX);
            must(out->ring.used <= out->ring.cap && out->ring.cap <= e->config.keep);
        } else {
            size_t direct = e->direct.channel == channel && e->direct.which == w ? e->direct.n : 0;
            must(in->consumed <= in->received && in->received <= in->limit);
            must(in->ack_sent <= in->consumed);
            must(in->received - in->consumed == in->ring.used + direct);
            must(in->ring.used <= in->ring.cap && in->ring.cap <= 2 * RX_WINDOW_OUTPUT);
        }
    }
}

static void check(struct fuzz *f)
{
    struct rx_engine *e = f->e;
    struct rx_channel *channel;
    must((e->error != RX_OK) == (e->state == RX_SESSION_FAILED));
    must(e->channel_count <= e->config.max_channels && e->channel_count <= e->channel_cap);
    for (size_t i = 0; i < e->channel_count; i++) {
        channel = e->channels[i];
        must(channel->owner == e && channel->stream <= e->last_stream);
        must(i == 0 || e->channels[i - 1]->stream < channel->stream);
        must(channel->state != RX_STREAM_CLOSED);
        check_channel(e, channel);
    }
    size_t active = 0, queued = 0;
    TAILQ_FOREACH(channel, &e->active, active_link)
    {
        must(channel->active && channel->owner == e);
        active++;
    }
    must(active <= e->channel_count && (active == 0 || e->error == RX_OK));
    const struct control *c;
    STAILQ_FOREACH(c, &e->queue, link)
    queued += c->len;
    must(queued == e->queued && queued <= QUEUE + RX_PAYLOAD_MAX);
    must(e->pings_sent <= RX_PINGS_MAX && e->pings_received <= RX_PINGS_MAX);
    must(e->pongs_queued <= e->pings_received);
    must(e->reader.held_cap <= 2 * e->reader.held_len + 4096);
    for (size_t i = 0; i < RELEASED; i++) {
        must(f->released[i] == NULL || (f->released[i]->owner == NULL && !f->released[i]->active));
        if (f->released[i] != NULL)
            check_channel(e, f->released[i]);
    }
}

/* ---- what comes out --------------------------------------------------------------------- */

static struct seen *seen_of(struct fuzz *f, uint32_t stream)
{
    for (size_t i = 0; i < f->streams; i++)
        if (f->seen[i].stream == stream)
            return &f->seen[i];
    if (f->streams == STREAMS)
        return NULL;
    f->seen[f->streams] = (struct seen){.stream = stream};
    return &f->seen[f->streams++];
}

static void hear_data(struct fuzz *f, const struct rx_message *m, struct seen *s)
{
    enum rx_which w = m->type - RX_STDIN;
    uint64_t offset = rx_get64(m->body);
    size_t n = m->body_len - RX_DATA_OFFSET;
    const struct rx_channel *channel = rx_engine_channel(f->e, m->stream);
    must(channel != NULL && rx_channel_out(channel, w) != NULL);
    must(offset + n <= rx_channel_out(channel, w)->limit && n <= f->e->config.chunk);
    must(!s->exited && !s->ended[w] && (!s->begun[w] || s->next[w] == offset));
    for (size_t i = 0; i < n && !attached(channel); i++)
        must(m->body[RX_DATA_OFFSET + i] == byte_at(w, offset + i));
    s->begun[w] = true;
    s->next[w] = offset + n;
    s->ended[w] = (m->flags & RX_FLAG_LAST) != 0;
    must(n > 0 || s->ended[w]);
}

static void hear_ack(struct fuzz *f, const struct rx_message *m, struct seen *s)
{
    unsigned w = m->body[0];
    uint64_t offset = rx_get64(m->body + 8), window = rx_get32(m->body + 4);
    const struct rx_channel *channel = rx_engine_channel(f->e, m->stream);
    must(w < RX_WHICH_COUNT && channel != NULL);
    const struct rx_in *in = rx_channel_in(channel, (enum rx_which)w);
    must(in != NULL && offset <= in->received && window <= RX_WINDOW_MAX);
    must(offset >= s->acked[w] && offset + window >= s->limit[w]);
    must(offset + window <= in->limit);
    s->acked[w] = offset;
    s->limit[w] = offset + window;
}

static void hear(struct fuzz *f, const uint8_t *payload, size_t n)
{
    struct rx_message m;
    bool client = f->e->config.role == RX_CLIENT;
    must(rx_message_decode(payload, n, client ? RX_C2S : RX_S2C, &m) == RX_OK);
    must(!f->over);
    f->over = m.type == RX_ERROR || m.type == RX_CLOSE;
    if (rx_is_request(m.type))
        must(rx_get64(m.raw + m.raw_len - RX_REQUEST_TRAILER) == ++f->requests);
    struct seen *s = m.stream != 0 ? seen_of(f, m.stream) : NULL;
    if (s == NULL)
        return;
    if (rx_is_data(m.type)) {
        hear_data(f, &m, s);
    } else if (m.type == RX_ACK) {
        hear_ack(f, &m, s);
    } else if (m.type == RX_EXIT) {
        for (unsigned w = 1; w < RX_WHICH_COUNT; w++)
            must(!s->begun[w] || rx_get64(m.body + (size_t)8 * w) == s->next[w]);
        must(!s->exited);
        s->exited = true;
    }
}

static void output(struct fuzz *f)
{
    static const size_t caps[] = {RX_OUTPUT_MIN, 2 * RX_OUTPUT_MIN, 40, 60, 100, 500, 5000, 20000};
    size_t cap = caps[take8(f) % 8], at = 0;
    uint8_t *out = malloc(cap);
    must(out != NULL);
    bool pending = rx_engine_pending(f->e);
    size_t n = rx_engine_output(f->e, out, cap);
    must(n <= cap && (pending || n == 0));
    while (at < n) {
        size_t length = rx_get32(out + at);
        must(n - at >= RX_RECORD_LENGTH + length);
        hear(f, out + at + RX_RECORD_LENGTH, length - TOY_TAG);
        at += RX_RECORD_LENGTH + length;
    }
    free(out);
}

/* ---- what the caller does --------------------------------------------------------------- */

static void consume(struct fuzz *f, struct rx_channel *channel, enum rx_which w)
{
    const uint8_t *bytes = NULL;
    size_t n = rx_engine_peek(f->e, channel, w, &bytes);
    if (n == 0)
        return;
    uint64_t offset = rx_channel_in(channel, w)->consumed;
    for (size_t i = 0; i < n; i++)
        must(bytes[i] == byte_at(w, offset + i));
    uint8_t part = take8(f);
    rx_engine_consume(f->e, channel, w, part == 255 ? n : n * part / 255);
}

static void write_bytes(struct fuzz *f, struct rx_channel *channel, enum rx_which w)
{
    uint8_t *room = NULL;
    size_t n = (size_t)take16(f) * 4;
    size_t space = rx_engine_write_room(channel, w, n, &room);
    n = n < space ? n : space;
    if (n == 0)
        return;
    uint64_t offset = rx_out_end(rx_channel_out(channel, w));
    for (size_t i = 0; i < n; i++)
        room[i] = byte_at(w, offset + i);
    rx_engine_written(f->e, channel, w, n);
}

static void use(struct fuzz *f, struct rx_channel *channel)
{
    uint8_t what = take8(f);
    enum rx_which w = what / 8 % RX_WHICH_COUNT;
    if (channel == NULL)
        return;
    switch (what % 8) {
    case 0:
        rx_engine_ack(f->e, channel, w);
        break;
    case 1:
        rx_engine_finish(f->e, channel, w);
        break;
    case 2:
    case 3:
    case 4:
        write_bytes(f, channel, w);
        break;
    default:
        consume(f, channel, w);
        break;
    }
}

static void take_back(struct fuzz *f, struct rx_channel *channel)
{
    size_t i = take8(f);
    bool says = i / RELEASED % 4 == 0;
    struct rx_channel **place = &f->released[i % RELEASED];
    if (channel == NULL || channel->state == RX_STREAM_IDLE || channel->state == RX_STREAM_ASKING ||
        rx_engine_release(f->e, channel, says ? "{}" : NULL, says ? 2 : 0) != RX_OK)
        return;
    rx_channel_free(*place);
    *place = channel;
}

static void client_asks(struct fuzz *f)
{
    static const enum rx_type types[] = {RX_EXEC,   RX_RESUME, RX_ATTACH, RX_DETACH,
                                         RX_SIGNAL, RX_RESIZE, RX_LIST,   RX_FORGET};
    enum rx_type type = types[take8(f) % 8];
    uint8_t where = take8(f);
    struct rx_channel **place = &f->released[where % RELEASED];
    struct rx_channel *channel = where < 100 ? NULL : where < 180 ? *place : pick(f);
    struct rx_channel *before = channel;
    if (rx_engine_request(f->e, type, "{}", where % 2 * 2U, NULL, 0, &channel) != RX_OK) {
        must(channel == before);
        return;
    }
    if (before != NULL && before == *place)
        *place = NULL;
    if (type == RX_ATTACH)
        rx_channel_set_user(channel, f);
}

static void server_answers(struct fuzz *f)
{
    static const enum rx_type types[] = {RX_REFUSED, RX_DONE, RX_LISTED, RX_EXEC};
    struct rx_channel *channel = pick(f), *asked = channel;
    uint8_t what = take8(f);
    struct rx_channel **place = &f->released[what / 8 % RELEASED];
    if (channel == NULL)
        return;
    if (what % 8 < 4) {
        struct rx_channel *old = what >= 128 ? *place : NULL;
        enum rx_type answer = channel->opened_by == RX_EXEC ? RX_STARTED : RX_RESUMED;
        if (rx_engine_start(f->e, answer, &channel, old, NULL, 0) != RX_OK)
            must(channel == asked);
        else if (old != NULL)
            *place = NULL;
    } else if (what % 8 == 4) {
        (void)rx_engine_exit(f->e, channel, "{}", 2);
    } else {
        (void)rx_engine_answer(f->e, types[what % 8 - 5], channel, what >= 128, NULL, 0, NULL, 0);
    }
}

static void session(struct fuzz *f)
{
    static const uint8_t token[8];
    switch (take8(f) % 16) {
    case 0:
        (void)rx_engine_close(f->e, NULL, 0);
        break;
    case 1:
        (void)rx_engine_goaway(f->e, "{}", 2);
        break;
    case 2:
        rx_engine_fail(f->e, RX_E_IDLE_TIMEOUT, "{}", 2);
        break;
    case 3:
    case 4:
    case 5:
        (void)rx_engine_ping(f->e, token);
        break;
    case 6:
        (void)rx_engine_welcome(f->e, NULL, 0);
        break;
    default:
        (void)rx_engine_pong(f->e, token, 0);
        break;
    }
}

static void act(struct fuzz *f, uint8_t step)
{
    switch (step % 8) {
    case 0:
        session(f);
        break;
    case 1:
    case 2:
        if (f->e->config.role == RX_CLIENT)
            client_asks(f);
        else
            server_answers(f);
        break;
    case 3:
        if (step < 64)
            take_back(f, pick(f));
        else if (step < 128)
            (void)rx_engine_exit_ack(f->e, rx_engine_channel_at(f->e, 0));
        break;
    case 4:
    case 5:
        output(f);
        break;
    default:
        use(f, pick(f));
        break;
    }
}

/* ---- what the other side says ----------------------------------------------------------- */

static void take_events(struct fuzz *f)
{
    struct rx_event event;
    enum rx_next next;
    while ((next = rx_engine_next(f->e, &event)) == RX_NEXT_EVENT) {
        check(f);
        uint8_t what = take8(f);
        if (event.channel != NULL && event.channel->owner == f->e && what % 2 != 0)
            use(f, event.channel);
        if (what % 16 == 8)
            act(f, take8(f));
        check(f);
    }
    must((next == RX_NEXT_ERROR) == (rx_engine_error(f->e) != RX_OK));
    must(rx_engine_next(f->e, &event) == next);
}

/* A record for this payload, whole, in two pieces, or the second one to the reader's room. */
static void say(struct fuzz *f, const uint8_t *payload, size_t n)
{
    uint8_t how = take8(f);
    struct rx_seal seal = toy_seal(&f->seals[2]);
    size_t length = 0, cut = RX_RECORD_LENGTH + n + TOY_TAG;
    uint8_t *record = malloc(cut);
    must(record != NULL && rx_record_seal(&seal, payload, n, record, &length) == RX_OK);
    if (how < 128)
        cut = how % cut;
    rx_engine_feed(f->e, record, cut);
    take_events(f);
    while (cut < length) {
        uint8_t *room = NULL;
        size_t space = how % 2 != 0 ? rx_engine_room(f->e, &room) : 0;
        space = space < length - cut ? space : length - cut;
        if (space > 0) {
            memcpy(room, record + cut, space);
            rx_engine_filled(f->e, space);
        } else {
            rx_engine_feed(f->e, record + cut, length - cut);
            space = length - cut;
        }
        cut += space;
        take_events(f);
    }
    free(record);
}

/* What the other side would say of its offsets, or nearly. */
static void shape_offsets(struct fuzz *f, const struct rx_channel *channel, uint8_t type,
                          uint8_t *body)
{
    struct rx_offsets at = {.window = RX_WINDOW_OUTPUT};
    const struct rx_channel *command =
        type == RX_RESUME ? f->released[take8(f) % RELEASED] : channel;
    for (enum rx_which w = 0; command != NULL && w < RX_WHICH_COUNT; w++) {
        const struct rx_out *out = rx_channel_out(command, w);
        const struct rx_in *in = rx_channel_in(command, w);
        at.at[w] = in != NULL ? in->received : out->acked + take8(f) % (out->sent - out->acked + 1);
        at.ended[w] = in == NULL && out->last_sent && at.at[w] == out->sent && take8(f) % 2 != 0;
    }
    uint8_t what = take8(f);
    if (what >= 240)
        at.at[what % RX_WHICH_COUNT] = (uint64_t)take16(f) << (what % 4 * 16);
    else if (what >= 230)
        at.window = take16(f) << 10;
    if (type == RX_EXIT) {
        for (unsigned w = 0; w < RX_WHICH_COUNT; w++)
            rx_put64(body + (size_t)8 * w, at.at[w]);
    } else {
        rx_offsets_encode(&at, body);
    }
}

static size_t shape_data(struct fuzz *f, const struct rx_channel *channel, uint8_t type,
                         uint8_t *body)
{
    enum rx_which w = type - RX_STDIN;
    const struct rx_in *in = channel != NULL ? rx_channel_in(channel, w) : NULL;
    uint64_t offset = in != NULL ? in->received : 0;
    size_t n = (size_t)take16(f) * 4 % DATA_MOST;
    uint8_t what = take8(f);
    if (what >= 250)
        offset += take8(f);
    else if (in != NULL && n > in->limit - in->received)
        n = (size_t)(in->limit - in->received);
    rx_put64(body, offset);
    for (size_t i = 0; i < n; i++)
        body[RX_DATA_OFFSET + i] = byte_at(w, offset + i);
    return RX_DATA_OFFSET + n;
}

static void shape_ack(struct fuzz *f, const struct rx_channel *channel, uint8_t *body)
{
    enum rx_which w = take8(f) % RX_WHICH_COUNT;
    if (f->e->config.role == RX_CLIENT)
        w = RX_WHICH_STDIN;
    const struct rx_out *out = channel != NULL ? rx_channel_out(channel, w) : NULL;
    uint64_t offset = 0, window = RX_WINDOW_OUTPUT;
    if (out != NULL) {
        offset = out->acked + take16(f) * (out->sent - out->acked) / UINT16_MAX;
        window = out->limit - offset + take16(f) * 4U;
    }
    memset(body, 0, 16);
    body[0] = (uint8_t)w;
    rx_put32(body + 4, window > RX_WINDOW_MAX ? RX_WINDOW_MAX : (uint32_t)window);
    rx_put64(body + 8, offset);
}

/* A message that may well be right. */
static void say_shaped(struct fuzz *f)
{
    static uint8_t payload[RX_MESSAGE_HEAD + RX_DATA_OFFSET + DATA_MOST + RX_REQUEST_TRAILER];
    unsigned theirs = f->e->config.role == RX_CLIENT ? RX_S2C : RX_C2S;
    size_t i = take8(f), count = 1; /* the list is not empty */
    while (rx_kind_at(count) != NULL)
        count++;
    while ((rx_kind_at(i % count)->directions & theirs) == 0)
        i++;
    const struct rx_kind *kind = rx_kind_at(i % count);
    uint8_t where = take8(f);
    struct rx_channel *channel = pick(f);
    uint32_t stream = channel != NULL ? channel->stream : 1;
    if (((kind->states & RX_STREAM_IDLE) != 0 && where < 200) || where >= 250)
        stream = f->e->last_stream + 1 + where % 2;
    if (kind->states == RX_STREAM_SESSION)
        stream = 0;
    uint8_t *body = payload + RX_MESSAGE_HEAD;
    size_t n = kind->body_min;
    memset(body, 0, n);
    if (rx_is_data(kind->number))
        n = shape_data(f, channel, kind->number, body);
    else if (kind->number == RX_ACK)
        shape_ack(f, channel, body);
    else if (n >= 24)
        shape_offsets(f, channel, kind->number, body);
    if (rx_is_request(kind->number))
        n += RX_REQUEST_TRAILER;
    rx_message_head(payload, kind->number, kind->flags & take8(f), 0, stream);
    say(f, payload, RX_MESSAGE_HEAD + n);
}

static void say_raw(struct fuzz *f)
{
    uint8_t payload[RX_PAYLOAD_MIN + 255];
    size_t n = RX_PAYLOAD_MIN + take8(f);
    for (size_t i = 0; i < n; i++)
        payload[i] = take8(f);
    say(f, payload, n);
}

/* ---- all -------------------------------------------------------------------------------- */

static void begin(struct fuzz *f)
{
    uint8_t how = take8(f);
    for (size_t i = 0; i < 3; i++)
        f->seals[i].plain = true;
    struct rx_engine_config config = {
        .role = how % 2 != 0 ? RX_CLIENT : RX_SERVER,
        .seal = toy_seal(&f->seals[0]),
        .open = toy_seal(&f->seals[1]),
        .mac = toy_mac(&f->mac),
        .max_channels = CHANNELS,
        .max_queue = QUEUE,
        .window = (how & 2) != 0 ? 1000 : 0,
        .chunk = (how & 4) != 0 ? 700 : 0,
    };
    f->e = rx_engine_new(&config);
    must(f->e != NULL);
    if ((how & 8) == 0 && config.role == RX_SERVER)
        must(rx_engine_welcome(f->e, NULL, 0) == RX_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct fuzz f;
    f = (struct fuzz){.data = data, .n = n};
    begin(&f);
    while (f.n > 0) {
        uint8_t step = take8(&f);
        if (step < 128)
            say_shaped(&f);
        else if (step < 136)
            say_raw(&f);
        else
            act(&f, (uint8_t)(step - 136));
        check(&f);
    }
    rx_engine_free(f.e);
    for (size_t i = 0; i < RELEASED; i++)
        rx_channel_free(f.released[i]);
    return 0;
}
