/* auth/ephemeral.c: X25519, and the pool of key pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/ephemeral.h"
#include "tests/duel/session.h"
#include "tests/unit/hex.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

/* ---- X25519 ----------------------------------------------------------------------------- */

static void from_hex(uint8_t out[static 32], const char *hex)
{
    assert_int_equal(hex_bytes(hex, out, 32), 32);
}

/* RFC 7748, 5.2. */
static void test_rfc7748(void **state)
{
    (void)state;
    static const char *const vectors[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct rx_key_pair pair = {{0}, {0}};
        uint8_t other[32];
        uint8_t right[32];
        uint8_t shared[32];
        from_hex(pair.secret, vectors[i][0]);
        from_hex(other, vectors[i][1]);
        from_hex(right, vectors[i][2]);
        assert_int_equal(rx_key_pair_agree(&pair, other, shared), RX_OK);
        assert_memory_equal(shared, right, 32);
    }
}

/* RFC 7748, 5.2: each result is the next scalar, and the scalar the next point. */
static void test_rfc7748_iterated(void **state)
{
    (void)state;
    struct rx_key_pair pair = {{9}, {0}};
    uint8_t point[32] = {9};
    uint8_t shared[32];
    uint8_t right[32];
    for (unsigned i = 1; i <= 1000; i++) {
        assert_int_equal(rx_key_pair_agree(&pair, point, shared), RX_OK);
        memcpy(point, pair.secret, 32);
        memcpy(pair.secret, shared, 32);
        if (i == 1) {
            from_hex(right, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
            assert_memory_equal(shared, right, 32);
        }
    }
    from_hex(right, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    assert_memory_equal(shared, right, 32);
}

/* RFC 7748, 6.1. */
static void test_rfc7748_agreement(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"};
    static const char *const publics[] = {
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"};
    struct rx_key_pair pairs[2];
    uint8_t random[32];
    uint8_t right[32];
    uint8_t shared[32];
    for (size_t i = 0; i < 2; i++) {
        from_hex(random, secrets[i]);
        from_hex(right, publics[i]);
        assert_int_equal(rx_key_pair_make(random, &pairs[i]), RX_OK);
        assert_memory_equal(pairs[i].secret, random, 32);
        assert_memory_equal(pairs[i].public, right, 32);
    }
    from_hex(right, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rx_key_pair_agree(&pairs[i], pairs[1 - i].public, shared), RX_OK);
        assert_memory_equal(shared, right, 32);
    }
}

static struct rx_key_pair new_pair(struct dice *d)
{
    uint8_t random[32];
    struct rx_key_pair pair;
    dice_fill(d, random, sizeof random);
    assert_int_equal(rx_key_pair_make(random, &pair), RX_OK);
    return pair;
}

/*
 * Every u below 2^255 that is 0, 1, -1 or of order 8 on the curve or its twist, in every encoding:
 * canonical, plus p, and with the bit set that is not looked at.
 */
static void test_small_order(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000", /* 0 */
        "0100000000000000000000000000000000000000000000000000000000000000", /* 1 */
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", /* order 8 */
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", /* order 8 */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
    };
    struct dice d = {.state = 1};
    unsigned refused = 0;
    for (size_t i = 0; i < 2 * sizeof points / sizeof points[0]; i++) {
        uint8_t point[32];
        from_hex(point, points[i / 2]);
        point[31] |= (uint8_t)(i % 2 << 7);
        for (unsigned round = 0; round < 20; round++) {
            struct rx_key_pair pair = new_pair(&d);
            uint8_t shared[32];
            memset(shared, 0xa5, sizeof shared);
            assert_int_equal(rx_key_pair_agree(&pair, point, shared), RX_E_LOW_ORDER);
            assert_true(sodium_is_zero(shared, sizeof shared));
            refused++;
        }
    }
    print_message("%zu encodings, %u times refused\n", 2 * sizeof points / sizeof points[0],
                  refused);
}

/* p + 2 to p + 18 are other names of 2 to 18: RFC 7748, section 5, demands that they are taken. */
static void test_not_canonical(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    struct rx_key_pair pair = new_pair(&d);
    for (unsigned k = 2; k <= 18; k++) {
        uint8_t plain[32] = {(uint8_t)k};
        uint8_t other[32];
        uint8_t of_plain[32];
        uint8_t of_other[32];
        memset(other, 0xff, sizeof other);
        other[0] = (uint8_t)(0xed + k);
        other[31] = 0x7f;
        assert_int_equal(rx_key_pair_agree(&pair, plain, of_plain), RX_OK);
        assert_int_equal(rx_key_pair_agree(&pair, other, of_other), RX_OK);
        assert_memory_equal(of_plain, of_other, 32);
    }
}

static void test_pairs_agree(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    for (unsigned i = 0; i < 500; i++) {
        struct rx_key_pair a = new_pair(&d);
        struct rx_key_pair b = new_pair(&d);
        uint8_t of_a[32];
        uint8_t of_b[32];
        assert_int_equal(rx_key_pair_agree(&a, b.public, of_a), RX_OK);
        assert_int_equal(rx_key_pair_agree(&b, a.public, of_b), RX_OK);
        assert_memory_equal(of_a, of_b, 32);
        rx_key_pair_wipe(&a);
        assert_true(sodium_is_zero((const uint8_t *)&a, sizeof a));
    }
}

/* ---- the pool --------------------------------------------------------------------------- */

enum { CAPACITY = 100 }; /* more than a page of pairs */

static struct rx_pool *new_pool(size_t capacity)
{
    struct rx_pool *pool = rx_pool_new(capacity);
    assert_non_null(pool);
    assert_int_equal(rx_pool_capacity(pool), capacity);
    assert_int_equal(rx_pool_count(pool), 0);
    return pool;
}

/* Puts a pair in; what to look for is remembered, the random bytes are not. */
static struct leftover add(struct rx_pool *pool, struct dice *d)
{
    uint8_t random[32];
    dice_fill(d, random, sizeof random);
    struct leftover l = leftover_of(random);
    assert_int_equal(rx_pool_add(pool, random), RX_OK);
    sodium_memzero(random, sizeof random);
    return l;
}

static size_t which_of(uint8_t (*random)[32], const uint8_t *secret)
{
    for (size_t i = 0; i < CAPACITY; i++) {
        if (memcmp(random[i], secret, 32) == 0)
            return i;
    }
    fail();
    return 0;
}

static void test_fill_and_take(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    struct rx_pool *pool = new_pool(CAPACITY);
    struct rx_key_pair pair;
    struct rx_key_pair untouched;
    memset(&pair, 0xa5, sizeof pair);
    untouched = pair;
    assert_false(rx_pool_take(pool, &pair));
    assert_memory_equal(&pair, &untouched, sizeof pair);

    uint8_t random[CAPACITY][32];
    bool taken[CAPACITY] = {false};
    for (size_t i = 0; i < CAPACITY; i++) {
        dice_fill(&d, random[i], 32);
        assert_int_equal(rx_pool_add(pool, random[i]), RX_OK);
        assert_int_equal(rx_pool_count(pool), i + 1);
    }
    assert_int_equal(rx_pool_add(pool, random[0]), RX_E_FLOOD);
    assert_int_equal(rx_pool_count(pool), CAPACITY);

    for (size_t i = 0; i < CAPACITY; i++) {
        assert_true(rx_pool_take(pool, &pair));
        assert_int_equal(rx_pool_count(pool), CAPACITY - 1 - i);
        struct rx_key_pair right;
        size_t which = which_of(random, pair.secret);
        assert_false(taken[which]);
        taken[which] = true;
        assert_int_equal(rx_key_pair_make(random[which], &right), RX_OK);
        assert_memory_equal(pair.public, right.public, 32);
    }
    assert_false(rx_pool_take(pool, &pair));
    rx_pool_free(pool);
}

static void test_pool_sizes(void **state)
{
    (void)state;
    struct rx_key_pair pair;
    static const uint8_t random[32] = {1};
    struct rx_pool *pool = new_pool(0);
    assert_int_equal(rx_pool_add(pool, random), RX_E_FLOOD);
    assert_false(rx_pool_take(pool, &pair));
    rx_pool_free(pool);
    rx_pool_free(NULL);
    /* Sizes that wrap around, and one that nobody has. */
    const size_t much[] = {SIZE_MAX, SIZE_MAX / 64, SIZE_MAX / 64 + 1, SIZE_MAX / 128};
    for (size_t i = 0; i < 4; i++)
        assert_null(rx_pool_new(much[i]));
}

/* Taken, a pair is the taker's alone; freed, the pool leaves nothing. */
static void test_places_wiped(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    struct dice d = {.state = 5};
    struct leftover left[3];
    struct rx_key_pair pair;
    struct rx_pool *pool = new_pool(CAPACITY);
    for (size_t i = 0; i < 3; i++) {
        left[i] = add(pool, &d);
        assert_int_equal(leftover_count(&left[i]), 1);
    }
    assert_true(rx_pool_take(pool, &pair));
    struct leftover of_pair = leftover_of(pair.secret);
    assert_int_equal(leftover_count(&of_pair), 1);
    rx_key_pair_wipe(&pair);
    assert_int_equal(leftover_count(&of_pair), 0);
    rx_pool_free(pool);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(leftover_count(&left[i]), 0);
}

/* ---- forks ------------------------------------------------------------------------------ */

/* What is wrong in a child, as its exit status; 0: nothing. */
static int see_as_child(struct rx_pool *pool, const struct leftover *left, size_t n)
{
    struct rx_key_pair pair;
    if (rx_pool_count(pool) != 0)
        return 1;
    if (rx_pool_take(pool, &pair))
        return 2;
    if (rx_pool_capacity(pool) != CAPACITY)
        return 3;
    for (size_t i = 0; i < n && !SLOW_BUILD; i++) {
        if (leftover_count(&left[i]) != 0)
            return 4;
    }
    return 0;
}

/* Forks, and gives what the child found; 99 if it did not end by itself. */
static int in_child(int (*f)(struct rx_pool *, const struct leftover *, size_t),
                    struct rx_pool *pool, const struct leftover *left, size_t n)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(f(pool, left, n));
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 99;
    return WEXITSTATUS(status);
}

