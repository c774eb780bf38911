/*
 * The engine's way out: order and turns, windows, pieces, buffers of any size; and the way in where
 * the caller reads to the record's place.
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

enum { RECORD_AROUND = 4 + TOY_TAG, DATA_HEAD = 16 };

static const uint8_t token[8];
static uint8_t pattern[1 << 20];

static int fill_pattern(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    dice_fill(&d, pattern, sizeof pattern);
    return 0;
}

static void write_all(struct lone *l, struct rx_channel *channel, enum rx_which which,
                      const void *bytes, size_t n)
{
    assert_int_equal(rx_engine_write(l->engine, channel, which, bytes, n), n);
}

/* The next message is data of this type with these bytes, at this offset. */
static void expect_data(struct lone *l, unsigned type, uint32_t stream, uint64_t offset,
                        const uint8_t *bytes, size_t n, bool last)
{
    struct rx_message m;
    assert_true(lone_hear(l, &m));
    assert_int_equal(m.type, type);
    assert_int_equal(m.stream, stream);
    assert_true(rx_get64(m.body) == offset);
    assert_int_equal(m.body_len, RX_DATA_OFFSET + n);
    if (n > 0)
        assert_memory_equal(m.body + RX_DATA_OFFSET, bytes, n);
    assert_int_equal(m.flags, last ? RX_FLAG_LAST : 0);
}

static void expect_ack(struct lone *l, uint32_t stream, unsigned which, uint64_t offset,
                       uint32_t window)
{
    struct rx_message m;
    assert_true(lone_hear(l, &m));
    assert_int_equal(m.type, RX_ACK);
    assert_int_equal(m.stream, stream);
    assert_int_equal(m.body[0], which);
    assert_int_equal(m.body[1] | m.body[2] | m.body[3], 0);
    assert_int_equal(rx_get32(m.body + 4), window);
    assert_true(rx_get64(m.body + 8) == offset);
}

/* ---- data ------------------------------------------------------------------------------- */

static void test_pieces(void **state)
{
    (void)state;
    static const size_t chunks[] = {1000, 65536, 261120};
    for (size_t i = 0; i < 3; i++) {
        struct rx_engine_config config = {.chunk = chunks[i]};
        struct lone l;
        lone_open(&l, RX_SERVER, &config);
        struct rx_channel *channel = lone_running(&l);
        write_all(&l, channel, RX_WHICH_STDOUT, pattern, 262144);
        for (size_t at = 0; at < 262144; at += chunks[i]) {
            size_t n = 262144 - at < chunks[i] ? 262144 - at : chunks[i];
            expect_data(&l, RX_STDOUT, 1, at, pattern + at, n, false);
        }
        assert_false(lone_hear_all(&l));
        lone_close(&l);
    }
    /* More than a message holds is not asked of it. */
    struct rx_engine_config config = {.chunk = 1 << 20};
    struct lone l;
    lone_open(&l, RX_SERVER, &config);
    struct rx_channel *channel = lone_running(&l);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 262144);
    expect_data(&l, RX_STDOUT, 1, 0, pattern, 261120, false);
    expect_data(&l, RX_STDOUT, 1, 261120, pattern + 261120, 1024, false);
    lone_close(&l);
}

/* Records begin small and grow, all streams together. */
static void test_first_chunk(void **state)
{
    (void)state;
    static const size_t sizes[] = {1000, 2000, 4000, 5000, 5000, 5000};
    struct rx_engine_config config = {.chunk = 5000, .first_chunk = 1000};
    struct lone l;
    lone_open(&l, RX_SERVER, &config);
    struct rx_channel *channel = lone_running(&l);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 22000);
    for (size_t i = 0, at = 0; i < sizeof sizes / sizeof sizes[0]; at += sizes[i], i++)
        expect_data(&l, RX_STDOUT, 1, at, pattern + at, sizes[i], false);
    assert_false(lone_hear_all(&l));
    lone_close(&l);
    /* More than there may be is no beginning. */
    config = (struct rx_engine_config){.chunk = 1000, .first_chunk = 5000};
    lone_open(&l, RX_SERVER, &config);
    channel = lone_running(&l);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 1500);
    expect_data(&l, RX_STDOUT, 1, 0, pattern, 1000, false);
    expect_data(&l, RX_STDOUT, 1, 1000, pattern + 1000, 500, false);
    lone_close(&l);
}

