/* proto/header.c: what is JSON and what is not, errors as headers, and whole messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/header.h"
#include "proto/words.h"
#include "tests/unit/guard.h"

#define ID_TEXT "\"00112233445566778899aabbccddeeff\""

static enum rx_error decode(enum rx_type type, const void *bytes, size_t n)
{
    struct rx_header h;
    return rx_header_decode(type, guard_copy(bytes, n), n, &h);
}

static void expect(const void *bytes, size_t n, bool good)
{
    /* Two types that know one name and need none, and one that knows no name at all. */
    static const enum rx_type types[] = {RX_DONE, RX_DETACH, RX_STDOUT};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        enum rx_error error = decode(types[i], bytes, n);
        if (error != (good ? RX_OK : RX_E_BAD_HEADER))
            fail_msg("%.*s: %s", (int)(n < 200 ? n : 200), (const char *)bytes,
                     rx_error_name(error));
    }
}

#define GOOD(text) expect(text, sizeof(text) - 1, true)
#define BAD(text) expect(text, sizeof(text) - 1, false)

/* ---- JSON ------------------------------------------------------------------------------- */

static void test_one_object(void **state)
{
    (void)state;
    GOOD("");
    GOOD("{}");
    GOOD(" \t\r\n{ } \t\r\n");
    GOOD("{\"a\":null,\"b\":[1,-2.5e3,true,false,\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"],\"c\":{}}");
    BAD(" ");
    BAD("[]");
    BAD("1");
    BAD("\"x\"");
    BAD("null");
    BAD("true");
    BAD("{");
    BAD("}");
    BAD("{}{}");
    BAD("{},");
    BAD("{} {}");
    BAD("{}x");
    BAD("[{}]");
    BAD("{\"a\":1");
    BAD("\xef\xbb\xbf{}");
    BAD("{}\f");
    BAD("\xa0{}");
}

static void test_malformed(void **state)
{
    (void)state;
    BAD("{\"a\":1,}");
    BAD("{,}");
    BAD("{\"a\"}");
    BAD("{\"a\":}");
    BAD("{a:1}");
    BAD("{'a':1}");
    BAD("{1:1}");
    BAD("{\"a\" 1}");
    BAD("{\"a\":1 \"b\":2}");
    BAD("{\"a\":[1,]}");
    BAD("{\"a\":[1 2]}");
    BAD("{\"a\":[}");
    BAD("{\"a\":{]}");
    BAD("{\"a\":1} // comment");
    BAD("{/**/}");
    BAD("{\"a\":True}");
    BAD("{\"a\":nul}");
    BAD("{\"a\":nullx}");
    BAD("{\"a\":undefined}");
    BAD("{\"a\":NaN}");
    BAD("{\"a\":Infinity}");
    BAD("{\"a\":-Infinity}");
    BAD("{\"a\":01}");
    BAD("{\"a\":+1}");
    BAD("{\"a\":-}");
    BAD("{\"a\":.5}");
    BAD("{\"a\":1.}");
    BAD("{\"a\":1e}");
    BAD("{\"a\":0x10}");
    BAD("{\"a\":1_000}");
    BAD("{\"a\":\"b}");
    BAD("{\"a\":\"b\\\"}");
    BAD("{\"a\":\"\\");
    BAD("{\"a\":\"\\a\"}");
    BAD("{\"a\":\"\\u12g4\"}");
    BAD("{\"a\":\"\\u123\"}");
    BAD("{\"a\":\"tab\there\"}");
    BAD("{\"a\":\"line\nhere\"}");
}

static void test_duplicates(void **state)
{
    (void)state;
    BAD("{\"n\":1,\"n\":1}");
    BAD("{\"n\":1,\"x\":2,\"n\":3}");
    BAD("{\"n\":1,\"\\u006e\":1}");
    BAD("{\"x\":{\"y\":1,\"y\":2}}");
    BAD("{\"x\":[{\"y\":1,\"y\":2}]}");
    BAD("{\"\":1,\"\":2}");
    GOOD("{\"x\":{\"y\":1},\"y\":{\"y\":1},\"X\":1}");
}

