/*
 * Each single allocation of whole sessions fails once, in proto/ and in jansson, which reads what
 * is spelled in another way than here: what cannot be done says so and can be done again, an engine
 * that fails can be left for a new connection, and nothing is lost, leaked or wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/engine.h"
#include "proto/header.h"
#include "proto/stream.h"
#include "tests/duel/lone.h"
#include "tests/duel/session.h"
#include "tests/duel/world.h"
#include "tests/unit/oom.h"

static bool blamed; /* the failure of this run was asked about already */

/* Whether an allocation has failed; it explains what went wrong once. */
static bool starved(void)
{
    bool now = oom_failed() && !blamed;
    blamed |= now;
    return now;
}

/* jansson's own allocations count as ours. */
static int count_jansson(void **state)
{
    (void)state;
    json_set_alloc_funcs(__wrap_malloc, free);
    return 0;
}

/* Runs sessions like this, the n-th allocation failing, for each n. */
static void fail_each_of(struct world_options options, size_t least)
{
    oom_off();
    options.starved = starved;
    blamed = false;
    (void)world_run(&options);
    size_t allocations = oom_count();
    assert_true(allocations > least);
    for (size_t n = 1; n <= allocations; n++) {
        oom_fail_at(n);
        blamed = false;
        (void)world_run(&options);
        assert_true(oom_failed());
    }
    oom_off();
}

static void fail_each(struct world_options options)
{
    fail_each_of(options, 20);
    end_spells = true;
    fail_each_of(options, 40);
    end_spells = false;
}

static void test_sessions(void **state)
{
    (void)state;
    fail_each((struct world_options){.seed = 1, .commands = 1, .most = 40000});
    fail_each((struct world_options){.seed = 2, .commands = 3, .most = 150000});
}

static void test_lost_sessions(void **state)
{
    (void)state;
    fail_each((struct world_options){.seed = 3, .commands = 2, .most = 100000, .cut_one_in = 12});
    fail_each((struct world_options){.seed = 4, .commands = 4, .most = 60000, .cut_one_in = 25});
}

static void test_new(void **state)
{
    (void)state;
    struct toy_seal toy = {0};
    struct rx_engine_config config = {.seal = toy_seal(&toy), .open = toy_seal(&toy)};
    oom_fail_at(1);
    struct rx_engine *e = rx_engine_new(&config);
    oom_off();
    assert_null(e);
}

/* Headers of many parts, in and out: an error, or the right thing. */
static void test_headers(void **state)
{
    (void)state;
    static const char text[] =
        "{\"id\":\"00000000000000000000000000000001\",\"run\":\"exec\",\"user\":\"u\","
        "\"timeout_ms\":5,\"label\":\"l\",\"detach\":true,\"pty\":{\"term\":\"t\",\"rows\":1,"
        "\"cols\":2,\"modes\":{\"echo\":1,\"vintr\":3}},\"limits\":{\"core\":0},"
        "\"other\":[1,2.5,{\"a\":null}]}";
    static struct rx_header whole, h;
    uint8_t out[RX_HEADER_MAX];
    size_t n;
    oom_off();
    assert_int_equal(rx_header_decode(RX_EXEC, (const uint8_t *)text, sizeof text - 1, &whole),
                     RX_OK);
    size_t to_decode = oom_count();
    oom_off();
    assert_true(to_decode > 30);
    for (size_t i = 1; i <= to_decode; i++) {
        oom_fail_at(i);
        enum rx_error error = rx_header_decode(RX_EXEC, (const uint8_t *)text, sizeof text - 1, &h);
        assert_true(error == RX_E_NO_MEMORY || error == RX_E_BAD_HEADER || error == RX_OK);
        if (error == RX_OK)
            assert_memory_equal(&h, &whole, sizeof h);
    }
    /* The way out takes no memory, and what it wrote, but for lists, is read without. */
    oom_fail_at(1);
    memset(&whole.exec.pty.modes, 0, sizeof whole.exec.pty.modes);
    assert_int_equal(rx_header_encode(RX_EXEC, &whole, out, sizeof out, &n), RX_OK);
    assert_int_equal(rx_header_decode(RX_EXEC, out, n, &h), RX_OK);
    assert_memory_equal(&h, &whole, sizeof h);
    assert_false(oom_failed());
    oom_off();
}

/* The last event's bytes cannot be kept: the engine fails, and they count as never received. */
static void test_event_not_kept(void **state)
{
    (void)state;
    for (unsigned behind = 0; behind < 2; behind++) { /* others that are kept already */
        struct lone l;
        const uint8_t *bytes = NULL;
        static const uint8_t some[5000];
        lone_open(&l, RX_CLIENT, NULL);
        struct rx_channel *channel = lone_running(&l);
        uint64_t kept = behind * 4000U;
        if (behind != 0)
            assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, some, 4000), RX_OK);
        assert_int_equal(lone_settle(&l), RX_OK);
        oom_fail_at(1);
        enum rx_error error =
            lone_say_data(&l, RX_STDOUT, RX_FLAG_LAST, 1, kept, some, sizeof some);
        if (behind == 0) { /* offered first, and some of it used */
            assert_int_equal(error, RX_OK);
            rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 1000);
            kept = 1000;
            error = lone_settle(&l);
        }
        oom_off();
        assert_int_equal(error, RX_E_NO_MEMORY);
        const struct rx_in *in = rx_channel_in(channel, RX_WHICH_STDOUT);
        assert_int_equal(in->received, kept);
        assert_false(in->last);
        assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes),
                         kept - in->consumed);
        assert_int_equal(rx_engine_release(l.engine, channel, NULL, 0), RX_OK);
        rx_channel_free(channel);
        assert_true(lone_hears(&l, RX_ERROR, 0));
        lone_close(&l);
    }
}