/* A client sends before WELCOME and before STARTED, as far as the first window. */
static void test_first_window(void **state)
{
    (void)state;
    struct lone l;
    lone_begin(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_asked(&l);
    write_all(&l, channel, RX_WHICH_STDIN, pattern, 100000);
    expect_data(&l, RX_STDIN, 1, 0, pattern, 65536, false);
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_say(&l, RX_WELCOME, 0, 0, NULL, NULL, 0), RX_OK);
    assert_false(rx_engine_pending(l.engine));
    const struct rx_offsets offsets = {.at = {1000}, .window = 64537};
    assert_int_equal(lone_say_offsets(&l, RX_STARTED, 1, &offsets), RX_OK);
    expect_data(&l, RX_STDIN, 1, 65536, pattern + 65536, 1, false);
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDIN, 30000, 65536), RX_OK);
    rx_engine_finish(l.engine, channel, RX_WHICH_STDIN);
    expect_data(&l, RX_STDIN, 1, 65537, pattern + 65537, 95536 - 65537, false);
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDIN, 65537, 65536), RX_OK);
    expect_data(&l, RX_STDIN, 1, 95536, pattern + 95536, 100000 - 95536, true);
    assert_false(rx_engine_pending(l.engine));
    lone_close(&l);
}

static void test_ends(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_running(&l);
    rx_engine_finish(l.engine, channel, RX_WHICH_STDERR); /* the end alone */
    expect_data(&l, RX_STDERR, 1, 0, NULL, 0, true);
    write_all(&l, channel, RX_WHICH_STDOUT, "abc", 3);
    rx_engine_finish(l.engine, channel, RX_WHICH_STDOUT);
    assert_int_equal(rx_engine_write(l.engine, channel, RX_WHICH_STDOUT, "d", 1), 0);
    expect_data(&l, RX_STDOUT, 1, 0, (const uint8_t *)"abc", 3, true);
    assert_int_equal(lone_hear_all(&l), 0);
    assert_int_equal(rx_engine_exit(l.engine, channel, NULL, 0), RX_OK);
    assert_true(lone_hears(&l, RX_EXIT, 1));
    lone_close(&l);
}

/* The room for a descriptor's bytes is the same memory that goes out. */
static void test_write_room(void **state)
{
    (void)state;
    struct lone l;
    uint8_t *room = NULL;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_running(&l);
    size_t n = rx_engine_write_room(channel, RX_WHICH_STDOUT, 1000, &room);
    assert_true(n >= 1000);
    memcpy(room, pattern, 1000);
    assert_false(rx_engine_pending(l.engine));
    rx_engine_written(l.engine, channel, RX_WHICH_STDOUT, 1000);
    assert_true(rx_engine_pending(l.engine));
    expect_data(&l, RX_STDOUT, 1, 0, pattern, 1000, false);
    lone_close(&l);
}

/* As much is kept as the configuration says, and it is a size that works. */
static void test_keep(void **state)
{
    (void)state;
    static const struct {
        size_t keep, kept;
    } cases[] = {{0, 262144},        {1, 262144},        {262144, 262144},   {262145, 524288},
                 {1 << 20, 1 << 20}, {1000000, 1 << 20}, {SIZE_MAX, 1 << 24}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_engine_config config = {.keep = cases[i].keep};
        struct lone l;
        size_t n, all = 0;
        lone_open(&l, RX_SERVER, &config);
        struct rx_channel *channel = lone_running(&l);
        while ((n = rx_engine_write(l.engine, channel, RX_WHICH_STDOUT, pattern, sizeof pattern)) >
               0)
            all += n;
        assert_int_equal(all, cases[i].kept);
        assert_true(rx_out_full(rx_channel_out(channel, RX_WHICH_STDOUT)));
        lone_close(&l);
    }
}

/* ---- order ------------------------------------------------------------------------------ */

