/*
 * The handshake and the records in constant time: no branch and no address depends on a key, on
 * whether a client is known, or on what is sealed. An attacker sees M1, M2, M3, the records with
 * their lengths, and whether they were taken; that alone is made public here, each where it is
 * sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/handshake.h"
#include "auth/request_mac.h"
#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"
#include "tests/duel/suites.h"
#include "tests/unit/ct.h"

enum { PAYLOAD = 100, CHOICES = RX_SUITES_SEALED };

/* Whether the mark has come this far: all would be well if it had been lost on the way. */
static void expect_secret(const void *bytes, size_t n)
{
    uint8_t marks[256];
    assert_true(n <= sizeof marks);
    memset(marks, 0xff, sizeof marks);
    void *at = NULL;
    memcpy(&at, &bytes, sizeof at); /* without its const */
    (void)VALGRIND_GET_VBITS(at, marks, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(marks[i], 0xff);
}

static void expect_secret_grant(const struct rx_grant_keys *keys)
{
    expect_secret(keys->client_auth, sizeof keys->client_auth);
    expect_secret(keys->server_auth, sizeof keys->server_auth);
    expect_secret(keys->mix, sizeof keys->mix);
}

/* ---- both ends -------------------------------------------------------------------------- */

/* Client and server up to M2, everything secret marked so. */
struct duel {
    struct rx_offer offer;
    uint8_t psk[RX_KEY_SIZE], decoy_secret[RX_KEY_SIZE];
    struct rx_grant_keys client_grant, server_grant;
    struct rx_key_pair client_pair, server_pair;
    uint8_t nonce[RX_KEY_SIZE], challenge[RX_KEY_SIZE];
    struct rx_client_handshake client;
    struct rx_server_handshake server;
    uint8_t m1[RX_M1_SIZE], m2[RX_M2_SIZE], m3[RX_M3_SIZE];
    struct rx_session_keys client_keys, server_keys;
};

static void secret_pair(struct rx_key_pair *pair, struct dice *d)
{
    uint8_t random[RX_KEY_SIZE];
    dice_fill(d, random, sizeof random);
    ct_secret(random, sizeof random);
    assert_int_equal(rx_key_pair_make(random, pair), RX_OK);
    expect_secret(pair->secret, sizeof pair->secret);
    expect_secret(pair->public, sizeof pair->public - 1); /* of the last, one bit is known */
}

static void begin_client(struct duel *w, struct dice *d, enum rx_suite suite)
{
    memset(w, 0, sizeof *w);
    w->offer = (struct rx_offer){RX_VERSION, RX_VERSION, (uint8_t)suite};
    dice_fill(d, w->psk, sizeof w->psk);
    dice_fill(d, w->decoy_secret, sizeof w->decoy_secret);
    dice_fill(d, w->nonce, sizeof w->nonce);
    dice_fill(d, w->challenge, sizeof w->challenge);
    ct_secret(w->psk, sizeof w->psk);
    ct_secret(w->decoy_secret, sizeof w->decoy_secret);
    assert_int_equal(rx_grant_keys_derive(w->psk, "Lab01", &w->client_grant), RX_OK);
    secret_pair(&w->client_pair, d);
    secret_pair(&w->server_pair, d);

    assert_int_equal(rx_client_handshake_begin(&w->client, &w->offer, &w->client_grant, w->nonce,
                                               &w->client_pair, w->m1),
                     RX_OK);
    ct_public(w->m1, sizeof w->m1);
    expect_secret_grant(&w->client.keys);
}

/* The server's keys: the grant's, or decoys for a client that it does not know. */
static void begin_server(struct duel *w, bool known)
{
    uint8_t kid[RX_KID_SIZE];
    const struct rx_offer all = {RX_VERSION, RX_VERSION, RX_SUITES_ALL};
    assert_int_equal(rx_server_handshake_begin(&w->server, &all, w->m1, kid), RX_OK);
    assert_int_equal(rx_decoy_keys_derive(w->decoy_secret, kid, &w->server_grant), RX_OK);
    if (known)
        w->server_grant = w->client_grant;
    bool genuine = known;
    ct_secret(&genuine, sizeof genuine);
    assert_int_equal(rx_server_handshake_answer(&w->server, &w->server_grant, genuine, w->challenge,
                                                &w->server_pair, w->m2),
                     RX_OK);
    ct_public(w->m2, sizeof w->m2);
    expect_secret_grant(&w->server.keys);
    expect_secret(&w->server.genuine, sizeof w->server.genuine);
}

static void begin(struct duel *w, struct dice *d, enum rx_suite suite, bool known)
{
    begin_client(w, d, suite);
    begin_server(w, known);
}

static enum rx_error client_finish(struct duel *w)
{
    enum rx_error error =
        rx_client_handshake_finish(&w->client, w->m2, w->m3, &w->client_keys, NULL);
    ct_public(w->m3, sizeof w->m3);
    return error;
}

static enum rx_error server_finish(struct duel *w)
{
    return rx_server_handshake_finish(&w->server, w->m3, &w->server_keys);
}

/* Who has made the right response knows that the client is known. */
static void run(struct duel *w, struct dice *d, enum rx_suite suite)
{
    begin(w, d, suite, true);
    assert_int_equal(client_finish(w), RX_OK);
    ct_public(&w->server.genuine, sizeof w->server.genuine);
    assert_int_equal(server_finish(w), RX_OK);
}

/* The keys are compared as the test's own business, not as the program's. */
static void expect_same_keys(struct duel *w)
{
    struct rx_session_keys a = w->client_keys;
    struct rx_session_keys b = w->server_keys;
    expect_secret(a.c2s, sizeof a.c2s);
    expect_secret(a.s2c, sizeof a.s2c);
    expect_secret(b.c2s, sizeof b.c2s);
    expect_secret(b.s2c, sizeof b.s2c);
    expect_secret(b.request, sizeof b.request);
    ct_public(&a, sizeof a);
    ct_public(&b, sizeof b);
    assert_true(hand_same(&a, &b));
}

/* ---- the handshake ---------------------------------------------------------------------- */

static void test_right(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    struct duel w;
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        run(&w, &d, s);
        expect_same_keys(&w);
        /* The id is public, by its definition. */
        ct_public(w.client_keys.id, sizeof w.client_keys.id);
        rx_session_keys_wipe(&w.client_keys);
        rx_session_keys_wipe(&w.server_keys);
        print_message("%s\n", rx_suite_name(s));
    }
    run(&w, &d, (enum rx_suite)CHOICES);
    expect_same_keys(&w);
}

