/*
 * proto/engine.c and its parts: the session as a whole, its states and its own messages. What
 * happens on streams is in test_engine_streams.c and the other files that begin so.
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
#include "proto/header.h"
#include "tests/duel/lone.h"
#include "tests/duel/session.h"

static const uint8_t token[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* ---- states ----------------------------------------------------------------------------- */

static void test_state_names(void **state)
{
    (void)state;
    static const char *const names[] = {"start", "open", "going", "closing", "failed", "unknown"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(rx_session_state_name((enum rx_session_state)i), names[i]);
}

static void test_new(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        uint8_t *room, out[64];
        struct rx_event event;
        lone_begin(&l, (enum rx_role)role, NULL);
        assert_int_equal(rx_engine_state(l.engine), RX_SESSION_START);
        assert_int_equal(rx_engine_error(l.engine), RX_OK);
        assert_int_equal(rx_engine_eof(l.engine), RX_OK);
        assert_null(rx_engine_channel_at(l.engine, 0));
        assert_null(rx_engine_channel(l.engine, 1));
        assert_false(rx_engine_pending(l.engine));
        assert_int_equal(rx_engine_queued(l.engine), 0);
        assert_int_equal(rx_engine_room(l.engine, &room), 0);
        assert_int_equal(rx_engine_output(l.engine, out, sizeof out), 0);
        assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_MORE);
        lone_close(&l);
    }
    rx_engine_free(NULL);
}

/* What the other side of a session in some state may say: the messages of the session. */
static enum rx_error say_session(struct lone *l, unsigned type)
{
    static const uint8_t body[16];
    const struct rx_kind *kind = rx_kind((uint8_t)type);
    return lone_say(l, type, 0, 0, kind->header_max > 0 ? "{}" : NULL, body, kind->body_min);
}

/* An engine of this role in this state. */
static void open_in(struct lone *l, enum rx_role role, enum rx_session_state session)
{
    if (session == RX_SESSION_START) {
        lone_begin(l, role, NULL);
        return;
    }
    lone_open(l, role, NULL);
    if (role == RX_CLIENT) {
        assert_int_equal(rx_engine_ping(l->engine, token), RX_OK); /* so that PONG may come */
        if (session == RX_SESSION_GOING)
            assert_int_equal(say_session(l, RX_GOAWAY), RX_OK);
        else if (session == RX_SESSION_CLOSING)
            assert_int_equal(rx_engine_close(l->engine, NULL, 0), RX_OK);
    } else {
        assert_int_equal(rx_engine_ping(l->engine, token), RX_OK);
        if (session == RX_SESSION_GOING)
            assert_int_equal(rx_engine_goaway(l->engine, NULL, 0), RX_OK);
        else if (session == RX_SESSION_CLOSING)
            assert_int_equal(say_session(l, RX_CLOSE), RX_OK);
    }
    assert_int_equal(rx_engine_state(l->engine), session);
}

/* Rows are states, letters stand for the state that follows; - is refused, ! fails by itself. */
static const struct {
    enum rx_role role;
    enum rx_session_state session;
    const char *welcome, *ping, *pong, *close, *goaway, *error;
} rows[] = {
    {RX_CLIENT, RX_SESSION_START, "O", "-", "-", "x", "-", "!"},
    {RX_CLIENT, RX_SESSION_OPEN, "-", "O", "O", "x", "G", "!"},
    {RX_CLIENT, RX_SESSION_GOING, "-", "G", "G", "x", "G", "!"},
    {RX_CLIENT, RX_SESSION_CLOSING, "-", "C", "C", "x", "C", "!"},
    {RX_SERVER, RX_SESSION_START, "x", "-", "-", "-", "x", "-"},
    {RX_SERVER, RX_SESSION_OPEN, "x", "O", "O", "C", "x", "!"},
    {RX_SERVER, RX_SESSION_GOING, "x", "G", "G", "C", "x", "!"},
    {RX_SERVER, RX_SESSION_CLOSING, "x", "-", "-", "-", "x", "-"},
};

