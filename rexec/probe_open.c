/* Checks of what stands before a proof: they need no key, and use one where it is there. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/handshake_layout.h"
#include "proto/bytes.h"
#include "rexec/probe_session.h"

/* Sends bytes on a connection of their own; nothing but its end may come back. */
static bool refused(struct probe *p, const void *bytes, size_t n, bool finish, const char *what)
{
    struct wire w;
    bool good = wire_open(p, &w);
    if (good) {
        wire_send(&w, bytes, n);
        if (finish)
            wire_finish(&w);
        good = wire_must_close(p, &w, what);
    }
    wire_close(&w);
    return good;
}

static void m1_garbage(struct probe *p)
{
    uint8_t bytes[200];
    struct session s;
    static const char *const other[] = {"GET / HTTP/1.0\r\nHost: x\r\n\r\n", "SSH-2.0-x\r\n"};
    for (size_t i = 0; i < 2 && probe_good(p); i++) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, other[i], strlen(other[i]));
        (void)refused(p, bytes, sizeof bytes, false, "the greeting of another protocol");
    }
    randombytes_buf(bytes, sizeof bytes);
    bytes[0] = 'x';
    if (probe_good(p))
        (void)refused(p, bytes, sizeof bytes, false, "random bytes");
    session_begin(p, &s);
    for (unsigned at = 0; at < 4 && probe_good(p); at++) {
        s.m1[at] ^= (uint8_t)(1U << probe_pick(p, 8));
        (void)refused(p, s.m1, sizeof s.m1, false, "a wrong magic");
        handshake_header(s.m1, TYPE_M1, RX_VERSION, RX_VERSION);
        s.m1[M1_SUITES] = p->suites;
    }
    for (unsigned type = 0; type < 6 && probe_good(p); type++) {
        s.m1[AT_TYPE] = (uint8_t)(type < 5 ? type : 255);
        if (type != TYPE_M1)
            (void)refused(p, s.m1, sizeof s.m1, false, "a wrong type in M1");
    }
    session_end(&s);
}

static void m1_versions(struct probe *p)
{
    static const uint8_t ranges[][2] = {{0, 1}, {0, 0}, {2, 1}, {255, 1}, {1, 0}};
    struct session s;
    session_begin(p, &s);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0] && probe_good(p); i++) {
        memcpy(s.m1 + M1_VERSION_MIN, ranges[i], 2);
        (void)refused(p, s.m1, sizeof s.m1, false, "a range of versions that cannot be");
    }
    session_end(&s);
}

static void m1_zero_nonce(struct probe *p)
{
    struct session s;
    session_begin(p, &s);
    memset(s.m1 + M1_NONCE, 0, RX_KEY_SIZE);
    (void)refused(p, s.m1, sizeof s.m1, false, "an all-zero nonce");
    session_end(&s);
}

static void m1_cut(struct probe *p)
{
    const unsigned lengths[] = {0, 1, 7, 8, 24, 8 + probe_pick(p, 79), 87};
    struct session s;
    session_begin(p, &s);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0] && probe_good(p); i++)
        (void)refused(p, s.m1, lengths[i], true, "a part of M1 and an end");
    session_end(&s);
}

/* A server that reads as if messages were packets fails here. */
static void m1_split(struct probe *p)
{
    struct session s;
    session_begin(p, &s);
    if (wire_open(p, &s.wire)) {
        for (size_t i = 0; i < sizeof s.m1; i++)
            wire_send(&s.wire, s.m1 + i, 1);
        if (wire_take(&s.wire, s.m2, sizeof s.m2) < sizeof s.m2)
            (void)probe_fail(p, "no M2 for an M1 that came byte by byte");
    }
    session_end(&s);
}

/* ---- what it chooses -------------------------------------------------------------------- */

