#include "auth/schedule.h"

#include <sodium.h>

enum rx_error rx_session_keys_derive(uint8_t version, enum rx_suite suite,
                                     const uint8_t mix[static RX_KEY_SIZE], const uint8_t *shared,
                                     const uint8_t transcript[static RX_HASH_SIZE],
                                     struct rx_session_keys *keys)
{
    *keys = (struct rx_session_keys){.version = version, .suite = suite};
    const struct {
        struct rx_bytes label;
        uint8_t *out;
        size_t n;
    } parts[] = {
        {RX_LITERAL("rexec/1 c2s"), keys->c2s, sizeof keys->c2s},
        {RX_LITERAL("rexec/1 s2c"), keys->s2c, sizeof keys->s2c},
        {RX_LITERAL("rexec/1 request"), keys->request, sizeof keys->request},
        {RX_LITERAL("rexec/1 session"), keys->id, sizeof keys->id},
    };
    uint8_t prk[RX_HASH_SIZE];
    struct rx_hkdf k;
    enum rx_error error =
        rx_hkdf_extract(mix, RX_KEY_SIZE, shared, shared != NULL ? RX_KEY_SIZE : 0, prk);
    if (error == RX_OK)
        error = rx_hkdf_begin(&k, prk, sizeof prk);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && error == RX_OK; i++) {
        const struct rx_bytes info[] = {parts[i].label, {transcript, RX_HASH_SIZE}};
        error = rx_hkdf_output(&k, info, 2, parts[i].out, parts[i].n);
    }
    rx_hkdf_wipe(&k);
    sodium_memzero(prk, sizeof prk);
    if (error != RX_OK)
        rx_session_keys_wipe(keys);
    return error;
}

void rx_session_keys_wipe(struct rx_session_keys *keys)
{
    sodium_memzero(keys, sizeof *keys);
}