static void expect_session(size_t row, unsigned type, char letter)
{
    static const char letters[] = "SOGCF";
    struct lone l;
    open_in(&l, rows[row].role, rows[row].session);
    enum rx_error error = say_session(&l, type);
    enum rx_error expected = letter == 'x'   ? RX_E_BAD_MESSAGE
                             : letter == '-' ? RX_E_BAD_STATE
                                             : RX_OK;
    if (error != expected)
        fail_msg("row %zu, %s: %s", row, rx_kind((uint8_t)type)->name, rx_error_name(error));
    bool failed = letter == 'x' || letter == '-' || letter == '!';
    assert_int_equal(letters[rx_engine_state(l.engine)], failed ? 'F' : letter);
    assert_int_equal(rx_engine_error(l.engine), letter == '!' ? RX_E_PEER_ERROR : expected);
    lone_close(&l);
}

static void test_session_messages_in_each_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_session(i, RX_WELCOME, rows[i].welcome[0]);
        expect_session(i, RX_PING, rows[i].ping[0]);
        expect_session(i, RX_PONG, rows[i].pong[0]);
        expect_session(i, RX_CLOSE, rows[i].close[0]);
        expect_session(i, RX_GOAWAY, rows[i].goaway[0]);
        expect_session(i, RX_ERROR, rows[i].error[0]);
    }
}

/* A server hears no request before WELCOME is on its way, nor behind CLOSE. */
static void test_requests_in_each_state(void **state)
{
    (void)state;
    static const enum rx_error expected[] = {RX_E_BAD_STATE, RX_OK, RX_OK, RX_E_BAD_STATE};
    for (int session = RX_SESSION_START; session <= RX_SESSION_CLOSING; session++) {
        struct lone l;
        open_in(&l, RX_SERVER, (enum rx_session_state)session);
        assert_int_equal(lone_say(&l, RX_EXEC, 0, 1, NULL, NULL, 0), expected[session]);
        lone_close(&l);
    }
}

static void test_welcome(void **state)
{
    (void)state;
    struct lone l;
    struct rx_message m;
    lone_begin(&l, RX_SERVER, NULL);
    /* Nothing goes before it. */
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_welcome(l.engine, "{\"a\":1}", 7), RX_OK);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_OPEN);
    assert_true(lone_hear(&l, &m));
    assert_int_equal(m.type, RX_WELCOME);
    assert_int_equal(m.header_len, 7);
    assert_memory_equal(m.header, "{\"a\":1}", 7);
    assert_int_equal(rx_engine_welcome(l.engine, NULL, 0), RX_E_BAD_STATE);
    rx_engine_fail(l.engine, RX_E_INTERNAL, NULL, 0);
    assert_int_equal(rx_engine_welcome(l.engine, NULL, 0), RX_E_INTERNAL);
    lone_close(&l);
}

/* ---- the end ---------------------------------------------------------------------------- */

static void test_close(void **state)
{
    (void)state;
    struct lone l;
    struct rx_message m;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "abc", 3), 3);
    assert_int_equal(rx_engine_close(l.engine, "{\"reason\":\"x\"}", 14), RX_OK);
    assert_true(lone_hear(&l, &m));
    assert_int_equal(m.type, RX_CLOSE);
    assert_int_equal(m.header_len, 14);
    /* Nothing behind it: no data, no ACK, no message. */
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDIN, "def", 3), 3);
    rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDOUT);
    for (uint64_t at = 0; at < 262144; at += 65536) {
        assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, at, NULL, 65536), RX_OK);
        rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 65536);
    }
    assert_int_equal(say_session(&l, RX_PING), RX_OK);
    assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_close(l.engine, NULL, 0), RX_E_BAD_STATE);
    struct rx_channel *none = NULL;
    assert_int_equal(rx_engine_request(l.engine, RX_LIST, NULL, 0, NULL, 0, &none), RX_E_BAD_STATE);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_hear_all(&l), 0);
    /* What was on its way is heard out, and ends it. */
    assert_int_equal(lone_say_exit(&l, 1, 0, 262144, 0), RX_OK);
    assert_int_equal(rx_engine_exit_ack(l.engine, channel), RX_E_BAD_STATE);
    assert_int_equal(rx_engine_error(l.engine), RX_OK);
    lone_close(&l);
}

