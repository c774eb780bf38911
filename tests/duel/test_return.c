/*
 * Lost connections, one case at a time: RESUME, EXEC again, ATTACH, a command taken over. The
 * random schedules of test_model.c go over the same ground; here each corner is visited for
 * certain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/bytes.h"
#include "tests/duel/forge.h"
#include "tests/duel/pair.h"

/* ---- RESUME ----------------------------------------------------------------------------- */

/*
 * The window was full and unread when the connection was lost, so RESUME promises nothing. What is
 * read before RESUMED comes must be acknowledged then, or both sides wait for ever.
 */
static void resume_with_full_window(enum rx_which which, bool early)
{
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.server, c.server, which, 0, RX_WINDOW_OUTPUT);
    pair_move(&s.server, &s.client, &ears);
    pair_cut(&s, &c);

    pair_open(&s, NULL, NULL);
    pair_ask_resume(&s, &c, &ears);
    assert_int_equal(ears.offsets.at[which], RX_WINDOW_OUTPUT);
    assert_int_equal(ears.offsets.window, 0);
    if (early)
        pair_read(&s.client, c.client, which, 0, RX_WINDOW_OUTPUT);
    pair_answer_resume(&s, &c, &ears);
    if (!early)
        pair_read(&s.client, c.client, which, 0, RX_WINDOW_OUTPUT);
    assert_true(rx_engine_pending(s.client.engine));
    pair_move(&s.client, &s.server, &ears);
    assert_true(ears_heard(&ears, RX_ACK));
    pair_write(&s.server, c.server, which, 0, 1000);
    pair_move(&s.server, &s.client, &ears);
    pair_read(&s.client, c.client, which, 0, 1000);
    session_close(&s);
}

static void test_resume_with_full_window(void **state)
{
    (void)state;
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        resume_with_full_window(w, true);
        resume_with_full_window(w, false);
    }
}

/*
 * All was read and acknowledged, but the ACKs were lost: the sender is full and has nothing more to
 * send. Only an ACK on the new connection gets it going again, and it comes without being asked.
 */
static void test_acks_that_were_lost(void **state)
{
    (void)state;
    for (enum rx_which w = RX_WHICH_STDIN; w <= RX_WHICH_STDERR; w++) {
        struct session s;
        struct ears ears;
        pair_open(&s, NULL, NULL);
        struct pair_command c = pair_run(&s);
        bool in = w == RX_WHICH_STDIN;
        struct rx_channel *writer = in ? c.client : c.server;
        struct rx_channel *reader = in ? c.server : c.client;
        pair_write(in ? &s.client : &s.server, writer, w, 0, RX_KEEP_MIN);
        pair_move(in ? &s.client : &s.server, in ? &s.server : &s.client, &ears);
        pair_read(in ? &s.server : &s.client, reader, w, 0, RX_KEEP_MIN);
        pair_cut(&s, &c);
        assert_true(rx_out_full(rx_channel_out(writer, w)));

        pair_open(&s, NULL, NULL);
        pair_ask_resume(&s, &c, &ears);
        pair_answer_resume(&s, &c, &ears);
        pair_move(&s.client, &s.server, &ears);
        pair_move(&s.server, &s.client, &ears);
        assert_false(rx_out_full(rx_channel_out(writer, w)));
        session_close(&s);
    }
}

/* EXIT came, its EXIT_ACK did not go out: the client may come back, and EXIT comes again. */
static void resume_after_exit(size_t out, bool last_before, bool twice)
{
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, out);
    if (last_before) {
        rx_engine_finish(s.server.engine, c.server, RX_WHICH_STDOUT);
        rx_engine_finish(s.server.engine, c.server, RX_WHICH_STDERR);
    }
    if (out % 2 == 0)
        pair_move(&s.server, &s.client, &ears);
    assert_int_equal(end_exit(&s.server, c.server, 9), RX_OK);
    pair_move(&s.server, &s.client, &ears);
    assert_true(ears_heard(&ears, RX_EXIT));
    for (int i = 0; i < (twice ? 2 : 1); i++) {
        pair_cut(&s, &c);
        pair_open(&s, NULL, NULL);
        pair_ask_resume(&s, &c, &ears);
        pair_answer_resume(&s, &c, &ears);
        assert_int_equal(ears.last_type, RX_EXIT);
        assert_int_equal(ears.count, 2);
    }
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, out);
    assert_int_equal(rx_engine_exit_ack(s.client.engine, c.client), RX_OK);
    pair_move(&s.client, &s.server, &ears);
    assert_true(ears_heard(&ears, RX_EXIT_ACK));
    session_close(&s);
}

