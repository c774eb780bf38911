#include "auth/handshake_layout.h"

#include <sodium.h>
#include <string.h>

static const uint8_t magic[MAGIC_SIZE] = {'r', 'e', 'x', 'c'};

void handshake_header(uint8_t out[static HEADER_SIZE], uint8_t type, uint8_t version, uint8_t suite)
{
    memcpy(out, magic, MAGIC_SIZE);
    out[AT_TYPE] = type;
    out[M2_VERSION] = version;
    out[M2_SUITE] = suite;
    out[M2_ZERO] = 0;
}

bool handshake_is(const uint8_t *message, uint8_t type)
{
    return memcmp(message, magic, MAGIC_SIZE) == 0 && message[AT_TYPE] == type;
}

enum rx_error handshake_proof(const uint8_t server_auth[static RX_KEY_SIZE],
                              const uint8_t m1[static RX_M1_SIZE],
                              const uint8_t m2[static RX_M2_SIZE],
                              uint8_t proof[static RX_HASH_SIZE])
{
    uint8_t transcript[RX_HASH_SIZE];
    const struct rx_bytes seen[] = {{m1, RX_M1_SIZE}, {m2, M2_PROOF}};
    enum rx_error error = rx_hash(seen, 2, transcript);
    if (error != RX_OK)
        return error;
    const struct rx_bytes proven[] = {{m1 + M1_NONCE, RX_KEY_SIZE},
                                      {transcript, sizeof transcript}};
    return rx_hmac(server_auth, RX_KEY_SIZE, proven, 2, proof);
}

enum rx_error handshake_response(const uint8_t client_auth[static RX_KEY_SIZE],
                                 const uint8_t m1[static RX_M1_SIZE],
                                 const uint8_t m2[static RX_M2_SIZE],
                                 const uint8_t m3[static RX_M3_SIZE],
                                 uint8_t response[static RX_HASH_SIZE])
{
    uint8_t transcript[RX_HASH_SIZE];
    const struct rx_bytes seen[] = {{m1, RX_M1_SIZE}, {m2, RX_M2_SIZE}, {m3, HEADER_SIZE}};
    enum rx_error error = rx_hash(seen, 3, transcript);
    if (error != RX_OK)
        return error;
    const struct rx_bytes proven[] = {{m2 + M2_CHALLENGE, RX_KEY_SIZE},
                                      {transcript, sizeof transcript}};
    return rx_hmac(client_auth, RX_KEY_SIZE, proven, 2, response);
}

enum rx_error handshake_keys(const struct rx_grant_keys *grant, const struct rx_key_pair *pair,
                             const uint8_t *other, const uint8_t m1[static RX_M1_SIZE],
                             const uint8_t m2[static RX_M2_SIZE],
                             const uint8_t m3[static RX_M3_SIZE], struct rx_session_keys *keys)
{
    uint8_t version = m2[M2_VERSION];
    enum rx_suite suite = m2[M2_SUITE];
    uint8_t shared[RX_KEY_SIZE] = {0}, transcript[RX_HASH_SIZE];
    const struct rx_bytes seen[] = {{m1, RX_M1_SIZE}, {m2, RX_M2_SIZE}, {m3, RX_M3_SIZE}};
    bool agree = suite != RX_SUITE_HMAC_SHA256;
    enum rx_error error = agree ? rx_key_pair_agree(pair, other, shared) : RX_OK;
    if (error == RX_OK)
        error = rx_hash(seen, 3, transcript);
    if (error == RX_OK)
        error = rx_session_keys_derive(version, suite, grant->mix, agree ? shared : NULL,
                                       transcript, keys);
    sodium_memzero(shared, sizeof shared);
    return error;
}
