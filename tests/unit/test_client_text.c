/* rexec/escape.c, rexec/transcode.c: what others wrote, made fit to be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rexec/escape.h"
#include "rexec/transcode.h"

static void expect_escaped(const char *text, size_t n, const char *expected)
{
    char out[256];
    size_t length = rx_escape(text, n, out, sizeof out);
    assert_string_equal(out, expected);
    assert_int_equal(length, strlen(expected));
}

#define ESCAPED(text, expected) expect_escaped(text, sizeof(text) - 1, expected)

static void test_escape(void **state)
{
    (void)state;
    ESCAPED("", "");
    ESCAPED("plain ~text", "plain ~text");
    ESCAPED("a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f");
    ESCAPED("a\0b", "a\\x00b");
    ESCAPED("C:\\", "C:\\\\");
    ESCAPED("\xc3\xa4 \xe4\xb8\xad \xf0\x9f\x98\x80", "\xc3\xa4 \xe4\xb8\xad \xf0\x9f\x98\x80");
    ESCAPED("\xc2\x9b", "\\xc2\\x9b"); /* a C1 control */
    /* NOLINTNEXTLINE(misc-misleading-bidirectional) that is what is tested */
    ESCAPED("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
    ESCAPED("\xe2\x80\xa8", "\\xe2\\x80\\xa8"); /* line separator */
    ESCAPED("\xd8\x9c", "\\xd8\\x9c");          /* Arabic letter mark */
    ESCAPED("\xe2\x80\x8b", "\\xe2\\x80\\x8b"); /* zero width space */
    ESCAPED("\xe2\x80\x8c\xe2\x80\x8d", "\xe2\x80\x8c\xe2\x80\x8d");
    ESCAPED("\xe2\x81\xa0", "\\xe2\\x81\\xa0");          /* word joiner */
    ESCAPED("\xef\xbb\xbf", "\\xef\\xbb\\xbf");          /* byte order mark */
    ESCAPED("\xf3\xa0\x80\x80", "\\xf3\\xa0\\x80\\x80"); /* the first tag */
    ESCAPED("\xf3\xa0\x81\xbf", "\\xf3\\xa0\\x81\\xbf"); /* the last */
    ESCAPED("\xf3\xa0\x82\x80", "\xf3\xa0\x82\x80");
    ESCAPED("\xc0\x80\xff", "\\xc0\\x80\\xff");          /* overlong, and no UTF-8 */
    ESCAPED("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    ESCAPED("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
    ESCAPED("\xe4\xb8", "\\xe4\\xb8");                   /* cut off */
}

/* Every byte, and every size of the buffer: one line, never beyond the end. */
static void test_escape_bounds(void **state)
{
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)(unsigned char)i;
    for (size_t cap = 1; cap < 1100; cap++) {
        char *out = malloc(cap);
        assert_non_null(out);
        size_t n = rx_escape(all, sizeof all, out, cap);
        assert_true(n < cap);
        assert_int_equal(strlen(out), n);
        for (size_t i = 0; i < n; i++)
            assert_true(out[i] >= 0x20 && out[i] < 0x7f);
        free(out);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(rx_utf8_valid("", 0));
    assert_true(rx_utf8_valid("a\0\xc3\xa4", 4));
    assert_false(rx_utf8_valid("\xc3", 1));
    assert_false(rx_utf8_valid("\x80", 1));
    assert_false(rx_utf8_valid("\xe0\x80\x80", 3));
}

/* Decodes in two pieces, cut at `cut`, or byte by byte if that is beyond the end. */
static void decode(const char *from, const char *to, const char *bytes, size_t n, size_t cut,
                   struct buffer *out)
{
    struct transcode *t = transcode_new(from, to);
    assert_non_null(t);
    if (cut <= n) {
        assert_true(transcode_put(t, bytes, cut, out));
        assert_true(transcode_put(t, bytes + cut, n - cut, out));
    } else {
        for (size_t i = 0; i < n; i++)
            assert_true(transcode_put(t, bytes + i, 1, out));
    }
    assert_true(transcode_end(t, out));
    transcode_free(t);
}

static void expect_decoded(const char *from, const char *to, const char *bytes, size_t n,
                           const char *expected)
{
    for (size_t cut = 0; cut <= n + 1; cut++) {
        struct buffer out = {0};
        decode(from, to, bytes, n, cut, &out);
        if (out.n != strlen(expected) || memcmp(out.bytes, expected, out.n) != 0) {
            fail_msg("%s to %s, cut at %zu: %.*s, not %s", from, to, cut, (int)out.n, out.bytes,
                     expected);
        }
        buffer_clear(&out);
    }
}

#define DECODED(from, to, bytes, expected)                                                         \
    expect_decoded(from, to, bytes, sizeof(bytes) - 1, expected)

static void test_decode(void **state)
{
    (void)state;
    DECODED("GBK", "UTF-8", "a\xd6\xd0\xce\xc4z\n", "a\xe4\xb8\xad\xe6\x96\x87z\n");
    DECODED("GB18030", "UTF-8", "\x81\x30\x84\x36\xd6\xd0", "\xc2\xa5\xe4\xb8\xad");
    DECODED("SHIFT_JIS", "UTF-8", "\x93\xfa\x96\x7b\xb1", "\xe6\x97\xa5\xe6\x9c\xac\xef\xbd\xb1");
    DECODED("UTF-16LE", "UTF-8", "a\0\x2d\x4e\x3d\xd8\0\xde", "a\xe4\xb8\xad\xf0\x9f\x98\x80");
    DECODED("UTF-16BE", "UTF-8", "\0a\x4e\x2d", "a\xe4\xb8\xad");
    DECODED("UTF-16", "UTF-8", "\xff\xfe\x2d\x4e", "\xe4\xb8\xad");
    DECODED("UTF-32LE", "UTF-8", "a\0\0\0\x2d\x4e\0\0", "a\xe4\xb8\xad");
    DECODED("ISO-2022-JP", "UTF-8", "\x1b$BF|\x1b(Ba",
            "\xe6\x97\xa5"
            "a");
    DECODED("UTF-8", "UTF-8", "\xe4\xb8\xad", "\xe4\xb8\xad");
    DECODED("ISO-8859-1", "UTF-8", "\xe4", "\xc3\xa4");
}

static void test_decode_wrong(void **state)
{
    (void)state;
    DECODED("GBK", "UTF-8",
            "a\xff"
            "b",
            "a\xef\xbf\xbd"
            "b");
    DECODED("GBK", "UTF-8", "a\xd6", "a\xef\xbf\xbd"); /* cut off at the end */
    DECODED("UTF-8", "UTF-8", "\xe4\xb8", "\xef\xbf\xbd");
    /* A lone surrogate costs two bytes, and what follows is still in step. */
    DECODED("UTF-16LE", "UTF-8",
            "\x00\xdc"
            "a\0",
            "\xef\xbf\xbd"
            "a");
    DECODED("UTF-16LE", "UTF-8", "a\0b", "a\xef\xbf\xbd");
}

static void test_decode_to_less(void **state)
{
    (void)state;
    DECODED("GBK", "ISO-8859-1", "a\xd6\xd0z", "a?z");
    DECODED("UTF-8", "ISO-8859-1", "\xc3\xa4\xe4\xb8\xad", "\xe4?");
    DECODED("UTF-8", "ASCII", "x\xf0\x9f\x98\x80y\xff", "x?y?");
    DECODED("SHIFT_JIS", "EUC-JP", "\x93\xfa\x96\x7b", "\xc6\xfc\xcb\xdc");
}

/* Decoders and encoders that hold a character until they know what follows give it at the end. */
static void test_held_until_the_end(void **state)
{
    (void)state;
    DECODED("CP1255", "UTF-8", "\xf9\xec\xe5\xed", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d");
    DECODED("UTF-8", "BIG5-HKSCS", "\xc3\xaa", "\x88\xa7");
    DECODED("UTF-8", "BIG5-HKSCS", "z\xc3\x8a", "z\x88\x66");
    DECODED("UTF-8", "ISO-2022-JP", "\xe6\x97\xa5", "\x1b$BF|\x1b(B"); /* back to ASCII */
}

/* A long text in a multibyte encoding, in pieces of every size up to 70. */
static void test_decode_long(void **state)
{
    (void)state;
    enum { LONG = 6000 };
    char *bytes = malloc((size_t)LONG * 2);
    assert_non_null(bytes);
    for (size_t i = 0; i < LONG; i++) {
        bytes[i * 2] = i % 3 == 0 ? 'a' : '\xd6';
        bytes[i * 2 + 1] = i % 3 == 0 ? 'b' : '\xd0';
    }
    struct buffer whole = {0};
    decode("GBK", "UTF-8", bytes, (size_t)LONG * 2, 0, &whole);
    for (size_t size = 1; size <= 70; size++) {
        struct transcode *t = transcode_new("GBK", "UTF-8");
        struct buffer out = {0};
        assert_non_null(t);
        for (size_t at = 0; at < (size_t)LONG * 2; at += size) {
            size_t left = (size_t)LONG * 2 - at;
            assert_true(transcode_put(t, bytes + at, left < size ? left : size, &out));
        }
        assert_true(transcode_end(t, &out));
        assert_int_equal(out.n, whole.n);
        assert_memory_equal(out.bytes, whole.bytes, out.n);
        transcode_free(t);
        buffer_clear(&out);
    }
    buffer_clear(&whole);
    free(bytes);
}

static void test_decode_unknown(void **state)
{
    (void)state;
    assert_null(transcode_new("no-such-encoding", "UTF-8"));
    assert_null(transcode_new("GBK", "no-such-encoding"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_bounds),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decode_wrong),
        cmocka_unit_test(test_decode_to_less),
        cmocka_unit_test(test_decode_long),
        cmocka_unit_test(test_decode_unknown),
        cmocka_unit_test(test_held_until_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
