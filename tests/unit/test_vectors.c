/* tests/vectors: the frozen answers, computed once more by both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/hkdf.h"
#include "proto/header.h"
#include "tests/unit/vectors.h"

/* ---- keys and handshake ----------------------------------------------------------------- */

static void test_grant(void **state)
{
    assert_true(sodium_init() >= 0);
    json_t *root = vectors_load(*state);
    uint8_t psk[RX_KEY_SIZE];
    uint8_t secret[RX_KEY_SIZE];
    uint8_t kid[RX_KID_SIZE];
    struct rx_grant_keys keys;
    vector_bytes(root, "psk", psk, sizeof psk);
    assert_int_equal(rx_grant_keys_derive(psk, vector_text(root, "server_name"), &keys), RX_OK);
    vector_expect_keys(root, &keys);

    const json_t *decoy = json_object_get(root, "decoy");
    vector_bytes(root, "decoy_secret", secret, sizeof secret);
    vector_bytes(decoy, "kid", kid, sizeof kid);
    assert_int_equal(rx_decoy_keys_derive(secret, kid, &keys), RX_OK);
    vector_expect_keys(decoy, &keys);
    json_decref(root);
}

static void expect_session_keys(const json_t *root, const struct rx_session_keys *keys)
{
    assert_string_equal(rx_suite_name(keys->suite), vector_text(root, "suite"));
    vector_expect(root, "c2s_secret", keys->c2s, sizeof keys->c2s);
    vector_expect(root, "s2c_secret", keys->s2c, sizeof keys->s2c);
    vector_expect(root, "request_key", keys->request, sizeof keys->request);
    vector_expect(root, "session_id", keys->id, sizeof keys->id);
}

static void test_handshake(void **state)
{
    vectors_need(*state);
    json_t *root = vectors_load(*state);
    assert_string_equal(vector_text(root, "suite"), *state);
    struct handshake_pair p;
    vectors_handshake(root, &p);
    vector_expect(root, "m1", p.m1, sizeof p.m1);
    vector_expect(root, "m2", p.m2, sizeof p.m2);
    vector_expect(root, "m3", p.m3, sizeof p.m3);
    expect_session_keys(root, &p.client_keys);
    expect_session_keys(root, &p.server_keys);

    uint8_t th[RX_HASH_SIZE];
    const struct rx_bytes all[] = {{p.m1, sizeof p.m1}, {p.m2, sizeof p.m2}, {p.m3, sizeof p.m3}};
    assert_int_equal(rx_hash(all, 3, th), RX_OK);
    vector_expect(root, "th", th, sizeof th);
    json_decref(root);
}

