/* auth/seal.c: another implementation of the AEAD, asked for when a direction has moved enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/seal.h"
#include "proto/bytes.h"
#include "tests/duel/session.h"
#include "tests/duel/suites.h"

enum { LENGTH = RX_RECORD_LENGTH, PAYLOAD = RX_HASTE_RECORD, AFTER = 5 * PAYLOAD };

/* An implementation that counts and can be made to fail: libsodium again. */
struct key {
    enum rx_aead_cipher cipher;
    bool seals;
    uint8_t key[RX_KEY_SIZE];
};

static struct {
    unsigned asked, begun, ended, sealed, opened;
    bool none, no_begin, fails;
    uint64_t later; /* there is one only for who has moved more */
} seen;

static void *begin(const struct rx_aead *aead, enum rx_aead_cipher cipher, bool seals,
                   const uint8_t key[static RX_KEY_SIZE])
{
    (void)aead;
    if (seen.no_begin)
        return NULL;
    struct key *k = malloc(sizeof *k);
    assert_non_null(k);
    *k = (struct key){.cipher = cipher, .seals = seals};
    memcpy(k->key, key, sizeof k->key);
    seen.begun++;
    return k;
}

static bool seal(const struct rx_aead *aead, void *context,
                 const uint8_t nonce[static RX_NONCE_SIZE], const uint8_t length[static LENGTH],
                 const uint8_t *in, size_t n, uint8_t *out)
{
    const struct key *k = context;
    (void)aead;
    assert_true(k->seals);
    seen.sealed++;
    if (seen.fails)
        return false;
    if (k->cipher == RX_AEAD_AES256GCM)
        return crypto_aead_aes256gcm_encrypt(out, NULL, in, n, length, LENGTH, NULL, nonce,
                                             k->key) == 0;
    return crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, n, length, LENGTH, NULL, nonce,
                                                     k->key) == 0;
}

static bool open(const struct rx_aead *aead, void *context,
                 const uint8_t nonce[static RX_NONCE_SIZE], const uint8_t length[static LENGTH],
                 uint8_t *bytes, size_t n)
{
    const struct key *k = context;
    (void)aead;
    assert_false(k->seals);
    seen.opened++;
    if (k->cipher == RX_AEAD_AES256GCM)
        return crypto_aead_aes256gcm_decrypt(bytes, NULL, NULL, bytes, n + RX_AEAD_TAG, length,
                                             LENGTH, nonce, k->key) == 0;
    return crypto_aead_chacha20poly1305_ietf_decrypt(bytes, NULL, NULL, bytes, n + RX_AEAD_TAG,
                                                     length, LENGTH, nonce, k->key) == 0;
}

static void end(const struct rx_aead *aead, void *context)
{
    (void)aead;
    seen.ended++;
    free(context);
}

static const struct rx_aead *give(void *user, uint64_t moved, uint64_t *again)
{
    static const struct rx_aead aead = {begin, seal, open, end};
    assert_ptr_equal(user, &seen);
    assert_int_equal(*again, 0);
    assert_true(moved > AFTER);
    seen.asked++;
    if (moved > seen.later)
        return seen.none ? NULL : &aead;
    *again = seen.later;
    return NULL;
}

static const struct rx_haste haste = {AFTER, give, &seen};

/* One direction: both its ends, and a plain sealer beside them that says what is right. */
struct direction {
    struct rx_sealer out, in, plain;
    uint8_t wire[LENGTH + PAYLOAD + RX_TAG_MAX];
    size_t payload, n; /* the second: behind the length field */
};

static void set_payload(struct direction *w, size_t payload)
{
    w->payload = payload;
    w->n = payload + rx_sealer_seal(&w->out).ops->tag_size;
    rx_put32(w->wire, (uint32_t)w->n);
}

static void start(struct direction *w, enum rx_suite suite, uint8_t seed)
{
    uint8_t secret[RX_KEY_SIZE];
    memset(secret, seed, sizeof secret);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(rx_sealer_init(&w->out, suite, secret), RX_OK);
    assert_int_equal(rx_sealer_init(&w->in, suite, secret), RX_OK);
    assert_int_equal(rx_sealer_init(&w->plain, suite, secret), RX_OK);
    set_payload(w, PAYLOAD);
}

