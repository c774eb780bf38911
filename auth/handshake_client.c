#include <sodium.h>
#include <string.h>

#include "auth/handshake.h"
#include "auth/handshake_layout.h"

static enum rx_error fail(struct rx_client_handshake *h, enum rx_error error)
{
    rx_client_handshake_wipe(h);
    return error;
}

void rx_client_handshake_wipe(struct rx_client_handshake *h)
{
    sodium_memzero(h, sizeof *h);
    h->step = RX_STEP_OVER;
}

/* The readable suite is offered alone or not at all, and needs no key pair. */
static bool offer_valid(const struct rx_offer *offer, const struct rx_key_pair *pair)
{
    bool readable = (offer->suites & RX_SUITE_HMAC_SHA256) != 0;
    bool sealed = (offer->suites & RX_SUITES_SEALED) != 0;
    return offer->version_min >= 1 && offer->version_min <= offer->version_max &&
           (offer->suites & ~(unsigned)RX_SUITES_ALL) == 0 && readable != sealed &&
           (readable || pair != NULL);
}

enum rx_error rx_client_handshake_begin(struct rx_client_handshake *h, const struct rx_offer *offer,
                                        const struct rx_grant_keys *keys,
                                        const uint8_t nonce[static RX_KEY_SIZE],
                                        const struct rx_key_pair *pair,
                                        uint8_t m1[static RX_M1_SIZE])
{
    memset(h, 0, sizeof *h);
    if (!offer_valid(offer, pair))
        return fail(h, RX_E_MISUSE);
    if (sodium_is_zero(nonce, RX_KEY_SIZE))
        return fail(h, RX_E_ZERO_VALUE);
    h->offer = *offer;
    h->keys = *keys;
    handshake_header(h->m1, TYPE_M1, 0, 0);
    h->m1[M1_VERSION_MIN] = offer->version_min;
    h->m1[M1_VERSION_MAX] = offer->version_max;
    h->m1[M1_SUITES] = offer->suites;
    memcpy(h->m1 + M1_KID, keys->kid, RX_KID_SIZE);
    memcpy(h->m1 + M1_NONCE, nonce, RX_KEY_SIZE);
    if (offer->suites != RX_SUITE_HMAC_SHA256) {
        h->pair = *pair;
        memcpy(h->m1 + M1_EPHEMERAL, pair->public, RX_KEY_SIZE);
    }
    memcpy(m1, h->m1, RX_M1_SIZE);
    h->step = RX_STEP_BEGUN;
    return RX_OK;
}

/* *said: M1 and M2. */
static enum rx_error check_proof(const struct rx_client_handshake *h,
                                 const uint8_t m2[static RX_M2_SIZE], struct rx_hashing *said)
{
    uint8_t proof[RX_HASH_SIZE];
    enum rx_error error = handshake_begin_hash(said, h->m1, m2);
    if (error == RX_OK)
        error = handshake_proof_of(h->keys.server_auth, h->m1, said, proof);
    if (error == RX_OK && sodium_memcmp(proof, m2 + M2_PROOF, sizeof proof) != 0)
        error = RX_E_PROOF_WRONG;
    sodium_memzero(proof, sizeof proof);
    return error == RX_OK ? rx_hashing_add(said, m2 + M2_PROOF, RX_M2_SIZE - M2_PROOF) : error;
}

/* What a proven server chose. */
static enum rx_error check_choice(const struct rx_client_handshake *h,
                                  const uint8_t m2[static RX_M2_SIZE])
{
    uint8_t version = m2[M2_VERSION], suite = m2[M2_SUITE];
    bool version_offered = version >= h->offer.version_min && version <= h->offer.version_max;
    if (suite == RX_SUITE_NONE)
        return version_offered ? RX_E_NO_COMMON_SUITE : RX_E_NO_COMMON_VERSION;
    if (!version_offered || rx_suite_name(suite) == NULL || (h->offer.suites & suite) == 0)
        return RX_E_DOWNGRADE;
    if (sodium_is_zero(m2 + M2_CHALLENGE, RX_KEY_SIZE))
        return RX_E_ZERO_VALUE;
    if (suite == RX_SUITE_HMAC_SHA256 && !sodium_is_zero(m2 + M2_EPHEMERAL, RX_KEY_SIZE))
        return RX_E_ZERO_VALUE;
    return RX_OK;
}

enum rx_error rx_client_handshake_finish(struct rx_client_handshake *h,
                                         const uint8_t m2[static RX_M2_SIZE],
                                         uint8_t m3[static RX_M3_SIZE],
                                         struct rx_session_keys *keys, uint8_t *server_version)
{
    if (h->step != RX_STEP_BEGUN)
        return fail(h, RX_E_MISUSE);
    if (!handshake_is(m2, TYPE_M2) || m2[M2_ZERO] != 0)
        return fail(h, RX_E_NOT_REXEC);
    struct rx_hashing said;
    enum rx_error error = check_proof(h, m2, &said);
    if (error != RX_OK)
        return fail(h, error);
    if (server_version != NULL)
        *server_version = m2[M2_VERSION];
    error = check_choice(h, m2);
    if (error != RX_OK)
        return fail(h, error);

    uint8_t answer[RX_M3_SIZE];
    handshake_header(answer, TYPE_M3, m2[M2_VERSION], m2[M2_SUITE]);
    error = handshake_response_of(h->keys.client_auth, m2, answer, &said, answer + M3_RESPONSE);
    if (error == RX_OK)
        error = handshake_keys(&h->keys, &h->pair, m2 + M2_EPHEMERAL, answer, &said, keys);
    if (error == RX_OK)
        memcpy(m3, answer, RX_M3_SIZE);
    rx_client_handshake_wipe(h);
    return error;
}
