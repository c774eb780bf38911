/* auth/key.c: the client's key file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/key.h"
#include "tests/unit/guard.h"
#include "tests/unit/last_wipe.h"

#define FIRST "rexec-key 1\n"
#define HEX62 "112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define PSK "psk = " HEX62 "00\n"
#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"

static enum rx_error parse(const void *bytes, size_t n, struct rx_key *key,
                           struct rx_file_error *error)
{
    memset(key, 0xa5, sizeof *key);
    *error = (struct rx_file_error){0};
    return rx_key_parse((const char *)guard_copy(bytes, n), n, key, error);
}

static void expect_wiped(const struct rx_key *key)
{
    static const struct rx_key zero;
    assert_memory_equal(key, &zero, sizeof zero);
}

static void expect_refused(const void *bytes, size_t n, unsigned line, const char *what)
{
    struct rx_key key;
    struct rx_file_error error;
    if (parse(bytes, n, &key, &error) != RX_E_BAD_FILE)
        fail_msg("accepted, but should say \"%s\"", what);
    if (error.line != line || strstr(error.what, what) == NULL)
        fail_msg("line %u: %s; expected line %u: %s", error.line, error.what, line, what);
    expect_wiped(&key);
}

#define REFUSED(text, line, what) expect_refused(text, sizeof(text) - 1, line, what)

static struct rx_key parsed(const char *text)
{
    struct rx_key key;
    struct rx_file_error error;
    if (parse(text, strlen(text), &key, &error) != RX_OK)
        fail_msg("line %u: %s", error.line, error.what);
    return key;
}

static void test_parse(void **state)
{
    (void)state;
    struct rx_key key = parsed(FIRST PSK);
    for (unsigned i = 0; i < sizeof key.psk; i++)
        assert_int_equal(key.psk[i], i % 16 == 15 ? 0 : 0x11 * (i % 16 + 1));
    assert_string_equal(key.comment, "");
    key = parsed("# note\n\n" FIRST "comment=caf\xc3\xa9 # = x\n# more\n  psk=" HEX62 "01  \n\n");
    assert_string_equal(key.comment, "caf\xc3\xa9 # = x");
    assert_int_equal(key.psk[31], 1);
}

static void test_refused(void **state)
{
    (void)state;
    REFUSED("", 0, "empty");
    REFUSED(FIRST, 0, "psk is missing");
    REFUSED(FIRST "comment = x\n", 0, "psk is missing");
    REFUSED("rexec-grant 1\n" PSK, 1, "not the file expected");
    REFUSED("rexec-key 2\n" PSK, 1, "not the file expected");
    REFUSED(PSK FIRST, 1, "not the file expected");
    REFUSED(FIRST FIRST PSK, 2, "name = value");
    REFUSED(FIRST PSK PSK, 3, "already");
    REFUSED(FIRST "comment = a\n" PSK "\ncomment = a\n", 5, "already");
    REFUSED(FIRST PSK "Comment = a\n", 3, "unknown name");
    REFUSED(FIRST PSK "PSK = a\n", 3, "unknown name");
    REFUSED(FIRST PSK " = a\n", 3, "unknown name");
    REFUSED(FIRST PSK "server = a\n", 3, "unknown name");
    REFUSED(FIRST PSK "comment\n", 3, "name = value");
    REFUSED(FIRST "psk = " ZERO64 "\n", 2, "all zero");
    REFUSED(FIRST "psk = " HEX62 "\n", 2, "64 hex");
    REFUSED(FIRST "psk = " HEX62 "0\n", 2, "64 hex");
    REFUSED(FIRST "psk = " HEX62 "000\n", 2, "64 hex");
    REFUSED(FIRST "psk = " HEX62 "0g\n", 2, "64 hex");
    REFUSED(FIRST "psk = 0x" HEX62 "\n", 2, "64 hex");
    REFUSED(FIRST "psk = " HEX62 " 0\n", 2, "64 hex");
    REFUSED(FIRST "psk =\n", 2, "64 hex");
    REFUSED(FIRST PSK "comment =\n", 3, "comment: needs");
    REFUSED(FIRST PSK "comment = a\tb\n", 3, "comment: needs");
    REFUSED(FIRST PSK "comment = a\xc2\x9b"
                      "b\n",
            3, "comment: needs");
    REFUSED(FIRST PSK "# \xff\n", 3, "UTF-8");
    REFUSED(FIRST PSK "# a\r\n", 3, "CR");
    REFUSED(FIRST PSK "# \0\n", 3, "NUL");
    REFUSED(FIRST "psk = " HEX62 "00", 2, "cut off");
}

/* A key that differs from all zero in one bit is one. */
static void test_nearly_zero(void **state)
{
    (void)state;
    for (size_t at = 0; at < 64; at++) {
        char text[] = FIRST "psk = " ZERO64 "\n";
        text[sizeof text - 2 - 64 + at] = '1';
        (void)parsed(text);
    }
}

static void test_comment_lengths(void **state)
{
    (void)state;
    for (size_t n = 1; n <= RX_COMMENT_MAX + 1; n++) {
        char text[512];
        char comment[RX_COMMENT_MAX + 2];
        memset(comment, 'c', n);
        comment[n] = '\0';
        int length = snprintf(text, sizeof text, FIRST "comment = %s\n" PSK, comment);
        if (n <= RX_COMMENT_MAX) {
            assert_string_equal(parsed(text).comment, comment);
        } else {
            expect_refused(text, (size_t)length, 2, "comment: needs");
        }
    }
}

