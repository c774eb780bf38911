/*
 * The frozen files of tests/vectors, for cmocka tests: a test fails where one is not as it should
 * be. Include after <cmocka.h>.
 */
#ifndef REXEC_TESTS_UNIT_VECTORS_H
#define REXEC_TESTS_UNIT_VECTORS_H

#include <jansson.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "auth/ephemeral.h"
#include "tests/duel/session.h"

enum { VECTOR_MAX = 1024 }; /* bytes of one value */

/* The files are named after the suites. */
static inline json_t *vectors_load(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/vectors/%s.json", REXEC_SOURCE_DIR, name);
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

static inline const char *vector_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL)
        fail_msg("%s: not there", name);
    return text;
}

/* At most `cap` bytes of a value in hex, lower case; their number. */
static inline size_t vector_hex(const json_t *object, const char *name, uint8_t *out, size_t cap)
{
    const char *text = vector_text(object, name);
    size_t n = 0;
    if (strspn(text, "0123456789abcdef") != strlen(text) ||
        sodium_hex2bin(out, cap, text, strlen(text), NULL, &n, NULL) != 0)
        fail_msg("%s: no hex of at most %zu bytes", name, cap);
    return n;
}

/* Exactly n bytes. */
static inline void vector_bytes(const json_t *object, const char *name, uint8_t *out, size_t n)
{
    if (vector_hex(object, name, out, n) != n)
        fail_msg("%s: not %zu bytes", name, n);
}

/* Compares; both are printed where they differ. */
static inline void vector_expect(const json_t *object, const char *name, const uint8_t *bytes,
                                 size_t n)
{
    char text[2 * VECTOR_MAX + 1];
    assert_true(n <= VECTOR_MAX);
    assert_string_equal(vector_text(object, name), sodium_bin2hex(text, sizeof text, bytes, n));
}

static inline void vector_expect_keys(const json_t *object, const struct rx_grant_keys *keys)
{
    vector_expect(object, "kid", keys->kid, sizeof keys->kid);
    vector_expect(object, "client_auth", keys->client_auth, sizeof keys->client_auth);
    vector_expect(object, "server_auth", keys->server_auth, sizeof keys->server_auth);
    vector_expect(object, "mix", keys->mix, sizeof keys->mix);
}

static inline void vector_pair(const json_t *object, const char *name, enum rx_suite suite,
                               struct rx_key_pair *pair)
{
    uint8_t secret[RX_KEY_SIZE];
    memset(pair, 0, sizeof *pair);
    if (suite == RX_SUITE_HMAC_SHA256) {
        assert_string_equal(vector_text(object, name), "");
        return;
    }
    vector_bytes(object, name, secret, sizeof secret);
    assert_int_equal(rx_key_pair_make(secret, pair), RX_OK);
}

/* The handshake of a file, from its inputs alone. */
static inline void vectors_handshake(const json_t *root, struct handshake_pair *p)
{
    memset(p, 0, sizeof *p);
    enum rx_suite suite = rx_suite_by_name(vector_text(root, "suite"));
    assert_int_not_equal(suite, RX_SUITE_NONE);
    (void)snprintf(p->server_name, sizeof p->server_name, "%s", vector_text(root, "server_name"));
    vector_bytes(root, "psk", p->psk, sizeof p->psk);
    vector_bytes(root, "nonce_c", p->nonce, sizeof p->nonce);
    vector_bytes(root, "challenge", p->challenge, sizeof p->challenge);
    vector_pair(root, "client_secret", suite, &p->client_pair);
    vector_pair(root, "server_secret", suite, &p->server_pair);
    p->client_offer = (struct rx_offer){RX_VERSION, RX_VERSION, (uint8_t)suite};
    p->server_offer = (struct rx_offer){RX_VERSION, RX_VERSION, RX_SUITES_ALL};
    assert_int_equal(rx_grant_keys_derive(p->psk, p->server_name, &p->grant), RX_OK);
    assert_int_equal(handshake_m1(p), RX_OK);
    assert_int_equal(handshake_m2(p), RX_OK);
    assert_int_equal(handshake_m3(p), RX_OK);
    assert_int_equal(handshake_end(p), RX_OK);
}

/* Leaves out, as skipped, a suite that this machine lacks. */
static inline void vectors_need(const char *suite)
{
    assert_true(sodium_init() >= 0);
    if ((rx_suites_here() & rx_suite_by_name(suite)) == 0)
        skip();
}

/* The i-th of a list of records: its message and the record, and whether it goes to the server. */
struct vector_record {
    const json_t *object; /* NULL: behind the last */
    bool c2s;
    uint64_t counter;
    uint8_t message[VECTOR_MAX], record[VECTOR_MAX];
    size_t message_len, record_len;
};

static inline struct vector_record vectors_record(const json_t *records, size_t i)
{
    struct vector_record r = {.object = json_array_get(records, i)};
    if (r.object == NULL)
        return r;
    const char *direction = json_string_value(json_object_get(r.object, "direction"));
    r.c2s = direction != NULL && strcmp(direction, "c2s") == 0;
    r.counter = (uint64_t)json_integer_value(json_object_get(r.object, "counter"));
    r.message_len = vector_hex(r.object, "message", r.message, sizeof r.message);
    r.record_len = vector_hex(r.object, "record", r.record, sizeof r.record);
    return r;
}

#endif
