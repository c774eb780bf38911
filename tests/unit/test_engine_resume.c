/*
 * A client's commands that go from one connection to another: release, RESUME, ATTACH, the same
 * EXEC again (docs/PROTOCOL.md, section 11), against a server made by hand.
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
#include "tests/unit/lost.h"

/* ---- the client resumes ----------------------------------------------------------------- */

/* A command of which 1000 bytes of stdin were sent, 300 of them acknowledged, and 500 bytes of
 * stdout were received, 200 of them used. */
static struct rx_channel *client_lost(struct lone *l)
{
    lone_open(l, RX_CLIENT, NULL);
    (void)lone_asked(l); /* so that stream numbers differ between the connections */
    struct rx_channel *channel = lone_running(l);
    write_from(l, channel, RX_WHICH_STDIN, 0, 1000);
    assert_int_equal(lone_hear_all(l), 1);
    assert_int_equal(lone_say_ack(l, 2, RX_WHICH_STDIN, 300, 65536), RX_OK);
    assert_int_equal(lone_say_data(l, RX_STDOUT, 0, 2, 0, pattern, 500), RX_OK);
    rx_engine_consume(l->engine, channel, RX_WHICH_STDOUT, 200);
    release(l, channel);
    lone_close(l);
    return channel;
}

static struct rx_channel *client_resumes(struct lone *l, struct rx_channel *channel)
{
    lone_open(l, RX_CLIENT, NULL);
    struct rx_channel *same = channel;
    assert_int_equal(rx_engine_request(l->engine, RX_RESUME, NULL, 0, NULL, 0, &same), RX_OK);
    assert_ptr_equal(same, channel);
    assert_int_equal(rx_channel_stream(channel), 1);
    assert_int_equal(rx_channel_state(channel), RX_STREAM_ASKED);
    return channel;
}

static void test_client_resumes(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    struct rx_channel *channel = client_resumes(&l, client_lost(&l));
    /* One window for stdout and stderr: the smaller one. 262144 beyond 200 is 261844 beyond 500. */
    const struct rx_offsets named = {.at = {300, 500, 0}, .window = 261844};
    expect_offsets(&l, RX_RESUME, &named);
    /* Nothing is sent until the answer says from where. */
    rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 0);
    assert_false(rx_engine_pending(l.engine));
    const struct rx_offsets answer = {.at = {700, 500, 0}, .window = 100};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    expect_data(&l, RX_STDIN, 700, 100, false);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDIN, 800, 65536), RX_OK);
    expect_data(&l, RX_STDIN, 800, 200, true);
    /* What was received before is still there, and what comes now goes behind it. */
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 500, pattern + 500, 50), RX_OK);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 350);
    assert_memory_equal(bytes, pattern + 200, 350);
    lone_close(&l);
}

/* The limits are those of RESUME, for both alike, whatever was promised before. */
static void test_client_limits_after_resume(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        struct lone l;
        (void)client_resumes(&l, client_lost(&l));
        assert_true(lone_hears(&l, RX_RESUME, 1));
        const struct rx_offsets answer = {.at = {300, 500, 0}, .window = 65536};
        assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
        unsigned type = what % 2 == 0 ? RX_STDOUT : RX_STDERR;
        uint64_t at = what % 2 == 0 ? 500 : 0;
        assert_int_equal(lone_say_data(&l, type, 0, 1, at, NULL, 261000), RX_OK);
        assert_int_equal(lone_say_data(&l, type, 0, 1, at + 261000, NULL, 844 + what / 2),
                         what < 2 ? RX_OK : RX_E_WINDOW_EXCEEDED);
        lone_close(&l);
    }
}

/* On the new connection ACKs are due as if none had been sent; none goes before the answer. */
static void test_client_acknowledges_after_resume(void **state)
{
    (void)state;
    struct lone l;
    struct rx_message m;
    struct rx_channel *channel = client_resumes(&l, client_lost(&l));
    assert_true(lone_hears(&l, RX_RESUME, 1));
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 300);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDOUT);
    assert_int_equal(lone_hear_all(&l), 0);
    const struct rx_offsets answer = {.at = {300, 500, 0}, .window = 100};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    assert_true(lone_hears(&l, RX_ACK, 1)); /* the one that was asked for */
    assert_true(lone_hears(&l, RX_STDIN, 1));
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 500, NULL, 131072), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 131071);
    assert_false(rx_engine_pending(l.engine));
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 1);
    assert_true(lone_hear(&l, &m));
    assert_int_equal(m.type, RX_ACK);
    assert_int_equal(rx_get64(m.body + 8), 131572);
    assert_int_equal(lone_hear_all(&l), 0);
    lone_close(&l);
}

