/* proto/header_plain.c: what it reads is what jansson reads, and what it does not is left to that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/header_plain.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

#define ID_TEXT "\"00112233445566778899aabbccddeeff\""

struct text {
    enum rx_type type;
    const char *text;
};

/* As they are written: each kind of value, and both ends of a table. */
static const struct text written[] = {
    {RX_DONE, "{}"},
    {RX_DONE, "{\"n\":0}"},
    {RX_DONE, "{\"n\":9007199254740991}"},
    {RX_STDOUT, "{}"},
    {RX_WELCOME, "{\"server\":\"lab01\",\"version\":\"rexec 0.1.0\",\"time_us\":1796046000123456,"
                 "\"commands\":64,\"linger_ms\":60000,\"keepalive_ms\":30000}"},
    {RX_CLOSE, "{\"reason\":\"\"}"},
    {RX_CLOSE, "{\"reason\":\"~ !#/\x7f\"}"},
    {RX_REFUSED, "{\"code\":65535,\"name\":\"x\",\"text\":\"what; what to do\",\"n\":7}"},
    {RX_EXEC, "{\"id\":" ID_TEXT "}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"run\":\"subsystem\",\"user\":\"root\",\"age_ms\":0,"
              "\"timeout_ms\":1,\"linger_ms\":2,\"drain_ms\":3,\"detach\":true,\"label\":\"night\","
              "\"stdin\":\"none\",\"pty\":{\"term\":\"xterm\",\"rows\":24,\"cols\":80},"
              "\"limits\":{\"cpu_ms\":1,\"core\":0}}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"run\":\"shell\",\"stdin\":\"stream\",\"limits\":{}}"},
    {RX_SIGNAL, "{\"signal\":\"HUP\",\"id\":" ID_TEXT "}"},
    {RX_RESIZE, "{\"rows\":0,\"cols\":65535,\"width\":1,\"height\":10}"},
    {RX_STARTED,
     "{\"pid\":4711,\"start_us\":1796046000123456,\"user\":\"alice\",\"already\":true}"},
    {RX_EXIT, "{\"code\":255,\"by\":\"closed\",\"start_us\":1,\"end_us\":2,\"rusage\":{"
              "\"utime_us\":1,\"stime_us\":2,\"maxrss_kib\":3,\"minflt\":4,\"majflt\":5,"
              "\"inblock\":6,\"oublock\":7,\"nvcsw\":8,\"nivcsw\":9}}"},
    {RX_EXIT, "{\"signal\":\"KILL\",\"core\":true}"},
    {RX_LISTED, "{\"id\":" ID_TEXT ",\"state\":\"exited\",\"attached\":true,\"code\":0,"
                "\"start_us\":1}"},
};

/* Good, and written as nobody here writes it. */
static const struct text spelled[] = {
    {RX_DONE, " {\"n\":1}"},
    {RX_DONE, "{\"n\":1}\n"},
    {RX_DONE, "{ \"n\":1}"},
    {RX_DONE, "{\"n\" :1}"},
    {RX_DONE, "{\"n\": 1}"},
    {RX_DONE, "{\"n\":1 }"},
    {RX_DONE, "{\"\\u006e\":1}"},
    {RX_DONE, "{\"m\":1}"},
    {RX_DONE, "{\"n\":1,\"o\":2}"},
    {RX_DONE, "{\"nn\":1}"},
    {RX_DONE, "{\"\":1}"},
    {RX_DONE, "{\"n\":-0}"},
    {RX_STDOUT, "{\"n\":1}"},
    {RX_CLOSE, "{\"reason\":\"\\n\"}"},
    {RX_CLOSE, "{\"reason\":\"\xc3\xa9\"}"},
    {RX_RESIZE, "{\"cols\":1,\"rows\":2,\"width\":3,\"height\":4}"},
    {RX_STARTED, "{\"user\":\"alice\",\"pid\":1}"},
    {RX_STARTED, "{\"already\":false}"},
    {RX_EXIT, "{\"code\":1,\"holders\":[17]}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"x\":{\"y\":[null]}}"},
    {RX_WELCOME, "{\"server\":\"s\",\"version\":\"v\",\"time_us\":0,\"features\":[]}"},
};

static const struct text bad[] = {
    {RX_DONE, "{\"n\":9007199254740992}"},
    {RX_DONE, "{\"n\":99999999999999999999}"},
    {RX_DONE, "{\"n\":18446744073709551616}"}, /* 2^64, and one more */
    {RX_DONE, "{\"n\":18446744073709551617}"},
    {RX_REFUSED, "{\"code\":0,\"name\":\"x\",\"text\":\"\"}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"timeout_ms\":0}"},
    {RX_DONE, "{\"n\":00}"},
    {RX_DONE, "{\"n\":01}"},
    {RX_DONE, "{\"n\":}"},
    {RX_DONE, "{\"n\":1"},
    {RX_DONE, "{\"n\":1,}"},
    {RX_DONE, "{\"n\":1}}"},
    {RX_DONE, "{\"n\":1}{"},
    {RX_DONE, "{\"n\":1,\"n\":1}"},
    {RX_DONE, "{\"n\":\"1\"}"},
    {RX_DONE, "{\"n\":true}"},
    {RX_DONE, "{\"n\":1.5}"},
    {RX_DONE, "{\"n\""},
    {RX_DONE, "{\"n"},
    {RX_DONE, "{"},
    {RX_DONE, "{,}"},
    {RX_DONE, "[]"},
    {RX_RESIZE, "{\"rows\":1,\"cols\":2,\"height\":4}"},
    {RX_RESIZE, "{\"rows\":1,\"cols\":2,\"width\":4}"},
    {RX_RESIZE, "{\"rows\":1,\"cols\":2,\"width\":4,\"height\":65536}"},
    {RX_RESIZE, "{}"},
    {RX_STARTED, "{\"already\":tru}"},
    {RX_STARTED, "{\"user\":\"\"}"},
    {RX_STARTED, "{\"user\":\"a\x1f\"}"},
    {RX_STARTED, "{\"user\":\"123456789012345678901234567890123\"}"},
    {RX_EXEC, "{\"id\":\"00112233445566778899aabbccddeefF\"}"},
    {RX_EXEC, "{\"id\":\"00112233445566778899aabbccddeef\"}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"run\":\"shel\"}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"run\":\"shells\"}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"pty\":{}}"},
    {RX_EXEC, "{\"id\":" ID_TEXT ",\"limits\":{\"core\":0}"},
};

