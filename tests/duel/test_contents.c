/*
 * What stands in messages that are legal where they come: offsets, windows, ends, counts. Each
 * wrong value ends the session before anything is done with it. And requests without their proof.
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
#include "tests/duel/station.h"

static struct dice dice = {43};
static size_t messages;

static const struct place running_server = {RX_SERVER, RX_SESSION_OPEN, SPOT_RUNNING, false};
static const struct place running_client = {RX_CLIENT, RX_SESSION_OPEN, SPOT_RUNNING, false};

static struct station *open_at(const struct place *place)
{
    static struct station s;
    station_open(&s, place, RX_SUITE_CHACHA20POLY1305, &dice);
    return &s;
}

static void expect(struct station *s, const struct forged *m, enum rx_error error)
{
    size_t events = s->events;
    messages++;
    assert_int_equal(station_tell(s, m), error == RX_OK ? RX_NEXT_MORE : RX_NEXT_ERROR);
    if (rx_engine_error(s->end.engine) != error) {
        fail_msg("type %u: %s instead of %s", m->type,
                 rx_error_name(rx_engine_error(s->end.engine)), rx_error_name(error));
    }
    assert_int_equal(s->events, events + (error == RX_OK ? 1 : 0));
}

/* ---- data ------------------------------------------------------------------------------- */

static void tell_data(struct station *s, enum rx_type type, unsigned flags, uint64_t offset,
                      size_t n, enum rx_error error)
{
    static uint8_t body[RX_DATA_OFFSET + RX_DATA_MAX];
    rx_put64(body, offset);
    struct forged m = station_message(s, (uint8_t)type, (uint8_t)flags);
    m.body = body;
    m.body_len = RX_DATA_OFFSET + n;
    expect(s, &m, error);
}

static void test_offsets_of_data(void **state)
{
    (void)state;
    static const uint64_t others[] = {0,
                                      1,
                                      99,
                                      101,
                                      200,
                                      UINT32_MAX,
                                      (uint64_t)1 << 32 | 100,
                                      UINT64_MAX,
                                      UINT64_MAX - 99,
                                      (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct station *s = open_at(&running_server);
        tell_data(s, RX_STDIN, 0, 0, 100, RX_OK);
        tell_data(s, RX_STDIN, 0, others[i], 1, RX_E_BAD_OFFSET);
        station_close(s);
        s = open_at(&running_client);
        tell_data(s, RX_STDERR, 0, 0, 100, RX_OK);
        tell_data(s, RX_STDOUT, 0, 0, 100, RX_OK);
        tell_data(s, RX_STDOUT, RX_FLAG_LAST, others[i], 0, RX_E_BAD_OFFSET);
        station_close(s);
    }
}

/* The window is used up to its last byte, and no further, whatever the pieces. */
static void test_windows(void **state)
{
    (void)state;
    static const size_t pieces[] = {1000, 4096, 65536, 261120};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        for (enum rx_type type = RX_STDIN; type <= RX_STDERR; type++) {
            struct station *s = open_at(type == RX_STDIN ? &running_server : &running_client);
            size_t at = 0;
            for (size_t n; at < RX_WINDOW_OUTPUT; at += n) {
                n = RX_WINDOW_OUTPUT - at < pieces[i] ? RX_WINDOW_OUTPUT - at : pieces[i];
                tell_data(s, type, 0, at, n, RX_OK);
            }
            tell_data(s, type, 0, at, 1, RX_E_WINDOW_EXCEEDED);
            station_close(s);
        }
    }
}

/* Before STARTED it is the protocol's first window. The end needs no window. */
static void test_first_window(void **state)
{
    (void)state;
    const struct place asked = {RX_SERVER, RX_SESSION_OPEN, SPOT_ASKED_EXEC, false};
    struct station *s = open_at(&asked);
    tell_data(s, RX_STDIN, 0, 0, RX_WINDOW_STDIN, RX_OK);
    tell_data(s, RX_STDIN, RX_FLAG_LAST, RX_WINDOW_STDIN, 0, RX_OK);
    station_close(s);
    s = open_at(&asked);
    tell_data(s, RX_STDIN, 0, 0, RX_WINDOW_STDIN + 1, RX_E_WINDOW_EXCEEDED);
    station_close(s);
}

static void test_nothing_follows_the_end(void **state)
{
    (void)state;
    for (enum rx_type type = RX_STDIN; type <= RX_STDERR; type++) {
        for (size_t n = 0; n <= 1; n++) {
            for (unsigned flags = 0; flags <= RX_FLAG_LAST; flags++) {
                struct station *s = open_at(type == RX_STDIN ? &running_server : &running_client);
                tell_data(s, type, RX_FLAG_LAST, 0, 3, RX_OK);
                bool empty = n == 0 && flags == 0;
                tell_data(s, type, flags, 3, n, empty ? RX_E_BAD_BODY : RX_E_BAD_STATE);
                station_close(s);
            }
        }
    }
}

