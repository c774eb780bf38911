/* proto/request.c: requests in their order, each as it was signed, or none at all any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/request_mac.h"
#include "proto/bytes.h"
#include "proto/request.h"
#include "tests/duel/session.h"
#include "tests/duel/toy.h"
#include "tests/unit/guard.h"

enum {
    ROOM = 4096,
    REQUESTS = 12,
    TRAILER = 40,
};

/* Both sides under one key, and some requests that were signed in their order. */
struct pair {
    struct rx_request_key key;
    struct rx_mac mac;
    struct rx_request_chain signer, checker;
    struct {
        uint8_t bytes[ROOM];
        size_t n; /* with the trailer */
    } requests[REQUESTS];
};

static void pair_open(struct pair *p, uint8_t seed)
{
    uint8_t key[RX_KEY_SIZE] = {seed};
    assert_int_equal(rx_request_key_init(&p->key, key), RX_OK);
    p->mac = rx_request_key_mac(&p->key);
    rx_request_chain_init(&p->signer, &p->mac);
    rx_request_chain_init(&p->checker, &p->mac);
}

static void pair_sign(struct pair *p, uint64_t seed)
{
    struct dice d = {.state = seed};
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t n = i == 0 ? RX_MESSAGE_HEAD : RX_MESSAGE_HEAD + dice_below(&d, 200);
        dice_fill(&d, p->requests[i].bytes, n);
        assert_int_equal(rx_request_sign(&p->signer, p->requests[i].bytes, n), RX_OK);
        p->requests[i].n = n + TRAILER;
    }
}

static enum rx_error check(struct pair *p, size_t i)
{
    const uint8_t *bytes = guard_copy(p->requests[i].bytes, p->requests[i].n);
    return rx_request_check(&p->checker, bytes, p->requests[i].n);
}

/* Once refused, always refused: also what was right. */
static void expect_over(struct pair *p, enum rx_error error)
{
    assert_int_equal(p->checker.failed, error);
    for (size_t i = 0; i < REQUESTS; i++)
        assert_int_equal(check(p, i), error);
}

static void fresh_checker(struct pair *p)
{
    rx_request_chain_init(&p->checker, &p->mac);
}

static void test_in_order(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, 1);
    pair_sign(&p, 1);
    for (size_t i = 0; i < REQUESTS; i++)
        assert_int_equal(check(&p, i), RX_OK);
    assert_int_equal(p.signer.next, REQUESTS + 1);
    assert_int_equal(p.checker.next, REQUESTS + 1);
}

/* The trailer is what the document says, computed here with libsodium alone. */
static void test_layout(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, 7);
    pair_sign(&p, 2);
    uint8_t key[crypto_auth_hmacsha256_KEYBYTES] = {7}, mac[crypto_auth_hmacsha256_BYTES];
    for (size_t i = 0; i < REQUESTS; i++) {
        const uint8_t *bytes = p.requests[i].bytes;
        size_t n = p.requests[i].n;
        assert_int_equal(rx_get64(bytes + n - 40), i + 1);
        assert_int_equal(crypto_auth_hmacsha256(mac, bytes, n - 32, key), 0);
        assert_memory_equal(bytes + n - 32, mac, 32);
    }
}

static void test_each_bit_flipped(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, 1);
    pair_sign(&p, 3);
    for (size_t i = 0; i < REQUESTS; i++) {
        for (size_t bit = 0; bit < 8 * p.requests[i].n; bit++) {
            fresh_checker(&p);
            p.checker.next = i + 1;
            p.requests[i].bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_int_equal(check(&p, i), RX_E_REQUEST_REJECTED);
            p.requests[i].bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_int_equal(check(&p, i), RX_E_REQUEST_REJECTED);
            assert_int_equal(p.checker.next, i + 1);
        }
        fresh_checker(&p);
        p.checker.next = i + 1;
        assert_int_equal(check(&p, i), RX_OK);
    }
}

/* Every other order of two: repeated, swapped, with one left out. */
static void test_order(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, 1);
    pair_sign(&p, 4);
    for (size_t good = 0; good < REQUESTS; good++) {
        for (size_t other = 0; other < REQUESTS; other++) {
            fresh_checker(&p);
            for (size_t i = 0; i < good; i++)
                assert_int_equal(check(&p, i), RX_OK);
            if (other == good)
                continue;
            assert_int_equal(check(&p, other), RX_E_REQUEST_REJECTED);
            assert_int_equal(p.checker.next, good + 1);
            expect_over(&p, RX_E_REQUEST_REJECTED);
        }
    }
}

static void test_truncated(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, 1);
    pair_sign(&p, 5);
    for (size_t n = 0; n < p.requests[0].n; n++) {
        fresh_checker(&p);
        assert_int_equal(rx_request_check(&p.checker, guard_copy(p.requests[0].bytes, n), n),
                         RX_E_REQUEST_REJECTED);
        expect_over(&p, RX_E_REQUEST_REJECTED);
    }
    /* And cut from the front, or longer. */
    for (size_t n = 0; n < p.requests[1].n; n++) {
        fresh_checker(&p);
        p.checker.next = 2;
        const uint8_t *bytes = guard_copy(p.requests[1].bytes, p.requests[1].n);
        enum rx_error error = rx_request_check(&p.checker, bytes + n, p.requests[1].n - n);
        assert_int_equal(error, n == 0 ? RX_OK : RX_E_REQUEST_REJECTED);
    }
    fresh_checker(&p);
    assert_int_equal(rx_request_check(&p.checker, p.requests[0].bytes, p.requests[0].n + 1),
                     RX_E_REQUEST_REJECTED);
}

