/*
 * docs/PROTOCOL.md, "Worked examples": every value there is computed and compared. In its code
 * blocks a line that does not begin with a space begins a value: its name, two spaces or more, and
 * the first of its bytes. They are hex up to two spaces or the end of the line, or ASCII in braces
 * or quotes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/hkdf.h"
#include "proto/bytes.h"
#include "tests/unit/vectors.h"

enum { NAME_MAX_LEN = 32, LINE_MAX_LEN = 512, VALUES_MAX = 64 };

struct value {
    char name[NAME_MAX_LEN];
    size_t n;
    uint8_t bytes[VECTOR_MAX];
    bool seen; /* of what is expected: the document has it */
};

struct values {
    size_t count;
    struct value of[VALUES_MAX];
};

/* ---- what is expected ------------------------------------------------------------------- */

static struct value *add(struct values *values, const char *name, const uint8_t *bytes, size_t n)
{
    assert_true(values->count < VALUES_MAX && n <= VECTOR_MAX);
    struct value *v = &values->of[values->count++];
    *v = (struct value){.n = n};
    (void)snprintf(v->name, sizeof v->name, "%s", name);
    if (n > 0)
        memcpy(v->bytes, bytes, n);
    return v;
}

/* From the file, under another name. */
static const struct value *add_from(struct values *values, const char *name, const json_t *root,
                                    const char *key)
{
    uint8_t bytes[VECTOR_MAX];
    return add(values, name, bytes, vector_hex(root, key, bytes, sizeof bytes));
}

/* Section 2, and what both examples share. */
static void expect_inputs(struct values *values, const json_t *root)
{
    const char *name = vector_text(root, "server_name");
    const struct rx_bytes pieces[] = {RX_LITERAL("rexec/1 srv"), {name, strlen(name)}};
    uint8_t k_srv[RX_HASH_SIZE];
    uint8_t prk[RX_HASH_SIZE];
    const struct value *psk = add_from(values, "psk", root, "psk");
    assert_int_equal(rx_hmac(psk->bytes, psk->n, pieces, 2, k_srv), RX_OK);
    assert_int_equal(rx_hkdf_extract((const uint8_t *)"rexec/1", 7, k_srv, sizeof k_srv, prk),
                     RX_OK);
    add(values, "server name", (const uint8_t *)name, strlen(name));
    add(values, "K_srv", k_srv, sizeof k_srv);
    add(values, "prk", prk, sizeof prk);
    add_from(values, "kid", root, "kid");
    add_from(values, "K_c", root, "client_auth");
    add_from(values, "K_s", root, "server_auth");
    add_from(values, "K_m", root, "mix");
    add_from(values, "nonce_c", root, "nonce_c");
    add_from(values, "challenge", root, "challenge");
}

static void expect_secret(struct values *values, const json_t *root, const char *to,
                          const char *key)
{
    char name[NAME_MAX_LEN];
    uint8_t epoch_key[RX_KEY_SIZE];
    const struct rx_bytes label = RX_LITERAL("key");
    (void)snprintf(name, sizeof name, "secret %s", to);
    const struct value *secret = add_from(values, name, root, key);
    assert_int_equal(
        rx_hkdf_expand(secret->bytes, secret->n, &label, 1, epoch_key, sizeof epoch_key), RX_OK);
    (void)snprintf(name, sizeof name, "key %s", to);
    add(values, name, epoch_key, sizeof epoch_key);
}

/* Sections 3 and 4. */
static void expect_handshake(struct values *values, const json_t *root)
{
    struct handshake_pair p;
    uint8_t dh[RX_KEY_SIZE];
    uint8_t prk1[RX_HASH_SIZE];
    vectors_handshake(root, &p);
    bool sealed = p.client_offer.suites != RX_SUITE_HMAC_SHA256;
    if (sealed) {
        assert_int_equal(rx_key_pair_agree(&p.client_pair, p.server_pair.public, dh), RX_OK);
        add_from(values, "secret of C", root, "client_secret");
        add_from(values, "secret of S", root, "server_secret");
        add(values, "dh", dh, sizeof dh);
    }
    assert_int_equal(rx_hkdf_extract(p.grant.mix, sizeof p.grant.mix, sealed ? dh : NULL,
                                     sealed ? sizeof dh : 0, prk1),
                     RX_OK);
    add_from(values, "M1", root, "m1");
    add_from(values, "M2", root, "m2");
    add_from(values, "M3", root, "m3");
    add_from(values, "th", root, "th");
    add(values, "prk1", prk1, sizeof prk1);
    expect_secret(values, root, "C to S", "c2s_secret");
    expect_secret(values, root, "S to C", "s2c_secret");
    add_from(values, "request key", root, "request_key");
    add_from(values, "session id", root, "session_id");
}

/* "record C1", "message C1" or "nonce C1" out of the file's records. */
static void expect_of_record(struct values *values, const json_t *root, const char *what, char side,
                             uint64_t counter)
{
    const json_t *records = json_object_get(root, "records");
    char name[NAME_MAX_LEN];
    uint8_t nonce[12] = {0};
    struct vector_record r;
    size_t i = 0;
    do {
        r = vectors_record(records, i++);
        assert_non_null(r.object);
    } while (r.c2s != (side == 'C') || r.counter != counter);
    rx_put64(nonce + 4, counter);
    (void)snprintf(name, sizeof name, "%s %c%u", what, side, (unsigned)counter);
    if (strcmp(what, "record") == 0) {
        add(values, name, r.record, r.record_len);
    } else if (strcmp(what, "message") == 0) {
        add(values, name, r.message, r.message_len);
    } else {
        add(values, name, nonce, sizeof nonce);
    }
}

