/* proto/stream.c, each half by itself: every refusal, and the rules of section 9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/stream.h"
#include "tests/duel/session.h"

enum { KEEP = RX_KEEP_MIN };

static const uint8_t some[2 * KEEP]; /* where only the count matters */

/* ---- the sending half ------------------------------------------------------------------- */

static void test_out_begins_empty(void **state)
{
    (void)state;
    struct rx_out out;
    uint8_t *bytes;
    bool last = true;
    rx_out_init(&out, 1000, KEEP);
    assert_int_equal(rx_out_end(&out), 0);
    assert_int_equal(out.limit, 1000);
    assert_true(rx_out_all_sent(&out));
    assert_false(rx_out_sendable(&out));
    assert_false(rx_out_full(&out));
    assert_int_equal(rx_out_next(&out, 100, &bytes, &last), 0);
    assert_false(last);
    assert_int_equal(rx_out_room(&out, 0, &bytes), 0);
    rx_out_clear(&out);
}

static void test_out_keeps_so_much(void **state)
{
    (void)state;
    struct rx_out out;
    uint8_t *room;
    rx_out_init(&out, 1000, KEEP);
    assert_int_equal(rx_out_write(&out, some, KEEP - 1), KEEP - 1);
    assert_false(rx_out_full(&out));
    assert_int_equal(rx_out_room(&out, 100, &room), 1);
    rx_out_filled(&out, 1);
    assert_true(rx_out_full(&out));
    assert_int_equal(rx_out_room(&out, 1, &room), 0);
    assert_int_equal(rx_out_write(&out, some, 1), 0);
    assert_int_equal(rx_out_end(&out), KEEP);
    rx_out_advance(&out, 10, false);
    assert_true(rx_out_full(&out)); /* sent, but not acknowledged */
    assert_int_equal(rx_out_ack(&out, 10, 1000), RX_OK);
    assert_false(rx_out_full(&out));
    assert_int_equal(rx_out_write(&out, some, 100), 10);
    assert_int_equal(rx_out_end(&out), KEEP + 10);
    rx_out_clear(&out);
    assert_null(out.ring.base);
}

/* What is written in pieces, around the ring's end too, is what is sent. */
static void test_out_write(void **state)
{
    (void)state;
    static uint8_t data[1 << 20];
    struct dice d = {.state = 3};
    struct rx_out out;
    size_t written = 0, sent = 0;
    dice_fill(&d, data, sizeof data);
    rx_out_init(&out, RX_WINDOW_MAX, KEEP);
    while (sent < sizeof data) {
        size_t left = sizeof data - written, most = 1 + dice_below(&d, 300000);
        size_t n = rx_out_write(&out, data + written, left < most ? left : most);
        written += n;
        assert_true(n == most || written == sizeof data || rx_out_full(&out));
        uint8_t *bytes = NULL;
        bool last;
        n = rx_out_next(&out, 1 + dice_below(&d, 200000), &bytes, &last);
        assert_memory_equal(bytes, data + sent, n);
        rx_out_advance(&out, n, last);
        sent += n;
        assert_int_equal(rx_out_ack(&out, sent, RX_WINDOW_MAX), RX_OK);
    }
    assert_null(out.ring.base);
}

static void expect_next(const struct rx_out *out, size_t max, size_t n, bool last)
{
    uint8_t *bytes;
    bool is_last = !last;
    assert_int_equal(rx_out_next(out, max, &bytes, &is_last), n);
    assert_int_equal(is_last, last);
}

