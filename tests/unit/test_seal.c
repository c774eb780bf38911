/* auth/seal.c: records sealed and opened. Epochs have a program of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/seal.h"
#include "proto/bytes.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/duel/suites.h"
#include "tests/unit/guard.h"
#include "tests/unit/hex.h"

enum { LENGTH = RX_RECORD_LENGTH, ROOM = RX_RECORD_MAX };

/* One direction, both its ends. */
struct direction {
    uint8_t secret[RX_KEY_SIZE];
    struct rx_sealer out, in;
    struct rx_seal seal, open;
    size_t tag;
};

static void begin(struct direction *w, struct dice *d, enum rx_suite suite)
{
    dice_fill(d, w->secret, sizeof w->secret);
    assert_int_equal(rx_sealer_init(&w->out, suite, w->secret), RX_OK);
    assert_int_equal(rx_sealer_init(&w->in, suite, w->secret), RX_OK);
    w->seal = rx_sealer_seal(&w->out);
    w->open = rx_sealer_seal(&w->in);
    w->tag = w->seal.ops->tag_size;
}

static enum rx_error open_at(struct rx_seal *open, const uint8_t *length, uint8_t *sealed, size_t n)
{
    return open->ops->open(open->context, length, sealed, n);
}

/* A record of at most 64 bytes of payload, as it is on the wire. */
struct small {
    size_t n; /* payload */
    uint8_t wire[LENGTH + 64 + RX_TAG_MAX];
};

static struct small seal_small(struct direction *w, const uint8_t *payload, size_t n)
{
    struct small r = {.n = n};
    rx_put32(r.wire, (uint32_t)(n + w->tag));
    assert_int_equal(w->seal.ops->seal(w->seal.context, r.wire, payload, n, r.wire + LENGTH),
                     RX_OK);
    return r;
}

static enum rx_error open_small(struct direction *w, struct small r)
{
    return open_at(&w->open, r.wire, r.wire + LENGTH, r.n + w->tag);
}

/* Refused: nothing of a key is left, and it stays refused for the same reason. */
static void expect_dead(struct rx_sealer *s, enum rx_error error)
{
    struct rx_sealer wiped;
    memset(&wiped, 0, sizeof wiped);
    wiped.failed = error;
    assert_memory_equal(s, &wiped, sizeof wiped);
    uint8_t length[LENGTH] = {0};
    uint8_t bytes[64 + RX_TAG_MAX] = {0};
    struct rx_seal seal = rx_sealer_seal(s);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(seal.ops->seal(seal.context, length, bytes, 64, bytes), error);
        assert_int_equal(open_at(&seal, length, bytes, sizeof bytes), error);
    }
    assert_memory_equal(s, &wiped, sizeof wiped);
}

/* ---- suites ----------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    unsigned named = 0;
    for (unsigned suite = 0; suite < 0x10000; suite++) {
        const char *name = rx_suite_name(suite);
        named += name != NULL;
        if (name != NULL)
            assert_int_equal(rx_suite_by_name(name), suite);
    }
    assert_int_equal(named, 3);
    assert_null(rx_suite_name(UINT32_MAX));
    assert_string_equal(rx_suite_name(0x01), "aes256gcm");
    assert_string_equal(rx_suite_name(0x02), "chacha20poly1305");
    assert_string_equal(rx_suite_name(0x04), "hmac-sha256");
    const char *const none[] = {"", "aes256gc", "aes256gcmm", "AES256GCM", "hmac-sha25", "none"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(rx_suite_by_name(none[i]), RX_SUITE_NONE);
}

static void test_suites_here(void **state)
{
    (void)state;
    unsigned here = RX_SUITE_CHACHA20POLY1305 | RX_SUITE_HMAC_SHA256;
    if (crypto_aead_aes256gcm_is_available())
        here |= RX_SUITE_AES256GCM;
    assert_int_equal(rx_suites_here(), here);
}

static void test_init_refuses(void **state)
{
    (void)state;
    static const uint8_t secret[RX_KEY_SIZE] = {1};
    unsigned refused = 0;
    for (unsigned suite = 0; suite < 0x1000; suite++) {
        if ((suite & rx_suites_here()) != 0 && (suite & (suite - 1)) == 0)
            continue;
        struct rx_sealer s;
        memset(&s, 0xa5, sizeof s);
        assert_int_equal(rx_sealer_init(&s, (enum rx_suite)suite, secret), RX_E_MISUSE);
        expect_dead(&s, RX_E_MISUSE);
        refused++;
    }
    print_message("%u suites refused\n", refused);
}

static void test_wipe(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        begin(&w, &d, s);
        rx_sealer_wipe(&w.out);
        expect_dead(&w.out, RX_E_MISUSE);
    }
}

/* ---- round trip ------------------------------------------------------------------------- */

static uint8_t payload[ROOM];

