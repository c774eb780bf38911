/*
 * Attackers of the handshake: who sends a proof back, replays, relays, takes another's name, or
 * guesses.
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
#include "tests/unit/scale.h"

/* ---- reflection ------------------------------------------------------------------------- */

/* The server's own proof, sent back to it as the client's response. */
static void test_proof_as_response(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct handshake_pair p;
        uint8_t m3[RX_M3_SIZE] = {'r', 'e', 'x', 'c', 3, 1, (uint8_t)s, 0};
        run_to_m2(&p, &d, s);
        memcpy(m3 + HAND_M3_RESPONSE, p.m2 + HAND_M2_PROOF, 32);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);

        /* As it stands, header and all. */
        run_to_m2(&p, &d, s);
        server_refuses(&p, p.m2, RX_E_RESPONSE_WRONG);

        /* A proof made with the key of the other role: the right text under K_s. */
        run_to_m2(&p, &d, s);
        hand_answer(p.grant.server_auth, p.m1, p.m2, m3);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);

        /* And the other way round: M2 proven with K_c. */
        run_to_m2(&p, &d, s);
        hand_prove(p.grant.client_auth, p.m1, p.m2);
        client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
    }
}

/* Messages sent back to whom they came from, or to another client of the same key. */
static void test_reflection(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        for (unsigned patched = 0; patched < 2; patched++) {
            struct handshake_pair p;
            uint8_t as_m2[RX_M2_SIZE] = {0};
            uint8_t m3[RX_M3_SIZE];
            /* M1 comes back as M2, as it is or under the right header. */
            run_to_m2(&p, &d, s);
            memcpy(as_m2, p.m1, RX_M1_SIZE);
            if (patched)
                memcpy(as_m2, p.m2, 8);
            client_refuses(&p, as_m2, patched ? RX_E_PROOF_WRONG : RX_E_NOT_REXEC);

            /* M3 comes back as M2; its response where M2 has its proof, if patched. */
            run_to_m2(&p, &d, s);
            hand_answer(p.grant.client_auth, p.m1, p.m2, m3);
            memcpy(as_m2, p.m2, sizeof as_m2);
            memcpy(as_m2, m3, patched ? 0 : sizeof m3);
            memcpy(as_m2 + HAND_M2_PROOF, m3 + HAND_M3_RESPONSE, 32);
            client_refuses(&p, as_m2, patched ? RX_E_PROOF_WRONG : RX_E_NOT_REXEC);
        }
    }
}

/* M2 comes back as the M1 of another connection, and M3 does. */
static void test_reflection_to_server(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    uint8_t kid[RX_KID_SIZE];
    struct handshake_pair p;
    handshake_run(&p, &d, RX_SUITE_CHACHA20POLY1305);
    assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, p.m2, kid),
                     RX_E_NOT_REXEC);
    uint8_t m1[RX_M1_SIZE] = {0};
    memcpy(m1, p.m3, sizeof p.m3);
    assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, m1, kid),
                     RX_E_NOT_REXEC);
    expect_server_over(&p.server, &p.grant, &p.server_pair, p.m3);
}

/* ---- replay ----------------------------------------------------------------------------- */

enum { NONCE = 1, CHALLENGE = 2, E_C = 4, E_S = 8, ALL_SAME = 15 };

/* A second session of the same client and server; what `same` names does not change. */
static void second_session(struct handshake_pair *p, const struct handshake_pair *old,
                           struct dice *d, enum rx_suite suite, unsigned same)
{
    handshake_prepare(p, d, suite);
    memcpy(p->psk, old->psk, sizeof p->psk);
    p->grant = old->grant;
    if ((same & NONCE) != 0)
        memcpy(p->nonce, old->nonce, sizeof p->nonce);
    if ((same & CHALLENGE) != 0)
        memcpy(p->challenge, old->challenge, sizeof p->challenge);
    if ((same & E_C) != 0)
        p->client_pair = old->client_pair;
    if ((same & E_S) != 0)
        p->server_pair = old->server_pair;
    assert_int_equal(handshake_m1(p), RX_OK);
    assert_int_equal(handshake_m2(p), RX_OK);
}

/*
 * Even if random numbers come again: a proof is none in another session, unless all that its
 * verifier chose itself is as it was.
 */
