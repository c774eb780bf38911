/* auth/request_mac.c: the MAC of requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/request_mac.h"
#include "proto/bytes.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

enum { MESSAGE = 100, SEQUENCE = 8 };

static struct rx_request_key new_key(struct dice *d, uint8_t key[static RX_KEY_SIZE])
{
    struct rx_request_key k;
    memset(&k, 0xa5, sizeof k);
    dice_fill(d, key, RX_KEY_SIZE);
    assert_int_equal(rx_request_key_init(&k, key), RX_OK);
    return k;
}

static void right_mac(const uint8_t *key, const uint8_t *bytes, size_t n, uint8_t mac[static 32])
{
    struct hand data = {.n = 0};
    hand_put(&data, bytes, n);
    hand_hmac(key, RX_KEY_SIZE, &data, mac);
}

/* The keyed state is used again and again, and each time is the first. */
static void test_sign(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    uint8_t key[RX_KEY_SIZE];
    uint8_t bytes[300];
    uint8_t mac[RX_MAC_SIZE];
    uint8_t right[RX_MAC_SIZE];
    struct rx_request_key k = new_key(&d, key);
    struct rx_request_key before = k;
    struct rx_mac m = rx_request_key_mac(&k);
    dice_fill(&d, bytes, sizeof bytes);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        right_mac(key, bytes, n, right);
        assert_int_equal(m.sign(m.context, guard_copy(bytes, n), n, mac), RX_OK);
        assert_memory_equal(mac, right, sizeof mac);
        assert_int_equal(m.verify(m.context, bytes, n, mac), RX_OK);
        assert_memory_equal(&k, &before, sizeof k);
    }
}

static void test_every_bit(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    uint8_t key[RX_KEY_SIZE];
    uint8_t bytes[64 + RX_MAC_SIZE];
    struct rx_request_key k = new_key(&d, key);
    struct rx_mac m = rx_request_key_mac(&k);
    dice_fill(&d, bytes, 64);
    assert_int_equal(m.sign(m.context, bytes, 64, bytes + 64), RX_OK);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(m.verify(m.context, bytes, 64, bytes + 64), RX_E_REQUEST_REJECTED);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_int_equal(m.verify(m.context, bytes, 64, bytes + 64), RX_OK);
    print_message("%zu bits\n", 8 * sizeof bytes);
}

/* A MAC that is right in its first bytes only, whatever stands there: zeros stop no compare. */
static void test_partly_right(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    bool zero_seen[RX_MAC_SIZE] = {false};
    for (unsigned round = 0; round < 4000; round++) {
        uint8_t key[RX_KEY_SIZE];
        uint8_t bytes[8];
        uint8_t mac[RX_MAC_SIZE];
        struct rx_request_key k = new_key(&d, key);
        struct rx_mac m = rx_request_key_mac(&k);
        dice_fill(&d, bytes, sizeof bytes);
        assert_int_equal(m.sign(m.context, bytes, sizeof bytes, mac), RX_OK);
        for (size_t right = 0; right < sizeof mac; right++) {
            uint8_t forged[RX_MAC_SIZE];
            for (size_t i = 0; i < sizeof mac; i++)
                forged[i] = i < right ? mac[i] : (uint8_t)~mac[i];
            assert_int_equal(m.verify(m.context, bytes, sizeof bytes, forged),
                             RX_E_REQUEST_REJECTED);
            zero_seen[right] |= mac[right] == 0;
        }
    }
    for (size_t i = 0; i < RX_MAC_SIZE; i++)
        assert_true(zero_seen[i]);
}

