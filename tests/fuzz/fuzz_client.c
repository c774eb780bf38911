/*
 * rexec/connection.c, rexec/command.c: a client behind a real handshake, and a server that has the
 * keys and says whatever it likes: right records with right and wrong messages in them, in pieces
 * of any size, between whatever the program asks of the client meanwhile.
 *
 * Whatever comes: nothing before WELCOME, nothing behind an error or an end, bytes in their order
 * and once, and an EXIT only with the counts that were received.
 */
#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "rexec/connection.h"
#include "tests/duel/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS = 4, BODY_MAX = 2048 };

struct played {
    struct rx_command *command;
    uint64_t got[RX_WHICH_COUNT];  /* taken out by the program */
    uint64_t sent[RX_WHICH_COUNT]; /* said by the server */
    bool started, over;
};

struct fuzz {
    const uint8_t *data;
    size_t n;
    struct handshake_pair p;
    struct rx_sealer sealer;
    struct rx_connection *c;
    struct played played[COMMANDS];
    size_t asked; /* commands, in the order of their streams */
    bool ready, welcome, closed, over;
};

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_client.c:%d: does not hold\n", line);
    abort();
}

static uint8_t take8(struct fuzz *f)
{
    if (f->n == 0)
        return 0;
    f->n--;
    return *f->data++;
}

static unsigned take16(struct fuzz *f)
{
    unsigned high = take8(f);
    return high << 8 | take8(f);
}

/* What stands at an offset of a stream, unless the server lies. */
static uint8_t byte_at(enum rx_which which, uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 9) + (unsigned)which * 101);
}

static struct played *pick(struct fuzz *f)
{
    return f->asked > 0 ? &f->played[take8(f) % f->asked] : NULL;
}

/* ---- what the program does -------------------------------------------------------------- */

static void ask(struct fuzz *f)
{
    static const uint8_t words[] = {1, 0, 0, 0, 1, 'x'};
    struct rx_header h;
    if (f->asked == COMMANDS)
        return;
    struct played *p = &f->played[f->asked];
    rx_header_init(RX_EXEC, &h);
    h.exec.id[0] = (uint8_t)f->asked + 1;
    enum rx_error error = rx_connection_exec(f->c, &h.exec, words, sizeof words, p, &p->command);
    must((error == RX_OK) == (p->command != NULL));
    if (error == RX_OK) {
        must(!f->closed); /* on a connection that has failed it waits for another */
        must(rx_command_user(p->command) == p);
        f->asked++;
    }
}

static void read_some(struct fuzz *f, struct played *p, size_t most)
{
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR && p->command != NULL; w++) {
        const uint8_t *bytes;
        size_t n = rx_command_peek(p->command, w, &bytes);
        n = n < most ? n : most;
        for (size_t i = 0; i < n; i++)
            must(bytes[i] == byte_at(w, p->got[w] + i));
        rx_command_consume(p->command, w, n);
        p->got[w] += n;
        must(p->got[w] <= p->sent[w]);
    }
    (void)f;
}

static void drain_output(struct fuzz *f)
{
    static uint8_t out[RX_CONNECTION_OUTPUT_MIN];
    for (int i = 0; i < 4; i++)
        must(rx_connection_output(f->c, out, sizeof out) <= sizeof out);
}

static void use(struct fuzz *f, struct played *p)
{
    uint8_t *room = NULL;
    uint8_t what = take8(f);
    if (p == NULL || p->command == NULL)
        return;
    switch (what % 8) {
    case 0:
        rx_command_finish(p->command);
        break;
    case 1:
        (void)rx_command_signal(p->command, "INT");
        break;
    case 2:
        rx_command_free(p->command);
        p->command = NULL;
        break;
    case 3:
    case 4: {
        size_t n = rx_command_room(p->command, (size_t)take16(f) + 1, &room);
        if (n > 0)
            memset(room, what, n);
        rx_command_written(p->command, n > what ? n - what % 2 : n);
        break;
    }
    default:
        read_some(f, p, what < 128 ? SIZE_MAX : take16(f));
        break;
    }
}

static void act(struct fuzz *f, uint8_t what)
{
    static const uint8_t token[8];
    switch (what % 16) {
    case 0:
    case 1:
        ask(f);
        break;
    case 2:
        must(rx_connection_ping(f->c, token) != RX_OK || (f->ready && !f->closed));
        break;
    case 3:
        if (what >= 112) {
            rx_connection_close(f->c);
            f->closed |= f->ready;
        }
        break;
    case 4:
    case 5:
    case 6:
        drain_output(f);
        break;
    default:
        use(f, pick(f));
        break;
    }
}

/* ---- what the server says --------------------------------------------------------------- */

