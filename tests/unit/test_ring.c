/* proto/ring.c against an array that holds everything that was ever stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/ring.h"
#include "tests/duel/session.h"

enum { STORED_MAX = 4 * 1024 * 1024 };

/* What a ring should be: bytes [begin, end) of all that was stored. */
struct model {
    struct rx_ring ring;
    size_t max;
    uint8_t *all;
    size_t begin, end;
    uint64_t next; /* of the bytes to be stored */
};

static void model_begin(struct model *m, size_t max)
{
    *m = (struct model){.max = max, .all = malloc(STORED_MAX)};
    assert_non_null(m->all);
}

static void model_end(struct model *m)
{
    rx_ring_clear(&m->ring);
    assert_null(m->ring.base);
    assert_int_equal(m->ring.cap, 0);
    assert_int_equal(m->ring.used, 0);
    free(m->all);
}

/* Stores as many of n bytes as there is room for at once; checks the promise about room. */
static size_t store(struct model *m, size_t want, size_t n)
{
    size_t used = m->end - m->begin;
    uint8_t *room = NULL;
    size_t space = rx_ring_room(&m->ring, want, m->max, &room);
    assert_true(space <= m->max - used);
    if (used == m->max)
        assert_int_equal(space, 0);
    else if (want > 0)
        assert_true(space > 0);
    size_t promised = want < m->max - used ? want : m->max - used;
    assert_true(m->ring.cap >= used + promised && m->ring.cap <= m->max);
    if (n > space)
        n = space;
    for (size_t i = 0; i < n; i++)
        room[i] = m->all[m->end + i] = (uint8_t)(m->next++ * 167 >> 3);
    m->end += n;
    rx_ring_filled(&m->ring, n);
    return n;
}

/* All that is stored from `skip` on, piece by piece, is what the model has. */
static void expect_content(const struct model *m, size_t skip)
{
    size_t used = m->end - m->begin, pieces = 0;
    assert_int_equal(m->ring.used, used);
    while (skip < used) {
        uint8_t *bytes;
        size_t n = rx_ring_peek(&m->ring, skip, &bytes);
        assert_true(n > 0 && n <= used - skip);
        assert_memory_equal(bytes, m->all + m->begin + skip, n);
        skip += n;
        assert_true(++pieces <= 2);
    }
    uint8_t *none;
    assert_int_equal(rx_ring_peek(&m->ring, used, &none), 0);
    assert_int_equal(rx_ring_peek(&m->ring, used + 1, &none), 0);
    assert_int_equal(rx_ring_peek(&m->ring, SIZE_MAX, &none), 0);
}

/* The bytes before each peeked one can be written, and put back, without harm to anything else. */
static void expect_headroom(const struct model *m, size_t skip)
{
    uint8_t *bytes, saved[RX_RING_HEADROOM];
    if (rx_ring_peek(&m->ring, skip, &bytes) == 0)
        return;
    memcpy(saved, bytes - RX_RING_HEADROOM, sizeof saved);
    memset(bytes - RX_RING_HEADROOM, 0xee, sizeof saved);
    assert_int_equal(bytes[0], m->all[m->begin + skip]);
    memcpy(bytes - RX_RING_HEADROOM, saved, sizeof saved);
    expect_content(m, 0);
}

