/*
 * The engine's streams: what may come on them in which state, what is refused by which name, and
 * what is let go because it crossed the stream's end on its way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/engine.h"
#include "tests/duel/lone.h"
#include "tests/duel/session.h"

/* ---- opening ---------------------------------------------------------------------------- */

static void test_numbers_rise(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    static const uint32_t good[] = {3, 4, 1000, UINT32_MAX - 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(lone_say(&l, RX_EXEC, 0, good[i], NULL, NULL, 0), RX_OK);
        assert_non_null(l.event.channel);
        assert_int_equal(rx_channel_stream(l.event.channel), good[i]);
        assert_ptr_equal(rx_engine_channel(l.engine, good[i]), l.event.channel);
        assert_ptr_equal(rx_engine_channel_at(l.engine, i), l.event.channel);
    }
    assert_null(rx_engine_channel_at(l.engine, 5));
    assert_null(rx_engine_channel(l.engine, 5));
    lone_close(&l);
}

/* A number that was used, or is below one that was, opens nothing. */
static void test_numbers_used(void **state)
{
    (void)state;
    static const enum rx_type openers[] = {RX_EXEC, RX_ATTACH, RX_LIST, RX_FORGET};
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        for (uint32_t stream = 1; stream <= 3; stream++) {
            struct lone l;
            lone_open(&l, RX_SERVER, NULL);
            assert_int_equal(lone_say(&l, RX_EXEC, 0, 3, NULL, NULL, 0), RX_OK);
            assert_int_equal(lone_say(&l, openers[i], 0, stream, NULL, NULL, 0), RX_E_BAD_STREAM);
            lone_close(&l);
        }
    }
}

static void test_never_opened(void **state)
{
    (void)state;
    static const enum rx_type at_server[] = {RX_DETACH, RX_RESIZE, RX_STDIN, RX_EXIT_ACK, RX_ACK};
    static const uint8_t body[RX_OFFSETS_SIZE] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    for (size_t i = 0; i < sizeof at_server / sizeof at_server[0]; i++) {
        struct lone l;
        size_t n = rx_kind((uint8_t)at_server[i])->body_min;
        lone_open(&l, RX_SERVER, NULL);
        assert_int_equal(lone_say(&l, at_server[i], 0, 1, NULL, body, n), RX_E_BAD_STREAM);
        lone_close(&l);
    }
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) { /* a server opens nothing */
        const struct rx_kind *kind = rx_kind_at(i);
        if (kind->states == RX_STREAM_SESSION || (kind->directions & RX_S2C) == 0)
            continue;
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_running(&l);
        assert_int_equal(lone_say(&l, kind->number, 0, rx_channel_stream(channel) + 1, NULL, body,
                                  kind->body_min),
                         RX_E_BAD_STREAM);
        lone_close(&l);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    for (size_t max = 1; max < 20; max += 6) {
        struct rx_engine_config config = {.max_channels = max};
        struct lone l;
        lone_open(&l, RX_SERVER, &config);
        for (uint32_t i = 1; i <= max; i++)
            assert_int_equal(lone_say(&l, RX_EXEC, 0, i, NULL, NULL, 0), RX_OK);
        /* One goes, one may come. */
        assert_int_equal(rx_engine_answer(l.engine, RX_REFUSED, rx_engine_channel_at(l.engine, 0),
                                          true, NULL, 0, NULL, 0),
                         RX_OK);
        assert_int_equal(lone_say(&l, RX_LIST, 0, 100, NULL, NULL, 0), RX_OK);
        assert_int_equal(lone_say(&l, RX_EXEC, 0, 101, NULL, NULL, 0), RX_E_FLOOD);
        lone_close(&l);
    }
}

