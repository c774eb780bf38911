/*
 * The handshake's computations once more, written from docs/PROTOCOL.md and not from auth/: what a
 * test compares with, and what an attacker or a liar would compute for himself. Aborts where
 * libsodium fails.
 */
#ifndef REXEC_TESTS_DUEL_BY_HAND_H
#define REXEC_TESTS_DUEL_BY_HAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/handshake.h"
#include "auth/schedule.h"
#include "auth/secret.h"

/* Where things are in M1, M2 and M3. */
enum {
    HAND_TYPE = 4,
    HAND_VERSION = 5, /* M2, M3 */
    HAND_SUITE = 6,   /* M2, M3 */
    HAND_ZERO = 7,    /* M2, M3 */
    HAND_M1_MIN = 5,
    HAND_M1_MAX = 6,
    HAND_M1_SUITES = 7,
    HAND_M1_KID = 8,
    HAND_M1_NONCE = 24,
    HAND_M1_EPHEMERAL = 56,
    HAND_M2_CHALLENGE = 8,
    HAND_M2_EPHEMERAL = 40,
    HAND_M2_PROOF = 72,
    HAND_M3_RESPONSE = 8,
};

/* Bytes one after another. */
struct hand {
    uint8_t bytes[1024];
    size_t n;
};

void hand_put(struct hand *h, const void *bytes, size_t n);
void hand_text(struct hand *h, const char *text);

void hand_sha256(const struct hand *data, uint8_t out[static 32]);
/* key_len is at most 32: HMAC fills up a shorter key with zeros. */
void hand_hmac(const void *key, size_t key_len, const struct hand *data, uint8_t out[static 32]);
/* HKDF-Expand of at most 32 bytes: its first block. */
void hand_expand(const uint8_t prk[static 32], const struct hand *info, uint8_t *out, size_t n);

/* Section 2. The name is folded already. */
void hand_grant(const uint8_t psk[static 32], const char *server_name, struct rx_grant_keys *keys);
void hand_decoy(const uint8_t secret[static 32], const uint8_t kid[static 16],
                struct rx_grant_keys *keys);

/* Section 3: puts the proof into M2, the response into M3. */
void hand_prove(const uint8_t server_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                uint8_t m2[static RX_M2_SIZE]);
void hand_respond(const uint8_t client_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                  const uint8_t m2[static RX_M2_SIZE], uint8_t m3[static RX_M3_SIZE]);
/* M3 with M2's version and suite, and the response to it. */
void hand_answer(const uint8_t client_auth[static 32], const uint8_t m1[static RX_M1_SIZE],
                 const uint8_t m2[static RX_M2_SIZE], uint8_t m3[static RX_M3_SIZE]);

/* Section 4. `shared` is NULL for the readable suite. */
void hand_session(const uint8_t mix[static 32], const uint8_t *shared,
                  const uint8_t m1[static RX_M1_SIZE], const uint8_t m2[static RX_M2_SIZE],
                  const uint8_t m3[static RX_M3_SIZE], struct rx_session_keys *keys);
bool hand_same(const struct rx_session_keys *a, const struct rx_session_keys *b);
void hand_epoch_key(const uint8_t secret[static 32], uint8_t key[static 32]);
void hand_next_epoch(uint8_t secret[static 32]);

#endif