static void test_resume_after_exit(void **state)
{
    (void)state;
    for (size_t out = 0; out < 4; out++) {
        for (int i = 0; i < 4; i++)
            resume_after_exit(out, i % 2 != 0, i / 2 != 0);
    }
}

struct taker {
    struct rx_engine *engine;
    size_t n; /* consumed before the channel is taken out */
};

static void take_out(void *context, const struct rx_event *event)
{
    const struct taker *t = context;
    rx_engine_consume(t->engine, event->channel, event->which, t->n);
    assert_int_equal(rx_engine_release(t->engine, event->channel, NULL, 0), RX_OK);
}

/* The channel is taken out while its bytes are still in the input: they go with it. */
static void test_release_with_the_bytes(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 1000; n += 250) {
        struct session s;
        struct ears ears;
        pair_open(&s, NULL, NULL);
        struct pair_command c = pair_run(&s);
        pair_write(&s.server, c.server, RX_WHICH_STDERR, 0, 1000);
        static struct tape tape;
        tape.n = 0;
        tape_output(&tape, s.server.engine);
        struct taker taker = {s.client.engine, n};
        const struct listener l = {take_out, &taker};
        assert_int_equal(deliver(s.client.engine, tape.bytes, tape.n, &l), RX_NEXT_MORE);
        assert_int_equal(rx_engine_release(s.server.engine, c.server, NULL, 0), RX_OK);
        session_close(&s);

        pair_open(&s, NULL, NULL);
        pair_ask_resume(&s, &c, &ears);
        assert_int_equal(ears.offsets.at[RX_WHICH_STDERR], 1000);
        pair_answer_resume(&s, &c, &ears);
        pair_write(&s.server, c.server, RX_WHICH_STDERR, 1000, 100);
        pair_move(&s.server, &s.client, &ears);
        pair_read(&s.client, c.client, RX_WHICH_STDERR, n, 1100 - n);
        session_close(&s);
    }
}

/* Bytes and ends that were lost come again; those that came do not. */
static void test_what_comes_again(void **state)
{
    (void)state;
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, 5000);
    rx_engine_finish(s.server.engine, c.server, RX_WHICH_STDOUT);
    pair_write(&s.server, c.server, RX_WHICH_STDERR, 0, 100);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 300);
    pair_move(&s.server, &s.client, &ears);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, 2000); /* 3000 stay in the channel */
    pair_write(&s.server, c.server, RX_WHICH_STDERR, 100, 50);
    rx_engine_finish(s.server.engine, c.server, RX_WHICH_STDERR);
    rx_engine_finish(s.client.engine, c.client, RX_WHICH_STDIN);
    pair_cut(&s, &c); /* 50 of stderr and its end, all of stdin */

    pair_open(&s, NULL, NULL);
    pair_ask_resume(&s, &c, &ears);
    const struct rx_offsets asked = {{0, 5000, 100}, ears.offsets.window, {false, true, false}};
    assert_memory_equal(ears.offsets.at, asked.at, sizeof asked.at);
    assert_memory_equal(ears.offsets.ended, asked.ended, sizeof asked.ended);
    pair_answer_resume(&s, &c, &ears);
    assert_false(ears_heard(&ears, RX_STDOUT));
    assert_true(ears_heard(&ears, RX_STDERR));
    assert_true(rx_channel_in(c.client, RX_WHICH_STDERR)->last);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 2000, 3000);
    pair_read(&s.client, c.client, RX_WHICH_STDERR, 0, 150);
    pair_move(&s.client, &s.server, &ears);
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 0, 300);
    assert_true(rx_in_done(rx_channel_in(c.server, RX_WHICH_STDIN)));
    session_close(&s);
}

/* Offsets that the server cannot serve: nothing has changed. The client's engine would never say
 * them. */
