#include "auth/request_mac.h"

enum rx_error rx_request_key_init(struct rx_request_key *k, const uint8_t key[static RX_KEY_SIZE])
{
    if (crypto_auth_hmacsha256_init(&k->keyed, key, RX_KEY_SIZE) == 0)
        return RX_OK;
    rx_request_key_wipe(k);
    return RX_E_CRYPTO_FAILED;
}

static enum rx_error sign(void *context, const uint8_t *bytes, size_t n,
                          uint8_t mac[static RX_MAC_SIZE])
{
    const struct rx_request_key *k = context;
    crypto_auth_hmacsha256_state state = k->keyed;
    int failed = crypto_auth_hmacsha256_update(&state, bytes, n);
    if (failed == 0)
        failed = crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    return failed == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}

static enum rx_error verify(void *context, const uint8_t *bytes, size_t n,
                            const uint8_t mac[static RX_MAC_SIZE])
{
    uint8_t right[RX_MAC_SIZE];
    enum rx_error error = sign(context, bytes, n, right);
    if (error == RX_OK && sodium_memcmp(right, mac, sizeof right) != 0)
        error = RX_E_REQUEST_REJECTED;
    sodium_memzero(right, sizeof right);
    return error;
}

struct rx_mac rx_request_key_mac(struct rx_request_key *k)
{
    return (struct rx_mac){.sign = sign, .verify = verify, .context = k};
}

void rx_request_key_wipe(struct rx_request_key *k)
{
    sodium_memzero(k, sizeof *k);
}