static bool plain(enum rx_type type, const void *text, size_t n, struct rx_header *h)
{
    rx_header_init(type, h);
    return header_decode_plain(header_fields(type), guard_copy(text, n), n, h);
}

/* A space in front says the same, and is not how it is written. */
static enum rx_error by_jansson(enum rx_type type, const void *text, size_t n, struct rx_header *h)
{
    static uint8_t spaced[RX_HEADER_MAX + 1];
    static struct rx_header scratch;
    assert_true(n < sizeof spaced);
    spaced[0] = ' ';
    memcpy(spaced + 1, text, n);
    assert_false(plain(type, spaced, n + 1, &scratch));
    return rx_header_decode(type, guard_copy(spaced, n + 1), n + 1, h);
}

#define EACH(list, t)                                                                              \
    for (const struct text *t = (list), *end = t + sizeof(list) / sizeof *t; t < end; t++)

static void test_reads_what_is_written(void **state)
{
    (void)state;
    static struct rx_header ours, theirs;
    EACH(written, t)
    {
        size_t n = strlen(t->text);
        if (!plain(t->type, t->text, n, &ours))
            fail_msg("not read: %s", t->text);
        assert_int_equal(by_jansson(t->type, t->text, n, &theirs), RX_OK);
        assert_memory_equal(&ours, &theirs, sizeof ours);
        for (size_t cut = 0; cut < n; cut++)
            assert_false(plain(t->type, t->text, cut, &ours));
    }
}

static void test_leaves_the_rest(void **state)
{
    (void)state;
    static struct rx_header h;
    EACH(spelled, t)
    {
        if (plain(t->type, t->text, strlen(t->text), &h))
            fail_msg("read: %s", t->text);
        enum rx_error error =
            rx_header_decode(t->type, (const uint8_t *)t->text, strlen(t->text), &h);
        if (error != RX_OK)
            fail_msg("%s: %s", t->text, rx_error_name(error));
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static struct rx_header h;
    EACH(bad, t)
    {
        size_t n = strlen(t->text);
        if (plain(t->type, t->text, n, &h))
            fail_msg("read: %s", t->text);
        if (rx_header_decode(t->type, guard_copy(t->text, n), n, &h) != RX_E_BAD_HEADER)
            fail_msg("decoded: %s", t->text);
    }
    assert_false(plain(RX_CLOSE, "{\"reason\":\"a\0b\"}", 16, &h));
}

/* ---- against jansson -------------------------------------------------------------------- */

/* Some bytes of it changed, left out, put in or said twice; the new length. */
static size_t mutate(struct dice *d, uint8_t *text, size_t n, size_t cap)
{
    static const char tokens[] = "{}[]:,\"\\ 0129-.etrufalsn\x00\x1f\x7f\xc3";
    for (uint64_t times = 1 + dice_below(d, 3); times > 0 && n > 0; times--) {
        size_t at = dice_below(d, n), size = 1 + dice_below(d, n - at);
        uint8_t byte = dice_below(d, 4) == 0 ? (uint8_t)dice_below(d, 256)
                                             : (uint8_t)tokens[dice_below(d, sizeof tokens - 1)];
        switch (dice_below(d, 4)) {
        case 0:
            text[at] = byte;
            break;
        case 1: /* left out */
            size = size < 4 ? size : 1;
            memmove(text + at, text + at + size, n - at - size);
            n -= size;
            break;
        case 2:
            if (n == cap)
                break;
            memmove(text + at + 1, text + at, n - at);
            text[at] = byte;
            n++;
            break;
        default: /* said twice */
            if (n + size > cap)
                break;
            memmove(text + at + size, text + at, n - at);
            n += size;
            break;
        }
    }
    return n;
}

static void test_agrees_with_jansson(void **state)
{
    (void)state;
    static struct rx_header ours, theirs;
    static uint8_t text[RX_HEADER_MAX];
    struct dice d = {.state = 20261129};
    size_t read = 0, left = 0, refused = 0;
    for (unsigned round = 0; round < 200000; round++) {
        const struct text *t = &written[dice_below(&d, sizeof written / sizeof *written)];
        size_t n = strlen(t->text);
        memcpy(text, t->text, n);
        n = mutate(&d, text, n, sizeof text);
        bool is_plain = plain(t->type, text, n, &ours);
        enum rx_error mine = rx_header_decode(t->type, guard_copy(text, n), n, &ours);
        enum rx_error other = by_jansson(t->type, text, n, &theirs);
        if (n == 0) /* stands for {}, and a space does not */
            continue;
        if (mine != other)
            fail_msg("%.*s: %s, and %s", (int)n, (const char *)text, rx_error_name(mine),
                     rx_error_name(other));
        if (mine == RX_OK)
            assert_memory_equal(&ours, &theirs, sizeof ours);
        read += is_plain;
        left += !is_plain && mine == RX_OK;
        refused += mine != RX_OK;
    }
    assert_true(read > 1000 && left > 1000 && refused > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_written),
        cmocka_unit_test(test_leaves_the_rest),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
