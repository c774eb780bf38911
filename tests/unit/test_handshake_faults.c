/*
 * Every call to libsodium fails once, on the way from a key to a session and in the session: the
 * error comes out where it happens, nobody is let in, no key stays behind, and it stays an error
 * (libssh, CVE-2023-2283).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/hkdf.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/handshake_checks.h"
#include "tests/duel/session.h"
#include "tests/duel/steps.h"
#include "tests/duel/suites.h"
#include "tests/unit/faults.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

/* ---- what must hold after a step has failed --------------------------------------------- */

static void expect_zero(const void *bytes, size_t n)
{
    assert_true(sodium_is_zero(bytes, n));
}

static void expect_sealer_dead(struct steps *s, bool out, enum rx_error error)
{
    struct rx_sealer wiped;
    const struct rx_sealer *sealer = out ? &s->out : &s->in;
    memset(&wiped, 0, sizeof wiped);
    wiped.failed = error;
    assert_memory_equal(sealer, &wiped, sizeof wiped);
    assert_int_equal(steps_run(s, out ? STEP_SEAL : STEP_OPEN), error);
    assert_memory_equal(sealer, &wiped, sizeof wiped);
}

static void expect_handshake_failed(struct steps *s, enum step step)
{
    struct handshake_pair *p = &s->p;
    switch (step) {
    case STEP_M2:
        expect_untouched(p->m2, sizeof p->m2);
        hand_answer(p->grant.client_auth, p->m1, p->m2, p->m3);
        expect_server_over(&p->server, &p->grant, &p->server_pair, p->m3);
        break;
    case STEP_M3:
        expect_untouched(p->m3, sizeof p->m3);
        expect_no_keys(&p->client_keys);
        expect_client_over(&p->client, p->m2);
        break;
    default:
        expect_no_keys(&p->server_keys);
        expect_server_over(&p->server, &p->grant, &p->server_pair, p->m3);
    }
}

/* Nothing of what it was to make is there, and it does not work the second time either. */
static void expect_failed(struct steps *s, enum step step, enum rx_error error)
{
    switch (step) {
    case STEP_DERIVE:
        expect_zero(&s->p.grant, sizeof s->p.grant);
        break;
    case STEP_DECOY:
        expect_zero(&s->decoy, sizeof s->decoy);
        break;
    case STEP_CLIENT_PAIR:
        expect_zero(&s->p.client_pair, sizeof s->p.client_pair);
        break;
    case STEP_SERVER_PAIR:
        assert_int_equal(rx_pool_count(s->pool), 0);
        break;
    case STEP_OUT:
    case STEP_SEAL:
    case STEP_SEAL_REKEYED:
        expect_sealer_dead(s, true, error);
        break;
    case STEP_IN:
    case STEP_OPEN:
    case STEP_OPEN_REKEYED:
        expect_sealer_dead(s, false, error);
        break;
    case STEP_CLIENT_KEY:
        expect_zero(&s->client_key, sizeof s->client_key);
        break;
    case STEP_MONITOR_KEY:
        expect_zero(&s->monitor_key, sizeof s->monitor_key);
        break;
    case STEP_SIGN:
    case STEP_CHECK:
        assert_int_equal(steps_run(s, step), error);
        break;
    default:
        expect_handshake_failed(s, step);
    }
}

/* ---- once each -------------------------------------------------------------------------- */

/* Runs until something fails: which step, or STEPS. The calls made until the end of each. */
static size_t run(struct steps *s, size_t calls[static STEPS], enum rx_error *error)
{
    for (int step = 0; step < STEPS; step++) {
        *error = steps_run(s, (enum step)step);
        calls[step] = fault_calls;
        if (*error != RX_OK)
            return (size_t)step;
    }
    return STEPS;
}

static enum rx_error error_of(enum fault_call call)
{
    switch (call) {
    case FAULT_SCALARMULT:
        return RX_E_LOW_ORDER;
    case FAULT_DECRYPT:
        return RX_E_BAD_SEAL;
    default:
        return RX_E_CRYPTO_FAILED;
    }
}

/* The keys that a session has come to: not to be found anywhere where it has come to none. */
struct secrets {
    struct leftover c2s, s2c, request;
};