static void on_exit_event(struct fuzz *f, struct played *p, const struct rx_client_event *e)
{
    const uint8_t *bytes;
    must(p->started && !p->over);
    p->over = true;
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        must(e->counts[w] == p->sent[w]);
        /* All of it is there, in one piece or several. */
        while (rx_command_peek(p->command, w, &bytes) > 0)
            read_some(f, p, SIZE_MAX);
        must(p->got[w] == p->sent[w]);
    }
    must(rx_command_signal(p->command, "INT") == RX_E_BAD_STATE);
}

static void on_event(struct fuzz *f, const struct rx_client_event *e)
{
    must(!f->over && !(f->closed && e->command != NULL));
    must(e->what == RX_ON_READY || f->ready);
    must(e->what == RX_ON_READY || e->what == RX_ON_WELCOME || e->what == RX_ON_ERROR ||
         f->welcome);
    struct played *p = e->command != NULL ? rx_command_user(e->command) : NULL;
    /* Answers to a SIGNAL may come behind the EXIT that they crossed, and the stream be taken away
     * at any time. */
    bool late = e->what == RX_ON_SIGNALED || e->what == RX_ON_UNSIGNALED || e->what == RX_ON_ROOM ||
                e->what == RX_ON_REFUSED;
    must(p == NULL || (p->command == e->command && (!p->over || late)));
    switch (e->what) {
    case RX_ON_READY:
        must(!f->ready);
        f->ready = true;
        break;
    case RX_ON_WELCOME:
        must(!f->welcome && rx_connection_welcome(f->c) != NULL);
        f->welcome = true;
        break;
    case RX_ON_STARTED:
        must(p != NULL && !p->started);
        p->started = true;
        break;
    case RX_ON_DATA:
        must(p != NULL && p->started);
        break;
    case RX_ON_EXIT:
        on_exit_event(f, p, e);
        break;
    case RX_ON_REFUSED:
        must(p != NULL);
        p->over = true;
        break;
    default:
        break;
    }
    if (f->p.m3[0] != 0 && take8(f) % 8 == 7) /* M3 is to be taken first */
        act(f, take8(f));
}

static void take_events(struct fuzz *f)
{
    struct rx_client_event event;
    enum rx_next next;
    while ((next = rx_connection_next(f->c, 1, &event)) == RX_NEXT_EVENT)
        on_event(f, &event);
    must((next == RX_NEXT_ERROR) == (rx_connection_error(f->c) != RX_OK));
    if (next == RX_NEXT_ERROR) {
        f->over = true;
        must(rx_connection_eof(f->c) == rx_connection_error(f->c));
    }
}

/* Bytes on the wire, cut somewhere. */
static void give(struct fuzz *f, const uint8_t *bytes, size_t n)
{
    size_t cut = take8(f) % 4 == 0 ? take16(f) % (n + 1) : n;
    for (size_t part = 0, at = 0; part < 2; part++, at = cut, cut = n) {
        if (part > 0 && at == n)
            break;
        uint8_t *copy = malloc(cut - at + 1);
        must(copy != NULL);
        memcpy(copy, bytes + at, cut - at);
        rx_connection_feed(f->c, copy, cut - at);
        take_events(f);
        free(copy);
    }
}

/* A header that may do, or a few bytes of the input. */
static size_t shape_header(struct fuzz *f, enum rx_type type, uint8_t *out)
{
    size_t n = 0;
    uint8_t what = take8(f);
    struct rx_header h;
    if (what < 200) {
        rx_header_init(type, &h);
        if (type == RX_EXIT) {
            h.exit.code = what;
            (void)snprintf(h.exit.by, sizeof h.exit.by, "self");
        } else if (type == RX_REFUSED || type == RX_ERROR || type == RX_GOAWAY) {
            rx_header_error(&h, what % 32 + 1, NULL);
        } else if (type == RX_WELCOME) {
            (void)snprintf(h.welcome.server, sizeof h.welcome.server, "s");
            (void)snprintf(h.welcome.version, sizeof h.welcome.version, "1");
            h.welcome.time_us = 1;
        }
        if (rx_header_encode(type, &h, out, BODY_MAX, &n) == RX_OK)
            return n;
    }
    n = take8(f);
    for (size_t i = 0; i < n; i++)
        out[i] = take8(f);
    return n;
}

/* Data where it belongs, mostly; what is said is remembered, though it may be refused. */
static size_t shape_data(struct fuzz *f, size_t i, enum rx_which w, uint8_t *body)
{
    struct played *p = &f->played[i % COMMANDS];
    size_t n = take16(f) % (BODY_MAX - RX_DATA_OFFSET);
    uint64_t offset = p->sent[w];
    if (take8(f) >= 250)
        offset += take8(f) + 1U;
    else
        p->sent[w] += n;
    rx_put64(body, offset);
    for (size_t k = 0; k < n; k++)
        body[RX_DATA_OFFSET + k] = byte_at(w, offset + k);
    return RX_DATA_OFFSET + n;
}

