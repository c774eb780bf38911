/* proto/json_out.c against jansson: what is a string, and that what is written reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/json_out.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

enum { TEXT_MAX = 64, OUT_MAX = 8 * TEXT_MAX };

/* One string alone, as both say it. */
static void compare(const char *text, size_t n)
{
    char theirs[OUT_MAX];
    uint8_t ours[OUT_MAX];
    struct json_out out = {.bytes = ours, .cap = sizeof ours};
    json_t *value = json_stringn(text, n);
    bool good = json_string_of(&out, (const char *)guard_copy(text, n), n);
    assert_int_equal(good, value != NULL);
    if (!good)
        return;
    size_t size = json_dumpb(value, theirs, sizeof theirs, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_int_equal(out.n, size);
    assert_memory_equal(ours, theirs, size);
    json_decref(value);
}

static void test_bytes(void **state)
{
    (void)state;
    compare("", 0);
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char text[] = {(char)a, (char)b, 'x'};
            compare(text, 1);
            compare(text, 2);
            compare(text, 3);
        }
    }
}

/* Around every border of UTF-8, complete and cut. */
static void test_characters(void **state)
{
    (void)state;
    static const uint8_t first[] = {0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
    static const uint8_t next[] = {0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90,
                                   0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    enum { COUNT = sizeof next };
    for (size_t i = 0; i < sizeof first; i++) {
        for (size_t j = 0; j < (size_t)COUNT * COUNT * COUNT; j++) {
            const uint8_t text[] = {first[i], next[j % COUNT], next[j / COUNT % COUNT],
                                    next[j / COUNT / COUNT]};
            for (size_t n = 1; n <= sizeof text; n++)
                compare((const char *)text, n);
        }
    }
}

static void test_random_texts(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a",    "\"",           "\\",   "\n",
                                         "\x01", "\x1f",         "\x7f", "\xc3\xa9",
                                         "/",    "\xe4\xb8\xad", "\t",   "\xf0\x9f\x98\x80",
                                         "\x80", "\b",           "\f",   "\r"};
    struct dice d = {.state = 7};
    for (unsigned round = 0; round < 20000; round++) {
        char text[TEXT_MAX];
        size_t n = 0, count = dice_below(&d, 12);
        for (size_t i = 0; i < count; i++) {
            const char *piece = pieces[dice_below(&d, sizeof pieces / sizeof pieces[0])];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        compare(text, n);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } numbers[] = {
        {0, "0"},
        {7, "7"},
        {10, "10"},
        {-1, "-1"},
        {99, "99"},
        {100, "100"},
        {-10, "-10"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint8_t bytes[32];
        struct json_out out = {.bytes = bytes, .cap = sizeof bytes};
        json_number(&out, numbers[i].value);
        assert_int_equal(out.n, strlen(numbers[i].text));
        assert_memory_equal(bytes, numbers[i].text, out.n);
    }
}

static void write_all(struct json_out *out)
{
    json_open(out, '{');
    assert_true(json_name(out, "one"));
    json_number(out, 1);
    assert_true(json_name(out, "list"));
    json_open(out, '[');
    json_true_value(out);
    json_open(out, '[');
    json_close(out, ']');
    assert_true(json_string_of(out, "a\"b", 3));
    json_open(out, '{');
    json_close(out, '}');
    json_close(out, ']');
    assert_true(json_name(out, "last\n"));
    json_true_value(out);
    json_close(out, '}');
}

static const char all[] = "{\"one\":1,\"list\":[true,[],\"a\\\"b\",{}],\"last\\n\":true}";

static void test_structure(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct json_out out = {.bytes = bytes, .cap = sizeof bytes};
    write_all(&out);
    assert_int_equal(out.n, strlen(all));
    assert_memory_equal(bytes, all, strlen(all));
    assert_false(json_name(&out, "\xff"));
}

/* In any room: never a byte beyond it, and the size that it takes is told. */
static void test_no_room(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= strlen(all); cap++) {
        uint8_t *small = guard_copy("", 0) - cap;
        struct json_out out = {.bytes = small, .cap = cap};
        write_all(&out);
        assert_int_equal(out.n, strlen(all));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_random_texts), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_structure),    cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
