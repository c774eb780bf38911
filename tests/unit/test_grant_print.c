/* auth/grant.c: printing grants, and reading what was printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/grant.h"
#include "tests/unit/grant_same.h"
#include "tests/unit/grant_text.h"
#include "tests/unit/last_wipe.h"

/* ---- printing --------------------------------------------------------------------------- */

static void test_print(void **state)
{
    (void)state;
    static const char lower[] =
        "kid = 00112233445566778899aabbccddeeff\n"
        "client-auth = 1100112233445566778899aabbccddeeff1122334455667788990011223344aa\n"
        "server-auth = 2200112233445566778899aabbccddeeff1122334455667788990011223344bb\n"
        "mix = 3300112233445566778899aabbccddeeff1122334455667788990011223344cc\n";
    static const char policy[] =
        "name = ci\nusers = root,build\nfrom = 10.1.0.0/16,2001:db8::/32,unix,::1\n"
        "not-before = 2020-01-01T00:00:00Z\nexpires = 2030-01-01T00:00:00Z\nrevoked = yes\n"
        "max-commands = 7\nreadable = yes\npty = no\ncommand = make all\n";
    char text[RX_GRANT_TEXT_MAX];
    char expected[RX_GRANT_TEXT_MAX];
    size_t n;

    struct rx_grant grant = grant_parsed(BASE "revoked = no\nreadable = no\npty = yes\n");
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
    (void)snprintf(expected, sizeof expected, FIRST SERVER "%s", lower);
    assert_string_equal(text, expected);
    assert_int_equal(n, strlen(expected));

    (void)snprintf(expected, sizeof expected, BASE "%s", policy);
    grant = grant_parsed(expected);
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
    (void)snprintf(expected, sizeof expected, FIRST SERVER "%s%s", policy, lower);
    assert_string_equal(text, expected);
    assert_int_equal(n, strlen(expected));
    struct rx_grant again = grant_parsed(text);
    assert_true(grant_same(&again, &grant));

    for (size_t cap = 0; cap <= n + 1; cap++) {
        static const char zero[sizeof text];
        size_t got = 1;
        memset(text, '?', sizeof text);
        enum rx_error error = rx_grant_print(&grant, text, cap, &got);
        assert_int_equal(error, cap <= n ? RX_E_NO_SPACE : RX_OK);
        assert_int_equal(got, cap <= n ? 0 : n);
        assert_int_equal(text[cap], '?');
        if (error != RX_OK)
            assert_memory_equal(text, zero, cap);
    }
}

/* What was printed and is cut short anywhere is refused: no restriction is lost with the end. */
static void test_truncations(void **state)
{
    (void)state;
    struct rx_grant grant = grant_parsed(
        BASE "name = ci\nusers = root,build\nfrom = 10.1.0.0/16,unix\nexpires = "
             "2030-01-01T00:00:00Z\nrevoked = yes\nmax-commands = 12\ncommand = a b\n");
    char text[RX_GRANT_TEXT_MAX];
    size_t n;
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
    for (size_t cut = 0; cut < n; cut++) {
        struct rx_grant out;
        struct rx_file_error error;
        assert_int_equal(grant_read(text, cut, &out, &error), RX_E_BAD_FILE);
        grant_expect_wiped(&out);
    }
}

static void expect_not_printed(const struct rx_grant *grant)
{
    char text[RX_GRANT_TEXT_MAX];
    size_t n = 1;
    memset(text, '?', sizeof text);
    assert_int_equal(rx_grant_print(grant, text, sizeof text, &n), RX_E_BAD_FILE);
    assert_int_equal(n, 0);
    for (size_t i = 0; i < sizeof text; i++)
        assert_int_equal(text[i], 0);
}

/* What could not be read again, or would be read as something else, is not printed. */
static void test_print_refused(void **state)
{
    (void)state;
    const struct rx_grant base = grant_parsed(BASE);
    struct rx_grant grant;
#define WITHOUT(...)                                                                               \
    do {                                                                                           \
        grant = base;                                                                              \
        __VA_ARGS__;                                                                               \
        expect_not_printed(&grant);                                                                \
    } while (0)
    WITHOUT(memset(grant.server, 0, sizeof grant.server));
    WITHOUT(grant.server[0] = 'B');
    WITHOUT(grant.server[0] = '\n');
    WITHOUT(memset(grant.server, 's', sizeof grant.server));
    WITHOUT(memset(grant.keys.client_auth, 0, RX_KEY_SIZE));
    WITHOUT(memset(grant.keys.server_auth, 0, RX_KEY_SIZE));
    WITHOUT(memset(grant.keys.mix, 0, RX_KEY_SIZE));
    WITHOUT(memcpy(grant.name, "a b", 4));
    WITHOUT(memcpy(grant.name, "a\nrevoked = no", 15));
    WITHOUT(memset(grant.name, 'n', sizeof grant.name));
    WITHOUT(memcpy(grant.command, "a\nb", 4));
    WITHOUT(memcpy(grant.command, " a", 3));
    WITHOUT(memcpy(grant.command, "a ", 3));
    WITHOUT(memcpy(grant.command, "a\xff", 3));
    WITHOUT(memset(grant.command, 'c', sizeof grant.command));
    WITHOUT(grant.user_count = 1);
    WITHOUT(grant.user_count = RX_GRANT_USERS + 1);
    WITHOUT(grant.user_count = 1; grant.users[0][0] = '*');
    WITHOUT(grant.user_count = 1; memcpy(grant.users[0], "a,b", 4));
    WITHOUT(grant.user_count = 1; memcpy(grant.users[0], "a b", 4));
    WITHOUT(grant.user_count = 1; memset(grant.users[0], 'u', sizeof grant.users[0]));
    WITHOUT(grant.user_count = 2; grant.users[0][0] = 'a');
    WITHOUT(grant.source_count = 1);
    WITHOUT(grant.source_count = RX_GRANT_SOURCES + 1);
    WITHOUT(grant.source_count = 1; grant.sources[0].family = RX_FAMILY_IPV4;
            grant.sources[0].bits = 33);
    WITHOUT(grant.source_count = 1; grant.sources[0].family = RX_FAMILY_IPV4;
            grant.sources[0].address[3] = 1);
    WITHOUT(grant.expires = -1);
    WITHOUT(grant.not_before = INT64_C(253402300800));
    WITHOUT(grant.not_before = 2; grant.expires = 2);
    WITHOUT(grant.max_commands = 65536);
#undef WITHOUT

    /* Each is allowed; all of them do not fit in a line. */
    grant = base;
    grant.user_count = RX_GRANT_USERS;
    for (size_t i = 0; i < RX_GRANT_USERS; i++)
        memset(grant.users[i], 'u', RX_USER_MAX);
    expect_not_printed(&grant);
    grant.user_count = 30;
    char text[RX_GRANT_TEXT_MAX];
    size_t n;
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
}

