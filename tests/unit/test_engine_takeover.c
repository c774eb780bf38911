/*
 * A server's commands that go from one connection to another (docs/PROTOCOL.md, section 11),
 * against clients made by hand.
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

/* ---- the server ------------------------------------------------------------------------- */

/* A command that wrote 1000 bytes of stdout and 20 of stderr, all sent; 400 of stdout are
 * acknowledged. It took 10 of the 30 bytes of stdin that came. */
static struct rx_channel *server_lost(struct lone *l)
{
    lone_open(l, RX_SERVER, NULL);
    (void)lone_asked(l);
    struct rx_channel *channel = lone_running(l);
    write_from(l, channel, RX_WHICH_STDOUT, 0, 1000);
    write_from(l, channel, RX_WHICH_STDERR, 0, 20);
    assert_int_equal(lone_hear_all(l), 2);
    assert_int_equal(lone_say_ack(l, 2, RX_WHICH_STDOUT, 400, 262144), RX_OK);
    assert_int_equal(lone_say_data(l, RX_STDIN, 0, 2, 0, pattern, 30), RX_OK);
    rx_engine_consume(l->engine, channel, RX_WHICH_STDIN, 10);
    release(l, channel);
    lone_close(l);
    return channel;
}

/* A new connection on which a RESUME with these offsets has come. */
static struct rx_channel *server_asked(struct lone *l, const struct rx_offsets *offsets)
{
    lone_open(l, RX_SERVER, NULL);
    assert_int_equal(lone_say_offsets(l, RX_RESUME, 7, offsets), RX_OK);
    assert_memory_equal(&l->event.offsets.at, &offsets->at, sizeof offsets->at);
    return l->event.channel;
}

static void test_server_resumes(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *old = server_lost(&l);
    const struct rx_offsets asked = {.at = {5, 700, 20}, .window = 1000};
    struct rx_channel *channel = server_asked(&l, &asked);
    int user;
    rx_channel_set_user(old, &user);
    assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, "{\"n\":1}", 7), RX_OK);
    assert_ptr_equal(channel, old);
    assert_ptr_equal(rx_channel_user(channel), &user);
    assert_ptr_equal(rx_engine_channel(l.engine, 7), old);
    assert_null(rx_engine_channel_at(l.engine, 1));
    const struct rx_offsets answer = {.at = {30, 700, 20}, .window = 262144 - 20};
    expect_offsets(&l, RX_RESUMED, &answer);
    expect_data(&l, RX_STDOUT, 700, 300, false);
    assert_int_equal(lone_hear_all(&l), 0);
    write_from(&l, channel, RX_WHICH_STDOUT, 1000, 1000);
    expect_data(&l, RX_STDOUT, 1000, 700, false); /* up to the new limit, 1700 */
    assert_int_equal(lone_hear_all(&l), 0);
    write_from(&l, channel, RX_WHICH_STDERR, 20, 1001);
    expect_data(&l, RX_STDERR, 20, 1000, false); /* 1020 */
    assert_int_equal(lone_hear_all(&l), 0);
    /* stdin goes on, behind what waits. */
    const uint8_t *bytes = NULL;
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 7, 30, pattern + 30, 5), RX_OK);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDIN, &bytes), 25);
    assert_memory_equal(bytes, pattern + 10, 25);
    lone_close(&l);
}

/* Sealing writes a message's head in front of the data, where other data may be that is still
 * needed: all of it can be sent again, as it was. */
static void test_sent_bytes_are_unharmed(void **state)
{
    (void)state;
    static const size_t chunks[] = {1, 7, 16, 100, 5000};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct rx_engine_config config = {.chunk = chunks[i]};
        struct lone l;
        lone_open(&l, RX_SERVER, &config);
        struct rx_channel *old = lone_running(&l);
        write_from(&l, old, RX_WHICH_STDOUT, 0, 6000);
        assert_true(lone_hear_all(&l) >= 2);
        assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDOUT, 5, 262144), RX_OK);
        release(&l, old);
        lone_close(&l);
        const struct rx_offsets asked = {.at = {0, 5, 0}, .window = 10000};
        struct rx_channel *channel = server_asked(&l, &asked);
        assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0), RX_OK);
        assert_true(lone_hears(&l, RX_RESUMED, 7));
        expect_data(&l, RX_STDOUT, 5, 5995, false);
        lone_close(&l);
    }
}

