#include "auth/hkdf.h"

#include <sodium.h>
#include <string.h>

enum {
    EXPAND_MAX = 255 * RX_HASH_SIZE, /* RFC 5869, 2.3 */
    INFO_PIECES = 8,
};

enum rx_error rx_hmac(const uint8_t *key, size_t key_len, const struct rx_bytes *pieces,
                      size_t count, uint8_t out[static RX_HASH_SIZE])
{
    crypto_auth_hmacsha256_state state;
    int failed = crypto_auth_hmacsha256_init(&state, key, key_len);
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

enum rx_error rx_hkdf_extract(const uint8_t *salt, size_t salt_len, const uint8_t *ikm,
                              size_t ikm_len, uint8_t prk[static RX_HASH_SIZE])
{
    struct rx_bytes piece = {ikm, ikm_len};
    return rx_hmac(salt, salt_len, &piece, 1, prk);
}

enum rx_error rx_hkdf_expand(const uint8_t *prk, size_t prk_len, const struct rx_bytes *info,
                             size_t count, uint8_t *out, size_t n)
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
        error = rx_hmac(prk, prk_len, pieces, used, block);
        size_t take = n - done < sizeof block ? n - done : sizeof block;
        memcpy(out + done, block, take);
        done += take;
    }
    sodium_memzero(block, sizeof block);
    if (error != RX_OK)
        sodium_memzero(out, n);
    return error;
}