/* The first byte wrong, one in the middle, the last, and all: an early end would show. */
static void spoil(uint8_t *bytes, unsigned how)
{
    static const size_t places[] = {0, 15, 16, 31};
    for (size_t i = 0; i < 32; i++) {
        if (how == 4 || i == places[how % 4])
            bytes[i] ^= 0x80;
    }
}

static void test_wrong_response(void **state)
{
    (void)state;
    struct dice d = {.state = 2};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        for (unsigned how = 0; how < 5; how++) {
            struct duel w;
            begin(&w, &d, s, true);
            assert_int_equal(client_finish(&w), RX_OK);
            spoil(w.m3 + 8, how);
            assert_int_equal(server_finish(&w), RX_E_RESPONSE_WRONG);
            /* The client's response, to a server that does not know it. */
            uint8_t m3[RX_M3_SIZE];
            memcpy(m3, w.m3, sizeof m3);
            begin(&w, &d, s, false);
            memcpy(w.m3, m3, sizeof m3);
            assert_int_equal(server_finish(&w), RX_E_RESPONSE_WRONG);
        }
    }
}

static void test_wrong_header(void **state)
{
    (void)state;
    struct dice d = {.state = 3};
    for (size_t at = 0; at < 8; at++) {
        struct duel w;
        begin(&w, &d, RX_SUITE_HMAC_SHA256, true);
        assert_int_equal(client_finish(&w), RX_OK);
        w.m3[at] ^= 1;
        assert_int_equal(server_finish(&w), RX_E_RESPONSE_WRONG);
    }
}

static void test_wrong_proof(void **state)
{
    (void)state;
    struct dice d = {.state = 4};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct duel w;
        for (unsigned how = 0; how < 5; how++) {
            begin(&w, &d, s, true);
            spoil(w.m2 + 72, how);
            assert_int_equal(client_finish(&w), RX_E_PROOF_WRONG);
        }
        begin(&w, &d, s, false);
        assert_int_equal(client_finish(&w), RX_E_PROOF_WRONG);
    }
}

/* A proven client that sends a point of small order. */
static void test_small_order(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    struct duel w;
    begin_client(&w, &d, RX_SUITE_CHACHA20POLY1305);
    memset(w.m1 + HAND_M1_EPHEMERAL, 0, 32);
    begin_server(&w, true);
    hand_answer(w.client_grant.client_auth, w.m1, w.m2, w.m3);
    ct_public(w.m3, sizeof w.m3);
    ct_public(&w.server.genuine, sizeof w.server.genuine);
    assert_int_equal(server_finish(&w), RX_E_LOW_ORDER);
}

/* ---- records ---------------------------------------------------------------------------- */

