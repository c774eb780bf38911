/*
 * proto/stream.c, both halves against each other: random writes, windows, losses of the connection.
 * Every byte arrives once and in order, nothing is refused, and it never comes to a standstill
 * although ACKs are sent at the latest moment that section 9 allows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/stream.h"
#include "tests/duel/session.h"

enum { WAY = 32, PIECE_MAX = 100000 };

struct packet {
    uint64_t offset;
    size_t n; /* of an ACK: its window */
    bool last;
};

/* What is on its way in one direction. */
struct way {
    struct packet packets[WAY];
    size_t count;
};

struct world {
    struct dice d;
    struct rx_out out;
    struct rx_in in;
    struct way data, acks;
    uint64_t total, written;
    size_t chunk;
    bool prompt;   /* ACKs whenever there is news, not only when one is due */
    bool progress; /* anything happened in this round */
    unsigned losses;
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15)) >> 53);
}

static void put(struct way *way, struct packet packet)
{
    assert_true(way->count < WAY);
    way->packets[way->count++] = packet;
}

static struct packet take(struct way *way)
{
    struct packet first = way->packets[0];
    memmove(way->packets, way->packets + 1, --way->count * sizeof first);
    return first;
}

static void write_some(struct world *w)
{
    if (w->out.last)
        return;
    uint64_t left = w->total - w->written;
    if (left == 0) {
        rx_out_finish(&w->out);
        w->progress = true;
        return;
    }
    uint8_t *room;
    size_t want = 1 + dice_below(&w->d, PIECE_MAX);
    size_t n = rx_out_room(&w->out, want, &room);
    assert_int_equal(n == 0, rx_out_full(&w->out));
    if (n > left)
        n = left;
    for (size_t i = 0; i < n; i++)
        room[i] = byte_at(w->written + i);
    rx_out_filled(&w->out, n);
    w->written += n;
    w->progress |= n > 0;
    assert_int_equal(rx_out_end(&w->out), w->written);
}

static void send_some(struct world *w)
{
    if (w->data.count == WAY || !rx_out_sendable(&w->out))
        return;
    uint8_t *bytes = NULL;
    bool last;
    size_t n = rx_out_next(&w->out, 1 + dice_below(&w->d, w->chunk), &bytes, &last);
    assert_true(n > 0 || last);
    assert_true(w->out.sent + n <= w->out.limit);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], byte_at(w->out.sent + i));
    put(&w->data, (struct packet){w->out.sent, n, last});
    rx_out_advance(&w->out, n, last);
    w->progress = true;
}

static void receive_some(struct world *w)
{
    static uint8_t bytes[PIECE_MAX];
    if (w->data.count == 0)
        return;
    struct packet p = take(&w->data);
    w->progress = true;
    assert_int_equal(rx_in_accept(&w->in, p.offset, p.n, p.last), RX_OK);
    for (size_t i = 0; i < p.n; i++)
        bytes[i] = byte_at(p.offset + i);
    size_t direct = w->in.ring.used == 0 ? dice_below(&w->d, p.n + 1) : 0;
    rx_in_consume(&w->in, direct);
    assert_int_equal(rx_in_keep(&w->in, bytes + direct, p.n - direct), RX_OK);
    assert_int_equal(w->in.ring.used, w->in.received - w->in.consumed);
}

static void consume_some(struct world *w)
{
    const uint8_t *bytes = NULL;
    size_t n = rx_in_peek(&w->in, &bytes);
    if (n == 0)
        return;
    n = 1 + dice_below(&w->d, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], byte_at(w->in.consumed + i));
    rx_in_consume(&w->in, n);
    w->progress = true;
}

static void acknowledge(struct world *w)
{
    bool wanted = rx_in_ack_due(&w->in) || (w->prompt && !w->in.last && rx_in_ack_news(&w->in));
    if (wanted && w->acks.count < WAY) {
        struct packet p = {0};
        uint32_t window;
        uint64_t limit = w->in.limit;
        rx_in_ack(&w->in, &p.offset, &window);
        assert_true(w->in.limit >= limit && window <= RX_WINDOW_MAX);
        p.n = window;
        put(&w->acks, p);
        w->progress = true;
    }
    if (w->acks.count > 0 && dice_below(&w->d, 2) == 0) {
        struct packet p = take(&w->acks);
        assert_int_equal(rx_out_ack(&w->out, p.offset, (uint32_t)p.n), RX_OK);
        w->progress = true;
    }
    w->progress |= w->acks.count > 0;
}

/* The connection is lost with all that was on its way, and the stream goes on over another. */
static void lose(struct world *w)
{
    w->data.count = w->acks.count = 0;
    uint32_t window = rx_in_resume(&w->in);
    assert_int_equal(rx_out_resume(&w->out, w->in.received, window, w->in.last), RX_OK);
    w->losses++;
    w->progress = true;
}

static void run(uint64_t seed, uint32_t first, uint32_t window, uint64_t total, unsigned loss)
{
    struct world w = {.d = {.state = seed}, .total = total};
    w.chunk = 1 + dice_below(&w.d, PIECE_MAX - 1);
    w.prompt = dice_below(&w.d, 3) == 0;
    rx_out_init(&w.out, first, RX_KEEP_MIN);
    rx_in_init(&w.in, first, window);
    while (!rx_in_done(&w.in)) {
        w.progress = false;
        write_some(&w);
        send_some(&w);
        receive_some(&w);
        consume_some(&w);
        acknowledge(&w);
        if (loss > 0 && dice_below(&w.d, loss) == 0)
            lose(&w);
        if (!w.progress)
            fail_msg("standstill: seed %u first %u window %u: sent %u of %u, limit %u, consumed %u",
                     (unsigned)seed, first, window, (unsigned)w.out.sent, (unsigned)total,
                     (unsigned)w.out.limit, (unsigned)w.in.consumed);
    }
    assert_int_equal(w.in.consumed, total);
    rx_out_clear(&w.out);
    rx_in_clear(&w.in);
}

static void test_windows(void **state)
{
    (void)state;
    static const uint32_t windows[] = {1, 2, 3, 100, 4095, 65536, 262144, 300001, 1 << 24};
    enum { COUNT = sizeof windows / sizeof windows[0] };
    uint64_t seed = 1;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            uint32_t least = windows[i] < windows[j] ? windows[i] : windows[j];
            uint64_t total = least < 1000 ? 2000 : 1000000;
            run(seed++, windows[i], windows[j], total, 0);
            run(seed++, windows[i], windows[j], total, 50);
        }
    }
}

static void test_random(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    for (uint64_t seed = 1000; seed < 1100; seed++) {
        uint32_t first = (uint32_t)(1 + dice_below(&d, 1 + dice_below(&d, RX_WINDOW_MAX)));
        uint32_t window = (uint32_t)(1 + dice_below(&d, 1 + dice_below(&d, RX_WINDOW_MAX)));
        unsigned loss = (unsigned)dice_below(&d, 40);
        run(seed, first, window, dice_below(&d, 600000), loss == 1 ? 2 : loss);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