static void test_resumed_refused(void **state)
{
    (void)state;
    static const struct rx_offsets bad[] = {
        {.at = {299, 500, 0}, .window = 65536},
        {.at = {1001, 500, 0}, .window = 65536},
        {.at = {300, 499, 0}, .window = 65536},
        {.at = {300, 501, 0}, .window = 65536},
        {.at = {300, 500, 1}, .window = 65536},
        {.at = {300, 500, 0}, .window = 65536, .ended = {true}},
        {.at = {1000, 500, 0}, .window = 65536, .ended = {true}},
        {.at = {300, 500, 0}, .window = 65536, .ended = {false, true}},
        {.at = {300, 500, 0}, .window = 65536, .ended = {false, false, true}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lone l;
        (void)client_resumes(&l, client_lost(&l));
        assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &bad[i]), RX_E_BAD_OFFSET);
        lone_close(&l);
    }
    struct lone l;
    (void)client_resumes(&l, client_lost(&l));
    const struct rx_offsets good = {.at = {300, 500, 0}, .window = 65536};
    assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &good), RX_E_BAD_STATE);
    lone_close(&l);
}

/* A client that has heard EXIT, but could not say so, says that all output has ended. */
static void test_client_resumes_after_exit(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDERR, RX_FLAG_LAST, 1, 0, pattern, 5), RX_OK);
    assert_int_equal(lone_say_exit(&l, 1, 0, 0, 5), RX_OK);
    release(&l, channel);
    lone_close(&l);
    (void)client_resumes(&l, channel);
    const struct rx_offsets named = {
        .at = {0, 0, 5}, .window = 262139, .ended = {false, true, true}};
    expect_offsets(&l, RX_RESUME, &named);
    const struct rx_offsets answer = {.at = {0, 0, 5}, .window = 65536};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    assert_int_equal(lone_say_exit(&l, 1, 0, 0, 5), RX_OK);
    assert_int_equal(rx_engine_exit_ack(l.engine, channel), RX_OK);
    lone_close(&l);
}

/* Tried again and again, with other losses between: the channel is as good as before. */
static void test_client_resumes_often(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *channel = client_lost(&l);
    for (unsigned i = 0; i < 5; i++) {
        channel = client_resumes(&l, channel);
        const struct rx_offsets named = {.at = {300, 500, 0}, .window = 261844};
        expect_offsets(&l, RX_RESUME, &named);
        release(&l, channel);
        lone_close(&l);
    }
    struct rx_engine_config config = {.max_queue = 1};
    lone_open(&l, RX_CLIENT, &config);
    static const uint8_t token[8];
    assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    struct rx_channel *same = channel;
    assert_int_equal(rx_engine_request(l.engine, RX_RESUME, NULL, 0, NULL, 0, &same), RX_E_FLOOD);
    assert_int_equal(lone_hear_all(&l), 1);
    assert_int_equal(rx_engine_request(l.engine, RX_RESUME, NULL, 0, NULL, 0, &same), RX_OK);
    assert_true(lone_hears(&l, RX_RESUME, 1));
    const struct rx_offsets answer = {.at = {300, 500, 0}, .window = 65536};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    expect_data(&l, RX_STDIN, 300, 700, false);
    lone_close(&l);
}

/* ---- the same EXEC again, at the client ------------------------------------------------- */

static void test_client_asks_again(void **state)
{
    (void)state;
    for (unsigned known = 0; known < 2; known++) { /* whether the first had arrived */
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_asked(&l), *same = channel;
        write_from(&l, channel, RX_WHICH_STDIN, 0, 70000);
        rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
        expect_data(&l, RX_STDIN, 0, 65536, false);
        release(&l, channel);
        lone_close(&l);
        lone_open(&l, RX_CLIENT, NULL);
        assert_int_equal(
            rx_engine_request(l.engine, RX_EXEC, "{\"age_ms\":5}", 12, "again", 5, &same), RX_OK);
        assert_true(lone_hears(&l, RX_EXEC, 1));
        assert_int_equal(lone_hear_all(&l), 0); /* no STDIN before the answer */
        struct rx_offsets answer = {.at = {known != 0 ? 65000 : 0}, .window = 65536};
        assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &answer), RX_OK);
        size_t from = (size_t)answer.at[0];
        if (known == 0) {
            expect_data(&l, RX_STDIN, 0, 65536, false);
            assert_false(rx_engine_pending(l.engine));
        } else {
            expect_data(&l, RX_STDIN, from, 70000 - from, true);
        }
        lone_close(&l);
    }
}

/* Output begins at 0 then, and nothing else is taken for it. */
/* A window that is larger than the first one is news at once, but not before the answer. */
static void test_no_ack_before_the_answer(void **state)
{
    (void)state;
    const struct rx_engine_config config = {.window = 2 * RX_WINDOW_OUTPUT};
    struct lone l;
    lone_open(&l, RX_CLIENT, &config);
    struct rx_channel *channel = lone_asked(&l);
    release(&l, channel);
    lone_close(&l);
    lone_open(&l, RX_CLIENT, &config);
    assert_int_equal(rx_engine_request(l.engine, RX_EXEC, NULL, 0, NULL, 0, &channel), RX_OK);
    assert_true(lone_hears(&l, RX_EXEC, 1));
    rx_engine_ack(l.engine, channel, RX_WHICH_STDOUT);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_hear_all(&l), 0);
    const struct rx_offsets answer = {.window = 65536};
    assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &answer), RX_OK);
    assert_true(lone_hears(&l, RX_ACK, 1));
    lone_close(&l);
}