static void test_nul(void **state)
{
    (void)state;
    BAD("{\"x\":\"\\u0000\"}");
    BAD("{\"x\":[\"a\\u0000b\"]}");
    BAD("{\"x\\u0000\":1}");
    BAD("{\"x\":{\"\\u0000\":1}}");
    /* A NUL byte at each place of a header. */
    static const char good[] = " {\"x\" : [\"a\", 12, 1.5e2, true], \"y\" : {}} ";
    enum { LENGTH = sizeof good - 1 };
    GOOD(good);
    for (size_t at = 0; at <= LENGTH; at++) {
        char bytes[LENGTH + 1];
        memcpy(bytes, good, at);
        bytes[at] = '\0';
        memcpy(bytes + at + 1, good + at, LENGTH - at);
        expect(bytes, sizeof bytes, false); /* put in */
        memcpy(bytes, good, LENGTH);
        bytes[at < LENGTH ? at : 0] = '\0';
        expect(bytes, LENGTH, false); /* in a byte's place */
    }
    expect("\0", 1, false);
    expect("{}\0", 3, false);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"\x7f",           "\xc2\x80",         "\xdf\xbf",
                                       "\xe0\xa0\x80",   "\xed\x9f\xbf",     "\xee\x80\x80",
                                       "\xef\xbf\xbf",   "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                                       "\\ud83d\\ude00", "\\uffff"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2x",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x90\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xff",
                                      "\xfe",
                                      "\\ud800",
                                      "\\udbff",
                                      "\\udc00",
                                      "\\udfff",
                                      "\\ud83d\\ud83d",
                                      "\\ud83dx",
                                      "\\ude00\\ud83d"};
    char text[64];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int n = snprintf(text, sizeof text, "{\"%s\":\"%s\"}", good[i], good[i]);
        expect(text, (size_t)n, true);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int n = snprintf(text, sizeof text, "{\"x\":\"%s\"}", bad[i]);
        expect(text, (size_t)n, false);
        n = snprintf(text, sizeof text, "{\"%s\":1}", bad[i]);
        expect(text, (size_t)n, false);
        n = snprintf(text, sizeof text, "{}%s", bad[i]);
        expect(text, (size_t)n, false);
    }
}

/* So many levels, each opened by the letter: o for an object, a for an array. */
static void nest(const char *levels, bool good)
{
    char text[256] = "";
    for (size_t i = 0; levels[i] != '\0'; i++)
        /* It has room. NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
        (void)strcat(text, levels[i] == 'a' ? "[" : levels[i + 1] != '\0' ? "{\"x\":" : "{");
    for (size_t i = strlen(levels); i > 0; i--)
        /* It has room. NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
        (void)strcat(text, levels[i - 1] == 'a' ? "]" : "}");
    expect(text, strlen(text), good);
}

static void test_nesting(void **state)
{
    (void)state;
    nest("o", true);
    nest("oooooooo", true);
    nest("ooooooooo", false);
    nest("oaaaaaaa", true);
    nest("oaaaaaaaa", false);
    nest("oaoaoaoa", true);
    nest("oaoaoaoao", false);
    /* Brackets in strings are none, whatever stands before them. */
    GOOD("{\"x\":\"[[[[[[[[[[[[{{{{{{{{{{{{\"}");
    GOOD("{\"[[[[[[[[[[[\":\"\\\"[[[[[[[[[[[[\\\\\"}");
    BAD("{\"x\":\"\\\\\",\"y\":[[[[[[[[]]]]]]]]}");
    GOOD("{\"x\":\"\\\\\",\"y\":[[[[[[[]]]]]]]}");
    /* Levels beside each other do not add up, and closing ones do not make room. */
    GOOD("{\"a\":[[[[[[[]]]]]]],\"b\":[[[[[[[]]]]]]],\"c\":[[],[],[],[],[],[],[],[]]}");
    BAD("}}}}}}}}{\"a\":[[[[[[[[]]]]]]]]}");
    BAD("]]]]]]]]{}");
    char deep[4096];
    memset(deep, '[', sizeof deep);
    expect(deep, sizeof deep, false);
    memcpy(deep, "{\"x\":", 5);
    expect(deep, sizeof deep, false);
}

