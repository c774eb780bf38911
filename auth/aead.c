#include "auth/aead.h"

#include <sodium.h>
#include <string.h>

#include "proto/bytes.h"

bool rx_aead_find(void *(*find)(void *library, const char *name), void *library, const char *name,
                  void *pointer)
{
    void *found = find(library, name);
    /* An object's pointer holds a function's (POSIX, dlsym), but C has no conversion. */
    if (found != NULL)
        memcpy(pointer, &found, sizeof found);
    return found != NULL;
}

static void sodium_seal(enum rx_aead_cipher cipher, const uint8_t *key, const uint8_t *nonce,
                        const uint8_t *length, const uint8_t *in, size_t n, uint8_t *out)
{
    if (cipher == RX_AEAD_AES256GCM)
        (void)crypto_aead_aes256gcm_encrypt(out, NULL, in, n, length, RX_RECORD_LENGTH, NULL, nonce,
                                            key);
    else
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, n, length, RX_RECORD_LENGTH,
                                                        NULL, nonce, key);
}

/* Bytes: many turns of the widest loops, more blocks than one byte counts, and a rest. */
enum { TRIED = 5 * 1024 + 35 };

/* Seals a record as libsodium does, opens it, and not with one bit of it changed. */
static bool agrees(const struct rx_aead *aead, enum rx_aead_cipher cipher)
{
    uint8_t key[RX_KEY_SIZE], nonce[RX_NONCE_SIZE], length[RX_RECORD_LENGTH], plain[TRIED];
    uint8_t ours[TRIED + RX_AEAD_TAG] = {0}, theirs[TRIED + RX_AEAD_TAG];
    memset(key, 0x6b, sizeof key);
    memset(nonce, 0x6e, sizeof nonce);
    for (size_t i = 0; i < TRIED; i++)
        plain[i] = (uint8_t)(i % 2 == 0 ? i >> 4 : i >> 12); /* each block has its number */
    rx_put32(length, sizeof ours);
    sodium_seal(cipher, key, nonce, length, plain, TRIED, theirs);
    void *seals = aead->begin(aead, cipher, true, key);
    void *opens = aead->begin(aead, cipher, false, key);
    bool good = seals != NULL && opens != NULL;
    for (int round = 0; good && round < 2; round++) {
        good = aead->seal(aead, seals, nonce, length, plain, TRIED, ours) &&
               memcmp(ours, theirs, sizeof ours) == 0 &&
               aead->open(aead, opens, nonce, length, ours, TRIED) &&
               memcmp(ours, plain, TRIED) == 0;
        memcpy(ours, theirs, sizeof ours);
        ours[TRIED + round] ^= 1;
        good = good && !aead->open(aead, opens, nonce, length, ours, TRIED);
    }
    if (seals != NULL)
        aead->end(aead, seals);
    if (opens != NULL)
        aead->end(aead, opens);
    return good;
}

bool rx_aead_as_libsodium(const struct rx_aead *aead)
{
    return agrees(aead, RX_AEAD_CHACHA20POLY1305) &&
           (crypto_aead_aes256gcm_is_available() == 0 || agrees(aead, RX_AEAD_AES256GCM));
}