static void test_out_limit(void **state)
{
    (void)state;
    struct rx_out out;
    rx_out_init(&out, 100, KEEP);
    rx_out_write(&out, some, 300);
    expect_next(&out, 1000, 100, false);
    expect_next(&out, 99, 99, false);
    expect_next(&out, 0, 0, false);
    rx_out_advance(&out, 99, false);
    assert_true(rx_out_sendable(&out));
    expect_next(&out, 1000, 1, false);
    rx_out_advance(&out, 1, false);
    assert_false(rx_out_sendable(&out));
    expect_next(&out, 1000, 0, false);
    assert_false(rx_out_all_sent(&out));
    rx_out_finish(&out);
    assert_false(rx_out_sendable(&out)); /* the end is behind bytes that may not be sent */
    expect_next(&out, 1000, 0, false);
    assert_int_equal(rx_out_ack(&out, 0, 299), RX_OK);
    expect_next(&out, 1000, 199, false);
    assert_int_equal(rx_out_ack(&out, 50, 250), RX_OK);
    expect_next(&out, 1000, 200, true);
    expect_next(&out, 199, 199, false);
    rx_out_clear(&out);
}

static void test_out_end_alone(void **state)
{
    (void)state;
    struct rx_out out;
    rx_out_init(&out, 3, KEEP);
    rx_out_write(&out, some, 3);
    expect_next(&out, 10, 3, false);
    rx_out_advance(&out, 3, false);
    rx_out_finish(&out);
    assert_true(rx_out_all_sent(&out));
    assert_true(rx_out_sendable(&out)); /* at the limit, and yet: it takes no window */
    expect_next(&out, 10, 0, true);
    uint8_t *room;
    assert_int_equal(rx_out_room(&out, 1, &room), 0);
    assert_int_equal(rx_out_write(&out, some, 1), 0);
    rx_out_advance(&out, 0, true);
    assert_false(rx_out_sendable(&out));
    rx_out_clear(&out);
}

/* 1000 written, 600 sent, 200 acknowledged; the limit is 700. */
static void out_in_the_middle(struct rx_out *out)
{
    rx_out_init(out, 600, KEEP);
    rx_out_write(out, some, 1000);
    rx_out_advance(out, 600, false);
    assert_int_equal(rx_out_ack(out, 200, 500), RX_OK);
    assert_int_equal(out->limit, 700);
}

static void test_out_ack(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint32_t window;
        bool good;
    } cases[] = {
        {199, 1000, false},
        {0, 1000, false},
        {200, 500, true},
        {200, 499, false},
        {200, 501, true},
        {300, 400, true},
        {300, 399, false},
        {600, 100, true},
        {600, 99, false},
        {601, 1000, false},
        {601, 99, false},
        {UINT64_MAX, 1000, false},
        {600, 16777216, true},
        {600, 16777217, false},
        {600, UINT32_MAX, false},
        {200, 16777217, false},
        {UINT64_MAX - 100, 101, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_out out;
        out_in_the_middle(&out);
        assert_int_equal(rx_out_ack(&out, cases[i].offset, cases[i].window),
                         cases[i].good ? RX_OK : RX_E_BAD_OFFSET);
        assert_int_equal(out.acked, cases[i].good ? cases[i].offset : 200);
        assert_int_equal(out.limit, cases[i].good ? cases[i].offset + cases[i].window : 700);
        assert_int_equal(out.sent, 600);
        assert_int_equal(rx_out_end(&out), 1000);
        rx_out_clear(&out);
    }
}

static void test_out_resume(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint32_t window;
        bool last, good;
    } cases[] = {
        {200, 0, false, true},   {199, 0, false, false},        {600, 0, false, true},
        {601, 0, false, false},  {400, 16777216, false, true},  {400, 16777217, false, false},
        {600, 100, true, false}, {UINT64_MAX, 0, false, false}, {0, UINT32_MAX, false, false},
        {1000, 0, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_out out;
        out_in_the_middle(&out);
        rx_out_finish(&out); /* the end was not sent yet */
        assert_int_equal(rx_out_resume(&out, cases[i].offset, cases[i].window, cases[i].last),
                         cases[i].good ? RX_OK : RX_E_DATA_LOST);
        assert_int_equal(out.sent, cases[i].good ? cases[i].offset : 600);
        assert_int_equal(out.limit, cases[i].good ? cases[i].offset + cases[i].window : 700);
        assert_int_equal(out.acked, 200);
        assert_int_equal(rx_out_end(&out), 1000);
        rx_out_clear(&out);
    }
}

