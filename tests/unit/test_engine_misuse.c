/*
 * The engine's answers to a caller that asks for what cannot be: each error that proto/engine.h
 * names, and that nothing has changed by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/engine.h"
#include "proto/engine_internal.h"
#include "tests/duel/lone.h"

static const uint8_t token[8];
static const char blanks[RX_WORDS_MAX + 1];

static enum rx_error request(struct lone *l, enum rx_type type, struct rx_channel **channel)
{
    return rx_engine_request(l->engine, type, NULL, 0, NULL, 0, channel);
}

/* The engine works as before: what is asked next gets the next number. */
static void expect_unharmed(struct lone *l)
{
    assert_int_equal(rx_engine_error(l->engine), RX_OK);
    uint32_t stream = l->stream + 1;
    struct rx_channel *channel = lone_running(l);
    assert_int_equal(rx_channel_stream(channel), stream);
    assert_ptr_equal(rx_engine_channel(l->engine, stream), channel);
    enum rx_which which = l->role == RX_CLIENT ? RX_WHICH_STDIN : RX_WHICH_STDOUT;
    assert_int_equal(rx_engine_write(l->engine, channel, which, "x", 1), 1);
    assert_true(lone_hears(l, l->role == RX_CLIENT ? RX_STDIN : RX_STDOUT, stream));
    assert_int_equal(lone_hear_all(l), 0);
}

/* ---- requests --------------------------------------------------------------------------- */

static void test_no_requests(void **state)
{
    (void)state;
    struct rx_channel *channel = NULL;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        lone_open(&l, (enum rx_role)role, NULL);
        for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
            enum rx_type type = (enum rx_type)rx_kind_at(i)->number;
            if (role == RX_CLIENT && rx_is_request((uint8_t)type))
                continue;
            assert_int_equal(request(&l, type, &channel), RX_E_MISUSE);
            assert_null(channel);
        }
        expect_unharmed(&l);
        lone_close(&l);
    }
}

/* These need a channel. */
static void test_requests_of_nothing(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_RESUME, RX_DETACH, RX_RESIZE};
    struct rx_channel *channel = NULL;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(request(&l, types[i], &channel), RX_E_MISUSE);
    assert_null(channel);
    expect_unharmed(&l);
    lone_close(&l);
}

/* A channel that is bound already cannot be bound again. */
static void test_requests_on_bound(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_EXEC, RX_RESUME, RX_ATTACH, RX_LIST, RX_FORGET};
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *bound = lone_running(&l);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct rx_channel *channel = bound;
        assert_int_equal(request(&l, types[i], &channel), RX_E_MISUSE);
        assert_ptr_equal(channel, bound);
        assert_int_equal(rx_channel_stream(bound), 1);
        assert_int_equal(rx_channel_state(bound), RX_STREAM_RUNNING);
        assert_null(rx_engine_channel_at(l.engine, 1));
    }
    expect_unharmed(&l);
    lone_close(&l);
}

/* Of a released channel, only EXEC and RESUME can be made. */
static void test_requests_on_released(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_ATTACH, RX_LIST,   RX_FORGET,
                                         RX_SIGNAL, RX_DETACH, RX_RESIZE};
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *released = lone_running(&l), *channel = released;
    assert_int_equal(rx_engine_release(l.engine, released, NULL, 0), RX_OK);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_int_equal(request(&l, types[i], &channel), RX_E_MISUSE);
        assert_ptr_equal(channel, released);
    }
    assert_false(rx_engine_pending(l.engine));
    expect_unharmed(&l);
    rx_channel_free(released);
    lone_close(&l);
}

