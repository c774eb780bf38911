#include "tests/duel/forge.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct rx_session_keys random_keys(struct dice *d, enum rx_suite suite)
{
    struct rx_session_keys keys = {.version = 1, .suite = suite};
    if (sodium_init() < 0)
        abort();
    dice_fill(d, keys.c2s, sizeof keys.c2s);
    dice_fill(d, keys.s2c, sizeof keys.s2c);
    dice_fill(d, keys.request, sizeof keys.request);
    dice_fill(d, keys.id, sizeof keys.id);
    return keys;
}

void forger_open(struct forger *f, enum rx_role role, const struct rx_session_keys *keys)
{
    if (rx_sealer_init(&f->out, keys->suite, role == RX_CLIENT ? keys->c2s : keys->s2c) != RX_OK ||
        rx_request_key_init(&f->key, keys->request) != RX_OK)
        abort();
    struct rx_mac mac = rx_request_key_mac(&f->key);
    rx_request_chain_init(&f->chain, &mac);
}

static void copy(uint8_t *to, const void *from, size_t n)
{
    if (n > 0)
        memcpy(to, from, n);
}

const uint8_t *forge(struct forger *f, const struct forged *m, size_t *n)
{
    static uint8_t payload[RX_RECORD_MAX];
    static uint8_t record[RX_OUTPUT_MIN];
    size_t len = RX_MESSAGE_HEAD + m->header_len + m->body_len;
    size_t trailer = rx_is_request(m->type) ? RX_REQUEST_TRAILER : 0;
    if (len + trailer > sizeof payload)
        abort();
    rx_message_head(payload, m->type, m->flags, m->header_len, m->stream);
    copy(payload + RX_MESSAGE_HEAD, m->header, m->header_len);
    copy(payload + RX_MESSAGE_HEAD + m->header_len, m->body, m->body_len);
    if (trailer > 0 && rx_request_sign(&f->chain, payload, len) != RX_OK)
        abort();
    struct rx_seal seal = rx_sealer_seal(&f->out);
    if (rx_record_seal(&seal, payload, len + trailer, record, n) != RX_OK)
        abort();
    return record;
}