/* The table of bound channels stays in order whatever comes and goes. */
static void test_table(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    uint32_t bound[64];
    size_t count = 0;
    for (unsigned step = 0; step < 3000; step++) {
        if (count < 64 && dice_below(&d, 2) == 0) {
            uint32_t stream = l.stream + 1 + (uint32_t)dice_below(&d, 3);
            assert_int_equal(lone_say(&l, RX_EXEC, 0, stream, NULL, NULL, 0), RX_OK);
            bound[count++] = stream;
        } else if (count > 0) {
            size_t i = dice_below(&d, count);
            struct rx_channel *channel = rx_engine_channel(l.engine, bound[i]);
            assert_int_equal(
                rx_engine_answer(l.engine, RX_REFUSED, channel, true, NULL, 0, NULL, 0), RX_OK);
            memmove(bound + i, bound + i + 1, (--count - i) * sizeof bound[0]);
            (void)lone_hear_all(&l);
        }
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rx_channel_stream(rx_engine_channel_at(l.engine, i)), bound[i]);
        assert_null(rx_engine_channel_at(l.engine, count));
    }
    lone_close(&l);
}

/* ---- every message on a stream in every state ------------------------------------------- */

/* Brings a lone engine's stream 1 into a state; idle and closed have no channel. */
static void bring(struct lone *l, enum rx_role role, enum rx_stream_state state)
{
    lone_open(l, role, NULL);
    if (state == RX_STREAM_IDLE)
        return;
    struct rx_channel *channel = NULL;
    if (state == RX_STREAM_ASKING) {
        if (role == RX_SERVER) {
            assert_int_equal(lone_say(l, RX_FORGET, 0, 1, NULL, NULL, 0), RX_OK);
        } else {
            assert_int_equal(rx_engine_request(l->engine, RX_FORGET, NULL, 0, NULL, 0, &channel),
                             RX_OK);
        }
        return;
    }
    channel = state == RX_STREAM_ASKED ? lone_asked(l) : lone_running(l);
    if (state == RX_STREAM_ASKED || state == RX_STREAM_RUNNING)
        return;
    if (role == RX_CLIENT) {
        assert_int_equal(lone_say_exit(l, 1, 0, 0, 0), RX_OK);
    } else {
        assert_int_equal(rx_engine_exit(l->engine, channel, NULL, 0), RX_OK);
        assert_true(lone_hears(l, RX_EXIT, 1));
    }
    assert_int_equal(rx_channel_state(channel), RX_STREAM_EXITED);
    if (state == RX_STREAM_CLOSED && role == RX_CLIENT)
        assert_int_equal(rx_engine_exit_ack(l->engine, channel), RX_OK);
    else if (state == RX_STREAM_CLOSED)
        assert_int_equal(lone_say(l, RX_EXIT_ACK, 0, 1, NULL, NULL, 0), RX_OK);
}

/* Says a message of this type that is right in itself. */
static enum rx_error say_good(struct lone *l, const struct rx_kind *kind, unsigned flags)
{
    uint8_t body[RX_OFFSETS_SIZE] = {0};
    size_t n = kind->body_min;
    if (rx_is_data(kind->number))
        n++; /* one byte at offset 0 */
    if (kind->number == RX_ACK) {
        body[0] = l->role == RX_SERVER ? RX_WHICH_STDOUT : RX_WHICH_STDIN;
        rx_put32(body + 4, RX_WINDOW_OUTPUT);
    }
    if (kind->number == RX_STARTED || kind->number == RX_RESUMED)
        rx_put32(body + 24, RX_WINDOW_STDIN);
    return lone_say(l, kind->number, flags, 1, NULL, body, n);
}

