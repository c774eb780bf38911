/* rexec/tilde.c: what is typed to rexec itself, whatever pieces it is read in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rexec/tilde.h"

/* Types a text in pieces of `piece` bytes; what comes out must be `expected`. */
static void type(const char *setting, const char *typed, size_t n, size_t piece,
                 const char *expected, unsigned wanted)
{
    struct tilde t;
    uint8_t out[256];
    size_t written = 0;
    unsigned asked = 0;
    tilde_init(&t, setting);
    for (size_t at = 0; at < n && (asked & TILDE_GIVE_UP) == 0; at += piece) {
        unsigned more = 0;
        size_t length = n - at < piece ? n - at : piece;
        size_t got = tilde_filter(&t, (const uint8_t *)typed + at, length, out + written, &more);
        assert_true(got <= length + 1);
        written += got;
        asked |= more;
    }
    written += tilde_end(&t, out + written);
    assert_int_equal(tilde_end(&t, out + written), 0);
    assert_int_equal(written, strlen(expected));
    assert_memory_equal(out, expected, written);
    assert_int_equal(asked, wanted);
}

static void expect(const char *setting, const char *typed, const char *expected, unsigned wanted)
{
    for (size_t piece = 1; piece <= strlen(typed); piece++)
        type(setting, typed, strlen(typed), piece, expected, wanted);
}

static void test_at_line_start(void **state)
{
    (void)state;
    expect(NULL, "~.", "", TILDE_GIVE_UP);
    expect(NULL, "ls\r~.rm *\r", "ls\r", TILDE_GIVE_UP);
    expect(NULL, "ls\n~.", "ls\n", TILDE_GIVE_UP);
    expect(NULL, "~\x1a", "", TILDE_SUSPEND);
    expect(NULL, "~?", "", TILDE_HELP);
    expect(NULL, "~?~\x1a~?x", "x", TILDE_HELP | TILDE_SUSPEND);
    expect(NULL, "~?~.", "", TILDE_HELP | TILDE_GIVE_UP);
    expect(NULL, "~~", "~", 0);
    expect(NULL, "~~.\r", "~.\r", 0);
    expect(NULL, "~~\r~~\r", "~\r~\r", 0);
    expect(NULL, "~user\r", "~user\r", 0);
    expect(NULL, "~\r~.", "~\r", TILDE_GIVE_UP);
    expect(NULL, "~", "~", 0);
    expect(NULL, "x\r~", "x\r~", 0);
}

static void test_elsewhere(void **state)
{
    (void)state;
    expect(NULL, "x~.", "x~.", 0);
    expect(NULL, "x~~\x1a~?", "x~~\x1a~?", 0);
    expect(NULL, " ~.\r", " ~.\r", 0);
    expect(NULL, "\x03~.", "\x03~.", 0);
    expect(NULL, "~a~.", "~a~.", 0);
}

static void test_settings(void **state)
{
    (void)state;
    expect("none", "~.\r~~\r~?", "~.\r~~\r~?", 0);
    expect("NONE", "~.", "~.", 0);
    expect("#", "~.\r#.", "~.\r", TILDE_GIVE_UP);
    expect("#", "##\r#x", "#\r#x", 0);
    expect("^b", "\x02.", "", TILDE_GIVE_UP);
    expect("^]", "\x1d?", "", TILDE_HELP);
    expect("^", "^.", "", TILDE_GIVE_UP);
    expect("~", "~.", "", TILDE_GIVE_UP);
}

/* Nothing else is ever changed: every byte, at the start of a line and within one. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct tilde t;
        uint8_t in[] = {(uint8_t)byte, 'x', (uint8_t)byte}, out[4];
        unsigned asked;
        tilde_init(&t, NULL);
        assert_int_equal(tilde_filter(&t, in, sizeof in, out, &asked), sizeof in);
        assert_memory_equal(in, out, sizeof in);
        assert_int_equal(asked, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_line_start),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
