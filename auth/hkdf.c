#include "auth/hkdf.h"

#include <string.h>

enum {
    EXPAND_MAX = 255 * RX_HASH_SIZE, /* RFC 5869, 2.3 */
    INFO_PIECES = 8,
};

/* The rest of an HMAC whose key is in already. */
static enum rx_error hmac_of(const crypto_auth_hmacsha256_state *keyed,
                             const struct rx_bytes *pieces, size_t count,
                             uint8_t out[static RX_HASH_SIZE])
{
    crypto_auth_hmacsha256_state state = *keyed;
    int failed = 0;
    for (size_t i = 0; i < count && failed == 0; i++)
        failed = crypto_auth_hmacsha256_update(&state, pieces[i].p, pieces[i].n);
    if (failed == 0)
        failed = crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
    if (failed != 0) {
        sodium_memzero(out, RX_HASH_SIZE);
        return RX_E_CRYPTO_FAILED;
    }
    return RX_OK;
}

enum rx_error rx_hmac(const uint8_t *key, size_t key_len, const struct rx_bytes *pieces,
                      size_t count, uint8_t out[static RX_HASH_SIZE])
{
    struct rx_hkdf k;
    enum rx_error error = rx_hkdf_begin(&k, key, key_len);
    if (error == RX_OK)
        error = hmac_of(&k.keyed, pieces, count, out);
    else
        sodium_memzero(out, RX_HASH_SIZE);
    rx_hkdf_wipe(&k);
    return error;
}

enum rx_error rx_hash(const struct rx_bytes *pieces, size_t count, uint8_t out[static RX_HASH_SIZE])
{
    crypto_hash_sha256_state state;
    int failed = crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < count && failed == 0; i++)
        failed = crypto_hash_sha256_update(&state, pieces[i].p, pieces[i].n);
    if (failed == 0)
        failed = crypto_hash_sha256_final(&state, out);
    return failed == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

enum rx_error rx_hashing_begin(struct rx_hashing *h)
{
    return crypto_hash_sha256_init(&h->state) == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

enum rx_error rx_hashing_add(struct rx_hashing *h, const void *bytes, size_t n)
{
    return crypto_hash_sha256_update(&h->state, bytes, n) == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

enum rx_error rx_hashing_now(const struct rx_hashing *h, uint8_t out[static RX_HASH_SIZE])
{
    crypto_hash_sha256_state copy = h->state;
    return crypto_hash_sha256_final(&copy, out) == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

enum rx_error rx_hkdf_extract(const uint8_t *salt, size_t salt_len, const uint8_t *ikm,
                              size_t ikm_len, uint8_t prk[static RX_HASH_SIZE])
{
    struct rx_bytes piece = {ikm, ikm_len};
    return rx_hmac(salt, salt_len, &piece, 1, prk);
}

enum rx_error rx_hkdf_begin(struct rx_hkdf *k, const uint8_t *prk, size_t prk_len)
{
    return crypto_auth_hmacsha256_init(&k->keyed, prk, prk_len) == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

void rx_hkdf_wipe(struct rx_hkdf *k)
{
    sodium_memzero(k, sizeof *k);
}

enum rx_error rx_hkdf_output(const struct rx_hkdf *k, const struct rx_bytes *info, size_t count,
                             uint8_t *out, size_t n)
{
    if (n > EXPAND_MAX || count > INFO_PIECES) {
        sodium_memzero(out, n);
        return RX_E_MISUSE;
    }
    uint8_t block[RX_HASH_SIZE];
    uint8_t counter = 0;
    enum rx_error error = RX_OK;
    for (size_t done = 0; done < n && error == RX_OK;) {
        /* T(i) = HMAC(PRK, T(i-1) || info || i) */
        struct rx_bytes pieces[INFO_PIECES + 2];
        size_t used = 0;
        if (counter > 0)
            pieces[used++] = (struct rx_bytes){block, sizeof block};
        for (size_t i = 0; i < count; i++)
            pieces[used++] = info[i];
        counter++;
        pieces[used++] = (struct rx_bytes){&counter, 1};
        error = hmac_of(&k->keyed, pieces, used, block);
        size_t take = n - done < sizeof block ? n - done : sizeof block;
        memcpy(out + done, block, take);
        done += take;
    }
    sodium_memzero(block, sizeof block);
    if (error != RX_OK)
        sodium_memzero(out, n);
    return error;
}

enum rx_error rx_hkdf_expand(const uint8_t *prk, size_t prk_len, const struct rx_bytes *info,
                             size_t count, uint8_t *out, size_t n)
{
    struct rx_hkdf k;
    enum rx_error error = rx_hkdf_begin(&k, prk, prk_len);
    if (error == RX_OK)
        error = rx_hkdf_output(&k, info, count, out, n);
    else
        sodium_memzero(out, n);
    rx_hkdf_wipe(&k);
    return error;
}
