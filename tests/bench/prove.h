/*
 * The cryptography of a handshake, of requests and of answers, and the sizes of what goes over the
 * wire, by hand on libsodium: what bench_prove and bench_prover do for each other. The keys are
 * known to everybody: this is for measuring.
 */
#ifndef REXEC_BENCH_PROVE_H
#define REXEC_BENCH_PROVE_H

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    KEY = 32,
    NONCE = 12,
    TAG = 16,
    M1 = 88,
    M2 = 104,
    M3 = 40,
    REQUEST = 130,
    ANSWER = 400,
    /* Where in the messages. */
    M1_PUBLIC = M1 - KEY,
    M2_PUBLIC = M2 - 2 * KEY,
    M2_PROOF = M2 - KEY,
    M3_PROOF = M3 - KEY,
    REQUEST_MAC = REQUEST - KEY,
    REQUESTS = 2, /* the secret of requests, behind the two directions' */
    SECRETS = 4,  /* and the session's name */
};

static const uint8_t prove_client[KEY] = {1}, prove_server[KEY] = {2}, prove_mix[KEY] = {3};

struct prove_session {
    uint8_t keys[SECRETS][KEY];
    bool aes;
};

/* HMAC of two pieces. */
static inline void prove_mac(const uint8_t key[static KEY], const void *a, size_t an, const void *b,
                             size_t bn, uint8_t out[static KEY])
{
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key, KEY);
    (void)crypto_auth_hmacsha256_update(&state, a, an);
    (void)crypto_auth_hmacsha256_update(&state, b, bn);
    (void)crypto_auth_hmacsha256_final(&state, out);
}

/* A session's keys: X25519 and HKDF, whose key and first piece are hashed once for all outputs. */
static inline bool prove_keys(struct prove_session *s, const uint8_t secret[static KEY],
                              const uint8_t theirs[static KEY], const uint8_t m1[static M1],
                              const uint8_t m2[static M2])
{
    uint8_t shared[KEY], extracted[KEY];
    crypto_auth_hmacsha256_state begun, state;
    if (crypto_scalarmult(shared, secret, theirs) != 0)
        return false;
    prove_mac(prove_mix, shared, sizeof shared, m1, M1, extracted);
    (void)crypto_auth_hmacsha256_init(&begun, extracted, sizeof extracted);
    (void)crypto_auth_hmacsha256_update(&begun, m2, M2);
    for (int i = 0; i < SECRETS; i++) {
        const uint8_t number = (uint8_t)i;
        state = begun;
        (void)crypto_auth_hmacsha256_update(&state, &number, sizeof number);
        (void)crypto_auth_hmacsha256_final(&state, s->keys[i]);
    }
    s->aes = crypto_aead_aes256gcm_is_available() != 0;
    return true;
}

/* Signs the request of this number, whose last bytes are the MAC. */
static inline void prove_sign(const struct prove_session *s, uint64_t number,
                              const uint8_t request[static REQUEST], uint8_t mac[static KEY])
{
    prove_mac(s->keys[REQUESTS], &number, sizeof number, request, REQUEST_MAC, mac);
}

/* The record of this number of a direction. */
static inline void prove_seal(const struct prove_session *s, int direction, uint64_t number,
                              const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t nonce[NONCE] = {0};
    const uint8_t *key = s->keys[direction];
    memcpy(nonce, &number, sizeof number);
    if (s->aes)
        (void)crypto_aead_aes256gcm_encrypt(out, NULL, in, n, NULL, 0, NULL, nonce, key);
    else
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, n, NULL, 0, NULL, nonce,
                                                        key);
}

static inline bool prove_open(const struct prove_session *s, int direction, uint64_t number,
                              const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t nonce[NONCE] = {0};
    const uint8_t *key = s->keys[direction];
    memcpy(nonce, &number, sizeof number);
    if (s->aes)
        return crypto_aead_aes256gcm_decrypt(out, NULL, NULL, in, n + TAG, NULL, 0, nonce, key) ==
               0;
    return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, n + TAG, NULL, 0, nonce,
                                                     key) == 0;
}

#endif