/* The end is sent again, unless the other side says that it has it, and all before it. */
static void test_out_resume_end(void **state)
{
    (void)state;
    struct rx_out out;
    rx_out_init(&out, 1000, KEEP);
    rx_out_write(&out, some, 10);
    rx_out_finish(&out);
    rx_out_advance(&out, 10, true);
    assert_false(rx_out_sendable(&out));
    assert_int_equal(rx_out_resume(&out, 9, 100, true), RX_E_DATA_LOST);
    assert_false(rx_out_sendable(&out));
    assert_int_equal(rx_out_resume(&out, 10, 0, true), RX_OK);
    assert_false(rx_out_sendable(&out));
    assert_int_equal(rx_out_resume(&out, 10, 0, false), RX_OK);
    assert_true(rx_out_sendable(&out));
    expect_next(&out, 100, 0, true);
    assert_int_equal(rx_out_resume(&out, 10, 0, true), RX_E_DATA_LOST); /* not sent since */
    rx_out_advance(&out, 0, true);
    assert_int_equal(rx_out_resume(&out, 4, 100, false), RX_OK);
    expect_next(&out, 100, 6, true);
    rx_out_clear(&out);
}

/* ---- the receiving half ----------------------------------------------------------------- */

static void test_in_accept(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        size_t n;
        enum rx_error error;
    } cases[] = {
        {100, 0, RX_OK},
        {100, 1, RX_OK},
        {100, 900, RX_OK},
        {100, 901, RX_E_WINDOW_EXCEEDED},
        {100, SIZE_MAX, RX_E_WINDOW_EXCEEDED},
        {99, 1, RX_E_BAD_OFFSET},
        {101, 1, RX_E_BAD_OFFSET},
        {0, 100, RX_E_BAD_OFFSET},
        {1000, 0, RX_E_BAD_OFFSET},
        {UINT64_MAX, 1, RX_E_BAD_OFFSET},
    };
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof cases[0]); i++) {
        bool last = i % 2 != 0;
        struct rx_in in;
        rx_in_init(&in, 1000, 5000);
        assert_int_equal(rx_in_accept(&in, 0, 100, false), RX_OK);
        enum rx_error error = rx_in_accept(&in, cases[i / 2].offset, cases[i / 2].n, last);
        assert_int_equal(error, cases[i / 2].error);
        size_t more = error == RX_OK ? cases[i / 2].n : 0;
        assert_int_equal(in.received, 100 + more);
        assert_int_equal(in.last, error == RX_OK && last);
        /* Nothing behind the end, be it empty. */
        if (in.last) {
            assert_int_equal(rx_in_accept(&in, 100 + more, 0, true), RX_E_BAD_STATE);
            assert_int_equal(rx_in_accept(&in, 100 + more, 1, false), RX_E_BAD_STATE);
        }
        assert_int_equal(in.received, 100 + more);
        rx_in_clear(&in);
    }
}

static void test_in_done(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 1000);
    assert_false(rx_in_done(&in));
    assert_int_equal(rx_in_accept(&in, 0, 10, false), RX_OK);
    rx_in_consume(&in, 10);
    assert_false(rx_in_done(&in));
    assert_int_equal(rx_in_accept(&in, 10, 5, true), RX_OK);
    assert_false(rx_in_done(&in));
    rx_in_consume(&in, 4);
    assert_false(rx_in_done(&in));
    rx_in_consume(&in, 1);
    assert_true(rx_in_done(&in));
}