static void test_messages_before_data(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l), *none = NULL;
    write_all(&l, channel, RX_WHICH_STDIN, "abc", 3);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    assert_int_equal(rx_engine_request(l.engine, RX_LIST, NULL, 0, NULL, 0, &none), RX_OK);
    assert_int_equal(rx_engine_queued(l.engine), 16 + 8 + 40);
    assert_true(lone_hears(&l, RX_PING, 0));
    assert_true(lone_hears(&l, RX_LIST, 2));
    assert_int_equal(rx_engine_queued(l.engine), 0);
    assert_true(lone_hears(&l, RX_STDIN, 1));
    assert_false(rx_engine_pending(l.engine));
    lone_close(&l);
}

/* "A sender with several commands takes turns among them, record by record" */
static void test_turns(void **state)
{
    (void)state;
    struct rx_engine_config config = {.chunk = 100};
    struct lone l;
    struct rx_channel *channels[5];
    lone_open(&l, RX_SERVER, &config);
    for (size_t i = 0; i < 5; i++)
        channels[i] = lone_running(&l);
    for (size_t i = 0; i < 5; i++)
        write_all(&l, channels[i], RX_WHICH_STDOUT, pattern, 1000 * (i + 1));
    for (size_t round = 0; round < 50; round++)
        for (size_t i = 0; i < 5; i++)
            if (round < 10 * (i + 1))
                expect_data(&l, RX_STDOUT, (uint32_t)i + 1, 100 * round, pattern + 100 * round, 100,
                            false);
    assert_int_equal(lone_hear_all(&l), 0);
    lone_close(&l);
}

/* So do the byte streams of one command. */
static void test_turns_within(void **state)
{
    (void)state;
    struct rx_engine_config config = {.chunk = 10};
    struct lone l;
    lone_open(&l, RX_SERVER, &config);
    struct rx_channel *channel = lone_running(&l);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 50);
    write_all(&l, channel, RX_WHICH_STDERR, pattern, 30);
    for (size_t at = 0; at < 50; at += 10) {
        expect_data(&l, RX_STDOUT, 1, at, pattern + at, 10, false);
        if (at < 30)
            expect_data(&l, RX_STDERR, 1, at, pattern + at, 10, false);
    }
    assert_int_equal(lone_hear_all(&l), 0);
    lone_close(&l);
}

/* EXIT is behind the last byte of both, however long the window keeps those back. */
static void test_exit_is_last(void **state)
{
    (void)state;
    struct lone l;
    struct rx_message m;
    struct rx_engine_config config = {.keep = 1 << 20};
    lone_open(&l, RX_SERVER, &config);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 17), RX_OK);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 300000);
    write_all(&l, channel, RX_WHICH_STDERR, pattern, 5);
    assert_int_equal(rx_engine_exit(l.engine, channel, "{\"code\":3}", 10), RX_OK);
    assert_int_equal(rx_engine_exit(l.engine, channel, "{\"code\":4}", 10), RX_E_BAD_STATE);
    assert_int_equal(lone_hear_all(&l), 5); /* 4 * 64 KiB, and stderr with its end */
    assert_int_equal(lone_say_ack(&l, 1, RX_WHICH_STDOUT, 262144, 262144), RX_OK);
    expect_data(&l, RX_STDOUT, 1, 262144, pattern + 262144, 300000 - 262144, true);
    assert_true(lone_hear(&l, &m));
    assert_int_equal(m.type, RX_EXIT);
    assert_memory_equal(m.header, "{\"code\":3}", 10);
    assert_int_equal(rx_get64(m.body), 17);
    assert_int_equal(rx_get64(m.body + 8), 300000);
    assert_int_equal(rx_get64(m.body + 16), 5);
    assert_int_equal(rx_channel_state(channel), RX_STREAM_EXITED);
    assert_int_equal(lone_hear_all(&l), 0);
    lone_close(&l);
}

/* Once the command is over nobody wants its stdin, nor ACKs of its output. */
static void test_nothing_behind_exit(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, 0, NULL, 200000), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 200000);
    write_all(&l, channel, RX_WHICH_STDIN, pattern, 1000);
    assert_true(rx_engine_pending(l.engine));
    assert_int_equal(lone_say_exit(&l, 1, 0, 200000, 0), RX_OK);
    assert_int_equal(lone_hear_all(&l), 0);
    assert_false(rx_engine_pending(l.engine));
    lone_close(&l);
}

