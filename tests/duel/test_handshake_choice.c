/*
 * Versions and suites: what is chosen, what an attacker would like to be chosen, what a server that
 * has the keys may not choose. And the values that must not be zero or of small order.
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
#include "tests/duel/handshake_checks.h"
#include "tests/duel/session.h"
#include "tests/duel/suites.h"
#include "tests/unit/hex.h"

enum { BYTES = 256 };

static bool one_bit(unsigned suite)
{
    return suite == 1 || suite == 2 || suite == 4;
}

/* ---- what is chosen --------------------------------------------------------------------- */

/* The server's rule, from docs/PROTOCOL.md: 0 for no common suite. */
static unsigned suite_of(unsigned offered, unsigned configured)
{
    unsigned usable = offered & configured & rx_suites_here();
    if ((usable & 1) != 0)
        return 1;
    if ((usable & 2) != 0)
        return 2;
    return (offered & 7) == 4 && (usable & 4) != 0 ? 4 : 0;
}

static unsigned version_of(const struct rx_offer *a, const struct rx_offer *b)
{
    unsigned low = a->version_min > b->version_min ? a->version_min : b->version_min;
    unsigned high = a->version_max < b->version_max ? a->version_max : b->version_max;
    return low <= high ? high : 0;
}

/* Offers that this client may make: suites that are sealed, or the readable one alone. */
static bool may_offer(const struct rx_offer *o)
{
    bool suites = (o->suites >= 1 && o->suites <= 3) || o->suites == 4;
    return suites && o->version_min >= 1 && o->version_min <= o->version_max;
}

/* Both ends, whatever they offer: what they come to, and that both come to the same. */
static void negotiate(struct handshake_pair *p, const struct rx_offer *client,
                      const struct rx_offer *server)
{
    p->client_offer = *client;
    p->server_offer = *server;
    assert_int_equal(handshake_m1(p), RX_OK);
    unsigned version = version_of(client, server);
    unsigned suite = version != 0 ? suite_of(client->suites, server->suites) : 0;
    enum rx_error right = version == 0 ? RX_E_NO_COMMON_VERSION
                          : suite == 0 ? RX_E_NO_COMMON_SUITE
                                       : RX_OK;
    assert_int_equal(handshake_m2(p), right);
    assert_int_equal(p->m2[HAND_VERSION], version != 0 ? version : server->version_max);
    assert_int_equal(p->m2[HAND_SUITE], suite);
    uint8_t server_version = 0;
    memset(p->m3, UNTOUCHED, sizeof p->m3);
    assert_int_equal(
        rx_client_handshake_finish(&p->client, p->m2, p->m3, &p->client_keys, &server_version),
        right);
    assert_int_equal(server_version, p->m2[HAND_VERSION]);
    if (right != RX_OK) {
        assert_true(sodium_is_zero(p->m2 + HAND_M2_EPHEMERAL, 32));
        expect_untouched(p->m3, sizeof p->m3);
        expect_client_over(&p->client, p->m2);
        expect_server_over(&p->server, &p->grant, &p->server_pair, p->m3);
        return;
    }
    assert_int_equal(handshake_end(p), RX_OK);
    assert_true(hand_same(&p->client_keys, &p->server_keys));
    assert_int_equal(p->client_keys.version, version);
    assert_int_equal(p->client_keys.suite, suite);
}

static void test_every_pair_of_offers(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    struct handshake_pair p;
    static const uint8_t versions[][2] = {{1, 1}, {1, 2}, {2, 2}, {1, 255}, {3, 7}, {255, 255}};
    enum { RANGES = sizeof versions / sizeof versions[0] };
    unsigned pairs = 0;
    handshake_prepare(&p, &d, RX_SUITE_NONE);
    for (unsigned i = 0; i < RANGES * 8 * RANGES * 8; i++) {
        const uint8_t *c = versions[i / 8 % RANGES];
        const uint8_t *s = versions[i / 64 / RANGES];
        struct rx_offer client = {c[0], c[1], (uint8_t)(i % 8)};
        struct rx_offer server = {s[0], s[1], (uint8_t)(i / 8 / RANGES % 8)};
        if (!may_offer(&client))
            continue;
        negotiate(&p, &client, &server);
        pairs++;
    }
    print_message("%u pairs of offers\n", pairs);
}

