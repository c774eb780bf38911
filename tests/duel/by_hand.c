#include "tests/duel/by_hand.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void hand_put(struct hand *h, const void *bytes, size_t n)
{
    if (n > sizeof h->bytes - h->n)
        abort();
    if (n > 0)
        memcpy(h->bytes + h->n, bytes, n);
    h->n += n;
}

void hand_text(struct hand *h, const char *text)
{
    hand_put(h, text, strlen(text));
}

void hand_sha256(const struct hand *data, uint8_t out[static 32])
{
    if (crypto_hash_sha256(out, data->bytes, data->n) != 0)
        abort();
}

void hand_hmac(const void *key, size_t key_len, const struct hand *data, uint8_t out[static 32])
{
    uint8_t full[crypto_auth_hmacsha256_KEYBYTES] = {0};
    if (key_len > sizeof full)
        abort();
    memcpy(full, key, key_len);
    if (crypto_auth_hmacsha256(out, data->bytes, data->n, full) != 0)
        abort();
}

void hand_expand(const uint8_t prk[static 32], const struct hand *info, uint8_t *out, size_t n)
{
    struct hand data = *info;
    uint8_t block[32];
    hand_put(&data, "\x01", 1);
    hand_hmac(prk, 32, &data, block);
    if (n > sizeof block)
        abort();
    memcpy(out, block, n);
}

/* ---- section 2 -------------------------------------------------------------------------- */

static void expand_text(const uint8_t prk[static 32], const char *text, uint8_t out[static 32])
{
    struct hand info = {.n = 0};
    hand_text(&info, text);
    hand_expand(prk, &info, out, 32);
}

static void three_keys(const uint8_t prk[static 32], struct rx_grant_keys *keys)
{
    expand_text(prk, "c auth", keys->client_auth);
    expand_text(prk, "s auth", keys->server_auth);
    expand_text(prk, "mix", keys->mix);
}

void hand_grant(const uint8_t psk[static 32], const char *server_name, struct rx_grant_keys *keys)
{
    struct hand srv = {.n = 0};
    struct hand kid = {.n = 0};
    struct hand ikm = {.n = 0};
    uint8_t mac[32];
    uint8_t prk[32];
    hand_text(&kid, "rexec/1 kid");
    hand_text(&kid, server_name);
    hand_hmac(psk, 32, &kid, mac);
    memcpy(keys->kid, mac, sizeof keys->kid);
    hand_text(&srv, "rexec/1 srv");
    hand_text(&srv, server_name);
    hand_hmac(psk, 32, &srv, mac);
    hand_put(&ikm, mac, sizeof mac);
    hand_hmac("rexec/1", 7, &ikm, prk);
    three_keys(prk, keys);
}

void hand_decoy(const uint8_t secret[static 32], const uint8_t kid[static 16],
                struct rx_grant_keys *keys)
{
    struct hand ikm = {.n = 0};
    uint8_t prk[32];
    hand_put(&ikm, kid, 16);
    hand_hmac(secret, 32, &ikm, prk);
    three_keys(prk, keys);
    memcpy(keys->kid, kid, 16);
}

/* ---- section 3 -------------------------------------------------------------------------- */

void hand_prove(const uint8_t server_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                uint8_t m2[static RX_M2_SIZE])
{
    struct hand seen = {.n = 0};
    struct hand proven = {.n = 0};
    uint8_t hash[32];
    hand_put(&seen, m1, RX_M1_SIZE);
    hand_put(&seen, m2, 72);
    hand_sha256(&seen, hash);
    hand_put(&proven, m1 + 24, 32);
    hand_put(&proven, hash, sizeof hash);
    hand_hmac(server_auth, 32, &proven, m2 + 72);
}

void hand_respond(const uint8_t client_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                  const uint8_t m2[static RX_M2_SIZE], uint8_t m3[static RX_M3_SIZE])
{
    struct hand seen = {.n = 0};
    struct hand proven = {.n = 0};
    uint8_t hash[32];
    hand_put(&seen, m1, RX_M1_SIZE);
    hand_put(&seen, m2, RX_M2_SIZE);
    hand_put(&seen, m3, 8);
    hand_sha256(&seen, hash);
    hand_put(&proven, m2 + 8, 32);
    hand_put(&proven, hash, sizeof hash);
    hand_hmac(client_auth, 32, &proven, m3 + 8);
}

void hand_answer(const uint8_t client_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                 const uint8_t m2[static RX_M2_SIZE], uint8_t m3[static RX_M3_SIZE])
{
    const uint8_t header[8] = {'r', 'e', 'x', 'c', 3, m2[5], m2[6], 0};
    memcpy(m3, header, sizeof header);
    hand_respond(client_auth, m1, m2, m3);
}

/* ---- section 4 -------------------------------------------------------------------------- */

static void expand_session(const uint8_t prk[static 32], const char *text,
                           const uint8_t th[static 32], uint8_t *out, size_t n)
{
    struct hand info = {.n = 0};
    hand_text(&info, text);
    hand_put(&info, th, 32);
    hand_expand(prk, &info, out, n);
}

void hand_session(const uint8_t mix[static 32], const uint8_t *shared,
                  const uint8_t m1[static RX_M1_SIZE], const uint8_t m2[static RX_M2_SIZE],
                  const uint8_t m3[static RX_M3_SIZE], struct rx_session_keys *keys)
{
    struct hand seen = {.n = 0};
    struct hand dh = {.n = 0};
    uint8_t th[32];
    uint8_t prk[32];
    hand_put(&seen, m1, RX_M1_SIZE);
    hand_put(&seen, m2, RX_M2_SIZE);
    hand_put(&seen, m3, RX_M3_SIZE);
    hand_sha256(&seen, th);
    if (shared != NULL)
        hand_put(&dh, shared, 32);
    hand_hmac(mix, 32, &dh, prk);
    memset(keys, 0, sizeof *keys);
    keys->version = m2[5];
    keys->suite = m2[6];
    expand_session(prk, "rexec/1 c2s", th, keys->c2s, 32);
    expand_session(prk, "rexec/1 s2c", th, keys->s2c, 32);
    expand_session(prk, "rexec/1 request", th, keys->request, 32);
    expand_session(prk, "rexec/1 session", th, keys->id, 16);
}

bool hand_same(const struct rx_session_keys *a, const struct rx_session_keys *b)
{
    return a->version == b->version && a->suite == b->suite && memcmp(a->c2s, b->c2s, 32) == 0 &&
           memcmp(a->s2c, b->s2c, 32) == 0 && memcmp(a->request, b->request, 32) == 0 &&
           memcmp(a->id, b->id, 16) == 0;
}

void hand_epoch_key(const uint8_t secret[static 32], uint8_t key[static 32])
{
    expand_text(secret, "key", key);
}

void hand_next_epoch(uint8_t secret[static 32])
{
    uint8_t next[32];
    expand_text(secret, "rekey", next);
    memcpy(secret, next, sizeof next);
}
