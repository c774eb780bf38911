/* Against a client: M2 as those make it who are not the server, or want less than it offered. */
#include <sodium.h>
#include <string.h>

#include "auth/handshake_layout.h"
#include "rexec/probe_serve.h"

/* What is done to a right M2. */
static void refuse(struct probe *p, void (*change)(struct session *s), const char *what)
{
    struct session s;
    if (serve_accept(p, &s)) {
        change(&s);
        if (probe_good(p))
            (void)serve_must_refuse(&s, what);
    }
    session_end(&s);
}

static void client_works(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        session_add_ping(&s, "honest..");
        session_send(&s);
        struct said said;
        if (!session_await(&s, RX_PONG, &said))
            (void)probe_fail(p, "the client does not answer a right PING");
    }
    session_end(&s);
}

static void random_proof(struct session *s)
{
    randombytes_buf(s->m2 + M2_PROOF, RX_HASH_SIZE);
}

static void zero_proof(struct session *s)
{
    memset(s->m2 + M2_PROOF, 0, RX_HASH_SIZE);
}

static void one_bit(struct session *s)
{
    unsigned bit = probe_pick(s->probe, 8 * RX_HASH_SIZE);
    s->m2[M2_PROOF + bit / 8] ^= (uint8_t)(1U << bit % 8);
}

static void half_right(struct session *s)
{
    memset(s->m2 + M2_PROOF + 16, 0xa5, RX_HASH_SIZE - 16);
}

static void first_byte(struct session *s)
{
    s->m2[M2_PROOF] ^= 0xa5;
}

static void last_byte(struct session *s)
{
    s->m2[M2_PROOF + RX_HASH_SIZE - 1] ^= 0xa5;
}

/* The client's key in the server's role. */
static void other_role(struct session *s)
{
    if (handshake_proof(s->grant.client_auth, s->m1, s->m2, s->m2 + M2_PROOF) != RX_OK)
        (void)probe_skip(s->probe, "no proof could be made");
}

/* The client's own bytes come back to it. */
static void own_bytes(struct session *s)
{
    memcpy(s->m2 + 8, s->m1 + 8, sizeof s->m1 - 8);
    memcpy(s->m2 + M2_PROOF, s->m1 + M1_EPHEMERAL, RX_HASH_SIZE);
}

static void without_transcript(struct session *s)
{
    const struct rx_bytes nonce = {s->m1 + M1_NONCE, RX_KEY_SIZE};
    if (rx_hmac(s->grant.server_auth, RX_KEY_SIZE, &nonce, 1, s->m2 + M2_PROOF) != RX_OK)
        (void)probe_skip(s->probe, "no proof could be made");
}

/* Changed behind the proof. */
static void changed_challenge(struct session *s)
{
    s->m2[M2_CHALLENGE + probe_pick(s->probe, RX_KEY_SIZE)] ^= 1;
}

static void changed_key(struct session *s)
{
    s->m2[M2_EPHEMERAL + probe_pick(s->probe, RX_KEY_SIZE)] ^= 1;
}

static void earlier(struct session *s)
{
    if (!s->probe->has_earlier)
        (void)probe_skip(s->probe, "no M2 was sent before");
    memcpy(s->m2, s->probe->earlier, sizeof s->m2);
}

static void zero_challenge(struct session *s)
{
    memset(s->m2 + M2_CHALLENGE, 0, RX_KEY_SIZE);
    serve_prove(s);
}

/* A suite that exists and was not offered. */
static void other_suite(struct session *s)
{
    bool readable = s->m1[M1_SUITES] == RX_SUITE_HMAC_SHA256;
    s->m2[M2_SUITE] = readable ? RX_SUITE_CHACHA20POLY1305 : RX_SUITE_HMAC_SHA256;
    memset(s->m2 + M2_EPHEMERAL, 0, RX_KEY_SIZE);
    if (readable)
        memcpy(s->m2 + M2_EPHEMERAL, s->pair.public, RX_KEY_SIZE);
    serve_prove(s);
}

static void no_suite(struct session *s)
{
    s->m2[M2_SUITE] = 0;
    serve_prove(s);
}

static void strange_suite(struct session *s)
{
    s->m2[M2_SUITE] = 0x40;
    serve_prove(s);
}

static void two_suites(struct session *s)
{
    s->m2[M2_SUITE] = 0x03;
    serve_prove(s);
}

static void version_0(struct session *s)
{
    s->m2[M2_VERSION] = 0;
    serve_prove(s);
}

static void version_above(struct session *s)
{
    unsigned most = s->m1[M1_VERSION_MAX];
    s->m2[M2_VERSION] = (uint8_t)(most < 255 ? most + 1 : 0);
    serve_prove(s);
}