static void test_channel_of_another_engine(void **state)
{
    (void)state;
    struct lone l, other;
    lone_open(&l, RX_CLIENT, NULL);
    lone_open(&other, RX_CLIENT, NULL);
    (void)lone_running(&l);
    struct rx_channel *theirs = lone_running(&other), *channel = theirs;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++)
        if (rx_is_request(rx_kind_at(i)->number))
            assert_int_equal(request(&l, (enum rx_type)rx_kind_at(i)->number, &channel),
                             RX_E_MISUSE);
    assert_int_equal(rx_engine_release(l.engine, theirs, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_exit_ack(l.engine, theirs), RX_E_MISUSE);
    assert_int_equal(rx_engine_write(l.engine, theirs, RX_WHICH_STDIN, "x", 1), 1);
    assert_false(rx_engine_pending(l.engine));
    expect_unharmed(&l);
    expect_unharmed(&other);
    lone_close(&l);
    lone_close(&other);
}

/* The channel that the last event closed is there to be looked at, and for nothing else. */
static void test_channel_that_closed(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *first = lone_running(&l), *second = lone_running(&l);
    assert_int_equal(lone_say(&l, RX_REFUSED, RX_FLAG_LAST, 1, NULL, NULL, 0), RX_OK);
    struct rx_channel *closed = l.event.channel;
    assert_ptr_equal(closed, first);
    assert_int_equal(rx_channel_state(closed), RX_STREAM_CLOSED);
    assert_int_equal(request(&l, RX_EXEC, &closed), RX_E_MISUSE);
    assert_int_equal(request(&l, RX_RESUME, &closed), RX_E_MISUSE);
    assert_int_equal(request(&l, RX_SIGNAL, &closed), RX_E_MISUSE);
    assert_int_equal(request(&l, RX_RESIZE, &closed), RX_E_MISUSE);
    assert_int_equal(rx_engine_exit_ack(l.engine, closed), RX_E_MISUSE);
    assert_int_equal(rx_engine_release(l.engine, closed, NULL, 0), RX_E_MISUSE);
    (void)rx_engine_write(l.engine, closed, RX_WHICH_STDIN, "x", 1);
    rx_engine_consume(l.engine, closed, RX_WHICH_STDOUT, 0);
    assert_false(rx_engine_pending(l.engine));
    assert_ptr_equal(rx_engine_channel_at(l.engine, 0), second);
    assert_null(rx_engine_channel_at(l.engine, 1));
    expect_unharmed(&l);
    lone_close(&l);
}

static void test_bounds(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = NULL, *running = lone_running(&l);
    struct rx_engine *e = l.engine;
    assert_int_equal(rx_engine_request(e, RX_EXEC, blanks, 4097, NULL, 0, &channel),
                     RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_request(e, RX_EXEC, NULL, 0, blanks, RX_WORDS_MAX + 1, &channel),
                     RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_request(e, RX_LIST, blanks, 1025, NULL, 0, &channel),
                     RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_request(e, RX_LIST, NULL, 0, blanks, 1, &channel), RX_E_BAD_MESSAGE);
    assert_null(channel);
    assert_int_equal(rx_engine_request(e, RX_RESIZE, blanks, 1025, NULL, 0, &running),
                     RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_close(e, blanks, 1025), RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_exit_ack(e, running), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_request(e, RX_EXEC, blanks, 4096, blanks, RX_WORDS_MAX, &channel),
                     RX_OK);
    l.stream = rx_channel_stream(channel);
    assert_int_equal(lone_hear_all(&l), 1);
    expect_unharmed(&l);
    lone_close(&l);
}

