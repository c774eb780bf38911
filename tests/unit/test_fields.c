/* auth/fields.c: the text of key and grant files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/fields.h"
#include "tests/unit/guard.h"

#define KIND "rexec-test 1"

enum { TEXT_MAX = 8192 };

/* Reads all fields: how many there are, or -1 with *error. */
static int read_all(const void *bytes, size_t n, struct rx_file_error *error)
{
    const char *text = (const char *)guard_copy(bytes, n);
    struct rx_fields fields;
    *error = (struct rx_file_error){0};
    if (!rx_fields_begin(&fields, text, n, TEXT_MAX, KIND, error))
        return -1;
    struct rx_field field;
    int count = 0;
    int got;
    while ((got = rx_fields_next(&fields, &field, error)) > 0) {
        assert_true(field.name >= text && field.name + field.name_len <= text + n);
        assert_true(field.value >= text && field.value + field.value_len <= text + n);
        count++;
    }
    return got < 0 ? -1 : count;
}

static void expect_refused(const void *bytes, size_t n, unsigned line, const char *what)
{
    struct rx_file_error error;
    if (read_all(bytes, n, &error) >= 0)
        fail_msg("accepted, but should say \"%s\": %.*s", what, (int)n, (const char *)bytes);
    if (error.line != line || strstr(error.what, what) == NULL)
        fail_msg("line %u: %s; expected line %u: %s", error.line, error.what, line, what);
}

static void expect_accepted(const void *bytes, size_t n, int count)
{
    struct rx_file_error error;
    int got = read_all(bytes, n, &error);
    if (got < 0)
        fail_msg("line %u: %s", error.line, error.what);
    assert_int_equal(got, count);
}

#define REFUSED(text, line, what) expect_refused(text, sizeof(text) - 1, line, what)
#define ACCEPTED(text, count) expect_accepted(text, sizeof(text) - 1, count)

/* ---- lines ------------------------------------------------------------------------------ */

static void test_first_line(void **state)
{
    (void)state;
    ACCEPTED(KIND "\n", 0);
    ACCEPTED("  " KIND "  \n", 0);
    ACCEPTED("\n# note\n   \n  # note\n" KIND "\n", 0);
    REFUSED("", 0, "empty");
    REFUSED("\n", 0, "empty");
    REFUSED("# " KIND "\n", 0, "empty");
    REFUSED(KIND "1\n", 1, "not the file expected");
    REFUSED("rexec-test 2\n", 1, "not the file expected");
    REFUSED("rexec-test  1\n", 1, "not the file expected");
    REFUSED("rexec-test\n", 1, "not the file expected");
    REFUSED("Rexec-test 1\n", 1, "not the file expected");
    REFUSED("\xef\xbb\xbf" KIND "\n", 1, "not the file expected");
    REFUSED("\n#\n\na = b\n" KIND "\n", 4, "not the file expected");
    REFUSED(KIND " # note\n", 1, "not the file expected");
}

static void test_forms_of_lines(void **state)
{
    (void)state;
    ACCEPTED(KIND "\na=b\n", 1);
    ACCEPTED(KIND "\n\n#c = d\n  a  =  b  \n\n   # =\ne=\n=\n", 3);
    REFUSED(KIND "\n\nab\n", 3, "name = value");
    REFUSED(KIND "\na = b\n" KIND "\n", 3, "name = value");
    REFUSED(KIND "\n\ta\n", 2, "name = value");
}

static void test_sides_of_a_line(void **state)
{
    (void)state;
    static const char text[] = KIND "\n\n  a b  =  = c # d =  \nx=\n  =\n\ty\t=\tz\t\n";
    static const struct {
        const char *name, *value;
        unsigned line;
    } expected[] = {{"a b", "= c # d =", 3}, {"x", "", 4}, {"", "", 5}, {"\ty\t", "\tz\t", 6}};

    struct rx_fields fields;
    struct rx_field field;
    struct rx_file_error error;
    const char *bytes = (const char *)guard_copy(text, sizeof text - 1);
    assert_true(rx_fields_begin(&fields, bytes, sizeof text - 1, TEXT_MAX, KIND, &error));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(rx_fields_next(&fields, &field, &error), 1);
        assert_true(rx_field_is(&field, expected[i].name));
        assert_int_equal(field.value_len, strlen(expected[i].value));
        assert_memory_equal(field.value, expected[i].value, field.value_len);
        assert_int_equal(field.line, expected[i].line);
    }
    assert_int_equal(rx_fields_next(&fields, &field, &error), 0);
    assert_int_equal(rx_fields_next(&fields, &field, &error), 0);
}

static void test_names(void **state)
{
    (void)state;
    struct rx_field field = {.name = "name", .name_len = 4};
    assert_true(rx_field_is(&field, "name"));
    assert_false(rx_field_is(&field, "nam"));
    assert_false(rx_field_is(&field, "names"));
    assert_false(rx_field_is(&field, "Name"));
    assert_false(rx_field_is(&field, ""));
    field.name_len = 0;
    assert_true(rx_field_is(&field, ""));
}