static void wrong_magic(struct session *s)
{
    s->m2[probe_pick(s->probe, 4)] ^= 0x20;
    serve_prove(s);
}

static void wrong_type(struct session *s)
{
    s->m2[AT_TYPE] = TYPE_M3;
    serve_prove(s);
}

static void not_zero(struct session *s)
{
    s->m2[M2_ZERO] = 1;
    serve_prove(s);
}

static void low_key(struct session *s, const uint8_t point[static RX_KEY_SIZE])
{
    if (s->m2[M2_SUITE] == RX_SUITE_HMAC_SHA256)
        (void)probe_skip(s->probe, "the readable suite has no such keys");
    memcpy(s->m2 + M2_EPHEMERAL, point, RX_KEY_SIZE);
    serve_prove(s);
}

static void low_key_0(struct session *s)
{
    static const uint8_t zero[RX_KEY_SIZE];
    low_key(s, zero);
}

static void low_key_1(struct session *s)
{
    static const uint8_t one[RX_KEY_SIZE] = {1};
    low_key(s, one);
}

static void low_key_8(struct session *s)
{
    static const uint8_t order_8[RX_KEY_SIZE] = {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae,
                                                 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
                                                 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd,
                                                 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00};
    low_key(s, order_8);
}

/* M2 cut short, and an end. */
static void proof_cut(struct probe *p)
{
    struct session s;
    if (serve_accept(p, &s)) {
        uint8_t byte;
        wire_send(&s.wire, s.m2, M2_PROOF + probe_pick(p, RX_HASH_SIZE));
        wire_finish(&s.wire);
        if (wire_take(&s.wire, &byte, 1) > 0)
            (void)probe_fail(p, "the client went on behind a part of M2");
        else if (!wire_over(&s.wire))
            (void)probe_fail(p, "the client waits on behind the end of the connection");
    }
    session_end(&s);
}

/* name, what it is, what it is called in a failure, the change */
#define PROOFS(X)                                                                                  \
    X(proof_random, "a proof that is random", "a random proof", random_proof)                      \
    X(proof_zero, "a proof of zeros", "a proof of zeros", zero_proof)                              \
    X(proof_bit, "a proof with one bit changed", "a proof with one bit changed", one_bit)          \
    X(proof_half, "a proof right in its first half", "half a proof", half_right)                   \
    X(proof_begin, "a proof wrong in its first byte", "a proof wrong in its first byte",           \
      first_byte)                                                                                  \
    X(proof_end, "a proof wrong in its last byte", "a proof wrong in its last byte", last_byte)    \
    X(proof_role, "a proof under the client's key", "a proof under the client's key", other_role)  \
    X(proof_own_bytes, "the client's own bytes", "its own bytes, sent back", own_bytes)            \
    X(proof_no_transcript, "a proof of the nonce alone", "a proof of the nonce alone",             \
      without_transcript)                                                                          \
    X(m2_challenge, "a challenge changed on the way", "a changed challenge", changed_challenge)    \
    X(m2_key, "an ephemeral key changed on the way", "a changed key", changed_key)                 \
    X(m2_replayed, "M2 of another connection", "M2 of another connection", earlier)                \
    X(zero_challenge, "a challenge of zeros", "a challenge of zeros", zero_challenge)              \
    X(suite_downgrade, "a suite that was not offered", "a suite not offered", other_suite)         \
    X(suite_none, "no suite", "no suite", no_suite)                                                \
    X(suite_unknown, "a suite that does not exist", "a suite that does not exist", strange_suite)  \
    X(suite_two, "two suites at once", "two suites at once", two_suites)                           \
    X(version_0, "version 0", "version 0", version_0)                                              \
    X(version_above, "a version not offered", "a version not offered", version_above)              \
    X(m2_magic, "a wrong magic", "a wrong magic", wrong_magic)                                     \
    X(m2_type, "a wrong type", "a wrong type", wrong_type)                                         \
    X(m2_zero, "a byte that must be zero", "a byte that must be zero", not_zero)                   \
    X(key_zero, "a public key of zeros", "a public key of zeros", low_key_0)                       \
    X(key_one, "a public key of small order", "a public key of order 4", low_key_1)                \
    X(key_order_8, "a public key of small order", "a public key of order 8", low_key_8)

#define X(name, tries, what, change)                                                               \
    static void check_##name(struct probe *p)                                                      \
    {                                                                                              \
        refuse(p, change, what);                                                                   \
    }
PROOFS(X)
#undef X

const struct probe_check probe_serve_proofs[] = {
    {"client_works", "a right server: the client answers it", 0, client_works},
#define X(name, tries, what, change) {#name, tries, 0, check_##name},
    PROOFS(X)
#undef X
        {"proof_cut", "M2 cut short", 0, proof_cut},
    {NULL, NULL, 0, NULL},
};