static void test_replay(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    unsigned replays = 0;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        /* Without key exchange the ephemeral keys are not there to differ. */
        unsigned all = s == RX_SUITE_HMAC_SHA256 ? NONCE | CHALLENGE : ALL_SAME;
        unsigned of_client = all & (NONCE | E_C);
        unsigned of_server = all & (CHALLENGE | E_S);
        for (unsigned same = 0; same < all; same++) {
            struct handshake_pair old;
            struct handshake_pair p;
            handshake_run(&old, &d, s);
            second_session(&p, &old, &d, s, same);
            if ((same & of_client) != of_client)
                client_refuses(&p, old.m2, RX_E_PROOF_WRONG);
            server_refuses(&p, old.m3, RX_E_RESPONSE_WRONG);
            replays++;
            if ((same & of_server) == of_server)
                continue;
            /* The whole of the old client. */
            second_session(&p, &old, &d, s, same);
            memcpy(p.m1, old.m1, sizeof p.m1);
            assert_int_equal(handshake_m2(&p), RX_OK);
            server_refuses(&p, old.m3, RX_E_RESPONSE_WRONG);
            replays++;
        }
    }
    print_message("%u replays\n", replays);
}

/* A message that comes twice is never what comes next. */
static void test_twice(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct handshake_pair p;
        run_to_m2(&p, &d, s);
        server_refuses(&p, p.m1, RX_E_RESPONSE_WRONG); /* its first 40 bytes */
        handshake_run(&p, &d, s);
        client_refuses(&p, p.m2, RX_E_MISUSE);
        server_refuses(&p, p.m3, RX_E_MISUSE);
    }
}

/* ---- ephemeral keys exchanged ----------------------------------------------------------- */

/* Between client and server, with key pairs of his own: he has both, but no key to prove them. */
static void test_swapped_ephemerals(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    for (enum rx_suite s = suite_first(); (s & RX_SUITES_SEALED) != 0; s = suite_next(s)) {
        struct handshake_pair p;
        struct handshake_pair attacker;
        handshake_prepare(&attacker, &d, s);
        uint8_t sent[RX_M1_SIZE];
        uint8_t m3[RX_M3_SIZE];

        /* In M2 only. */
        run_to_m2(&p, &d, s);
        memcpy(p.m2 + HAND_M2_EPHEMERAL, attacker.server_pair.public, 32);
        client_refuses(&p, p.m2, RX_E_PROOF_WRONG);

        /* In M1 only, and in both. */
        for (unsigned both = 0; both < 2; both++) {
            handshake_prepare(&p, &d, s);
            assert_int_equal(handshake_m1(&p), RX_OK);
            memcpy(sent, p.m1, sizeof sent);
            memcpy(p.m1 + HAND_M1_EPHEMERAL, attacker.client_pair.public, 32);
            assert_int_equal(handshake_m2(&p), RX_OK);
            if (both)
                memcpy(p.m2 + HAND_M2_EPHEMERAL, attacker.server_pair.public, 32);
            client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
            hand_answer(p.grant.client_auth, sent, p.m2, m3);
            server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
        }

        /* E_c for E_s and back. */
        run_to_m2(&p, &d, s);
        memcpy(p.m2 + HAND_M2_EPHEMERAL, p.client_pair.public, 32);
        client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
    }
}

/* ---- other names ------------------------------------------------------------------------ */

/* The server's side, by hand: any kid is answered with these keys, as genuine or as decoys. */
static enum rx_error answer_with(struct handshake_pair *p, const struct rx_grant_keys *keys,
                                 bool genuine)
{
    uint8_t kid[RX_KID_SIZE];
    enum rx_error error = rx_server_handshake_begin(&p->server, &p->server_offer, p->m1, kid);
    assert_int_equal(error, RX_OK);
    return rx_server_handshake_answer(&p->server, keys, genuine, p->challenge, &p->server_pair,
                                      p->m2);
}

/* A client of "alpha" is led to "beta", which has a grant of the same key under its own name. */
static void test_relay(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct handshake_pair p;
        struct rx_grant_keys beta;
        uint8_t m3[RX_M3_SIZE];
        uint8_t sent[RX_M1_SIZE];
        /* Beta's operator answers in alpha's stead with what beta holds. */
        handshake_prepare(&p, &d, s);
        assert_int_equal(rx_grant_keys_derive(p.psk, "beta", &beta), RX_OK);
        assert_int_equal(handshake_m1(&p), RX_OK);
        assert_int_equal(answer_with(&p, &beta, true), RX_OK);
        client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
        /* The client's response to it, had it made one, opens nothing at beta. */
        hand_answer(p.grant.client_auth, p.m1, p.m2, m3);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);

        /* The attacker writes beta's kid into M1, so that beta finds its grant. */
        handshake_prepare(&p, &d, s);
        assert_int_equal(handshake_m1(&p), RX_OK);
        memcpy(sent, p.m1, sizeof sent);
        memcpy(p.m1 + HAND_M1_KID, beta.kid, RX_KID_SIZE);
        assert_int_equal(answer_with(&p, &beta, true), RX_OK);
        client_refuses(&p, p.m2, RX_E_PROOF_WRONG);
        hand_answer(p.grant.client_auth, sent, p.m2, m3);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);

        /* Alpha's operator goes to beta as the client, with all that alpha holds. */
        handshake_prepare(&p, &d, s);
        assert_int_equal(rx_grant_keys_derive(p.psk, "beta", &beta), RX_OK);
        struct rx_grant_keys alpha = p.grant;
        memcpy(alpha.kid, beta.kid, sizeof alpha.kid);
        assert_int_equal(rx_client_handshake_begin(&p.client, &p.client_offer, &alpha, p.nonce,
                                                   &p.client_pair, p.m1),
                         RX_OK);
        assert_int_equal(answer_with(&p, &beta, true), RX_OK);
        hand_answer(alpha.client_auth, p.m1, p.m2, m3);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
        hand_answer(alpha.server_auth, p.m1, p.m2, m3);
        run_to_m2(&p, &d, s);
        server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
    }
}

