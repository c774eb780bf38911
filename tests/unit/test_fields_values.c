/* auth/fields.c: the values in key and grant files, read and printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "auth/fields.h"
#include "tests/unit/guard.h"

/* A field with this value, at the end of the memory. */
static struct rx_field field_of(const void *value, size_t n)
{
    return (struct rx_field){
        .name = "x",
        .name_len = 1,
        .value = (const char *)guard_copy(value, n),
        .value_len = n,
        .line = 1,
    };
}

static struct rx_field field_of_string(const char *value)
{
    return field_of(value, strlen(value));
}

/* ---- values ----------------------------------------------------------------------------- */

static void test_hex(void **state)
{
    (void)state;
    struct rx_field field = field_of_string("00017f80fFAbcDeF09aF");
    static const uint8_t expected[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xab, 0xcd, 0xef, 0x09, 0xaf};
    uint8_t out[32];
    assert_true(rx_field_hex(&field, out, 10));
    assert_memory_equal(out, expected, 10);
    assert_false(rx_field_hex(&field, out, 9));
    assert_false(rx_field_hex(&field, out, 11));
    field.value_len = 19;
    assert_false(rx_field_hex(&field, out, 10));
    assert_false(rx_field_hex(&field, out, 9));
    field.value_len = 0;
    assert_false(rx_field_hex(&field, out, 10));
    assert_true(rx_field_hex(&field, out, 0));
}

/* Every byte value at every place: its value, or refused and nothing left of the rest. */
static void test_hex_every_byte(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    for (size_t at = 0; at < 8; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[] = "12345678";
            text[at] = (char)byte;
            const char *digit = byte == 0 ? NULL : strchr(digits, (int)byte);
            if (digit == NULL && byte != 0 && strchr(upper, (int)byte) != NULL)
                digit = digits + (strchr(upper, (int)byte) - upper);

            struct rx_field field = field_of(text, 8);
            uint8_t out[4] = {9, 9, 9, 9};
            uint8_t expected[4] = {0x12, 0x34, 0x56, 0x78};
            assert_int_equal(rx_field_hex(&field, out, 4), digit != NULL);
            if (digit == NULL) {
                memset(expected, 0, 4);
            } else if (at % 2 == 0) {
                expected[at / 2] =
                    (uint8_t)((expected[at / 2] & 0x0f) | (unsigned)(digit - digits) << 4);
            } else {
                expected[at / 2] =
                    (uint8_t)((expected[at / 2] & 0xf0) | (unsigned)(digit - digits));
            }
            assert_memory_equal(out, expected, 4);
        }
    }
}

static void test_text(void **state)
{
    (void)state;
    char out[9];
    struct rx_field field = field_of_string("12345678");
    assert_true(rx_field_text(&field, out, 8));
    assert_string_equal(out, "12345678");
    assert_false(rx_field_text(&field, out, 7));
    field = field_of_string("");
    assert_false(rx_field_text(&field, out, 8));
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[] = {'a', (char)byte};
        field = field_of(text, 2);
        assert_int_equal(rx_field_text(&field, out, 8), byte >= 0x20 && byte != 0x7f);
    }
    for (unsigned point = 0x80; point < 0x800; point++) {
        char text[] = {(char)(0xc0 | point >> 6), (char)(0x80 | (point & 0x3f))};
        field = field_of(text, 2);
        assert_int_equal(rx_field_text(&field, out, 8), point >= 0xa0);
    }
}

