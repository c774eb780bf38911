#include "auth/seal.h"

#include <string.h>

#include "auth/hkdf.h"
#include "proto/bytes.h"

enum { HMAC_TAG = 32 };

static const struct {
    enum rx_suite suite;
    const char *name;
} suites[] = {
    {RX_SUITE_AES256GCM, "aes256gcm"},
    {RX_SUITE_CHACHA20POLY1305, "chacha20poly1305"},
    {RX_SUITE_HMAC_SHA256, "hmac-sha256"},
};

const char *rx_suite_name(unsigned suite)
{
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if (suites[i].suite == suite)
            return suites[i].name;
    return NULL;
}

enum rx_suite rx_suite_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if (strcmp(suites[i].name, name) == 0)
            return suites[i].suite;
    return RX_SUITE_NONE;
}

unsigned rx_suites_here(void)
{
    return crypto_aead_aes256gcm_is_available() ? RX_SUITES_ALL
                                                : RX_SUITES_ALL & ~(unsigned)RX_SUITE_AES256GCM;
}

/* ---- keys ------------------------------------------------------------------------------- */

static enum rx_error fail(struct rx_sealer *s, enum rx_error error)
{
    rx_sealer_wipe(s);
    s->failed = error;
    return error;
}

static enum rx_error derive_key(const struct rx_sealer *s, uint8_t key[static RX_KEY_SIZE])
{
    const struct rx_bytes label = RX_LITERAL("key");
    return rx_hkdf_expand(s->secret, sizeof s->secret, &label, 1, key, RX_KEY_SIZE);
}

/* Makes the present epoch's key ready for use. */
static enum rx_error load_key(struct rx_sealer *s)
{
    uint8_t key[RX_KEY_SIZE];
    enum rx_error error = derive_key(s, key);
    int failed = 0;
    if (error == RX_OK) {
        switch (s->suite) {
        case RX_SUITE_AES256GCM:
            failed = crypto_aead_aes256gcm_beforenm(&s->aes, key);
            break;
        case RX_SUITE_CHACHA20POLY1305:
            memcpy(s->key, key, sizeof s->key);
            break;
        case RX_SUITE_HMAC_SHA256:
            failed = crypto_auth_hmacsha256_init(&s->hmac, key, sizeof key);
            break;
        default:
            error = RX_E_MISUSE;
        }
    }
    sodium_memzero(key, sizeof key);
    return failed != 0 ? RX_E_CRYPTO_FAILED : error;
}

static void slow_down(struct rx_sealer *s)
{
    if (s->fast != NULL)
        s->aead->end(s->aead, s->fast);
    s->fast = NULL;
}

/* Has the other implementation work with the present epoch's key, if that can be had. */
static void speed_up(struct rx_sealer *s, bool seals)
{
    uint8_t key[RX_KEY_SIZE];
    slow_down(s);
    if (derive_key(s, key) == RX_OK)
        s->fast = s->aead->begin(
            s->aead, s->suite == RX_SUITE_AES256GCM ? RX_AEAD_AES256GCM : RX_AEAD_CHACHA20POLY1305,
            seals, key);
    sodium_memzero(key, sizeof key);
}

/* Whether the other implementation is to have a record of n bytes; counts them in, and asks for it
 * when there were enough. */
static bool hastened(struct rx_sealer *s, size_t n, bool seals)
{
    if (n < RX_HASTE_RECORD)
        return false;
    if (s->haste != NULL) {
        s->moved += n;
        if (s->moved <= s->ask_at)
            return false;
        s->ask_at = 0;
        s->aead = s->haste->aead(s->haste->user, s->moved, &s->ask_at);
        if (s->aead != NULL)
            speed_up(s, seals);
        if (s->aead != NULL || s->ask_at == 0)
            s->haste = NULL;
    }
    return s->fast != NULL;
}

static enum rx_error next_epoch(struct rx_sealer *s)
{
    uint8_t next[RX_KEY_SIZE];
    const struct rx_bytes label = RX_LITERAL("rekey");
    enum rx_error error = rx_hkdf_expand(s->secret, sizeof s->secret, &label, 1, next, sizeof next);
    if (error == RX_OK) {
        memcpy(s->secret, next, sizeof s->secret);
        error = load_key(s);
    }
    sodium_memzero(next, sizeof next);
    return error;
}

/* Counts a record in: its number to *counter, with the key of its epoch loaded. */
static enum rx_error begin_record(struct rx_sealer *s, bool seals, uint64_t *counter)
{
    if (s->failed != RX_OK)
        return s->failed;
    if (s->counter == UINT64_MAX)
        return fail(s, RX_E_COUNTER_EXHAUSTED);
    if (s->counter > 0 && s->counter % RX_EPOCH_RECORDS == 0) {
        enum rx_error error = next_epoch(s);
        if (error != RX_OK)
            return fail(s, error);
        if (s->fast != NULL)
            speed_up(s, seals);
    }
    *counter = s->counter++;
    return RX_OK;
}

enum rx_error rx_sealer_init(struct rx_sealer *s, enum rx_suite suite,
                             const uint8_t secret[static RX_KEY_SIZE])
{
    *s = (struct rx_sealer){.suite = suite};
    if (rx_suite_name(suite) == NULL || (rx_suites_here() & suite) == 0)
        return fail(s, RX_E_MISUSE);
    memcpy(s->secret, secret, sizeof s->secret);
    enum rx_error error = load_key(s);
    return error == RX_OK ? RX_OK : fail(s, error);
}