/* ---- ACK -------------------------------------------------------------------------------- */

static void tell_ack(struct station *s, unsigned which, uint64_t offset, uint32_t window,
                     enum rx_error error)
{
    uint8_t body[16] = {(uint8_t)which};
    rx_put32(body + 4, window);
    rx_put64(body + 8, offset);
    struct forged m = station_message(s, RX_ACK, 0);
    m.body = body;
    expect(s, &m, error);
}

/* A client that has sent 100 bytes of stdin; its limit is 2^20, from STARTED. */
static struct station *client_with_stdin(void)
{
    static uint8_t bytes[100];
    struct station *s = open_at(&running_client);
    assert_int_equal(rx_engine_write(s->end.engine, s->channel, RX_WHICH_STDIN, bytes, 100), 100);
    station_listen(s);
    assert_int_equal(s->said_count, 1);
    return s;
}

static void test_acks(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 20 };
    static const struct {
        uint64_t offset;
        uint32_t window;
        enum rx_error error;
    } cases[] = {
        {0, LIMIT, RX_OK},
        {100, LIMIT - 100, RX_OK},
        {100, RX_WINDOW_MAX, RX_OK},
        {100, LIMIT - 101, RX_E_BAD_OFFSET}, /* takes back what was promised */
        {0, LIMIT - 1, RX_E_BAD_OFFSET},
        {100, 0, RX_E_BAD_OFFSET},
        {101, LIMIT, RX_E_BAD_OFFSET}, /* more than was sent */
        {UINT64_MAX, LIMIT, RX_E_BAD_OFFSET},
        {UINT64_MAX - LIMIT + 50, LIMIT, RX_E_BAD_OFFSET},
        {50, RX_WINDOW_MAX + 1, RX_E_BAD_OFFSET},
        {50, UINT32_MAX, RX_E_BAD_OFFSET},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct station *s = client_with_stdin();
        tell_ack(s, 0, cases[i].offset, cases[i].window, cases[i].error);
        station_close(s);
    }
    struct station *s = client_with_stdin();
    tell_ack(s, 0, 50, LIMIT, RX_OK);
    assert_int_equal(rx_channel_out(s->channel, RX_WHICH_STDIN)->ring.used, 50);
    tell_ack(s, 0, 50, LIMIT, RX_OK);
    tell_ack(s, 0, 49, LIMIT + 1, RX_E_BAD_OFFSET); /* goes back */
    station_close(s);
}

/* Each side acknowledges what it receives, and nothing else. */
static void test_acks_of_the_wrong_stream(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 256; which++) {
        struct station *s = open_at(&running_client);
        tell_ack(s, which, 0, 1 << 20, which == 0 ? RX_OK : RX_E_BAD_BODY);
        station_close(s);
        s = open_at(&running_server);
        tell_ack(s, which, 0, 1 << 20, which == 1 || which == 2 ? RX_OK : RX_E_BAD_BODY);
        station_close(s);
    }
    for (size_t i = 1; i <= 3; i++) {
        struct station *s = open_at(&running_server);
        uint8_t body[16] = {1};
        body[i] = 1;
        body[5] = 0x10;
        struct forged m = station_message(s, RX_ACK, 0);
        m.body = body;
        expect(s, &m, RX_E_BAD_BODY);
        station_close(s);
    }
}

/* What crossed the end of a stream is not looked at. */
static void test_what_is_ignored(void **state)
{
    (void)state;
    static const enum spot spots[] = {SPOT_EXITED, SPOT_CLOSED, SPOT_REFUSED, SPOT_SKIPPED};
    for (size_t i = 0; i < sizeof spots / sizeof spots[0]; i++) {
        const struct place place = {RX_SERVER, RX_SESSION_OPEN, spots[i], false};
        struct station *s = open_at(&place);
        tell_data(s, RX_STDIN, 0, UINT64_MAX, 100, RX_OK);
        tell_data(s, RX_STDIN, RX_FLAG_LAST, 77, 0, RX_OK);
        tell_data(s, RX_STDIN, 0, 78, RX_DATA_MAX, RX_OK);
        tell_ack(s, 1, UINT64_MAX, 0, RX_OK);
        station_listen(s);
        assert_int_equal(s->said_count, 0);
        station_close(s);
    }
}