static void round_trip(struct direction *w, struct dice *d, enum rx_suite suite, size_t n)
{
    dice_fill(d, payload, n < 64 ? n : 64);
    uint8_t length[LENGTH];
    rx_put32(length, (uint32_t)(n + w->tag));
    /* In turns in place and from elsewhere; the memory ends behind the tag. */
    bool in_place = w->out.counter % 2 == 1;
    uint64_t counter = w->out.counter;
    uint8_t *bytes = guard_copy(payload, n + w->tag);
    const uint8_t *from = in_place ? bytes : payload;
    assert_int_equal(w->seal.ops->seal(w->seal.context, length, from, n, bytes), RX_OK);
    assert_int_equal(w->out.counter, counter + 1);
    if (n >= 16)
        assert_int_equal(memcmp(bytes, payload, n) == 0, suite == RX_SUITE_HMAC_SHA256);
    assert_int_equal(open_at(&w->open, length, bytes, n + w->tag), RX_OK);
    assert_memory_equal(bytes, payload, n);
    assert_int_equal(w->in.counter, w->out.counter);
}

/* All lengths to beyond a few blocks of each cipher, then some up to the longest. */
static void test_round_trip(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    dice_fill(&d, payload, sizeof payload);
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        begin(&w, &d, s);
        assert_int_equal(w.tag, s == RX_SUITE_HMAC_SHA256 ? 32 : 16);
        for (size_t n = 1; n <= 700; n++)
            round_trip(&w, &d, s, n);
        for (size_t n = 4093; n + w.tag <= ROOM; n = n * 3 / 2) {
            for (size_t k = 0; k < 4; k++)
                round_trip(&w, &d, s, n + k);
        }
        round_trip(&w, &d, s, ROOM - w.tag);
        round_trip(&w, &d, s, ROOM - w.tag);
    }
}

/* ---- known answers ---------------------------------------------------------------------- */

/* What a record must be, from the library's own calls. */
static void seal_by_hand(enum rx_suite suite, const uint8_t *secret, uint64_t counter,
                         const uint8_t *bytes, size_t n, uint8_t *wire)
{
    uint8_t key[32];
    uint8_t nonce[12] = {0};
    hand_epoch_key(secret, key);
    rx_put64(nonce + 4, counter);
    uint8_t *out = wire + LENGTH;
    if (suite == RX_SUITE_HMAC_SHA256) {
        struct hand data = {.n = 0};
        rx_put32(wire, (uint32_t)(n + 32));
        hand_put(&data, nonce + 4, 8);
        hand_put(&data, wire, LENGTH);
        hand_put(&data, bytes, n);
        memcpy(out, bytes, n);
        hand_hmac(key, 32, &data, out + n);
        return;
    }
    rx_put32(wire, (uint32_t)(n + 16));
    int (*encrypt)(unsigned char *, unsigned char *, unsigned long long *, const unsigned char *,
                   unsigned long long, const unsigned char *, unsigned long long,
                   const unsigned char *, const unsigned char *, const unsigned char *) =
        suite == RX_SUITE_AES256GCM ? crypto_aead_aes256gcm_encrypt_detached
                                    : crypto_aead_chacha20poly1305_ietf_encrypt_detached;
    assert_int_equal(encrypt(out, out + n, NULL, bytes, n, wire, LENGTH, NULL, nonce, key), 0);
}

static void test_by_hand(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        begin(&w, &d, s);
        for (uint64_t counter = 0; counter < 300; counter++) {
            uint8_t bytes[64];
            uint8_t right[sizeof(struct small)];
            size_t n = counter % 64 + 1;
            dice_fill(&d, bytes, n);
            struct small r = seal_small(&w, bytes, n);
            seal_by_hand(s, w.secret, counter, bytes, n, right);
            assert_memory_equal(r.wire, right, LENGTH + n + w.tag);
        }
    }
}

/*
 * Secret 00 01 .. 1f, payload "rexec-01": records 0 and 1. Computed by Python's hmac and by
 * OpenSSL's ciphers (python3-cryptography).
 */
static void test_known_answers(void **state)
{
    (void)state;
    static const char *const records[][2] = {
        {"00000018d6e09355267b88099ac0c8f83efc17a64005a9e959e3de37",
         "00000018ae55d9d577786b350c2774e421f131348f852398449ed57c"},
        {"0000001817b4fcf0b1c31725459beb9ec25d4c56b4ea430b6a6e8e6f",
         "000000189f26c205e95437d7e7cac75b943df79518a764979bb3ea01"},
        {"0000002872657865632d3031207f0139a712fd4ef6e2a1ecbc166410c29842e75fb9b7deae32fc85ba9f78ca",
         "0000002872657865632d30315372c83773a13997633c450f3ffa892b02dd3f71ace39a5badef007e790906a8"}};
    uint8_t secret[RX_KEY_SIZE];
    uint8_t right[128];
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)i;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct dice d = {.state = 4};
        struct direction w;
        begin(&w, &d, s);
        assert_int_equal(rx_sealer_init(&w.out, s, secret), RX_OK);
        for (size_t k = 0; k < 2; k++) {
            struct small r = seal_small(&w, (const uint8_t *)"rexec-01", 8);
            assert_int_equal(hex_bytes(records[s >> 1][k], right, sizeof right),
                             LENGTH + 8 + w.tag);
            assert_memory_equal(r.wire, right, LENGTH + 8 + w.tag);
        }
    }
}

