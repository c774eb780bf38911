/*
 * Constant time, shown by memcheck: what is marked secret must not reach a branch or an address.
 * For programs named test_*_ct.c, which run under valgrind and are linked with the functions below
 * wrapped; include it in one file of the program. What becomes public in the wraps is what the
 * other side sees anyway: that a proof was right or not.
 */
#ifndef REXEC_TESTS_UNIT_CT_H
#define REXEC_TESTS_UNIT_CT_H

#include <sodium.h>
#include <stddef.h>
#include <string.h>
#include <valgrind/memcheck.h>

/* From now on no branch and no address may depend on these bytes, or on what is computed of them.
 */
static inline void ct_secret(const void *bytes, size_t n)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, n);
}

/* An attacker may know these. */
static inline void ct_public(const void *bytes, size_t n)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(bytes, n);
}

int __real_sodium_memcmp(const void *a, const void *b, size_t n);
int __wrap_sodium_memcmp(const void *a, const void *b, size_t n);
int __real_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __real_crypto_scalarmult_ed25519_base(unsigned char *q, const unsigned char *n);
int __wrap_crypto_scalarmult_ed25519_base(unsigned char *q, const unsigned char *n);
int __real_crypto_aead_aes256gcm_decrypt_detached_afternm(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const crypto_aead_aes256gcm_state *state);
int __wrap_crypto_aead_aes256gcm_decrypt_detached_afternm(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const crypto_aead_aes256gcm_state *state);
int __real_crypto_aead_chacha20poly1305_ietf_decrypt_detached(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_chacha20poly1305_ietf_decrypt_detached(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const unsigned char *k);

int __wrap_sodium_memcmp(const void *a, const void *b, size_t n)
{
    int result = __real_sodium_memcmp(a, b, n);
    ct_public(&result, sizeof result);
    return result;
}

/* Whether the result is all zero depends on the other side's point alone. */
int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    int result = __real_crypto_scalarmult(q, n, p);
    ct_public(&result, sizeof result);
    return result;
}

/*
 * Whether it failed depends on the point, which is public in the end, and on whether the secret is
 * zero, which a clamped one never is; the branch on that in libsodium itself is let through by
 * ct.supp. What becomes of the point is watched all the same.
 */
int __wrap_crypto_scalarmult_ed25519_base(unsigned char *q, const unsigned char *n)
{
    int result = __real_crypto_scalarmult_ed25519_base(q, n);
    ct_public(&result, sizeof result);
    return result;
}

/*
 * Opening a record branches on whether its tag was right within libsodium itself. So the key is
 * public for as long as that takes, and what it was before is put back behind it.
 */
int __wrap_crypto_aead_aes256gcm_decrypt_detached_afternm(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const crypto_aead_aes256gcm_state *state)
{
    void *key = NULL;
    memcpy(&key, &state, sizeof key); /* without its const */
    unsigned char before[sizeof *state] = {0};
    (void)VALGRIND_GET_VBITS(key, before, sizeof *state);
    ct_public(key, sizeof *state);
    int result = __real_crypto_aead_aes256gcm_decrypt_detached_afternm(m, nsec, c, clen, mac, ad,
                                                                       adlen, npub, state);
    (void)VALGRIND_SET_VBITS(key, before, sizeof *state);
    return result;
}

int __wrap_crypto_aead_chacha20poly1305_ietf_decrypt_detached(
    unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
    const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
    const unsigned char *npub, const unsigned char *k)
{
    enum { KEY = crypto_aead_chacha20poly1305_ietf_KEYBYTES };
    void *key = NULL;
    memcpy(&key, &k, sizeof key);
    unsigned char before[KEY] = {0};
    (void)VALGRIND_GET_VBITS(key, before, KEY);
    ct_public(key, KEY);
    int result = __real_crypto_aead_chacha20poly1305_ietf_decrypt_detached(m, nsec, c, clen, mac,
                                                                           ad, adlen, npub, k);
    (void)VALGRIND_SET_VBITS(key, before, KEY);
    return result;
}

#endif
