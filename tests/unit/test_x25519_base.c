/* auth/x25519_base.c: the same as libsodium's own way, for whatever secret and point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/x25519_base.h"
#include "tests/duel/session.h"
#include "tests/unit/hex.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

static void expect_same(const uint8_t secret[static 32])
{
    uint8_t ours[32], right[32], before[32];
    memcpy(before, secret, sizeof before);
    assert_int_equal(crypto_scalarmult_base(right, secret), 0);
    assert_int_equal(rx_x25519_base(secret, ours), RX_OK);
    assert_memory_equal(ours, right, 32);
    assert_memory_equal(secret, before, 32);
}

static void test_any_secret(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (unsigned i = 0; i < SCALED(5000); i++) {
        uint8_t secret[32];
        dice_fill(&d, secret, sizeof secret);
        expect_same(secret);
    }
}

/* Each bit alone, and all but that; with them what clamping makes of nothing and of everything. */
static void test_each_bit(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit <= 256; bit++) {
        uint8_t secret[33] = {0}; /* the last is nobody's */
        secret[bit / 8] = (uint8_t)(1 << bit % 8);
        expect_same(secret);
        for (size_t i = 0; i < 32; i++)
            secret[i] = (uint8_t)~secret[i];
        expect_same(secret);
    }
}

/* A public value may be where a secret was. */
static void test_in_place(void **state)
{
    (void)state;
    uint8_t bytes[32] = {1, 2, 3}, right[32];
    assert_int_equal(crypto_scalarmult_base(right, bytes), 0);
    assert_int_equal(rx_x25519_base(bytes, bytes), RX_OK);
    assert_memory_equal(bytes, right, 32);
}

#ifdef __SIZEOF_INT128__
/* ---- one point -------------------------------------------------------------------------- */

static void expect_u(const char *point, const char *u)
{
    uint8_t bytes[32], ours[32], right[32];
    assert_int_equal(hex_bytes(point, bytes, 32), 32);
    assert_int_equal(hex_bytes(u, right, 32), 32);
    for (int sign = 0; sign <= 1; sign++) {
        bytes[31] = (uint8_t)((bytes[31] & 0x7f) | sign << 7);
        rx_edwards_to_u(bytes, ours);
        assert_memory_equal(ours, right, 32);
    }
}