static void try_lost(const struct pair_command *c, const struct rx_offsets *at)
{
    struct rx_session_keys keys = random_keys(pair_dice(), RX_SUITE_CHACHA20POLY1305);
    struct end server;
    struct forger client;
    struct ears ears = {0};
    uint8_t body[RX_OFFSETS_SIZE];
    end_open(&server, RX_SERVER, &keys, NULL);
    forger_open(&client, RX_CLIENT, &keys);
    assert_int_equal(end_welcome(&server), RX_OK);
    rx_offsets_encode(at, body);
    const struct forged resume = {RX_RESUME, 0, 1, "{}", 2, body, sizeof body};
    const struct listener l = {ears_hear, &ears};
    size_t n;
    const uint8_t *record = forge(&client, &resume, &n);
    assert_int_equal(deliver(server.engine, record, n, &l), RX_NEXT_MORE);
    struct rx_channel *asked = ears.channel;
    const struct rx_out before[2] = {*rx_channel_out(c->server, RX_WHICH_STDOUT),
                                     *rx_channel_out(c->server, RX_WHICH_STDERR)};
    assert_int_equal(rx_engine_start(server.engine, RX_RESUMED, &asked, c->server, NULL, 0),
                     RX_E_DATA_LOST);
    assert_ptr_equal(asked, ears.channel);
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++)
        assert_memory_equal(&before[w - 1], rx_channel_out(c->server, w), sizeof before[0]);
    assert_int_equal(end_refuse(&server, asked, true, RX_E_DATA_LOST), RX_OK);
    end_close(&server);
}

static void test_offsets_that_are_lost(void **state)
{
    (void)state;
    static const struct rx_offsets lost[] = {
        {{0, 149999, 1000}, 0, {0}}, /* acknowledged, and no longer kept */
        {{0, 0, 1000}, 0, {0}},
        {{0, 200001, 1000}, 0, {0}}, /* never sent */
        {{0, 200000, 1001}, 0, {0}},
        {{0, 200000, 1000}, 0, {false, true, false}}, /* no such end */
        {{0, 200000, 1000}, 0, {false, false, true}},
        {{101, 200000, 1000}, 0, {0}}, /* stdin that the server still needs */
    };
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 100);
    pair_move(&s.client, &s.server, &ears);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, 200000);
    pair_write(&s.server, c.server, RX_WHICH_STDERR, 0, 1000);
    pair_move(&s.server, &s.client, &ears);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, 150000);
    pair_move(&s.client, &s.server, &ears);
    assert_int_equal(rx_channel_out(c.server, RX_WHICH_STDOUT)->acked, 150000);
    pair_cut(&s, &c);
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        try_lost(&c, &lost[i]);
    pair_open(&s, NULL, NULL);
    pair_ask_resume(&s, &c, &ears);
    pair_answer_resume(&s, &c, &ears);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 150000, 50000);
    session_close(&s);
}

/* ---- EXEC again ------------------------------------------------------------------------- */

/* Until the answer says from where, a repeated EXEC is followed by nothing on its stream. */
static void test_nothing_before_the_answer(void **state)
{
    (void)state;
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = {NULL, NULL};
    assert_int_equal(end_exec(&s.client, 1, &c.client), RX_OK);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 700);
    pair_move(&s.client, &s.server, &ears);
    c.server = ears.channel;
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 0, 400);
    pair_cut(&s, &c);

    const struct rx_engine_config wide = {.window = RX_WINDOW_MAX};
    pair_open(&s, &wide, NULL);
    assert_int_equal(end_exec(&s.client, 1, &c.client), RX_OK);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 700, 300);
    rx_engine_finish(s.client.engine, c.client, RX_WHICH_STDIN);
    rx_engine_ack(s.client.engine, c.client, RX_WHICH_STDOUT);
    pair_move(&s.client, &s.server, &ears);
    assert_int_equal(ears.types, UINT64_C(1) << RX_EXEC);
    struct rx_channel *asked = ears.channel;
    assert_int_equal(
        rx_engine_start(s.server.engine, RX_STARTED, &asked, c.server, "{\"already\":true}", 16),
        RX_OK);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, 10);
    pair_move(&s.server, &s.client, &ears);
    assert_int_equal(ears.offsets.at[0], 700);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, 10);
    pair_move(&s.client, &s.server, &ears);
    assert_true(ears_heard(&ears, RX_STDIN));
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 400, 600);
    assert_true(rx_in_done(rx_channel_in(c.server, RX_WHICH_STDIN)));
    session_close(&s);
}

