/*
 * What the tests of lost connections share: bytes that are known by their offset, and looks at the
 * messages of one engine. Include it behind cmocka.h.
 */
#ifndef REXEC_TESTS_UNIT_LOST_H
#define REXEC_TESTS_UNIT_LOST_H

#include <string.h>

#include "proto/bytes.h"
#include "tests/duel/lone.h"
#include "tests/duel/session.h"

static uint8_t pattern[400000];

static inline int lost_fill(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    dice_fill(&d, pattern, sizeof pattern);
    return 0;
}

static inline void expect_data(struct lone *l, unsigned type, uint64_t offset, size_t n, bool last)
{
    struct rx_message m;
    assert_true(lone_hear(l, &m));
    assert_int_equal(m.type, type);
    assert_true(rx_get64(m.body) == offset);
    assert_int_equal(m.body_len, RX_DATA_OFFSET + n);
    if (n > 0)
        assert_memory_equal(m.body + RX_DATA_OFFSET, pattern + offset, n);
    assert_int_equal(m.flags, last ? RX_FLAG_LAST : 0);
}

static inline void expect_offsets(struct lone *l, unsigned type, const struct rx_offsets *expected)
{
    struct rx_message m;
    uint8_t body[RX_OFFSETS_SIZE];
    assert_true(lone_hear(l, &m));
    assert_int_equal(m.type, type);
    rx_offsets_encode(expected, body);
    assert_memory_equal(m.body, body, sizeof body);
}

static inline void release(struct lone *l, struct rx_channel *channel)
{
    assert_int_equal(rx_engine_release(l->engine, channel, NULL, 0), RX_OK);
    assert_null(rx_engine_channel(l->engine, rx_channel_stream(channel)));
}

static inline void write_from(struct lone *l, struct rx_channel *channel, enum rx_which which,
                              size_t at, size_t n)
{
    assert_int_equal(rx_engine_write(l->engine, channel, which, pattern + at, n), n);
}

#endif
