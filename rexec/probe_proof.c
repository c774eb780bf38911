/* Checks of proofs by somebody who has a key: what is nearly right is wrong. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/handshake_layout.h"
#include "rexec/probe_session.h"

/* M3 as it stands, and with it what an honest client sends: nothing may come of it. */
static bool m3_refused(struct session *s, const char *what)
{
    wire_send(&s->wire, s->m3, sizeof s->m3);
    return wire_must_close(s->probe, &s->wire, what);
}

/* A session as far as a right M3 that is not sent. To be ended either way. */
static bool answered(struct probe *p, struct session *s)
{
    session_begin(p, s);
    if (!session_challenge(s))
        return false;
    session_answer(s);
    return true;
}

static void server_proof(struct probe *p)
{
    struct session s;
    uint8_t proof[RX_HASH_SIZE];
    session_begin(p, &s);
    if (session_challenge(&s) && handshake_proof(p->keys.server_auth, s.m1, s.m2, proof) == RX_OK &&
        sodium_memcmp(proof, s.m2 + M2_PROOF, sizeof proof) != 0)
        (void)probe_fail(p, "M2's proof is wrong");
    session_end(&s);
}

static void honest_session(struct probe *p)
{
    struct session s;
    struct said said;
    if (session_prove(p, &s)) {
        session_add_ping(&s, "honest..");
        session_send(&s);
        if (!session_await(&s, RX_PONG, &said))
            (void)probe_fail(p, "a PING was not answered");
        session_add(&s, RX_CLOSE, 0, 0, NULL, NULL, 0);
        session_send(&s);
        if (probe_good(p) && session_read(&s).what != SAID_CLOSED)
            (void)probe_fail(p, "it did not close behind CLOSE");
    }
    session_end(&s);
}

/* M3 and records in one segment, and in bytes of their own. */
static void m3_split(struct probe *p)
{
    for (unsigned i = 0; i < 2 && probe_good(p); i++) {
        struct session s;
        struct said said;
        if (answered(p, &s)) {
            session_add_ping(&s, "together");
            struct buffer all = {0};
            bool room =
                buffer_add(&all, s.m3, sizeof s.m3) && buffer_add(&all, s.send.bytes, s.send.n);
            for (size_t at = 0; room && at < all.n; at += i == 0 ? all.n : 1)
                wire_send(&s.wire, all.bytes + at, i == 0 ? all.n : 1);
            buffer_clear(&all);
            if (!session_await(&s, RX_PONG, &said))
                (void)probe_fail(p, i == 0 ? "M3 and a record in one segment have no answer"
                                           : "M3 and a record byte by byte have no answer");
        }
        session_end(&s);
    }
}

/* ---- responses that are wrong ----------------------------------------------------------- */

static void reflection(struct probe *p)
{
    struct session s;
    if (answered(p, &s)) {
        memcpy(s.m3 + M3_RESPONSE, s.m2 + M2_PROOF, RX_HASH_SIZE);
        (void)m3_refused(&s, "its own proof, sent back");
    }
    session_end(&s);
    if (!probe_good(p) || !answered(p, &s))
        return;
    /* The right bytes under the key of the other role. */
    if (handshake_response(p->keys.server_auth, s.m1, s.m2, s.m3, s.m3 + M3_RESPONSE) == RX_OK)
        (void)m3_refused(&s, "a response under the server's own key");
    session_end(&s);
    if (!probe_good(p) || !answered(p, &s))
        return;
    if (handshake_response(p->keys.mix, s.m1, s.m2, s.m3, s.m3 + M3_RESPONSE) == RX_OK)
        (void)m3_refused(&s, "a response under the key of neither role");
    session_end(&s);
}

/* The response with everything from byte `at` on changed, or one bit of that byte. */
static bool altered(struct probe *p, size_t at, bool all, const char *what)
{
    struct session s;
    bool ready = answered(p, &s);
    /* One with a zero byte is another check's. */
    while (ready && memchr(s.m3 + M3_RESPONSE, 0, RX_HASH_SIZE) != NULL) {
        session_end(&s);
        ready = answered(p, &s);
    }
    if (ready) {
        for (size_t i = at; i < RX_HASH_SIZE && (all || i == at); i++)
            s.m3[M3_RESPONSE + i] ^= (uint8_t)(all ? 0xa5 : 1U << probe_pick(p, 8));
        (void)m3_refused(&s, what);
    }
    session_end(&s);
    return probe_good(p);
}