/* ---- between two connections --------------------------------------------------------------- */

/* The command takes its input, writes and ends while nobody is connected; all of it arrives. */
static void test_life_without_a_connection(void **state)
{
    (void)state;
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 500);
    pair_move(&s.client, &s.server, &ears);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, 100);
    pair_cut(&s, &c);

    const uint8_t *bytes;
    assert_int_equal(rx_engine_peek(NULL, c.server, RX_WHICH_STDIN, &bytes), 500);
    rx_engine_consume(NULL, c.server, RX_WHICH_STDIN, 500);
    uint8_t *room;
    assert_true(rx_engine_write_room(c.server, RX_WHICH_STDERR, 10, &room) >= 10);
    memcpy(room, "0123456789", 10);
    rx_engine_written(NULL, c.server, RX_WHICH_STDERR, 10);
    rx_engine_ack(NULL, c.server, RX_WHICH_STDIN);
    assert_int_equal(rx_engine_exit(NULL, c.server, "{\"code\":3}", 10), RX_OK);
    assert_int_equal(rx_engine_exit(NULL, c.server, "{\"code\":4}", 10), RX_E_BAD_STATE);

    pair_open(&s, NULL, NULL);
    pair_ask_resume(&s, &c, &ears);
    pair_answer_resume(&s, &c, &ears);
    assert_int_equal(ears.offsets.at[RX_WHICH_STDIN], 500);
    assert_int_equal(ears.last_type, RX_EXIT);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, 100);
    assert_int_equal(rx_engine_peek(s.client.engine, c.client, RX_WHICH_STDERR, &bytes), 10);
    assert_memory_equal(bytes, "0123456789", 10);
    session_close(&s);
}

/* The connection went before STARTED: the command's channel is made without one, and the same EXEC
 * finds it. */
static void test_started_without_a_connection(void **state)
{
    (void)state;
    struct session s;
    struct ears ears;
    struct pair_command c = {0};
    c.server = rx_channel_new_running(0, RX_WINDOW_OUTPUT);
    assert_non_null(c.server);
    assert_int_equal(rx_engine_write(NULL, c.server, RX_WHICH_STDOUT, "early", 5), 5);
    pair_open(&s, NULL, NULL);
    assert_int_equal(end_exec(&s.client, 1, &c.client), RX_OK);
    pair_move(&s.client, &s.server, &ears);
    struct rx_channel *asked = ears.channel;
    assert_int_equal(
        rx_engine_start(s.server.engine, RX_STARTED, &asked, c.server, "{\"already\":true}", 16),
        RX_OK);
    assert_ptr_equal(asked, c.server);
    pair_move(&s.server, &s.client, &ears);
    const uint8_t *bytes;
    assert_int_equal(rx_engine_peek(s.client.engine, c.client, RX_WHICH_STDOUT, &bytes), 5);
    assert_memory_equal(bytes, "early", 5);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 70000);
    pair_move(&s.client, &s.server, &ears);
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 0, 70000);
    session_close(&s);
}

/* ---- taken over, attached --------------------------------------------------------------- */