/* ---- acknowledgements ------------------------------------------------------------------- */

/* Half of the window, and 128 KiB of a large one; on both sides. */
static void test_ack_when_due(void **state)
{
    (void)state;
    struct lone l;
    struct rx_engine_config config = {.window = 1 << 20};
    lone_open(&l, RX_CLIENT, &config);
    struct rx_channel *channel = lone_running(&l);
    for (unsigned i = 1; i <= 3; i++) {
        uint64_t from = (uint64_t)(i - 1) * 131072;
        assert_int_equal(lone_say_data(&l, RX_STDOUT, 0, 1, from, NULL, 131072), RX_OK);
        rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 131071);
        assert_false(rx_engine_pending(l.engine));
        rx_engine_consume(l.engine, channel, RX_WHICH_STDOUT, 1);
        assert_true(rx_engine_pending(l.engine));
        expect_ack(&l, 1, RX_WHICH_STDOUT, from + 131072, 1 << 20);
    }
    lone_close(&l);

    config.window = 10;
    lone_open(&l, RX_SERVER, &config);
    channel = lone_running(&l);
    assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 65536), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDIN, 32767);
    assert_false(rx_engine_pending(l.engine));
    rx_engine_consume(l.engine, channel, RX_WHICH_STDIN, 1);
    expect_ack(&l, 1, RX_WHICH_STDIN, 32768, 32768);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDIN, 32768);
    expect_ack(&l, 1, RX_WHICH_STDIN, 65536, 10);
    lone_close(&l);
}

static void test_ack_asked_for(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDERR); /* says nothing new */
    rx_engine_ack(l.engine, channel, RX_WHICH_STDIN);  /* not ours to say */
    assert_false(rx_engine_pending(l.engine));
    assert_int_equal(lone_say_data(&l, RX_STDERR, 0, 1, 0, NULL, 5), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDERR, 2);
    assert_false(rx_engine_pending(l.engine));
    rx_engine_ack(l.engine, channel, RX_WHICH_STDERR);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDERR);
    expect_ack(&l, 1, RX_WHICH_STDERR, 2, 262144);
    assert_false(rx_engine_pending(l.engine));
    /* Behind the end there is nothing to allow. */
    assert_int_equal(lone_say_data(&l, RX_STDERR, RX_FLAG_LAST, 1, 5, NULL, 1), RX_OK);
    rx_engine_consume(l.engine, channel, RX_WHICH_STDERR, 4);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDERR);
    assert_int_equal(lone_hear_all(&l), 0);
    lone_close(&l);
}

/* A window beyond what may be said is not said. */
static void test_greatest_window(void **state)
{
    (void)state;
    struct rx_engine_config config = {.window = UINT32_MAX};
    struct lone l;
    lone_open(&l, RX_CLIENT, &config);
    struct rx_channel *channel = lone_running(&l);
    rx_engine_ack(l.engine, channel, RX_WHICH_STDOUT);
    expect_ack(&l, 1, RX_WHICH_STDOUT, 0, 16777216);
    channel = lone_asked(&l); /* it may be said before the answer, too */
    rx_engine_ack(l.engine, channel, RX_WHICH_STDERR);
    expect_ack(&l, 2, RX_WHICH_STDERR, 0, 16777216);
    lone_close(&l);
}

/* ---- buffers ---------------------------------------------------------------------------- */

/* Empties the engine through buffers of `cap` bytes: all that came out, in one piece. */
static size_t drain(struct lone *l, size_t cap, uint8_t *all, size_t room)
{
    size_t n = 0;
    for (;;) {
        uint8_t *buffer = malloc(cap + 1);
        assert_non_null(buffer);
        buffer[cap] = 0x77;
        size_t got = rx_engine_output(l->engine, buffer, cap);
        assert_true(got <= cap && n + got <= room);
        assert_int_equal(buffer[cap], 0x77);
        memcpy(all + n, buffer, got);
        free(buffer);
        n += got;
        if (got == 0)
            return n;
    }
}