static void expect_in_state(const struct rx_kind *kind, unsigned flags, enum rx_role role,
                            enum rx_stream_state from)
{
    struct lone l;
    enum rx_stream_state next = from;
    bring(&l, role, from);
    enum rx_error expected = rx_stream_next_state(from, kind, (uint8_t)flags, &next);
    if (from == RX_STREAM_IDLE && (role == RX_CLIENT || (kind->states & RX_STREAM_IDLE) == 0))
        expected = RX_E_BAD_STREAM;
    if (from != RX_STREAM_IDLE && kind->states == RX_STREAM_IDLE)
        expected = RX_E_BAD_STREAM;
    /* The stream was opened by EXEC, or FORGET. */
    if (kind->number == RX_RESUMED || kind->number == RX_LISTED)
        expected = expected == RX_OK ? RX_E_BAD_STATE : expected;
    enum rx_error error = say_good(&l, kind, flags);
    if (error != expected)
        fail_msg("%s, flags %u, at the %s in %s: %s, not %s", kind->name, flags,
                 role == RX_CLIENT ? "client" : "server", rx_stream_state_name(from),
                 rx_error_name(error), rx_error_name(expected));
    if (error == RX_OK && from == RX_STREAM_CLOSED)
        assert_null(l.event.channel);
    else if (error == RX_OK)
        assert_int_equal(rx_channel_state(l.event.channel), next);
    if (error == RX_OK)
        assert_int_equal(rx_engine_channel(l.engine, 1) != NULL, next != RX_STREAM_CLOSED);
    assert_int_equal(error == RX_OK ? lone_settle(&l) : RX_OK, RX_OK);
    lone_close(&l);
}

static void test_every_message_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        const struct rx_kind *kind = rx_kind_at(i);
        if (kind->states == RX_STREAM_SESSION)
            continue;
        for (unsigned bit = RX_STREAM_IDLE; bit <= RX_STREAM_CLOSED; bit <<= 1) {
            for (unsigned flags = 0; flags <= kind->flags; flags++) {
                if ((kind->directions & RX_C2S) != 0)
                    expect_in_state(kind, flags, RX_SERVER, (enum rx_stream_state)bit);
                if ((kind->directions & RX_S2C) != 0)
                    expect_in_state(kind, flags, RX_CLIENT, (enum rx_stream_state)bit);
            }
        }
    }
}

/* ---- data ------------------------------------------------------------------------------- */

static void test_data_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        size_t n;
        unsigned flags;
        enum rx_error error;
    } cases[] = {
        {10, 1, 0, RX_OK},
        {10, 0, RX_FLAG_LAST, RX_OK},
        {10, 65526, 0, RX_OK},
        {10, 0, 0, RX_E_BAD_BODY},
        {9, 1, 0, RX_E_BAD_OFFSET},
        {11, 1, 0, RX_E_BAD_OFFSET},
        {11, 0, RX_FLAG_LAST, RX_E_BAD_OFFSET},
        {UINT64_MAX, 1, 0, RX_E_BAD_OFFSET},
        {10, 65527, 0, RX_E_WINDOW_EXCEEDED},
        {10, 261120, 0, RX_E_WINDOW_EXCEEDED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        (void)lone_asked(&l);
        assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 10), RX_OK);
        assert_int_equal(
            lone_say_data(&l, RX_STDIN, cases[i].flags, 1, cases[i].offset, NULL, cases[i].n),
            cases[i].error);
        lone_close(&l);
    }
}

static void test_data_behind_the_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        (void)lone_running(&l);
        assert_int_equal(lone_say_data(&l, RX_STDERR, RX_FLAG_LAST, 1, 0, NULL, n), RX_OK);
        assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, NULL, 1), RX_OK); /* the other */
        assert_int_equal(lone_say_data(&l, RX_STDERR, RX_FLAG_LAST, 1, n, NULL, 1 - n),
                         RX_E_BAD_STATE);
        lone_close(&l);
    }
}

/* What comes on a stream that is over is ignored, but for a body that could never be right. */
static void test_data_after_exit(void **state)
{
    (void)state;
    static const enum rx_stream_state over[] = {RX_STREAM_EXITED, RX_STREAM_CLOSED};
    for (size_t i = 0; i < 2; i++) {
        struct lone l;
        bring(&l, RX_SERVER, over[i]);
        assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 99, NULL, 100000), RX_OK);
        assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDERR, 77, UINT32_MAX), RX_OK);
        assert_int_equal(lone_say_data(&l, RX_STDIN, RX_FLAG_LAST, 1, 5, NULL, 0), RX_OK);
        assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 5, NULL, 1), RX_OK);
        assert_int_equal(rx_engine_channel(l.engine, 1) != NULL, i == 0);
        assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 0), RX_E_BAD_BODY);
        lone_close(&l);
    }
}