/* Two clients of one server: who proves himself is whom M1 named, or nobody. */
static void test_other_kid(void **state)
{
    (void)state;
    struct dice d = {.state = 8};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct handshake_pair victim;
        struct handshake_pair mallory;
        uint8_t m3[RX_M3_SIZE];
        uint8_t sent[RX_M1_SIZE];
        handshake_prepare(&mallory, &d, s);
        /* Mallory names the victim, and responds with her own key. */
        run_to_m2(&victim, &d, s);
        hand_answer(mallory.grant.client_auth, victim.m1, victim.m2, m3);
        server_refuses(&victim, m3, RX_E_RESPONSE_WRONG);

        /* Mallory writes her own kid into the victim's M1, so that it runs as her (Go CVE). */
        handshake_prepare(&victim, &d, s);
        assert_int_equal(handshake_m1(&victim), RX_OK);
        memcpy(sent, victim.m1, sizeof sent);
        memcpy(victim.m1 + HAND_M1_KID, mallory.grant.kid, RX_KID_SIZE);
        assert_int_equal(answer_with(&victim, &mallory.grant, true), RX_OK);
        client_refuses(&victim, victim.m2, RX_E_PROOF_WRONG);
        hand_answer(victim.grant.client_auth, sent, victim.m2, m3);
        server_refuses(&victim, m3, RX_E_RESPONSE_WRONG);

        /* The same, but she knows K_s of her own grant and proves to the victim with it. */
        handshake_prepare(&victim, &d, s);
        assert_int_equal(handshake_m1(&victim), RX_OK);
        assert_int_equal(answer_with(&victim, &mallory.grant, true), RX_OK);
        client_refuses(&victim, victim.m2, RX_E_PROOF_WRONG);
    }
}

/* ---- decoys ----------------------------------------------------------------------------- */

/* An unknown kid: the same messages, and no session whoever knows whatever. */
static void test_decoy(void **state)
{
    (void)state;
    struct dice d = {.state = 9};
    static const uint8_t secret[RX_KEY_SIZE] = {7};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct handshake_pair known;
        struct handshake_pair unknown;
        struct rx_grant_keys decoy;
        uint8_t m3[RX_M3_SIZE];
        run_to_m2(&known, &d, s);
        handshake_prepare(&unknown, &d, s);
        assert_int_equal(handshake_m1(&unknown), RX_OK);
        assert_int_equal(rx_decoy_keys_derive(secret, unknown.grant.kid, &decoy), RX_OK);
        assert_int_equal(answer_with(&unknown, &decoy, false), RX_OK);
        assert_memory_equal(unknown.m2, known.m2, 8);
        assert_int_equal(unknown.server.step, known.server.step);
        uint8_t right[RX_M2_SIZE];
        memcpy(right, unknown.m2, sizeof right);
        hand_prove(decoy.server_auth, unknown.m1, right);
        assert_memory_equal(unknown.m2, right, sizeof right);
        client_refuses(&unknown, unknown.m2, RX_E_PROOF_WRONG);

        /* Someone who stole the decoy secret makes the right response: it is refused alike. */
        hand_answer(decoy.client_auth, unknown.m1, unknown.m2, m3);
        server_refuses(&unknown, m3, RX_E_RESPONSE_WRONG);
        hand_answer(decoy.client_auth, known.m1, known.m2, m3);
        server_refuses(&known, m3, RX_E_RESPONSE_WRONG);

        /* Expired: even with the grant's own keys, what is not genuine gets nothing. */
        handshake_prepare(&unknown, &d, s);
        assert_int_equal(handshake_m1(&unknown), RX_OK);
        assert_int_equal(answer_with(&unknown, &unknown.grant, false), RX_OK);
        hand_answer(unknown.grant.client_auth, unknown.m1, unknown.m2, m3);
        server_refuses(&unknown, m3, RX_E_RESPONSE_WRONG);
    }
}

