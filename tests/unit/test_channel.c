/*
 * proto/channel.c: the state machine of section 8 against a table written after the document, and
 * the offsets of STARTED, RESUMED and RESUME.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/channel.h"
#include "tests/duel/lone.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

/*
 * What each message makes of a stream in the states idle, asked, asking, running, exited, closed,
 * without LAST and with it: the letter of the state that follows, or - where it is refused.
 */
static const struct {
    enum rx_type type;
    const char *plain, *last; /* NULL: has no LAST */
} table[] = {
    /*              IAKREC: idle asked asKing running exited closed */
    {RX_WELCOME, "------", NULL},     {RX_PING, "------", NULL},
    {RX_PONG, "------", NULL},        {RX_CLOSE, "------", NULL},
    {RX_GOAWAY, "------", NULL},      {RX_ERROR, "------", NULL},
    {RX_EXEC, "A-----", NULL},        {RX_RESUME, "A-----", NULL},
    {RX_ATTACH, "A-----", NULL},      {RX_DETACH, "-A-REC", NULL},
    {RX_SIGNAL, "KA-REC", NULL},      {RX_RESIZE, "-A-REC", NULL},
    {RX_LIST, "K-----", NULL},        {RX_FORGET, "K-----", NULL},
    {RX_STARTED, "-R----", NULL},     {RX_RESUMED, "-R----", NULL},
    {RX_REFUSED, "---REC", "-CCCCC"}, {RX_DONE, "---REC", "--C--C"},
    {RX_LISTED, "--K---", "--C---"},  {RX_EXIT, "---E--", NULL},
    {RX_STDIN, "-A-REC", "-A-REC"},   {RX_STDOUT, "---R--", "---R--"},
    {RX_STDERR, "---R--", "---R--"},  {RX_ACK, "-A-REC", NULL},
    {RX_EXIT_ACK, "----CC", NULL},
};

static const struct {
    char letter;
    enum rx_stream_state state;
} states[] = {
    {'I', RX_STREAM_IDLE},    {'A', RX_STREAM_ASKED},  {'K', RX_STREAM_ASKING},
    {'R', RX_STREAM_RUNNING}, {'E', RX_STREAM_EXITED}, {'C', RX_STREAM_CLOSED},
};

enum { ROWS = sizeof table / sizeof table[0], STATES = sizeof states / sizeof states[0] };

static void expect_next(const struct rx_kind *kind, size_t from, uint8_t flags, char letter)
{
    enum rx_stream_state next = RX_STREAM_SESSION;
    enum rx_error error = rx_stream_next_state(states[from].state, kind, flags, &next);
    char got = '-';
    for (size_t i = 0; i < STATES; i++)
        if (error == RX_OK && next == states[i].state)
            got = states[i].letter;
    if (got != letter || (letter == '-' && error != RX_E_BAD_STATE))
        fail_msg("%s, flags %u, in %s: %c (%s), not %c", kind->name, flags,
                 rx_stream_state_name(states[from].state), got, rx_error_name(error), letter);
    if (letter == '-')
        assert_int_equal(next, states[from].state);
}

static void test_every_message_in_every_state(void **state)
{
    (void)state;
    size_t rows = 0;
    for (; rx_kind_at(rows) != NULL; rows++) {
        const struct rx_kind *kind = rx_kind_at(rows);
        assert_true(rows < ROWS && kind->number == table[rows].type);
        assert_int_equal((kind->flags & RX_FLAG_LAST) != 0, table[rows].last != NULL);
        for (size_t from = 0; from < STATES; from++) {
            expect_next(kind, from, 0, table[rows].plain[from]);
            if (table[rows].last != NULL)
                expect_next(kind, from, RX_FLAG_LAST, table[rows].last[from]);
        }
    }
    assert_int_equal(rows, ROWS);
}

/* ---- offsets ---------------------------------------------------------------------------- */