/* Each side takes the frozen message of the other, not one that was just made. */
static void test_handshake_frozen(void **state)
{
    vectors_need(*state);
    json_t *root = vectors_load(*state);
    struct handshake_pair p;
    uint8_t m1[RX_M1_SIZE];
    uint8_t m2[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    uint8_t kid[RX_KID_SIZE];
    vectors_handshake(root, &p);
    vector_bytes(root, "m1", m1, sizeof m1);
    vector_bytes(root, "m2", m2, sizeof m2);
    vector_bytes(root, "m3", m3, sizeof m3);

    assert_int_equal(rx_server_handshake_begin(&p.server, &p.server_offer, m1, kid), RX_OK);
    vector_expect(root, "kid", kid, sizeof kid);
    assert_int_equal(
        rx_server_handshake_answer(&p.server, &p.grant, true, p.challenge, &p.server_pair, p.m2),
        RX_OK);
    assert_int_equal(rx_server_handshake_finish(&p.server, m3, &p.server_keys), RX_OK);
    expect_session_keys(root, &p.server_keys);

    assert_int_equal(handshake_m1(&p), RX_OK);
    assert_int_equal(rx_client_handshake_finish(&p.client, m2, p.m3, &p.client_keys, NULL), RX_OK);
    vector_expect(root, "m3", p.m3, sizeof p.m3);
    expect_session_keys(root, &p.client_keys);
    json_decref(root);
}

/* ---- records ---------------------------------------------------------------------------- */

/* A good message, of the kind that this side may send, with what it carries. */
static void expect_message(const struct vector_record *r)
{
    struct rx_message m;
    struct rx_header h;
    enum rx_direction direction = r->c2s ? RX_C2S : RX_S2C;
    assert_int_equal(rx_message_decode(r->message, r->message_len, direction, &m), RX_OK);
    assert_int_equal(rx_message_check(&m, &h), RX_OK);
}

static void expect_sealed(struct rx_sealer *sealer, const struct vector_record *r)
{
    uint8_t record[VECTOR_MAX + RX_RECORD_LENGTH + RX_TAG_MAX];
    size_t n;
    assert_int_equal(sealer->counter, r->counter);
    struct rx_seal seal = rx_sealer_seal(sealer);
    assert_int_equal(rx_record_seal(&seal, r->message, r->message_len, record, &n), RX_OK);
    vector_expect(r->object, "record", record, n);
}

static void expect_opened(struct rx_sealer *sealer, const struct vector_record *r)
{
    struct vector_record copy = *r;
    struct rx_record_reader reader = {0};
    struct rx_seal open = rx_sealer_seal(sealer);
    uint8_t *input = copy.record;
    uint8_t *payload = NULL;
    size_t left = copy.record_len;
    size_t n = 0;
    enum rx_error error = RX_OK;
    assert_int_equal(rx_record_next(&reader, &open, &input, &left, &payload, &n, &error),
                     RX_READ_RECORD);
    assert_int_equal(left, 0);
    vector_expect(r->object, "message", payload, n);
    rx_record_reader_clear(&reader);
}

/* The server's check, and the client's trailer once more. */
static void expect_request(struct rx_request_chain *server, struct rx_request_chain *client,
                           const struct vector_record *r)
{
    const json_t *sequence = json_object_get(r->object, "sequence");
    if (!rx_is_request(r->message[0])) {
        assert_null(sequence);
        return;
    }
    assert_int_equal(json_integer_value(sequence), server->next);
    assert_int_equal(rx_request_check(server, r->message, r->message_len), RX_OK);
    uint8_t copy[VECTOR_MAX];
    memcpy(copy, r->message, r->message_len - RX_REQUEST_TRAILER);
    assert_int_equal(rx_request_sign(client, copy, r->message_len - RX_REQUEST_TRAILER), RX_OK);
    vector_expect(r->object, "message", copy, r->message_len);
}

static void test_records(void **state)
{
    vectors_need(*state);
    json_t *root = vectors_load(*state);
    struct handshake_pair p;
    vectors_handshake(root, &p);
    struct end client;
    struct end server;
    end_open(&client, RX_CLIENT, &p.client_keys, NULL);
    end_open(&server, RX_SERVER, &p.server_keys, NULL);
    struct rx_mac mac = rx_request_key_mac(&client.request_key);
    struct rx_request_chain signer;
    rx_request_chain_init(&signer, &mac);

    const json_t *records = json_object_get(root, "records");
    size_t count = json_array_size(records);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        struct vector_record r = vectors_record(records, i);
        assert_true(r.c2s || strcmp(vector_text(r.object, "direction"), "s2c") == 0);
        expect_message(&r);
        expect_request(&server.monitor, &signer, &r);
        expect_sealed(r.c2s ? &client.out : &server.out, &r);
        expect_opened(r.c2s ? &server.in : &client.in, &r);
    }
    end_close(&client);
    end_close(&server);
    json_decref(root);
}

/* ---- the first change of keys ----------------------------------------------------------- */

static void test_rekey(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    json_t *root = vectors_load("rekey");
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 3);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        enum rx_suite suite = rx_suite_by_name(vector_text(one, "suite"));
        assert_int_not_equal(suite, RX_SUITE_NONE);
        if ((rx_suites_here() & suite) == 0)
            continue;
        uint8_t secret[RX_KEY_SIZE];
        vector_bytes(one, "secret", secret, sizeof secret);
        struct rx_sealer out;
        struct rx_sealer in;
        assert_int_equal(rx_sealer_init(&out, suite, secret), RX_OK);
        assert_int_equal(rx_sealer_init(&in, suite, secret), RX_OK);
        /* The million records before the first of these do nothing but count. */
        out.counter = in.counter = RX_EPOCH_RECORDS - 1;
        const json_t *records = json_object_get(one, "records");
        assert_int_equal(json_array_size(records), 3);
        for (size_t k = 0; k < json_array_size(records); k++) {
            struct vector_record r = vectors_record(records, k);
            assert_int_equal(r.counter, RX_EPOCH_RECORDS - 1 + k);
            expect_sealed(&out, &r);
            expect_opened(&in, &r);
        }
        assert_memory_not_equal(out.secret, secret, sizeof secret);
    }
    json_decref(root);
}

int main(void)
{
    static char aes[] = "aes256gcm";
    static char chacha[] = "chacha20poly1305";
    static char hmac[] = "hmac-sha256";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_grant, aes),
        cmocka_unit_test_prestate(test_grant, chacha),
        cmocka_unit_test_prestate(test_grant, hmac),
        cmocka_unit_test_prestate(test_handshake, aes),
        cmocka_unit_test_prestate(test_handshake, chacha),
        cmocka_unit_test_prestate(test_handshake, hmac),
        cmocka_unit_test_prestate(test_handshake_frozen, aes),
        cmocka_unit_test_prestate(test_handshake_frozen, chacha),
        cmocka_unit_test_prestate(test_handshake_frozen, hmac),
        cmocka_unit_test_prestate(test_records, aes),
        cmocka_unit_test_prestate(test_records, chacha),
        cmocka_unit_test_prestate(test_records, hmac),
        cmocka_unit_test(test_rekey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
