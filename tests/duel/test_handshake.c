/* The handshake's two machines against each other: as it should be, and with every bit altered. */
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

/* ---- as it should be -------------------------------------------------------------------- */

static void expect_header(const uint8_t *m, uint8_t type, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t right[] = {0x72, 0x65, 0x78, 0x63, type, a, b, c};
    assert_memory_equal(m, right, sizeof right);
}

/* Every byte of the three messages, from docs/PROTOCOL.md. */
static void expect_messages(const struct handshake_pair *p, enum rx_suite suite)
{
    static const uint8_t zeros[32];
    bool readable = suite == RX_SUITE_HMAC_SHA256;
    uint8_t m2[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    expect_header(p->m1, 1, 1, 1, (uint8_t)suite);
    assert_memory_equal(p->m1 + 8, p->grant.kid, 16);
    assert_memory_equal(p->m1 + 24, p->nonce, 32);
    assert_memory_equal(p->m1 + 56, readable ? zeros : p->client_pair.public, 32);

    expect_header(p->m2, 2, 1, (uint8_t)suite, 0);
    assert_memory_equal(p->m2 + 8, p->challenge, 32);
    assert_memory_equal(p->m2 + 40, readable ? zeros : p->server_pair.public, 32);
    memcpy(m2, p->m2, sizeof m2);
    hand_prove(p->grant.server_auth, p->m1, m2);
    assert_memory_equal(p->m2, m2, sizeof m2);

    expect_header(p->m3, 3, 1, (uint8_t)suite, 0);
    hand_answer(p->grant.client_auth, p->m1, p->m2, m3);
    assert_memory_equal(p->m3, m3, sizeof m3);
}

static void expect_keys(const struct handshake_pair *p, enum rx_suite suite)
{
    uint8_t shared[32] = {0};
    bool readable = suite == RX_SUITE_HMAC_SHA256;
    if (!readable) {
        assert_int_equal(crypto_scalarmult(shared, p->client_pair.secret, p->server_pair.public),
                         0);
    }
    struct rx_session_keys right;
    hand_session(p->grant.mix, readable ? NULL : shared, p->m1, p->m2, p->m3, &right);
    assert_true(hand_same(&p->client_keys, &right));
    assert_true(hand_same(&p->server_keys, &right));
}

static void test_agrees(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        for (unsigned i = 0; i < 200; i++) {
            struct handshake_pair p;
            handshake_run(&p, &d, s);
            expect_messages(&p, s);
            expect_keys(&p, s);
            /* Nothing secret stays behind with success either. */
            expect_client_over(&p.client, p.m2);
            expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);
        }
    }
}

/* ---- every bit -------------------------------------------------------------------------- */

static void flip(uint8_t *bytes, size_t bit)
{
    bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
}

/*
 * What the server says to M1 with one bit flipped. It cannot know that anything is wrong with most
 * of it: the client will, from the proof.
 */
static enum rx_error server_on_m1(const uint8_t m1[static RX_M1_SIZE])
{
    if (memcmp(m1, "rexc\x01\x01", 6) != 0 || m1[HAND_M1_MAX] < 1)
        return RX_E_NOT_REXEC;
    unsigned offered = m1[HAND_M1_SUITES] & RX_SUITES_ALL;
    bool common =
        (offered & rx_suites_here() & RX_SUITES_SEALED) != 0 || offered == RX_SUITE_HMAC_SHA256;
    return common ? RX_OK : RX_E_NO_COMMON_SUITE;
}

static void flip_in_m1(enum rx_suite s, size_t bit)
{
    struct handshake_pair p;
    struct dice d = {.state = 2};
    uint8_t sent[RX_M1_SIZE];
    uint8_t m3[RX_M3_SIZE];
    handshake_prepare(&p, &d, s);
    assert_int_equal(handshake_m1(&p), RX_OK);
    memcpy(sent, p.m1, sizeof sent);
    flip(p.m1, bit);
    memset(p.m2, UNTOUCHED, sizeof p.m2);
    enum rx_error error = handshake_m2(&p);
    assert_int_equal(error, server_on_m1(p.m1));
    if (error == RX_E_NOT_REXEC) {
        expect_untouched(p.m2, sizeof p.m2);
        expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);
        return;
    }
    client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
    /* Had the client not looked: its response is to what it sent, not to what arrived. */
    hand_answer(p.grant.client_auth, sent, p.m2, m3);
    server_refuses(&p, m3, error == RX_OK ? RX_E_RESPONSE_WRONG : RX_E_MISUSE);
}

static void flip_in_m2(enum rx_suite s, size_t bit)
{
    struct handshake_pair p;
    struct dice d = {.state = 3};
    uint8_t m3[RX_M3_SIZE];
    run_to_m2(&p, &d, s);
    flip(p.m2, bit);
    size_t byte = bit / 8;
    bool fixed = byte <= HAND_TYPE || byte == HAND_ZERO;
    client_refuses(&p, p.m2, fixed ? RX_E_NOT_REXEC : RX_E_PROOF_WRONG);
    /* Had the client not looked: the server did not send this. */
    hand_answer(p.grant.client_auth, p.m1, p.m2, m3);
    server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
}

