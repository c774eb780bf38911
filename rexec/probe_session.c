#include "rexec/probe_session.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/handshake_layout.h"
#include "proto/bytes.h"
#include "proto/words.h"

static void begin(struct probe *p, struct session *s)
{
    *s = (struct session){.probe = p, .wire = {.fd = -1}, .grant = p->keys};
    uint8_t random[RX_KEY_SIZE];
    randombytes_buf(random, sizeof random);
    if (rx_key_pair_make(random, &s->pair) != RX_OK)
        (void)probe_skip(p, "no key pair could be made");
    sodium_memzero(random, sizeof random);
}

void session_begin(struct probe *p, struct session *s)
{
    begin(p, s);
    handshake_header(s->m1, TYPE_M1, 0, 0);
    s->m1[M1_VERSION_MIN] = s->m1[M1_VERSION_MAX] = RX_VERSION;
    s->m1[M1_SUITES] = p->suites;
    memcpy(s->m1 + M1_KID, s->grant.kid, RX_KID_SIZE);
    randombytes_buf(s->m1 + M1_NONCE, RX_KEY_SIZE);
    if (p->suites != RX_SUITE_HMAC_SHA256)
        memcpy(s->m1 + M1_EPHEMERAL, s->pair.public, RX_KEY_SIZE);
}

void session_end(struct session *s)
{
    wire_close(&s->wire);
    buffer_clear(&s->send);
    buffer_clear(&s->came);
    sodium_memzero(s, sizeof *s);
    s->wire.fd = -1;
}

bool session_challenge(struct session *s)
{
    if (!wire_open(s->probe, &s->wire))
        return false;
    wire_send(&s->wire, s->m1, sizeof s->m1);
    if (wire_take(&s->wire, s->m2, sizeof s->m2) == sizeof s->m2)
        return true;
    return probe_skip(s->probe, "no M2 came for a right M1");
}

void session_respond(struct session *s, const uint8_t *m1, const uint8_t *m2)
{
    if (handshake_response(s->grant.client_auth, m1, m2, s->m3, s->m3 + M3_RESPONSE) != RX_OK)
        (void)probe_skip(s->probe, "no response could be made");
}

void session_derive(struct session *s)
{
    const uint8_t *other = s->serves ? s->m1 + M1_EPHEMERAL : s->m2 + M2_EPHEMERAL;
    uint8_t shared[RX_KEY_SIZE], transcript[RX_HASH_SIZE];
    enum rx_suite suite = s->m2[M2_SUITE];
    if ((rx_suites_here() & suite) == 0 || rx_suite_name(suite) == NULL)
        suite = RX_SUITE_CHACHA20POLY1305;
    bool agree = suite != RX_SUITE_HMAC_SHA256;
    if (agree && rx_key_pair_agree(&s->pair, other, shared) != RX_OK)
        sodium_memzero(shared, sizeof shared);
    const struct rx_bytes seen[] = {
        {s->m1, sizeof s->m1}, {s->m2, sizeof s->m2}, {s->m3, sizeof s->m3}};
    bool good = rx_hash(seen, 3, transcript) == RX_OK &&
                rx_session_keys_derive(RX_VERSION, suite, s->grant.mix, agree ? shared : NULL,
                                       transcript, &s->keys) == RX_OK &&
                rx_sealer_init(&s->in, suite, s->serves ? s->keys.c2s : s->keys.s2c) == RX_OK &&
                rx_sealer_init(&s->out, suite, s->serves ? s->keys.s2c : s->keys.c2s) == RX_OK;
    if (!good)
        (void)probe_skip(s->probe, "no session keys could be made");
    sodium_memzero(shared, sizeof shared);
    s->sequence = 0;
}

void session_answer(struct session *s)
{
    handshake_header(s->m3, TYPE_M3, s->m2[M2_VERSION], s->m2[M2_SUITE]);
    session_respond(s, s->m1, s->m2);
    session_derive(s);
}

bool session_prove(struct probe *p, struct session *s)
{
    session_begin(p, s);
    if (!session_challenge(s))
        return false;
    session_answer(s);
    wire_send(&s->wire, s->m3, sizeof s->m3);
    struct said said;
    return session_await(s, RX_WELCOME, &said) || probe_skip(p, "no session came about");
}

/* ---- sending ---------------------------------------------------------------------------- */

static void no_memory(struct session *s)
{
    (void)probe_skip(s->probe, "out of memory");
}

void session_add_payload(struct session *s, const void *payload, size_t n)
{
    struct rx_seal seal = rx_sealer_seal(&s->out);
    size_t tag = seal.ops->tag_size;
    uint8_t *at = (uint8_t *)buffer_room(&s->send, RX_RECORD_LENGTH + n + tag);
    if (at == NULL) {
        no_memory(s);
        return;
    }
    rx_put32(at, (uint32_t)(n + tag));
    memcpy(at + RX_RECORD_LENGTH, payload, n);
    if (seal.ops->seal(seal.context, at, at + RX_RECORD_LENGTH, n, at + RX_RECORD_LENGTH) == RX_OK)
        s->send.n += RX_RECORD_LENGTH + n + tag;
}

static void add(struct session *s, const uint8_t head[static RX_MESSAGE_HEAD], const char *header,
                size_t header_len, const void *body, size_t body_len, const struct trailer *trailer)
{
    struct buffer message = {0};
    bool good = buffer_add(&message, head, RX_MESSAGE_HEAD);
    if (header_len > 0)
        good = good && buffer_add(&message, header, header_len);
    if (body_len > 0)
        good = good && buffer_add(&message, body, body_len);
    if (trailer != NULL && good) {
        uint8_t end[RX_REQUEST_TRAILER];
        rx_put64(end, trailer->sequence);
        const struct rx_bytes signed_bytes[] = {{message.bytes, message.n}, {end, 8}};
        good = rx_hmac(trailer->key, RX_KEY_SIZE, signed_bytes, 2, end + 8) == RX_OK;
        end[8 + trailer->flip_at] ^= trailer->flip;
        good = good && buffer_add(&message, end, sizeof end);
    }
    if (good) {
        session_add_payload(s, message.bytes, message.n);
    } else {
        no_memory(s);
    }
    buffer_clear(&message);
}

