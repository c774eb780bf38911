#include <sodium.h>
#include <string.h>

#include "auth/handshake.h"
#include "auth/handshake_layout.h"

static enum rx_error fail(struct rx_server_handshake *h, enum rx_error error)
{
    rx_server_handshake_wipe(h);
    return error;
}

void rx_server_handshake_wipe(struct rx_server_handshake *h)
{
    sodium_memzero(h, sizeof *h);
    h->step = RX_STEP_OVER;
}

enum rx_error rx_server_handshake_begin(struct rx_server_handshake *h, const struct rx_offer *offer,
                                        const uint8_t m1[static RX_M1_SIZE],
                                        uint8_t kid[static RX_KID_SIZE])
{
    memset(h, 0, sizeof *h);
    if (offer->version_min < 1 || offer->version_max < offer->version_min)
        return fail(h, RX_E_MISUSE);
    if (!handshake_is(m1, TYPE_M1) || m1[M1_VERSION_MIN] < 1 ||
        m1[M1_VERSION_MAX] < m1[M1_VERSION_MIN])
        return fail(h, RX_E_NOT_REXEC);
    if (sodium_is_zero(m1 + M1_NONCE, RX_KEY_SIZE))
        return fail(h, RX_E_ZERO_VALUE);
    h->offer = *offer;
    memcpy(h->m1, m1, RX_M1_SIZE);
    memcpy(kid, m1 + M1_KID, RX_KID_SIZE);
    h->step = RX_STEP_BEGUN;
    return RX_OK;
}

/* The highest version in both ranges, or 0. */
static uint8_t choose_version(const struct rx_server_handshake *h)
{
    uint8_t high = h->m1[M1_VERSION_MAX], low = h->m1[M1_VERSION_MIN];
    if (high > h->offer.version_max)
        high = h->offer.version_max;
    if (low < h->offer.version_min)
        low = h->offer.version_min;
    return low <= high ? high : 0;
}

static enum rx_suite choose_suite(const struct rx_server_handshake *h)
{
    unsigned offered = h->m1[M1_SUITES] & RX_SUITES_ALL;
    unsigned common = offered & h->offer.suites & rx_suites_here();
    if ((common & RX_SUITE_AES256GCM) != 0)
        return RX_SUITE_AES256GCM;
    if ((common & RX_SUITE_CHACHA20POLY1305) != 0)
        return RX_SUITE_CHACHA20POLY1305;
    if (common == RX_SUITE_HMAC_SHA256 && offered == RX_SUITE_HMAC_SHA256)
        return RX_SUITE_HMAC_SHA256;
    return RX_SUITE_NONE;
}

enum rx_error rx_server_handshake_answer(struct rx_server_handshake *h,
                                         const struct rx_grant_keys *keys, bool genuine,
                                         const uint8_t challenge[static RX_KEY_SIZE],
                                         const struct rx_key_pair *pair,
                                         uint8_t m2[static RX_M2_SIZE])
{
    if (h->step != RX_STEP_BEGUN)
        return fail(h, RX_E_MISUSE);
    if (sodium_is_zero(challenge, RX_KEY_SIZE))
        return fail(h, RX_E_ZERO_VALUE);
    uint8_t version = choose_version(h);
    enum rx_suite suite = version != 0 ? choose_suite(h) : RX_SUITE_NONE;
    h->keys = *keys;
    h->genuine = genuine;
    handshake_header(h->m2, TYPE_M2, version != 0 ? version : h->offer.version_max, (uint8_t)suite);
    memcpy(h->m2 + M2_CHALLENGE, challenge, RX_KEY_SIZE);
    if ((suite & RX_SUITES_SEALED) != 0) {
        h->pair = *pair;
        memcpy(h->m2 + M2_EPHEMERAL, pair->public, RX_KEY_SIZE);
    }
    enum rx_error error = handshake_begin_hash(&h->said, h->m1, h->m2);
    if (error == RX_OK)
        error = handshake_proof_of(h->keys.server_auth, h->m1, &h->said, h->m2 + M2_PROOF);
    if (error == RX_OK)
        error = rx_hashing_add(&h->said, h->m2 + M2_PROOF, RX_M2_SIZE - M2_PROOF);
    if (error != RX_OK)
        return fail(h, error);
    memcpy(m2, h->m2, RX_M2_SIZE);
    if (version == 0)
        return fail(h, RX_E_NO_COMMON_VERSION);
    if (suite == RX_SUITE_NONE)
        return fail(h, RX_E_NO_COMMON_SUITE);
    h->step = RX_STEP_ANSWERED;
    return RX_OK;
}

/* Header, response and decoy are judged together: which of them was wrong makes no difference. */
static enum rx_error check_response(struct rx_server_handshake *h,
                                    const uint8_t m3[static RX_M3_SIZE])
{
    uint8_t right[RX_M3_SIZE];
    handshake_header(right, TYPE_M3, h->m2[M2_VERSION], h->m2[M2_SUITE]);
    enum rx_error error =
        handshake_response_of(h->keys.client_auth, h->m2, right, &h->said, right + M3_RESPONSE);
    if (error == RX_OK) {
        unsigned differs = (unsigned)(sodium_memcmp(right, m3, sizeof right) != 0);
        if ((differs | (unsigned)!h->genuine) != 0)
            error = RX_E_RESPONSE_WRONG;
    }
    sodium_memzero(right, sizeof right);
    return error;
}

enum rx_error rx_server_handshake_finish(struct rx_server_handshake *h,
                                         const uint8_t m3[static RX_M3_SIZE],
                                         struct rx_session_keys *keys)
{
    if (h->step != RX_STEP_ANSWERED)
        return fail(h, RX_E_MISUSE);
    enum rx_error error = check_response(h, m3);
    if (error == RX_OK)
        error = handshake_keys(&h->keys, &h->pair, h->m1 + M1_EPHEMERAL, m3, &h->said, keys);
    rx_server_handshake_wipe(h);
    return error;
}