/* M1 with this range and these suites. False: no M2. */
static bool offer(struct probe *p, struct session *s, uint8_t low, uint8_t high, uint8_t suites)
{
    session_begin(p, s);
    s->m1[M1_VERSION_MIN] = low;
    s->m1[M1_VERSION_MAX] = high;
    s->m1[M1_SUITES] = suites;
    return session_challenge(s);
}

static void m2_form(struct probe *p)
{
    struct session s;
    session_begin(p, &s);
    if (session_challenge(&s)) {
        uint8_t suite = s.m2[M2_SUITE], more;
        bool zero = sodium_is_zero(s.m2 + M2_EPHEMERAL, RX_KEY_SIZE);
        bool sealed = (suite & RX_SUITES_SEALED) != 0;
        s.wire.patience = 200;
        if (!handshake_is(s.m2, TYPE_M2) || s.m2[M2_ZERO] != 0)
            (void)probe_fail(p, "M2's header is wrong");
        else if (zero == sealed)
            (void)probe_fail(p, sealed ? "M2 has a zero key" : "M2 has a key that nobody needs");
        else if (wire_take(&s.wire, &more, 1) > 0)
            (void)probe_fail(p, "it sent more than M2 before the client was proven");
    }
    session_end(&s);
}

static void nothing_common(struct probe *p)
{
    static const struct {
        uint8_t low, high, suites;
        const char *what;
    } offers[] = {
        {1, 1, 0, "an offer of no suite"},
        {1, 1, 0xf8, "suites that do not exist"},
        {2, 9, RX_SUITES_SEALED, "versions that do not exist"},
        {255, 255, RX_SUITES_SEALED, "versions that do not exist"},
    };
    for (size_t i = 0; i < sizeof offers / sizeof offers[0] && probe_good(p); i++) {
        struct session s;
        if (offer(p, &s, offers[i].low, offers[i].high, offers[i].suites)) {
            if (s.m2[M2_SUITE] != RX_SUITE_NONE)
                (void)probe_fail(p, "it chose a suite from %s", offers[i].what);
            else
                (void)wire_must_close(p, &s.wire, offers[i].what);
        }
        session_end(&s);
    }
}

/* The suite is one that was offered, the readable one only if no other was, and the best. */
static void downgrade(struct probe *p)
{
    for (unsigned i = 1; i <= 8 && probe_good(p); i++) {
        struct session s;
        uint8_t offered = (uint8_t)(i < 8 ? i : 0xff), high = (uint8_t)(1 + probe_pick(p, 200));
        if (offer(p, &s, 1, high, offered)) {
            uint8_t suite = s.m2[M2_SUITE], version = s.m2[M2_VERSION];
            bool sealed = (offered & RX_SUITES_SEALED) != 0;
            if ((suite & ~offered) != 0 || (suite & (suite - 1)) != 0 ||
                (suite & ~(unsigned)RX_SUITES_ALL) != 0)
                (void)probe_fail(p, "it chose suite 0x%02x of 0x%02x", suite, offered);
            else if (sealed && suite == RX_SUITE_HMAC_SHA256)
                (void)probe_fail(p, "it chose the readable suite of 0x%02x", offered);
            else if (version < 1 || version > high)
                (void)probe_fail(p, "it chose version %u of 1 to %u", version, high);
        }
        session_end(&s);
    }
}

/* ---- random numbers --------------------------------------------------------------------- */

enum { SAMPLE = 48 };

/* Half of them for one and the same M1. */
static bool sample(struct probe *p, size_t at, uint8_t values[SAMPLE][RX_KEY_SIZE])
{
    struct session same;
    session_begin(p, &same);
    for (size_t i = 0; i < SAMPLE && probe_good(p); i++) {
        struct session s;
        session_begin(p, &s);
        if (i % 2 == 0)
            memcpy(s.m1, same.m1, sizeof s.m1);
        if (session_challenge(&s))
            memcpy(values[i], s.m2 + at, RX_KEY_SIZE);
        session_end(&s);
    }
    session_end(&same);
    return probe_good(p);
}