static size_t shape_body(struct fuzz *f, const struct rx_kind *kind, size_t i, uint8_t *body)
{
    size_t n = kind->body_min;
    memset(body, 0, n);
    if (kind->number == RX_STDOUT || kind->number == RX_STDERR)
        return shape_data(f, i, kind->number == RX_STDOUT ? RX_WHICH_STDOUT : RX_WHICH_STDERR,
                          body);
    if (kind->number == RX_EXIT && n >= 24 && take8(f) < 240) {
        for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++)
            rx_put64(body + (size_t)8 * w, f->played[i % COMMANDS].sent[w]);
    } else if (kind->number == RX_STARTED && take8(f) < 240) {
        rx_offsets_encode(&(struct rx_offsets){.window = RX_WINDOW_STDIN}, body);
    } else if (kind->number == RX_ACK && n >= 16) {
        rx_put32(body + 4, take16(f) << 4);
        rx_put64(body + 8, take8(f));
    } else if (take8(f) >= 250) {
        n = take8(f);
        memset(body, 1, n);
    }
    return n;
}

static void say(struct fuzz *f, uint8_t which)
{
    static uint8_t payload[RX_MESSAGE_HEAD + 2 * BODY_MAX];
    static uint8_t record[sizeof payload + RX_RECORD_LENGTH + RX_TAG_MAX];
    static const enum rx_type usual[] = {RX_WELCOME, RX_STARTED, RX_STDOUT, RX_STDERR, RX_EXIT,
                                         RX_ACK,     RX_REFUSED, RX_DONE,   RX_PING,   RX_STDOUT};
    size_t count = 0, length = 0;
    while (rx_kind_at(count) != NULL)
        count++;
    must(count > 0);
    const struct rx_kind *kind =
        which < 100 ? rx_kind((uint8_t)usual[which % 10]) : rx_kind_at(which % count);
    size_t i = take8(f) % COMMANDS;
    uint32_t stream = kind->states == RX_STREAM_SESSION ? 0 : (uint32_t)i + 1;
    uint8_t flags = take8(f);
    flags = flags >= 192 ? kind->flags : flags >= 190 ? flags : 0;
    if (take8(f) == 255)
        stream = take16(f);
    size_t header = kind->header_max > 0
                        ? shape_header(f, (enum rx_type)kind->number, payload + RX_MESSAGE_HEAD)
                        : 0;
    size_t n = RX_MESSAGE_HEAD + header;
    n += shape_body(f, kind, i, payload + n);
    rx_message_head(payload, kind->number, flags, header, stream);
    struct rx_seal seal = rx_sealer_seal(&f->sealer);
    must(rx_record_seal(&seal, payload, n, record, &length) == RX_OK);
    give(f, record, length);
}

static void say_raw(struct fuzz *f)
{
    uint8_t bytes[256];
    size_t n = take8(f);
    for (size_t i = 0; i < n; i++)
        bytes[i] = take8(f);
    give(f, bytes, n);
}

/* ---- all -------------------------------------------------------------------------------- */

/* The readable suite: its proofs are real, and it costs no curve. */
static void begin(struct fuzz *f)
{
    static uint8_t out[RX_CONNECTION_OUTPUT_MIN];
    uint8_t random[RX_CONNECTION_RANDOM];
    struct dice d = {.state = 1};
    enum rx_error error;
    handshake_prepare(&f->p, &d, RX_SUITE_HMAC_SHA256);
    const struct rx_connection_config config = {
        .keys = &f->p.grant, .suites = RX_SUITE_HMAC_SHA256, .window = 8192};
    dice_fill(&d, random, sizeof random);
    f->c = rx_connection_new(&config, random, &error);
    must(f->c != NULL);
    if (take8(f) % 2 == 0)
        ask(f);
    must(rx_connection_output(f->c, out, sizeof out) == RX_M1_SIZE);
    memcpy(f->p.m1, out, RX_M1_SIZE);
    must(handshake_m2(&f->p) == RX_OK);
    give(f, f->p.m2, sizeof f->p.m2);
    must(f->ready && rx_connection_error(f->c) == RX_OK);
    must(rx_connection_output(f->c, out, sizeof out) >= RX_M3_SIZE);
    memcpy(f->p.m3, out, RX_M3_SIZE);
    must(handshake_end(&f->p) == RX_OK);
    must(rx_sealer_init(&f->sealer, f->p.server_keys.suite, f->p.server_keys.s2c) == RX_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    f = (struct fuzz){.data = data, .n = size};
    begin(&f);
    while (f.n > 0) {
        uint8_t step = take8(&f);
        if (step < 120)
            say(&f, take8(&f));
        else if (step < 122)
            say_raw(&f);
        else
            act(&f, (uint8_t)(step - 122));
    }
    if (size % 2 == 0)
        rx_connection_free(f.c);
    for (size_t i = 0; i < COMMANDS; i++)
        rx_command_free(f.played[i].command);
    if (size % 2 != 0)
        rx_connection_free(f.c);
    return 0;
}