/* STDIN and ACK do not wait for STARTED, but they do for RESUMED. */
static void test_data_before_the_answer(void **state)
{
    (void)state;
    static const enum rx_type openers[] = {RX_EXEC, RX_RESUME, RX_ATTACH};
    for (size_t i = 0; i < 6; i++) {
        enum rx_type opener = openers[i / 2];
        struct lone l;
        uint8_t offsets[RX_OFFSETS_SIZE] = {0};
        lone_open(&l, RX_SERVER, NULL);
        assert_int_equal(
            lone_say(&l, opener, 0, 1, NULL, offsets, opener == RX_RESUME ? sizeof offsets : 0),
            RX_OK);
        enum rx_error error = i % 2 != 0 ? lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 5)
                                         : lone_say_ack(&l, 1, RX_WHICH_STDOUT, 0, 262144);
        assert_int_equal(error, opener == RX_EXEC ? RX_OK : RX_E_BAD_STATE);
        lone_close(&l);
    }
}

/* ---- ACK -------------------------------------------------------------------------------- */

static void test_ack_refused(void **state)
{
    (void)state;
    static const struct {
        enum rx_role role;
        uint8_t head[4];
        uint32_t window;
        uint64_t offset;
        enum rx_error error;
    } cases[] = {
        {RX_SERVER, {1, 0, 0, 0}, 262144, 5, RX_OK},
        {RX_SERVER, {2, 0, 0, 0}, 262144, 0, RX_OK},
        {RX_SERVER, {2, 0, 0, 0}, 262144, 1, RX_E_BAD_OFFSET}, /* nothing was sent there */
        {RX_SERVER, {1, 0, 0, 0}, 262143, 0, RX_E_BAD_OFFSET},
        {RX_SERVER, {1, 0, 0, 0}, 262139, 5, RX_OK},
        {RX_SERVER, {1, 0, 0, 0}, 262138, 5, RX_E_BAD_OFFSET},
        {RX_SERVER, {1, 0, 0, 0}, 262144, 6, RX_E_BAD_OFFSET},
        {RX_SERVER, {1, 0, 0, 0}, 16777217, 5, RX_E_BAD_OFFSET},
        {RX_SERVER, {1, 0, 0, 0}, 16777216, 5, RX_OK},
        {RX_SERVER, {0, 0, 0, 0}, 262144, 0, RX_E_BAD_BODY}, /* it does not receive stdout */
        {RX_SERVER, {3, 0, 0, 0}, 262144, 0, RX_E_BAD_BODY},
        {RX_SERVER, {255, 0, 0, 0}, 262144, 0, RX_E_BAD_BODY},
        {RX_SERVER, {1, 1, 0, 0}, 262144, 5, RX_E_BAD_BODY},
        {RX_SERVER, {1, 0, 128, 0}, 262144, 5, RX_E_BAD_BODY},
        {RX_SERVER, {1, 0, 0, 1}, 262144, 5, RX_E_BAD_BODY},
        {RX_CLIENT, {0, 0, 0, 0}, 65536, 5, RX_OK},
        {RX_CLIENT, {1, 0, 0, 0}, 65536, 5, RX_E_BAD_BODY},
        {RX_CLIENT, {2, 0, 0, 0}, 65536, 5, RX_E_BAD_BODY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lone l;
        lone_open(&l, cases[i].role, NULL);
        struct rx_channel *channel = lone_running(&l);
        enum rx_which which = cases[i].role == RX_CLIENT ? RX_WHICH_STDIN : RX_WHICH_STDOUT;
        assert_int_equal(rx_engine_write(l.engine, channel, which, "12345", 5), 5);
        assert_int_equal(lone_hear_all(&l), 1);
        uint8_t body[16];
        memcpy(body, cases[i].head, 4);
        rx_put32(body + 4, cases[i].window);
        rx_put64(body + 8, cases[i].offset);
        enum rx_error error = lone_say(&l, RX_ACK, 0, 1, NULL, body, sizeof body);
        if (error != cases[i].error)
            fail_msg("ACK %zu: %s", i, rx_error_name(error));
        if (error == RX_OK)
            assert_int_equal(l.event.which, cases[i].head[0]);
        lone_close(&l);
    }
}

/* On a stream that is closed nothing is compared, but a wrong body stays wrong. */
static void test_ack_on_closed(void **state)
{
    (void)state;
    struct lone l;
    bring(&l, RX_CLIENT, RX_STREAM_CLOSED);
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDIN, 1000, 0), RX_OK);
    assert_null(l.event.channel);
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDOUT, 0, 0), RX_E_BAD_BODY);
    lone_close(&l);
}