/* All-zero keys, as left by a look-up that failed, are no way in. */
static void test_zero_keys(void **state)
{
    (void)state;
    struct dice d = {.state = 10};
    static const struct rx_grant_keys zeros;
    struct handshake_pair p;
    uint8_t m3[RX_M3_SIZE];
    run_to_m2(&p, &d, RX_SUITE_HMAC_SHA256);
    hand_answer(zeros.client_auth, p.m1, p.m2, m3);
    server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
    assert_int_equal(answer_with(&p, &zeros, false), RX_OK);
    hand_answer(zeros.client_auth, p.m1, p.m2, m3);
    server_refuses(&p, m3, RX_E_RESPONSE_WRONG);
}

/* ---- guesses ---------------------------------------------------------------------------- */

/* One guess at the server, which is then as it was before. */
static void guess_response(const struct handshake_pair *p, const uint8_t m3[static RX_M3_SIZE])
{
    struct rx_server_handshake h = p->server;
    struct rx_session_keys keys;
    if (rx_server_handshake_finish(&h, m3, &keys) != RX_E_RESPONSE_WRONG || h.step != RX_STEP_OVER)
        fail_msg("a guess was not refused");
}

static void guess_proof(const struct handshake_pair *p, const uint8_t m2[static RX_M2_SIZE])
{
    struct rx_client_handshake h = p->client;
    struct rx_session_keys keys;
    uint8_t m3[RX_M3_SIZE];
    if (rx_client_handshake_finish(&h, m2, m3, &keys, NULL) != RX_E_PROOF_WRONG ||
        h.step != RX_STEP_OVER)
        fail_msg("a guess was not refused");
}

static void test_random_guesses(void **state)
{
    (void)state;
    struct dice d = {.state = 11};
    struct handshake_pair p;
    uint8_t m2[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    run_to_m2(&p, &d, RX_SUITE_CHACHA20POLY1305);
    hand_answer(p.grant.client_auth, p.m1, p.m2, m3);
    for (size_t i = 0; i < SCALED(1000000); i++) {
        dice_fill(&d, m3 + HAND_M3_RESPONSE, 32);
        guess_response(&p, m3);
    }
    memcpy(m2, p.m2, sizeof m2);
    for (size_t i = 0; i < SCALED(200000); i++) {
        dice_fill(&d, m2 + HAND_M2_PROOF, 32);
        guess_proof(&p, m2);
    }
    print_message("%d responses, %d proofs\n", SCALED(1000000), SCALED(200000));
}

/* Right in the first n bytes only, in the last n only, in all but one. */
static void partly_right(uint8_t *out, const uint8_t *right, size_t n, unsigned where)
{
    for (size_t i = 0; i < 32; i++) {
        bool keep = where == 0 ? i < n : where == 1 ? i >= 32 - n : i != n;
        out[i] = keep ? right[i] : (uint8_t)~right[i];
    }
}

/*
 * The right proofs have a zero at every place once: to a compare as of strings, all behind it would
 * be alike (MySQL CVE-2012-2122, AMT CVE-2017-5689).
 */
static void test_partly_right(void **state)
{
    (void)state;
    struct dice d = {.state = 12};
    uint32_t response_zeros = 0;
    uint32_t proof_zeros = 0;
    size_t guesses = 0;
    for (unsigned round = 0; round < 4000; round++) {
        struct handshake_pair p;
        uint8_t m2[RX_M2_SIZE];
        uint8_t m3[RX_M3_SIZE];
        uint8_t right[RX_M3_SIZE];
        run_to_m2(&p, &d, RX_SUITE_HMAC_SHA256);
        hand_answer(p.grant.client_auth, p.m1, p.m2, right);
        memcpy(m3, right, sizeof m3);
        memcpy(m2, p.m2, sizeof m2);
        for (unsigned i = 0; i < 32; i++) {
            response_zeros |= (uint32_t)(right[HAND_M3_RESPONSE + i] == 0) << i;
            proof_zeros |= (uint32_t)(p.m2[HAND_M2_PROOF + i] == 0) << i;
        }
        for (unsigned k = round; k < (round < 30 ? round + 96 : round + 3); k++, guesses += 2) {
            partly_right(m3 + HAND_M3_RESPONSE, right + HAND_M3_RESPONSE, k / 3 % 32, k % 3);
            guess_response(&p, m3);
            partly_right(m2 + HAND_M2_PROOF, p.m2 + HAND_M2_PROOF, k / 3 % 32, k % 3);
            guess_proof(&p, m2);
        }
    }
    assert_int_equal(response_zeros, UINT32_MAX);
    assert_int_equal(proof_zeros, UINT32_MAX);
    print_message("%zu guesses\n", guesses);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proof_as_response),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_reflection_to_server),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_swapped_ephemerals),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_other_kid),
        cmocka_unit_test(test_decoy),
        cmocka_unit_test(test_zero_keys),
        cmocka_unit_test(test_random_guesses),
        cmocka_unit_test(test_partly_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
