#include "auth/secret.h"

#include <sodium.h>
#include <string.h>

#include "auth/hkdf.h"

enum rx_error rx_server_name_fold(const char *name, size_t n,
                                  char out[static RX_SERVER_NAME_MAX + 1])
{
    if (n == 0 || n > RX_SERVER_NAME_MAX)
        return RX_E_BAD_NAME;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (c < 0x21 || c > 0x7e)
            return RX_E_BAD_NAME;
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[n] = '\0';
    return RX_OK;
}

/* K_c, K_s and K_m from the value they are expanded from; keys->kid is the caller's. */
static enum rx_error expand_keys(const uint8_t prk[static RX_KEY_SIZE], struct rx_grant_keys *keys)
{
    const struct rx_bytes labels[] = {RX_LITERAL("c auth"), RX_LITERAL("s auth"),
                                      RX_LITERAL("mix")};
    uint8_t *const outs[] = {keys->client_auth, keys->server_auth, keys->mix};
    struct rx_hkdf k;
    enum rx_error error = rx_hkdf_begin(&k, prk, RX_KEY_SIZE);
    for (size_t i = 0; i < 3 && error == RX_OK; i++)
        error = rx_hkdf_output(&k, &labels[i], 1, outs[i], RX_KEY_SIZE);
    rx_hkdf_wipe(&k);
    return error;
}

enum rx_error rx_grant_keys_derive(const uint8_t psk[static RX_KEY_SIZE], const char *server_name,
                                   struct rx_grant_keys *keys)
{
    char name[RX_SERVER_NAME_MAX + 1];
    uint8_t k_srv[RX_HASH_SIZE] = {0}, full_kid[RX_HASH_SIZE] = {0}, prk[RX_HASH_SIZE] = {0};
    static const char salt[] = "rexec/1";
    enum rx_error error =
        rx_server_name_fold(server_name, strnlen(server_name, RX_SERVER_NAME_MAX + 1), name);
    if (error == RX_OK) {
        struct rx_bytes named[] = {RX_LITERAL("rexec/1 srv"), {name, strlen(name)}};
        error = rx_hmac(psk, RX_KEY_SIZE, named, 2, k_srv);
    }
    if (error == RX_OK) {
        struct rx_bytes named[] = {RX_LITERAL("rexec/1 kid"), {name, strlen(name)}};
        error = rx_hmac(psk, RX_KEY_SIZE, named, 2, full_kid);
    }
    if (error == RX_OK)
        error = rx_hkdf_extract((const uint8_t *)salt, sizeof salt - 1, k_srv, sizeof k_srv, prk);
    if (error == RX_OK)
        error = expand_keys(prk, keys);
    memcpy(keys->kid, full_kid, sizeof keys->kid);
    if (error != RX_OK)
        sodium_memzero(keys, sizeof *keys);
    sodium_memzero(k_srv, sizeof k_srv);
    sodium_memzero(full_kid, sizeof full_kid);
    sodium_memzero(prk, sizeof prk);
    return error;
}

enum rx_error rx_decoy_keys_derive(const uint8_t decoy_secret[static RX_KEY_SIZE],
                                   const uint8_t kid[static RX_KID_SIZE],
                                   struct rx_grant_keys *keys)
{
    uint8_t prk[RX_HASH_SIZE];
    enum rx_error error = rx_hkdf_extract(decoy_secret, RX_KEY_SIZE, kid, RX_KID_SIZE, prk);
    if (error == RX_OK)
        error = expand_keys(prk, keys);
    memcpy(keys->kid, kid, RX_KID_SIZE);
    if (error != RX_OK)
        sodium_memzero(keys, sizeof *keys);
    sodium_memzero(prk, sizeof prk);
    return error;
}
