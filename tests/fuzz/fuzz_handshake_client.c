/*
 * M2 into a client that has begun. The input: how (one byte, below), what the client offers (lowest
 * version, highest, suites), then M2 itself or what is changed in the server's right one. With the
 * proof made anew, by someone who has the server's key, the checks behind it are reached.
 *
 * Whatever comes: the verdict is the one of docs/PROTOCOL.md, and unless the key was used there is
 * a session only if nothing was changed.
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
enum { AS_IT_IS = 0, CHANGED = 1, PROVEN = 2, HOWS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right, const char *what)
{
    if (!right) {
        (void)fprintf(stderr, "fuzz_handshake_client: %s\n", what);
        abort();
    }
}

static bool offer_valid(const struct rx_offer *o)
{
    return o->version_min >= 1 && o->version_min <= o->version_max &&
           ((o->suites >= 1 && o->suites <= 3) || o->suites == 4);
}

/* The two sides up to the right M2; false if the client may not make such an offer. */
static bool begin(struct handshake_pair *p, const struct rx_offer *offer)
{
    struct dice d = {.state = 1};
    handshake_prepare(p, &d, RX_SUITE_NONE);
    p->client_offer = *offer;
    p->server_offer = (struct rx_offer){1, 255, RX_SUITES_ALL};
    enum rx_error error = handshake_m1(p);
    must((error == RX_OK) == offer_valid(offer), "offer");
    if (error != RX_OK)
        return false;
    error = handshake_m2(p);
    must(error == RX_OK || error == RX_E_NO_COMMON_SUITE, "server");
    return true;
}

/* docs/PROTOCOL.md, section 3, "Client". */
static enum rx_error verdict(const struct handshake_pair *p, const uint8_t m2[static RX_M2_SIZE],
                             uint8_t shared[static 32])
{
    const struct rx_offer *o = &p->client_offer;
    uint8_t version = m2[HAND_VERSION];
    uint8_t suite = m2[HAND_SUITE];
    uint8_t proven[RX_M2_SIZE];
    bool offered = version >= o->version_min && version <= o->version_max;
    if (memcmp(m2, "rexc\x02", 5) != 0 || m2[HAND_ZERO] != 0)
        return RX_E_NOT_REXEC;
    memcpy(proven, m2, sizeof proven);
    hand_prove(p->grant.server_auth, p->m1, proven);
    /* Not memcmp, which libFuzzer listens to: it would learn the right proof. */
    if (sodium_memcmp(proven, m2, sizeof proven) != 0)
        return RX_E_PROOF_WRONG;
    if (suite == 0)
        return offered ? RX_E_NO_COMMON_SUITE : RX_E_NO_COMMON_VERSION;
    if (!offered || (suite != 1 && suite != 2 && suite != 4) || (suite & o->suites) == 0)
        return RX_E_DOWNGRADE;
    if (sodium_is_zero(m2 + HAND_M2_CHALLENGE, 32))
        return RX_E_ZERO_VALUE;
    if (suite == RX_SUITE_HMAC_SHA256)
        return sodium_is_zero(m2 + HAND_M2_EPHEMERAL, 32) ? RX_OK : RX_E_ZERO_VALUE;
    return crypto_scalarmult(shared, p->client_pair.secret, m2 + HAND_M2_EPHEMERAL) == 0
               ? RX_OK
               : RX_E_LOW_ORDER;
}

static void check_session(const struct handshake_pair *p, const uint8_t m2[static RX_M2_SIZE],
                          const uint8_t *shared)
{
    uint8_t m3[RX_M3_SIZE];
    struct rx_session_keys keys;
    hand_answer(p->grant.client_auth, p->m1, m2, m3);
    must(memcmp(m3, p->m3, sizeof m3) == 0, "M3");
    hand_session(p->grant.mix, m2[HAND_SUITE] == RX_SUITE_HMAC_SHA256 ? NULL : shared, p->m1, m2,
                 m3, &keys);
    must(hand_same(&keys, &p->client_keys), "keys");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handshake_pair p;
    uint8_t m2[RX_M2_SIZE] = {0};
    uint8_t shared[32] = {0};
    if (size < BODY || sodium_init() < 0)
        return 0;
    const struct rx_offer offer = {data[VERSION_MIN], data[VERSION_MAX], data[SUITES]};
    if (!begin(&p, &offer))
        return 0;
    unsigned how = data[HOW] % HOWS;
    for (size_t i = 0; i < sizeof m2; i++) {
        uint8_t byte = BODY + i < size ? data[BODY + i] : 0;
        m2[i] = how == AS_IT_IS ? byte : p.m2[i] ^ byte;
    }
    if (how == PROVEN)
        hand_prove(p.grant.server_auth, p.m1, m2);

    enum rx_error right = verdict(&p, m2, shared);
    uint8_t version = 0;
    enum rx_error error = rx_client_handshake_finish(&p.client, m2, p.m3, &p.client_keys, &version);
    must(error == right, "verdict");
    must(error != RX_OK || how == PROVEN || memcmp(m2, p.m2, sizeof m2) == 0, "changed, and taken");
    must(version == (right == RX_E_NOT_REXEC || right == RX_E_PROOF_WRONG ? 0 : m2[HAND_VERSION]),
         "version");
    if (error == RX_OK) {
        check_session(&p, m2, shared);
    } else {
        must(sodium_is_zero((const uint8_t *)&p.client_keys, sizeof p.client_keys), "keys left");
    }
    must(p.client.step == RX_STEP_OVER, "not over");
    must(sodium_is_zero((const uint8_t *)&p.client.keys, sizeof p.client.keys), "not wiped");
    must(rx_client_handshake_finish(&p.client, p.m2, p.m3, &p.client_keys, NULL) == RX_E_MISUSE,
         "not sticky");
    return 0;
}