static void response_altered(struct probe *p)
{
    static const size_t right[] = {1, 2, 4, 8, 12, 16, 20, 24, 28, 31};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "a response right in its first %zu bytes", right[i]);
        if (!altered(p, right[i], true, what))
            return;
    }
    for (size_t at = 0; at < RX_HASH_SIZE; at++) {
        if (!altered(p, at, false, "a response with one bit changed"))
            return;
    }
}

/* One challenge, one answer: else it can be guessed at. */
static void second_response(struct probe *p)
{
    struct session s;
    if (answered(p, &s)) {
        uint8_t both[2 * RX_M3_SIZE];
        memcpy(both, s.m3, sizeof s.m3);
        memcpy(both + sizeof s.m3, s.m3, sizeof s.m3);
        for (size_t i = M3_RESPONSE; i < sizeof s.m3; i++)
            both[i] ^= 0xa5;
        wire_send(&s.wire, both, sizeof both);
        (void)wire_must_close(p, &s.wire, "a right response behind a wrong one");
    }
    session_end(&s);
}

/* Somebody else's kid: the server must not take it for the one that begins or ends so. */
static void kid_altered(struct probe *p)
{
    static const struct {
        size_t from, to;
        const char *what;
    } parts[] = {
        {0, 1, "a kid with another first byte"},
        {0, 8, "a kid that is right in its last 8 bytes"},
        {8, 16, "a kid that is right in its first 8 bytes"},
        {15, 16, "a kid with another last byte"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && probe_good(p); i++) {
        struct session s;
        session_begin(p, &s);
        for (size_t at = parts[i].from; at < parts[i].to; at++)
            s.m1[M1_KID + at] ^= 0xa5;
        if (session_challenge(&s)) {
            session_answer(&s);
            (void)m3_refused(&s, parts[i].what);
        }
        session_end(&s);
    }
}

/* strncmp and its like end at a zero byte: wait for a response that has one, and change the rest.
 */
static void response_nul(struct probe *p)
{
    unsigned tried = 0;
    for (unsigned i = 0; i < 500 && tried < 2 && probe_good(p); i++) {
        struct session s;
        if (answered(p, &s)) {
            uint8_t *response = s.m3 + M3_RESPONSE;
            const uint8_t *zero = memchr(response + 1, 0, 7);
            for (uint8_t *at = response + (zero != NULL ? zero - response + 1 : RX_HASH_SIZE);
                 at < response + RX_HASH_SIZE; at++)
                *at ^= 0xa5;
            if (zero != NULL) {
                tried++;
                (void)m3_refused(&s, "a response wrong behind its first zero byte");
            }
        }
        session_end(&s);
    }
    if (tried == 0)
        (void)probe_skip(p, "no response had a zero byte");
}

static void response_cut(struct probe *p)
{
    const unsigned lengths[] = {0, 1, 4, 8, 16, 2 + probe_pick(p, 29), 31};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0] && probe_good(p); i++) {
        struct session s;
        char what[64];
        (void)snprintf(what, sizeof what, "a response of %u bytes", lengths[i]);
        if (answered(p, &s)) {
            wire_send(&s.wire, s.m3, M3_RESPONSE + lengths[i]);
            wire_finish(&s.wire);
            (void)wire_must_close(p, &s.wire, what);
        }
        session_end(&s);
    }
}

/* What the response must cover, one left out at a time. */
static bool shortened(struct session *s, unsigned which)
{
    const struct rx_bytes m1 = {s->m1, sizeof s->m1}, m2 = {s->m2, sizeof s->m2};
    const struct rx_bytes header = {s->m3, M3_RESPONSE}, m2_head = {s->m2, M2_PROOF};
    const struct rx_bytes covered[][3] = {
        {m2, header}, {m1, header}, {m1, m2}, {m1, m2_head, header}, {m1}, {m2},
    };
    static const size_t counts[] = {2, 2, 2, 3, 1, 1};
    uint8_t hash[RX_HASH_SIZE];
    const struct rx_bytes proven[] = {{s->m2 + M2_CHALLENGE, RX_KEY_SIZE}, {hash, sizeof hash}};
    size_t pieces = which < 6 ? 2 : 1; /* the last: the challenge alone */
    return (which >= 6 || rx_hash(covered[which], counts[which], hash) == RX_OK) &&
           rx_hmac(s->grant.client_auth, RX_KEY_SIZE, proven, pieces, s->m3 + M3_RESPONSE) == RX_OK;
}

