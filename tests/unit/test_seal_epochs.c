/* auth/seal.c: counters that only rise, and keys that change with them. */
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
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/duel/suites.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

enum { LENGTH = RX_RECORD_LENGTH, PAYLOAD = 24, EPOCH = RX_EPOCH_RECORDS };

/*
 * Opens records with libsodium alone: so it knows under which key and which number each was sealed,
 * whatever the sealer says of itself.
 */
struct witness {
    enum rx_suite suite;
    uint8_t secret[32], key[32];
    crypto_aead_aes256gcm_state aes;
    crypto_auth_hmacsha256_state hmac;
};

static void witness_load(struct witness *w)
{
    hand_epoch_key(w->secret, w->key);
    if (w->suite == RX_SUITE_AES256GCM)
        assert_int_equal(crypto_aead_aes256gcm_beforenm(&w->aes, w->key), 0);
    assert_int_equal(crypto_auth_hmacsha256_init(&w->hmac, w->key, sizeof w->key), 0);
}

static void witness_begin(struct witness *w, enum rx_suite suite, const uint8_t *secret)
{
    w->suite = suite;
    memcpy(w->secret, secret, sizeof w->secret);
    witness_load(w);
}

static void witness_rekey(struct witness *w)
{
    hand_next_epoch(w->secret);
    witness_load(w);
}

/* Whether the record has this number under the present key. */
static bool witness_opens(const struct witness *w, uint64_t counter, const uint8_t *wire)
{
    const uint8_t *sealed = wire + LENGTH;
    const uint8_t *tag = sealed + PAYLOAD;
    uint8_t nonce[12] = {0};
    uint8_t out[PAYLOAD];
    uint8_t right[32];
    rx_put64(nonce + 4, counter);
    if (w->suite == RX_SUITE_AES256GCM) {
        return crypto_aead_aes256gcm_decrypt_detached_afternm(out, NULL, sealed, PAYLOAD, tag, wire,
                                                              LENGTH, nonce, &w->aes) == 0;
    }
    if (w->suite == RX_SUITE_CHACHA20POLY1305) {
        return crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, NULL, sealed, PAYLOAD, tag,
                                                                  wire, LENGTH, nonce, w->key) == 0;
    }
    crypto_auth_hmacsha256_state h = w->hmac;
    (void)crypto_auth_hmacsha256_update(&h, nonce + 4, 8);
    (void)crypto_auth_hmacsha256_update(&h, wire, LENGTH + PAYLOAD);
    (void)crypto_auth_hmacsha256_final(&h, right);
    return memcmp(right, tag, sizeof right) == 0;
}

/* One direction, both its ends, and someone who looks on. */
struct direction {
    struct rx_sealer out, in;
    struct rx_seal seal, open;
    struct witness witness;
    uint8_t wire[LENGTH + PAYLOAD + RX_TAG_MAX];
};

static void start(struct direction *w, struct dice *d, enum rx_suite suite)
{
    uint8_t secret[RX_KEY_SIZE];
    dice_fill(d, secret, sizeof secret);
    memset(w, 0, sizeof *w);
    assert_int_equal(rx_sealer_init(&w->out, suite, secret), RX_OK);
    assert_int_equal(rx_sealer_init(&w->in, suite, secret), RX_OK);
    w->seal = rx_sealer_seal(&w->out);
    w->open = rx_sealer_seal(&w->in);
    witness_begin(&w->witness, suite, secret);
}

static enum rx_error seal_one(struct direction *w)
{
    uint8_t payload[PAYLOAD] = {0};
    rx_put32(w->wire, (uint32_t)(PAYLOAD + w->seal.ops->tag_size));
    rx_put64(payload, w->out.counter);
    return w->seal.ops->seal(w->seal.context, w->wire, payload, PAYLOAD, w->wire + LENGTH);
}

static enum rx_error open_one(struct direction *w)
{
    return w->open.ops->open(w->open.context, w->wire, w->wire + LENGTH,
                             PAYLOAD + w->open.ops->tag_size);
}

/* One record from end to end, seen by the witness; its number must be this. */
static void pass(struct direction *w, uint64_t number)
{
    if (w->out.counter != number || w->in.counter != number) {
        fail_msg("counters %ju and %ju at %ju", (uintmax_t)w->out.counter, (uintmax_t)w->in.counter,
                 (uintmax_t)number);
    }
    if (seal_one(w) != RX_OK || !witness_opens(&w->witness, number, w->wire) ||
        open_one(w) != RX_OK || rx_get64(w->wire + LENGTH) != number)
        fail_msg("record %ju", (uintmax_t)number);
}

/* Both ends go on from this number, which is of the same epoch. */
static void jump(struct direction *w, uint64_t number)
{
    assert_true(number / EPOCH == (w->out.counter - 1) / EPOCH);
    w->out.counter = w->in.counter = number;
}

/* A whole epoch, each of its records, and the beginning of the next. */
static void test_whole_epoch(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction w;
        start(&w, &d, s);
        uint64_t number = 0;
        for (; number < EPOCH; number++)
            pass(&w, number);
        witness_rekey(&w.witness);
        for (; number < EPOCH + 1000; number++)
            pass(&w, number);
        print_message("%s: %ju records\n", rx_suite_name(s), (uintmax_t)number);
    }
}

/* ---- keys ------------------------------------------------------------------------------- */

enum { EPOCHS = 300 };

struct used_key {
    uint8_t bytes[32];
};

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct used_key));
}

/*
 * The counter never repeats, and no key ever comes again, in either direction: so no pair of key
 * and nonce does. Only the records around each change of keys are sealed.
 */
