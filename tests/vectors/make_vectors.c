/*
 * Prints a file of tests/vectors: the known answers of one suite, or those across the first change
 * of keys.
 *
 *   make_vectors SUITE|rekey [FILE]
 *
 * With FILE nothing is printed: it must hold just that. The files are frozen; this program is here
 * to show how they were made, and to be kept honest by comparing. Exits 77 for a suite that this
 * machine lacks.
 */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/hkdf.h"
#include "proto/bytes.h"
#include "tests/duel/session.h"

enum { LACKING = 77, MESSAGE_MAX = 512 };

static void fail(const char *what)
{
    (void)fprintf(stderr, "make_vectors: %s\n", what);
    exit(1);
}

static void must(enum rx_error error, const char *what)
{
    if (error != RX_OK)
        fail(what);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static void set(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        fail("no memory");
}

static void set_hex(json_t *object, const char *name, const uint8_t *bytes, size_t n)
{
    char text[2 * (RX_RECORD_LENGTH + MESSAGE_MAX + RX_TAG_MAX) + 1];
    if (sizeof text <= 2 * n)
        fail("too long");
    set(object, name, json_string(sodium_bin2hex(text, sizeof text, bytes, n)));
}

static void set_keys(json_t *object, const struct rx_grant_keys *keys)
{
    set_hex(object, "kid", keys->kid, sizeof keys->kid);
    set_hex(object, "client_auth", keys->client_auth, sizeof keys->client_auth);
    set_hex(object, "server_auth", keys->server_auth, sizeof keys->server_auth);
    set_hex(object, "mix", keys->mix, sizeof keys->mix);
}

/* ---- the session ------------------------------------------------------------------------ */

enum { TO_SERVER, TO_CLIENT };

/* One message, in the order in which they would pass. */
struct line {
    int to;
    enum rx_type type;
    uint8_t flags;
    uint32_t stream;
    const char *header;
    struct rx_bytes body;
};

#define NO_BODY                                                                                    \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
#define BODY(text)                                                                                 \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
#define ZERO4 "\0\0\0\0"
#define ZERO7 "\0\0\0\0\0\0\0"
#define ZERO8 "\0\0\0\0\0\0\0\0"

/* `echo hi`, which here ends otherwise than echo would, and then one message of most kinds. All of
 * it is legal, in this order. */
static const struct line lines[] = {
    {TO_SERVER, RX_EXEC, 0, 1, "{\"id\":\"000102030405060708090a0b0c0d0e0f\",\"run\":\"exec\"}",
     BODY("\1\0\0\0\4echo"
          "\1\0\0\0\2hi")},
    {TO_SERVER, RX_STDIN, RX_FLAG_LAST, 1, "", BODY(ZERO8)},
    {TO_CLIENT, RX_WELCOME, 0, 0,
     "{\"server\":\"lab01\",\"version\":\"1\",\"time_us\":1700000000000000}", NO_BODY},
    /* stdin: at 0, a window of 262,144, LAST was received */
    {TO_CLIENT, RX_STARTED, 0, 1, "{\"pid\":4242}",
     BODY(ZERO8 ZERO8 ZERO8 "\0\4\0\0"
                            "\0\0\0\1")},
    {TO_CLIENT, RX_STDOUT, 0, 1, "", BODY(ZERO8 "hi\n")},
    {TO_SERVER, RX_ACK, 0, 1, "",
     BODY("\1\0\0\0"
          "\0\4\0\0" ZERO7 "\3")},
    {TO_CLIENT, RX_STDERR, 0, 1, "", BODY(ZERO8 "oops\n")},
    {TO_SERVER, RX_PING, 0, 0, "", BODY("12345678")},
    {TO_CLIENT, RX_PONG, 0, 0, "",
     BODY("12345678"
          "\x17\x97\x9c\xfe\x36\x2a\0\0")},
    {TO_SERVER, RX_RESIZE, 0, 1, "{\"rows\":24,\"cols\":80,\"width\":0,\"height\":0}", NO_BODY},
    {TO_CLIENT, RX_REFUSED, 0, 1,
     "{\"code\":81,\"name\":\"no_terminal\",\"text\":\"the command has no terminal\"}", NO_BODY},
    {TO_SERVER, RX_DETACH, 0, 1, "", NO_BODY},
    {TO_CLIENT, RX_DONE, 0, 1, "", NO_BODY},
    {TO_SERVER, RX_SIGNAL, 0, 1, "{\"signal\":\"TERM\",\"n\":1}", NO_BODY},
    {TO_CLIENT, RX_DONE, 0, 1, "{\"n\":1}", NO_BODY},
    {TO_CLIENT, RX_EXIT, 0, 1, "{\"code\":3,\"by\":\"self\"}", BODY(ZERO8 ZERO7 "\3" ZERO7 "\5")},
    {TO_SERVER, RX_EXIT_ACK, 0, 1, "", NO_BODY},
    {TO_SERVER, RX_LIST, 0, 2, "", NO_BODY},
    {TO_CLIENT, RX_LISTED, RX_FLAG_LAST, 2, "{}", NO_BODY},
    {TO_SERVER, RX_EXEC, 0, 3, "{\"id\":\"101112131415161718191a1b1c1d1e1f\",\"run\":\"exec\"}",
     BODY("\1\0\0\0\7missing"
          "\1\0\0\0\0"
          "\1\0\0\0\4\x80\xff\n "
          "\2\0\0\0\6NAME=\xe9"
          "\3\0\0\0\4/tmp"
          "\x80\0\0\0\6future")},
    {TO_CLIENT, RX_REFUSED, RX_FLAG_LAST, 3,
     "{\"code\":69,\"name\":\"command_not_found\",\"text\":\"\\u2014 missing: \xc2\xabno\xc2\xbb\"}",
     NO_BODY},
    {TO_SERVER, RX_ATTACH, 0, 4, "{\"id\":\"202122232425262728292a2b2c2d2e2f\",\"steal\":true}",
     NO_BODY},
    {TO_CLIENT, RX_REFUSED, RX_FLAG_LAST, 4,
     "{\"code\":73,\"name\":\"unknown_command\",\"text\":\"\"}", NO_BODY},
    {TO_SERVER, RX_FORGET, 0, 5, "{\"id\":\"000102030405060708090a0b0c0d0e0f\"}", NO_BODY},
    {TO_CLIENT, RX_DONE, RX_FLAG_LAST, 5, "", NO_BODY},
    {TO_CLIENT, RX_GOAWAY, 0, 0,
     "{\"code\":65,\"name\":\"shutting_down\",\"text\":\"until Monday\",\"grace_ms\":60000}",
     NO_BODY},
    {TO_SERVER, RX_CLOSE, 0, 0, "{\"reason\":\"done\"}", NO_BODY},
};

static void set_record(json_t *object, const struct rx_seal *seal, const uint8_t *message, size_t n)
{
    uint8_t record[RX_RECORD_LENGTH + MESSAGE_MAX + RX_TAG_MAX];
    size_t written;
    must(rx_record_seal(seal, message, n, record, &written), "seal");
    set_hex(object, "message", message, n);
    set_hex(object, "record", record, written);
}

static json_t *make_records(struct end *client, struct end *server)
{
    struct rx_mac mac = rx_request_key_mac(&client->request_key);
    struct rx_request_chain chain;
    rx_request_chain_init(&chain, &mac);
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct line *line = &lines[i];
        size_t header = strlen(line->header);
        size_t n = RX_MESSAGE_HEAD + header + line->body.n;
        uint8_t message[MESSAGE_MAX];
        if (n > sizeof message - RX_REQUEST_TRAILER)
            fail("too long");
        rx_message_head(message, (uint8_t)line->type, line->flags, header, line->stream);
        memcpy(message + RX_MESSAGE_HEAD, line->header, header);
        if (line->body.n > 0)
            memcpy(message + RX_MESSAGE_HEAD + header, line->body.p, line->body.n);
        bool request = rx_is_request((uint8_t)line->type);
        uint64_t sequence = chain.next;
        if (request) {
            must(rx_request_sign(&chain, message, n), "sign");
            n += RX_REQUEST_TRAILER;
        }
        struct rx_sealer *sealer = line->to == TO_SERVER ? &client->out : &server->out;
        struct rx_seal seal = rx_sealer_seal(sealer);
        json_t *object = json_object();
        set(object, "direction", json_string(line->to == TO_SERVER ? "c2s" : "s2c"));
        set(object, "counter", json_integer((json_int_t)sealer->counter));
        if (request)
            set(object, "sequence", json_integer((json_int_t)sequence));
        set_record(object, &seal, message, n);
        if (json_array_append_new(array, object) != 0)
            fail("no memory");
    }
    return array;
}