static void no_transcript(struct probe *p)
{
    static const char *const names[] = {
        "a response that leaves out M1",        "a response that leaves out M2",
        "a response that leaves out M3's head", "a response that leaves out M2's proof",
        "a response over the challenge and M1", "a response over the challenge and M2",
        "a response over the challenge alone",
    };
    for (unsigned i = 0; i < 7 && probe_good(p); i++) {
        struct session s;
        if (answered(p, &s) && shortened(&s, i))
            (void)m3_refused(&s, names[i]);
        session_end(&s);
    }
}

/* ---- bytes changed on the way ----------------------------------------------------------- */

/* Somebody in the middle changed M1: the server has seen another one than the client. */
static void m1_altered(struct probe *p)
{
    const size_t places[] = {M1_VERSION_MAX,
                             M1_SUITES,
                             M1_NONCE + probe_pick(p, RX_KEY_SIZE),
                             M1_NONCE + probe_pick(p, RX_KEY_SIZE),
                             M1_EPHEMERAL + probe_pick(p, RX_KEY_SIZE),
                             M1_EPHEMERAL + probe_pick(p, RX_KEY_SIZE)};
    for (size_t i = 0; i < sizeof places / sizeof places[0] && probe_good(p); i++) {
        struct session s;
        uint8_t sent[RX_M1_SIZE];
        char what[64];
        session_begin(p, &s);
        memcpy(sent, s.m1, sizeof sent);
        /* Versions and suites only grow: the server still answers. */
        s.m1[places[i]] ^= (uint8_t)(i == 0 ? 2 : i == 1 ? 0x10 : 1U << probe_pick(p, 8));
        (void)snprintf(what, sizeof what, "byte %zu of M1 changed on the way", places[i]);
        if (session_challenge(&s)) {
            memcpy(s.m1, sent, sizeof sent);
            session_answer(&s);
            (void)m3_refused(&s, what);
        }
        session_end(&s);
    }
}

/* Likewise with M2: the client answers another one than was sent. */
static void m2_altered(struct probe *p)
{
    const size_t places[] = {M2_VERSION,
                             M2_SUITE,
                             M2_ZERO,
                             M2_CHALLENGE + probe_pick(p, RX_KEY_SIZE),
                             M2_EPHEMERAL + probe_pick(p, RX_KEY_SIZE),
                             M2_PROOF + probe_pick(p, RX_HASH_SIZE)};
    for (size_t i = 0; i < sizeof places / sizeof places[0] && probe_good(p); i++) {
        struct session s;
        char what[64];
        (void)snprintf(what, sizeof what, "byte %zu of M2 changed on the way", places[i]);
        if (answered(p, &s)) {
            s.m2[places[i]] ^= (uint8_t)(1U << probe_pick(p, 8));
            session_respond(&s, s.m1, s.m2); /* the header stays right */
            (void)m3_refused(&s, what);
        }
        session_end(&s);
    }
}

static void m3_header(struct probe *p)
{
    for (unsigned i = 0; i < 16 && probe_good(p); i++) {
        struct session s;
        unsigned at = i % 8;
        if (answered(p, &s)) {
            char what[64];
            s.m3[at] ^= (uint8_t)(1U << probe_pick(p, 8));
            if (i >= 8) /* the response is right for the header that is sent */
                session_respond(&s, s.m1, s.m2);
            (void)snprintf(what, sizeof what, "M3 with byte %u of its header changed", at);
            (void)m3_refused(&s, what);
        }
        session_end(&s);
    }
}

/* ---- again, and elsewhere --------------------------------------------------------------- */

/* The bytes of a session that was, sent once more. */
static void replay(struct probe *p)
{
    struct session was, s;
    if (!session_prove(p, &was)) {
        session_end(&was);
        return;
    }
    session_add_ping(&was, "replayed");
    struct buffer old = {0};
    bool room =
        buffer_add(&old, was.m3, sizeof was.m3) && buffer_add(&old, was.send.bytes, was.send.n);
    session_send(&was);
    /* While it lives, when it is over, and without waiting for M2. */
    uint8_t m1[RX_M1_SIZE];
    memcpy(m1, was.m1, sizeof m1);
    for (unsigned i = 0; i < 3 && room && probe_good(p); i++) {
        session_begin(p, &s);
        memcpy(s.m1, m1, sizeof m1);
        bool came = i < 2 ? session_challenge(&s) : wire_open(p, &s.wire);
        if (came) {
            if (i == 2)
                wire_send(&s.wire, m1, sizeof m1);
            wire_send(&s.wire, old.bytes, old.n);
            if (i == 2)
                (void)wire_take(&s.wire, s.m2, sizeof s.m2);
            (void)wire_must_close(p, &s.wire, "a session's bytes, sent once more");
        }
        session_end(&s);
        wire_close(&was.wire);
    }
    buffer_clear(&old);
    session_end(&was);
}