/* Numbers where nobody knows the name: what JSON allows. */
static void test_numbers(void **state)
{
    (void)state;
    GOOD("{\"x\":[0,-0,1,-1,0.0,-0.0,1e1,1E+1,1e-1,123456789012345678]}");
    GOOD("{\"x\":[9007199254740993,9223372036854775807,-9223372036854775808,1e300]}");
}

/* Every header, cut short at each byte, is refused, but for the empty one. */
static void test_truncated(void **state)
{
    (void)state;
    static const char text[] = "{\"n\":12,\"x\":[{\"y\":\"\\u00e9z\"},1.5,null]}";
    for (size_t n = 0; n < sizeof text; n++)
        expect(text, n, n == 0 || n == sizeof text - 1);
}

/* ---- members ---------------------------------------------------------------------------- */

/* After init nothing is there: each member says so, in what types share, too. */
static void test_init(void **state)
{
    (void)state;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        enum rx_type type = (enum rx_type)rx_kind_at(i)->number;
        struct rx_header h;
        memset(&h, 0x55, sizeof h);
        rx_header_init(type, &h);
        switch (type) {
        case RX_CLOSE:
        case RX_GOAWAY:
        case RX_ERROR:
        case RX_REFUSED:
            assert_int_equal(h.notice.grace_ms, RX_ABSENT);
            assert_int_equal(h.notice.n, RX_ABSENT);
            assert_string_equal(h.notice.text, "");
            break;
        case RX_STARTED:
        case RX_RESUMED:
        case RX_DONE:
            assert_int_equal(h.reply.pid, RX_ABSENT);
            assert_int_equal(h.reply.start_us, RX_ABSENT);
            assert_int_equal(h.reply.n, RX_ABSENT);
            assert_false(h.reply.already);
            break;
        case RX_EXEC:
            assert_int_equal(h.exec.age_ms, RX_ABSENT);
            assert_int_equal(h.exec.pty.rows, RX_ABSENT);
            assert_int_equal(h.exec.limits.core, RX_ABSENT);
            assert_int_equal(h.exec.run, RX_RUN_SHELL);
            assert_int_equal(h.exec.input, RX_INPUT_STREAM);
            assert_false(h.exec.pty.wanted);
            break;
        case RX_LISTED:
            assert_int_equal(h.listed.exit.code, RX_ABSENT);
            assert_int_equal(h.listed.exit.rusage.nivcsw, RX_ABSENT);
            assert_false(h.listed.has_id);
            break;
        default:
            break;
        }
    }
}

/* What a header leaves out is absent, whatever was in the structure. */
static void test_absent(void **state)
{
    (void)state;
    static const char text[] = "{\"id\":" ID_TEXT "}";
    struct rx_header h;
    memset(&h, 0x55, sizeof h);
    assert_int_equal(rx_header_decode(RX_EXEC, (const uint8_t *)text, sizeof text - 1, &h), RX_OK);
    struct rx_header expected;
    rx_header_init(RX_EXEC, &expected);
    for (size_t i = 0; i < RX_COMMAND_ID_SIZE; i++)
        expected.exec.id[i] = (uint8_t)(i * 0x11);
    assert_memory_equal(&h.exec, &expected.exec, sizeof h.exec);
}

/* ---- errors as headers ------------------------------------------------------------------ */