/* The same when the engine has failed already, by another error. */
static void test_event_not_kept_after_error(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, "abcde", 5), RX_OK);
    rx_engine_fail(l.engine, RX_E_IDLE_TIMEOUT, NULL, 0);
    oom_fail_at(1);
    assert_int_equal(lone_settle(&l), RX_E_IDLE_TIMEOUT);
    assert_true(oom_failed());
    oom_off();
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 0);
    assert_int_equal(rx_channel_in(channel, RX_WHICH_STDOUT)->received, 0);
    lone_close(&l);
}

/* Released in the middle of an event: it says that it could not, and can be asked again. */
static void test_release_not_kept(void **state)
{
    (void)state;
    struct lone l;
    const uint8_t *bytes = NULL;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, "abcde", 5), RX_OK);
    oom_fail_at(1);
    assert_int_equal(rx_engine_release(l.engine, channel, NULL, 0), RX_E_NO_MEMORY);
    oom_off();
    assert_ptr_equal(rx_engine_channel(l.engine, 1), channel);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 5);
    assert_int_equal(rx_engine_release(l.engine, channel, NULL, 0), RX_OK);
    assert_int_equal(rx_engine_peek(l.engine, channel, RX_WHICH_STDOUT, &bytes), 5);
    assert_memory_equal(bytes, "abcde", 5);
    rx_channel_free(channel);
    lone_close(&l);
}

/* ERROR itself finds no memory: the session is over all the same. */
static void test_error_not_said(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    static const uint8_t junk[8] = {99};
    oom_fail_at(1);
    assert_int_equal(lone_say_payload(&l, junk, sizeof junk), RX_E_BAD_MESSAGE);
    oom_off();
    assert_int_equal(lone_hear_all(&l), 0);
    assert_int_equal(rx_engine_state(l.engine), RX_SESSION_FAILED);
    lone_close(&l);
}

/* What a ring has left is still used when it cannot grow. */
static void test_ring_cannot_grow(void **state)
{
    (void)state;
    struct rx_out out;
    static const uint8_t some[6000];
    rx_out_init(&out, 100000, RX_KEEP_MIN);
    oom_fail_at(1);
    assert_int_equal(rx_out_write(&out, some, 100), 0);
    oom_off();
    assert_int_equal(rx_out_write(&out, some, 4000), 4000);
    oom_fail_at(1);
    assert_int_equal(rx_out_write(&out, some, 96), 96);
    assert_int_equal(oom_count(), 0); /* it was not even asked */
    oom_off();
    rx_out_advance(&out, 4096, false);
    assert_int_equal(rx_out_ack(&out, 1000, 100000), RX_OK);
    uint8_t *room;
    oom_fail_at(1);
    assert_int_equal(rx_out_room(&out, 6000, &room), 1000);
    assert_true(oom_failed());
    oom_off();
    assert_true(rx_out_room(&out, 6000, &room) > 1000);
    rx_out_clear(&out);
}

/* A record that comes in pieces and finds no memory: an error where it is fed; where it would be
 * read to its place there is no place. */
static void test_record_not_held(void **state)
{
    (void)state;
    struct lone l;
    struct rx_event event;
    uint8_t bytes[] = {0, 0, 64, 0}, *room;
    lone_open(&l, RX_SERVER, NULL);
    rx_engine_feed(l.engine, bytes, sizeof bytes);
    oom_fail_at(1);
    assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_ERROR);
    assert_int_equal(rx_engine_error(l.engine), RX_E_NO_MEMORY);
    oom_off();
    lone_close(&l);

    lone_open(&l, RX_SERVER, NULL);
    rx_engine_feed(l.engine, bytes, sizeof bytes);
    assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_MORE);
    size_t first = rx_engine_room(l.engine, &room);
    memset(room, 0, first);
    rx_engine_filled(l.engine, first);
    oom_fail_at(1);
    assert_int_equal(rx_engine_room(l.engine, &room), 0);
    oom_off();
    assert_true(rx_engine_room(l.engine, &room) > 0);
    assert_int_equal(rx_engine_error(l.engine), RX_OK);
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_lost_sessions),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_event_not_kept),
        cmocka_unit_test(test_event_not_kept_after_error),
        cmocka_unit_test(test_release_not_kept),
        cmocka_unit_test(test_error_not_said),
        cmocka_unit_test(test_ring_cannot_grow),
        cmocka_unit_test(test_record_not_held),
    };
    return cmocka_run_group_tests(tests, count_jansson, NULL);
}