/* ---- one suite -------------------------------------------------------------------------- */

static void count_up(uint8_t *bytes, size_t n, uint8_t first)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(first + i);
}

static void shake_hands(struct handshake_pair *p, enum rx_suite suite)
{
    uint8_t secret[RX_KEY_SIZE];
    *p = (struct handshake_pair){
        .server_name = "lab01",
        .client_offer = {RX_VERSION, RX_VERSION, (uint8_t)suite},
        .server_offer = {RX_VERSION, RX_VERSION, RX_SUITES_ALL},
    };
    count_up(p->psk, sizeof p->psk, 0);
    count_up(p->nonce, sizeof p->nonce, 0x20);
    count_up(p->challenge, sizeof p->challenge, 0x60);
    must(rx_grant_keys_derive(p->psk, p->server_name, &p->grant), "grant");
    count_up(secret, sizeof secret, 0x40);
    must(rx_key_pair_make(secret, &p->client_pair), "client's pair");
    count_up(secret, sizeof secret, 0x80);
    must(rx_key_pair_make(secret, &p->server_pair), "server's pair");
    must(handshake_m1(p), "M1");
    must(handshake_m2(p), "M2");
    must(handshake_m3(p), "M3");
    must(handshake_end(p), "end");
}

static void set_handshake(json_t *root, const struct handshake_pair *p, enum rx_suite suite)
{
    size_t secret = suite == RX_SUITE_HMAC_SHA256 ? 0 : RX_KEY_SIZE;
    uint8_t th[RX_HASH_SIZE];
    const struct rx_bytes all[] = {
        {p->m1, sizeof p->m1}, {p->m2, sizeof p->m2}, {p->m3, sizeof p->m3}};
    must(rx_hash(all, 3, th), "th");
    set_hex(root, "nonce_c", p->nonce, sizeof p->nonce);
    set_hex(root, "client_secret", p->client_pair.secret, secret);
    set_hex(root, "challenge", p->challenge, sizeof p->challenge);
    set_hex(root, "server_secret", p->server_pair.secret, secret);
    set_hex(root, "m1", p->m1, sizeof p->m1);
    set_hex(root, "m2", p->m2, sizeof p->m2);
    set_hex(root, "m3", p->m3, sizeof p->m3);
    set_hex(root, "th", th, sizeof th);
    set_hex(root, "c2s_secret", p->client_keys.c2s, sizeof p->client_keys.c2s);
    set_hex(root, "s2c_secret", p->client_keys.s2c, sizeof p->client_keys.s2c);
    set_hex(root, "request_key", p->client_keys.request, sizeof p->client_keys.request);
    set_hex(root, "session_id", p->client_keys.id, sizeof p->client_keys.id);
}