static void test_file_lengths(void **state)
{
    (void)state;
    char text[RX_KEY_FILE_MAX + 1];
    struct rx_key key;
    struct rx_file_error error;
    memset(text, '\n', sizeof text);
    memcpy(text, FIRST PSK, sizeof FIRST PSK - 1);
    assert_int_equal(parse(text, RX_KEY_FILE_MAX, &key, &error), RX_OK);
    expect_refused(text, RX_KEY_FILE_MAX + 1, 0, "too long");
}

static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct rx_key key;
        struct rx_file_error error;
        char psk[] = FIRST "psk = " HEX62 "0?\n";
        char comment[] = FIRST PSK "comment = a?b\n";
        *strchr(psk, '?') = (char)byte;
        *strchr(comment, '?') = (char)byte;
        bool hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                   (byte >= 'A' && byte <= 'F');
        assert_int_equal(parse(psk, sizeof psk - 1, &key, &error) == RX_OK, hex);
        assert_true(hex || error.line == 2);
        bool print = byte >= 0x20 && byte < 0x7f;
        assert_int_equal(parse(comment, sizeof comment - 1, &key, &error) == RX_OK, print);
        assert_true(print || error.line == (byte == '\n' ? 4 : 3));
    }
}

/* What was printed and is cut short anywhere is refused. */
static void test_truncations(void **state)
{
    (void)state;
    struct rx_key key = parsed(FIRST PSK "comment = my laptop\n");
    char text[RX_KEY_TEXT_MAX];
    size_t n;
    assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_OK);
    for (size_t cut = 0; cut < n; cut++) {
        struct rx_key out;
        struct rx_file_error error;
        assert_int_equal(parse(text, cut, &out, &error), RX_E_BAD_FILE);
        expect_wiped(&out);
    }
}

static void test_print(void **state)
{
    (void)state;
    struct rx_key key = parsed(FIRST PSK "comment = my laptop\n");
    struct rx_key again;
    static const char expected[] =
        FIRST "comment = my laptop\n"
              "psk = 112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00\n";
    char text[RX_KEY_TEXT_MAX];
    size_t n;
    assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_OK);
    assert_int_equal(n, sizeof expected - 1);
    assert_string_equal(text, expected);
    again = parsed(text);
    assert_memory_equal(&again, &key, sizeof key);

    for (size_t cap = 0; cap <= sizeof expected; cap++) {
        static const char zero[sizeof text];
        memset(text, '?', sizeof text);
        enum rx_error error = rx_key_print(&key, text, cap, &n);
        assert_int_equal(error, cap < sizeof expected ? RX_E_NO_SPACE : RX_OK);
        assert_int_equal(n, cap < sizeof expected ? 0 : sizeof expected - 1);
        assert_int_equal(text[cap], '?');
        if (error != RX_OK)
            assert_memory_equal(text, zero, cap);
    }
}

static void test_print_longest(void **state)
{
    (void)state;
    struct rx_key key = {.psk = {1}};
    memset(key.comment, 'c', RX_COMMENT_MAX);
    char text[RX_KEY_TEXT_MAX];
    size_t n;
    assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_OK);
    struct rx_key again = parsed(text);
    assert_memory_equal(&again, &key, sizeof key);
}

/* What could not be read again, or would be read as something else, is not printed. */
static void test_print_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"a\nb", "a\npsk = 00", " a",   "a ",       " ",
                                        "\t",   "a\x7f",       "\xff", "\xc2\x80", "a\xc3"};
    char text[RX_KEY_TEXT_MAX];
    size_t n;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rx_key key = {.psk = {1}};
        memcpy(key.comment, wrong[i], strlen(wrong[i]));
        assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_E_BAD_FILE);
        assert_int_equal(n, 0);
        for (size_t j = 0; j < sizeof text; j++)
            assert_int_equal(text[j], 0);
    }
    struct rx_key zero = {.comment = "a"};
    assert_int_equal(rx_key_print(&zero, text, sizeof text, &n), RX_E_BAD_FILE);
    struct rx_key endless = {.psk = {1}};
    memset(endless.comment, 'c', sizeof endless.comment);
    assert_int_equal(rx_key_print(&endless, text, sizeof text, &n), RX_E_BAD_FILE);
}

static void test_wipe(void **state)
{
    (void)state;
    struct rx_key key;
    memset(&key, 0xa5, sizeof key);
    rx_key_wipe(&key);
    expect_wiped(&key);
}

/* What is printed is read back, into a copy. */
static void test_print_wipes(void **state)
{
    (void)state;
    const struct rx_key key = parsed(FIRST PSK);
    char text[RX_KEY_TEXT_MAX];
    size_t n;
    for (size_t cap = 0; cap <= sizeof text; cap += sizeof text) {
        last_wiped = NULL;
        (void)rx_key_print(&key, text, cap, &n);
        assert_non_null(last_wiped);
        assert_ptr_not_equal(last_wiped, &key);
        assert_int_equal(last_wiped_n, sizeof key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nearly_zero),   cmocka_unit_test(test_comment_lengths),
        cmocka_unit_test(test_file_lengths),  cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_truncations),   cmocka_unit_test(test_print),
        cmocka_unit_test(test_print_longest), cmocka_unit_test(test_print_refused),
        cmocka_unit_test(test_print_wipes),   cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
