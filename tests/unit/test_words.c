/* proto/words.c: a command's words as raw bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/message.h"
#include "proto/words.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

enum { LIST_MAX = 4096, WORDS = 40 };

/* A list made by hand, byte by byte. */
struct list {
    uint8_t bytes[LIST_MAX];
    size_t n;
};

static void put(struct list *l, uint8_t kind, uint32_t length, const void *bytes, size_t n)
{
    assert_true(l->n + 5 + n <= sizeof l->bytes);
    l->bytes[l->n] = kind;
    rx_put32(l->bytes + l->n + 1, length);
    if (n > 0)
        memcpy(l->bytes + l->n + 5, bytes, n);
    l->n += 5 + n;
}

static void put_text(struct list *l, uint8_t kind, const char *text)
{
    put(l, kind, (uint32_t)strlen(text), text, strlen(text));
}

static enum rx_error check(const struct list *l, struct rx_word_counts *counts)
{
    return rx_words_check(guard_copy(l->bytes, l->n), l->n, counts);
}

static void expect_one(uint8_t kind, const void *bytes, size_t n, bool good)
{
    struct list l = {.n = 0};
    struct rx_word_counts counts;
    put(&l, kind, (uint32_t)n, bytes, n);
    assert_int_equal(check(&l, &counts), good ? RX_OK : RX_E_BAD_BODY);

    uint8_t out[LIST_MAX];
    size_t length = 0;
    enum rx_word_kind word_kind = RX_WORD_ARGUMENT; /* takes numbers that the enum lacks, too */
    memcpy(&word_kind, &(unsigned){kind}, sizeof word_kind);
    assert_int_equal(rx_words_add(out, sizeof out, &length, word_kind, bytes, n),
                     good ? RX_OK : RX_E_BAD_BODY);
    assert_int_equal(length, good ? l.n : 0);
    if (good)
        assert_memory_equal(out, l.bytes, l.n);
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        uint8_t kind;
        const char *text;
        bool good;
    } cases[] = {
        {1, "", true},      {1, "a", true},     {1, "-rf", true}, {1, "\n", true},
        {1, "\xff", true},  {2, "A=", true},    {2, "A=b", true}, {2, "A=b=c", true},
        {2, "A==", true},   {2, " =x", true},   {2, "", false},   {2, "A", false},
        {2, "=", false},    {2, "=b", false},   {2, "==", false}, {3, "/", true},
        {3, "a/b", true},   {3, " ", true},     {3, "", false},   {128, "", true},
        {128, "any", true}, {255, "any", true}, {129, "", true},  {129, "=b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_one(cases[i].kind, cases[i].text, strlen(cases[i].text), cases[i].good);
}

static void test_kinds(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++)
        expect_one((uint8_t)kind, "A=b", 3, (kind >= 1 && kind <= 3) || kind >= 128);
}

/* Every byte but NUL, at the first, a middle, and the last place of each kind of word. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 5; at++) {
            char word[] = "A=bcd";
            word[at] = (char)byte;
            bool named = word[0] != '=' && (at != 1 || byte == '=');
            expect_one(RX_WORD_ARGUMENT, word, 5, byte != 0);
            expect_one(RX_WORD_DIRECTORY, word, 5, byte != 0);
            expect_one(RX_WORD_ENVIRONMENT, word, 5, byte != 0 && named);
            expect_one(RX_WORD_OPTIONAL, word, 5, byte != 0);
            expect_one(RX_WORD_WANTED, word, 5, byte != 0);
            expect_one(255, word, 5, byte != 0);
        }
    }
}

static void test_counts(void **state)
{
    (void)state;
    struct list l = {.n = 0};
    struct rx_word_counts counts = {1, 2, 3};
    assert_int_equal(check(&l, &counts), RX_OK);
    assert_int_equal(counts.arguments + counts.environment + counts.directories, 0);
    put_text(&l, 1, "ls");
    put_text(&l, 2, "A=1");
    put_text(&l, 200, "later");
    put_text(&l, 3, "/tmp");
    put_text(&l, 1, "");
    put_text(&l, 2, "A=2"); /* of one name, too */
    put_text(&l, 1, "-l");
    assert_int_equal(check(&l, &counts), RX_OK);
    assert_int_equal(counts.arguments, 3);
    assert_int_equal(counts.environment, 2);
    assert_int_equal(counts.directories, 1);
    put_text(&l, 3, "/tmp");
    assert_int_equal(check(&l, &counts), RX_E_BAD_BODY);
}