static void expect_error_text(const char *text, const char *expected)
{
    struct rx_header h;
    rx_header_error(&h, RX_E_NOT_PERMITTED, text);
    assert_int_equal(h.notice.code, RX_E_NOT_PERMITTED);
    assert_string_equal(h.notice.name, "not_permitted");
    assert_string_equal(h.notice.text, expected);
    assert_int_equal(h.notice.grace_ms, RX_ABSENT);
    assert_int_equal(h.notice.n, RX_ABSENT);
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    assert_int_equal(rx_header_encode(RX_REFUSED, &h, bytes, sizeof bytes, &n), RX_OK);
    assert_true(n <= rx_kind(RX_REFUSED)->header_max);
    struct rx_header again;
    assert_int_equal(rx_header_decode(RX_REFUSED, bytes, n, &again), RX_OK);
    assert_string_equal(again.notice.text, expected);
}

static void test_error_texts(void **state)
{
    (void)state;
    expect_error_text(NULL, "the grant does not permit this");
    expect_error_text("", "");
    expect_error_text("no", "no");
    char text[2048], expected[2048];
    static const char *const characters[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac",
                                             "\xf0\x9f\x98\x80"};
    for (size_t width = 1; width <= 4; width++) {
        for (size_t before = 0; before < 8; before++) { /* so that the cut falls everywhere */
            memset(text, 'x', before);
            for (size_t at = before; at < 600; at += width)
                memcpy(text + at, characters[width], width + 1);
            size_t whole = before + (512 - before) / width * width;
            memcpy(expected, text, whole);
            expected[whole] = '\0';
            expect_error_text(text, expected);
        }
    }
    for (size_t n = 511; n <= 514; n++) {
        memset(text, 'y', n);
        text[n] = '\0';
        memset(expected, 'y', 512);
        expected[n < 512 ? n : 512] = '\0';
        expect_error_text(text, expected);
    }
}

/* What grows when it is escaped is cut so that it still fits its message. */
static void test_error_texts_escaped(void **state)
{
    (void)state;
    static const char characters[] = {'"', '\\', '\n', 0x01, 0x1f, '\r', '\t'};
    for (size_t i = 0; i < sizeof characters; i++) {
        for (size_t n = 1; n < 600; n += 7) {
            char text[601];
            memset(text, characters[i], n);
            text[n] = '\0';
            struct rx_header h;
            rx_header_error(&h, RX_E_CANNOT_EXECUTE, text);
            h.notice.n = RX_INTEGER_MAX;
            uint8_t bytes[RX_HEADER_MAX];
            size_t length, kept = strlen(h.notice.text);
            assert_true(kept == n || kept >= 100);
            assert_int_equal(rx_header_encode(RX_REFUSED, &h, bytes, sizeof bytes, &length), RX_OK);
            assert_true(length <= rx_kind(RX_REFUSED)->header_max);
        }
    }
}

/* Each error as ERROR, REFUSED and GOAWAY, and back. */
static void test_every_error(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_ERROR, RX_REFUSED, RX_GOAWAY};
    for (unsigned code = 1; code < 256; code++) {
        if (rx_error_by_name(rx_error_name(code)) != code)
            continue;
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            struct rx_header h, again;
            uint8_t bytes[RX_HEADER_MAX];
            size_t n;
            rx_header_error(&h, (enum rx_error)code, NULL);
            assert_int_equal(rx_header_encode(types[i], &h, bytes, sizeof bytes, &n), RX_OK);
            assert_true(n <= rx_kind((uint8_t)types[i])->header_max);
            assert_int_equal(rx_header_decode(types[i], bytes, n, &again), RX_OK);
            assert_int_equal(again.notice.code, code);
            assert_string_equal(again.notice.name, rx_error_name(code));
            assert_string_equal(again.notice.text, rx_error_text(code));
        }
    }
}

/* ---- whole messages --------------------------------------------------------------------- */

/* Checks a message with this header and these words: "a" each an argument of one letter, "e" an
 * empty one, "v" a variable, "d" a directory, "x" a word that is malformed. */
