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

enum rx_error handshake_begin_hash(struct rx_hashing *said, const uint8_t m1[static RX_M1_SIZE],
                                   const uint8_t m2[static M2_PROOF])
{
    enum rx_error error = rx_hashing_begin(said);
    if (error == RX_OK)
        error = rx_hashing_add(said, m1, RX_M1_SIZE);
    return error == RX_OK ? rx_hashing_add(said, m2, M2_PROOF) : error;
}

/* HMAC(key, 32 bytes that the other side chose || the hash so far). */
static enum rx_error prove(const uint8_t key[static RX_KEY_SIZE],
                           const uint8_t theirs[static RX_KEY_SIZE], const struct rx_hashing *said,
                           uint8_t mac[static RX_HASH_SIZE])
{
    uint8_t transcript[RX_HASH_SIZE];
    enum rx_error error = rx_hashing_now(said, transcript);
    if (error != RX_OK)
        return error;
    const struct rx_bytes proven[] = {{theirs, RX_KEY_SIZE}, {transcript, sizeof transcript}};
    return rx_hmac(key, RX_KEY_SIZE, proven, 2, mac);
}

enum rx_error handshake_proof_of(const uint8_t server_auth[static RX_KEY_SIZE],
                                 const uint8_t m1[static RX_M1_SIZE], const struct rx_hashing *said,
                                 uint8_t proof[static RX_HASH_SIZE])
{
    return prove(server_auth, m1 + M1_NONCE, said, proof);
}

enum rx_error handshake_response_of(const uint8_t client_auth[static RX_KEY_SIZE],
                                    const uint8_t m2[static RX_M2_SIZE],
                                    const uint8_t m3[static HEADER_SIZE], struct rx_hashing *said,
                                    uint8_t response[static RX_HASH_SIZE])
{
    enum rx_error error = rx_hashing_add(said, m3, HEADER_SIZE);
    return error == RX_OK ? prove(client_auth, m2 + M2_CHALLENGE, said, response) : error;
}

enum rx_error handshake_keys(const struct rx_grant_keys *grant, const struct rx_key_pair *pair,
                             const uint8_t *other, const uint8_t m3[static RX_M3_SIZE],
                             struct rx_hashing *said, struct rx_session_keys *keys)
{
    const uint8_t version = m3[M2_VERSION];
    const enum rx_suite suite = m3[M2_SUITE];
    uint8_t shared[RX_KEY_SIZE] = {0}, transcript[RX_HASH_SIZE];
    bool agree = suite != RX_SUITE_HMAC_SHA256;
    enum rx_error error = agree ? rx_key_pair_agree(pair, other, shared) : RX_OK;
    if (error == RX_OK)
        error = rx_hashing_add(said, m3 + HEADER_SIZE, RX_M3_SIZE - HEADER_SIZE);
    if (error == RX_OK)
        error = rx_hashing_now(said, transcript);
    if (error == RX_OK)
        error = rx_session_keys_derive(version, suite, grant->mix, agree ? shared : NULL,
                                       transcript, keys);
    sodium_memzero(shared, sizeof shared);
    return error;
}

enum rx_error handshake_proof(const uint8_t server_auth[static RX_KEY_SIZE],
                              const uint8_t m1[static RX_M1_SIZE],
                              const uint8_t m2[static RX_M2_SIZE],
                              uint8_t proof[static RX_HASH_SIZE])
{
    struct rx_hashing said;
    enum rx_error error = handshake_begin_hash(&said, m1, m2);
    return error == RX_OK ? handshake_proof_of(server_auth, m1, &said, proof) : error;
}

enum rx_error handshake_response(const uint8_t client_auth[static RX_KEY_SIZE],
                                 const uint8_t m1[static RX_M1_SIZE],
                                 const uint8_t m2[static RX_M2_SIZE],
                                 const uint8_t m3[static RX_M3_SIZE],
                                 uint8_t response[static RX_HASH_SIZE])
{
    struct rx_hashing said;
    enum rx_error error = handshake_begin_hash(&said, m1, m2);
    if (error == RX_OK)
        error = rx_hashing_add(&said, m2 + M2_PROOF, RX_M2_SIZE - M2_PROOF);
    return error == RX_OK ? handshake_response_of(client_auth, m2, m3, &said, response) : error;
}