/* ---- STARTED, RESUMED, RESUME, EXIT ----------------------------------------------------- */

static void tell_offsets(struct station *s, uint8_t type, const struct rx_offsets *at,
                         enum rx_error error)
{
    uint8_t body[RX_OFFSETS_SIZE];
    rx_offsets_encode(at, body);
    struct forged m = station_message(s, type, 0);
    m.body = body;
    expect(s, &m, error);
}

static void test_offsets_of_started(void **state)
{
    (void)state;
    static const struct {
        struct rx_offsets at;
        enum rx_error error;
    } cases[] = {
        {{{0, 0, 0}, 65536, {0}}, RX_OK},
        {{{10, 0, 0}, 65526, {0}}, RX_OK},
        {{{10, 0, 0}, RX_WINDOW_MAX, {0}}, RX_OK},
        {{{0, 0, 0}, 65535, {0}}, RX_E_BAD_OFFSET},  /* takes the first window back */
        {{{11, 0, 0}, 65536, {0}}, RX_E_BAD_OFFSET}, /* more than was sent */
        {{{UINT64_MAX, 0, 0}, 65536, {0}}, RX_E_BAD_BODY},
        {{{0, 1, 0}, 65536, {0}}, RX_E_BAD_OFFSET}, /* output begins at 0 */
        {{{0, 0, 1}, 65536, {0}}, RX_E_BAD_OFFSET},
        {{{0, 0, 0}, 65536, {false, true, false}}, RX_E_BAD_OFFSET},
        {{{0, 0, 0}, 65536, {false, false, true}}, RX_E_BAD_OFFSET},
        {{{10, 0, 0}, 65536, {true, false, false}}, RX_E_BAD_OFFSET}, /* nor was LAST */
        {{{0, 0, 0}, RX_WINDOW_MAX + 1, {0}}, RX_E_BAD_BODY},
        {{{0, 0, 0}, UINT32_MAX, {0}}, RX_E_BAD_BODY},
    };
    const struct place asked = {RX_CLIENT, RX_SESSION_OPEN, SPOT_ASKED_EXEC, false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct station *s = open_at(&asked);
        assert_int_equal(
            rx_engine_write(s->end.engine, s->channel, RX_WHICH_STDIN, "0123456789", 10), 10);
        station_listen(s);
        tell_offsets(s, RX_STARTED, &cases[i].at, cases[i].error);
        station_close(s);
    }
}

static void test_offsets_of_resumed(void **state)
{
    (void)state;
    static const struct {
        struct rx_offsets at;
        enum rx_error error;
    } cases[] = {
        {{{0, 0, 0}, 65536, {0}}, RX_OK},
        {{{0, 0, 0}, 0, {0}}, RX_OK},
        {{{1, 0, 0}, 65536, {0}}, RX_E_BAD_OFFSET},
        {{{0, 1, 0}, 65536, {0}}, RX_E_BAD_OFFSET},
        {{{0, 0, 1}, 65536, {0}}, RX_E_BAD_OFFSET},
        {{{0, 0, 0}, 65536, {true, false, false}}, RX_E_BAD_OFFSET},
        {{{0, 0, 0}, 65536, {false, true, false}}, RX_E_BAD_OFFSET},
        {{{0, 0, 0}, RX_WINDOW_MAX + 1, {0}}, RX_E_BAD_BODY},
    };
    const struct place asked = {RX_CLIENT, RX_SESSION_OPEN, SPOT_ASKED_RESUME, false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct station *s = open_at(&asked);
        tell_offsets(s, RX_RESUMED, &cases[i].at, cases[i].error);
        station_close(s);
    }
}

static void test_bits_of_offsets(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        const struct place idle = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
        struct station *s = open_at(&idle);
        uint8_t body[RX_OFFSETS_SIZE] = {0};
        rx_put32(body + 28, 1U << bit);
        struct forged m = station_message(s, RX_RESUME, 0);
        m.body = body;
        /* Bit 0 is for stdin, which the client does not receive. */
        expect(s, &m, bit == 1 || bit == 2 ? RX_OK : RX_E_BAD_BODY);
        station_close(s);
    }
}