static enum rx_error check(enum rx_type type, const char *header, const char *words)
{
    uint8_t body[256];
    size_t n = 0;
    for (; *words != '\0'; words++) {
        if (*words == 'a')
            assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "a", 1), RX_OK);
        else if (*words == 'e')
            assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "", 0), RX_OK);
        else if (*words == 'v')
            assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ENVIRONMENT, "A=1", 3),
                             RX_OK);
        else if (*words == 'd')
            assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_DIRECTORY, "/", 1), RX_OK);
        else
            body[n++] = 1;
    }
    struct rx_message m = {
        .kind = rx_kind((uint8_t)type),
        .type = (uint8_t)type,
        .header = (const uint8_t *)header,
        .header_len = strlen(header),
        .body = guard_copy(body, n),
        .body_len = n,
    };
    struct rx_header h;
    return rx_message_check(&m, &h);
}

#define EXEC(run) "{\"id\":" ID_TEXT ",\"run\":\"" run "\"}"

static void test_words_of_exec(void **state)
{
    (void)state;
    static const struct {
        const char *header, *words;
        bool good;
    } cases[] = {
        {"{\"id\":" ID_TEXT "}", "a", true}, /* shell, unless it says otherwise */
        {"{\"id\":" ID_TEXT "}", "", false}, {EXEC("shell"), "a", true},
        {EXEC("shell"), "e", true},          {EXEC("shell"), "vvadv", true},
        {EXEC("shell"), "aa", false},        {EXEC("shell"), "vd", false},
        {EXEC("shell"), "ax", false},        {EXEC("shell"), "add", false},
        {EXEC("subsystem"), "a", true},      {EXEC("subsystem"), "", false},
        {EXEC("subsystem"), "aa", false},    {EXEC("login"), "", true},
        {EXEC("login"), "vd", true},         {EXEC("login"), "a", false},
        {EXEC("login"), "e", false},         {EXEC("exec"), "", false},
        {EXEC("exec"), "v", false},          {EXEC("exec"), "a", true},
        {EXEC("exec"), "aeaea", true},       {EXEC("exec"), "dvaeee", true},
        {EXEC("exec"), "e", false},          {EXEC("exec"), "ea", false},
        {EXEC("exec"), "vdea", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum rx_error error = check(RX_EXEC, cases[i].header, cases[i].words);
        if (error != (cases[i].good ? RX_OK : RX_E_BAD_BODY))
            fail_msg("%s %s: %s", cases[i].header, cases[i].words, rx_error_name(error));
    }
    assert_int_equal(check(RX_EXEC, "{}", "a"), RX_E_BAD_HEADER);
    assert_int_equal(check(RX_EXEC, "{}", "x"), RX_E_BAD_HEADER);
}

static void test_other_messages(void **state)
{
    (void)state;
    assert_int_equal(check(RX_LISTED, "", ""), RX_OK);
    assert_int_equal(check(RX_LISTED, "", "aaaevd"), RX_OK);
    assert_int_equal(check(RX_LISTED, "", "dd"), RX_E_BAD_BODY);
    assert_int_equal(check(RX_LISTED, "", "x"), RX_E_BAD_BODY);
    assert_int_equal(check(RX_LISTED, "[]", ""), RX_E_BAD_HEADER);
    assert_int_equal(check(RX_RESUME, "{\"id\":" ID_TEXT "}", "xxx"), RX_OK);
    assert_int_equal(check(RX_RESUME, "{}", ""), RX_E_BAD_HEADER);
    assert_int_equal(check(RX_STDOUT, "", "x"), RX_OK);
    assert_int_equal(check(RX_DETACH, "[1]", ""), RX_E_BAD_HEADER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_object),     cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_duplicates),     cmocka_unit_test(test_nul),
        cmocka_unit_test(test_utf8),           cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_numbers),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_init),           cmocka_unit_test(test_absent),
        cmocka_unit_test(test_error_texts),    cmocka_unit_test(test_error_texts_escaped),
        cmocka_unit_test(test_every_error),    cmocka_unit_test(test_words_of_exec),
        cmocka_unit_test(test_other_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