/* What two commands say, and EXIT: the same bytes, in other pieces, through any buffer. */
static void test_small_buffers(void **state)
{
    (void)state;
    enum { ROOM = 1 << 20, FEW = 10 };
    static uint8_t all[ROOM];
    static const size_t caps[FEW] = {53, 60, 100, 1000, 4096, 5000, 16384, 70000, 262148, 300000};
    for (size_t i = 0; i < FEW; i++) {
        struct lone l;
        size_t size = caps[i] < 1000 ? 500 : 30000;
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *first = lone_running(&l), *second = lone_running(&l);
        write_all(&l, first, RX_WHICH_STDOUT, pattern, size);
        write_all(&l, second, RX_WHICH_STDERR, pattern + 7, size);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        assert_int_equal(rx_engine_exit(l.engine, first, NULL, 0), RX_OK);
        size_t n = drain(&l, caps[i], all, sizeof all);
        assert_false(rx_engine_pending(l.engine));
        struct rx_seal open = toy_seal(&l.peer_in);
        struct rx_record_reader reader = {0};
        uint8_t *input = all, *payload = NULL;
        size_t len = 0, got[2] = {0};
        enum rx_error error;
        bool exited = false, ended = false;
        while (rx_record_next(&reader, &open, &input, &n, &payload, &len, &error) ==
               RX_READ_RECORD) {
            struct rx_message m;
            assert_int_equal(rx_message_decode(payload, len, RX_S2C, &m), RX_OK);
            exited |= m.type == RX_EXIT;
            if (!rx_is_data(m.type))
                continue;
            size_t bytes = m.body_len - RX_DATA_OFFSET, *at = &got[m.stream - 1];
            assert_int_equal(rx_get64(m.body), *at);
            assert_memory_equal(m.body + 8, pattern + (m.stream == 2 ? 7 : 0) + *at, bytes);
            *at += bytes;
            ended |= m.stream == 1 && (m.flags & RX_FLAG_LAST) != 0;
        }
        assert_int_equal(n, 0);
        assert_true(exited && ended);
        assert_true(got[0] == size && got[1] == size);
        lone_close(&l);
    }
}

/* Too small for the next record: nothing comes, and nothing is lost. */
static void test_tiny_buffers(void **state)
{
    (void)state;
    uint8_t out[256];
    for (size_t cap = 0; cap <= RECORD_AROUND + 16; cap++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        size_t n = rx_engine_output(l.engine, out, cap);
        assert_int_equal(n, cap < RECORD_AROUND + 16 ? 0 : RECORD_AROUND + 16);
        assert_int_equal(rx_engine_pending(l.engine), n == 0);
        lone_close(&l);
    }
    for (size_t cap = 0; cap <= RECORD_AROUND + DATA_HEAD + 3; cap++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *channel = lone_running(&l);
        write_all(&l, channel, RX_WHICH_STDOUT, "abc", 3);
        size_t n = rx_engine_output(l.engine, out, cap), head = RECORD_AROUND + DATA_HEAD;
        assert_int_equal(n, cap <= head ? 0 : cap);
        uint64_t sent = rx_channel_out(channel, RX_WHICH_STDOUT)->sent;
        assert_int_equal(sent, n == 0 ? 0 : n - head);
        assert_int_equal(rx_engine_pending(l.engine), sent < 3);
        lone_close(&l);
    }
    /* ACK, and EXIT. */
    for (size_t cap = 0; cap <= RECORD_AROUND + 32; cap++) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        struct rx_channel *channel = lone_running(&l);
        assert_int_equal(lone_say_data(&l, RX_STDIN, 0, 1, 0, NULL, 1), RX_OK);
        rx_engine_consume(l.engine, channel, RX_WHICH_STDIN, 1);
        rx_engine_ack(l.engine, channel, RX_WHICH_STDIN);
        size_t n = rx_engine_output(l.engine, out, cap);
        assert_int_equal(n, cap < RECORD_AROUND + 24 ? 0 : RECORD_AROUND + 24);
        (void)lone_settle(&l);
        assert_int_equal(rx_engine_exit(l.engine, channel, NULL, 0), RX_OK);
        if (n > 0) {
            n = rx_engine_output(l.engine, out, cap);
            assert_int_equal(n, cap < RECORD_AROUND + 32 ? 0 : RECORD_AROUND + 32);
        }
        lone_close(&l);
    }
}