static void test_in_keep(void **state)
{
    (void)state;
    struct rx_in in;
    const uint8_t *bytes = NULL;
    rx_in_init(&in, 100000, 100000);
    assert_int_equal(rx_in_peek(&in, &bytes), 0);
    assert_null(bytes);
    assert_int_equal(rx_in_accept(&in, 0, 20000, false), RX_OK);
    assert_int_equal(rx_in_keep(&in, some, 0), RX_OK);
    assert_int_equal(in.ring.used, 0);
    assert_int_equal(rx_in_keep(&in, (const uint8_t *)"abcdef", 6), RX_OK);
    assert_int_equal(rx_in_peek(&in, &bytes), 6);
    assert_memory_equal(bytes, "abcdef", 6);
    rx_in_consume(&in, 2);
    assert_int_equal(rx_in_keep(&in, (const uint8_t *)"ghi", 3), RX_OK);
    assert_int_equal(rx_in_peek(&in, &bytes), 7);
    assert_memory_equal(bytes, "cdefghi", 7);
    assert_int_equal(in.consumed, 2);
    rx_in_clear(&in);
    assert_int_equal(rx_in_peek(&in, &bytes), 0);
}

/* All the greatest window fits; what is beyond is a lack of memory and changes nothing. */
static void test_in_keep_most(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, RX_WINDOW_MAX, RX_WINDOW_MAX);
    assert_int_equal(rx_in_accept(&in, 0, RX_WINDOW_MAX, true), RX_OK);
    for (size_t n = 0; n < RX_WINDOW_MAX - KEEP; n += KEEP)
        assert_int_equal(rx_in_keep(&in, some, KEEP), RX_OK);
    assert_int_equal(rx_in_keep(&in, some, KEEP + 1), RX_E_NO_MEMORY);
    assert_int_equal(in.ring.used, RX_WINDOW_MAX - KEEP);
    rx_in_unaccept(&in, 1);
    assert_int_equal(in.received, RX_WINDOW_MAX - 1);
    assert_false(in.last);
    assert_int_equal(rx_in_keep(&in, some, KEEP - 1), RX_OK);
    assert_int_equal(rx_in_accept(&in, RX_WINDOW_MAX - 1, 1, true), RX_OK);
    assert_int_equal(rx_in_keep(&in, some, 1), RX_OK);
    assert_int_equal(rx_in_keep(&in, some, 1), RX_E_NO_MEMORY);
    assert_true(in.last);
    rx_in_clear(&in);
}

/* Kept in two pieces, where the ring wraps, in the right order. */
static void test_in_keep_wraps(void **state)
{
    (void)state;
    struct rx_in in;
    struct dice d = {.state = 1};
    static uint8_t data[300000];
    dice_fill(&d, data, sizeof data);
    rx_in_init(&in, RX_WINDOW_MAX, RX_WINDOW_MAX);
    size_t kept = 0, taken = 0;
    while (taken < sizeof data) {
        size_t n = dice_below(&d, 3000);
        if (n > sizeof data - kept)
            n = sizeof data - kept;
        assert_int_equal(rx_in_accept(&in, kept, n, false), RX_OK);
        assert_int_equal(rx_in_keep(&in, data + kept, n), RX_OK);
        kept += n;
        const uint8_t *bytes;
        size_t use = dice_below(&d, rx_in_peek(&in, &bytes) + 1);
        if (use > 0)
            assert_memory_equal(bytes, data + taken, use);
        rx_in_consume(&in, use);
        taken += use;
    }
    rx_in_clear(&in);
}

/* ---- acknowledgements ------------------------------------------------------------------- */

/* Receives and consumes n bytes. */
static void take(struct rx_in *in, size_t n)
{
    assert_int_equal(rx_in_accept(in, in->received, n, false), RX_OK);
    rx_in_consume(in, n);
}

static void expect_ack(struct rx_in *in, uint64_t offset, uint32_t window)
{
    uint64_t at = offset + 1;
    uint32_t allowed = window + 1;
    rx_in_ack(in, &at, &allowed);
    assert_int_equal(at, offset);
    assert_int_equal(allowed, window);
    assert_int_equal(in->limit, offset + window);
    assert_int_equal(in->ack_sent, offset);
    assert_false(rx_in_ack_news(in));
}