/* ---- at random -------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
    seed += 0x9e3779b97f4a7c15;
    uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % n;
}

static void random_word(char *out, size_t max, const char *alphabet)
{
    size_t n = 1 + random_below(max);
    size_t letters = strlen(alphabet);
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[random_below(letters)];
    out[n] = '\0';
}

static struct rx_source random_source(void)
{
    struct rx_source source = {.family = (enum rx_family)(1 + random_below(3))};
    if (source.family == RX_FAMILY_UNIX)
        return source;
    size_t bytes = source.family == RX_FAMILY_IPV4 ? 4 : 16;
    source.bits = (uint8_t)(random_below(4) > 0 ? random_below(8 * bytes + 1) : 8 * bytes);
    for (unsigned bit = 0; bit < source.bits; bit++) {
        if (random_below(3) == 0)
            source.address[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return source;
}

static struct rx_grant random_grant(void)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    struct rx_grant grant = {0};
    uint8_t *keys = (uint8_t *)&grant.keys;
    for (size_t i = 0; i < sizeof grant.keys; i++)
        keys[i] = (uint8_t)random_below(256);
    random_word(grant.server, RX_SERVER_NAME_MAX, word);
    if (random_below(2))
        random_word(grant.name, RX_PRINCIPAL_MAX, word);
    if (random_below(2))
        random_word(grant.command, RX_FORCED_COMMAND_MAX, "abc\"'#=\\$");
    grant.any_user = random_below(4) == 0;
    grant.user_count = grant.any_user ? 0 : (unsigned)random_below(RX_GRANT_USERS + 1);
    for (unsigned i = 0; i < grant.user_count; i++)
        random_word(grant.users[i], 30, word);
    grant.source_count = (unsigned)random_below(23);
    for (unsigned i = 0; i < grant.source_count; i++)
        grant.sources[i] = random_source();
    if (random_below(2))
        grant.not_before = (int64_t)(1 + random_below(100000000000));
    if (random_below(2))
        grant.expires = grant.not_before + (int64_t)(1 + random_below(100000000000));
    grant.revoked = random_below(2);
    grant.readable = random_below(2);
    grant.no_pty = random_below(2);
    grant.max_commands = (unsigned)random_below(65536);
    return grant;
}

static void test_random_grants(void **state)
{
    (void)state;
    seed = 1;
    for (unsigned i = 0; i < 5000; i++) {
        struct rx_grant grant = random_grant();
        struct rx_grant again;
        char text[RX_GRANT_TEXT_MAX];
        char second[RX_GRANT_TEXT_MAX];
        struct rx_file_error error;
        size_t n;
        size_t m;
        assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
        if (grant_read(text, n, &again, &error) != RX_OK)
            fail_msg("%u: line %u: %s: %s", i, error.line, error.what, text);
        if (!grant_same(&grant, &again))
            fail_msg("%u: %s", i, text);
        assert_int_equal(rx_grant_print(&again, second, sizeof second, &m), RX_OK);
        assert_string_equal(text, second);
    }
}

/* What is printed is read back, into a copy. */
static void test_print_wipes(void **state)
{
    (void)state;
    const struct rx_grant grant = grant_parsed(BASE);
    char text[RX_GRANT_TEXT_MAX];
    size_t n;
    for (size_t cap = 0; cap <= sizeof text; cap += sizeof text) {
        last_wiped = NULL;
        (void)rx_grant_print(&grant, text, cap, &n);
        assert_non_null(last_wiped);
        assert_ptr_not_equal(last_wiped, &grant);
        assert_int_equal(last_wiped_n, sizeof grant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),         cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_print_refused), cmocka_unit_test(test_random_grants),
        cmocka_unit_test(test_print_wipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
