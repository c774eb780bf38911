/* auth/grants.c: the table of grants, and the look-up that does not tell who is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <sodium.h>

#include "auth/grants.h"
#include "tests/unit/grant_same.h"

enum { MANY = 1000, WIPES = 64 };

static const int64_t now = 1800000000;
static const uint8_t decoy_secret[RX_KEY_SIZE] = {1, 2, 3};
static const struct rx_source nowhere = {.family = RX_FAMILY_UNIX};

/* ---- what libsodium is asked for -------------------------------------------------------- */

static struct {
    const void *bytes;
    size_t n;
} wipes[WIPES];
static size_t wipe_count;
static bool crypto_fails;

/* Stands before libsodium's, and notes what was wiped. */
void sodium_memzero(void *bytes, size_t n)
{
    if (wipe_count < WIPES) {
        wipes[wipe_count].bytes = bytes;
        wipes[wipe_count].n = n;
        wipe_count++;
    }
    explicit_bzero(bytes, n);
}

/* Stands before libsodium's, which never fails. */
int crypto_auth_hmacsha256_init(crypto_auth_hmacsha256_state *state, const unsigned char *key,
                                size_t n)
{
    if (crypto_fails)
        return -1;
    int (*real)(crypto_auth_hmacsha256_state *, const unsigned char *, size_t);
    void *symbol = dlsym(RTLD_NEXT, "crypto_auth_hmacsha256_init");
    assert_non_null(symbol);
    memcpy(&real, &symbol, sizeof real);
    return real(state, key, n);
}

static bool wiped(const void *bytes, size_t n)
{
    for (size_t i = 0; i < wipe_count; i++) {
        if (wipes[i].bytes == bytes && wipes[i].n >= n)
            return true;
    }
    return false;
}

static bool wiped_some(size_t n)
{
    for (size_t i = 0; i < wipe_count; i++) {
        if (wipes[i].n == n)
            return true;
    }
    return false;
}

/* ---- tables ----------------------------------------------------------------------------- */

static struct rx_grant grant_number(unsigned i)
{
    struct rx_grant grant = {.server = "build.example"};
    uint8_t *bytes = (uint8_t *)&grant.keys;
    for (size_t at = 0; at < sizeof grant.keys; at++)
        bytes[at] = (uint8_t)(at + 1);
    for (size_t at = 0; at < sizeof i; at++) {
        grant.keys.kid[12 + at] = (uint8_t)(i >> 8 * at);
        grant.keys.client_auth[at] = (uint8_t)(i >> 8 * at);
    }
    return grant;
}

static struct rx_grants *table_of(unsigned count)
{
    struct rx_grants *grants = rx_grants_new();
    assert_non_null(grants);
    for (unsigned i = 0; i < count; i++) {
        struct rx_grant grant = grant_number(i);
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    }
    return grants;
}

static const struct rx_grant *look_up(const struct rx_grants *grants, const uint8_t *kid,
                                      struct rx_grant_keys *keys)
{
    static const struct rx_grant untouched;
    const struct rx_grant *found = &untouched;
    memset(keys, 0xa5, sizeof *keys);
    assert_int_equal(rx_grants_look_up(grants, decoy_secret, kid, now, &nowhere, keys, &found),
                     RX_OK);
    assert_ptr_not_equal(found, &untouched);
    assert_memory_equal(keys->kid, kid, RX_KID_SIZE);
    return found;
}

static void expect_decoy(const struct rx_grants *grants, const uint8_t *kid)
{
    struct rx_grant_keys keys;
    struct rx_grant_keys decoy;
    assert_null(look_up(grants, kid, &keys));
    assert_int_equal(rx_decoy_keys_derive(decoy_secret, kid, &decoy), RX_OK);
    assert_memory_equal(&keys, &decoy, sizeof keys);
}

static void expect_found(const struct rx_grants *grants, const struct rx_grant *grant)
{
    struct rx_grant_keys keys;
    const struct rx_grant *found = look_up(grants, grant->keys.kid, &keys);
    assert_non_null(found);
    assert_memory_equal(&keys, &grant->keys, sizeof keys);
    assert_memory_equal(&found->keys, &grant->keys, sizeof keys);
}

