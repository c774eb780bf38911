/*
 * CLOSE, the client's last word; and what a caller may not do with a channel that is closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/duel/pair.h"

/* Nothing is sent behind CLOSE: no data that waited, no ACK that is due, no message. */
static void test_nothing_behind_close(void **state)
{
    (void)state;
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, RX_WINDOW_OUTPUT);
    pair_move(&s.server, &s.client, &ears);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 100);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, RX_WINDOW_OUTPUT / 2);
    assert_int_equal(rx_engine_close(s.client.engine, NULL, 0), RX_OK);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 100, 100);
    rx_engine_finish(s.client.engine, c.client, RX_WHICH_STDIN);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, RX_WINDOW_OUTPUT / 2, RX_WINDOW_OUTPUT / 2);
    rx_engine_ack(s.client.engine, c.client, RX_WHICH_STDERR);
    pair_move(&s.client, &s.server, &ears);
    assert_int_equal(ears.types, UINT64_C(1) << RX_CLOSE);
    assert_false(rx_engine_pending(s.client.engine));
    struct rx_channel *none = NULL;
    assert_int_equal(end_exec(&s.client, 2, &none), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_ping(s.client.engine, pair_bytes()), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_close(s.client.engine, NULL, 0), RX_E_BAD_STATE);
    /* What the server still says is heard. */
    assert_int_equal(end_exit(&s.server, c.server, 1), RX_OK);
    pair_move(&s.server, &s.client, &ears);
    assert_true(ears_heard(&ears, RX_EXIT));
    assert_int_equal(rx_engine_error(s.client.engine), RX_OK);
    assert_int_equal(rx_engine_error(s.server.engine), RX_OK);
    assert_false(rx_engine_pending(s.client.engine));
    session_close(&s);
}

/* CLOSE right behind the request: WELCOME still has to come first, and is taken. */
static void test_close_before_welcome(void **state)
{
    (void)state;
    for (int welcomed = 0; welcomed <= 1; welcomed++) {
        struct session s;
        struct ears ears;
        session_open(&s, pair_dice(), RX_SUITE_CHACHA20POLY1305, NULL, NULL);
        struct pair_command c = {NULL, NULL};
        assert_int_equal(end_exec(&s.client, 1, &c.client), RX_OK);
        pair_move(&s.client, &s.server, &ears);
        c.server = ears.channel;
        if (!welcomed) { /* the first record that the client sees is another */
            static uint8_t bytes[RX_OUTPUT_MIN];
            size_t n = rx_engine_output(s.server.engine, bytes, sizeof bytes);
            assert_true(n > 0);
            s.client.in.counter++;
        }
        assert_int_equal(end_started(&s.server, c.server), RX_OK);
        assert_int_equal(rx_engine_close(s.client.engine, NULL, 0), RX_OK);
        static struct tape tape;
        tape.n = 0;
        tape_output(&tape, s.server.engine);
        ears = (struct ears){0};
        const struct listener l = {ears_hear, &ears};
        assert_int_equal(deliver(s.client.engine, tape.bytes, tape.n, &l),
                         welcomed ? RX_NEXT_MORE : RX_NEXT_ERROR);
        assert_int_equal(ears.count, welcomed ? 2 : 0);
        assert_int_equal(rx_engine_error(s.client.engine), welcomed ? RX_OK : RX_E_BAD_STATE);
        session_close(&s);
    }
}

/* ---- what callers may not do ------------------------------------------------------------ */

static enum rx_error release_error;

static void release_it(void *context, const struct rx_event *event)
{
    if (event->message.type == RX_REFUSED)
        release_error = rx_engine_release(context, event->channel, NULL, 0);
}

/* A channel that its event closed cannot be taken out, and nothing else comes out instead. */
static void test_release_of_a_closed_channel(void **state)
{
    (void)state;
    struct session s;
    pair_open(&s, NULL, NULL);
    struct pair_command first = pair_run(&s);
    struct pair_command second = pair_run(&s);
    assert_int_equal(end_refuse(&s.server, first.server, true, RX_E_TAKEN_OVER), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_release(s.server.engine, first.server, "{\"code\":76}", 11), RX_OK);
    rx_channel_free(first.server);
    static struct tape tape;
    tape.n = 0;
    tape_output(&tape, s.server.engine);
    const struct listener l = {release_it, s.client.engine};
    assert_int_equal(deliver(s.client.engine, tape.bytes, tape.n, &l), RX_NEXT_MORE);
    assert_int_equal(release_error, RX_E_MISUSE);
    assert_ptr_equal(rx_engine_channel_at(s.client.engine, 0), second.client);
    assert_null(rx_engine_channel_at(s.client.engine, 1));
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_behind_close),
        cmocka_unit_test(test_close_before_welcome),
        cmocka_unit_test(test_release_of_a_closed_channel),
    };
    assert_true(sodium_init() >= 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