/* Nor ERROR: what goes wrong behind CLOSE is nobody's business. CLOSE itself still goes. */
static void test_error_behind_close(void **state)
{
    (void)state;
    static const uint8_t junk[8] = {99};
    for (unsigned heard = 0; heard < 2; heard++) {
        struct lone l;
        lone_open(&l, RX_CLIENT, NULL);
        (void)lone_running(&l);
        assert_int_equal(rx_engine_close(l.engine, NULL, 0), RX_OK);
        if (heard != 0)
            assert_true(lone_hears(&l, RX_CLOSE, 0));
        assert_int_equal(lone_say_payload(&l, junk, sizeof junk), RX_E_BAD_MESSAGE);
        rx_engine_fail(l.engine, RX_E_INTERNAL, "{}", 2);
        assert_int_equal(rx_engine_error(l.engine), RX_E_BAD_MESSAGE);
        if (heard == 0)
            assert_true(lone_hears(&l, RX_CLOSE, 0));
        assert_int_equal(lone_hear_all(&l), 0);
        lone_close(&l);
    }
}

/* A client that gives up before WELCOME has come: that still comes, once. */
static void test_close_in_start(void **state)
{
    (void)state;
    struct lone l;
    lone_begin(&l, RX_CLIENT, NULL);
    assert_int_equal(rx_engine_close(l.engine, NULL, 0), RX_OK);
    assert_int_equal(say_session(&l, RX_WELCOME), RX_OK);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_CLOSING);
    assert_int_equal(say_session(&l, RX_WELCOME), RX_E_BAD_STATE);
    lone_close(&l);
}

static void test_server_in_closing(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(say_session(&l, RX_CLOSE), RX_OK);
    /* It may still say what it has to say. */
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDOUT, "x", 1), 1);
    assert_true(lone_hears(&l, RX_STDOUT, 1));
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 1), RX_E_BAD_STATE);
    lone_close(&l);
}

static void test_goaway(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *channel = NULL;
    static const enum rx_type commands[] = {RX_EXEC, RX_RESUME, RX_ATTACH};
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *running = lone_running(&l);
    assert_int_equal(say_session(&l, RX_GOAWAY), RX_OK);
    assert_int_equal(say_session(&l, RX_GOAWAY), RX_OK);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_GOING);
    for (size_t i = 0; i < 3; i++) {
        enum rx_error expected = commands[i] == RX_RESUME ? RX_E_MISUSE : RX_E_SHUTTING_DOWN;
        assert_int_equal(rx_engine_request(l.engine, commands[i], NULL, 0, NULL, 0, &channel),
                         expected);
        assert_null(channel);
    }
    /* What runs goes on, and other requests, too. */
    assert_int_equal(rx_engine_write(l.engine, running, RX_WHICH_STDIN, "x", 1), 1);
    assert_true(lone_hears(&l, RX_STDIN, 1));
    assert_int_equal(rx_engine_request(l.engine, RX_LIST, NULL, 0, NULL, 0, &channel), RX_OK);
    assert_true(lone_hears(&l, RX_LIST, 2));
    lone_close(&l);

    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(rx_engine_goaway(l.engine, "{\"code\":65}", 11), RX_OK);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_GOING);
    assert_true(lone_hears(&l, RX_GOAWAY, 0));
    assert_true(lone_hears(&l, RX_GOAWAY, 0));
    assert_int_equal(lone_say(&l, RX_EXEC, 0, 1, NULL, NULL, 0), RX_OK); /* to be refused */
    assert_int_equal(say_session(&l, RX_CLOSE), RX_OK);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_CLOSING);
    lone_close(&l);
}

/* ---- errors ----------------------------------------------------------------------------- */

/* After the first error nothing else counts, and nothing else is said. */
static void expect_dead(struct lone *l, enum rx_error error)
{
    struct rx_event event;
    struct rx_channel *none = NULL;
    uint8_t *room;
    assert_int_equal(rx_engine_state(l->engine), RX_SESSION_FAILED);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rx_engine_error(l->engine), error);
        assert_int_equal(rx_engine_eof(l->engine), error);
        assert_int_equal(rx_engine_next(l->engine, &event), RX_NEXT_ERROR);
        assert_int_equal(rx_engine_ping(l->engine, token), error);
        if (l->role == RX_CLIENT) {
            assert_int_equal(rx_engine_request(l->engine, RX_LIST, NULL, 0, NULL, 0, &none), error);
            assert_int_equal(rx_engine_close(l->engine, NULL, 0), error);
        } else {
            assert_int_equal(rx_engine_goaway(l->engine, NULL, 0), error);
        }
        assert_int_equal(rx_engine_room(l->engine, &room), 0);
        rx_engine_fail(l->engine, RX_E_FLOOD, NULL, 0);
    }
    assert_int_equal(lone_hear_all(l), 0);
    assert_false(rx_engine_pending(l->engine));
}