static bool distinct(struct probe *p, uint8_t values[SAMPLE][RX_KEY_SIZE], const char *what)
{
    for (size_t i = 0; i < SAMPLE; i++) {
        if (sodium_is_zero(values[i], RX_KEY_SIZE))
            return probe_fail(p, "%s is zero", what);
        for (size_t k = 0; k < i; k++) {
            if (memcmp(values[i], values[k], RX_KEY_SIZE) == 0)
                return probe_fail(p, "%s came twice in %d", what, (int)SAMPLE);
        }
    }
    return true;
}

static void challenge_repeats(struct probe *p)
{
    uint8_t values[SAMPLE][RX_KEY_SIZE];
    if (!sample(p, M2_CHALLENGE, values) || !distinct(p, values, "a challenge"))
        return;
    /* A counter, a clock: one byte that never changes in 48 random ones is one in 10^110. */
    for (size_t at = 0; at < RX_KEY_SIZE; at++) {
        bool changes = false;
        for (size_t i = 1; i < SAMPLE; i++)
            changes = changes || values[i][at] != values[0][at];
        if (!changes) {
            (void)probe_fail(p, "byte %zu of the challenge is always the same", at);
            return;
        }
    }
}

static void ephemeral_repeats(struct probe *p)
{
    uint8_t values[SAMPLE][RX_KEY_SIZE];
    if (p->suites == RX_SUITE_HMAC_SHA256)
        (void)probe_skip(p, "the readable suite has no such keys");
    else if (sample(p, M2_EPHEMERAL, values))
        (void)distinct(p, values, "an ephemeral key");
}

/* ---- what is no proof ------------------------------------------------------------------- */

static void bytes_behind_m1(struct probe *p)
{
    static const char *const names[] = {"random bytes with M1", "M1 with M1", "a mebibyte with M1"};
    for (unsigned i = 0; i < 3 && probe_good(p); i++) {
        static uint8_t flood[1 << 20];
        struct session s;
        session_begin(p, &s);
        size_t n = i == 0 ? 200 : i == 1 ? 2 * sizeof s.m1 : sizeof flood;
        randombytes_buf(flood, n);
        memcpy(flood, s.m1, sizeof s.m1);
        if (i == 1)
            memcpy(flood + sizeof s.m1, s.m1, sizeof s.m1);
        if (wire_open(p, &s.wire)) {
            wire_send(&s.wire, flood, n);
            /* M2 may be lost when the connection is reset. */
            if (wire_take(&s.wire, s.m2, sizeof s.m2) == sizeof s.m2)
                (void)wire_must_close(p, &s.wire, names[i]);
        }
        session_end(&s);
    }
}

/* Behind M2 come n bytes of somebody who has no key; nothing but the close may answer. */
static void instead_of_m3(struct probe *p, const uint8_t *bytes, size_t n, bool finish,
                          const char *what)
{
    struct session s;
    session_begin(p, &s);
    if (session_challenge(&s)) {
        wire_send(&s.wire, bytes, n);
        if (finish)
            wire_finish(&s.wire);
        (void)wire_must_close(p, &s.wire, what);
    }
    session_end(&s);
}

static void second_m1(struct probe *p)
{
    struct session other;
    session_begin(p, &other);
    instead_of_m3(p, other.m1, sizeof other.m1, false, "a second M1");
    session_end(&other);
}

/* EXEC as it stands in a readable session, with a tag of nobody's; n bytes of it. */
static size_t plain_exec(uint8_t record[static 256])
{
    static const char header[] = "{\"id\":\"00112233445566778899aabbccddeeff\",\"run\":\"exec\"}";
    uint8_t *message = record + RX_RECORD_LENGTH;
    size_t header_len = sizeof header - 1, n = RX_MESSAGE_HEAD + header_len;
    rx_message_head(message, RX_EXEC, 0, header_len, 1);
    memcpy(message + RX_MESSAGE_HEAD, header, header_len);
    static const uint8_t word[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};
    memcpy(message + n, word, sizeof word);
    n += sizeof word;
    memset(message + n, 0, RX_REQUEST_TRAILER + RX_TAG_MAX);
    message[n + 7] = 1;
    n += RX_REQUEST_TRAILER + RX_TAG_MAX;
    rx_put32(record, (uint32_t)n);
    return RX_RECORD_LENGTH + n;
}