static void test_yes_no(void **state)
{
    (void)state;
    bool value = false;
    struct rx_field field = field_of_string("yes");
    assert_true(rx_field_yes_no(&field, &value) && value);
    field = field_of_string("no");
    assert_true(rx_field_yes_no(&field, &value) && !value);
    static const char *const wrong[] = {"", "y", "ye", "yess", "Yes", "YES", "n", "No", "noo", "1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        field = field_of_string(wrong[i]);
        assert_false(rx_field_yes_no(&field, &value));
    }
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t min, max, value;
        bool valid;
    } cases[] = {
        {"0", 0, 9, 0, true},
        {"1", 1, 65535, 1, true},
        {"65535", 1, 65535, 65535, true},
        {"0", 1, 65535, 0, false},
        {"65536", 1, 65535, 0, false},
        {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", 0, UINT64_MAX, 0, false},
        {"18446744073709551620", 0, UINT64_MAX, 0, false},
        {"99999999999999999999999", 0, UINT64_MAX, 0, false},
        {"", 0, 9, 0, false},
        {"00", 0, 9, 0, false},
        {"01", 0, 9, 0, false},
        {"+1", 0, 9, 0, false},
        {"-1", 0, UINT64_MAX, 0, false},
        {"1 ", 0, 9, 0, false},
        {"0x1", 0, 9, 0, false},
        {"1.0", 0, 99, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 0;
        struct rx_field field = field_of_string(cases[i].text);
        bool valid = rx_field_number(&field, cases[i].min, cases[i].max, &value);
        if (valid != cases[i].valid || (valid && value != cases[i].value))
            fail_msg("%s", cases[i].text);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[] = {'1', (char)byte, '2'};
        uint64_t value;
        struct rx_field field = field_of(text, 3);
        assert_int_equal(rx_field_number(&field, 0, 999, &value), byte >= '0' && byte <= '9');
    }
}

/* ---- times ------------------------------------------------------------------------------ */

static bool read_time(const char *text, int64_t *time)
{
    struct rx_field field = field_of_string(text);
    return rx_field_time(&field, time);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},          {"1970-01-01T00:00:01Z", 1},
        {"1972-02-29T12:00:00Z", 68212800},   {"2000-02-29T23:59:59Z", 951868799},
        {"2000-03-01T00:00:00Z", 951868800},  {"2001-09-09T01:46:40Z", 1000000000},
        {"2038-01-19T03:14:08Z", 2147483648}, {"2100-02-28T23:59:59Z", 4107542399},
        {"2106-02-07T06:28:16Z", 4294967296}, {"9999-12-31T23:59:59Z", 253402300799},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t time = -1;
        assert_true(read_time(cases[i].text, &time));
        assert_true(time == cases[i].time);
        char out[32] = "";
        struct rx_text text = {.out = out, .cap = sizeof out};
        rx_text_time(&text, time);
        assert_int_equal(text.n, 20);
        assert_memory_equal(out, cases[i].text, 20);
    }
}

static void test_times_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "1969-12-31T23:59:59Z",  "0000-01-01T00:00:00Z",   "10000-01-01T00:00:00Z",
        "2026-00-01T00:00:00Z",  "2026-13-01T00:00:00Z",   "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",  "2026-04-31T00:00:00Z",   "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",  "2000-02-30T00:00:00Z",   "2024-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",  "2026-01-01T00:60:00Z",   "2016-12-31T23:59:60Z",
        "2026-01-01T00:00:00",   "2026-01-01T00:00:00z",   "2026-01-01t00:00:00Z",
        "2026-01-01 00:00:00Z",  "2026-01-01T00:00:00+00", "2026-01-01T00:00:00.0Z",
        "2026-1-01T00:00:00Z",   "2026-01-01T00:00Z",      "",
        "2026-01-01T00:00:00ZZ", " 026-01-01T00:00:00Z",   "-026-01-01T00:00:00Z",
        "2026/01/01T00:00:00Z",  "2026-01-01T00:00:00Z ",  "now",
    };
    int64_t time;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (read_time(wrong[i], &time))
            fail_msg("%s", wrong[i]);
    }
    /* Every byte value at every place: a digit where there is one, the form's byte elsewhere. */
    static const char good[] = "2011-11-11T11:11:11Z";
    for (size_t at = 0; at < sizeof good - 1; at++) {
        for (unsigned byte = 1; byte < 256; byte++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[at] = (char)byte;
            bool digit = byte >= '0' && byte <= '9';
            if (read_time(text, &time)) {
                assert_true(byte == (uint8_t)good[at] || (digit && good[at] <= '9'));
            } else {
                assert_true(byte != (uint8_t)good[at]);
            }
        }
    }
}

/* The C library's calendar, for each of 400 years' days and for each year's ends. */
static void check_day(int64_t day)
{
    int64_t time = day * 86400 + day * 7919 % 86400;
    int64_t back = -1;
    time_t libc_time = (time_t)time;
    struct tm tm;
    char expected[80];
    char out[32];
    assert_non_null(gmtime_r(&libc_time, &tm));
    assert_int_equal(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &tm), 20);
    struct rx_text text = {.out = out, .cap = sizeof out};
    rx_text_time(&text, time);
    assert_int_equal(text.failed, RX_OK);
    out[text.n] = '\0';
    assert_string_equal(out, expected);
    assert_true(read_time(expected, &back) && back == time);
}