static void expect_error_message(struct lone *l, enum rx_error error)
{
    struct rx_message m;
    struct rx_header h;
    assert_true(rx_engine_pending(l->engine));
    assert_true(lone_hear(l, &m));
    assert_int_equal(m.type, RX_ERROR);
    assert_int_equal(rx_header_decode(RX_ERROR, m.header, m.header_len, &h), RX_OK);
    assert_int_equal(h.notice.code, error);
    assert_string_equal(h.notice.name, rx_error_name(error));
    assert_string_equal(h.notice.text, rx_error_text(error));
}

/* An error that the engine finds goes out as ERROR, ahead of nothing and behind nothing. */
static void test_error_found(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        lone_open(&l, (enum rx_role)role, NULL);
        struct rx_channel *channel = lone_running(&l);
        enum rx_which ours = role == RX_CLIENT ? RX_WHICH_STDIN : RX_WHICH_STDERR;
        assert_int_equal(rx_engine_write(l.engine, channel, ours, "data", 4), 4);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        assert_true(rx_engine_queued(l.engine) > 0);
        static const uint8_t junk[8] = {99};
        assert_int_equal(lone_say_payload(&l, junk, sizeof junk), RX_E_BAD_MESSAGE);
        expect_error_message(&l, RX_E_BAD_MESSAGE);
        assert_int_equal(rx_engine_write(l.engine, channel, ours, "data", 4), 4);
        expect_dead(&l, RX_E_BAD_MESSAGE);
        lone_close(&l);
    }
}

static void test_error_of_the_caller(void **state)
{
    (void)state;
    struct lone l;
    struct rx_message m;
    char header[1026];
    memset(header, ' ', sizeof header);
    memcpy(header, "{}", 2);
    static const size_t lengths[] = {2, 1024, 1025};
    for (size_t i = 0; i < 3; i++) {
        lone_open(&l, RX_SERVER, NULL);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        rx_engine_fail(l.engine, RX_E_IDLE_TIMEOUT, header, lengths[i]);
        assert_int_equal(lone_hear(&l, &m), lengths[i] <= 1024);
        if (lengths[i] <= 1024) {
            assert_int_equal(m.type, RX_ERROR);
            assert_int_equal(m.header_len, lengths[i]);
        }
        expect_dead(&l, RX_E_IDLE_TIMEOUT);
        lone_close(&l);
    }
    lone_begin(&l, RX_SERVER, NULL); /* instead of WELCOME */
    rx_engine_fail(l.engine, RX_E_SESSION_LIMIT, header, 2);
    assert_true(lone_hears(&l, RX_ERROR, 0));
    expect_dead(&l, RX_E_SESSION_LIMIT);
    lone_close(&l);
}

/* The other side's ERROR is an event, and then the end, without a word. */
static void test_error_of_the_peer(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        lone_open(&l, (enum rx_role)role, NULL);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        assert_int_equal(lone_say(&l, RX_ERROR, 0, 0, "{\"code\":4}", NULL, 0), RX_OK);
        assert_int_equal(l.event.message.type, RX_ERROR);
        assert_memory_equal(l.event.message.header, "{\"code\":4}", 10);
        expect_dead(&l, RX_E_PEER_ERROR);
        lone_close(&l);
    }
}

/* Local errors are not for the wire. */
static void test_local_errors(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    l.engine_in.fail_at = l.engine_in.counter + 1;
    l.engine_in.error = RX_E_CRYPTO_FAILED;
    assert_int_equal(say_session(&l, RX_PING), RX_E_CRYPTO_FAILED);
    expect_dead(&l, RX_E_CRYPTO_FAILED);
    lone_close(&l);
}