/* The old connection hears REFUSED as the stream's last word, whatever it still says itself. */
static void test_taken_over(void **state)
{
    (void)state;
    static const char header[] = "{\"code\":76,\"name\":\"taken_over\"}";
    struct session old;
    struct session s;
    struct ears ears;
    pair_open(&old, NULL, NULL);
    struct pair_command c = pair_run(&old);
    pair_write(&old.server, c.server, RX_WHICH_STDOUT, 0, 1000);
    pair_move(&old.server, &old.client, &ears);
    pair_write(&old.server, c.server, RX_WHICH_STDOUT, 1000, 1000); /* waits, and goes elsewhere */
    pair_write(&old.client, c.client, RX_WHICH_STDIN, 0, 10);
    assert_int_equal(rx_engine_request(old.client.engine, RX_DETACH, NULL, 0, NULL, 0, &c.client),
                     RX_OK);
    assert_int_equal(rx_engine_release(old.server.engine, c.server, header, sizeof header - 1),
                     RX_OK);
    pair_move(&old.client, &old.server, &ears); /* crosses it */
    assert_true(ears_heard(&ears, RX_STDIN) && ears_heard(&ears, RX_DETACH));
    pair_move(&old.server, &old.client, &ears);
    assert_int_equal(ears.types, UINT64_C(1) << RX_REFUSED);
    assert_null(ears.channel);

    struct rx_channel *attached = NULL;
    pair_open(&s, NULL, NULL);
    assert_int_equal(rx_engine_request(s.client.engine, RX_ATTACH, "{}", 2, NULL, 0, &attached),
                     RX_OK);
    pair_write(&s.client, attached, RX_WHICH_STDIN, 0, 5); /* waits for the answer */
    pair_move(&s.client, &s.server, &ears);
    assert_int_equal(ears.types, UINT64_C(1) << RX_ATTACH);
    pair_answer_resume(&s, &c, &ears);
    pair_read(&s.client, attached, RX_WHICH_STDOUT, 0, 2000); /* nothing was acknowledged */
    pair_move(&s.client, &s.server, &ears);
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 0, 5);
    assert_int_equal(end_exit(&s.server, c.server, 0), RX_OK);
    pair_move(&s.server, &s.client, &ears);
    assert_true(ears_heard(&ears, RX_EXIT));
    session_close(&old);
    session_close(&s);
}

/* ATTACH in the middle: output from the oldest byte kept, stdin from where the server is. */
static void attach_later(bool stdin_ended)
{
    struct session s;
    struct ears ears;
    pair_open(&s, NULL, NULL);
    struct pair_command c = pair_run(&s);
    pair_write(&s.client, c.client, RX_WHICH_STDIN, 0, 333);
    if (stdin_ended)
        rx_engine_finish(s.client.engine, c.client, RX_WHICH_STDIN);
    pair_move(&s.client, &s.server, &ears);
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 0, 300);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 0, 200000);
    pair_move(&s.server, &s.client, &ears);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 0, 150000);
    pair_move(&s.client, &s.server, &ears);
    pair_cut(&s, &c);
    rx_channel_free(c.client);

    c.client = NULL;
    pair_open(&s, NULL, NULL);
    assert_int_equal(rx_engine_request(s.client.engine, RX_ATTACH, "{}", 2, NULL, 0, &c.client),
                     RX_OK);
    pair_move(&s.client, &s.server, &ears);
    pair_answer_resume(&s, &c, &ears);
    assert_int_equal(ears.offsets.at[0], 333);
    assert_int_equal(ears.offsets.ended[0], stdin_ended);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 150000, 50000);
    size_t more = stdin_ended ? 0 : 67;
    assert_int_equal(
        rx_engine_write(s.client.engine, c.client, RX_WHICH_STDIN, pair_bytes() + 333, 67), more);
    rx_engine_finish(s.client.engine, c.client, RX_WHICH_STDIN);
    pair_write(&s.server, c.server, RX_WHICH_STDOUT, 200000, 60000);
    pair_move(&s.client, &s.server, &ears);
    pair_read(&s.server, c.server, RX_WHICH_STDIN, 300, 33 + more);
    assert_true(rx_in_done(rx_channel_in(c.server, RX_WHICH_STDIN)));
    assert_int_equal(end_exit(&s.server, c.server, 0), RX_OK);
    pair_move(&s.server, &s.client, &ears);
    pair_read(&s.client, c.client, RX_WHICH_STDOUT, 200000, 60000);
    assert_true(ears_heard(&ears, RX_EXIT));
    session_close(&s);
}

static void test_attach_later(void **state)
{
    (void)state;
    attach_later(false);
    attach_later(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_with_full_window),
        cmocka_unit_test(test_acks_that_were_lost),
        cmocka_unit_test(test_resume_after_exit),
        cmocka_unit_test(test_release_with_the_bytes),
        cmocka_unit_test(test_life_without_a_connection),
        cmocka_unit_test(test_started_without_a_connection),
        cmocka_unit_test(test_what_comes_again),
        cmocka_unit_test(test_offsets_that_are_lost),
        cmocka_unit_test(test_nothing_before_the_answer),
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_attach_later),
    };
    assert_true(sodium_init() >= 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