static json_t *make_suite(enum rx_suite suite)
{
    static struct handshake_pair p;
    shake_hands(&p, suite);
    uint8_t decoy_secret[RX_KEY_SIZE];
    uint8_t kid[RX_KID_SIZE];
    struct rx_grant_keys decoy;
    count_up(decoy_secret, sizeof decoy_secret, 0xa0);
    count_up(kid, sizeof kid, 0xc0);
    must(rx_decoy_keys_derive(decoy_secret, kid, &decoy), "decoy");

    json_t *root = json_object();
    json_t *keys = json_object();
    set(root, "name", json_string("one session with most kinds of message"));
    set(root, "suite", json_string(rx_suite_name(suite)));
    set_hex(root, "psk", p.psk, sizeof p.psk);
    set(root, "server_name", json_string(p.server_name));
    set_keys(root, &p.grant);
    set_hex(root, "decoy_secret", decoy_secret, sizeof decoy_secret);
    set_keys(keys, &decoy);
    set(root, "decoy", keys);
    set_handshake(root, &p, suite);

    struct end client;
    struct end server;
    end_open(&client, RX_CLIENT, &p.client_keys, NULL);
    end_open(&server, RX_SERVER, &p.server_keys, NULL);
    set(root, "records", make_records(&client, &server));
    end_close(&client);
    end_close(&server);
    return root;
}