/* Nothing is left of a request that could not be made, and its number is used by the next. */
static void test_limits(void **state)
{
    (void)state;
    struct rx_engine_config config = {.max_channels = 2, .max_queue = 100};
    struct rx_channel *channel = NULL, *one, *two;
    struct lone l;
    lone_open(&l, RX_CLIENT, &config);
    one = lone_asked(&l);
    two = lone_asked(&l);
    assert_int_equal(request(&l, RX_LIST, &channel), RX_E_LIMIT_REACHED);
    assert_int_equal(rx_engine_release(l.engine, one, NULL, 0), RX_OK);
    rx_channel_free(one);

    while (rx_engine_queued(l.engine) < 100)
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    assert_int_equal(request(&l, RX_LIST, &channel), RX_E_FLOOD);
    assert_int_equal(request(&l, RX_RESIZE, &two), RX_E_FLOOD);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_FLOOD);
    assert_int_equal(rx_engine_close(l.engine, NULL, 0), RX_E_FLOOD);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_OPEN);
    assert_true(lone_hear_all(&l) > 0);

    l.engine->last_stream = UINT32_MAX - 1;
    assert_int_equal(request(&l, RX_LIST, &channel), RX_OK);
    assert_int_equal(rx_channel_stream(channel), UINT32_MAX);
    assert_true(lone_hears(&l, RX_LIST, UINT32_MAX));
    assert_int_equal(lone_say(&l, RX_LISTED, RX_FLAG_LAST, UINT32_MAX, NULL, NULL, 0), RX_OK);
    channel = NULL;
    assert_int_equal(request(&l, RX_LIST, &channel), RX_E_STREAMS_EXHAUSTED);
    assert_null(channel);
    assert_int_equal(rx_engine_error(l.engine), RX_OK);
    lone_close(&l);
}

/* A MAC that fails is final: the chain cannot go on. A released channel stays the caller's. */
static void test_mac_fails(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = NULL, *released = lone_running(&l), *bound = lone_running(&l);
    assert_int_equal(rx_engine_release(l.engine, released, NULL, 0), RX_OK);
    l.mac.fail_at = l.mac.calls + 1;
    assert_int_equal(request(&l, RX_EXEC, &channel), RX_E_CRYPTO_FAILED);
    assert_null(channel);
    l.mac.fail_at = 0;
    assert_int_equal(request(&l, RX_LIST, &channel), RX_E_CRYPTO_FAILED);
    assert_int_equal(request(&l, RX_RESIZE, &bound), RX_E_CRYPTO_FAILED);
    struct rx_channel *again = released;
    assert_int_equal(request(&l, RX_RESUME, &again), RX_E_CRYPTO_FAILED);
    assert_ptr_equal(again, released);
    assert_null(rx_engine_channel_at(l.engine, 1));
    assert_false(rx_engine_pending(l.engine));
    rx_channel_free(released);
    lone_close(&l);
}

/* ---- answers ---------------------------------------------------------------------------- */

static enum rx_error answer(struct lone *l, enum rx_type type, struct rx_channel *channel,
                            bool last)
{
    return rx_engine_answer(l->engine, type, channel, last, NULL, 0, NULL, 0);
}

static void test_answers(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *asked = lone_asked(&l), *running = lone_running(&l);
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        enum rx_type type = (enum rx_type)rx_kind_at(i)->number;
        if (type != RX_REFUSED && type != RX_DONE)
            assert_int_equal(answer(&l, type, running, false), RX_E_MISUSE);
    }
    assert_int_equal(answer(&l, RX_REFUSED, asked, false), RX_E_BAD_STATE);
    assert_int_equal(answer(&l, RX_DONE, asked, false), RX_E_BAD_STATE);
    assert_int_equal(answer(&l, RX_DONE, asked, true), RX_E_BAD_STATE);
    assert_int_equal(answer(&l, RX_DONE, running, true), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_answer(l.engine, RX_DONE, running, false, blanks, 1025, NULL, 0),
                     RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_answer(l.engine, RX_DONE, running, false, NULL, 0, blanks, 1),
                     RX_E_BAD_MESSAGE);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(answer(&l, RX_DONE, running, false), RX_OK);
    assert_int_equal(answer(&l, RX_REFUSED, running, false), RX_OK);
    assert_int_equal(rx_channel_state(running), RX_STREAM_RUNNING);
    assert_int_equal(answer(&l, RX_REFUSED, asked, true), RX_OK);
    assert_null(rx_engine_channel(l.engine, 1));
    assert_int_equal(lone_hear_all(&l), 3);

    assert_int_equal(lone_say(&l, RX_LIST, 0, ++l.stream, NULL, NULL, 0), RX_OK);
    struct rx_channel *list = l.event.channel;
    assert_int_equal(answer(&l, RX_DONE, list, true), RX_E_MISUSE);
    assert_int_equal(answer(&l, RX_LISTED, list, false), RX_OK);
    assert_int_equal(
        rx_engine_answer(l.engine, RX_LISTED, list, true, blanks, 4096, blanks, RX_WORDS_MAX),
        RX_OK);
    assert_int_equal(lone_hear_all(&l), 2);
    assert_int_equal(lone_say(&l, RX_FORGET, 0, ++l.stream, NULL, NULL, 0), RX_OK);
    struct rx_channel *forget = l.event.channel;
    assert_int_equal(answer(&l, RX_LISTED, forget, true), RX_E_MISUSE);
    assert_int_equal(answer(&l, RX_DONE, forget, false), RX_E_BAD_STATE);
    assert_int_equal(answer(&l, RX_DONE, forget, true), RX_OK);
    assert_int_equal(lone_hear_all(&l), 1);
    expect_unharmed(&l);
    lone_close(&l);
}