static void test_offsets_layout(void **state)
{
    (void)state;
    static const uint8_t expected[RX_OFFSETS_SIZE] = {
        1,   2,   3,   4,   5,   6,   7,   8,   0, 0, 0, 0, 0, 0, 0, 9,
        255, 255, 255, 255, 254, 255, 255, 255, 0, 1, 0, 2, 0, 0, 0, 6,
    };
    const struct rx_offsets offsets = {
        .at = {UINT64_C(0x0102030405060708), 9, UINT64_MAX - RX_WINDOW_MAX},
        .window = 65538,
        .ended = {false, true, true},
    };
    uint8_t out[RX_OFFSETS_SIZE];
    struct rx_offsets back = {.window = 1};
    rx_offsets_encode(&offsets, out);
    assert_memory_equal(out, expected, sizeof out);
    assert_int_equal(rx_offsets_decode(guard_copy(out, sizeof out), &back), RX_OK);
    for (unsigned w = 0; w < RX_WHICH_COUNT; w++) {
        assert_true(back.at[w] == offsets.at[w]);
        assert_int_equal(back.ended[w], offsets.ended[w]);
    }
    assert_int_equal(back.window, offsets.window);
}

static void test_offsets_round_trip(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (unsigned round = 0; round < 1000; round++) {
        struct rx_offsets offsets = {.window = (uint32_t)dice_below(&d, RX_WINDOW_MAX + 1)}, back;
        for (unsigned w = 0; w < RX_WHICH_COUNT; w++) {
            offsets.at[w] = dice_next(&d) >> dice_below(&d, 64);
            offsets.ended[w] = dice_below(&d, 2) != 0;
        }
        uint8_t out[RX_OFFSETS_SIZE], again[RX_OFFSETS_SIZE];
        rx_offsets_encode(&offsets, out);
        assert_int_equal(rx_offsets_decode(out, &back), RX_OK);
        rx_offsets_encode(&back, again);
        assert_memory_equal(out, again, sizeof out);
        assert_int_equal(back.window, offsets.window);
    }
}

static void test_offsets_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t window, bits;
        bool good;
    } cases[] = {
        {0, 0, true},           {16777216, 7, true}, {16777217, 0, false},
        {UINT32_MAX, 0, false}, {0, 8, false},       {0, 0x80000000, false},
        {0, 9, false},          {0, 0x100, false},   {0, UINT32_MAX, false},
        {1, 5, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t in[RX_OFFSETS_SIZE] = {0};
        struct rx_offsets offsets;
        rx_put32(in + 24, cases[i].window);
        rx_put32(in + 28, cases[i].bits);
        assert_int_equal(rx_offsets_decode(in, &offsets), cases[i].good ? RX_OK : RX_E_BAD_BODY);
    }
    for (size_t w = 0; w < RX_WHICH_COUNT; w++) { /* an offset that no window fits behind */
        uint8_t in[RX_OFFSETS_SIZE] = {0};
        struct rx_offsets offsets;
        rx_put64(in + 8 * w, UINT64_MAX - 16777216);
        assert_int_equal(rx_offsets_decode(in, &offsets), RX_OK);
        rx_put64(in + 8 * w, UINT64_MAX - 16777215);
        assert_int_equal(rx_offsets_decode(in, &offsets), RX_E_BAD_BODY);
        rx_put64(in + 8 * w, UINT64_MAX);
        assert_int_equal(rx_offsets_decode(in, &offsets), RX_E_BAD_BODY);
    }
}

/* ---- a channel -------------------------------------------------------------------------- */

static void test_look(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        lone_open(&l, (enum rx_role)role, NULL);
        struct rx_channel *channel = lone_asked(&l);
        bool client = role == RX_CLIENT;
        int user;
        assert_int_equal(rx_channel_stream(channel), 1);
        assert_int_equal(rx_channel_state(channel), RX_STREAM_ASKED);
        assert_null(rx_channel_user(channel));
        rx_channel_set_user(channel, &user);
        assert_ptr_equal(rx_channel_user(channel), &user);
        for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
            bool sends = client == (w == RX_WHICH_STDIN);
            uint32_t first = w == RX_WHICH_STDIN ? 65536 : 262144;
            assert_int_equal(rx_channel_out(channel, w) != NULL, sends);
            assert_int_equal(rx_channel_in(channel, w) != NULL, !sends);
            if (sends)
                assert_int_equal(rx_channel_out(channel, w)->limit, first);
            else
                assert_int_equal(rx_channel_in(channel, w)->limit, first);
        }
        lone_close(&l);
    }
    rx_channel_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_in_every_state),
        cmocka_unit_test(test_offsets_layout),
        cmocka_unit_test(test_offsets_round_trip),
        cmocka_unit_test(test_offsets_refused),
        cmocka_unit_test(test_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