static void flip_in_m3(enum rx_suite s, size_t bit)
{
    struct handshake_pair p;
    struct dice d = {.state = 4};
    run_to_m2(&p, &d, s);
    assert_int_equal(handshake_m3(&p), RX_OK);
    flip(p.m3, bit);
    server_refuses(&p, p.m3, RX_E_RESPONSE_WRONG);
}

/* 704 + 832 + 320 bits under each suite: every one of them is under a proof. */
static void test_every_bit(void **state)
{
    (void)state;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        size_t bits = 0;
        for (size_t bit = 0; bit < 8 * (size_t)RX_M1_SIZE; bit++, bits++)
            flip_in_m1(s, bit);
        for (size_t bit = 0; bit < 8 * (size_t)RX_M2_SIZE; bit++, bits++)
            flip_in_m2(s, bit);
        for (size_t bit = 0; bit < 8 * (size_t)RX_M3_SIZE; bit++, bits++)
            flip_in_m3(s, bit);
        print_message("%s: %zu bits\n", rx_suite_name(s), bits);
        assert_int_equal(bits, 1856);
    }
}

/* ---- every order of calls --------------------------------------------------------------- */

enum { CALLS = 6 };

/* Client: begin, finish, finish with a wrong M2, wipe. The right answer to each, by the model. */
static void client_calls(struct handshake_pair *p, unsigned sequence, unsigned *sessions)
{
    uint8_t wrong[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    struct rx_client_handshake h;
    struct rx_session_keys keys;
    bool begun = false;
    memset(&h, 0, sizeof h);
    memcpy(wrong, p->m2, sizeof wrong);
    wrong[RX_M2_SIZE - 1] ^= 1;
    for (unsigned i = 0; i < CALLS; i++, sequence /= 4) {
        switch (sequence % 4) {
        case 0:
            assert_int_equal(rx_client_handshake_begin(&h, &p->client_offer, &p->grant, p->nonce,
                                                       &p->client_pair, p->m1),
                             RX_OK);
            begun = true;
            break;
        case 1:
            assert_int_equal(rx_client_handshake_finish(&h, p->m2, m3, &keys, NULL),
                             begun ? RX_OK : RX_E_MISUSE);
            *sessions += begun;
            begun = false;
            break;
        case 2:
            assert_int_equal(rx_client_handshake_finish(&h, wrong, m3, &keys, NULL),
                             begun ? RX_E_PROOF_WRONG : RX_E_MISUSE);
            begun = false;
            break;
        default:
            rx_client_handshake_wipe(&h);
            begun = false;
        }
    }
}

/* Server: begin, answer, finish, wipe. */
static void server_calls(struct handshake_pair *p, unsigned sequence, unsigned *sessions)
{
    uint8_t kid[RX_KID_SIZE];
    uint8_t m2[RX_M2_SIZE];
    struct rx_server_handshake h;
    struct rx_session_keys keys;
    enum rx_handshake_step step = RX_STEP_NEW;
    memset(&h, 0, sizeof h);
    for (unsigned i = 0; i < CALLS; i++, sequence /= 4) {
        switch (sequence % 4) {
        case 0:
            assert_int_equal(rx_server_handshake_begin(&h, &p->server_offer, p->m1, kid), RX_OK);
            step = RX_STEP_BEGUN;
            break;
        case 1:
            assert_int_equal(
                rx_server_handshake_answer(&h, &p->grant, true, p->challenge, &p->server_pair, m2),
                step == RX_STEP_BEGUN ? RX_OK : RX_E_MISUSE);
            step = step == RX_STEP_BEGUN ? RX_STEP_ANSWERED : RX_STEP_OVER;
            break;
        case 2:
            assert_int_equal(rx_server_handshake_finish(&h, p->m3, &keys),
                             step == RX_STEP_ANSWERED ? RX_OK : RX_E_MISUSE);
            *sessions += step == RX_STEP_ANSWERED;
            step = RX_STEP_OVER;
            break;
        default:
            rx_server_handshake_wipe(&h);
            step = RX_STEP_OVER;
        }
        assert_int_equal(h.step, step);
    }
}

/* All 4,096 sequences of six calls, on each side: none but the right order gives a session. */
static void test_call_order(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    struct handshake_pair p;
    unsigned sessions = 0;
    handshake_run(&p, &d, RX_SUITE_HMAC_SHA256);
    for (unsigned sequence = 0; sequence < 1U << 2 * CALLS; sequence++) {
        client_calls(&p, sequence, &sessions);
        server_calls(&p, sequence, &sessions);
    }
    print_message("%u sequences on each side, %u sessions\n", 1U << 2 * CALLS, sessions);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_call_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