/* Cut at each place: good only between two words. */
static void test_truncated(void **state)
{
    (void)state;
    struct list l = {.n = 0};
    size_t ends[6] = {0};
    static const char *const texts[] = {"ab", "", "N=v", "/", "x"};
    static const uint8_t kinds[] = {1, 1, 2, 3, 129};
    for (size_t i = 0; i < 5; i++) {
        put_text(&l, kinds[i], texts[i]);
        ends[i + 1] = l.n;
    }
    size_t whole = l.n;
    for (size_t n = 0; n <= whole; n++) {
        struct rx_word_counts counts;
        bool good = false;
        for (size_t i = 0; i < 6; i++)
            good |= n == ends[i];
        l.n = n;
        assert_int_equal(check(&l, &counts), good ? RX_OK : RX_E_BAD_BODY);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0,          2,          4,          5,         0x7fffffff,
                                       0x80000000, 0xfffffffa, 0xfffffffb, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (unsigned kind = 1; kind < 256; kind++) {
            struct list l = {.n = 0};
            struct rx_word_counts counts;
            put(&l, (uint8_t)kind, lengths[i], "abc", 3); /* 3 would be right */
            assert_int_equal(check(&l, &counts), RX_E_BAD_BODY);
        }
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (unsigned round = 0; round < 500; round++) {
        static uint8_t words[WORDS][64], list[LIST_MAX];
        size_t lengths[WORDS], n = 0, count = dice_below(&d, WORDS);
        enum rx_word_kind kinds[WORDS];
        for (size_t i = 0; i < count; i++) {
            static const enum rx_word_kind choice[] = {RX_WORD_ARGUMENT, RX_WORD_ENVIRONMENT,
                                                       RX_WORD_OPTIONAL};
            kinds[i] = i == 0 ? RX_WORD_DIRECTORY : choice[dice_below(&d, 3)];
            lengths[i] = 2 + dice_below(&d, 60);
            for (size_t at = 0; at < lengths[i]; at++)
                words[i][at] = (uint8_t)(1 + dice_below(&d, 255));
            words[i][0] = 'N';
            words[i][1] = '=';
            assert_int_equal(rx_words_add(list, sizeof list, &n, kinds[i], words[i], lengths[i]),
                             RX_OK);
        }
        const uint8_t *body = guard_copy(list, n);
        struct rx_word_counts counts;
        struct rx_word word;
        size_t at = 0;
        assert_int_equal(rx_words_check(body, n, &counts), RX_OK);
        for (size_t i = 0; i < count; i++) {
            assert_true(rx_words_next(body, n, &at, &word));
            assert_int_equal(word.kind, kinds[i]);
            assert_int_equal(word.len, lengths[i]);
            assert_memory_equal(word.bytes, words[i], lengths[i]);
        }
        assert_int_equal(at, n);
        assert_false(rx_words_next(body, n, &at, &word));
        assert_int_equal(at, n);
    }
}

/* In a buffer that is too small by any number of bytes, nothing is written. */
static void test_no_space(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= 3 + 5 + 4; cap++) {
        uint8_t *buffer = guard_copy("", 0) - cap;
        memset(buffer, 0xaa, cap);
        size_t n = cap < 3 ? cap : 3; /* a list that is there already */
        size_t begin = n;
        enum rx_error error = rx_words_add(buffer, cap, &n, RX_WORD_ARGUMENT, "word", 4);
        assert_int_equal(error, cap == 12 ? RX_OK : RX_E_NO_SPACE);
        assert_int_equal(n, cap == 12 ? 12 : begin);
        for (size_t i = 0; i < (cap == 12 ? 3 : cap); i++)
            assert_int_equal(buffer[i], 0xaa);
    }
    uint8_t buffer[8];
    size_t n = 0;
    assert_int_equal(rx_words_add(buffer, 5, &n, RX_WORD_ARGUMENT, NULL, 0), RX_OK);
    assert_int_equal(n, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),      cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