/* What a client may not offer: all other suites, ranges that are none, AEAD without a key pair. */
static void test_bad_offers(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    struct handshake_pair p;
    handshake_prepare(&p, &d, RX_SUITE_NONE);
    static const uint8_t versions[] = {0, 1, 2, 127, 128, 255};
    for (unsigned i = 0; i < 6 * 6 * BYTES; i++) {
        struct rx_offer o = {versions[i % 6], versions[i / 6 % 6], (uint8_t)(i / 36)};
        for (unsigned paired = 0; paired < 2; paired++) {
            struct rx_client_handshake h;
            uint8_t m1[RX_M1_SIZE];
            memset(m1, UNTOUCHED, sizeof m1);
            bool good = may_offer(&o) && (paired || o.suites == 4);
            assert_int_equal(rx_client_handshake_begin(&h, &o, &p.grant, p.nonce,
                                                       paired ? &p.client_pair : NULL, m1),
                             good ? RX_OK : RX_E_MISUSE);
            if (!good) {
                expect_untouched(m1, sizeof m1);
                expect_client_over(&h, p.m2);
            } else if (o.suites == 4) {
                assert_true(sodium_is_zero(m1 + HAND_M1_EPHEMERAL, 32));
            }
        }
    }
}

/* M1 of any client, today's or to come: every range, and every byte of suites. */
static void test_any_m1(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    struct handshake_pair p;
    uint8_t kid[RX_KID_SIZE];
    handshake_prepare(&p, &d, RX_SUITE_CHACHA20POLY1305);
    assert_int_equal(handshake_m1(&p), RX_OK);
    for (unsigned i = 0; i < BYTES * BYTES; i++) {
        uint8_t min = (uint8_t)(i % BYTES);
        uint8_t max = (uint8_t)(i / BYTES);
        p.m1[HAND_M1_MIN] = min;
        p.m1[HAND_M1_MAX] = max;
        assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, p.m1, kid),
                         min >= 1 && max >= min ? RX_OK : RX_E_NOT_REXEC);
    }
    p.m1[HAND_M1_MIN] = 1;
    for (unsigned i = 0; i < BYTES * 8; i++) {
        p.m1[HAND_M1_SUITES] = (uint8_t)(i % BYTES);
        p.server_offer.suites = (uint8_t)(i / BYTES);
        unsigned suite = suite_of(i % BYTES, i / BYTES);
        assert_int_equal(handshake_m2(&p), suite != 0 ? RX_OK : RX_E_NO_COMMON_SUITE);
        assert_int_equal(p.m2[HAND_VERSION], 1);
        assert_int_equal(p.m2[HAND_SUITE], suite);
        if (suite == 0)
            continue;
        /* Such a client, by hand, is let in. */
        hand_answer(p.grant.client_auth, p.m1, p.m2, p.m3);
        assert_int_equal(handshake_end(&p), RX_OK);
    }
}

static void test_bad_server_offers(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    struct handshake_pair p;
    run_to_m2(&p, &d, RX_SUITE_HMAC_SHA256);
    static const struct rx_offer bad[] = {{0, 1, 7}, {0, 0, 7}, {2, 1, 7}, {255, 254, 7}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        p.server_offer = bad[i];
        assert_int_equal(handshake_m2(&p), RX_E_MISUSE);
        expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);
    }
}

/* ---- an attacker chooses ---------------------------------------------------------------- */

/* In M1: fewer suites, the readable one, lower versions. The server follows, the client does not.
 */
static void test_downgrade_in_m1(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    for (unsigned offered = 1; offered <= 3; offered++) {
        for (unsigned altered = 0; altered < BYTES; altered++) {
            struct handshake_pair p;
            handshake_prepare(&p, &d, RX_SUITE_NONE);
            p.client_offer = (struct rx_offer){1, 9, (uint8_t)offered};
            p.server_offer = (struct rx_offer){1, 9, RX_SUITES_ALL};
            assert_int_equal(handshake_m1(&p), RX_OK);
            if (altered != offered) {
                p.m1[HAND_M1_SUITES] = (uint8_t)altered;
                (void)handshake_m2(&p);
                client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
                assert_int_equal(handshake_m1(&p), RX_OK);
            }
            if (altered >= 1 && altered != 9) {
                p.m1[HAND_M1_MAX] = (uint8_t)altered;
                (void)handshake_m2(&p); /* without AES there is no common suite to 1 */
                assert_int_equal(p.m2[HAND_VERSION], altered < 9 ? altered : 9);
                client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
            }
        }
    }
}