static void test_start(void **state)
{
    (void)state;
    static const uint8_t offsets[RX_OFFSETS_SIZE];
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *exec = lone_asked(&l), *running = lone_running(&l);
    struct rx_engine *e = l.engine;
    assert_int_equal(lone_say(&l, RX_RESUME, 0, ++l.stream, NULL, offsets, sizeof offsets), RX_OK);
    struct rx_channel *resume = l.event.channel;
    assert_int_equal(rx_engine_start(e, RX_RESUMED, &exec, NULL, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_start(e, RX_STARTED, &resume, NULL, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_start(e, RX_RESUMED, &resume, NULL, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_start(e, RX_STARTED, &running, NULL, NULL, 0), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_start(e, RX_STARTED, &exec, NULL, blanks, 1025), RX_E_BAD_MESSAGE);
    /* The command that is meant must have been released. */
    assert_int_equal(rx_engine_start(e, RX_RESUMED, &resume, running, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_start(e, RX_RESUMED, &resume, resume, NULL, 0), RX_E_MISUSE);
    assert_false(rx_engine_pending(e));
    assert_int_equal(rx_engine_release(e, running, NULL, 0), RX_OK);
    struct rx_channel *gone = running;
    assert_int_equal(rx_engine_start(e, RX_STARTED, &gone, NULL, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_start(e, RX_RESUMED, &resume, running, NULL, 0), RX_OK);
    assert_ptr_equal(resume, running);
    assert_true(lone_hears(&l, RX_RESUMED, 3));
    expect_unharmed(&l);
    lone_close(&l);

    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *ours = lone_asked(&l);
    assert_int_equal(rx_engine_start(l.engine, RX_STARTED, &ours, NULL, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_channel_out(ours, RX_WHICH_STDIN)->limit, 65536);
    expect_unharmed(&l);
    lone_close(&l);
}

static void test_exit(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *asked = lone_asked(&l), *running = lone_running(&l);
    assert_int_equal(rx_engine_exit(l.engine, asked, NULL, 0), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_exit(l.engine, running, blanks, 4097), RX_E_BAD_MESSAGE);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(rx_engine_exit(l.engine, running, blanks, 4096), RX_OK);
    assert_int_equal(rx_engine_exit(l.engine, running, NULL, 0), RX_E_BAD_STATE);
    assert_true(lone_hears(&l, RX_EXIT, 2));
    assert_int_equal(rx_engine_exit(l.engine, running, NULL, 0), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_exit_ack(l.engine, running), RX_E_BAD_MESSAGE);
    expect_unharmed(&l);
    lone_close(&l);

    lone_open(&l, RX_CLIENT, NULL);
    running = lone_running(&l);
    assert_int_equal(rx_engine_exit(l.engine, running, NULL, 0), RX_E_BAD_MESSAGE);
    expect_unharmed(&l);
    lone_close(&l);
}

/* What is the other role's to say. */
static void test_roles(void **state)
{
    (void)state;
    struct lone l;
    lone_begin(&l, RX_CLIENT, NULL);
    assert_int_equal(rx_engine_welcome(l.engine, NULL, 0), RX_E_BAD_MESSAGE);
    lone_close(&l);
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_E_BAD_MESSAGE);
    assert_int_equal(answer(&l, RX_DONE, channel, false), RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_release(l.engine, channel, "{}", 2), RX_E_BAD_MESSAGE);
    assert_ptr_equal(rx_engine_channel(l.engine, 1), channel);
    expect_unharmed(&l);
    lone_close(&l);
    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(rx_engine_close(l.engine, NULL, 0), RX_E_BAD_MESSAGE);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_OPEN);
    expect_unharmed(&l);
    lone_close(&l);
}

/* ---- data ------------------------------------------------------------------------------- */

/* The half that this side does not have. */
static void test_wrong_half(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        lone_open(&l, (enum rx_role)role, NULL);
        struct rx_channel *channel = lone_running(&l);
        enum rx_which in = role == RX_CLIENT ? RX_WHICH_STDOUT : RX_WHICH_STDIN;
        enum rx_which out = role == RX_CLIENT ? RX_WHICH_STDIN : RX_WHICH_STDOUT;
        const uint8_t *bytes = NULL;
        uint8_t *room = NULL;
        assert_int_equal(rx_engine_write(l.engine, channel, in, "x", 1), 0);
        assert_int_equal(rx_engine_write_room(channel, in, 10, &room), 0);
        rx_engine_written(l.engine, channel, in, 0);
        rx_engine_finish(l.engine, channel, in);
        assert_int_equal(rx_engine_write(l.engine, channel, out, "x", 1), 1);
        assert_int_equal(rx_engine_peek(l.engine, channel, out, &bytes), 0);
        rx_engine_consume(l.engine, channel, out, 1);
        rx_engine_ack(l.engine, channel, out);
        assert_int_equal(lone_hear_all(&l), 1);
        lone_close(&l);
    }
}

/* Bytes can still be written and used on a released channel; no engine hears of it. */
static void test_data_of_a_released_channel(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, NULL, 200000), RX_OK);
    assert_int_equal(rx_engine_release(l.engine, channel, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_release(l.engine, channel, NULL, 0), RX_E_MISUSE);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 200000);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 150000);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDOUT);
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "abc", 3), 3);
    rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_hear_all(&l), 0);
    expect_unharmed(&l);
    rx_channel_free(channel);
    assert_false(rx_engine_pending(l.engine));
    lone_close(&l);
}

/* The command is refused while the first of its stdin is looked at: the bytes go with the stream.
 */
static void test_refused_within_an_event(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_asked(&l);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 1000), RX_OK);
    assert_ptr_equal(l.engine->direct.channel, channel);
    assert_int_equal(rx_engine_answer(l.engine, RX_REFUSED, channel, true, NULL, 0, NULL, 0),
                     RX_OK);
    assert_null(l.engine->direct.channel); /* it is freed */
    assert_true(lone_hears(&l, RX_REFUSED, 1));
    assert_int_equal(lone_settle(&l), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 1000, NULL, 1000), RX_OK);
    assert_null(l.event.channel);
    expect_unharmed(&l);
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_requests),
        cmocka_unit_test(test_requests_of_nothing),
        cmocka_unit_test(test_requests_on_bound),
        cmocka_unit_test(test_requests_on_released),
        cmocka_unit_test(test_channel_of_another_engine),
        cmocka_unit_test(test_channel_that_closed),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_mac_fails),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_exit),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_wrong_half),
        cmocka_unit_test(test_data_of_a_released_channel),
        cmocka_unit_test(test_refused_within_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