/* Where the bytes are not there, nothing changes, and another try may do. */
static void test_server_cannot_resume(void **state)
{
    (void)state;
    static const struct rx_offsets lost[] = {
        {.at = {5, 399, 20}, .window = 1000},
        {.at = {5, 1001, 20}, .window = 1000},
        {.at = {5, 700, 21}, .window = 1000},
        {.at = {5, 1000, UINT64_MAX / 2}, .window = 1000},
        {.at = {31, 700, 20}, .window = 1000},
        {.at = {5, 1000, 20}, .window = 1000, .ended = {false, true}},
        {.at = {5, 1000, 20}, .window = 1000, .ended = {false, false, true}},
    };
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        struct lone l;
        struct rx_channel *old = server_lost(&l);
        struct rx_channel *asked = server_asked(&l, &lost[i]), *channel = asked;
        assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0),
                         RX_E_DATA_LOST);
        assert_ptr_equal(channel, asked);
        assert_int_equal(rx_channel_state(asked), RX_STREAM_ASKED);
        assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->sent, 1000);
        assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->limit, 262544);
        assert_int_equal(rx_channel_out(old, RX_WHICH_STDERR)->sent, 20);
        assert_int_equal(rx_engine_answer(l.engine, RX_REFUSED, asked, true, NULL, 0, NULL, 0),
                         RX_OK);
        const struct rx_offsets good = {.at = {0, 400, 0}, .window = 10};
        assert_true(lone_hears(&l, RX_REFUSED, 7));
        assert_int_equal(lone_say_offsets(&l, RX_RESUME, 8, &good), RX_OK);
        channel = l.event.channel;
        assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0), RX_OK);
        assert_true(lone_hears(&l, RX_RESUMED, 8));
        expect_data(&l, RX_STDOUT, 400, 10, false);
        expect_data(&l, RX_STDERR, 0, 10, false);
        lone_close(&l);
    }
}

/* A message that cannot be sent leaves the command where it was, too. */
static void test_server_resume_refused(void **state)
{
    (void)state;
    struct lone l;
    static const char long_header[1025];
    struct rx_channel *old = server_lost(&l);
    const struct rx_offsets asked = {.at = {5, 700, 0}, .window = 1000};
    struct rx_channel *channel = server_asked(&l, &asked);
    assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, long_header, 1025),
                     RX_E_BAD_MESSAGE);
    assert_ptr_not_equal(channel, old);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->sent, 1000);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->limit, 262544);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDERR)->sent, 20);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDERR)->limit, 262144);
    assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0), RX_OK);
    const struct rx_offsets answer = {.at = {30, 700, 0}, .window = 262144 - 20};
    expect_offsets(&l, RX_RESUMED, &answer);
    lone_close(&l);
}

static void test_resume_body(void **state)
{
    (void)state;
    static const struct rx_offsets bad = {.window = 1000, .ended = {true}};
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(lone_say_offsets(&l, RX_RESUME, 1, &bad), RX_E_BAD_BODY);
    lone_close(&l);
    uint8_t body[RX_OFFSETS_SIZE] = {[31] = 8};
    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(lone_say(&l, RX_RESUME, 0, 1, NULL, body, sizeof body), RX_E_BAD_BODY);
    lone_close(&l);
}

/* EXIT that was sent and not acknowledged comes again, with the bytes before it that are asked for;
 * also where the client says that it has heard the end of output that carried no LAST. */
static void test_server_exit_comes_again(void **state)
{
    (void)state;
    for (unsigned ended = 0; ended < 2; ended++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *old = lone_running(&l), *channel;
        write_from(&l, old, RX_WHICH_STDOUT, 0, 100);
        assert_int_equal(lone_hear_all(&l), 1);
        assert_int_equal(rx_engine_exit(l.engine, old, "{\"code\":1}", 10), RX_OK);
        assert_true(lone_hears(&l, RX_EXIT, 1));
        release(&l, old);
        lone_close(&l);
        const struct rx_offsets asked = {.at = {0, ended != 0 ? 100 : 40, 0},
                                         .window = 1000,
                                         .ended = {false, ended != 0, ended != 0}};
        channel = server_asked(&l, &asked);
        assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0), RX_OK);
        assert_true(lone_hears(&l, RX_RESUMED, 7));
        if (ended == 0)
            expect_data(&l, RX_STDOUT, 40, 60, true);
        struct rx_message m;
        assert_true(lone_hear(&l, &m));
        assert_int_equal(m.type, RX_EXIT);
        assert_int_equal(m.stream, 7);
        assert_memory_equal(m.header, "{\"code\":1}", 10);
        assert_int_equal(rx_get64(m.body + 8), 100);
        assert_int_equal(lone_hear_all(&l), 0);
        assert_int_equal(lone_say(&l, RX_EXIT_ACK, 0, 7, NULL, NULL, 0), RX_OK);
        assert_null(rx_engine_channel(l.engine, 7));
        lone_close(&l);
    }
}

