/*
 * Keys and grants in constant time: no branch and no address depends on a key, on its hex digits,
 * on the decoy secret, or on what a grant says of its use. Public are the kids (a client sends its
 * own in the clear) and with them the place of a grant in the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/grants.h"
#include "auth/key.h"
#include "tests/unit/ct.h"

enum { COUNT = 20 };

static const int64_t now = 1800000000;

/* Of four kinds in turn: usable, revoked, expired, for another address. */
static struct rx_grant grant_number(unsigned i)
{
    struct rx_grant grant = {.server = "s", .source_count = 2};
    for (size_t at = 0; at < RX_KEY_SIZE; at++) {
        grant.keys.client_auth[at] = (uint8_t)(i + at);
        grant.keys.server_auth[at] = (uint8_t)(i * at);
        grant.keys.mix[at] = (uint8_t)(i ^ at);
    }
    grant.keys.kid[0] = (uint8_t)i;
    grant.revoked = i % 4 == 1;
    grant.expires = i % 4 == 2 ? now - 1 : now + 1000;
    grant.not_before = now - 1000;
    grant.sources[1].family = i % 4 == 3 ? RX_FAMILY_IPV6 : RX_FAMILY_UNIX;
    return grant;
}

static void make_secret(struct rx_grant *grant)
{
    ct_secret(grant->keys.client_auth, RX_KEY_SIZE);
    ct_secret(grant->keys.server_auth, RX_KEY_SIZE);
    ct_secret(grant->keys.mix, RX_KEY_SIZE);
    ct_secret(&grant->revoked, sizeof grant->revoked);
    ct_secret(&grant->expires, sizeof grant->expires);
    ct_secret(&grant->not_before, sizeof grant->not_before);
    ct_secret(&grant->source_count, sizeof grant->source_count);
    ct_secret(grant->sources, sizeof grant->sources);
}

static void test_look_up(void **state)
{
    (void)state;
    uint8_t decoy_secret[RX_KEY_SIZE] = {1, 2, 3};
    const struct rx_source here = {.family = RX_FAMILY_UNIX};
    struct rx_grants *grants = rx_grants_new();
    assert_non_null(grants);
    for (unsigned i = 0; i < COUNT; i++) {
        struct rx_grant grant = grant_number(i);
        make_secret(&grant);
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    }

    for (unsigned i = 0; i < 2 * COUNT; i++) { /* the second half is unknown */
        struct rx_grant expected = grant_number(i);
        struct rx_grant_keys keys;
        const struct rx_grant *found;
        bool usable = i < COUNT && i % 4 == 0;
        ct_secret(decoy_secret, sizeof decoy_secret);
        assert_int_equal(
            rx_grants_look_up(grants, decoy_secret, expected.keys.kid, now, &here, &keys, &found),
            RX_OK);
        /* Public for the test's sake alone. */
        ct_public(decoy_secret, sizeof decoy_secret);
        ct_public(&keys, sizeof keys);
        // NOLINTNEXTLINE(bugprone-sizeof-expression): the pointer itself
        ct_public(&found, sizeof found);
        assert_ptr_equal(found, usable ? rx_grants_at(grants, i) : NULL);
        if (!usable) {
            assert_int_equal(rx_decoy_keys_derive(decoy_secret, expected.keys.kid, &expected.keys),
                             RX_OK);
        }
        assert_memory_equal(&keys, &expected.keys, sizeof keys);
    }
    rx_grants_free(grants);
}

/* The digits of a psk; whether they are digits at all may be known. */
static void test_hex(void **state)
{
    (void)state;
    static const char *const digits[] = {
        "0123456789abcdefABCDEF0123456789abcdef0123456789ABCDEF0123456789",
        "0123456789abcdefABCDEF0123456789abcdeg0123456789ABCDEF0123456789",
    };
    for (size_t i = 0; i < 2; i++) {
        char text[65];
        uint8_t psk[RX_KEY_SIZE];
        memcpy(text, digits[i], sizeof text);
        struct rx_field field = {.value = text, .value_len = 64};
        ct_secret(text, 64);
        bool valid = rx_field_hex(&field, psk, sizeof psk);
        ct_public(&valid, sizeof valid);
        assert_int_equal(valid, i == 0);
        ct_public(psk, sizeof psk);
        assert_int_equal(psk[0], i == 0 ? 0x01 : 0);
        assert_int_equal(psk[31], i == 0 ? 0x89 : 0);
    }
}

static void test_print_hex(void **state)
{
    (void)state;
    uint8_t psk[RX_KEY_SIZE] = {0x01, 0xff, 0xa0};
    char out[80];
    char expected[80] = "01ffa0";
    memset(expected + 6, '0', 58);
    struct rx_text text = {.out = out, .cap = sizeof out};
    ct_secret(psk, sizeof psk);
    rx_text_hex(&text, psk, sizeof psk);
    assert_int_equal(text.failed, RX_OK);
    assert_int_equal(text.n, 64);
    ct_public(out, sizeof out);
    assert_memory_equal(out, expected, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_look_up),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_print_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