static void expect_gone(struct steps *s, const struct secrets *secrets, size_t step)
{
    /* The client was done, and has them with good reason. */
    if (step == STEP_END)
        rx_session_keys_wipe(&s->p.client_keys);
    if (SLOW_BUILD || step > STEP_END)
        return;
    assert_int_equal(leftover_count(&secrets->c2s), 0);
    assert_int_equal(leftover_count(&secrets->s2c), 0);
    assert_int_equal(leftover_count(&secrets->request), 0);
}

static void fail_each(enum rx_suite suite, size_t total, const size_t *ends,
                      const struct secrets *secrets)
{
    static struct steps s;
    for (size_t n = 1; n <= total; n++) {
        for (int kind = FAULT_IDLE; kind <= FAULT_DONE; kind++) {
            size_t calls[STEPS];
            size_t right = 0;
            enum rx_error error;
            while (ends[right] < n)
                right++;
            steps_begin(&s, suite);
            faults_at(n, (enum fault_kind)kind);
            size_t step = run(&s, calls, &error);
            assert_int_equal(step, right);
            assert_int_equal(error, error_of(fault_log[n - 1]));
            faults_off();
            expect_failed(&s, (enum step)step, error);
            expect_gone(&s, secrets, step);
            steps_end(&s);
        }
    }
}

static void test_each_call_fails(void **state)
{
    (void)state;
    for (enum rx_suite suite = suite_first(); suite != RX_SUITE_NONE; suite = suite_next(suite)) {
        static struct steps s;
        size_t ends[STEPS];
        enum rx_error error;
        steps_begin(&s, suite);
        faults_off();
        assert_int_equal(run(&s, ends, &error), STEPS);
        size_t total = fault_calls;
        assert_in_range(total, 100, FAULT_LOG);
        struct secrets secrets = {leftover_of(s.p.client_keys.c2s),
                                  leftover_of(s.p.client_keys.s2c),
                                  leftover_of(s.p.client_keys.request)};
        if (!SLOW_BUILD) /* or the search would not find what it should */
            assert_true(leftover_count(&secrets.c2s) >= 2);
        steps_end(&s);
        fail_each(suite, total, ends, &secrets);
        print_message("%s: %zu calls, each failed in 2 ways\n", rx_suite_name(suite), total);
    }
}

/* HMAC, HKDF and X25519 by themselves: what they were to write is wiped. */
static void test_outputs_wiped(void **state)
{
    (void)state;
    static const uint8_t key[RX_HASH_SIZE] = {1};
    const struct rx_bytes pieces[] = {RX_LITERAL("one"), RX_LITERAL("two")};
    size_t failures = 0;
    for (int kind = FAULT_IDLE; kind <= FAULT_DONE; kind++) {
        for (size_t n = 1; n <= 4; n++, failures++) {
            uint8_t mac[RX_HASH_SIZE] = {1};
            faults_at(n, (enum fault_kind)kind);
            assert_int_equal(rx_hmac(key, sizeof key, pieces, 2, mac), RX_E_CRYPTO_FAILED);
            expect_zero(mac, sizeof mac);
        }
        for (size_t n = 1; n <= 3; n++, failures++) {
            uint8_t prk[RX_HASH_SIZE] = {1};
            faults_at(n, (enum fault_kind)kind);
            assert_int_equal(rx_hkdf_extract(key, 8, key, 8, prk), RX_E_CRYPTO_FAILED);
            expect_zero(prk, sizeof prk);
        }
        for (size_t n = 1; n <= 1 + 4 + 5 + 5; n++, failures++) {
            uint8_t out[80] = {1};
            faults_at(n, (enum fault_kind)kind);
            assert_int_equal(rx_hkdf_expand(key, sizeof key, pieces, 2, out, sizeof out),
                             RX_E_CRYPTO_FAILED);
            expect_zero(out, sizeof out);
        }
        const struct rx_key_pair pair = {{1}, {0}};
        uint8_t shared[RX_KEY_SIZE] = {1};
        faults_at(1, (enum fault_kind)kind);
        assert_int_equal(rx_key_pair_agree(&pair, (const uint8_t[32]){9}, shared), RX_E_LOW_ORDER);
        expect_zero(shared, sizeof shared);
        failures++;
    }
    faults_off();
    print_message("%zu failures\n", failures);
}

/* ---- the same path ---------------------------------------------------------------------- */

enum { RIGHT, WRONG_RESPONSE, WRONG_HEADER, DECOY, DECOY_RIGHT, EXPIRED, CASES };

