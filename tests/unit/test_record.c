/* proto/record.c: where records begin and end, whatever pieces they come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/record.h"
#include "tests/duel/session.h"
#include "tests/duel/toy.h"
#include "tests/unit/guard.h"

enum {
    RECORDS_MAX = 64,
    STREAM_MAX = 2 * 1024 * 1024,
    KEPT_AT_LEAST = 4096, /* what a reader may always hold */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- several records in one byte stream ------------------------------------------------- */

struct stream {
    uint8_t *bytes; /* sealed */
    size_t n;
    size_t count;
    size_t sizes[RECORDS_MAX]; /* of the payloads */
    uint64_t seed;
};

/* The payload of the record with this number, made again wherever it is needed. */
static void payload_of(const struct stream *s, size_t i, uint8_t *out)
{
    struct dice d = {.state = s->seed + i * 1000003};
    for (size_t at = 0; at < s->sizes[i]; at += 8) {
        uint64_t random = dice_next(&d);
        memcpy(out + at, &random, smaller(8, s->sizes[i] - at));
    }
}

static void stream_make(struct stream *s, uint64_t seed, const size_t *sizes, size_t count)
{
    static uint8_t payload[RX_RECORD_MAX];
    struct toy_seal toy = {0};
    struct rx_seal seal = toy_seal(&toy);
    *s = (struct stream){.bytes = malloc(STREAM_MAX), .count = count, .seed = seed};
    assert_non_null(s->bytes);
    for (size_t i = 0; i < count; i++) {
        size_t written;
        s->sizes[i] = sizes[i];
        payload_of(s, i, payload);
        assert_true(s->n + sizes[i] + 20 <= STREAM_MAX);
        assert_int_equal(rx_record_seal(&seal, payload, sizes[i], s->bytes + s->n, &written),
                         RX_OK);
        assert_int_equal(written, 4 + sizes[i] + TOY_TAG);
        s->n += written;
    }
}

/* One reading of a stream. */
struct reading {
    const struct stream *stream;
    struct rx_record_reader reader;
    struct toy_seal toy;
    struct rx_seal seal;
    size_t came, next; /* bytes; the number of the next record */
};

static void reading_begin(struct reading *r, const struct stream *s)
{
    *r = (struct reading){.stream = s};
    r->seal = toy_seal(&r->toy);
}

/* The record is the next one that was sealed. */
static void expect_record(struct reading *r, const uint8_t *payload, size_t n)
{
    static uint8_t expected[RX_RECORD_MAX];
    assert_true(r->next < r->stream->count);
    assert_int_equal(n, r->stream->sizes[r->next]);
    payload_of(r->stream, r->next, expected);
    assert_memory_equal(payload, expected, n);
    r->next++;
}

/* Offset at which the record with this number begins. */
static size_t begin_of(const struct stream *s, size_t number)
{
    size_t at = 0;
    for (size_t i = 0; i < number; i++)
        at += 4 + s->sizes[i] + TOY_TAG;
    return at;
}

/* Takes all records that are complete; afterwards memory is as the header promises. */
static void take_all(struct reading *r, uint8_t *input, size_t n)
{
    uint8_t *payload = NULL;
    size_t payload_len = 0;
    enum rx_error error = RX_OK;
    enum rx_read got;
    while ((got = rx_record_next(&r->reader, &r->seal, &input, &n, &payload, &payload_len,
                                 &error)) == RX_READ_RECORD)
        expect_record(r, payload, payload_len);
    assert_int_equal(got, RX_READ_MORE);
    assert_int_equal(n, 0);
    size_t incomplete = r->came - begin_of(r->stream, r->next);
    assert_int_equal(r->reader.held_len, incomplete);
    assert_int_equal(rx_record_partial(&r->reader), incomplete > 0);
    assert_true(r->reader.held_cap <= 2 * incomplete + KEPT_AT_LEAST);
    if (incomplete == 0)
        assert_int_equal(r->reader.held_cap, 0);
}

