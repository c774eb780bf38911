/* auth/aead.c: an implementation that is not libsodium's equal is not taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/aead.h"

enum defect {
    NONE,
    NO_CONTEXT,
    SEALS_WRONG_BYTES,
    SEALS_WRONG_TAG,
    WRONG_IN_WIDE_LOOPS,
    SWAPS_BLOCKS,
    FAILS_TO_SEAL,
    FAILS_TO_OPEN,
    OPENS_WITHOUT_DECIPHERING,
    OPENS_ANYTHING,
    IGNORES_THE_LENGTH,
    RIGHT_ONCE,
    ONLY_AES_WRONG,
    ONLY_CHACHA_WRONG,
    DEFECTS,
};

/* libsodium's, with a defect. */
static struct {
    enum defect defect;
    enum rx_aead_cipher cipher;
    unsigned begun, ended, sealed;
    uint8_t key[RX_KEY_SIZE];
} bad;

static void *bad_begin(const struct rx_aead *self, enum rx_aead_cipher cipher, bool seals,
                       const uint8_t key[static RX_KEY_SIZE])
{
    (void)self;
    if (bad.defect == NO_CONTEXT && !seals)
        return NULL;
    bad.cipher = cipher;
    bad.sealed = 0;
    bad.begun++;
    memcpy(bad.key, key, sizeof bad.key);
    return &bad;
}

static void bad_end(const struct rx_aead *self, void *context)
{
    (void)self;
    assert_ptr_equal(context, &bad);
    bad.ended++;
}

static bool bad_seal(const struct rx_aead *self, void *context,
                     const uint8_t nonce[static RX_NONCE_SIZE],
                     const uint8_t length[static RX_RECORD_LENGTH], const uint8_t *in, size_t n,
                     uint8_t *out)
{
    (void)self;
    (void)context;
    const bool is_aes = bad.cipher == RX_AEAD_AES256GCM;
    memmove(out, in, n);
    if (bad.defect == SWAPS_BLOCKS && n > 32) {
        uint8_t block[16];
        memcpy(block, out, sizeof block);
        memcpy(out, out + 16, sizeof block);
        memcpy(out + 16, block, sizeof block);
    }
    if (is_aes)
        (void)crypto_aead_aes256gcm_encrypt(out, NULL, out, n, length, RX_RECORD_LENGTH, NULL,
                                            nonce, bad.key);
    else
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(
            out, NULL, out, n, bad.defect == IGNORES_THE_LENGTH ? NULL : length,
            bad.defect == IGNORES_THE_LENGTH ? 0 : RX_RECORD_LENGTH, NULL, nonce, bad.key);
    if (bad.defect == SEALS_WRONG_BYTES || (bad.defect == ONLY_AES_WRONG && is_aes) ||
        (bad.defect == ONLY_CHACHA_WRONG && !is_aes) ||
        (bad.defect == RIGHT_ONCE && ++bad.sealed > 1))
        out[n / 2] ^= 1;
    if (bad.defect == WRONG_IN_WIDE_LOOPS && n > 4096)
        out[4096] ^= 1;
    if (bad.defect == SEALS_WRONG_TAG)
        out[n + RX_AEAD_TAG - 1] ^= 1;
    return bad.defect != FAILS_TO_SEAL;
}

static bool bad_open(const struct rx_aead *self, void *context,
                     const uint8_t nonce[static RX_NONCE_SIZE],
                     const uint8_t length[static RX_RECORD_LENGTH], uint8_t *sealed, size_t n)
{
    (void)self;
    (void)context;
    static uint8_t copy[RX_RECORD_MAX];
    memcpy(copy, sealed, n);
    const bool is_aes = bad.cipher == RX_AEAD_AES256GCM;
    if (bad.defect == SEALS_WRONG_TAG)
        sealed[n + RX_AEAD_TAG - 1] ^= 1;
    const int failed =
        is_aes
            ? crypto_aead_aes256gcm_decrypt(sealed, NULL, NULL, sealed, n + RX_AEAD_TAG, length,
                                            RX_RECORD_LENGTH, nonce, bad.key)
            : crypto_aead_chacha20poly1305_ietf_decrypt(sealed, NULL, NULL, sealed, n + RX_AEAD_TAG,
                                                        length, RX_RECORD_LENGTH, nonce, bad.key);
    if (bad.defect == OPENS_WITHOUT_DECIPHERING)
        memcpy(sealed, copy, n);
    if (bad.defect == FAILS_TO_OPEN)
        return false;
    return failed == 0 || bad.defect == OPENS_ANYTHING;
}

/* Each defect shows by itself; and what was begun is ended, whatever shows. */
static void test_defects(void **state)
{
    (void)state;
    const struct rx_aead defective = {bad_begin, bad_seal, bad_open, bad_end};
    for (int defect = NONE; defect < DEFECTS; defect++) {
        memset(&bad, 0, sizeof bad);
        bad.defect = (enum defect)defect;
        const bool to_be_seen = defect != NONE && (defect != ONLY_AES_WRONG ||
                                                   crypto_aead_aes256gcm_is_available() != 0);
        if (rx_aead_as_libsodium(&defective) == to_be_seen)
            fail_msg("defect %d: %s", defect, to_be_seen ? "not seen" : "seen where there is none");
        assert_int_equal(bad.begun, bad.ended);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defects)};
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
