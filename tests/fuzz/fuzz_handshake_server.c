/*
 * M1 and M3 into a server. The input: how (one byte, below), what the server is configured for
 * (lowest version, highest, suites), then M1 and M3 themselves or what is changed in the client's
 * right ones. With the response made anew, by someone who has the client's key, the checks behind
 * it are reached.
 *
 * Whatever comes: choices and verdicts are those of docs/PROTOCOL.md, and unless the key was used
 * there is a session only if nothing was changed.
 */
#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/duel/by_hand.h"
#include "tests/duel/session.h"

enum { HOW, VERSION_MIN, VERSION_MAX, SUITES, BODY };
/* Bits of HOW. */
enum {
    M1_CHANGED = 0x01, /* else as it is */
    M3_CHANGED = 0x02, /* else as it is */
    RESPONDED = 0x04,  /* the response is made anew */
    DECOY = 0x08,      /* the client is not known */
    READABLE = 0x10,   /* the client that is changed offers this suite, else the other two */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right, const char *what)
{
    if (!right) {
        (void)fprintf(stderr, "fuzz_handshake_server: %s\n", what);
        abort();
    }
}

/* n bytes of the input, from `at`: by themselves or as changes of the right ones. */
static void take(const uint8_t *data, size_t size, size_t at, bool changes, const uint8_t *right,
                 uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = at + i < size ? data[at + i] : 0;
        out[i] = changes ? right[i] ^ byte : byte;
    }
}

/* docs/PROTOCOL.md, section 3, "Suites". */
static uint8_t suite_of(const uint8_t *m1, const struct rx_offer *o)
{
    unsigned usable = m1[HAND_M1_SUITES] & o->suites & rx_suites_here();
    if ((usable & RX_SUITES_SEALED) != 0)
        return (usable & 1) != 0 ? 1 : 2;
    return (m1[HAND_M1_SUITES] & 7) == 4 && usable == 4 ? 4 : 0;
}

/* What is right for M1, and the 8 bytes that begin M2 then. */
static enum rx_error verdict_m1(const uint8_t *m1, const struct rx_offer *o, uint8_t header[8])
{
    uint8_t min = m1[HAND_M1_MIN];
    uint8_t max = m1[HAND_M1_MAX];
    if (o->version_min < 1 || o->version_max < o->version_min)
        return RX_E_MISUSE;
    if (memcmp(m1, "rexc\x01", 5) != 0 || min < 1 || max < min)
        return RX_E_NOT_REXEC;
    if (sodium_is_zero(m1 + HAND_M1_NONCE, 32))
        return RX_E_ZERO_VALUE;
    memcpy(header, "rexc\x02", 5);
    header[HAND_VERSION] = o->version_max;
    header[HAND_SUITE] = 0;
    header[HAND_ZERO] = 0;
    if (max < o->version_min || min > o->version_max)
        return RX_E_NO_COMMON_VERSION;
    header[HAND_VERSION] = max < o->version_max ? max : o->version_max;
    header[HAND_SUITE] = suite_of(m1, o);
    return header[HAND_SUITE] != 0 ? RX_OK : RX_E_NO_COMMON_SUITE;
}

/* M1 into the server: true if it waits for M3. */
static bool serve_m1(struct handshake_pair *p, const uint8_t *m1, const struct rx_grant_keys *keys,
                     bool genuine)
{
    static const uint8_t zeros[32];
    uint8_t header[8] = {0};
    uint8_t kid[RX_KID_SIZE];
    uint8_t right[RX_M2_SIZE];
    enum rx_error verdict = verdict_m1(m1, &p->server_offer, header);
    enum rx_error error = rx_server_handshake_begin(&p->server, &p->server_offer, m1, kid);
    if (error != RX_OK) {
        must(error == verdict, "verdict on M1");
        return false;
    }
    must(memcmp(kid, m1 + HAND_M1_KID, sizeof kid) == 0, "kid");
    error =
        rx_server_handshake_answer(&p->server, keys, genuine, p->challenge, &p->server_pair, p->m2);
    must(error == verdict, "verdict on M1, later");
    memcpy(right, header, sizeof header);
    memcpy(right + HAND_M2_CHALLENGE, p->challenge, 32);
    bool sealed = (header[HAND_SUITE] & RX_SUITES_SEALED) != 0;
    memcpy(right + HAND_M2_EPHEMERAL, sealed ? p->server_pair.public : zeros, 32);
    hand_prove(keys->server_auth, m1, right);
    must(memcmp(right, p->m2, sizeof right) == 0, "M2");
    must((p->server.step == RX_STEP_ANSWERED) == (error == RX_OK), "step");
    return error == RX_OK;
}