void rx_sealer_hasten(struct rx_sealer *s, const struct rx_haste *haste)
{
    if (s->suite == RX_SUITE_HMAC_SHA256 || haste == NULL)
        return;
    s->haste = haste;
    s->ask_at = haste->after;
}

void rx_sealer_wipe(struct rx_sealer *s)
{
    slow_down(s);
    sodium_memzero(s, sizeof *s);
    s->failed = RX_E_MISUSE;
}

/* ---- AEAD ------------------------------------------------------------------------------- */

static void make_nonce(uint8_t nonce[static RX_NONCE_SIZE], uint64_t counter)
{
    memset(nonce, 0, RX_NONCE_SIZE - 8);
    rx_put64(nonce + RX_NONCE_SIZE - 8, counter);
}

static enum rx_error aead_seal(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               const uint8_t *payload, size_t n, uint8_t *out)
{
    struct rx_sealer *s = context;
    uint64_t counter;
    enum rx_error error = begin_record(s, true, &counter);
    if (error != RX_OK)
        return error;
    uint8_t nonce[RX_NONCE_SIZE];
    make_nonce(nonce, counter);
    int failed = 0;
    if (hastened(s, n, true))
        failed = !s->aead->seal(s->aead, s->fast, nonce, length, payload, n, out);
    else if (s->suite == RX_SUITE_AES256GCM)
        failed = crypto_aead_aes256gcm_encrypt_detached_afternm(
            out, out + n, NULL, payload, n, length, RX_RECORD_LENGTH, NULL, nonce, &s->aes);
    else
        failed = crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            out, out + n, NULL, payload, n, length, RX_RECORD_LENGTH, NULL, nonce, s->key);
    return failed == 0 ? RX_OK : fail(s, RX_E_CRYPTO_FAILED);
}

static enum rx_error aead_open(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               uint8_t *sealed, size_t n)
{
    struct rx_sealer *s = context;
    uint64_t counter;
    enum rx_error error = begin_record(s, false, &counter);
    if (error != RX_OK)
        return error;
    if (n < RX_AEAD_TAG)
        return fail(s, RX_E_BAD_SEAL);
    n -= RX_AEAD_TAG;
    uint8_t nonce[RX_NONCE_SIZE];
    make_nonce(nonce, counter);
    int failed = 0;
    if (hastened(s, n, false))
        failed = !s->aead->open(s->aead, s->fast, nonce, length, sealed, n);
    else if (s->suite == RX_SUITE_AES256GCM)
        failed = crypto_aead_aes256gcm_decrypt_detached_afternm(
            sealed, NULL, sealed, n, sealed + n, length, RX_RECORD_LENGTH, nonce, &s->aes);
    else
        failed = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            sealed, NULL, sealed, n, sealed + n, length, RX_RECORD_LENGTH, nonce, s->key);
    return failed == 0 ? RX_OK : fail(s, RX_E_BAD_SEAL);
}

/* ---- the readable suite ----------------------------------------------------------------- */

static enum rx_error hmac_tag(struct rx_sealer *s, uint64_t counter, const uint8_t *length,
                              const uint8_t *payload, size_t n, uint8_t tag[static HMAC_TAG])
{
    crypto_auth_hmacsha256_state state = s->hmac;
    uint8_t number[8];
    rx_put64(number, counter);
    int failed = crypto_auth_hmacsha256_update(&state, number, sizeof number);
    if (failed == 0)
        failed = crypto_auth_hmacsha256_update(&state, length, RX_RECORD_LENGTH);
    if (failed == 0)
        failed = crypto_auth_hmacsha256_update(&state, payload, n);
    if (failed == 0)
        failed = crypto_auth_hmacsha256_final(&state, tag);
    sodium_memzero(&state, sizeof state);
    return failed == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

static enum rx_error hmac_seal(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               const uint8_t *payload, size_t n, uint8_t *out)
{
    struct rx_sealer *s = context;
    uint64_t counter;
    enum rx_error error = begin_record(s, true, &counter);
    if (error != RX_OK)
        return error;
    if (out != payload)
        memcpy(out, payload, n);
    error = hmac_tag(s, counter, length, out, n, out + n);
    return error == RX_OK ? RX_OK : fail(s, error);
}

static enum rx_error hmac_open(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               uint8_t *sealed, size_t n)
{
    struct rx_sealer *s = context;
    uint64_t counter;
    enum rx_error error = begin_record(s, false, &counter);
    if (error != RX_OK)
        return error;
    if (n < HMAC_TAG)
        return fail(s, RX_E_BAD_SEAL);
    uint8_t tag[HMAC_TAG];
    error = hmac_tag(s, counter, length, sealed, n - HMAC_TAG, tag);
    if (error == RX_OK && sodium_memcmp(tag, sealed + n - HMAC_TAG, HMAC_TAG) != 0)
        error = RX_E_BAD_SEAL;
    sodium_memzero(tag, sizeof tag);
    return error == RX_OK ? RX_OK : fail(s, error);
}

struct rx_seal rx_sealer_seal(struct rx_sealer *s)
{
    static const struct rx_seal_ops aead = {RX_AEAD_TAG, aead_seal, aead_open};
    static const struct rx_seal_ops hmac = {HMAC_TAG, hmac_seal, hmac_open};
    return (struct rx_seal){(s->suite & RX_SUITES_SEALED) != 0 ? &aead : &hmac, s};
}