/* In M2, every version and suite, "none" too: without K_s there is no such M2. */
static void test_downgrade_in_m2(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    struct handshake_pair p;
    handshake_prepare(&p, &d, RX_SUITE_NONE);
    p.client_offer = (struct rx_offer){1, 9, RX_SUITES_SEALED};
    p.server_offer = (struct rx_offer){1, 9, RX_SUITES_ALL};
    assert_int_equal(handshake_m1(&p), RX_OK);
    assert_int_equal(handshake_m2(&p), RX_OK);
    const struct rx_client_handshake begun = p.client;
    for (unsigned i = 0; i < BYTES * BYTES; i++) {
        uint8_t m2[RX_M2_SIZE];
        memcpy(m2, p.m2, sizeof m2);
        m2[HAND_VERSION] = (uint8_t)(i % BYTES);
        m2[HAND_SUITE] = (uint8_t)(i / BYTES);
        if (memcmp(m2, p.m2, sizeof m2) == 0)
            continue;
        if (i % 2 == 0) /* an attacker who has no better proof than none */
            memset(m2 + HAND_M2_PROOF, 0, 32);
        p.client = begun;
        client_refuses(&p, m2, RX_E_PROOF_WRONG);
    }
}

/* ---- a server that lies ----------------------------------------------------------------- */

/* It holds K_s and proves what it likes; the client still takes nothing that it did not offer. */
static void lie(struct handshake_pair *p, const struct rx_client_handshake *begun, unsigned version,
                unsigned suite)
{
    const struct rx_offer *o = &p->client_offer;
    p->m2[HAND_VERSION] = (uint8_t)version;
    p->m2[HAND_SUITE] = (uint8_t)suite;
    memcpy(p->m2 + HAND_M2_EPHEMERAL, p->server_pair.public, 32);
    if (suite == RX_SUITE_HMAC_SHA256)
        memset(p->m2 + HAND_M2_EPHEMERAL, 0, 32);
    hand_prove(p->grant.server_auth, p->m1, p->m2);
    bool offered = version >= o->version_min && version <= o->version_max;
    enum rx_error right = RX_OK;
    if (suite == 0) {
        right = offered ? RX_E_NO_COMMON_SUITE : RX_E_NO_COMMON_VERSION;
    } else if (!offered || !one_bit(suite) || (o->suites & suite) == 0) {
        right = RX_E_DOWNGRADE;
    }
    p->client = *begun;
    if (right != RX_OK) {
        client_refuses(p, p->m2, right);
        return;
    }
    assert_int_equal(handshake_m3(p), RX_OK);
    assert_int_equal(p->client_keys.version, version);
    assert_int_equal(p->client_keys.suite, suite);
}

static void test_lying_server(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    static const struct rx_offer offers[] = {{1, 1, 1}, {1, 1, 2}, {1, 1, 3}, {1, 1, 4}, {3, 5, 3}};
    for (size_t k = 0; k < sizeof offers / sizeof offers[0]; k++) {
        struct handshake_pair p;
        handshake_prepare(&p, &d, RX_SUITE_NONE);
        p.client_offer = offers[k];
        p.server_offer = (struct rx_offer){1, 255, RX_SUITES_ALL};
        assert_int_equal(handshake_m1(&p), RX_OK);
        (void)handshake_m2(&p); /* no common suite where there is no AES; the lie does not care */
        const struct rx_client_handshake begun = p.client;
        for (unsigned i = 0; i < BYTES * BYTES; i++)
            lie(&p, &begun, i % BYTES, i / BYTES);
    }
    print_message("%d versions and suites to %zu offers\n", BYTES * BYTES,
                  sizeof offers / sizeof offers[0]);
}

/* ---- zeros ------------------------------------------------------------------------------ */

