/* auth/schedule.c: a session's keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/schedule.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/unit/hex.h"

enum { FIELDS = 4 };

static const enum rx_suite suites[] = {RX_SUITE_AES256GCM, RX_SUITE_CHACHA20POLY1305,
                                       RX_SUITE_HMAC_SHA256};

static struct rx_session_keys derive(enum rx_suite suite, const uint8_t *mix, const uint8_t *shared,
                                     const uint8_t *transcript)
{
    struct rx_session_keys keys;
    memset(&keys, 0xa5, sizeof keys);
    assert_int_equal(rx_session_keys_derive(RX_VERSION, suite, mix, shared, transcript, &keys),
                     RX_OK);
    assert_int_equal(keys.version, RX_VERSION);
    assert_int_equal(keys.suite, suite);
    return keys;
}

/* The four derived values, and how long they are. */
static void fields_of(const struct rx_session_keys *keys, const uint8_t *fields[static FIELDS],
                      size_t sizes[static FIELDS])
{
    fields[0] = keys->c2s;
    sizes[0] = sizeof keys->c2s;
    fields[1] = keys->s2c;
    sizes[1] = sizeof keys->s2c;
    fields[2] = keys->request;
    sizes[2] = sizeof keys->request;
    fields[3] = keys->id;
    sizes[3] = sizeof keys->id;
}

static void expect_same(const struct rx_session_keys *a, const struct rx_session_keys *b)
{
    const uint8_t *of_a[FIELDS];
    const uint8_t *of_b[FIELDS];
    size_t sizes[FIELDS];
    fields_of(a, of_a, sizes);
    fields_of(b, of_b, sizes);
    for (size_t i = 0; i < FIELDS; i++)
        assert_memory_equal(of_a[i], of_b[i], sizes[i]);
}

/* Not a single 8 bytes in common, at the same place or elsewhere. */
static void expect_unrelated(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    for (size_t i = 0; i + 8 <= a_len; i++)
        assert_null(memmem(b, b_len, a + i, 8));
}

static void expect_different(const struct rx_session_keys *a, const struct rx_session_keys *b)
{
    const uint8_t *of_a[FIELDS];
    const uint8_t *of_b[FIELDS];
    size_t sizes[FIELDS];
    fields_of(a, of_a, sizes);
    fields_of(b, of_b, sizes);
    for (size_t i = 0; i < FIELDS; i++) {
        for (size_t k = 0; k < FIELDS; k++)
            expect_unrelated(of_a[i], sizes[i], of_b[k], sizes[k]);
    }
}

/* ---- known answers ---------------------------------------------------------------------- */

static void expect_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    uint8_t right[64];
    assert_int_equal(hex_bytes(hex, right, sizeof right), n);
    assert_memory_equal(bytes, right, n);
}

/* mix 00 .. 1f, shared 20 .. 3f, transcript 40 .. 5f; computed by Python's hmac. */
static void test_known_answers(void **state)
{
    (void)state;
    uint8_t bytes[96];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    struct rx_session_keys k = derive(RX_SUITE_AES256GCM, bytes, bytes + 32, bytes + 64);
    expect_hex(k.c2s, 32, "e6da6beacb7bd625231591b33be026c1d19a434571904bae54707686a8957498");
    expect_hex(k.s2c, 32, "9426e2b7c59f873d2af0380144daa281b09974ebd84a071553dcc7e473eb6a79");
    expect_hex(k.request, 32, "19ef3f6783e090250ba1ceccef9f59aa18c1a62a0a5de272bb13565f53d82393");
    expect_hex(k.id, 16, "5112915dbef7a775fbceacabe8cebebe");
    k = derive(RX_SUITE_HMAC_SHA256, bytes, NULL, bytes + 64);
    expect_hex(k.c2s, 32, "9efc744f9ded3e93654cd3840cd911ccc18ce41d77bfb125d940a47d6ba56f64");
    expect_hex(k.s2c, 32, "b951413a4368cac8083df24db6c7d040656b4f73627f37f13bae9181b72f461a");
    expect_hex(k.request, 32, "3ba41cbd7cf43fec59c5a1dce6f8942344739e1fd7464cc5c686b7ce40607be7");
    expect_hex(k.id, 16, "f3919b7f13447871328a28af94dca88e");
}

static void test_step_by_step(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (unsigned round = 0; round < 300; round++) {
        uint8_t mix[32];
        uint8_t shared[32];
        uint8_t m1[RX_M1_SIZE];
        uint8_t m2[RX_M2_SIZE];
        uint8_t m3[RX_M3_SIZE];
        uint8_t th[32];
        dice_fill(&d, mix, sizeof mix);
        dice_fill(&d, shared, sizeof shared);
        dice_fill(&d, m1, sizeof m1);
        dice_fill(&d, m2, sizeof m2);
        dice_fill(&d, m3, sizeof m3);
        struct hand seen = {.n = 0};
        hand_put(&seen, m1, sizeof m1);
        hand_put(&seen, m2, sizeof m2);
        hand_put(&seen, m3, sizeof m3);
        hand_sha256(&seen, th);
        enum rx_suite suite = suites[round % 3];
        const uint8_t *dh = suite == RX_SUITE_HMAC_SHA256 ? NULL : shared;
        struct rx_session_keys keys = derive(suite, mix, dh, th);
        struct rx_session_keys right;
        hand_session(mix, dh, m1, m2, m3, &right);
        expect_same(&keys, &right);
        expect_unrelated(keys.c2s, 32, keys.s2c, 32);
        expect_unrelated(keys.c2s, 32, keys.request, 32);
        expect_unrelated(keys.s2c, 32, keys.request, 32);
        expect_unrelated(keys.id, 16, keys.c2s, 32);
        expect_unrelated(keys.id, 16, keys.s2c, 32);
        expect_unrelated(keys.id, 16, keys.request, 32);
    }
}

/* ---- every bit counts ------------------------------------------------------------------- */

static void test_every_bit(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    uint8_t in[96];
    dice_fill(&d, in, sizeof in);
    struct rx_session_keys keys = derive(RX_SUITE_AES256GCM, in, in + 32, in + 64);
    for (size_t bit = 0; bit < 8 * sizeof in; bit++) {
        in[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct rx_session_keys other = derive(RX_SUITE_AES256GCM, in, in + 32, in + 64);
        expect_different(&keys, &other);
        in[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    print_message("%zu bits\n", 8 * sizeof in);
}

/* No key exchange is not the same as one that gave zeros. */
static void test_no_shared_secret(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    static const uint8_t mix[32] = {1};
    static const uint8_t th[32] = {2};
    struct rx_session_keys without = derive(RX_SUITE_HMAC_SHA256, mix, NULL, th);
    struct rx_session_keys with = derive(RX_SUITE_AES256GCM, mix, zeros, th);
    expect_different(&without, &with);
}

static void test_wipe(void **state)
{
    (void)state;
    struct rx_session_keys keys;
    memset(&keys, 0xa5, sizeof keys);
    rx_session_keys_wipe(&keys);
    assert_true(sodium_is_zero((const uint8_t *)&keys, sizeof keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_step_by_step),
        cmocka_unit_test(test_every_bit),     cmocka_unit_test(test_no_shared_secret),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