/* ---- EXIT ------------------------------------------------------------------------------- */

static void test_exit_counts(void **state)
{
    (void)state;
    static const struct {
        uint64_t in, out, err;
        bool good;
    } cases[] = {
        {0, 7, 3, true},  {4, 7, 3, true},           {5, 7, 3, false},          {0, 6, 3, false},
        {0, 8, 3, false}, {0, 7, 2, false},          {0, 7, 4, false},          {0, 3, 7, false},
        {0, 0, 0, false}, {UINT64_MAX, 7, 3, false}, {0, UINT64_MAX, 3, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_running(&l);
        assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "1234", 4), 4);
        assert_int_equal(lone_hear_all(&l), 1);
        assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, NULL, 7), RX_OK);
        assert_int_equal(lone_say_data(&l, RX_STDERR, RX_FLAG_LAST, 1, 0, NULL, 3), RX_OK);
        assert_int_equal(lone_say_exit(&l, 1, cases[i].in, cases[i].out, cases[i].err),
                         cases[i].good ? RX_OK : RX_E_COUNT_MISMATCH);
        if (cases[i].good) { /* it ends both, with or without their LAST */
            assert_true(rx_channel_in(channel, RX_WHICH_STDOUT)->last);
            assert_true(rx_channel_in(channel, RX_WHICH_STDERR)->last);
            assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 7, NULL, 1), RX_E_BAD_STATE);
        }
        lone_close(&l);
    }
}

/* What came before EXIT and was not consumed is still there behind it. */
static void test_exit_keeps_output(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, "abcdef", 6), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 2);
    assert_int_equal(lone_say_exit(&l, 1, 0, 6, 0), RX_OK);
    assert_ptr_equal(l.event.channel, channel);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 4);
    assert_memory_equal(bytes, "cdef", 4);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 4);
    assert_true(rx_in_done(rx_channel_in(channel, RX_WHICH_STDOUT)));
    assert_int_equal(rx_engine_exit_ack(l.engine, channel), RX_OK);
    assert_true(lone_hears(&l, RX_EXIT_ACK, 1));
    assert_null(rx_engine_channel(l.engine, 1));
    lone_close(&l);
}

/* ---- STARTED ---------------------------------------------------------------------------- */