/* Feeds the next n bytes, as a copy that ends where the memory ends. */
static void feed(struct reading *r, size_t n)
{
    uint8_t *input = guard_copy(r->stream->bytes + r->came, n);
    r->came += n;
    take_all(r, input, n);
}

static void reading_end(struct reading *r)
{
    assert_int_equal(r->came, r->stream->n);
    assert_int_equal(r->next, r->stream->count);
    assert_false(rx_record_partial(&r->reader));
    rx_record_reader_clear(&r->reader);
}

static const size_t small_sizes[] = {8, 9, 100, 8, 4076, 4077, 12, 8000, 8};
static const size_t big_sizes[] = {8, RX_RECORD_MAX - TOY_TAG, 8, 70000, 1000, 131072, 9};

static void test_all_at_once(void **state)
{
    (void)state;
    struct stream s;
    struct reading r;
    stream_make(&s, 1, big_sizes, sizeof big_sizes / sizeof big_sizes[0]);
    reading_begin(&r, &s);
    feed(&r, s.n);
    reading_end(&r);
    free(s.bytes);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct stream s;
    struct reading r;
    stream_make(&s, 2, big_sizes, sizeof big_sizes / sizeof big_sizes[0]);
    reading_begin(&r, &s);
    while (r.came < s.n)
        feed(&r, 1);
    reading_end(&r);
    free(s.bytes);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    struct stream s;
    struct reading r;
    stream_make(&s, 3, small_sizes, sizeof small_sizes / sizeof small_sizes[0]);
    for (size_t cut = 0; cut <= s.n; cut++) {
        reading_begin(&r, &s);
        feed(&r, cut);
        feed(&r, s.n - cut);
        reading_end(&r);
    }
    free(s.bytes);
}

static void test_cut_twice(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 11, 8, 16};
    struct stream s;
    struct reading r;
    stream_make(&s, 4, sizes, sizeof sizes / sizeof sizes[0]);
    for (size_t cut = 0; cut <= s.n; cut++) {
        for (size_t second = cut; second <= s.n; second++) {
            reading_begin(&r, &s);
            feed(&r, cut);
            feed(&r, second - cut);
            feed(&r, s.n - second);
            reading_end(&r);
        }
    }
    free(s.bytes);
}

static void test_random_chunks(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    for (unsigned round = 0; round < 300; round++) {
        size_t sizes[20];
        size_t count = 1 + dice_below(&d, 20);
        for (size_t i = 0; i < count; i++)
            sizes[i] = 8 + dice_below(&d, dice_below(&d, 4) == 0 ? 60000 : 300);
        struct stream s;
        struct reading r;
        stream_make(&s, 6 + round, sizes, count);
        reading_begin(&r, &s);
        uint64_t most = 1 + dice_below(&d, dice_below(&d, 2) == 0 ? 100000 : 500);
        while (r.came < s.n)
            feed(&r, smaller(s.n - r.came, dice_below(&d, most + 1)));
        reading_end(&r);
        free(s.bytes);
    }
}

/* ---- reading to where the bytes belong -------------------------------------------------- */

/* Fills the reader's room with up to `most` bytes; 0 if there is none. */
static size_t fill_room(struct reading *r, size_t most)
{
    uint8_t *room = NULL;
    size_t n = rx_record_room(&r->reader, &room);
    size_t record = begin_of(r->stream, r->next);
    size_t incomplete = r->came - record;
    if (incomplete < 4) {
        assert_int_equal(n, 0);
        return 0;
    }
    size_t total = 4 + r->stream->sizes[r->next] + TOY_TAG;
    assert_true(n > 0 && n <= total - incomplete);
    assert_true(r->reader.held_cap <= 2 * incomplete + KEPT_AT_LEAST);
    n = smaller(n, most);
    memcpy(room, r->stream->bytes + r->came, n);
    r->came += n;
    rx_record_filled(&r->reader, n);
    return n;
}