/* Every way to put a command before M3. */
static void command_before_proof(struct probe *p)
{
    uint8_t record[512];
    size_t n = plain_exec(record);
    (void)refused(p, record, n, false, "EXEC in place of M1");
    if (probe_good(p))
        instead_of_m3(p, record, n, false, "EXEC in place of M3");
    /* The message alone, without a record around it. */
    if (probe_good(p))
        instead_of_m3(p, record + RX_RECORD_LENGTH, n - RX_RECORD_LENGTH, false,
                      "a bare EXEC in place of M3");
    static const uint8_t welcome[60] = {0, 0, 0, 56, RX_WELCOME};
    if (probe_good(p))
        instead_of_m3(p, welcome, sizeof welcome, false, "WELCOME from a client");
    /* A response of zeros in front. */
    uint8_t both[RX_M3_SIZE + sizeof record] = {0};
    handshake_header(both, TYPE_M3, RX_VERSION, p->suites & RX_SUITES_SEALED);
    memcpy(both + RX_M3_SIZE, record, n);
    if (probe_good(p))
        instead_of_m3(p, both, RX_M3_SIZE + n, false, "EXEC behind a wrong M3");
}

static void random_response(struct probe *p)
{
    for (unsigned i = 0; i < 18 && probe_good(p); i++) {
        struct session s;
        session_begin(p, &s);
        if (session_challenge(&s)) {
            handshake_header(s.m3, TYPE_M3, s.m2[M2_VERSION], s.m2[M2_SUITE]);
            if (i < 2)
                memset(s.m3 + M3_RESPONSE, i == 0 ? 0 : 0xff, RX_KEY_SIZE);
            else
                randombytes_buf(s.m3 + M3_RESPONSE, RX_KEY_SIZE);
            wire_send(&s.wire, s.m3, sizeof s.m3);
            (void)wire_must_close(p, &s.wire,
                                  i < 2 ? "a response of one byte repeated" : "a random response");
        }
        session_end(&s);
    }
}

/* ---- who is known ----------------------------------------------------------------------- */

/* M2, and how the connection ends behind a wrong response. False: no M2. */
static bool look(struct probe *p, const uint8_t *kid, uint8_t m2[static RX_M2_SIZE],
                 enum wire_end *end)
{
    struct session s;
    session_begin(p, &s);
    memcpy(s.m1 + M1_KID, kid, RX_KID_SIZE);
    bool came = wire_open(p, &s.wire);
    wire_send(&s.wire, s.m1, sizeof s.m1);
    came = came && wire_take(&s.wire, s.m2, sizeof s.m2) == sizeof s.m2;
    memcpy(m2, s.m2, RX_M2_SIZE);
    if (came) {
        handshake_header(s.m3, TYPE_M3, s.m2[M2_VERSION], s.m2[M2_SUITE]);
        randombytes_buf(s.m3 + M3_RESPONSE, RX_KEY_SIZE);
        wire_send(&s.wire, s.m3, sizeof s.m3);
        uint8_t byte;
        if (wire_take(&s.wire, &byte, 1) > 0)
            (void)probe_fail(p, "it answered behind a wrong response");
        *end = s.wire.end;
    }
    session_end(&s);
    return came;
}