/* EXEC again for a command that runs: output from 0, stdin from where it stood. */
static void test_server_already(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *old = lone_asked(&l);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, pattern, 30), RX_OK);
    assert_int_equal(rx_engine_start(l.engine, RX_STARTED, &old, NULL, NULL, 0), RX_OK);
    write_from(&l, old, RX_WHICH_STDOUT, 0, 1000);
    assert_true(lone_hears(&l, RX_STARTED, 1)); /* it never arrived */
    assert_int_equal(lone_hear_all(&l), 1);
    release(&l, old);
    lone_close(&l);

    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_asked(&l);
    /* An ACK that comes before the answer, of a client that does not wait for it, counts. */
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDOUT, 0, 300000), RX_OK);
    assert_int_equal(rx_engine_start(l.engine, RX_STARTED, &channel, old, NULL, 0), RX_OK);
    assert_ptr_equal(channel, old);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->limit, 300000);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDERR)->limit, RX_WINDOW_OUTPUT);
    const struct rx_offsets answer = {.at = {30, 0, 0}, .window = 262144 - 30};
    expect_offsets(&l, RX_STARTED, &answer);
    expect_data(&l, RX_STDOUT, 0, 1000, false);
    lone_close(&l);

    /* Not for one of whose output something was acknowledged already. */
    old = server_lost(&l);
    lone_open(&l, RX_SERVER, NULL);
    channel = lone_asked(&l);
    assert_int_equal(rx_engine_start(l.engine, RX_STARTED, &channel, old, NULL, 0), RX_E_DATA_LOST);
    rx_channel_free(old);
    lone_close(&l);
}

/* "Until [the answer] has come, the client sends no STDIN": bytes, or their end alone. */
static void test_server_already_too_early(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        struct lone l;
        struct rx_channel *old = server_lost(&l);
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *channel = lone_asked(&l);
        assert_int_equal(lone_say_data(&l, RX_STDIN, n == 0 ? RX_FLAG_LAST : 0, 1, 0, NULL, n),
                         RX_OK);
        assert_int_equal(rx_engine_start(l.engine, RX_STARTED, &channel, old, NULL, 0),
                         RX_E_BAD_STATE);
        assert_ptr_not_equal(channel, old);
        rx_channel_free(old);
        lone_close(&l);
    }
}

static void test_server_attached(void **state)
{
    (void)state;
    struct lone l;
    struct rx_channel *old = server_lost(&l);
    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(lone_say(&l, RX_ATTACH, 0, 3, NULL, NULL, 0), RX_OK);
    struct rx_channel *channel = l.event.channel;
    assert_int_equal(rx_engine_start(l.engine, RX_RESUMED, &channel, old, NULL, 0), RX_OK);
    const struct rx_offsets answer = {.at = {30, 400, 0}, .window = 262144 - 20};
    expect_offsets(&l, RX_RESUMED, &answer); /* what there still is */
    expect_data(&l, RX_STDOUT, 400, 600, false);
    expect_data(&l, RX_STDERR, 0, 20, false);
    assert_int_equal(rx_channel_out(old, RX_WHICH_STDOUT)->limit, 400 + 262144);
    lone_close(&l);
}

/* ---- taken over ------------------------------------------------------------------------- */

static void test_taken_over(void **state)
{
    (void)state;
    struct lone l, next;
    static const char why[] = "{\"code\":76}";
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *command = lone_running(&l), *other = lone_running(&l), *channel;
    write_from(&l, command, RX_WHICH_STDOUT, 0, 100);
    assert_int_equal(rx_engine_release(l.engine, command, why, 1025), RX_E_BAD_MESSAGE);
    assert_ptr_equal(rx_engine_channel(l.engine, 1), command);
    assert_int_equal(rx_engine_release(l.engine, command, why, sizeof why - 1), RX_OK);
    const struct rx_offsets asked = {.window = 1000};
    channel = server_asked(&next, &asked);
    assert_int_equal(rx_engine_start(next.engine, RX_RESUMED, &channel, command, NULL, 0), RX_OK);
    /* The old connection hears of it, and goes on with what else it has. */
    struct rx_message m;
    assert_true(lone_hear(&l, &m));
    assert_int_equal(m.type, RX_REFUSED);
    assert_int_equal(m.flags, RX_FLAG_LAST);
    assert_int_equal(m.stream, 1);
    assert_memory_equal(m.header, why, sizeof why - 1);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 5), RX_OK); /* on its way */
    assert_null(l.event.channel);
    write_from(&l, other, RX_WHICH_STDOUT, 0, 1);
    assert_true(lone_hears(&l, RX_STDOUT, 2));
    assert_int_equal(lone_hear_all(&l), 0);
    /* And the new one has the command. */
    assert_true(lone_hears(&next, RX_RESUMED, 7));
    expect_data(&next, RX_STDOUT, 0, 100, false);
    lone_close(&l);
    lone_close(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_resumes),
        cmocka_unit_test(test_sent_bytes_are_unharmed),
        cmocka_unit_test(test_server_cannot_resume),
        cmocka_unit_test(test_server_resume_refused),
        cmocka_unit_test(test_resume_body),
        cmocka_unit_test(test_server_exit_comes_again),
        cmocka_unit_test(test_server_already),
        cmocka_unit_test(test_server_already_too_early),
        cmocka_unit_test(test_server_attached),
        cmocka_unit_test(test_taken_over),
    };
    return cmocka_run_group_tests(tests, lost_fill, NULL);
}