void session_add_request(struct session *s, uint8_t type, uint32_t stream, const char *header,
                         size_t header_len, const void *body, size_t body_len,
                         const struct trailer *trailer)
{
    uint8_t head[RX_MESSAGE_HEAD];
    const struct trailer usual = {.sequence = s->sequence + 1, .key = s->keys.request};
    rx_message_head(head, type, 0, header_len, stream);
    s->sequence++;
    add(s, head, header, header_len, body, body_len, trailer != NULL ? trailer : &usual);
}

void session_add(struct session *s, uint8_t type, uint8_t flags, uint32_t stream,
                 const char *header, const void *body, size_t body_len)
{
    size_t header_len = header != NULL ? strlen(header) : 0;
    if (rx_is_request(type)) {
        session_add_request(s, type, stream, header, header_len, body, body_len, NULL);
        return;
    }
    uint8_t head[RX_MESSAGE_HEAD];
    rx_message_head(head, type, flags, header_len, stream);
    add(s, head, header, header_len, body, body_len, NULL);
}

void session_add_ping(struct session *s, const char token[static 8])
{
    session_add(s, RX_PING, 0, 0, NULL, token, 8);
}

void session_add_exec(struct session *s, uint32_t stream, const char *word, const char *id)
{
    uint8_t random[16], body[64];
    char fresh[33], header[128];
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2hex(fresh, sizeof fresh, random, sizeof random);
    (void)snprintf(header, sizeof header, "{\"id\":\"%s\",\"run\":\"exec\"}",
                   id != NULL ? id : fresh);
    size_t n = 0;
    (void)rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, word, strlen(word));
    session_add(s, RX_EXEC, 0, stream, header, body, n);
}

void session_send(struct session *s)
{
    wire_send(&s->wire, s->send.bytes, s->send.n);
    s->send.n = 0;
}

/* ---- receiving -------------------------------------------------------------------------- */

static struct said ended(const struct session *s)
{
    return (struct said){.what = wire_over(&s->wire) ? SAID_CLOSED : SAID_SILENT};
}

struct said session_read(struct session *s)
{
    struct said said = {.what = SAID_BROKEN};
    struct rx_seal seal = rx_sealer_seal(&s->in);
    uint8_t length[RX_RECORD_LENGTH];
    if (wire_take(&s->wire, length, sizeof length) < sizeof length)
        return ended(s);
    size_t n = rx_get32(length), tag = seal.ops->tag_size;
    if (n > RX_RECORD_MAX || n < tag + RX_PAYLOAD_MIN)
        return said;
    s->came.n = 0;
    uint8_t *at = (uint8_t *)buffer_room(&s->came, n);
    if (at == NULL)
        return said;
    if (wire_take(&s->wire, at, n) < n)
        return ended(s);
    if (s->welcome_len == 0 && n + sizeof length <= sizeof s->welcome) {
        memcpy(s->welcome, length, sizeof length);
        memcpy(s->welcome + sizeof length, at, n);
        s->welcome_len = n + sizeof length;
    }
    if (seal.ops->open(seal.context, length, at, n) != RX_OK)
        return said;
    n -= tag;
    said.header_len = rx_get16(at + 2);
    if (RX_MESSAGE_HEAD + said.header_len > n)
        return said;
    said.what = SAID_MESSAGE;
    said.type = at[0];
    said.flags = at[1];
    said.stream = rx_get32(at + 4);
    said.header = at + RX_MESSAGE_HEAD;
    said.body = said.header + said.header_len;
    said.body_len = n - RX_MESSAGE_HEAD - said.header_len;
    return said;
}

bool session_await(struct session *s, uint8_t type, struct said *said)
{
    /* A server that is not well may have no end of messages. */
    for (int i = 0; i < 4096; i++) {
        *said = session_read(s);
        if (said->what != SAID_MESSAGE)
            return false;
        if (said->type == type)
            return true;
    }
    return false;
}

bool session_must_stop(struct session *s, uint32_t stream, const char *what)
{
    static const char token[8] = {'b', 'e', 'h', 'i', 'n', 'd', 'i', 't'};
    session_add_ping(s, token);
    session_send(s);
    for (int i = 0; i < 4096; i++) {
        struct said said = session_read(s);
        if (said.what == SAID_CLOSED)
            return true;
        if (said.what == SAID_SILENT)
            return probe_fail(s->probe, "it neither answered nor closed behind %s", what);
        if (said.what == SAID_BROKEN)
            return probe_fail(s->probe, "it sent what is no record behind %s", what);
        bool pong = said.type == RX_PONG && said.body_len >= 8 &&
                    memcmp(said.body, token, sizeof token) == 0;
        if (pong && stream == 0)
            return probe_fail(s->probe, "it went on behind %s", what);
        if (said.type == RX_STARTED && stream != 0 && said.stream == stream)
            return probe_fail(s->probe, "a command was started by %s", what);
        if (said.type == RX_REFUSED && stream != 0 && said.stream == stream)
            return probe_fail(s->probe, "it only refused %s, and went on", what);
        if (stream != 0 && said.stream == stream)
            return probe_fail(s->probe, "it answered %s", what);
    }
    return probe_fail(s->probe, "it does not come to an end behind %s", what);
}