/* One direction with secret keys, and a record of secret text. */
struct direction {
    struct rx_sealer out, in;
    uint8_t payload[PAYLOAD], record[RX_RECORD_LENGTH + PAYLOAD + RX_TAG_MAX];
    size_t n;
};

static void open_direction(struct direction *r, struct dice *d, enum rx_suite suite)
{
    uint8_t secret[RX_KEY_SIZE];
    dice_fill(d, secret, sizeof secret);
    dice_fill(d, r->payload, sizeof r->payload);
    ct_secret(secret, sizeof secret);
    ct_secret(r->payload, sizeof r->payload);
    assert_int_equal(rx_sealer_init(&r->out, suite, secret), RX_OK);
    assert_int_equal(rx_sealer_init(&r->in, suite, secret), RX_OK);
    expect_secret(r->out.key, sizeof r->out.key);
    expect_secret(r->out.secret, sizeof r->out.secret);
}

/* The record is public once it is sent; whether it opens is, too. */
static enum rx_error pass(struct direction *r, size_t altered)
{
    struct rx_seal out = rx_sealer_seal(&r->out);
    struct rx_seal in = rx_sealer_seal(&r->in);
    assert_int_equal(rx_record_seal(&out, r->payload, PAYLOAD, r->record, &r->n), RX_OK);
    ct_public(r->record, sizeof r->record);
    if (altered < r->n)
        r->record[altered] ^= 0x80;
    return in.ops->open(in.context, r->record, r->record + RX_RECORD_LENGTH,
                        r->n - RX_RECORD_LENGTH);
}

static void test_records(void **state)
{
    (void)state;
    struct dice d = {.state = 6};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct direction r;
        open_direction(&r, &d, s);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(pass(&r, SIZE_MAX), RX_OK);
        /* Across a change of keys. */
        r.out.counter = r.in.counter = RX_EPOCH_RECORDS - 1;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(pass(&r, SIZE_MAX), RX_OK);
        expect_secret(r.out.key, sizeof r.out.key);
        expect_secret(r.in.key, sizeof r.in.key);
        expect_secret(r.in.secret, sizeof r.in.secret);
        size_t n = r.n;
        /* Wrong in the payload, and at both ends of the tag. */
        const size_t altered[] = {RX_RECORD_LENGTH, RX_RECORD_LENGTH + PAYLOAD, n - 1};
        for (size_t i = 0; i < 3; i++) {
            open_direction(&r, &d, s);
            assert_int_equal(pass(&r, altered[i]), RX_E_BAD_SEAL);
        }
    }
}

/* The keys as they come out of the handshake, not as a test makes them. */
static void test_handshake_then_records(void **state)
{
    (void)state;
    struct dice d = {.state = 7};
    for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s)) {
        struct duel w;
        struct direction r;
        run(&w, &d, s);
        dice_fill(&d, r.payload, sizeof r.payload);
        ct_secret(r.payload, sizeof r.payload);
        assert_int_equal(rx_sealer_init(&r.out, w.server_keys.suite, w.server_keys.s2c), RX_OK);
        assert_int_equal(rx_sealer_init(&r.in, w.client_keys.suite, w.client_keys.s2c), RX_OK);
        assert_int_equal(pass(&r, SIZE_MAX), RX_OK);
    }
}

static void test_requests(void **state)
{
    (void)state;
    struct dice d = {.state = 8};
    for (unsigned wrong = 0; wrong < 3; wrong++) {
        uint8_t key[RX_KEY_SIZE];
        uint8_t message[PAYLOAD + RX_REQUEST_TRAILER];
        struct rx_request_key k;
        struct rx_request_chain client;
        struct rx_request_chain monitor;
        dice_fill(&d, key, sizeof key);
        dice_fill(&d, message, PAYLOAD);
        ct_secret(key, sizeof key);
        ct_secret(message, PAYLOAD);
        assert_int_equal(rx_request_key_init(&k, key), RX_OK);
        struct rx_mac mac = rx_request_key_mac(&k);
        rx_request_chain_init(&client, &mac);
        rx_request_chain_init(&monitor, &mac);
        assert_int_equal(rx_request_sign(&client, message, PAYLOAD), RX_OK);
        ct_public(message + PAYLOAD, RX_REQUEST_TRAILER);
        if (wrong > 0)
            message[wrong == 1 ? PAYLOAD + 8 : sizeof message - 1] ^= 0x80;
        assert_int_equal(rx_request_check(&monitor, message, sizeof message),
                         wrong > 0 ? RX_E_REQUEST_REJECTED : RX_OK);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_wrong_response),
        cmocka_unit_test(test_wrong_header),
        cmocka_unit_test(test_wrong_proof),
        cmocka_unit_test(test_small_order),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_handshake_then_records),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