/* A complete record is not there twice, and none of it has room. */
static void take_filled(struct reading *r)
{
    uint8_t *nothing = NULL, *payload = NULL, *room;
    size_t n = 0, payload_len = 0;
    enum rx_error error = RX_OK;
    if (rx_record_next(&r->reader, &r->seal, &nothing, &n, &payload, &payload_len, &error) ==
        RX_READ_MORE)
        return;
    expect_record(r, payload, payload_len);
    assert_false(rx_record_partial(&r->reader));
    assert_int_equal(rx_record_room(&r->reader, &room), 0);
}

static void read_with_room(const struct stream *s, struct dice *d, size_t most)
{
    struct reading r;
    reading_begin(&r, s);
    while (r.came < s->n) {
        if (fill_room(&r, 1 + dice_below(d, most)) > 0)
            take_filled(&r);
        else
            feed(&r, smaller(s->n - r.came, 1 + dice_below(d, 7)));
    }
    take_filled(&r);
    reading_end(&r);
}

static void test_room(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    struct stream s;
    stream_make(&s, 8, big_sizes, sizeof big_sizes / sizeof big_sizes[0]);
    static const size_t mosts[] = {1, 1000, 65536, RX_RECORD_MAX};
    for (size_t i = 0; i < sizeof mosts / sizeof mosts[0]; i++)
        read_with_room(&s, &d, mosts[i]);
    free(s.bytes);
}

/* The room grows with what has come: a full record takes few reads. */
static void test_room_is_enough(void **state)
{
    (void)state;
    static const size_t sizes[] = {RX_RECORD_MAX - TOY_TAG};
    struct stream s;
    struct reading r;
    stream_make(&s, 9, sizes, 1);
    reading_begin(&r, &s);
    feed(&r, 4);
    unsigned reads = 0;
    while (r.came < s.n) {
        assert_true(fill_room(&r, SIZE_MAX) > 0);
        reads++;
    }
    assert_true(reads <= 8);
    uint8_t *room;
    assert_int_equal(rx_record_room(&r.reader, &room), 0); /* complete, not taken yet */
    take_filled(&r);
    take_filled(&r);
    reading_end(&r);
    free(s.bytes);
}

/* Byte by byte, too, memory grows in steps: else each byte would copy all that is held. */
static void test_room_grows_in_steps(void **state)
{
    (void)state;
    static const size_t sizes[] = {RX_RECORD_MAX - TOY_TAG};
    struct stream s;
    struct reading r;
    stream_make(&s, 12, sizes, 1);
    reading_begin(&r, &s);
    feed(&r, 4);
    unsigned steps = 0;
    for (size_t cap = r.reader.held_cap; r.came < s.n; cap = r.reader.held_cap) {
        assert_int_equal(fill_room(&r, 1), 1);
        assert_true(r.reader.held_cap >= cap);
        steps += r.reader.held_cap != cap;
    }
    assert_true(steps <= 20);
    take_filled(&r);
    reading_end(&r);
    free(s.bytes);
}

static void test_no_room(void **state)
{
    (void)state;
    struct rx_record_reader reader = {0};
    uint8_t *room = NULL;
    assert_int_equal(rx_record_room(&reader, &room), 0);
    assert_null(room);
    assert_false(rx_record_partial(&reader));
    rx_record_reader_clear(&reader);
    assert_int_equal(reader.held_cap, 0);
}

/* ---- lengths ---------------------------------------------------------------------------- */