/* From M1 to the end of the server's handshake: its answer, and what it asked of libsodium. */
static enum rx_error serve(enum rx_suite suite, int which, struct hand *path)
{
    struct dice d = {.state = 2};
    struct handshake_pair p;
    struct rx_grant_keys keys;
    uint8_t kid[RX_KID_SIZE];
    handshake_prepare(&p, &d, suite);
    assert_int_equal(handshake_m1(&p), RX_OK);
    keys = p.grant;
    if (which == DECOY || which == DECOY_RIGHT)
        assert_int_equal(rx_decoy_keys_derive(p.psk, p.grant.kid, &keys), RX_OK);
    faults_off();
    assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, p.m1, kid), RX_OK);
    assert_int_equal(rx_server_handshake_answer(&p.server, &keys, which < DECOY, p.challenge,
                                                &p.server_pair, p.m2),
                     RX_OK);
    size_t answered = fault_calls;
    hand_put(path, fault_log, answered * sizeof fault_log[0]);
    hand_answer(keys.client_auth, p.m1, p.m2, p.m3);
    if (which == WRONG_RESPONSE || which == DECOY)
        p.m3[RX_M3_SIZE - 1] ^= 1;
    if (which == WRONG_HEADER)
        p.m3[0] ^= 1;
    faults_off();
    enum rx_error error = rx_server_handshake_finish(&p.server, p.m3, &p.server_keys);
    assert_true(fault_calls <= FAULT_LOG);
    hand_put(path, fault_log, fault_calls * sizeof fault_log[0]);
    return error;
}

/* Whoever is refused is refused the same way, and before any key exchange. */
static void test_same_path(void **state)
{
    (void)state;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct hand paths[CASES];
        memset(paths, 0, sizeof paths);
        assert_int_equal(serve(s, RIGHT, &paths[RIGHT]), RX_OK);
        for (int which = WRONG_RESPONSE; which < CASES; which++) {
            assert_int_equal(serve(s, which, &paths[which]), RX_E_RESPONSE_WRONG);
            assert_int_equal(paths[which].n, paths[WRONG_RESPONSE].n);
            assert_memory_equal(paths[which].bytes, paths[WRONG_RESPONSE].bytes, paths[which].n);
        }
        assert_true(paths[WRONG_RESPONSE].n < paths[RIGHT].n);
        const enum fault_call exchange = FAULT_SCALARMULT;
        assert_null(memmem(paths[WRONG_RESPONSE].bytes, paths[WRONG_RESPONSE].n, &exchange,
                           sizeof exchange));
    }
}

/* ---- hardware without AES --------------------------------------------------------------- */

/* What the server says to an M1 that offers these, and what it chose. */
static enum rx_error answer_to(uint8_t offered, uint8_t *suite)
{
    struct dice d = {.state = 3};
    struct handshake_pair p;
    handshake_prepare(&p, &d, RX_SUITE_CHACHA20POLY1305);
    p.client_offer.suites = offered;
    p.server_offer.suites = RX_SUITES_ALL;
    assert_int_equal(handshake_m1(&p), RX_OK);
    enum rx_error error = handshake_m2(&p);
    *suite = p.m2[6];
    return error;
}

static void test_without_aes(void **state)
{
    (void)state;
    static const uint8_t secret[RX_KEY_SIZE] = {1};
    uint8_t suite;
    fault_no_aes = true;
    assert_int_equal(rx_suites_here(), RX_SUITES_ALL & ~RX_SUITE_AES256GCM);
    assert_int_equal(answer_to(RX_SUITES_SEALED, &suite), RX_OK);
    assert_int_equal(suite, RX_SUITE_CHACHA20POLY1305);
    assert_int_equal(answer_to(RX_SUITE_AES256GCM, &suite), RX_E_NO_COMMON_SUITE);
    assert_int_equal(suite, RX_SUITE_NONE);

    struct rx_sealer sealer;
    uint8_t record[RX_RECORD_LENGTH + RX_PAYLOAD_MIN + RX_TAG_MAX];
    size_t n;
    assert_int_equal(rx_sealer_init(&sealer, RX_SUITE_AES256GCM, secret), RX_E_MISUSE);
    const struct rx_seal seal = rx_sealer_seal(&sealer);
    assert_int_equal(rx_record_seal(&seal, secret, RX_PAYLOAD_MIN, record, &n), RX_E_MISUSE);
    fault_no_aes = false;
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),
        cmocka_unit_test(test_outputs_wiped),
        cmocka_unit_test(test_same_path),
        cmocka_unit_test(test_without_aes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
