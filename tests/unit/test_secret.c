/* auth/secret.c: server names, and what is derived from a key for one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/secret.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"
#include "tests/unit/hex.h"

enum { MAX = RX_SERVER_NAME_MAX };

/* ---- server names ----------------------------------------------------------------------- */

static bool folds(const char *name, size_t n, char out[static MAX + 1])
{
    enum rx_error error = rx_server_name_fold((const char *)guard_copy(name, n), n, out);
    assert_true(error == RX_OK || error == RX_E_BAD_NAME);
    return error == RX_OK;
}

/* Every byte value, at the beginning, in the middle and at the end. */
static void test_every_byte(void **state)
{
    (void)state;
    unsigned accepted = 0;
    unsigned refused = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 3; at++) {
            char name[3] = {'x', 'y', 'z'};
            char out[MAX + 1];
            name[at] = (char)(unsigned char)byte;
            bool good = byte >= 0x21 && byte <= 0x7e;
            assert_int_equal(folds(name, sizeof name, out), good);
            if (!good) {
                refused++;
                continue;
            }
            accepted++;
            bool upper = byte >= 'A' && byte <= 'Z';
            name[at] = (char)(unsigned char)(upper ? byte + 0x20 : byte);
            assert_memory_equal(out, name, sizeof name);
            assert_int_equal(out[3], '\0');
        }
    }
    print_message("%u accepted, %u refused\n", accepted, refused);
}

static void test_name_lengths(void **state)
{
    (void)state;
    char name[MAX + 100];
    char out[MAX + 1];
    memset(name, 'A', sizeof name);
    for (size_t n = 0; n <= sizeof name; n++) {
        assert_int_equal(folds(name, n, out), n >= 1 && n <= MAX);
        if (n >= 1 && n <= MAX) {
            assert_int_equal(strlen(out), n);
            assert_int_equal(strspn(out, "a"), n);
        }
    }
    assert_false(folds(name, 0, out));
    assert_int_equal(rx_server_name_fold(name, SIZE_MAX, out), RX_E_BAD_NAME);
}

static void test_fold(void **state)
{
    (void)state;
    char out[MAX + 1];
    assert_true(folds("LAB-7.Example.ORG:7512", 22, out));
    assert_string_equal(out, "lab-7.example.org:7512");
    assert_true(folds("@AZ[`az{", 8, out));
    assert_string_equal(out, "@az[`az{");
}

/* ---- grants ----------------------------------------------------------------------------- */

static void expect_keys(const struct rx_grant_keys *a, const struct rx_grant_keys *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

static struct rx_grant_keys derived(const uint8_t psk[static RX_KEY_SIZE], const char *name)
{
    struct rx_grant_keys keys;
    memset(&keys, 0xa5, sizeof keys);
    assert_int_equal(rx_grant_keys_derive(psk, name, &keys), RX_OK);
    return keys;
}

static void expect_hex(const uint8_t *bytes, size_t n, const char *hex)
{
    uint8_t right[64];
    assert_int_equal(hex_bytes(hex, right, sizeof right), n);
    assert_memory_equal(bytes, right, n);
}

/* psk 00 01 .. 1f; computed by Python's hmac. */
static void test_known_answer(void **state)
{
    (void)state;
    uint8_t psk[RX_KEY_SIZE];
    for (size_t i = 0; i < sizeof psk; i++)
        psk[i] = (uint8_t)i;
    struct rx_grant_keys keys = derived(psk, "Lab01.Example.org");
    expect_hex(keys.kid, sizeof keys.kid, "bb96389f0db77f63f5dab61aff362e34");
    expect_hex(keys.client_auth, 32,
               "cd8fe8c3365c96d418c47d1243e6ddb6ded9a2e1035d3f0ed47993ff969da338");
    expect_hex(keys.server_auth, 32,
               "f92f8b49d98716d228713c5a5f154ac19dc4c08116f50d1368e05d6d714a90a3");
    expect_hex(keys.mix, 32, "36dcca120a6a2ecd72374fa44b78ce046fcb6891248221dbeb72aae3a1cb870d");
    assert_int_equal(rx_decoy_keys_derive(psk, keys.kid, &keys), RX_OK);
    expect_hex(keys.client_auth, 32,
               "21f88a59d2a3443104b19b10f14ef222776287d1b657a7fdeccdd652979a2a30");
    expect_hex(keys.server_auth, 32,
               "b379ff313eb047c2cf7281530fd1c295984cb23085501f45ce7c0edeb7125ee9");
    expect_hex(keys.mix, 32, "1cdc1324816de7f504f677da936388c1a1e8bea98355d7cc20d7668be0e34b94");
}

static void test_step_by_step(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (size_t n = 1; n <= MAX; n++) {
        uint8_t psk[RX_KEY_SIZE];
        char name[MAX + 1];
        dice_fill(&d, psk, sizeof psk);
        for (size_t i = 0; i < n; i++)
            name[i] = (char)('!' + dice_below(&d, '~' - '!' + 1));
        name[n] = '\0';
        struct rx_grant_keys keys = derived(psk, name);
        struct rx_grant_keys right;
        for (size_t i = 0; i < n; i++) {
            if (name[i] >= 'A' && name[i] <= 'Z')
                name[i] = (char)(name[i] - 'A' + 'a');
        }
        hand_grant(psk, name, &right);
        expect_keys(&keys, &right);
        /* The folded name gives the same. */
        keys = derived(psk, name);
        expect_keys(&keys, &right);
    }
}

static void test_bad_names_give_nothing(void **state)
{
    (void)state;
    static const uint8_t psk[RX_KEY_SIZE] = {1};
    char long_name[MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *const names[] = {"", " ", "a b", "a\n", "\x7f", "caf\xc3\xa9", long_name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct rx_grant_keys keys;
        memset(&keys, 0xa5, sizeof keys);
        assert_int_equal(rx_grant_keys_derive(psk, names[i], &keys), RX_E_BAD_NAME);
        assert_true(sodium_is_zero((const uint8_t *)&keys, sizeof keys));
    }
}

/* ---- nothing in common ------------------------------------------------------------------ */

/* Bits that differ between n bytes. */
static unsigned distance(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += (unsigned)__builtin_popcount((unsigned)(a[i] ^ b[i]));
    return bits;
}

/*
 * Unrelated values of 128 bits differ in 64 of them, give or take 5.7: 24 is seven times that away,
 * and values that share a half are below it.
 */
static void expect_unrelated(const uint8_t *a, const uint8_t *b)
{
    for (size_t half = 0; half < 32; half += 16)
        assert_true(distance(a + half, b + half, 16) > 24);
}

static void expect_unrelated_keys(const struct rx_grant_keys *a, const struct rx_grant_keys *b)
{
    const uint8_t *const of_a[] = {a->client_auth, a->server_auth, a->mix};
    const uint8_t *const of_b[] = {b->client_auth, b->server_auth, b->mix};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++)
            expect_unrelated(of_a[i], of_b[k]);
    }
    assert_true(distance(a->kid, b->kid, sizeof a->kid) > 24);
}

