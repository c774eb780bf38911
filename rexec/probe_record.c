/* Checks of records, of requests' proofs, and of what is left when all others are done. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/handshake_layout.h"
#include "proto/bytes.h"
#include "proto/words.h"
#include "rexec/probe_session.h"

/* ---- records ---------------------------------------------------------------------------- */

static void record_length(struct probe *p)
{
    static const uint32_t lengths[] = {0, 1, 7, 15, 0x00040001, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0] && probe_good(p); i++) {
        struct session s;
        char what[64];
        (void)snprintf(what, sizeof what, "a record of %lu bytes", (unsigned long)lengths[i]);
        if (session_prove(p, &s)) {
            uint8_t field[RX_RECORD_LENGTH];
            rx_put32(field, lengths[i]);
            wire_send(&s.wire, field, sizeof field);
            (void)session_must_stop(&s, 0, what);
        }
        session_end(&s);
    }
    /* Sealed as it should be, and too short for a message. */
    for (unsigned n = 0; n < 8 && probe_good(p); n += 7) {
        struct session s;
        static const uint8_t payload[8] = {RX_PING};
        if (session_prove(p, &s)) {
            session_add_payload(&s, payload, n);
            (void)session_must_stop(&s, 0, "a sealed record without a message");
        }
        session_end(&s);
    }
}

static void record_altered(struct probe *p)
{
    for (unsigned i = 0; i < 12 && probe_good(p); i++) {
        struct session s;
        if (session_prove(p, &s)) {
            session_add_ping(&s, "altered.");
            /* The last byte of the length, one of the payload, one of the tag, anywhere. */
            size_t n = s.send.n, from = RX_RECORD_LENGTH;
            const size_t places[] = {3, from + probe_pick(p, 16), from + 16 + probe_pick(p, 16),
                                     from + probe_pick(p, (unsigned)(n - from))};
            size_t at = places[i % 4];
            s.send.bytes[at] = (char)(s.send.bytes[at] ^ 1 << probe_pick(p, at == 3 ? 4 : 8));
            (void)session_must_stop(&s, 0, "a record with one bit changed");
        }
        session_end(&s);
    }
    /* Each byte of the tag: a compare may be cut to some of them. */
    for (size_t at = 0, tag = 1; at < tag && probe_good(p); at++) {
        struct session s;
        if (session_prove(p, &s)) {
            session_add_ping(&s, "altered.");
            tag = rx_sealer_seal(&s.out).ops->tag_size;
            char *byte = s.send.bytes + s.send.n - tag + at;
            *byte = (char)(*byte ^ 1 << probe_pick(p, 8));
            (void)session_must_stop(&s, 0, "a record with one bit of its tag changed");
        }
        session_end(&s);
    }
}

static void swap_halves(struct buffer *b)
{
    size_t half = b->n / 2;
    for (size_t i = 0; i < half; i++) {
        char byte = b->bytes[i];
        b->bytes[i] = b->bytes[half + i];
        b->bytes[half + i] = byte;
    }
}

static void record_order(struct probe *p)
{
    static const char *const names[] = {"a record sent twice", "two records swapped",
                                        "a record left out"};
    for (unsigned i = 0; i < 3 && probe_good(p); i++) {
        struct session s;
        if (session_prove(p, &s)) {
            session_add_ping(&s, "number 0");
            if (i == 0) {
                wire_send(&s.wire, s.send.bytes, s.send.n);
            } else if (i == 1) {
                session_add_ping(&s, "number 1");
                swap_halves(&s.send);
            } else {
                s.send.n = 0;
            }
            (void)session_must_stop(&s, 0, names[i]);
        }
        session_end(&s);
    }
}

/* The server's own first record comes back to it. */
static void record_reflected(struct probe *p)
{
    struct session s;
    if (session_prove(p, &s)) {
        wire_send(&s.wire, s.welcome, s.welcome_len);
        session_add_ping(&s, "not sent"); /* as if it had been ours */
        s.send.n = 0;
        (void)session_must_stop(&s, 0, "its own record, sent back");
    }
    session_end(&s);
}