static void test_asked_again_refused(void **state)
{
    (void)state;
    static const struct rx_offsets bad[] = {
        {.at = {0, 1, 0}, .window = 65536},        {.at = {0, 0, 1}, .window = 65536},
        {.at = {1, 0, 0}, .window = 65536},        {.window = 65536, .ended = {true}},
        {.window = 65536, .ended = {false, true}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_asked(&l);
        release(&l, channel);
        lone_close(&l);
        lone_open(&l, RX_CLIENT, NULL);
        assert_int_equal(rx_engine_request(l.engine, RX_EXEC, NULL, 0, NULL, 0, &channel), RX_OK);
        assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &bad[i]), RX_E_BAD_OFFSET);
        lone_close(&l);
    }
}

/* ---- ATTACH, at the client -------------------------------------------------------------- */

static struct rx_channel *client_attaches(struct lone *l)
{
    struct rx_channel *channel = NULL;
    lone_open(l, RX_CLIENT, NULL);
    assert_int_equal(rx_engine_request(l->engine, RX_ATTACH, NULL, 0, NULL, 0, &channel), RX_OK);
    assert_true(lone_hears(l, RX_ATTACH, 1));
    return channel;
}

static void test_client_attaches(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *channel = client_attaches(&l);
    write_from(&l, channel, RX_WHICH_STDIN, 100, 50); /* will be at offset 100 */
    assert_false(rx_engine_pending(l.engine));
    const struct rx_offsets answer = {.at = {100, 5000, 60}, .window = 65536};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    expect_data(&l, RX_STDIN, 100, 50, false);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 5000, NULL, 5), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDERR, 0, 1, 60, NULL, 200000), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDERR, 0, 1, 200060, NULL, 62144), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDERR, 0, 1, 262204, NULL, 1), RX_E_WINDOW_EXCEEDED);
    lone_close(&l);

    (void)client_attaches(&l);
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, NULL, 5), RX_E_BAD_OFFSET);
    lone_close(&l);

    channel = client_attaches(&l);
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 5000, NULL, 131072), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 131072);
    assert_true(lone_hears(&l, RX_ACK, 1));
    lone_close(&l);

    (void)client_attaches(&l);
    const struct rx_offsets ended = {.at = {100, 0, 0}, .window = 65536, .ended = {false, true}};
    assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &ended), RX_E_BAD_OFFSET);
    lone_close(&l);
}

/* Where stdin has ended already, what was written for it is for nobody. */
static void test_client_attaches_behind_stdin(void **state)
{
    (void)state;
    for (size_t n = 0; n < 3; n++) {
        struct lone l;
        struct rx_channel *channel = client_attaches(&l);
        write_from(&l, channel, RX_WHICH_STDIN, 0, n);
        const struct rx_offsets answer = {.at = {9, 5, 5}, .window = 65536, .ended = {true}};
        assert_int_equal(lone_say_offsets(&l, RX_RESUMED, 1, &answer), RX_OK);
        assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "x", 1), 0);
        rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
        assert_int_equal(lone_hear_all(&l), 0);
        lone_close(&l);
    }
}

/* ---- taken over, and released ----------------------------------------------------------- */

static void test_taken_over_at_the_client(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, pattern, 5), RX_OK);
    write_from(&l, channel, RX_WHICH_STDIN, 0, 10);
    assert_int_equal(lone_say(&l, RX_REFUSED, RX_FLAG_LAST, 1, "{\"code\":76}", NULL, 0), RX_OK);
    assert_ptr_equal(l.event.channel, channel);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 5);
    assert_null(rx_engine_channel(l.engine, 1));
    assert_int_equal(lone_hear_all(&l), 0);
    assert_int_equal(lone_settle(&l), RX_OK); /* now it is freed */
    lone_close(&l);
}

/* Released in the middle of an event: what of it was not used stays in the channel. */
static void test_release_within_an_event(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, pattern, 100), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 30);
    release(&l, channel);
    memset(l.said, 0, 200); /* the input may be reused */
    assert_int_equal(lone_settle(&l), RX_OK);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 70);
    assert_memory_equal(bytes, pattern + 30, 70);
    rx_channel_free(channel);
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_resumes),
        cmocka_unit_test(test_client_limits_after_resume),
        cmocka_unit_test(test_client_acknowledges_after_resume),
        cmocka_unit_test(test_resumed_refused),
        cmocka_unit_test(test_client_resumes_after_exit),
        cmocka_unit_test(test_client_resumes_often),
        cmocka_unit_test(test_client_asks_again),
        cmocka_unit_test(test_no_ack_before_the_answer),
        cmocka_unit_test(test_asked_again_refused),
        cmocka_unit_test(test_client_attaches),
        cmocka_unit_test(test_client_attaches_behind_stdin),
        cmocka_unit_test(test_taken_over_at_the_client),
        cmocka_unit_test(test_release_within_an_event),
    };
    return cmocka_run_group_tests(tests, lost_fill, NULL);
}