/* What is right for M3, and the keys then. */
static enum rx_error verdict_m3(const struct handshake_pair *p, const uint8_t *m1,
                                const uint8_t *m3, const struct rx_grant_keys *keys, bool genuine,
                                struct rx_session_keys *session)
{
    uint8_t right[RX_M3_SIZE];
    uint8_t shared[32];
    bool sealed = (p->m2[HAND_SUITE] & RX_SUITES_SEALED) != 0;
    hand_answer(keys->client_auth, m1, p->m2, right);
    /* Not memcmp, which libFuzzer listens to: it would learn the right response. */
    if (sodium_memcmp(right, m3, sizeof right) != 0 || !genuine)
        return RX_E_RESPONSE_WRONG;
    if (sealed && crypto_scalarmult(shared, p->server_pair.secret, m1 + HAND_M1_EPHEMERAL) != 0)
        return RX_E_LOW_ORDER;
    hand_session(keys->mix, sealed ? shared : NULL, m1, p->m2, m3, session);
    return RX_OK;
}

static void serve_m3(struct handshake_pair *p, const uint8_t *m1, const uint8_t *m3,
                     const struct rx_grant_keys *keys, bool genuine)
{
    struct rx_session_keys session;
    enum rx_error right = verdict_m3(p, m1, m3, keys, genuine, &session);
    enum rx_error error = rx_server_handshake_finish(&p->server, m3, &p->server_keys);
    must(error == right, "verdict on M3");
    if (error == RX_OK) {
        must(hand_same(&session, &p->server_keys), "keys");
    } else {
        must(sodium_is_zero((const uint8_t *)&p->server_keys, sizeof p->server_keys), "keys left");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handshake_pair p;
    struct dice d = {.state = 1};
    uint8_t m1[RX_M1_SIZE];
    uint8_t base[RX_M3_SIZE] = {0};
    if (size < BODY || sodium_init() < 0)
        return 0;
    unsigned how = data[HOW];
    handshake_prepare(&p, &d, (how & READABLE) != 0 ? RX_SUITE_HMAC_SHA256 : RX_SUITE_NONE);
    if ((how & READABLE) == 0)
        p.client_offer.suites = RX_SUITES_SEALED;
    p.server_offer = (struct rx_offer){data[VERSION_MIN], data[VERSION_MAX], data[SUITES]};
    must(handshake_m1(&p) == RX_OK, "client");
    take(data, size, BODY, (how & M1_CHANGED) != 0, p.m1, m1, sizeof m1);

    bool genuine = (how & DECOY) == 0;
    struct rx_grant_keys keys = p.grant;
    if (!genuine)
        hand_decoy(p.psk, m1 + HAND_M1_KID, &keys);
    if (serve_m1(&p, m1, &keys, genuine)) {
        /* The right client responds to what it sent. */
        hand_answer(keys.client_auth, p.m1, p.m2, base);
        uint8_t m3[RX_M3_SIZE];
        take(data, size, BODY + RX_M1_SIZE, (how & M3_CHANGED) != 0, base, m3, sizeof m3);
        if ((how & RESPONDED) != 0)
            hand_respond(keys.client_auth, m1, p.m2, m3);
        serve_m3(&p, m1, m3, &keys, genuine);
        bool changed = memcmp(m1, p.m1, sizeof m1) != 0 || memcmp(m3, base, sizeof m3) != 0;
        bool session = !sodium_is_zero((const uint8_t *)&p.server_keys, sizeof p.server_keys);
        must(!session || (how & RESPONDED) != 0 || !changed, "changed, and taken");
        must(!session || genuine, "unknown, and taken");
    }
    must(p.server.step == RX_STEP_OVER, "not over");
    must(sodium_is_zero((const uint8_t *)&p.server.keys, sizeof p.server.keys), "not wiped");
    must(rx_server_handshake_finish(&p.server, base, &p.server_keys) == RX_E_MISUSE, "not sticky");
    return 0;
}