/* Two handshakes at once: the answer to one in the other. */
static void crossed(struct probe *p)
{
    struct session a, b;
    bool both = answered(p, &a);
    both = answered(p, &b) && both;
    if (both) {
        uint8_t m3[RX_M3_SIZE];
        memcpy(m3, a.m3, sizeof m3);
        memcpy(a.m3, b.m3, sizeof m3);
        memcpy(b.m3, m3, sizeof m3);
        if (m3_refused(&a, "the answer to another connection's challenge"))
            (void)m3_refused(&b, "the answer to another connection's challenge");
    }
    session_end(&a);
    session_end(&b);
}

/* KRACK: the handshake's messages once more in a session. */
static void second_m3(struct probe *p)
{
    for (unsigned i = 0; i < 4 && probe_good(p); i++) {
        static const char *const names[] = {"a second M3", "a second M1"};
        struct session s;
        struct said said;
        if (session_prove(p, &s)) {
            session_add_ping(&s, "firstone");
            session_send(&s);
            (void)session_await(&s, RX_PONG, &said);
            wire_send(&s.wire, i % 2 == 0 ? s.m3 : s.m1, i % 2 == 0 ? sizeof s.m3 : sizeof s.m1);
            struct rx_sealer in = s.in;
            if (i >= 2) { /* as if records were counted anew */
                session_derive(&s);
                s.in = in;
            }
            (void)session_must_stop(&s, 0, names[i % 2]);
            sodium_memzero(&in, sizeof in);
        }
        session_end(&s);
    }
}

/* Encodings of points of small order: X25519 with them is zero, whoever's secret it is. */
static const uint8_t small_order[][RX_KEY_SIZE] = {
    {0},
    {1},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
     0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
     0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
     0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
     0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
};

static void low_order(struct probe *p)
{
    if (p->suites == RX_SUITE_HMAC_SHA256)
        (void)probe_skip(p, "the readable suite has no such keys");
    for (size_t i = 0; i < 2 * (sizeof small_order / sizeof small_order[0]) && probe_good(p); i++) {
        struct session s;
        session_begin(p, &s);
        memcpy(s.m1 + M1_EPHEMERAL, small_order[i / 2], RX_KEY_SIZE);
        s.m1[M1_EPHEMERAL + RX_KEY_SIZE - 1] |= (uint8_t)(i % 2 << 7);
        /* A server may refuse it before M2 as well. */
        if (wire_open(p, &s.wire)) {
            wire_send(&s.wire, s.m1, sizeof s.m1);
            if (wire_take(&s.wire, s.m2, sizeof s.m2) == sizeof s.m2) {
                session_answer(&s);
                (void)m3_refused(&s, "a public key of small order");
            }
        }
        session_end(&s);
    }
}

const struct probe_check probe_proof_checks[] = {
    {"server_proof", "the server proves itself", PROBE_NEEDS_KEY, server_proof},
    {"honest_session", "a right session: WELCOME, PING, CLOSE", PROBE_NEEDS_KEY, honest_session},
    {"m3_split", "M3 with records, at once and byte by byte", PROBE_NEEDS_KEY, m3_split},
    {"reflection", "the server's own proof sent back", PROBE_NEEDS_KEY, reflection},
    {"response_altered", "responses that are right in part", PROBE_NEEDS_KEY, response_altered},
    {"response_nul", "a compare that ends at a zero byte", PROBE_NEEDS_KEY, response_nul},
    {"response_cut", "responses that are too short", PROBE_NEEDS_KEY, response_cut},
    {"second_response", "a right response behind a wrong one", PROBE_NEEDS_KEY, second_response},
    {"kid_altered", "kids that are right in part", PROBE_NEEDS_KEY, kid_altered},
    {"no_transcript", "responses that cover too little", PROBE_NEEDS_KEY, no_transcript},
    {"m1_altered", "M1 changed on the way", PROBE_NEEDS_KEY, m1_altered},
    {"m2_altered", "M2 changed on the way", PROBE_NEEDS_KEY, m2_altered},
    {"m3_header", "M3's header changed", PROBE_NEEDS_KEY, m3_header},
    {"replay", "a session's bytes once more", PROBE_NEEDS_KEY, replay},
    {"crossed", "the answer to another challenge", PROBE_NEEDS_KEY, crossed},
    {"second_m3", "M3 or M1 again in a session", PROBE_NEEDS_KEY, second_m3},
    {"low_order", "public keys of small order", PROBE_NEEDS_KEY, low_order},
    {NULL, NULL, 0, NULL},
};