/* A buffer that is nearly full does not cut a piece short for a few bytes more. */
static void test_no_crumbs(void **state)
{
    (void)state;
    static uint8_t out[8192];
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    struct rx_channel *channel = lone_running(&l);
    write_all(&l, channel, RX_WHICH_STDOUT, pattern, 100000);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    size_t ping = RECORD_AROUND + 16;
    assert_int_equal(rx_engine_output(l.engine, out, ping + RECORD_AROUND + DATA_HEAD + 4095),
                     ping);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    size_t enough = ping + RECORD_AROUND + DATA_HEAD + 4096;
    assert_int_equal(rx_engine_output(l.engine, out, enough), enough);
    lone_close(&l);
}

/* ---- reading to the record's place ------------------------------------------------------ */

/* Uses the next n bytes of stdout, in as many pieces as there are. */
static void take(struct lone *l, struct rx_channel *channel, size_t n)
{
    while (n > 0) {
        const uint8_t *bytes = NULL;
        size_t got = rx_engine_peek(l->engine, channel, RX_WHICH_STDOUT, &bytes);
        uint64_t at = rx_channel_in(channel, RX_WHICH_STDOUT)->consumed;
        assert_true(got > 0);
        got = got < n ? got : n;
        assert_memory_equal(bytes, pattern + at, got);
        rx_engine_consume(l->engine, channel, RX_WHICH_STDOUT, got);
        n -= got;
    }
}

static void test_room(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    struct rx_channel *channel = lone_running(&l);
    struct toy_seal *peer = &l.peer_out;
    struct rx_seal seal = toy_seal(peer);
    static uint8_t payload[RX_RECORD_MAX], record[RX_OUTPUT_MIN];
    struct rx_event event;
    for (uint64_t at = 0; at < 5 * 50000; at += 50000) {
        size_t n, fed = 4 + (size_t)at / 1000;
        rx_message_head(payload, RX_STDOUT, 0, 0, 1);
        rx_put64(payload + 8, at);
        memcpy(payload + DATA_HEAD, pattern + at, 50000);
        assert_int_equal(lone_settle(&l), RX_OK);
        assert_int_equal(rx_record_seal(&seal, payload, DATA_HEAD + 50000, record, &n), RX_OK);
        rx_engine_feed(l.engine, record, fed);
        assert_int_equal(rx_engine_eof(l.engine), RX_E_CLOSED_EARLY);
        uint8_t *room;
        for (int i = 0; i < 2; i++) { /* the second time a part of the record is held already */
            assert_int_equal(rx_engine_room(l.engine, &room), 0); /* input is not used up yet */
            assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_MORE);
            assert_int_equal(rx_engine_eof(l.engine), RX_E_CLOSED_EARLY);
            if (i == 0)
                rx_engine_feed(l.engine, record + fed++, 1);
        }
        while (fed < n) {
            size_t space = rx_engine_room(l.engine, &room);
            assert_true(space > 0 && space <= n - fed);
            memcpy(room, record + fed, space);
            fed += space;
            rx_engine_filled(l.engine, space);
            if (fed < n)
                assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_MORE);
        }
        assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_EVENT);
        assert_int_equal(rx_engine_eof(l.engine), RX_OK);
        assert_int_equal(rx_engine_room(l.engine, &room), 0);
        /* Half is used now, half together with the next record. */
        assert_int_equal(rx_engine_next(l.engine, &event), RX_NEXT_MORE);
        take(&l, channel, at > 0 ? 50000 : 25000);
    }
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_first_chunk),
        cmocka_unit_test(test_first_window),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_write_room),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_messages_before_data),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_within),
        cmocka_unit_test(test_exit_is_last),
        cmocka_unit_test(test_nothing_behind_exit),
        cmocka_unit_test(test_ack_when_due),
        cmocka_unit_test(test_ack_asked_for),
        cmocka_unit_test(test_greatest_window),
        cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_tiny_buffers),
        cmocka_unit_test(test_no_crumbs),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, fill_pattern, NULL);
}