static void test_calendar(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 146097; day++)
        check_day(day);
    for (int year = 2370; year <= 9999; year++) {
        struct tm tm = {.tm_year = year - 1900, .tm_mday = 1};
        int64_t first = timegm(&tm) / 86400;
        check_day(first);
        check_day(first + 58);
        check_day(first + 59);
        check_day(first + 60);
        check_day(first + 364);
    }
}

static void test_times_out_of_range(void **state)
{
    (void)state;
    static const int64_t wrong[] = {-1, 253402300800, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char out[32];
        struct rx_text text = {.out = out, .cap = sizeof out};
        rx_text_time(&text, wrong[i]);
        assert_int_equal(text.failed, RX_E_BAD_FILE);
        assert_int_equal(text.n, 0);
    }
}

/* ---- printing --------------------------------------------------------------------------- */

static void test_printing(void **state)
{
    (void)state;
    static const char expected[] = "ab\n00ff7f18446744073709551615 0";
    static const uint8_t bytes[] = {0x00, 0xff, 0x7f};
    for (size_t cap = 0; cap <= sizeof expected; cap++) {
        char out[sizeof expected + 1];
        memset(out, '?', sizeof out);
        struct rx_text text = {.out = out, .cap = cap};
        rx_text_bytes(&text, "ab\nX", 3);
        rx_text_hex(&text, bytes, sizeof bytes);
        rx_text_number(&text, UINT64_MAX);
        rx_text_string(&text, " ");
        rx_text_number(&text, 0);
        assert_int_equal(text.failed, cap < sizeof expected ? RX_E_NO_SPACE : RX_OK);
        assert_true(text.n < cap || cap == 0);
        for (size_t i = text.n; i < sizeof out; i++)
            assert_int_equal(out[i], '?');
        if (text.failed == RX_OK)
            assert_memory_equal(out, expected, sizeof expected - 1);
    }
}

static void test_first_failure_stays(void **state)
{
    (void)state;
    char out[32];
    struct rx_text text = {.out = out, .cap = 4};
    rx_text_string(&text, "abcd");
    rx_text_string(&text, "e");
    rx_text_refuse(&text);
    rx_text_time(&text, -1);
    assert_int_equal(text.failed, RX_E_NO_SPACE);
    assert_int_equal(text.n, 0);
    text = (struct rx_text){.out = out, .cap = 4};
    rx_text_refuse(&text);
    rx_text_string(&text, "abcd");
    assert_int_equal(text.failed, RX_E_BAD_FILE);
}

/* ---- whole files ------------------------------------------------------------------------ */

static const char *read_length(const struct rx_field *field, void *file)
{
    *(size_t *)file = field->value_len;
    return NULL;
}

static void print_length(const void *file, struct rx_text *text)
{
    for (size_t i = 0; i < *(const size_t *)file; i++)
        rx_text_string(text, "v");
}

/* A rule may print more than it would be given to read: that is the line's bound. */
static void test_print_longest_line(void **state)
{
    (void)state;
    static const struct rx_field_rule rule = {"length", "no length", read_length, print_length};
    static const struct rx_file_kind kind = {"kind 1", 4096, &rule, 1};
    char out[2048];
    size_t n;
    size_t scratch = 0;
    size_t most = RX_LINE_MAX - strlen("length = ");
    assert_int_equal(rx_file_print(&kind, &most, &scratch, out, sizeof out, &n), RX_OK);
    struct rx_file_error error;
    size_t again = 0;
    assert_true(rx_file_read(&kind, out, n, &again, &error));
    assert_int_equal(again, most);
    most++;
    assert_int_equal(rx_file_print(&kind, &most, &scratch, out, sizeof out, &n), RX_E_BAD_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_hex_every_byte),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_yes_no),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_times_refused),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_times_out_of_range),
        cmocka_unit_test(test_printing),
        cmocka_unit_test(test_first_failure_stays),
        cmocka_unit_test(test_print_longest_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