static void drop(struct model *m, size_t n)
{
    rx_ring_drop(&m->ring, n);
    m->begin += n;
    assert_int_equal(m->ring.used, m->end - m->begin);
    if (m->begin == m->end) { /* memory goes back */
        assert_null(m->ring.base);
        assert_int_equal(m->ring.cap, 0);
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct rx_ring ring = {0};
    uint8_t *bytes;
    assert_int_equal(rx_ring_peek(&ring, 0, &bytes), 0);
    rx_ring_drop(&ring, 0);
    rx_ring_clear(&ring);
    assert_null(ring.base);
    assert_int_equal(rx_ring_room(&ring, 0, RX_RING_FIRST, &bytes), 0); /* nothing was wanted */
    rx_ring_clear(&ring);
}

static void test_grows_as_wanted(void **state)
{
    (void)state;
    static const struct {
        size_t want, cap;
    } cases[] = {{1, 4096},      {4096, 4096},     {4097, 8192},     {8192, 8192},
                 {60000, 65536}, {1 << 20, 65536}, {SIZE_MAX, 65536}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_ring ring = {0};
        uint8_t *room;
        assert_int_equal(rx_ring_room(&ring, cases[i].want, 65536, &room), cases[i].cap);
        assert_int_equal(ring.cap, cases[i].cap);
        assert_ptr_equal(room, ring.base + RX_RING_HEADROOM);
        rx_ring_clear(&ring);
    }
}

/* Full is full, at each size that the maximum may have. */
static void test_maximum(void **state)
{
    (void)state;
    for (size_t max = RX_RING_FIRST; max <= 1 << 20; max *= 2) {
        struct model m;
        model_begin(&m, max);
        while (store(&m, 777, 777) > 0)
            ;
        assert_int_equal(m.ring.used, max);
        assert_int_equal(store(&m, 1, 1), 0);
        expect_content(&m, 0);
        drop(&m, 1);
        assert_int_equal(store(&m, 100, 100), 1);
        assert_int_equal(store(&m, 1, 1), 0);
        expect_content(&m, 0);
        drop(&m, max);
        assert_int_equal(store(&m, 5, 5), 5); /* memory is taken anew */
        expect_content(&m, 0);
        model_end(&m);
    }
}

/* Every place of the oldest byte, every fill: the content survives growth and the wrap. */
static void test_wrap_and_growth(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (size_t head = 1; head < RX_RING_FIRST; head += 1 + dice_below(&d, 40)) {
        struct model m;
        model_begin(&m, 4 * RX_RING_FIRST);
        assert_int_equal(store(&m, head, head), head);
        assert_int_equal(store(&m, 1, 1), 1);
        drop(&m, head);
        size_t more = dice_below(&d, RX_RING_FIRST - 1);
        while (more > 0) /* two pieces, where it wraps */
            more -= store(&m, more, more);
        assert_int_equal(m.ring.cap, RX_RING_FIRST);
        expect_content(&m, 0);
        for (size_t skip = 0; skip < m.ring.used; skip += 1 + dice_below(&d, 200))
            expect_headroom(&m, skip);
        store(&m, RX_RING_FIRST, dice_below(&d, RX_RING_FIRST)); /* grows */
        assert_int_equal(m.ring.cap, 2 * RX_RING_FIRST);
        expect_content(&m, 0);
        expect_headroom(&m, 0);
        model_end(&m);
    }
}

/* In front of the very first byte, behind the wrap, and within the first 16 bytes. */
static void test_headroom_everywhere(void **state)
{
    (void)state;
    struct model m;
    model_begin(&m, RX_RING_FIRST);
    store(&m, RX_RING_FIRST, RX_RING_FIRST);
    drop(&m, 2000);
    store(&m, 1500, 1500);
    for (size_t skip = 0; skip < m.ring.used; skip++)
        expect_headroom(&m, skip);
    model_end(&m);
}

static void test_random(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    for (unsigned round = 0; round < 40; round++) {
        struct model m;
        size_t max = (size_t)RX_RING_FIRST << dice_below(&d, 6);
        model_begin(&m, max);
        for (unsigned step = 0; step < 300 && m.end + max < STORED_MAX; step++) {
            size_t want = dice_below(&d, max + max / 4) + 1;
            size_t n = dice_below(&d, want + 1);
            switch (dice_below(&d, 5)) {
            case 0:
                drop(&m, dice_below(&d, m.ring.used + 1));
                break;
            case 1:
                drop(&m, m.ring.used / 2);
                break;
            default:
                store(&m, want, dice_below(&d, 3) == 0 ? want : n % 700);
                break;
            }
            expect_content(&m, 0);
            if (m.ring.used > 0)
                expect_content(&m, dice_below(&d, m.ring.used));
        }
        model_end(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),   cmocka_unit_test(test_grows_as_wanted),
        cmocka_unit_test(test_maximum), cmocka_unit_test(test_wrap_and_growth),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_headroom_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