/* What is fresh in a known client's M2 is so in another's: no zeros, no bytes that came before. */
static void look_fresh(struct probe *p, const uint8_t *const known[2], const uint8_t *before,
                       const uint8_t *unknown)
{
    static const struct {
        size_t at;
        const char *name;
    } fields[] = {{M2_CHALLENGE, "challenge"}, {M2_EPHEMERAL, "key"}, {M2_PROOF, "proof"}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t at = fields[i].at;
        bool zero = sodium_is_zero(unknown + at, RX_KEY_SIZE);
        if (zero != sodium_is_zero(known[0] + at, RX_KEY_SIZE))
            (void)probe_fail(p, "the %s in M2 is zero only if the client is %s", fields[i].name,
                             zero ? "not known" : "known");
        else if (memcmp(before + at, unknown + at, RX_KEY_SIZE) == 0 &&
                 memcmp(known[0] + at, known[1] + at, RX_KEY_SIZE) != 0)
            (void)probe_fail(p, "the %s in M2 is always the same for a client that is not known",
                             fields[i].name);
    }
}

static void unknown_told_apart(struct probe *p)
{
    uint8_t known[2][RX_M2_SIZE], unknown[RX_M2_SIZE], before[RX_M2_SIZE], kid[RX_KID_SIZE];
    enum wire_end known_end = WIRE_OPEN, end = WIRE_OPEN;
    if (!look(p, p->keys.kid, known[0], &known_end) || !look(p, p->keys.kid, known[1], &end)) {
        (void)probe_skip(p, "no M2 came for a right M1");
        return;
    }
    memcpy(before, known[1], sizeof before);
    for (unsigned i = 0; i < 7 && probe_good(p); i++) {
        if (i < 6) /* the last comes twice */
            randombytes_buf(kid, sizeof kid);
        if (i < 2)
            memset(kid, i == 0 ? 0 : 0xff, sizeof kid);
        if (!look(p, kid, unknown, &end))
            (void)probe_fail(p, "no M2 came for a client that is not known");
        else if (memcmp(known[0], unknown, HEADER_SIZE) != 0)
            (void)probe_fail(p, "M2 has another header for a client that is not known");
        else if (end != known_end)
            (void)probe_fail(p, "the connection ends in another way where the client is not known");
        else
            look_fresh(p, (const uint8_t *const[]){known[0], known[1]}, before, unknown);
        memcpy(before, unknown, sizeof before);
    }
}

const struct probe_check probe_open_checks[] = {
    {"m1_garbage", "what is no M1", PROBE_NEEDS_NOTHING, m1_garbage},
    {"m1_versions", "ranges of versions that cannot be", PROBE_NEEDS_NOTHING, m1_versions},
    {"m1_zero_nonce", "an all-zero nonce of the client", PROBE_NEEDS_NOTHING, m1_zero_nonce},
    {"m1_cut", "M1 cut short", PROBE_NEEDS_NOTHING, m1_cut},
    {"m1_split", "M1 byte by byte is answered", PROBE_NEEDS_NOTHING, m1_split},
    {"m2_form", "M2's header and size", PROBE_NEEDS_NOTHING, m2_form},
    {"nothing_common", "no suite or no version in common", PROBE_NEEDS_NOTHING, nothing_common},
    {"downgrade", "every set of suites: the choice is sound", PROBE_NEEDS_NOTHING, downgrade},
    {"challenge_repeats", "challenges that repeat", PROBE_NEEDS_NOTHING, challenge_repeats},
    {"ephemeral_repeats", "ephemeral keys that repeat", PROBE_NEEDS_NOTHING, ephemeral_repeats},
    {"bytes_behind_m1", "more than M1 before the challenge", PROBE_NEEDS_NOTHING, bytes_behind_m1},
    {"second_m1", "M1 again in place of M3", PROBE_NEEDS_NOTHING, second_m1},
    {"command_before_proof", "commands before the proof", PROBE_NEEDS_NOTHING,
     command_before_proof},
    {"random_response", "responses that are guesses", PROBE_NEEDS_NOTHING, random_response},
    {"unknown_told_apart", "clients that are not known", PROBE_NEEDS_NOTHING, unknown_told_apart},
    {NULL, NULL, 0, NULL},
};
