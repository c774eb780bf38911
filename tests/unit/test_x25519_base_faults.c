/* auth/x25519_base.c: libsodium fails, or does it in its own way; and what is left of a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/x25519_base.h"
#include "tests/duel/session.h"
#include "tests/unit/faults.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

#ifdef __SIZEOF_INT128__
static const bool can_carry_over = true;
#else
static const bool can_carry_over = false;
#endif

static enum fault_call way(void)
{
    return can_carry_over && sodium_runtime_has_avx() != 0 ? FAULT_EDWARDS_BASE
                                                           : FAULT_SCALARMULT_BASE;
}

/* Where libsodium has the same table behind its own function, it is left to it; and it is one call
 * either way. */
static void test_way(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    uint8_t secret[32], ours[32], right[32];
    for (int i = 0; i < 100; i++) {
        dice_fill(&d, secret, sizeof secret);
        assert_int_equal(crypto_scalarmult_base(right, secret), 0);
        fault_avx = i % 2;
        faults_off();
        assert_int_equal(rx_x25519_base(secret, ours), RX_OK);
        assert_int_equal(fault_calls, 1);
        assert_int_equal(fault_log[0], way());
        assert_memory_equal(ours, right, sizeof ours);
    }
    fault_avx = -1;
}

static void test_failed(void **state)
{
    (void)state;
    uint8_t secret[32] = {1}, public[32];
    for (int i = 0; i < 4; i++) {
        fault_avx = i % 2;
        faults_at(1, i / 2 == 0 ? FAULT_IDLE : FAULT_DONE);
        assert_int_equal(rx_x25519_base(secret, public), RX_E_CRYPTO_FAILED);
        assert_int_equal(rx_x25519_base(secret, public), RX_OK);
    }
    fault_avx = -1;
    faults_off();
}

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
    faults_off();
    assert_int_equal(rx_x25519_base(secret, public), RX_OK);
}

/* libsodium says that it failed when all is done: nothing is written over what it left. */
static void make_in_vain(uint8_t *secret)
{
    uint8_t public[32];
    faults_at(1, FAULT_DONE);
    assert_int_equal(rx_x25519_base(secret, public), RX_E_CRYPTO_FAILED);
}

/* As libsodium does. */
static void leave_digits(uint8_t *secret)
{
    uint8_t digits[DIGITS];
    digits_of(secret, digits);
    for (int i = 0; i < DIGITS; i++)
        digits[i] = (uint8_t)~digits[i];
    __asm__ volatile("" : : "r"(digits) : "memory");
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
    deep(make_in_vain, secret);
    assert_int_equal(runs_below(inverted), 0);
    assert_int_equal(leftover_count(&itself), 1);
    /* They would be found. */
    deep(leave_digits, secret);
    assert_int_not_equal(runs_below(inverted), 0);
    sodium_stackzero(3 * DEPTH);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_way),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
