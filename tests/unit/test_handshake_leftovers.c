/*
 * Secrets are where they belong and nowhere else: after each step from a key to a session, all of
 * memory is searched for copies, the part of the stack that the step has used above all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/duel/by_hand.h"
#include "tests/duel/steps.h"
#include "tests/duel/suites.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

/* ---- what to look for ------------------------------------------------------------------- */

enum { SECRETS = 24, DEPTH = 64 * 1024 };

struct secret {
    const char *name;
    struct leftover part;
};

static struct secret secrets[SECRETS];
static size_t secret_count;

static void look_for(const char *name, const uint8_t secret[static 32])
{
    assert_true(secret_count < SECRETS);
    secrets[secret_count].name = name;
    secrets[secret_count++].part = leftover_of(secret);
}

/* Extract, or any other HMAC of one piece. */
static void look_for_hmac(const char *name, const void *key, size_t key_len, const void *data,
                          size_t n, uint8_t out[static 32])
{
    struct hand h = {.n = 0};
    hand_put(&h, data, n);
    hand_hmac(key, key_len, &h, out);
    look_for(name, out);
}

/* A key that is in an HMAC is as good as itself: the state in which its outer hash begins. */
static void look_for_keyed(const char *name, const uint8_t key[static 32])
{
    crypto_auth_hmacsha256_state state;
    uint8_t outer[32];
    assert_int_equal(crypto_auth_hmacsha256_init(&state, key, 32), 0);
    assert_int_equal(sizeof state.octx.state, sizeof outer);
    memcpy(outer, state.octx.state, sizeof outer);
    look_for(name, outer);
}

/*
 * What a session comes from and comes to, and what stands between in no struct at all. Grants and
 * key pairs are left out: the machines copy them whole, by way of registers that a compiler may put
 * on the stack for a while.
 */
static void gather(struct steps *s)
{
    struct handshake_pair *p = &s->p;
    uint8_t shared[32] = {0};
    uint8_t value[32];
    uint8_t next[32];
    bool readable = s->suite == RX_SUITE_HMAC_SHA256;
    secret_count = 0;
    look_for("psk", p->psk);
    look_for_keyed("psk, keyed", p->psk);
    look_for_keyed("K_c, keyed", p->grant.client_auth);
    look_for_keyed("K_s, keyed", p->grant.server_auth);
    look_for_keyed("K_m, keyed", p->grant.mix);
    look_for_hmac("K_srv", p->psk, 32, "rexec/1 srvlab01", 16, value);
    look_for_hmac("prk", "rexec/1", 7, value, 32, value);
    look_for_keyed("prk, keyed", value);
    look_for_hmac("prk of the decoy", p->psk, 32, p->grant.kid, 16, value);
    look_for("K_c of the decoy", s->decoy.client_auth);
    if (!readable) {
        assert_int_equal(crypto_scalarmult(shared, s->random, p->server_pair.public), 0);
        look_for("shared secret", shared);
    }
    look_for_hmac("prk1", p->grant.mix, 32, shared, readable ? 0 : 32, value);
    look_for_keyed("prk1, keyed", value);
    look_for("c2s", p->client_keys.c2s);
    look_for_keyed("c2s, keyed", p->client_keys.c2s);
    look_for("s2c", p->client_keys.s2c);
    look_for("request key", p->client_keys.request);
    hand_epoch_key(p->client_keys.c2s, value);
    look_for("key of epoch 0", value);
    memcpy(next, p->client_keys.c2s, sizeof next);
    hand_next_epoch(next);
    look_for("secret of epoch 1", next);
    hand_epoch_key(next, value);
    look_for("key of epoch 1", value);
    /* What a forger would have to know. */
    look_for("mac of the request", s->request + sizeof s->request - RX_MAC_SIZE);
}

/* ---- where it may be -------------------------------------------------------------------- */

struct call {
    struct steps *s;
    enum step step;
    enum rx_error error;
};

static __attribute__((noinline)) void run_step(struct call *c)
{
    c->error = steps_run(c->s, c->step);
}

static __attribute__((noinline)) void run_all_and_gather(struct call *c)
{
    for (int step = 0; step < STEPS; step++)
        assert_int_equal(steps_run(c->s, (enum step)step), RX_OK);
    gather(c->s);
}

/* Makes the compiler keep these bytes in memory, and together. */
static void keep(void *bytes)
{
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

/*
 * Calls f far down the stack: the search itself, made from further up, does not write over what f
 * has left there.
 */
static __attribute__((noinline)) void deep(void (*f)(struct call *), struct call *c)
{
    uint8_t above[DEPTH];
    keep(above);
    f(c);
    keep(above);
}

/* Copies that are not in the structs of client and server. */
static size_t strays(const struct leftover *part, const struct steps *s)
{
    uintptr_t at = (uintptr_t)s;
    return leftover_count(part) - leftover_between(part, at, at + sizeof *s);
}

static void test_nothing_but_where_it_belongs(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    size_t searches = 0;
    for (enum rx_suite suite = suite_first(); suite != RX_SUITE_NONE; suite = suite_next(suite)) {
        static struct steps s;
        struct call c = {.s = &s};
        steps_begin(&s, suite);
        deep(run_all_and_gather, &c);
        steps_end(&s);
        /* Gathering was careless. */
        sodium_stackzero(2 * DEPTH);
        steps_begin(&s, suite);
        for (int step = 0; step < STEPS; step++) {
            c.step = (enum step)step;
            deep(run_step, &c);
            assert_int_equal(c.error, RX_OK);
            for (size_t i = 0; i < secret_count; i++, searches++) {
                if (strays(&secrets[i].part, &s) != 0) {
                    fail_msg("%s: %s is left by step %d", rx_suite_name(suite), secrets[i].name,
                             step);
                }
            }
        }
        steps_end(&s);
        for (size_t i = 0; i < secret_count; i++)
            assert_int_equal(leftover_count(&secrets[i].part), 0);
    }
    print_message("%zu searches\n", searches);
}

/* ---- the search itself ------------------------------------------------------------------ */

static __attribute__((noinline)) void leave_one(struct call *c)
{
    uint8_t copy[32];
    memcpy(copy, c->s->random, sizeof copy);
    keep(copy);
}

/* It finds what was left, or finding nothing would say nothing. */
static void test_finds(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    static struct steps s;
    struct call c = {.s = &s};
    steps_begin(&s, RX_SUITE_HMAC_SHA256);
    sodium_stackzero(2 * DEPTH);
    struct leftover part = leftover_of(s.random);
    assert_int_equal(strays(&part, &s), 0);
    deep(leave_one, &c);
    assert_int_equal(strays(&part, &s), 1);
    steps_end(&s);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_nothing_but_where_it_belongs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
