/* proto/pattern.c: which names fit, against all short ones and a matcher that is plainly right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/pattern.h"

static bool fits(const char *pattern, const char *name)
{
    return rx_pattern_matches(pattern, name, strlen(name));
}

static void test_examples(void **state)
{
    (void)state;
    assert_true(fits("LANG", "LANG"));
    assert_false(fits("LANG", "LANGUAGE"));
    assert_false(fits("LANG", "LAN"));
    assert_false(fits("LANG", "lang"));
    assert_true(fits("LC_*", "LC_ALL"));
    assert_true(fits("LC_*", "LC_"));
    assert_false(fits("LC_*", "XLC_ALL"));
    assert_true(fits("*_PROXY", "HTTP_PROXY"));
    assert_true(fits("A?C", "ABC"));
    assert_false(fits("A?C", "AC"));
    assert_false(fits("A?C", "ABBC"));
    assert_true(fits("*a*b*", "xxaxxbxx"));
    assert_false(fits("*a*b*", "xxbxxaxx"));
    assert_true(fits("", ""));
    assert_false(fits("", "a"));
    assert_true(fits("**", ""));
}

/* The name ends where it is said, and may have any byte. */
static void test_bytes(void **state)
{
    (void)state;
    assert_true(rx_pattern_matches("A", "AB", 1));
    assert_false(rx_pattern_matches("A", "A\0", 2));
    assert_true(rx_pattern_matches("A?", "A\0", 2));
    assert_true(rx_pattern_matches("*", "\0\0", 2));
    assert_true(rx_pattern_matches("\xc3\xa4?", "\xc3\xa4\xff", 3));
}

/* Every rest of the name for every star. */
static bool by_trying(const char *pattern, const char *name)
{
    bool reached[2][16] = {{true}};
    size_t n = strlen(name), now = 0;
    for (; *pattern != '\0'; pattern++, now ^= 1) {
        bool *from = reached[now], *to = reached[now ^ 1];
        memset(to, 0, sizeof reached[0]);
        for (size_t i = 0; i <= n; i++) {
            if (*pattern == '*')
                to[i] = from[i] || (i > 0 && to[i - 1]);
            else if (i > 0)
                to[i] = from[i - 1] && (*pattern == '?' || *pattern == name[i - 1]);
        }
    }
    return reached[now][n];
}

/* The number's digits as letters, the lowest first; 0 is none. */
static void spell(unsigned number, const char *letters, char out[static 8])
{
    size_t n = 0;
    for (unsigned base = (unsigned)strlen(letters); number > 0; number /= base + 1)
        if (number % (base + 1) > 0)
            out[n++] = letters[number % (base + 1) - 1];
    out[n] = '\0';
}

static void test_all_short_ones(void **state)
{
    (void)state;
    unsigned fitting = 0;
    for (unsigned p = 0; p < 5 * 5 * 5 * 5 * 5; p++) {
        char pattern[8], name[8];
        spell(p, "ab*?", pattern);
        for (unsigned i = 0; i < 3 * 3 * 3 * 3 * 3; i++) {
            spell(i, "ab", name);
            bool expected = by_trying(pattern, name);
            fitting += expected;
            if (fits(pattern, name) != expected)
                fail_msg("%s, %s: not %d", pattern, name, expected);
        }
    }
    assert_in_range(fitting, 10000, 700000);
}

/* Twenty stars in a name that almost fits: an exponential one would never end. */
static void test_many_stars(void **state)
{
    (void)state;
    static const char pattern[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab";
    char name[1001];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(fits(pattern, name));
    name[sizeof name - 2] = 'b';
    assert_true(fits(pattern, name));
}

static void test_literal(void **state)
{
    (void)state;
    assert_true(rx_pattern_is_literal("LD_PRELOAD"));
    assert_true(rx_pattern_is_literal(""));
    assert_false(rx_pattern_is_literal("LD_*"));
    assert_false(rx_pattern_is_literal("LD_PRELOA?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),       cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_all_short_ones), cmocka_unit_test(test_many_stars),
        cmocka_unit_test(test_literal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