static void stop(struct direction *w)
{
    rx_sealer_wipe(&w->out);
    rx_sealer_wipe(&w->in);
    rx_sealer_wipe(&w->plain);
    assert_int_equal(seen.begun, seen.ended);
}

static enum rx_error seal_one(struct direction *w, uint8_t what)
{
    struct rx_seal s = rx_sealer_seal(&w->out);
    uint8_t payload[PAYLOAD];
    memset(payload, what, sizeof payload);
    return s.ops->seal(s.context, w->wire, payload, w->payload, w->wire + LENGTH);
}

static enum rx_error open_one(struct direction *w)
{
    struct rx_seal s = rx_sealer_seal(&w->in);
    return s.ops->open(s.context, w->wire, w->wire + LENGTH, w->n);
}

/* One record from end to end, on the wire as if nothing had changed. */
static void pass(struct direction *w, uint8_t what)
{
    uint8_t payload[PAYLOAD], right[PAYLOAD + RX_TAG_MAX];
    memset(payload, what, sizeof payload);
    struct rx_seal s = rx_sealer_seal(&w->plain);
    assert_int_equal(s.ops->seal(s.context, w->wire, payload, w->payload, right), RX_OK);
    assert_int_equal(seal_one(w, what), RX_OK);
    assert_memory_equal(w->wire + LENGTH, right, w->n);
    assert_int_equal(open_one(w), RX_OK);
    assert_memory_equal(w->wire + LENGTH, payload, w->payload);
}

static enum rx_suite sealed_next(enum rx_suite s)
{
    s = s == RX_SUITE_NONE ? suite_first() : suite_next(s);
    return s == RX_SUITE_HMAC_SHA256 ? RX_SUITE_NONE : s;
}

/* ---- when ------------------------------------------------------------------------------- */

static void test_after_enough(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        struct direction w;
        start(&w, s, 1);
        rx_sealer_hasten(&w.out, &haste);
        rx_sealer_hasten(&w.in, &haste);
        for (uint8_t i = 0; i < 20; i++) {
            pass(&w, i);
            unsigned late = i < 5 ? 0 : i - 4U;
            assert_int_equal(seen.asked, late > 0 ? 2 : 0);
            assert_int_equal(seen.sealed, late);
            assert_int_equal(seen.opened, late);
        }
        assert_int_equal(seen.begun, 2);
        stop(&w);
    }
}

/* There is one, but it is worth it only to a larger flow: asked once more, then. */
static void test_later(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        for (int none = 0; none < 2; none++) {
            struct direction w;
            start(&w, s, 8);
            seen.later = AFTER + 3 * PAYLOAD;
            seen.none = none;
            rx_sealer_hasten(&w.out, &haste);
            rx_sealer_hasten(&w.in, &haste);
            for (uint8_t i = 0; i < 20; i++) {
                pass(&w, i);
                assert_int_equal(seen.asked, i < 5 ? 0 : i < 8 ? 2 : 4);
                assert_int_equal(seen.sealed, i < 8 || none ? 0 : i - 7U);
                assert_int_equal(seen.opened, i < 8 || none ? 0 : i - 7U);
            }
            stop(&w);
        }
    }
}

/* Small records are libsodium's, before and afterwards, and bring nobody nearer to another. */
static void test_small_ones(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        struct direction w;
        start(&w, s, 7);
        rx_sealer_hasten(&w.out, &haste);
        rx_sealer_hasten(&w.in, &haste);
        set_payload(&w, PAYLOAD - 1);
        for (uint8_t i = 0; i < 20; i++)
            pass(&w, i);
        assert_int_equal(seen.asked, 0);
        for (uint8_t i = 0; i < 20; i++) {
            set_payload(&w, i % 2 == 0 ? PAYLOAD : i);
            pass(&w, i);
        }
        assert_int_equal(seen.asked, 2);
        assert_int_equal(seen.sealed, 5);
        assert_int_equal(seen.opened, 5);
        stop(&w);
    }
}