/* What is too short to be a request is not even shown to the MAC. */
static void test_shorter_than_a_request(void **state)
{
    (void)state;
    struct toy_mac toy = {0};
    struct rx_mac mac = toy_mac(&toy);
    for (size_t n = 0; n < RX_MESSAGE_HEAD + TRAILER; n++) {
        struct rx_request_chain chain;
        uint8_t bytes[RX_MESSAGE_HEAD + TRAILER] = {0};
        rx_request_chain_init(&chain, &mac);
        assert_int_equal(rx_request_check(&chain, guard_copy(bytes, n), n), RX_E_REQUEST_REJECTED);
        assert_int_equal(chain.failed, RX_E_REQUEST_REJECTED);
    }
    assert_int_equal(toy.calls, 0);
}

static void test_other_key(void **state)
{
    (void)state;
    static struct pair p, other;
    pair_open(&p, 1);
    pair_open(&other, 2);
    pair_sign(&p, 6);
    for (size_t i = 0; i < REQUESTS; i++) {
        fresh_checker(&other);
        other.checker.next = i + 1;
        assert_int_equal(rx_request_check(&other.checker, p.requests[i].bytes, p.requests[i].n),
                         RX_E_REQUEST_REJECTED);
    }
}

/* Sequence numbers do not begin at 0, are not compared modulo anything, and end. */
static void test_sequence_bounds(void **state)
{
    (void)state;
    static struct pair p;
    uint8_t bytes[RX_MESSAGE_HEAD + TRAILER] = {0};
    static const uint64_t wrong[] = {0, 2, 257, 65537, (uint64_t)1 << 32 | 1, UINT64_MAX};
    pair_open(&p, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rx_mac *mac = &p.mac;
        fresh_checker(&p);
        rx_put64(bytes + RX_MESSAGE_HEAD, wrong[i]);
        assert_int_equal(mac->sign(mac->context, bytes, sizeof bytes - 32, bytes + 16), RX_OK);
        assert_int_equal(rx_request_check(&p.checker, bytes, sizeof bytes), RX_E_REQUEST_REJECTED);
    }

    p.signer.next = p.checker.next = UINT64_MAX - 2;
    fresh_checker(&p);
    p.checker.next = UINT64_MAX - 2;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rx_request_sign(&p.signer, bytes, RX_MESSAGE_HEAD), RX_OK);
        assert_int_equal(rx_request_check(&p.checker, bytes, sizeof bytes), RX_OK);
    }
    assert_int_equal(p.signer.next, UINT64_MAX);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rx_request_sign(&p.signer, bytes, RX_MESSAGE_HEAD),
                         RX_E_COUNTER_EXHAUSTED);
    rx_put64(bytes + RX_MESSAGE_HEAD, UINT64_MAX);
    assert_int_equal(p.mac.sign(p.mac.context, bytes, sizeof bytes - 32, bytes + 16), RX_OK);
    assert_int_equal(rx_request_check(&p.checker, bytes, sizeof bytes), RX_E_REQUEST_REJECTED);
}

/* A chain whose MAC failed once says so for ever, and does not ask it again. */
static void test_failing_mac(void **state)
{
    (void)state;
    uint8_t bytes[RX_MESSAGE_HEAD + TRAILER] = {0};
    for (unsigned checking = 0; checking < 2; checking++) {
        struct toy_mac toy = {.fail_at = 2};
        struct rx_mac mac = toy_mac(&toy);
        struct rx_request_chain chain;
        rx_request_chain_init(&chain, &mac);
        assert_int_equal(rx_request_sign(&chain, bytes, RX_MESSAGE_HEAD), RX_OK);
        for (unsigned i = 0; i < 3; i++) {
            chain.next = 1;
            enum rx_error error = checking != 0 ? rx_request_check(&chain, bytes, sizeof bytes)
                                                : rx_request_sign(&chain, bytes, RX_MESSAGE_HEAD);
            assert_int_equal(error, RX_E_CRYPTO_FAILED);
            assert_int_equal(chain.next, 1);
            assert_int_equal(toy.calls, 2);
        }
    }
}

static int initialise(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),         cmocka_unit_test(test_layout),
        cmocka_unit_test(test_each_bit_flipped), cmocka_unit_test(test_order),
        cmocka_unit_test(test_truncated),        cmocka_unit_test(test_shorter_than_a_request),
        cmocka_unit_test(test_other_key),        cmocka_unit_test(test_sequence_bounds),
        cmocka_unit_test(test_failing_mac),
    };
    return cmocka_run_group_tests(tests, initialise, NULL);
}