/* "131,072 bytes or half of the window that this ACK gave (the first window, before any ACK)" */
static void test_ack_due(void **state)
{
    (void)state;
    static const struct {
        uint32_t window;
        size_t due;
    } cases[] = {
        {1, 1},           {2, 1},           {3, 2},           {99, 50},
        {100, 50},        {65536, 32768},   {65537, 32769},   {262144, 131072},
        {262143, 131072}, {262145, 131072}, {262141, 131071}, {1 << 24, 131072},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_in in;
        uint64_t at = 0;
        rx_in_init(&in, cases[i].window, cases[i].window);
        for (unsigned round = 0; round < 3; round++) {
            assert_false(rx_in_ack_due(&in));
            take(&in, cases[i].due - 1);
            assert_false(rx_in_ack_due(&in));
            take(&in, 1);
            assert_true(rx_in_ack_due(&in));
            at += cases[i].due;
            expect_ack(&in, at, cases[i].window);
        }
    }
}

/* What was received and not consumed is not acknowledged, nor does it make an ACK due. */
static void test_ack_counts_consumed(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 1000);
    assert_int_equal(rx_in_accept(&in, 0, 1000, false), RX_OK);
    assert_int_equal(rx_in_keep(&in, some, 1000), RX_OK);
    assert_false(rx_in_ack_due(&in));
    assert_false(rx_in_ack_news(&in));
    rx_in_consume(&in, 1);
    assert_false(rx_in_ack_due(&in));
    assert_true(rx_in_ack_news(&in));
    expect_ack(&in, 1, 1000);
    rx_in_consume(&in, 499);
    assert_false(rx_in_ack_due(&in));
    rx_in_consume(&in, 1);
    assert_true(rx_in_ack_due(&in));
    rx_in_clear(&in);
}

/* The first window and what is promised later differ: offset + window never falls. */
static void test_ack_of_other_windows(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 400);
    take(&in, 500);
    assert_true(rx_in_ack_due(&in));
    expect_ack(&in, 500, 500); /* not 400: the limit stays */
    take(&in, 249);
    assert_false(rx_in_ack_due(&in));
    take(&in, 1);
    assert_true(rx_in_ack_due(&in));
    expect_ack(&in, 750, 400);

    rx_in_init(&in, 1000, 4000);
    assert_true(rx_in_ack_news(&in)); /* more could be said at once */
    assert_false(rx_in_ack_due(&in));
    expect_ack(&in, 0, 4000);
    take(&in, 1999);
    assert_false(rx_in_ack_due(&in));
    take(&in, 1);
    assert_true(rx_in_ack_due(&in));
}

static void test_no_ack_behind_the_end(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 1000);
    assert_int_equal(rx_in_accept(&in, 0, 900, true), RX_OK);
    rx_in_consume(&in, 900);
    assert_false(rx_in_ack_due(&in));
}

/* ---- promises --------------------------------------------------------------------------- */

static void test_promise(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 400); /* less than was promised already */
    assert_int_equal(rx_in_promise(&in), 1000);
    assert_int_equal(rx_in_accept(&in, 0, 700, false), RX_OK);
    assert_int_equal(rx_in_promise(&in), 300);
    rx_in_consume(&in, 650);
    assert_int_equal(rx_in_promise(&in), 350);
    assert_int_equal(in.limit, 1050);

    rx_in_init(&in, 1000, 4000);
    assert_int_equal(rx_in_accept(&in, 0, 10, false), RX_OK);
    assert_int_equal(rx_in_promise(&in), 3990);
    assert_int_equal(in.ack_sent, 0);
}