static void test_started_offsets(void **state)
{
    (void)state;
    static const struct {
        struct rx_offsets offsets;
        bool all_sent; /* stdin was ended, and its LAST has gone */
        enum rx_error error;
    } cases[] = {
        {{.at = {0}, .window = 65536}, false, RX_OK},
        {{.at = {5}, .window = 65531}, false, RX_OK},
        {{.at = {6}, .window = 65536}, false, RX_E_BAD_OFFSET},
        {{.at = {5}, .window = 65530}, false, RX_E_BAD_OFFSET},
        {{.at = {0}, .window = 65535}, false, RX_E_BAD_OFFSET},
        {{.at = {0}, .window = 16777216}, false, RX_OK},
        {{.at = {0}, .window = 16777217}, false, RX_E_BAD_BODY},
        {{.at = {0, 1}, .window = 65536}, false, RX_E_BAD_OFFSET},
        {{.at = {0, 0, 1}, .window = 65536}, false, RX_E_BAD_OFFSET},
        {{.window = 65536, .ended = {false, true}}, false, RX_E_BAD_OFFSET},
        {{.window = 65536, .ended = {false, false, true}}, false, RX_E_BAD_OFFSET},
        {{.at = {5}, .window = 65536, .ended = {true}}, false, RX_E_BAD_OFFSET},
        {{.at = {5}, .window = 65536, .ended = {true}}, true, RX_OK},
        {{.at = {4}, .window = 65536, .ended = {true}}, true, RX_E_BAD_OFFSET},
        {{.at = {4}, .window = 65536}, true, RX_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_asked(&l);
        assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "12345", 5), 5);
        if (cases[i].all_sent)
            rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
        assert_int_equal(lone_hear_all(&l), 1);
        enum rx_error error = lone_say_offsets(&l, RX_STARTED, 1, &cases[i].offsets);
        if (error != cases[i].error)
            fail_msg("STARTED %zu: %s", i, rx_error_name(error));
        if (error == RX_OK)
            assert_int_equal(rx_channel_out(channel, RX_WHICH_STDIN)->limit,
                             cases[i].offsets.at[0] + cases[i].offsets.window);
        lone_close(&l);
    }
}

/* An ACK before STARTED counts: STARTED cannot be from before it. */
static void test_started_behind_ack(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_asked(&l);
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "12345", 5), 5);
    assert_int_equal(lone_hear_all(&l), 1);
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDIN, 5, 65536), RX_OK);
    const struct rx_offsets offsets = {.at = {4}, .window = 65537};
    assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &offsets), RX_E_BAD_OFFSET);
    lone_close(&l);
}

/* LISTED answers LIST alone. */
static void test_listed(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *channel = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    assert_int_equal(rx_engine_request(l.engine, RX_LIST, NULL, 0, NULL, 0, &channel), RX_OK);
    assert_int_equal(lone_say(&l, RX_LISTED, 0, 1, NULL, NULL, 0), RX_OK);
    assert_int_equal(rx_channel_state(channel), RX_STREAM_ASKING);
    assert_int_equal(lone_say(&l, RX_LISTED, RX_FLAG_LAST, 1, NULL, NULL, 0), RX_OK);
    assert_ptr_equal(l.event.channel, channel); /* for this event still there */
    assert_int_equal(rx_channel_state(channel), RX_STREAM_CLOSED);
    assert_null(rx_engine_channel(l.engine, 1));
    assert_int_equal(lone_say(&l, RX_LISTED, 0, 1, NULL, NULL, 0), RX_E_BAD_STATE);
    lone_close(&l);

    lone_open(&l, RX_CLIENT, NULL);
    channel = NULL;
    assert_int_equal(rx_engine_request(l.engine, RX_LIST, NULL, 0, NULL, 0, &channel), RX_OK);
    assert_int_equal(lone_say(&l, RX_DONE, RX_FLAG_LAST, 1, NULL, NULL, 0), RX_E_BAD_STATE);
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_rise),    cmocka_unit_test(test_numbers_used),
        cmocka_unit_test(test_never_opened),    cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_table),           cmocka_unit_test(test_every_message_in_every_state),
        cmocka_unit_test(test_data_refused),    cmocka_unit_test(test_data_behind_the_end),
        cmocka_unit_test(test_data_after_exit), cmocka_unit_test(test_data_before_the_answer),
        cmocka_unit_test(test_ack_refused),     cmocka_unit_test(test_ack_on_closed),
        cmocka_unit_test(test_exit_counts),     cmocka_unit_test(test_exit_keeps_output),
        cmocka_unit_test(test_started_offsets), cmocka_unit_test(test_started_behind_ack),
        cmocka_unit_test(test_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
