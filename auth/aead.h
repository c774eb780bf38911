/*
 * Another implementation of the AEADs that records are sealed with (RFC 5116), for large flows: the
 * same bytes, faster than libsodium's where the processor has instructions that libsodium does not
 * use. The program that has one gives it to auth/seal.c; without it, libsodium seals everything.
 */
#ifndef REXEC_AUTH_AEAD_H
#define REXEC_AUTH_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "proto/record.h"

enum { RX_NONCE_SIZE = 12, RX_AEAD_TAG = 16 };

enum rx_aead_cipher { RX_AEAD_AES256GCM, RX_AEAD_CHACHA20POLY1305 };

struct rx_aead {
    /* A key, for sealing or for opening; the caller ends it. NULL: it cannot be had. */
    void *(*begin)(const struct rx_aead *aead, enum rx_aead_cipher cipher, bool seals,
                   const uint8_t key[static RX_KEY_SIZE]);
    /* n bytes to out, which gets the tag behind them. in and out are the same or do not overlap.
     * False: it failed, and out is worthless. */
    bool (*seal)(const struct rx_aead *aead, void *context,
                 const uint8_t nonce[static RX_NONCE_SIZE],
                 const uint8_t length[static RX_RECORD_LENGTH], const uint8_t *in, size_t n,
                 uint8_t *out);
    /* n bytes in place, the tag behind them. False: they do not verify, and are worthless. */
    bool (*open)(const struct rx_aead *aead, void *context,
                 const uint8_t nonce[static RX_NONCE_SIZE],
                 const uint8_t length[static RX_RECORD_LENGTH], uint8_t *bytes, size_t n);
    /* Wipes and frees. */
    void (*end)(const struct rx_aead *aead, void *context);
};

/* Puts a function's address from a library to *pointer, which is a pointer to such a function.
 * `find` is dlsym. */
bool rx_aead_find(void *(*find)(void *library, const char *name), void *library, const char *name,
                  void *pointer);

/* Whether it seals a record as libsodium does, opens it, and not what was changed, twice: asked
 * before it is used. */
bool rx_aead_as_libsodium(const struct rx_aead *aead);

/* Bytes of a record below which libsodium seals it all the same. Another takes longer to begin: it
 * gains from 0.5 to 1 KiB on, and later where its code is not in the processor's cache. */
enum { RX_HASTE_RECORD = 2048 };

/* Where a program has it from. A direction asks when it has moved more than `after` bytes in
 * records of RX_HASTE_RECORD at least: having it costs more than a few bytes gain. `moved` is what
 * it has moved. NULL: there is none, and it does not ask again unless *again, which is 0, was set:
 * then it does when it has moved more than that. What is given outlives the direction. */
struct rx_haste {
    uint64_t after;
    const struct rx_aead *(*aead)(void *user, uint64_t moved, uint64_t *again);
    void *user;
};

#endif