/* ---- what the document says ------------------------------------------------------------- */

/* Appends a line's bytes; what is behind them is a remark. */
static void take_bytes(struct value *v, const char *text)
{
    if (*text == '{' || *text == '"') {
        bool quoted = *text == '"';
        size_t n = strlen(text);
        assert_int_equal(text[n - 1], quoted ? '"' : '}');
        text += quoted;
        n -= quoted ? 2 : 0;
        assert_true(v->n + n <= sizeof v->bytes);
        memcpy(v->bytes + v->n, text, n);
        v->n += n;
        return;
    }
    const char *end = strstr(text, "  ");
    size_t len = end != NULL ? (size_t)(end - text) : strlen(text);
    size_t n = 0;
    const char *stop = NULL;
    if (len == 0 ||
        sodium_hex2bin(v->bytes + v->n, sizeof v->bytes - v->n, text, len, " ", &n, &stop) != 0)
        fail_msg("%s: no hex: %s", v->name, text);
    if (stop != text + len)
        fail_msg("%s: not all hex: %s", v->name, text);
    v->n += n;
}

static void compare(struct values *expected, const struct value *v)
{
    for (size_t i = 0; i < expected->count; i++) {
        struct value *e = &expected->of[i];
        if (strcmp(e->name, v->name) != 0)
            continue;
        if (e->seen)
            fail_msg("%s: there twice", v->name);
        e->seen = true;
        if (e->n != v->n || memcmp(e->bytes, v->bytes, e->n) != 0)
            fail_msg("%s: another value", v->name);
        return;
    }
    fail_msg("%s: nothing of this name", v->name);
}

/* One line of a code block: goes on with *v, or ends it and begins the next. */
static void take_line(struct values *expected, struct value *v, const char *line)
{
    const char *text = line;
    if (*line != ' ') {
        if (v->name[0] != '\0')
            compare(expected, v);
        memset(v, 0, sizeof *v);
        text = strstr(line, "  ");
        if (text == NULL || (size_t)(text - line) >= sizeof v->name)
            fail_msg("no name and bytes: %s", line);
        memcpy(v->name, line, (size_t)(text - line));
    }
    assert_true(v->name[0] != '\0');
    /* Asserted above. NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    take_bytes(v, text + strspn(text, " "));
}

/* A section of the document, from the line that is `heading` to the next heading. */
static void take_section(struct values *expected, const char *heading)
{
    char line[LINE_MAX_LEN];
    struct value v = {.n = 0};
    bool within = false, block = false;
    FILE *f = fopen(REXEC_SOURCE_DIR "/docs/PROTOCOL.md", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (*line == '#' && within)
            break;
        if (strcmp(line, heading) == 0) {
            within = true;
        } else if (within && strcmp(line, "```") == 0) {
            block = !block;
        } else if (within && block) {
            take_line(expected, &v, line);
        }
    }
    (void)fclose(f);
    if (!within)
        fail_msg("no section %s", heading);
    assert_false(block);
    if (v.name[0] != '\0')
        compare(expected, &v);
    for (size_t i = 0; i < expected->count; i++) {
        if (!expected->of[i].seen)
            fail_msg("%s: not in the document", expected->of[i].name);
    }
}

/* ---- tests ------------------------------------------------------------------------------ */

static struct values expected;

/* Nothing stands where the tests below do not look. */
static void test_sections(void **state)
{
    (void)state;
    char line[LINE_MAX_LEN];
    bool within = false;
    unsigned sections = 0;
    FILE *f = fopen(REXEC_SOURCE_DIR "/docs/PROTOCOL.md", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strcmp(line, "## 16. Worked examples\n") == 0) {
            within = true;
        } else if (within && *line == '#') {
            sections++;
        } else if (within && strcmp(line, "```\n") == 0) {
            assert_true(sections > 0);
        }
    }
    (void)fclose(f);
    assert_int_equal(sections, 3);
}

static void test_inputs(void **state)
{
    (void)state;
    json_t *root = vectors_load("hmac-sha256");
    json_t *other = vectors_load("chacha20poly1305");
    expected.count = 0;
    expect_inputs(&expected, root);
    take_section(&expected, "### Keys and inputs of both");
    expected.count = 0;
    expect_inputs(&expected, other);
    take_section(&expected, "### Keys and inputs of both");
    json_decref(root);
    json_decref(other);
}

static void test_hmac_sha256(void **state)
{
    (void)state;
    json_t *root = vectors_load("hmac-sha256");
    expected.count = 0;
    expect_handshake(&expected, root);
    expect_of_record(&expected, root, "record", 'C', 0);
    expect_of_record(&expected, root, "record", 'C', 1);
    expect_of_record(&expected, root, "record", 'S', 0);
    expect_of_record(&expected, root, "record", 'S', 1);
    expect_of_record(&expected, root, "record", 'S', 2);
    take_section(&expected, "### `hmac-sha256`");
    json_decref(root);
}

static void test_chacha20poly1305(void **state)
{
    (void)state;
    json_t *root = vectors_load("chacha20poly1305");
    expected.count = 0;
    expect_handshake(&expected, root);
    expect_of_record(&expected, root, "message", 'C', 0);
    expect_of_record(&expected, root, "record", 'C', 0);
    expect_of_record(&expected, root, "message", 'C', 1);
    expect_of_record(&expected, root, "nonce", 'C', 1);
    expect_of_record(&expected, root, "record", 'C', 1);
    expect_of_record(&expected, root, "message", 'S', 0);
    expect_of_record(&expected, root, "record", 'S', 0);
    take_section(&expected, "### `chacha20poly1305`");
    json_decref(root);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_hmac_sha256),
        cmocka_unit_test(test_chacha20poly1305),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