/* Keys that lack the shared secret, the handshake, or the direction. */
static void record_keys(struct probe *p)
{
    static const char *const names[] = {"records under the server's key",
                                        "records under the keys of another handshake",
                                        "records under a key of zeros"};
    for (unsigned i = 0; i < 3 && probe_good(p); i++) {
        struct session s;
        uint8_t secret[RX_KEY_SIZE] = {0};
        if (session_prove(p, &s)) {
            if (i == 0)
                memcpy(secret, s.keys.s2c, sizeof secret);
            if (i == 1) {
                s.m1[M1_NONCE] ^= 1;
                struct rx_sealer in = s.in;
                session_derive(&s);
                s.in = in;
                sodium_memzero(&in, sizeof in);
                memcpy(secret, s.keys.c2s, sizeof secret);
            }
            if (rx_sealer_init(&s.out, s.keys.suite, secret) == RX_OK)
                (void)session_must_stop(&s, 0, names[i]);
        }
        sodium_memzero(secret, sizeof secret);
        session_end(&s);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

/* EXEC of `true` with this trailer; id as in session_add_exec. */
static void exec_with(struct session *s, uint32_t stream, const struct trailer *trailer)
{
    uint8_t random[16], body[16];
    char id[33], header[96];
    size_t n = 0;
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2hex(id, sizeof id, random, sizeof random);
    int len = snprintf(header, sizeof header, "{\"id\":\"%s\",\"run\":\"exec\"}", id);
    (void)rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "true", 4);
    session_add_request(s, RX_EXEC, stream, header, (size_t)len, body, n, trailer);
}

/* Requests but EXEC: each is proven, whatever it asks for. Of what there is not. */
static const struct {
    uint8_t type;
    const char *header, *wrong_mac, *wrong_number;
} others[] = {
    {RX_LIST, "{}", "LIST under a wrong mac", "LIST out of its order"},
    {RX_FORGET, "{\"id\":\"00112233445566778899aabbccddeeff\"}", "FORGET under a wrong mac",
     "FORGET out of its order"},
    {RX_SIGNAL, "{\"signal\":\"TERM\",\"id\":\"00112233445566778899aabbccddeeff\"}",
     "SIGNAL under a wrong mac", "SIGNAL out of its order"},
    {RX_ATTACH, "{\"id\":\"00112233445566778899aabbccddeeff\"}", "ATTACH under a wrong mac",
     "ATTACH out of its order"},
};

static void other_requests(struct probe *p, const struct trailer *trailer)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0] && probe_good(p); i++) {
        struct session s;
        if (session_prove(p, &s)) {
            struct trailer t = *trailer;
            t.key = s.keys.request;
            session_add_request(&s, others[i].type, 1, others[i].header, strlen(others[i].header),
                                NULL, 0, &t);
            (void)session_must_stop(&s, 1,
                                    t.flip != 0 ? others[i].wrong_mac : others[i].wrong_number);
        }
        session_end(&s);
    }
}

static void request_mac(struct probe *p)
{
    for (unsigned i = 0; i < 3 && probe_good(p); i++) {
        struct session s;
        static const uint8_t zeros[RX_KEY_SIZE];
        if (session_prove(p, &s)) {
            const uint8_t *const keys[] = {zeros, s.keys.c2s, s.grant.client_auth};
            struct trailer t = {.sequence = 1, .key = keys[i]};
            exec_with(&s, 1, &t);
            (void)session_must_stop(&s, 1, "a request under a wrong mac");
        }
        session_end(&s);
    }
    /* Each byte of the mac, as a compare may be cut; and so in the second request. */
    for (unsigned i = 0; i < RX_HASH_SIZE + 1 && probe_good(p); i++) {
        struct session s;
        bool second = i == RX_HASH_SIZE;
        if (session_prove(p, &s)) {
            struct trailer t = {.sequence = 1, .flip = 1, .flip_at = i, .key = s.keys.request};
            if (second) {
                session_add(&s, RX_LIST, 0, 1, NULL, NULL, 0);
                t.sequence = 2;
                t.flip_at = 0;
            }
            exec_with(&s, 2, &t);
            (void)session_must_stop(&s, 2,
                                    second ? "a second request under a wrong mac"
                                           : "a request with one bit of its mac changed");
        }
        session_end(&s);
    }
    other_requests(p, &(struct trailer){.sequence = 1, .flip = 1});
}

static void request_sequence(struct probe *p)
{
    static const uint64_t numbers[] = {0, 2, 3, UINT64_MAX, 1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && probe_good(p); i++) {
        struct session s;
        if (session_prove(p, &s)) {
            bool again = numbers[i] == 1; /* the first was that already */
            struct trailer t = {.sequence = numbers[i], .key = s.keys.request};
            if (again)
                session_add(&s, RX_LIST, 0, 1, NULL, NULL, 0);
            exec_with(&s, 2, &t);
            (void)session_must_stop(
                &s, 2, again ? "a request's number used twice" : "a request out of its order");
        }
        session_end(&s);
    }
    other_requests(p, &(struct trailer){.sequence = 2});
}

const struct probe_check probe_record_checks[] = {
    {"record_length", "lengths of records that cannot be", PROBE_NEEDS_KEY, record_length},
    {"record_altered", "records changed on the way", PROBE_NEEDS_KEY, record_altered},
    {"record_order", "records doubled, swapped, left out", PROBE_NEEDS_KEY, record_order},
    {"record_reflected", "the server's record sent back", PROBE_NEEDS_KEY, record_reflected},
    {"record_keys", "records under other keys", PROBE_NEEDS_KEY, record_keys},
    {"request_mac", "requests without their proof", PROBE_NEEDS_KEY, request_mac},
    {"request_sequence", "requests out of order", PROBE_NEEDS_KEY, request_sequence},
    {NULL, NULL, 0, NULL},
};