/* What one server holds is of no use at another: the smallest change of name changes all. */
static void test_another_name(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    const char *const names[] = {"lab01", "lab02", "lab0",       "lab011", "lab01.", ".lab01",
                                 "1lab0", "mab01", "lab01:7512", "l",      "b01",    "srv"};
    enum { NAMES = sizeof names / sizeof names[0] };
    uint8_t psk[RX_KEY_SIZE];
    dice_fill(&d, psk, sizeof psk);
    struct rx_grant_keys keys[NAMES];
    for (size_t i = 0; i < NAMES; i++)
        keys[i] = derived(psk, names[i]);
    for (size_t i = 0; i < NAMES; i++) {
        for (size_t k = 0; k < i; k++)
            expect_unrelated_keys(&keys[i], &keys[k]);
    }
    for (size_t i = 0; i < NAMES; i++) {
        expect_unrelated(keys[i].client_auth, keys[i].server_auth);
        expect_unrelated(keys[i].client_auth, keys[i].mix);
        expect_unrelated(keys[i].server_auth, keys[i].mix);
        expect_unrelated(keys[i].client_auth, psk);
    }
}

/* Each bit of the psk counts. */
static void test_another_key(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    uint8_t psk[RX_KEY_SIZE];
    dice_fill(&d, psk, sizeof psk);
    struct rx_grant_keys keys = derived(psk, "lab01");
    for (size_t bit = 0; bit < 8 * sizeof psk; bit++) {
        psk[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct rx_grant_keys other = derived(psk, "lab01");
        expect_unrelated_keys(&keys, &other);
        psk[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void test_decoys(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    uint8_t secret[RX_KEY_SIZE];
    uint8_t kid[RX_KID_SIZE];
    dice_fill(&d, secret, sizeof secret);
    dice_fill(&d, kid, sizeof kid);
    struct rx_grant_keys keys;
    struct rx_grant_keys again;
    struct rx_grant_keys right;
    assert_int_equal(rx_decoy_keys_derive(secret, kid, &keys), RX_OK);
    hand_decoy(secret, kid, &right);
    expect_keys(&keys, &right);
    /* The same client gets the same decoy each time, or asking twice would tell. */
    assert_int_equal(rx_decoy_keys_derive(secret, kid, &again), RX_OK);
    expect_keys(&keys, &again);
    assert_memory_equal(keys.kid, kid, sizeof kid);
    for (size_t bit = 0; bit < 8 * sizeof kid; bit++) {
        uint8_t other[RX_KID_SIZE];
        memcpy(other, kid, sizeof other);
        other[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(rx_decoy_keys_derive(secret, other, &again), RX_OK);
        expect_unrelated(again.client_auth, keys.client_auth);
        expect_unrelated(again.server_auth, keys.server_auth);
        expect_unrelated(again.mix, keys.mix);
    }
    for (size_t bit = 0; bit < 8 * sizeof secret; bit++) {
        uint8_t other[RX_KEY_SIZE];
        memcpy(other, secret, sizeof other);
        other[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(rx_decoy_keys_derive(other, kid, &again), RX_OK);
        expect_unrelated(again.server_auth, keys.server_auth);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),   cmocka_unit_test(test_name_lengths),
        cmocka_unit_test(test_fold),         cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_step_by_step), cmocka_unit_test(test_bad_names_give_nothing),
        cmocka_unit_test(test_another_name), cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_decoys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