static void test_table(void **state)
{
    (void)state;
    struct rx_grants *grants = rx_grants_new();
    assert_non_null(grants);
    assert_int_equal(rx_grants_count(grants), 0);
    assert_null(rx_grants_at(grants, 0));
    for (unsigned i = 0; i < 100; i++) {
        struct rx_grant grant = grant_number(i);
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
        assert_int_equal(rx_grants_count(grants), i + 1);
        for (unsigned j = 0; j <= i; j++) {
            grant = grant_number(j);
            assert_true(grant_same(rx_grants_at(grants, j), &grant));
        }
        assert_null(rx_grants_at(grants, i + 1));
        assert_null(rx_grants_at(grants, SIZE_MAX));
    }
    rx_grants_free(grants);
    rx_grants_free(NULL);
}

static void test_same_kid_twice(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(20);
    for (unsigned i = 0; i < 20; i++) {
        struct rx_grant grant = grant_number(i);
        struct rx_grant first = grant;
        grant.keys.client_auth[31] ^= 1;
        assert_int_equal(rx_grants_add(grants, &grant), RX_E_BAD_FILE);
        assert_int_equal(rx_grants_count(grants), 20);
        expect_found(grants, &first);
    }
    rx_grants_free(grants);
}

/* Whichever comes first: a copy that is revoked revokes the kid, and one that is not does not undo
 * that. */
static void test_same_kid_revoked(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        struct rx_grants *grants = table_of(3);
        struct rx_grant grant = grant_number(3);
        struct rx_grant_keys keys;
        grant.revoked = order == 0;
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
        assert_int_equal(look_up(grants, grant.keys.kid, &keys) == NULL, grant.revoked);
        grant.revoked = !grant.revoked;
        assert_int_equal(rx_grants_add(grants, &grant), RX_E_BAD_FILE);
        assert_null(look_up(grants, grant.keys.kid, &keys));
        for (unsigned i = 0; i < 3; i++) {
            struct rx_grant other = grant_number(i);
            expect_found(grants, &other);
        }
        rx_grants_free(grants);
    }
}

/* ---- the look-up ------------------------------------------------------------------------ */

static void test_known_and_unknown(void **state)
{
    (void)state;
    static const unsigned counts[] = {0, 1, 2, 8, 9, MANY};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct rx_grants *grants = table_of(counts[c]);
        for (unsigned i = 0; i < counts[c]; i++) {
            struct rx_grant grant = grant_number(i);
            struct rx_grant_keys keys;
            expect_found(grants, &grant);
            assert_ptr_equal(look_up(grants, grant.keys.kid, &keys), rx_grants_at(grants, i));
        }
        for (unsigned i = counts[c]; i < counts[c] + 100; i++) {
            struct rx_grant grant = grant_number(i);
            expect_decoy(grants, grant.keys.kid);
        }
        rx_grants_free(grants);
    }
}