/* ---- time ------------------------------------------------------------------------------- */

enum { ROUNDS = 60 };

struct moments {
    double n, mean, squares; /* Welford's */
};

static void count_in(struct moments *m, double value)
{
    double from = value - m->mean;
    m->n += 1;
    m->mean += from / m->n;
    m->squares += from * (value - m->mean);
}

/* Microseconds from M1 to M2, or less than 0. */
static double answer_time(struct probe *p, bool known)
{
    struct session s;
    struct timespec from, to;
    double us = -1;
    session_begin(p, &s);
    if (!known)
        randombytes_buf(s.m1 + M1_KID, RX_KID_SIZE);
    if (wire_open(p, &s.wire)) {
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        wire_send(&s.wire, s.m1, sizeof s.m1);
        if (wire_take(&s.wire, s.m2, sizeof s.m2) == sizeof s.m2) {
            (void)clock_gettime(CLOCK_MONOTONIC, &to);
            us =
                (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
        }
    }
    session_end(&s);
    return us;
}

static double square_root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 64; i++)
        r = (r + x / r) / 2;
    return r;
}

/* A difference in time says little over a network: it is told, and judged by nobody. */
static void timing(struct probe *p)
{
    struct moments known = {0}, unknown = {0};
    for (unsigned i = 0; i < 2 * ROUNDS && probe_good(p); i++) {
        double us = answer_time(p, i % 2 == 0);
        if (us < 0)
            (void)probe_skip(p, "no M2 came");
        else
            count_in(i % 2 == 0 ? &known : &unknown, us);
    }
    if (!probe_good(p))
        return;
    double spread = (known.squares + unknown.squares) / ((ROUNDS - 1.0) * ROUNDS);
    double difference = known.mean - unknown.mean;
    probe_tell(p, "M2 took %.0f us for this client, %.0f us for others; Welch's t %.1f", known.mean,
               unknown.mean, difference / square_root(spread > 0 ? spread : 1));
}

/* Silent, slow with M1, silent with M3: each has one deadline from the connection's start. */
static void deadline(struct probe *p)
{
    static const char *const names[] = {"silence", "a byte of M1 now and then", "M1 and silence"};
    enum { WAYS = 3 };
    struct session s[WAYS];
    int64_t from = wire_now(), limit = from + (int64_t)p->options->probe.slow * 1000;
    size_t sent = 0;
    bool over[WAYS] = {false};
    for (int i = 0; i < WAYS; i++) {
        session_begin(p, &s[i]);
        if (i == 2)
            (void)session_challenge(&s[i]);
        else
            (void)wire_open(p, &s[i].wire);
        s[i].wire.patience = 20;
    }
    while (probe_good(p) && wire_now() < limit && !(over[0] && over[1] && over[2])) {
        size_t due = (size_t)((wire_now() - from) * 86 / (limit - from)) + 1;
        for (int i = 0; i < WAYS; i++) {
            uint8_t byte;
            if (i == 1 && !over[i] && sent < due && sent < 87)
                wire_send(&s[i].wire, s[i].m1 + sent++, 1);
            if (!over[i] && wire_take(&s[i].wire, &byte, 1) > 0)
                (void)probe_fail(p, "it answered %s", names[i]);
            over[i] = wire_over(&s[i].wire);
        }
    }
    for (int i = 0; i < WAYS; i++) {
        if (!over[i] && probe_good(p))
            (void)probe_fail(p, "%s is not ended within %u s", names[i], p->options->probe.slow);
        session_end(&s[i]);
    }
}

static void still_serves(struct probe *p)
{
    struct session s;
    struct said said;
    session_begin(p, &s);
    if (session_challenge(&s) && p->keyed && !p->doubted) {
        session_answer(&s);
        wire_send(&s.wire, s.m3, sizeof s.m3);
        if (!session_await(&s, RX_WELCOME, &said))
            (void)probe_fail(p, "no session comes about any more");
    }
    if (p->finding.result == PROBE_SKIPPED)
        p->finding.result = PROBE_FAILED; /* a right M1 was answered before */
    session_end(&s);
}

const struct probe_check probe_last_checks[] = {
    {"timing", "how long M2 takes, for known clients and others", PROBE_NEEDS_KEY, timing},
    {"deadline", "an end to handshakes that take too long", PROBE_NEEDS_TIME, deadline},
    {"still_serves", "it serves as before", PROBE_NEEDS_NOTHING, still_serves},
    {NULL, NULL, 0, NULL},
};