static void test_counts_of_exit(void **state)
{
    (void)state;
    static const struct {
        uint64_t counts[3];
        enum rx_error error;
    } cases[] = {
        {{0, 7, 3}, RX_OK},
        {{100, 7, 3}, RX_OK},
        {{101, 7, 3}, RX_E_COUNT_MISMATCH},
        {{0, 6, 3}, RX_E_COUNT_MISMATCH},
        {{0, 8, 3}, RX_E_COUNT_MISMATCH},
        {{0, 7, 2}, RX_E_COUNT_MISMATCH},
        {{0, 7, 4}, RX_E_COUNT_MISMATCH},
        {{0, 3, 7}, RX_E_COUNT_MISMATCH},
        {{0, (uint64_t)1 << 32 | 7, 3}, RX_E_COUNT_MISMATCH},
        {{UINT64_MAX, 7, 3}, RX_E_COUNT_MISMATCH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned last = 0; last <= RX_FLAG_LAST; last++) {
            struct station *s = client_with_stdin();
            tell_data(s, RX_STDOUT, last, 0, 7, RX_OK);
            tell_data(s, RX_STDERR, 0, 0, 3, RX_OK);
            uint8_t body[24];
            for (size_t j = 0; j < 3; j++)
                rx_put64(body + 8 * j, cases[i].counts[j]);
            struct forged m = station_message(s, RX_EXIT, 0);
            m.body = body;
            expect(s, &m, cases[i].error);
            station_close(s);
        }
    }
}

/* ---- requests --------------------------------------------------------------------------- */

static uint8_t requests[4][200];
static size_t request_size[4];

static void keep_request(void *context, const struct rx_event *event)
{
    size_t *count = context;
    assert_true(event->message.raw_len <= sizeof requests[0]);
    memcpy(requests[*count], event->message.raw, event->message.raw_len);
    request_size[(*count)++] = event->message.raw_len;
}

/* Four requests as the engine of a server passes them on. */
static void make_requests(struct station *s)
{
    static const uint8_t types[] = {RX_EXEC, RX_SIGNAL, RX_SIGNAL, RX_LIST};
    size_t count = 0;
    const struct listener l = {keep_request, &count};
    for (size_t i = 0; i < sizeof types; i++) {
        struct forged m = station_message(s, types[i], 0);
        m.stream += i == 3 ? 1 : 0;
        size_t n;
        const uint8_t *record = forge(&s->peer, &m, &n);
        assert_int_equal(deliver(s->end.engine, record, n, &l), RX_NEXT_MORE);
    }
    assert_int_equal(count, 4);
}

static enum rx_error check_request(struct station *s, size_t i)
{
    return rx_request_check(&s->end.monitor, requests[i], request_size[i]);
}

/* The monitor stops at the first request that is not the next one as the client made it. */
static void test_requests_prove_themselves(void **state)
{
    (void)state;
    const struct place idle = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
    for (size_t first = 0; first < 4; first++) {
        for (size_t second = 0; second < 4; second++) {
            struct station *s = open_at(&idle);
            make_requests(s);
            enum rx_error error = first == 0 ? RX_OK : RX_E_REQUEST_REJECTED;
            assert_int_equal(check_request(s, first), error);
            error = first == 0 && second == 1 ? RX_OK : RX_E_REQUEST_REJECTED;
            assert_int_equal(check_request(s, second), error);
            if (error != RX_OK) {
                for (size_t i = 0; i < 4; i++) /* and that is final */
                    assert_int_equal(check_request(s, i), RX_E_REQUEST_REJECTED);
            }
            station_close(s);
        }
    }
}

static void test_altered_requests(void **state)
{
    (void)state;
    const struct place idle = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
    struct station *s = open_at(&idle);
    make_requests(s);
    struct rx_mac mac = rx_request_key_mac(&s->end.request_key);
    for (size_t bit = 0; bit < 8 * request_size[0]; bit++) {
        rx_request_chain_init(&s->end.monitor, &mac);
        requests[0][bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(check_request(s, 0), RX_E_REQUEST_REJECTED);
        requests[0][bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(check_request(s, 0), RX_E_REQUEST_REJECTED);
        messages++;
    }
    for (size_t n = 0; n < request_size[0]; n++) {
        rx_request_chain_init(&s->end.monitor, &mac);
        assert_int_equal(rx_request_check(&s->end.monitor, requests[0], n), RX_E_REQUEST_REJECTED);
    }
    station_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_of_data),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_first_window),
        cmocka_unit_test(test_nothing_follows_the_end),
        cmocka_unit_test(test_acks),
        cmocka_unit_test(test_acks_of_the_wrong_stream),
        cmocka_unit_test(test_what_is_ignored),
        cmocka_unit_test(test_offsets_of_started),
        cmocka_unit_test(test_offsets_of_resumed),
        cmocka_unit_test(test_bits_of_offsets),
        cmocka_unit_test(test_counts_of_exit),
        cmocka_unit_test(test_requests_prove_themselves),
        cmocka_unit_test(test_altered_requests),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("contents: %zu messages\n", messages);
    return failed;
}