/* Feeds a length field in two pieces, and some bytes behind it: refused at once, nothing kept. */
static void expect_bad_length(const struct rx_seal *seal, uint32_t length, size_t first)
{
    uint8_t bytes[4 + 64] = {0};
    rx_put32(bytes, length);
    struct rx_record_reader reader = {0};
    uint8_t *payload = NULL;
    size_t payload_len = 0;
    enum rx_error error = RX_OK;
    uint8_t *input = guard_copy(bytes, first);
    size_t n = first;
    enum rx_read got = rx_record_next(&reader, seal, &input, &n, &payload, &payload_len, &error);
    if (first < 4) {
        assert_int_equal(got, RX_READ_MORE);
        assert_int_equal(n, 0);
        n = sizeof bytes - first;
        input = guard_copy(bytes + first, n);
        got = rx_record_next(&reader, seal, &input, &n, &payload, &payload_len, &error);
        assert_true(reader.held_len <= 4 && reader.held_cap <= KEPT_AT_LEAST);
    } else {
        assert_int_equal(reader.held_len, 0);
        assert_int_equal(reader.held_cap, 0);
    }
    assert_int_equal(got, RX_READ_ERROR);
    assert_int_equal(error, RX_E_BAD_LENGTH);
    rx_record_reader_clear(&reader);
}

/* The same length field is followed by what it asks for, cut short: it is waited for. */
static void expect_good_length(const struct rx_seal *seal, uint32_t length)
{
    uint8_t bytes[4];
    rx_put32(bytes, length);
    struct rx_record_reader reader = {0};
    uint8_t *payload = NULL;
    size_t payload_len = 0, n = sizeof bytes;
    enum rx_error error = RX_OK;
    uint8_t *input = guard_copy(bytes, n);
    assert_int_equal(rx_record_next(&reader, seal, &input, &n, &payload, &payload_len, &error),
                     RX_READ_MORE);
    assert_true(reader.held_cap <= KEPT_AT_LEAST); /* not what was announced */
    rx_record_reader_clear(&reader);
}

static void test_lengths(void **state)
{
    (void)state;
    struct toy_seal toy = {0};
    const struct rx_seal seals[] = {toy_seal(&toy), toy_seal_long(&toy), toy_seal_bare(&toy)};
    for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++) {
        uint32_t tag = (uint32_t)seals[i].ops->tag_size;
        const uint32_t bad[] = {0,          1,
                                7,          7 + tag,
                                262145,     262144 + tag + 1,
                                0x00ffffff, 0x7fffffff,
                                0x80000000, 0x80000000 + 8 + tag,
                                0xfffffffc, 0xffffffff};
        for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++)
            for (size_t first = 0; first <= 68; first += first < 5 ? 1 : 21)
                expect_bad_length(&seals[i], bad[b], first);
        expect_good_length(&seals[i], 8 + tag);
        expect_good_length(&seals[i], 9 + tag);
        expect_good_length(&seals[i], 262143);
        expect_good_length(&seals[i], 262144);
    }
    assert_int_equal(toy.counter, 0); /* none of them came so far as to be opened */
}

static void test_seal_bounds(void **state)
{
    (void)state;
    static uint8_t payload[RX_RECORD_MAX + 1], out[RX_RECORD_MAX + 64];
    struct toy_seal toy = {0};
    const struct rx_seal seals[] = {toy_seal(&toy), toy_seal_long(&toy), toy_seal_bare(&toy)};
    for (size_t i = 0; i < sizeof seals / sizeof seals[0]; i++) {
        size_t tag = seals[i].ops->tag_size, most = 262144 - tag;
        const size_t bad[] = {0, 1, 7, most + 1, 262145, UINT32_MAX, SIZE_MAX - 16, SIZE_MAX};
        for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
            toy.counter = 0;
            size_t written = 77;
            assert_int_equal(rx_record_seal(&seals[i], payload, bad[b], out, &written),
                             RX_E_BAD_LENGTH);
            assert_int_equal(written, 77);
            assert_int_equal(toy.counter, 0); /* no count is lost */
        }
        const size_t good[] = {8, 9, most - 1, most};
        for (size_t g = 0; g < sizeof good / sizeof good[0]; g++) {
            size_t written = 0;
            assert_int_equal(rx_record_seal(&seals[i], payload, good[g], out, &written), RX_OK);
            assert_int_equal(written, 4 + good[g] + tag);
            assert_int_equal(rx_get32(out), good[g] + tag);
        }
    }
}