/* One end has it and the other has not. */
static void test_one_end(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        for (int end_of = 0; end_of < 2; end_of++) {
            struct direction w;
            start(&w, s, 2);
            rx_sealer_hasten(end_of == 0 ? &w.out : &w.in, &haste);
            for (uint8_t i = 0; i < 12; i++)
                pass(&w, i);
            assert_int_equal(seen.sealed, end_of == 0 ? 7 : 0);
            assert_int_equal(seen.opened, end_of == 0 ? 0 : 7);
            stop(&w);
        }
    }
}

static void test_never_asked(void **state)
{
    (void)state;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        start(&w, s, 3);
        rx_sealer_hasten(&w.out, NULL);
        if (s == RX_SUITE_HMAC_SHA256)
            rx_sealer_hasten(&w.in, &haste);
        for (uint8_t i = 0; i < 12; i++)
            pass(&w, i);
        assert_int_equal(seen.asked, 0);
        stop(&w);
    }
}

/* ---- what else may happen --------------------------------------------------------------- */

/* The key changes while it works, and before it was asked. */
static void test_across_epochs(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        struct direction w;
        start(&w, s, 4);
        rx_sealer_hasten(&w.out, &haste);
        rx_sealer_hasten(&w.in, &haste);
        for (unsigned epoch = 1; epoch < 4; epoch++) {
            uint64_t near = (uint64_t)epoch * RX_EPOCH_RECORDS - 3;
            w.out.counter = w.in.counter = w.plain.counter = near;
            for (uint8_t i = 0; i < 8; i++)
                pass(&w, i);
            assert_int_equal(w.out.counter, near + 8);
        }
        assert_int_equal(seen.begun, 2 + 2 * 2);
        stop(&w);
    }
}

/* There is none, or it cannot be had now, or not after the key has changed: libsodium goes on. */
static void test_not_to_be_had(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        for (int why = 0; why < 3; why++) {
            struct direction w;
            start(&w, s, 5);
            seen.none = why == 0;
            seen.no_begin = why == 1;
            rx_sealer_hasten(&w.out, &haste);
            rx_sealer_hasten(&w.in, &haste);
            for (uint8_t i = 0; i < 9; i++)
                pass(&w, i);
            assert_int_equal(seen.asked, 2);
            assert_int_equal(seen.sealed, why == 2 ? 4 : 0);
            seen.no_begin = true;
            w.out.counter = w.in.counter = w.plain.counter = RX_EPOCH_RECORDS - 1;
            for (uint8_t i = 0; i < 9; i++)
                pass(&w, i);
            assert_int_equal(seen.asked, 2);
            assert_int_equal(seen.sealed, why == 2 ? 5 : 0);
            stop(&w);
        }
    }
}

static void expect_dead(struct direction *w, struct rx_sealer *s, enum rx_error error)
{
    struct rx_sealer wiped;
    memset(&wiped, 0, sizeof wiped);
    wiped.failed = error;
    assert_memory_equal(s, &wiped, sizeof wiped);
    assert_int_equal(s == &w->out ? seal_one(w, 0) : open_one(w), error);
}

static void test_fails(void **state)
{
    (void)state;
    for (enum rx_suite s = RX_SUITE_NONE; (s = sealed_next(s)) != RX_SUITE_NONE;) {
        struct direction w;
        start(&w, s, 6);
        rx_sealer_hasten(&w.out, &haste);
        rx_sealer_hasten(&w.in, &haste);
        for (uint8_t i = 0; i < 9; i++)
            pass(&w, i);
        assert_int_equal(seal_one(&w, 9), RX_OK);
        w.wire[LENGTH] ^= 1;
        assert_int_equal(open_one(&w), RX_E_BAD_SEAL);
        expect_dead(&w, &w.in, RX_E_BAD_SEAL);
        seen.fails = true;
        assert_int_equal(seal_one(&w, 10), RX_E_CRYPTO_FAILED);
        expect_dead(&w, &w.out, RX_E_CRYPTO_FAILED);
        assert_int_equal(seen.ended, 2);
        stop(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_enough),  cmocka_unit_test(test_one_end),
        cmocka_unit_test(test_never_asked),   cmocka_unit_test(test_across_epochs),
        cmocka_unit_test(test_not_to_be_had), cmocka_unit_test(test_fails),
        cmocka_unit_test(test_later),         cmocka_unit_test(test_small_ones),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
