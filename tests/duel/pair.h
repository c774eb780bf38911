/*
 * Both ends of a session and one command on it, moved by hand: for tests that go through one case
 * step by step. For cmocka.
 */
#ifndef REXEC_TESTS_DUEL_PAIR_H
#define REXEC_TESTS_DUEL_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/duel/session.h"
#include "tests/duel/tape.h"

/* What came to a side, last and in all. */
struct ears {
    uint64_t types; /* a bit for each */
    uint8_t last_type;
    struct rx_channel *channel; /* of the last message on a stream; NULL when it is closed */
    struct rx_offsets offsets;  /* of the last STARTED, RESUMED, RESUME */
    size_t count;
};

static inline void ears_hear(void *context, const struct rx_event *event)
{
    struct ears *ears = context;
    ears->types |= UINT64_C(1) << event->message.type;
    ears->last_type = event->message.type;
    ears->count++;
    if (event->message.stream == 0)
        return;
    bool open = event->channel != NULL && rx_channel_state(event->channel) != RX_STREAM_CLOSED;
    ears->channel = open ? event->channel : NULL;
    if (event->message.type == RX_STARTED || event->message.type == RX_RESUMED ||
        event->message.type == RX_RESUME)
        ears->offsets = event->offsets;
}

static inline bool ears_heard(const struct ears *ears, enum rx_type type)
{
    return (ears->types >> type & 1) != 0;
}

/* All that `from` has to send comes to `to`. */
static inline void pair_move(struct end *from, struct end *to, struct ears *ears)
{
    static struct tape tape;
    tape.n = 0;
    *ears = (struct ears){0};
    tape_output(&tape, from->engine);
    const struct listener l = {ears_hear, ears};
    if (tape.n > 0)
        assert_int_equal(deliver(to->engine, tape.bytes, tape.n, &l), RX_NEXT_MORE);
}

/* What it has to send is lost. */
static inline void pair_lose(struct end *from)
{
    static struct tape tape;
    tape.n = 0;
    tape_output(&tape, from->engine);
}

static inline struct dice *pair_dice(void)
{
    static struct dice dice = {77};
    return &dice;
}

/* A session whose WELCOME has come. */
static inline void pair_open(struct session *s, const struct rx_engine_config *client,
                             const struct rx_engine_config *server)
{
    struct ears ears;
    session_open(s, pair_dice(), RX_SUITE_CHACHA20POLY1305, client, server);
    pair_move(&s->server, &s->client, &ears);
    assert_true(ears_heard(&ears, RX_WELCOME));
}

/* One command that runs: its channels on both sides. */
struct pair_command {
    struct rx_channel *client, *server;
};

static inline struct pair_command pair_run(struct session *s)
{
    struct pair_command c = {NULL, NULL};
    struct ears ears;
    assert_int_equal(end_exec(&s->client, 1, &c.client), RX_OK);
    pair_move(&s->client, &s->server, &ears);
    c.server = ears.channel;
    assert_int_equal(end_started(&s->server, c.server), RX_OK);
    pair_move(&s->server, &s->client, &ears);
    assert_true(ears_heard(&ears, RX_STARTED));
    return c;
}

/* The connection is lost with all that was under way; the channels are released. */
static inline void pair_cut(struct session *s, const struct pair_command *c)
{
    pair_lose(&s->client);
    pair_lose(&s->server);
    assert_int_equal(rx_engine_release(s->client.engine, c->client, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_release(s->server.engine, c->server, NULL, 0), RX_OK);
    session_close(s);
}

/* RESUME, and RESUMED to it; what came with them goes to *ears. */
static inline void pair_ask_resume(struct session *s, struct pair_command *c, struct ears *ears)
{
    assert_int_equal(rx_engine_request(s->client.engine, RX_RESUME, "{}", 2, NULL, 0, &c->client),
                     RX_OK);
    pair_move(&s->client, &s->server, ears);
    assert_true(ears_heard(ears, RX_RESUME));
}

static inline void pair_answer_resume(struct session *s, struct pair_command *c, struct ears *ears)
{
    struct rx_channel *asked = ears->channel;
    assert_int_equal(rx_engine_start(s->server.engine, RX_RESUMED, &asked, c->server, NULL, 0),
                     RX_OK);
    assert_ptr_equal(asked, c->server);
    pair_move(&s->server, &s->client, ears);
    assert_true(ears_heard(ears, RX_RESUMED));
}

/* What is written: the same pattern everywhere, by its offset. */
static inline const uint8_t *pair_bytes(void)
{
    static uint8_t bytes[RX_WINDOW_OUTPUT];
    struct dice d = {5};
    if (bytes[0] == 0 && bytes[1] == 0)
        dice_fill(&d, bytes, sizeof bytes);
    return bytes;
}

static inline void pair_write(struct end *end, struct rx_channel *channel, enum rx_which which,
                              size_t at, size_t n)
{
    assert_int_equal(rx_engine_write(end->engine, channel, which, pair_bytes() + at, n), n);
}

/* The next n bytes are the pattern's from `at` on. */
static inline void pair_read(struct end *end, struct rx_channel *channel, enum rx_which which,
                             size_t at, size_t n)
{
    const uint8_t *bytes = NULL;
    while (n > 0) {
        size_t piece = rx_engine_peek(end->engine, channel, which, &bytes);
        assert_true(piece > 0);
        piece = piece < n ? piece : n;
        assert_memory_equal(bytes, pair_bytes() + at, piece);
        rx_engine_consume(end->engine, channel, which, piece);
        at += piece;
        n -= piece;
    }
}

#endif