static void test_zero_nonce(void **state)
{
    (void)state;
    struct dice d = {.state = 8};
    struct handshake_pair p;
    uint8_t kid[RX_KID_SIZE];
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        run_to_m2(&p, &d, s);
        memset(p.nonce, 0, sizeof p.nonce);
        assert_int_equal(handshake_m1(&p), RX_E_ZERO_VALUE);
        expect_client_over(&p.client, p.m2);
        memset(p.m1 + HAND_M1_NONCE, 0, 32);
        assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, p.m1, kid),
                         RX_E_ZERO_VALUE);
        expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);
        for (size_t bit = 0; bit < 256; bit++) {
            p.nonce[bit / 8] = (uint8_t)(1U << bit % 8);
            assert_int_equal(handshake_m1(&p), RX_OK);
            assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, p.m1, kid),
                             RX_OK);
            p.nonce[bit / 8] = 0;
        }
    }
}

static void test_zero_challenge(void **state)
{
    (void)state;
    struct dice d = {.state = 9};
    struct handshake_pair p;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        /* Our server makes none. */
        handshake_prepare(&p, &d, s);
        assert_int_equal(handshake_m1(&p), RX_OK);
        memset(p.challenge, 0, sizeof p.challenge);
        memset(p.m2, UNTOUCHED, sizeof p.m2);
        assert_int_equal(handshake_m2(&p), RX_E_ZERO_VALUE);
        expect_untouched(p.m2, sizeof p.m2);
        expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);

        /* Our client takes none, from a server that proves it (Zerologon). */
        run_to_m2(&p, &d, s);
        memset(p.m2 + HAND_M2_CHALLENGE, 0, 32);
        hand_prove(p.grant.server_auth, p.m1, p.m2);
        client_refuses(&p, p.m2, RX_E_ZERO_VALUE);
        run_to_m2(&p, &d, s);
        memset(p.m2 + HAND_M2_CHALLENGE, 0, 32);
        p.m2[HAND_M2_CHALLENGE + 31] = 1;
        hand_prove(p.grant.server_auth, p.m1, p.m2);
        assert_int_equal(handshake_m3(&p), RX_OK);
    }
}

/* Where no keys are exchanged, M2 must not carry one. */
static void test_ephemeral_not_zero(void **state)
{
    (void)state;
    struct dice d = {.state = 10};
    for (size_t bit = 0; bit < 256; bit++) {
        struct handshake_pair p;
        run_to_m2(&p, &d, RX_SUITE_HMAC_SHA256);
        p.m2[HAND_M2_EPHEMERAL + bit / 8] = (uint8_t)(1U << bit % 8);
        hand_prove(p.grant.server_auth, p.m1, p.m2);
        client_refuses(&p, p.m2, RX_E_ZERO_VALUE);
    }
}

/* ---- points of small order -------------------------------------------------------------- */

/* From a side that has proven itself: the shared secret would be zero, and known to all. */
static void test_small_order(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct dice d = {.state = 11};
    unsigned refused = 0;
    for (enum rx_suite s = suite_first(); (s & RX_SUITES_SEALED) != 0; s = suite_next(s)) {
        for (size_t i = 0; i < 2 * sizeof points / sizeof points[0]; i++) {
            struct handshake_pair p;
            uint8_t point[32];
            uint8_t m3[RX_M3_SIZE];
            assert_int_equal(hex_bytes(points[i / 2], point, sizeof point), 32);
            point[31] |= (uint8_t)(i % 2 << 7);

            run_to_m2(&p, &d, s);
            memcpy(p.m2 + HAND_M2_EPHEMERAL, point, 32);
            hand_prove(p.grant.server_auth, p.m1, p.m2);
            client_refuses(&p, p.m2, RX_E_LOW_ORDER);

            handshake_prepare(&p, &d, s);
            assert_int_equal(handshake_m1(&p), RX_OK);
            memcpy(p.m1 + HAND_M1_EPHEMERAL, point, 32);
            assert_int_equal(handshake_m2(&p), RX_OK);
            hand_answer(p.grant.client_auth, p.m1, p.m2, m3);
            server_refuses(&p, m3, RX_E_LOW_ORDER);
            refused += 2;
        }
    }
    print_message("%u refused\n", refused);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair_of_offers),
        cmocka_unit_test(test_bad_offers),
        cmocka_unit_test(test_any_m1),
        cmocka_unit_test(test_bad_server_offers),
        cmocka_unit_test(test_downgrade_in_m1),
        cmocka_unit_test(test_downgrade_in_m2),
        cmocka_unit_test(test_lying_server),
        cmocka_unit_test(test_zero_nonce),
        cmocka_unit_test(test_zero_challenge),
        cmocka_unit_test(test_ephemeral_not_zero),
        cmocka_unit_test(test_small_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
