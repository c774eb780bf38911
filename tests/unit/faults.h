/*
 * Makes one call to libsodium fail. For programs named test_*_faults.c, which are linked with what
 * can fail wrapped; include it in one file of the program. Counts the program's own calls too.
 */
#ifndef REXEC_TESTS_UNIT_FAULTS_H
#define REXEC_TESTS_UNIT_FAULTS_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>

enum fault_call {
    FAULT_NONE,
    FAULT_HMAC_INIT,
    FAULT_HMAC_UPDATE,
    FAULT_HMAC_FINAL,
    FAULT_HASH_INIT,
    FAULT_HASH_UPDATE,
    FAULT_HASH_FINAL,
    FAULT_SCALARMULT,
    FAULT_SCALARMULT_BASE,
    FAULT_EDWARDS_BASE,
    FAULT_AES_KEY,
    FAULT_ENCRYPT,
    FAULT_DECRYPT,
};

/* How it fails: without having done anything, or with all done and its output written. */
enum fault_kind { FAULT_IDLE, FAULT_DONE };

enum { FAULT_LOG = 512 };

static enum fault_call fault_log[FAULT_LOG]; /* the calls since faults_at or faults_off */
static size_t fault_calls;
static size_t fault_failing;
static enum fault_kind fault_kind;
static bool fault_no_aes;  /* as on hardware without it */
static int fault_avx = -1; /* whether the hardware has it; -1: as it is */

/* The n-th call from now on fails (from 1), once. */
static inline void faults_at(size_t n, enum fault_kind kind)
{
    fault_calls = 0;
    fault_failing = n;
    fault_kind = kind;
}

/* None fails from now on; counting begins anew. */
static inline void faults_off(void)
{
    faults_at(0, FAULT_IDLE);
}

static inline bool fault_now(enum fault_call call)
{
    if (fault_calls < FAULT_LOG)
        fault_log[fault_calls] = call;
    return ++fault_calls == fault_failing;
}

// NOLINTBEGIN(bugprone-reserved-identifier): these are the names the linker's --wrap asks for
#define FAULT(call, name, parameters, arguments)                                                   \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        if (!fault_now(call))                                                                      \
            return __real_##name arguments;                                                        \
        if (fault_kind == FAULT_DONE)                                                              \
            (void)!__real_##name arguments;                                                        \
        return -1;                                                                                 \
    }

FAULT(FAULT_HMAC_INIT, crypto_auth_hmacsha256_init,
      (crypto_auth_hmacsha256_state * s, const unsigned char *key, size_t n), (s, key, n))
FAULT(FAULT_HMAC_UPDATE, crypto_auth_hmacsha256_update,
      (crypto_auth_hmacsha256_state * s, const unsigned char *in, unsigned long long n), (s, in, n))
FAULT(FAULT_HMAC_FINAL, crypto_auth_hmacsha256_final,
      (crypto_auth_hmacsha256_state * s, unsigned char *out), (s, out))
FAULT(FAULT_HASH_INIT, crypto_hash_sha256_init, (crypto_hash_sha256_state * s), (s))
FAULT(FAULT_HASH_UPDATE, crypto_hash_sha256_update,
      (crypto_hash_sha256_state * s, const unsigned char *in, unsigned long long n), (s, in, n))
FAULT(FAULT_HASH_FINAL, crypto_hash_sha256_final,
      (crypto_hash_sha256_state * s, unsigned char *out), (s, out))
FAULT(FAULT_SCALARMULT, crypto_scalarmult,
      (unsigned char *q, const unsigned char *n, const unsigned char *p), (q, n, p))
FAULT(FAULT_SCALARMULT_BASE, crypto_scalarmult_base, (unsigned char *q, const unsigned char *n),
      (q, n))
FAULT(FAULT_EDWARDS_BASE, crypto_scalarmult_ed25519_base,
      (unsigned char *q, const unsigned char *n), (q, n))
FAULT(FAULT_AES_KEY, crypto_aead_aes256gcm_beforenm,
      (crypto_aead_aes256gcm_state * s, const unsigned char *key), (s, key))
FAULT(FAULT_ENCRYPT, crypto_aead_aes256gcm_encrypt_detached_afternm,
      (unsigned char *c, unsigned char *mac, unsigned long long *mac_len, const unsigned char *m,
       unsigned long long n, const unsigned char *ad, unsigned long long ad_len,
       const unsigned char *nsec, const unsigned char *npub, const crypto_aead_aes256gcm_state *s),
      (c, mac, mac_len, m, n, ad, ad_len, nsec, npub, s))
FAULT(FAULT_DECRYPT, crypto_aead_aes256gcm_decrypt_detached_afternm,
      (unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long n,
       const unsigned char *mac, const unsigned char *ad, unsigned long long ad_len,
       const unsigned char *npub, const crypto_aead_aes256gcm_state *s),
      (m, nsec, c, n, mac, ad, ad_len, npub, s))
FAULT(FAULT_ENCRYPT, crypto_aead_chacha20poly1305_ietf_encrypt_detached,
      (unsigned char *c, unsigned char *mac, unsigned long long *mac_len, const unsigned char *m,
       unsigned long long n, const unsigned char *ad, unsigned long long ad_len,
       const unsigned char *nsec, const unsigned char *npub, const unsigned char *key),
      (c, mac, mac_len, m, n, ad, ad_len, nsec, npub, key))
FAULT(FAULT_DECRYPT, crypto_aead_chacha20poly1305_ietf_decrypt_detached,
      (unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long n,
       const unsigned char *mac, const unsigned char *ad, unsigned long long ad_len,
       const unsigned char *npub, const unsigned char *key),
      (m, nsec, c, n, mac, ad, ad_len, npub, key))

int __real_crypto_aead_aes256gcm_is_available(void);
int __wrap_crypto_aead_aes256gcm_is_available(void);
int __wrap_crypto_aead_aes256gcm_is_available(void)
{
    return fault_no_aes ? 0 : __real_crypto_aead_aes256gcm_is_available();
}

int __real_sodium_runtime_has_avx(void);
int __wrap_sodium_runtime_has_avx(void);
int __wrap_sodium_runtime_has_avx(void)
{
    return fault_avx >= 0 ? fault_avx : __real_sodium_runtime_has_avx();
}
// NOLINTEND(bugprone-reserved-identifier)

#undef FAULT

#endif