static void test_another_key(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    uint8_t key[RX_KEY_SIZE];
    uint8_t bytes[50];
    uint8_t mac[RX_MAC_SIZE];
    struct rx_request_key k = new_key(&d, key);
    struct rx_mac m = rx_request_key_mac(&k);
    dice_fill(&d, bytes, sizeof bytes);
    assert_int_equal(m.sign(m.context, bytes, sizeof bytes, mac), RX_OK);
    for (size_t bit = 0; bit < 8 * sizeof key; bit++) {
        key[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct rx_request_key other;
        assert_int_equal(rx_request_key_init(&other, key), RX_OK);
        struct rx_mac by_other = rx_request_key_mac(&other);
        assert_int_equal(by_other.verify(by_other.context, bytes, sizeof bytes, mac),
                         RX_E_REQUEST_REJECTED);
        key[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

/* ---- a chain of requests ---------------------------------------------------------------- */

struct requests {
    uint8_t key[RX_KEY_SIZE];
    struct rx_request_key client_key, monitor_key;
    struct rx_request_chain client, monitor;
    uint8_t message[3][MESSAGE + RX_REQUEST_TRAILER];
};

/* Three signed requests, and a monitor that has seen none of them. */
static void sign_three(struct requests *r, struct dice *d)
{
    r->client_key = new_key(d, r->key);
    r->monitor_key = r->client_key;
    struct rx_mac of_client = rx_request_key_mac(&r->client_key);
    struct rx_mac of_monitor = rx_request_key_mac(&r->monitor_key);
    rx_request_chain_init(&r->client, &of_client);
    rx_request_chain_init(&r->monitor, &of_monitor);
    for (size_t i = 0; i < 3; i++) {
        dice_fill(d, r->message[i], MESSAGE);
        assert_int_equal(rx_request_sign(&r->client, r->message[i], MESSAGE), RX_OK);
    }
}

static enum rx_error check(struct requests *r, size_t i)
{
    return rx_request_check(&r->monitor, r->message[i], sizeof r->message[i]);
}

static void expect_dead(struct requests *r)
{
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(check(r, i), RX_E_REQUEST_REJECTED);
}

/* docs/PROTOCOL.md, section 10: sequence from 1, MAC over all before itself. */
static void test_trailer(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    struct requests r;
    sign_three(&r, &d);
    for (size_t i = 0; i < 3; i++) {
        uint8_t right[RX_MAC_SIZE];
        assert_int_equal(rx_get64(r.message[i] + MESSAGE), i + 1);
        right_mac(r.key, r.message[i], MESSAGE + SEQUENCE, right);
        assert_memory_equal(r.message[i] + MESSAGE + SEQUENCE, right, sizeof right);
        assert_int_equal(check(&r, i), RX_OK);
    }
}

/* Dropped, repeated or swapped: all orders of three but the right one. */
static void test_order(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    for (size_t order = 1; order < 27; order++) {
        struct requests r;
        sign_three(&r, &d);
        const size_t sent[] = {order % 3, order / 3 % 3, order / 9};
        size_t taken = 0;
        while (taken < 3 && check(&r, sent[taken]) == RX_OK) {
            assert_int_equal(sent[taken], taken);
            taken++;
        }
        if (taken < 3) {
            expect_dead(&r);
        } else {
            assert_int_equal(order, 0 + 3 * 1 + 9 * 2);
        }
    }
}

static void test_request_bits(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    size_t bits = 0;
    for (; bits < 8 * (size_t)(MESSAGE + RX_REQUEST_TRAILER); bits++) {
        struct requests r;
        sign_three(&r, &d);
        r.message[0][bits / 8] ^= (uint8_t)(1U << bits % 8);
        assert_int_equal(check(&r, 0), RX_E_REQUEST_REJECTED);
        expect_dead(&r);
    }
    print_message("%zu bits\n", bits);
}

/* Cut short at either end, or longer. */
static void test_request_lengths(void **state)
{
    (void)state;
    struct dice d = {.state = 8};
    for (size_t n = 0; n <= MESSAGE + RX_REQUEST_TRAILER + 8; n++) {
        if (n == MESSAGE + RX_REQUEST_TRAILER)
            continue;
        struct requests r;
        uint8_t bytes[MESSAGE + RX_REQUEST_TRAILER + 8] = {0};
        sign_three(&r, &d);
        memcpy(bytes, r.message[0], sizeof r.message[0]);
        assert_int_equal(rx_request_check(&r.monitor, guard_copy(bytes, n), n),
                         RX_E_REQUEST_REJECTED);
        expect_dead(&r);
    }
}

/* Another session's request is as good as none. */
static void test_replay(void **state)
{
    (void)state;
    struct dice d = {.state = 9};
    struct requests first;
    struct requests second;
    sign_three(&first, &d);
    sign_three(&second, &d);
    assert_int_equal(rx_request_check(&second.monitor, first.message[0], sizeof first.message[0]),
                     RX_E_REQUEST_REJECTED);
    expect_dead(&second);
}

static void test_last_number(void **state)
{
    (void)state;
    struct dice d = {.state = 10};
    struct requests r;
    sign_three(&r, &d);
    r.client.next = r.monitor.next = UINT64_MAX - 1;
    assert_int_equal(rx_request_sign(&r.client, r.message[0], MESSAGE), RX_OK);
    assert_int_equal(check(&r, 0), RX_OK);
    assert_int_equal(rx_request_sign(&r.client, r.message[1], MESSAGE), RX_E_COUNTER_EXHAUSTED);
    /* Nor from someone who has the key. */
    rx_put64(r.message[1] + MESSAGE, UINT64_MAX);
    right_mac(r.key, r.message[1], MESSAGE + SEQUENCE, r.message[1] + MESSAGE + SEQUENCE);
    assert_int_equal(check(&r, 1), RX_E_REQUEST_REJECTED);
}

static void test_wipe(void **state)
{
    (void)state;
    struct dice d = {.state = 11};
    uint8_t key[RX_KEY_SIZE];
    struct rx_request_key k = new_key(&d, key);
    rx_request_key_wipe(&k);
    assert_true(sodium_is_zero((const uint8_t *)&k, sizeof k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),         cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_partly_right), cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_trailer),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_request_bits), cmocka_unit_test(test_request_lengths),
        cmocka_unit_test(test_replay),       cmocka_unit_test(test_last_number),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