/* The child's own pairs are its own, and its child does not have them either. */
static int see_and_use(struct rx_pool *pool, const struct leftover *left, size_t n)
{
    int wrong = see_as_child(pool, left, n);
    if (wrong != 0)
        return wrong;
    struct dice d = {.state = 7};
    uint8_t random[32];
    dice_fill(&d, random, sizeof random);
    struct leftover own = leftover_of(random);
    if (rx_pool_add(pool, random) != RX_OK)
        return 5;
    sodium_memzero(random, sizeof random);
    wrong = in_child(see_as_child, pool, &own, 1);
    if (wrong != 0)
        return 10 + wrong;
    struct rx_key_pair pair;
    return rx_pool_take(pool, &pair) && rx_pool_count(pool) == 0 ? 0 : 6;
}

static void test_fork(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    struct leftover left[CAPACITY];
    struct rx_pool *pool = new_pool(CAPACITY);
    for (size_t i = 0; i < CAPACITY; i++)
        left[i] = add(pool, &d);
    assert_int_equal(in_child(see_as_child, pool, left, CAPACITY), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(in_child(see_and_use, pool, left, 1), 0);
    /* The parent's are all there still. */
    assert_int_equal(rx_pool_count(pool), CAPACITY);
    for (size_t i = CAPACITY; i-- > 0;) {
        struct rx_key_pair pair;
        assert_true(rx_pool_take(pool, &pair));
        assert_true(leftover_at(&left[i], pair.secret + 8));
    }
    rx_pool_free(pool);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7748),           cmocka_unit_test(test_rfc7748_iterated),
        cmocka_unit_test(test_rfc7748_agreement), cmocka_unit_test(test_small_order),
        cmocka_unit_test(test_not_canonical),     cmocka_unit_test(test_pairs_agree),
        cmocka_unit_test(test_fill_and_take),     cmocka_unit_test(test_pool_sizes),
        cmocka_unit_test(test_places_wiped),      cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