static void test_no_pair_twice(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction w[2];
        static struct used_key keys[2 * EPOCHS];
        size_t used = 0;
        start(&w[0], &d, s);
        start(&w[1], &d, s);
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            for (size_t i = 0; i < 2; i++) {
                for (uint64_t k = 0; k < 3; k++)
                    pass(&w[i], epoch * EPOCH + k);
                jump(&w[i], (epoch + 1) * EPOCH - 3);
                for (uint64_t k = 3; k > 0; k--)
                    pass(&w[i], (epoch + 1) * EPOCH - k);
                memcpy(keys[used++].bytes, w[i].witness.key, 32);
                witness_rekey(&w[i].witness);
            }
        }
        qsort(keys, used, sizeof keys[0], compare_keys);
        for (size_t i = 1; i < used; i++)
            assert_int_not_equal(compare_keys(&keys[i - 1], &keys[i]), 0);
        print_message("%s: %zu keys, all different\n", rx_suite_name(s), used);
    }
}

static bool holds(const struct rx_sealer *s, const uint8_t *secret)
{
    for (size_t at = 0; at + 8 <= 32; at++) {
        if (memmem(s, sizeof *s, secret + at, 8) != NULL)
            return true;
    }
    return false;
}

/* The key and the secret of the epoch before are not in the sealer any more. */
static void test_old_keys_gone(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction w;
        start(&w, &d, s);
        pass(&w, 0);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            struct witness old = w.witness;
            assert_true(holds(&w.out, old.secret) && holds(&w.in, old.secret));
            if (s != RX_SUITE_HMAC_SHA256) /* which keeps what it made of the key */
                assert_true(holds(&w.out, old.key) && holds(&w.in, old.key));
            jump(&w, (epoch + 1) * EPOCH - 1);
            pass(&w, (epoch + 1) * EPOCH - 1);
            witness_rekey(&w.witness);
            pass(&w, (epoch + 1) * EPOCH);
            assert_false(holds(&w.out, old.secret) || holds(&w.in, old.secret));
            assert_false(holds(&w.out, old.key) || holds(&w.in, old.key));
            assert_int_not_equal(memcmp(&old.hmac, &w.witness.hmac, sizeof old.hmac), 0);
            if (s == RX_SUITE_HMAC_SHA256)
                assert_memory_equal(&w.out.hmac, &w.witness.hmac, sizeof w.out.hmac);
        }
    }
}

/* Nor anywhere else in memory. */
static void test_old_keys_nowhere(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    struct dice d = {.state = 4};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction w;
        start(&w, &d, s);
        struct leftover secret = leftover_of(w.witness.secret);
        struct leftover key = leftover_of(w.witness.key);
        pass(&w, 0);
        sodium_memzero(&w.witness, sizeof w.witness);
        /* Our own calls may have left theirs below; the sealer's must be in both sealers. */
        sodium_stackzero(16384);
        assert_int_equal(leftover_count(&secret), 2);
        w.out.counter = w.in.counter = EPOCH;
        assert_int_equal(seal_one(&w), RX_OK);
        assert_int_equal(open_one(&w), RX_OK);
        assert_int_equal(leftover_count(&secret), 0);
        assert_int_equal(leftover_count(&key), 0);
    }
}

/* A record with the right number under the key before or the key after does not open. */
static void test_wrong_epoch(void **state)
{
    (void)state;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction changed;
        static struct direction not_changed;
        start(&changed, &(struct dice){.state = 5}, s);
        start(&not_changed, &(struct dice){.state = 5}, s);
        changed.out.counter = changed.in.counter = EPOCH;
        assert_int_equal(seal_one(&changed), RX_OK);
        assert_int_equal(open_one(&changed), RX_OK);
        not_changed.out.counter = EPOCH + 1;
        assert_int_equal(seal_one(&not_changed), RX_OK);
        assert_true(witness_opens(&not_changed.witness, EPOCH + 1, not_changed.wire));
        memcpy(changed.wire, not_changed.wire, sizeof changed.wire);
        assert_int_equal(open_one(&changed), RX_E_BAD_SEAL);

        changed.out.counter = not_changed.in.counter = 1;
        assert_int_equal(seal_one(&changed), RX_OK);
        memcpy(not_changed.wire, changed.wire, sizeof changed.wire);
        assert_int_equal(open_one(&not_changed), RX_E_BAD_SEAL);
    }
}

/* ---- the end of the counter ------------------------------------------------------------- */

static void expect_exhausted(struct rx_sealer *s, enum rx_error (*use)(struct direction *),
                             struct direction *w)
{
    struct rx_sealer wiped;
    memset(&wiped, 0, sizeof wiped);
    wiped.failed = RX_E_COUNTER_EXHAUSTED;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(use(w), RX_E_COUNTER_EXHAUSTED);
        assert_memory_equal(s, &wiped, sizeof wiped);
    }
}

/* Record 2^64 - 2 is the last; the one after it is neither sealed nor opened. */
static void test_counter_ends(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        static struct direction w;
        start(&w, &d, s);
        w.out.counter = w.in.counter = UINT64_MAX - 3;
        for (uint64_t k = 3; k > 0; k--)
            pass(&w, UINT64_MAX - k);
        memset(w.wire, 0xa5, sizeof w.wire);
        expect_exhausted(&w.out, seal_one, &w);
        for (size_t i = LENGTH; i < sizeof w.wire; i++)
            assert_int_equal(w.wire[i], 0xa5);
        expect_exhausted(&w.in, open_one, &w);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_epoch),   cmocka_unit_test(test_no_pair_twice),
        cmocka_unit_test(test_old_keys_gone), cmocka_unit_test(test_old_keys_nowhere),
        cmocka_unit_test(test_wrong_epoch),   cmocka_unit_test(test_counter_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