static void test_records_that_do_not_open(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    l.peer_out.counter++; /* one record lost */
    assert_int_equal(say_session(&l, RX_PING), RX_E_BAD_SEAL);
    expect_error_message(&l, RX_E_BAD_SEAL);
    expect_dead(&l, RX_E_BAD_SEAL);
    lone_close(&l);

    lone_open(&l, RX_CLIENT, NULL);
    struct rx_event event;
    uint8_t bytes[] = {0, 4, 0, 1, 0};
    rx_engine_feed(l.engine, bytes, sizeof bytes);
    assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_ERROR);
    expect_error_message(&l, RX_E_BAD_LENGTH);
    expect_dead(&l, RX_E_BAD_LENGTH);
    lone_close(&l);
}

/* Sealing that fails ends the session at once: ERROR itself could not be sealed. */
static void test_sealing_fails(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *channel = lone_running(&l);
        l.engine_out.fail_at = l.engine_out.counter + 1;
        l.engine_out.error = RX_E_COUNTER_EXHAUSTED;
        if (what == 0) {
            assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        } else if (what == 1) {
            assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDOUT, "x", 1), 1);
        } else if (what == 2) {
            assert_int_equal(rx_engine_exit(l.engine, channel, NULL, 0), RX_OK);
        } else {
            rx_engine_ack(l.engine, channel, RX_WHICH_STDIN);
            assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 1), RX_OK);
            rx_engine_consume(l.engine, channel, RX_WHICH_STDIN, 1);
            rx_engine_ack(l.engine, channel, RX_WHICH_STDIN);
        }
        assert_true(rx_engine_pending(l.engine));
        (void)lone_hear_all(&l);
        expect_dead(&l, RX_E_COUNTER_EXHAUSTED);
        lone_close(&l);
    }
}

/* ERROR waits, and cannot be sealed: nothing is left to be sent. */
static void test_sealing_of_error_fails(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    l.engine_out.fail_at = l.engine_out.counter + 1;
    l.engine_out.error = RX_E_CRYPTO_FAILED;
    rx_engine_fail(l.engine, RX_E_INTERNAL, "{}", 2);
    assert_int_equal(lone_hear_all(&l), 0);
    expect_dead(&l, RX_E_INTERNAL);
    lone_close(&l);
}

/* ---- the trace -------------------------------------------------------------------------- */

struct log {
    char text[512];
};

static void note(void *context, uint32_t stream, const char *from, const char *to)
{
    struct log *log = context;
    size_t n = strlen(log->text);
    (void)snprintf(log->text + n, sizeof log->text - n, "%u:%s>%s ", (unsigned)stream, from, to);
}

static void test_trace(void **state)
{
    (void)state;
    struct log log = {{0}};
    struct rx_engine_config config = {.trace = note, .trace_context = &log};
    struct lone l;
    lone_open(&l, RX_SERVER, &config);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(rx_engine_exit(l.engine, channel, NULL, 0), RX_OK);
    assert_int_equal(lone_hear_all(&l), 1);
    assert_int_equal(lone_say(&l, RX_EXIT_ACK, 0, 1, NULL, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_goaway(l.engine, NULL, 0), RX_OK);
    rx_engine_fail(l.engine, RX_E_INTERNAL, NULL, 0);
    assert_string_equal(log.text, "0:start>open 1:idle>asked 1:asked>running 1:running>exited "
                                  "1:exited>closed 0:open>going 0:going>failed ");
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_names),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_session_messages_in_each_state),
        cmocka_unit_test(test_requests_in_each_state),
        cmocka_unit_test(test_welcome),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_error_behind_close),
        cmocka_unit_test(test_close_in_start),
        cmocka_unit_test(test_server_in_closing),
        cmocka_unit_test(test_goaway),
        cmocka_unit_test(test_error_found),
        cmocka_unit_test(test_error_of_the_caller),
        cmocka_unit_test(test_error_of_the_peer),
        cmocka_unit_test(test_local_errors),
        cmocka_unit_test(test_records_that_do_not_open),
        cmocka_unit_test(test_sealing_fails),
        cmocka_unit_test(test_sealing_of_error_fails),
        cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