/* ---- attacks ---------------------------------------------------------------------------- */

/* Each bit of a record: its length field, its payload, its tag. */
static void test_every_bit(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    size_t bits = 0;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        begin(&w, &d, s);
        for (size_t bit = 0; bit < 8 * (LENGTH + 40 + w.tag); bit++) {
            begin(&w, &d, s);
            struct small r = seal_small(&w, payload, 40);
            r.wire[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_int_equal(open_small(&w, r), RX_E_BAD_SEAL);
            expect_dead(&w.in, RX_E_BAD_SEAL);
            bits++;
        }
    }
    print_message("%zu bits\n", bits);
}

/* Shorter and longer than what was sealed, with the length field of the real or of the new size. */
static void test_lengths(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction w;
        begin(&w, &d, s);
        size_t right = 40 + w.tag;
        for (size_t n = 0; n <= right + 8; n++) {
            for (unsigned adjusted = 0; adjusted < 2 && n != right; adjusted++) {
                begin(&w, &d, s);
                struct small r = seal_small(&w, payload, 40);
                if (adjusted)
                    rx_put32(r.wire, (uint32_t)n);
                uint8_t *bytes = guard_copy(r.wire + LENGTH, n);
                assert_int_equal(open_at(&w.open, r.wire, bytes, n), RX_E_BAD_SEAL);
                expect_dead(&w.in, RX_E_BAD_SEAL);
            }
        }
    }
}

/* Dropped, repeated, swapped: every order of three records but the right one. */
static void test_order(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        for (size_t order = 0; order < 27; order++) {
            struct direction w;
            struct small r[3];
            begin(&w, &d, s);
            for (size_t k = 0; k < 3; k++)
                r[k] = seal_small(&w, payload, 20 + k);
            const size_t sent[] = {order % 3, order / 3 % 3, order / 9};
            size_t taken = 0;
            while (taken < 3 && open_small(&w, r[sent[taken]]) == RX_OK)
                taken++;
            size_t right = 0;
            while (right < 3 && sent[right] == right)
                right++;
            assert_int_equal(taken, right);
            if (taken < 3)
                expect_dead(&w.in, RX_E_BAD_SEAL);
        }
    }
}

/* Sent back to its sender, whose opener has the other direction's key; or of another session. */
static void test_reflected(void **state)
{
    (void)state;
    struct dice d = {.state = 8};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction there;
        struct direction back;
        begin(&there, &d, s);
        begin(&back, &d, s);
        struct small r = seal_small(&there, payload, 40);
        assert_int_equal(open_small(&back, r), RX_E_BAD_SEAL);
        expect_dead(&back.in, RX_E_BAD_SEAL);
    }
}

/* What one suite sealed, no other opens, though both had the same secret. */
static void test_other_suite(void **state)
{
    (void)state;
    struct dice d = {.state = 9};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        for (enum rx_suite t = suite_first(); t != RX_SUITE_NONE; t = suite_next(t)) {
            struct direction w;
            begin(&w, &d, s);
            assert_int_equal(rx_sealer_init(&w.in, t, w.secret), RX_OK);
            w.open = rx_sealer_seal(&w.in);
            struct small r = seal_small(&w, payload, 40);
            assert_int_equal(open_small(&w, r), s == t ? RX_OK : RX_E_BAD_SEAL);
        }
    }
}

/* A tag that is right in its first bytes only, zeros among them. */
static void test_partly_right(void **state)
{
    (void)state;
    struct dice d = {.state = 10};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        bool zero_seen[RX_TAG_MAX] = {false};
        struct direction w;
        for (unsigned round = 0; round < 4000; round++) {
            begin(&w, &d, s);
            struct small r = seal_small(&w, payload, 8);
            size_t right = round % w.tag;
            uint8_t *tag = r.wire + LENGTH + 8;
            zero_seen[right] |= tag[right > 0 ? right - 1 : 0] == 0;
            for (size_t k = right; k < w.tag; k++)
                tag[k] = (uint8_t)~tag[k];
            assert_int_equal(open_small(&w, r), RX_E_BAD_SEAL);
        }
        unsigned zeros = 0;
        for (size_t k = 0; k < w.tag; k++)
            zeros += zero_seen[k];
        assert_true(zeros >= w.tag / 3);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_suites_here),
        cmocka_unit_test(test_init_refuses),  cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_lengths),       cmocka_unit_test(test_order),
        cmocka_unit_test(test_reflected),     cmocka_unit_test(test_other_suite),
        cmocka_unit_test(test_partly_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