static void test_last_line_must_end(void **state)
{
    (void)state;
    REFUSED(KIND, 1, "cut off");
    REFUSED(KIND "\na = b", 2, "cut off");
    REFUSED(KIND "\na = b\n#", 3, "cut off");
    REFUSED(KIND "\na = b\n ", 3, "cut off");
}

static void test_long_lines(void **state)
{
    (void)state;
    static const char before[] = KIND "\n\n";
    static const struct {
        const char *head;
        char fill;
        int count;
    } lines[] = {{"a=", 'b', 1}, {"#", 'c', 0}, {"", ' ', 0}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[sizeof before + RX_LINE_MAX + 2];
        size_t head = strlen(lines[i].head);
        size_t begin = sizeof before - 1;
        memset(text, lines[i].fill, sizeof text);
        memcpy(text, before, begin);
        memcpy(text + begin, lines[i].head, head);
        text[begin + RX_LINE_MAX] = '\n';
        expect_accepted(text, begin + RX_LINE_MAX + 1, lines[i].count);
        text[begin + RX_LINE_MAX] = lines[i].fill;
        text[begin + RX_LINE_MAX + 1] = '\n';
        expect_refused(text, begin + RX_LINE_MAX + 2, 3, "longer than 1024");
    }
}

static void test_long_texts(void **state)
{
    (void)state;
    char text[TEXT_MAX + 1];
    memset(text, '\n', sizeof text);
    memcpy(text, KIND, sizeof KIND - 1);
    expect_accepted(text, TEXT_MAX, 0);
    expect_refused(text, TEXT_MAX + 1, 0, "too long");
}

/* Every byte value in a line that counts and in one that does not. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        static const char *const forms[] = {KIND "\n\na = b?d\n", KIND "\n\n# b?d\n"};
        for (size_t i = 0; i < 2; i++) {
            char text[64];
            size_t n = strlen(forms[i]);
            memcpy(text, forms[i], n);
            *(char *)memchr(text, '?', n) = (char)byte;
            if (byte == 0) {
                expect_refused(text, n, 3, "NUL");
            } else if (byte == '\r') {
                expect_refused(text, n, 3, "CR");
            } else if (byte >= 0x80) {
                expect_refused(text, n, 3, "UTF-8");
            } else if (byte == '\n') {
                expect_refused(text, n, 4, "name = value");
            } else {
                expect_accepted(text, n, i == 0);
            }
        }
    }
}

/* ---- UTF-8 ------------------------------------------------------------------------------ */

static size_t encode(uint32_t point, char out[static 4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)(heads[n] | point);
    return n;
}

static bool comment_accepted(const void *bytes, size_t n)
{
    char text[64] = KIND "\n#";
    size_t begin = strlen(text);
    memcpy(text + begin, bytes, n);
    text[begin + n] = '\n';
    struct rx_file_error error;
    return read_all(text, begin + n + 1, &error) == 0;
}

static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 1; point < 0x1fffff; point++) {
        if (point == '\n' || point == '\r')
            continue;
        char bytes[4] = {0};
        size_t n = encode(point, bytes);
        bool valid = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
        if (comment_accepted(bytes, n) != valid)
            fail_msg("U+%04X", point);
        if (point > 0x300 && point % 4096 != 0)
            point += 6; /* the edges of all the ranges are near multiples of 4096 */
    }
}

/* Overlong forms: a code point that a shorter sequence has, in a longer one. */
static void test_overlong(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x10000; point++) {
        char two[2] = {(char)(0xc0 | point >> 6), (char)(0x80 | (point & 0x3f))};
        char three[3] = {(char)0xe0, (char)(0x80 | (point >> 6 & 0x3f)),
                         (char)(0x80 | (point & 0x3f))};
        char four[4] = {(char)0xf0, (char)(0x80 | point >> 12), (char)(0x80 | (point >> 6 & 0x3f)),
                        (char)(0x80 | (point & 0x3f))};
        assert_false(point < 0x80 && comment_accepted(two, 2));
        assert_false(point < 0x800 && comment_accepted(three, 3));
        assert_false(comment_accepted(four, 4));
    }
}

/* Each byte of a sequence missing, doubled, or not of its kind; and cut off by the end of the text.
 */
static void test_broken_sequences(void **state)
{
    (void)state;
    static const char *const whole[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(whole[i]);
        assert_true(comment_accepted(whole[i], n));
        for (size_t cut = 1; cut < n; cut++) {
            char text[32] = KIND "\n#";
            size_t begin = strlen(text);
            memcpy(text + begin, whole[i], cut);
            expect_refused(text, begin + cut, 2, "UTF-8");
            assert_false(comment_accepted(whole[i], cut));
            assert_false(comment_accepted(whole[i] + cut, n - cut));
            for (unsigned byte = 1; byte < 256; byte++) {
                char changed[4];
                memcpy(changed, whole[i], n);
                changed[cut] = (char)byte;
                bool low = i == 2 && cut == 1 && byte < 0x90; /* overlong */
                bool valid = byte >= 0x80 && byte < 0xc0 && !low;
                assert_int_equal(comment_accepted(changed, n), valid);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_line),         cmocka_unit_test(test_forms_of_lines),
        cmocka_unit_test(test_sides_of_a_line),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_last_line_must_end), cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_long_texts),         cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_code_point),   cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_broken_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