/* "Promises of window and ACKs on an old connection do not count on the new one." */
static void test_resume(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 400);
    take(&in, 500);
    expect_ack(&in, 500, 500);
    assert_int_equal(rx_in_accept(&in, 500, 300, false), RX_OK);
    rx_in_consume(&in, 100);
    assert_int_equal(in.limit, 1000);
    assert_int_equal(rx_in_resume(&in), 200); /* 400 beyond what is consumed, not the 1000 */
    assert_int_equal(in.limit, 1000);
    assert_int_equal(in.ack_sent, 0);
    assert_true(rx_in_ack_due(&in)); /* 600 of a window that ends at 1000 */

    /* What was promised and not used is taken back: here 600 of it. */
    rx_in_init(&in, 1000, 300);
    take(&in, 100);
    assert_int_equal(rx_in_resume(&in), 300);
    assert_int_equal(rx_in_accept(&in, 100, 301, false), RX_E_WINDOW_EXCEEDED);
    assert_int_equal(rx_in_accept(&in, 100, 300, false), RX_OK);

    /* More is received than the window would allow anew: nothing is promised, but an ACK comes. */
    rx_in_init(&in, 1000, 100);
    assert_int_equal(rx_in_accept(&in, 0, 1000, false), RX_OK);
    assert_int_equal(rx_in_resume(&in), 0);
    assert_int_equal(rx_in_accept(&in, 1000, 1, false), RX_E_WINDOW_EXCEEDED);
    rx_in_consume(&in, 499);
    assert_false(rx_in_ack_due(&in));
    rx_in_consume(&in, 1);
    assert_true(rx_in_ack_due(&in));
    rx_in_consume(&in, 500);
    expect_ack(&in, 1000, 100);
}

static void test_start_at(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, 1, 12345678901, UINT64_MAX - RX_WINDOW_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        uint64_t at = offsets[i];
        struct rx_in in;
        rx_in_init(&in, 1000, 1000);
        rx_in_start_at(&in, at);
        assert_int_equal(in.received, at);
        assert_int_equal(in.limit, at + 1000);
        assert_false(rx_in_ack_due(&in));
        assert_false(rx_in_ack_news(&in));
        assert_int_equal(rx_in_accept(&in, at, 1001, false), RX_E_WINDOW_EXCEEDED);
        assert_int_equal(rx_in_accept(&in, at, 1000, false), RX_OK);
        rx_in_consume(&in, 499);
        assert_false(rx_in_ack_due(&in));
        rx_in_consume(&in, 1);
        assert_true(rx_in_ack_due(&in));
    }
}

/* RESUME has one window for both outputs: where the other's is used up, this one begins with none,
 * and only an ACK can change that. */
static void test_ack_of_no_window(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 1000);
    in.limit = in.received;
    assert_true(rx_in_ack_due(&in));
    expect_ack(&in, 0, 1000);
    assert_false(rx_in_ack_due(&in));
}

/* Where offsets end there is no more window to give, and one ACK says so. */
static void test_offsets_end(void **state)
{
    (void)state;
    struct rx_in in;
    rx_in_init(&in, 1000, 1000);
    rx_in_start_at(&in, UINT64_MAX - 1000);
    assert_int_equal(rx_in_accept(&in, UINT64_MAX - 1000, 1000, false), RX_OK);
    rx_in_consume(&in, 1000);
    expect_ack(&in, UINT64_MAX, 0);
    assert_false(rx_in_ack_due(&in));
    assert_false(rx_in_ack_news(&in));
    assert_int_equal(rx_in_accept(&in, UINT64_MAX, 1, false), RX_E_WINDOW_EXCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_begins_empty),
        cmocka_unit_test(test_out_keeps_so_much),
        cmocka_unit_test(test_out_write),
        cmocka_unit_test(test_out_limit),
        cmocka_unit_test(test_out_end_alone),
        cmocka_unit_test(test_out_ack),
        cmocka_unit_test(test_out_resume),
        cmocka_unit_test(test_out_resume_end),
        cmocka_unit_test(test_in_accept),
        cmocka_unit_test(test_in_done),
        cmocka_unit_test(test_in_keep),
        cmocka_unit_test(test_in_keep_most),
        cmocka_unit_test(test_in_keep_wraps),
        cmocka_unit_test(test_ack_due),
        cmocka_unit_test(test_ack_counts_consumed),
        cmocka_unit_test(test_ack_of_other_windows),
        cmocka_unit_test(test_no_ack_behind_the_end),
        cmocka_unit_test(test_promise),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_start_at),
        cmocka_unit_test(test_ack_of_no_window),
        cmocka_unit_test(test_offsets_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