/* Where the numbers are near 0, p or a limb's end; the right ones were computed with Python's. */
static void test_points(void **state)
{
    (void)state;
    static const char *const points[][2] = {
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "0100000000000000000000000000000000000000000000000000000000000000"},
        {"0100000000000000000000000000000000000000000000000000000000000000",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"0200000000000000000000000000000000000000000000000000000000000000",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"0300000000000000000000000000000000000000000000000000000000000000",
         "ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"1300000000000000000000000000000000000000000000000000000000000000",
         "da388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee338"},
        {"1200000000000000000000000000000000000000000000000000000000000000",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"1400000000000000000000000000000000000000000000000000000000000000",
         "c46b28afa1bc86f21aca6b28afa1bc86f21aca6b28afa1bc86f21aca6b28af21"},
        {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "a4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2a"},
        {"daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "cacccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc0c"},
        {"dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "2794d7505e43790de53594d7505e43790de53594d7505e43790de53594d7505e"},
        {"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0100000000000000000000000000000000000000000000000000000000000000"},
        {"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"0000000000000800000000000000000000000000000000000000000000000000",
         "da388ee3388e1bc7711cc771dc388ee3388ee3c6711cc7711c378ee3388ee338"},
        {"0000000000000000000000004000000000000000000000000000000000000000",
         "d2822dd8822d5ab0055bb0050bb6600bb6608b166cc1166cc1822dd8822dd822"},
        {"0000000000000000000000000000000000000002000000000000000000000000",
         "fd6edd22296559ea79b36c10142563908ac0e907deba4552cab2d4f366d92028"},
        {"0000000000000000000000000000000000000000000000000010000000000000",
         "b91e9d2994b6446bbba5b79dbe0419a4abbb5d4591522dfe1953ecd19942694b"},
        {"0000000000000000000000000000000000000000000000000000000000000040",
         "9296969696969696969696969696969696969696969696969696969696969616"},
        {"ffffffffffff0700000000000000000000000000000000000000000000000000",
         "237662277662a7d8899dd8899d6227766227768a9dd8899dd829766227766227"},
        {"ffffffffffffffffffffffff3f00000000000000000000000000000000000000",
         "717c606487c2763d29730c70f08f0f8cec50d8ae27658e010efef181911d0a5b"},
        {"ffffffffffffffffffffffffffffffffffffff01000000000000000000000000",
         "b89790d0d21e1e8876f54a937834986f20dde5ca9790d0d21e1e8876f54a9378"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffff0f000000000000",
         "89c242b75b4a3ce7d98cab2376492369abdaa6a938fa4c67c2c41416badd5262"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"f7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff3f",
         "0300000000000000000000000000000000000000000000000000000000000000"},
        {"5555555555555555555555555555555555555555555555555555555555555555",
         "dff0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f070"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0a",
         "1700000000000000000000000000000000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        expect_u(points[i][0], points[i][1]);
}
#endif

/* ---- what is left ----------------------------------------------------------------------- */

enum { DEPTH = 64 * 1024, DIGITS = 64, RUN = 8 };

/* The digits in base 16, from -8 to 7, that a secret is multiplied by: as good as the secret. Held
 * inverted, so that the search does not find these. */
static void digits_of(const uint8_t secret[static 32], uint8_t inverted[static DIGITS])
{
    int over = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = (secret[i / 2] >> 4 * (i % 2) & 15) + over;
        over = digit >= 8;
        inverted[i] = (uint8_t) ~(digit - 16 * over);
    }
}

/* Whether RUN of them, one behind the other, are at this place. */
static bool run_at(const volatile uint8_t *p, const uint8_t inverted[static DIGITS])
{
    for (int first = 4; first + RUN < DIGITS; first++) {
        int n = 0;
        while (n < RUN && (p[n] ^ inverted[first + n]) == 0xff)
            n++;
        if (n == RUN)
            return true;
    }
    return false;
}

/* How many places below this function's own frame have such. */
static __attribute__((noinline)) size_t runs_below(const uint8_t inverted[static DIGITS])
{
    size_t found = 0;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    for (uintptr_t at = here - 2 * DEPTH; at < here - 1024; at++)
        found +=
            run_at((const volatile uint8_t *)at, inverted); // NOLINT(performance-no-int-to-ptr)
    return found;
}

/* Calls f where the search does not write. */
static __attribute__((noinline)) void deep(void (*f)(uint8_t *), uint8_t *bytes)
{
    uint8_t above[DEPTH];
    __asm__ volatile("" : : "r"(above) : "memory");
    f(bytes);
    __asm__ volatile("" : : "r"(above) : "memory");
}

static void make(uint8_t *secret)
{
    uint8_t public[32];
    assert_int_equal(rx_x25519_base(secret, public), RX_OK);
}

static void make_carelessly(uint8_t *secret)
{
    uint8_t point[32];
    assert_int_equal(crypto_scalarmult_ed25519_base(point, secret), 0);
}

static void test_nothing_left(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    uint8_t secret[32], inverted[DIGITS];
    struct dice d = {.state = 2};
    dice_fill(&d, secret, sizeof secret);
    digits_of(secret, inverted);
    const struct leftover itself = leftover_of(secret);
    sodium_stackzero(3 * DEPTH);
    assert_int_equal(runs_below(inverted), 0);
    deep(make, secret);
    assert_int_equal(runs_below(inverted), 0);
    assert_int_equal(leftover_count(&itself), 1);
    /* They would be there, and found. */
    deep(make_carelessly, secret);
    assert_int_not_equal(runs_below(inverted), 0);
    sodium_stackzero(3 * DEPTH);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
#ifdef __SIZEOF_INT128__
        cmocka_unit_test(test_points),
#endif
        cmocka_unit_test(test_any_secret), cmocka_unit_test(test_each_bit),
        cmocka_unit_test(test_in_place),   cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