/* A kid that differs in any one bit, or in all, is another. */
static void test_nearly_known(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(1);
    struct rx_grant grant = grant_number(0);
    for (unsigned bit = 0; bit < 8 * RX_KID_SIZE; bit++) {
        grant.keys.kid[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_decoy(grants, grant.keys.kid);
        grant.keys.kid[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t i = 0; i < RX_KID_SIZE; i++)
        grant.keys.kid[i] ^= 0xff;
    expect_decoy(grants, grant.keys.kid);
    for (size_t i = 0; i < RX_KID_SIZE; i += 8) /* the two halves must not cancel each other out */
        memset(grant.keys.kid + i, 0x55, 8);
    expect_decoy(grants, grant.keys.kid);
    expect_decoy(grants, (const uint8_t[RX_KID_SIZE]){0});
    rx_grants_free(grants);
}

static void expect_only_others(struct rx_grant grant)
{
    struct rx_grants *grants = table_of(3);
    grant.keys.kid[0] = 0xee;
    assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    expect_decoy(grants, grant.keys.kid);
    for (unsigned i = 0; i < 3; i++) {
        struct rx_grant other = grant_number(i);
        expect_found(grants, &other);
    }
    rx_grants_free(grants);
}

static void test_unusable(void **state)
{
    (void)state;
    struct rx_grant grant = grant_number(7);
    grant.revoked = true;
    expect_only_others(grant);
    grant = grant_number(7);
    grant.expires = now;
    expect_only_others(grant);
    grant = grant_number(7);
    grant.not_before = now + 1;
    expect_only_others(grant);
    grant = grant_number(7);
    grant.source_count = 1;
    grant.sources[0] = (struct rx_source){.family = RX_FAMILY_IPV4};
    expect_only_others(grant);
}

/* A grant that may not be used takes nobody else's place, and nobody takes its place. */
static void test_all_unusable(void **state)
{
    (void)state;
    struct rx_grants *grants = rx_grants_new();
    assert_non_null(grants);
    for (unsigned i = 0; i < 10; i++) {
        struct rx_grant grant = grant_number(i);
        grant.revoked = true;
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct rx_grant grant = grant_number(i);
        expect_decoy(grants, grant.keys.kid);
    }
    rx_grants_free(grants);
}

/* Decoys are the same each time, and for another kid or another server they are others. */
static void test_decoys(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(5);
    static struct rx_grant_keys keys[100];
    for (unsigned i = 0; i < 100; i++) {
        struct rx_grant grant = grant_number(1000 + i);
        struct rx_grant_keys again;
        assert_null(look_up(grants, grant.keys.kid, &keys[i]));
        assert_null(look_up(grants, grant.keys.kid, &again));
        assert_memory_equal(&keys[i], &again, sizeof again);
        for (unsigned j = 0; j < i; j++) {
            assert_memory_not_equal(keys[i].client_auth, keys[j].client_auth, RX_KEY_SIZE);
            assert_memory_not_equal(keys[i].server_auth, keys[j].server_auth, RX_KEY_SIZE);
            assert_memory_not_equal(keys[i].mix, keys[j].mix, RX_KEY_SIZE);
        }
        const uint8_t other_secret[RX_KEY_SIZE] = {1, 2, 4};
        const struct rx_grant *found;
        assert_int_equal(
            rx_grants_look_up(grants, other_secret, grant.keys.kid, now, &nowhere, &again, &found),
            RX_OK);
        assert_null(found);
        assert_memory_not_equal(keys[i].client_auth, again.client_auth, RX_KEY_SIZE);
    }
    rx_grants_free(grants);
}

/* An error is never a success: no keys, and no grant. */
static void test_crypto_fails(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(3);
    for (unsigned i = 0; i < 6; i++) {
        static const struct rx_grant_keys zero;
        struct rx_grant grant = grant_number(i);
        struct rx_grant_keys keys;
        const struct rx_grant *found = &grant;
        memset(&keys, 0xa5, sizeof keys);
        crypto_fails = true;
        enum rx_error error =
            rx_grants_look_up(grants, decoy_secret, grant.keys.kid, now, &nowhere, &keys, &found);
        crypto_fails = false;
        assert_int_equal(error, RX_E_CRYPTO_FAILED);
        assert_null(found);
        assert_memory_equal(&keys, &zero, sizeof keys);
    }
    rx_grants_free(grants);
}

/* ---- what is left behind ---------------------------------------------------------------- */

static void test_growth_wipes(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(1);
    const struct rx_grant *before = rx_grants_at(grants, 0);
    wipe_count = 0;
    unsigned count = 1;
    for (; rx_grants_at(grants, 0) == before; count++) {
        assert_int_equal(wipe_count, 0);
        struct rx_grant grant = grant_number(count);
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    }
    size_t held = count - 1; /* the last one made it grow */
    assert_true(wiped(before, held * sizeof *before));
    assert_true(wiped_some(held * RX_KID_SIZE));
    rx_grants_free(grants);
}

static void test_free_wipes(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(8);
    const struct rx_grant *before = rx_grants_at(grants, 0);
    wipe_count = 0;
    rx_grants_free(grants);
    assert_true(wiped(before, 8 * sizeof *before));
    assert_true(wiped_some((size_t)8 * RX_KID_SIZE));
}

static void test_look_up_wipes(void **state)
{
    (void)state;
    struct rx_grants *grants = table_of(1);
    struct rx_grant grant = grant_number(0);
    wipe_count = 0;
    expect_found(grants, &grant);
    assert_true(wiped_some(sizeof(struct rx_grant_keys))); /* its decoy */
    rx_grants_free(grants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_same_kid_twice),
        cmocka_unit_test(test_same_kid_revoked),
        cmocka_unit_test(test_known_and_unknown),
        cmocka_unit_test(test_nearly_known),
        cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_all_unusable),
        cmocka_unit_test(test_decoys),
        cmocka_unit_test(test_crypto_fails),
        cmocka_unit_test(test_growth_wipes),
        cmocka_unit_test(test_free_wipes),
        cmocka_unit_test(test_look_up_wipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
