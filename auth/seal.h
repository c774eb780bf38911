/*
 * Sealing of records under a session's traffic keys, one object per direction (docs/PROTOCOL.md,
 * "Keys of a session" and "Records"): the nonce is a counter that only rises; every
 * RX_EPOCH_RECORDS records the key is replaced by the next of its chain, and the old one is wiped.
 */
#ifndef REXEC_AUTH_SEAL_H
#define REXEC_AUTH_SEAL_H

#include <sodium.h>
#include <stdint.h>

#include "auth/aead.h"
#include "auth/secret.h"
#include "proto/record.h"

/* The cipher suites, as their bits on the wire. */
enum rx_suite {
    RX_SUITE_NONE = 0,
    RX_SUITE_AES256GCM = 0x01,
    RX_SUITE_CHACHA20POLY1305 = 0x02,
    RX_SUITE_HMAC_SHA256 = 0x04, /* readable: authenticated, not encrypted */
    RX_SUITES_SEALED = RX_SUITE_AES256GCM | RX_SUITE_CHACHA20POLY1305,
    RX_SUITES_ALL = RX_SUITES_SEALED | RX_SUITE_HMAC_SHA256,
};

enum { RX_EPOCH_RECORDS = 1 << 20 };

/* One direction. To be looked at by tests only; not to be copied or moved while in use. */
struct rx_sealer {
    union {
        crypto_aead_aes256gcm_state aes;   /* expanded, 16-aligned */
        crypto_auth_hmacsha256_state hmac; /* keyed, not yet fed */
        uint8_t key[RX_KEY_SIZE];
    };
    uint8_t secret[RX_KEY_SIZE]; /* of the present epoch */
    uint64_t counter;            /* of the next record */
    enum rx_suite suite;
    enum rx_error failed;         /* sticky */
    const struct rx_haste *haste; /* NULL: none, or none any more */
    uint64_t moved, ask_at;       /* bytes; as long as it is to be asked */
    const struct rx_aead *aead;   /* of `fast` */
    void *fast;                   /* seals or opens in place of libsodium, if not NULL */
};

/* The suite's name ("aes256gcm"), or NULL if `suite` is not exactly one of them. Static. */
const char *rx_suite_name(unsigned suite);

/* The suite of this name, or RX_SUITE_NONE. */
enum rx_suite rx_suite_by_name(const char *name);

/* The suites that this machine can seal with: all, without aes256gcm where the hardware lacks it.
 */
unsigned rx_suites_here(void);

/*
 * Begins a direction with the secret of its epoch 0. RX_E_MISUSE for a suite that is not one or not
 * to be had here, RX_E_CRYPTO_FAILED. sodium_init must have been called.
 */
enum rx_error rx_sealer_init(struct rx_sealer *sealer, enum rx_suite suite,
                             const uint8_t secret[static RX_KEY_SIZE]);

/* Large flows may go faster: `haste` is asked when it is time. It outlives the sealer; a suite that
 * has no AEAD has no use for it, and NULL changes nothing. Right after rx_sealer_init. */
void rx_sealer_hasten(struct rx_sealer *sealer, const struct rx_haste *haste);

/* The interface of proto/ to it: a sealer is used for sealing or for opening, never both. */
struct rx_seal rx_sealer_seal(struct rx_sealer *sealer);

/* Wipes the keys; every use fails afterwards. */
void rx_sealer_wipe(struct rx_sealer *sealer);

#endif