/* ---- across a change of keys ------------------------------------------------------------ */

enum { AROUND = 3 };

static json_t *make_rekey_case(enum rx_suite suite)
{
    uint8_t secret[RX_KEY_SIZE];
    count_up(secret, sizeof secret, 0xe0);
    struct rx_sealer sealer;
    must(rx_sealer_init(&sealer, suite, secret), "sealer");
    struct rx_seal seal = rx_sealer_seal(&sealer);
    json_t *one = json_object();
    json_t *records = json_array();
    set(one, "suite", json_string(rx_suite_name(suite)));
    set_hex(one, "secret", secret, sizeof secret);
    uint8_t message[RX_MESSAGE_HEAD + 8];
    rx_message_head(message, RX_PING, 0, 0, 0);
    for (uint64_t i = 0; i < RX_EPOCH_RECORDS + AROUND - 1; i++) {
        rx_put64(message + RX_MESSAGE_HEAD, i);
        if (i + 1 < RX_EPOCH_RECORDS) {
            uint8_t record[RX_RECORD_LENGTH + sizeof message + RX_TAG_MAX];
            size_t written;
            must(rx_record_seal(&seal, message, sizeof message, record, &written), "seal");
            continue;
        }
        json_t *object = json_object();
        set(object, "counter", json_integer((json_int_t)i));
        set_record(object, &seal, message, sizeof message);
        if (json_array_append_new(records, object) != 0)
            fail("no memory");
    }
    rx_sealer_wipe(&sealer);
    set(one, "records", records);
    return one;
}

static json_t *make_rekey(void)
{
    static const enum rx_suite all[] = {RX_SUITE_AES256GCM, RX_SUITE_CHACHA20POLY1305,
                                        RX_SUITE_HMAC_SHA256};
    json_t *root = json_object();
    json_t *cases = json_array();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (json_array_append_new(cases, make_rekey_case(all[i])) != 0)
            fail("no memory");
    }
    set(root, "name", json_string("records across the first change of keys"));
    set(root, "cases", cases);
    return root;
}

/* ---- out -------------------------------------------------------------------------------- */

/* Whether the file holds the text and one LF behind it. */
static bool file_holds(const char *path, const char *text)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    bool same = true;
    for (const char *p = text; same && *p != '\0'; p++)
        same = fgetc(f) == (unsigned char)*p;
    same = same && fgetc(f) == '\n' && fgetc(f) == EOF;
    (void)fclose(f);
    return same;
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        fail("libsodium does not start");
    bool rekey = argc >= 2 && strcmp(argv[1], "rekey") == 0;
    enum rx_suite suite = argc >= 2 ? rx_suite_by_name(argv[1]) : RX_SUITE_NONE;
    if (argc < 2 || argc > 3 || (!rekey && suite == RX_SUITE_NONE))
        fail("usage: make_vectors aes256gcm|chacha20poly1305|hmac-sha256|rekey [FILE]");
    unsigned wanted = rekey ? (unsigned)RX_SUITES_ALL : (unsigned)suite;
    if ((rx_suites_here() & wanted) != wanted)
        return LACKING;
    json_t *root = rekey ? make_rekey() : make_suite(suite);
    char *text = json_dumps(root, JSON_INDENT(1));
    if (text == NULL)
        fail("no memory");
    int status = 0;
    if (argc == 2) {
        status = puts(text) < 0 || fflush(stdout) != 0;
    } else if (!file_holds(argv[2], text)) {
        (void)fprintf(stderr, "make_vectors: %s holds something else\n", argv[2]);
        status = 1;
    }
    free(text);
    json_decref(root);
    return status;
}