static void test_seal_error(void **state)
{
    (void)state;
    struct toy_seal toy = {.fail_at = 1, .error = RX_E_COUNTER_EXHAUSTED};
    struct rx_seal seal = toy_seal(&toy);
    uint8_t payload[8] = {0}, out[64];
    size_t written = 77;
    assert_int_equal(rx_record_seal(&seal, payload, sizeof payload, out, &written),
                     RX_E_COUNTER_EXHAUSTED);
    assert_int_equal(written, 77);
}

/* ---- records that do not open ----------------------------------------------------------- */

/* Reads `bytes` in two pieces cut there: what the second call says. */
static enum rx_read read_cut(const uint8_t *bytes, size_t n, size_t cut, enum rx_error *error)
{
    struct rx_record_reader reader = {0};
    struct toy_seal toy = {0};
    struct rx_seal seal = toy_seal(&toy);
    uint8_t *payload = NULL;
    size_t payload_len = 0, left = cut;
    uint8_t *input = guard_copy(bytes, cut);
    enum rx_read got = rx_record_next(&reader, &seal, &input, &left, &payload, &payload_len, error);
    if (got == RX_READ_MORE) {
        left = n - cut;
        input = guard_copy(bytes + cut, left);
        got = rx_record_next(&reader, &seal, &input, &left, &payload, &payload_len, error);
    }
    rx_record_reader_clear(&reader);
    return got;
}

static void test_each_bit_flipped(void **state)
{
    (void)state;
    static const size_t sizes[] = {20};
    struct stream s;
    stream_make(&s, 10, sizes, 1);
    for (size_t bit = 0; bit < 8 * s.n; bit++) {
        s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        for (size_t cut = 0; cut <= s.n; cut += 3) {
            enum rx_error error = RX_OK;
            enum rx_read got = read_cut(s.bytes, s.n, cut, &error);
            if (got == RX_READ_MORE)
                assert_true(bit < 32); /* the length, made longer */
            else
                assert_int_equal(got, RX_READ_ERROR);
            if (bit >= 32)
                assert_int_equal(error, RX_E_BAD_SEAL);
        }
        s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    free(s.bytes);
}

static void test_open_error(void **state)
{
    (void)state;
    static const size_t sizes[] = {20, 8};
    struct stream s;
    stream_make(&s, 11, sizes, 2);
    for (size_t cut = 0; cut <= s.n; cut++) {
        struct rx_record_reader reader = {0};
        struct toy_seal toy = {.fail_at = 2, .error = RX_E_COUNTER_EXHAUSTED};
        struct rx_seal seal = toy_seal(&toy);
        uint8_t *payload;
        size_t payload_len, pieces[] = {cut, s.n - cut}, at = 0;
        enum rx_error error = RX_OK;
        enum rx_read got = RX_READ_MORE;
        for (size_t i = 0; i < 2 && got != RX_READ_ERROR; i++) {
            uint8_t *input = guard_copy(s.bytes + at, pieces[i]);
            at += pieces[i];
            do
                got = rx_record_next(&reader, &seal, &input, &pieces[i], &payload, &payload_len,
                                     &error);
            while (got == RX_READ_RECORD);
        }
        assert_int_equal(got, RX_READ_ERROR);
        assert_int_equal(error, RX_E_COUNTER_EXHAUSTED);
        rx_record_reader_clear(&reader);
    }
    free(s.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_at_once),         cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_cut_anywhere),        cmocka_unit_test(test_cut_twice),
        cmocka_unit_test(test_random_chunks),       cmocka_unit_test(test_room),
        cmocka_unit_test(test_room_is_enough),      cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_room_grows_in_steps), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_seal_bounds),         cmocka_unit_test(test_seal_error),
        cmocka_unit_test(test_each_bit_flipped),    cmocka_unit_test(test_open_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
