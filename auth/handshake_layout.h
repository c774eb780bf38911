/*
 * Where things are in M1, M2 and M3, and the two proofs over them: for the two handshake machines.
 */
#ifndef REXEC_AUTH_HANDSHAKE_LAYOUT_H
#define REXEC_AUTH_HANDSHAKE_LAYOUT_H

#include "auth/handshake.h"

enum {
    MAGIC_SIZE = 4,
    HEADER_SIZE = 8,
    AT_TYPE = 4,
    M1_VERSION_MIN = 5,
    M1_VERSION_MAX = 6,
    M1_SUITES = 7,
    M1_KID = 8,
    M1_NONCE = 24,
    M1_EPHEMERAL = 56,
    M2_VERSION = 5,
    M2_SUITE = 6,
    M2_ZERO = 7,
    M2_CHALLENGE = 8,
    M2_EPHEMERAL = 40,
    M2_PROOF = 72,
    M3_RESPONSE = 8,
};

enum { TYPE_M1 = 1, TYPE_M2 = 2, TYPE_M3 = 3 };

/* The 8 bytes that begin M2 and M3: magic, type, version, suite, zero. */
void handshake_header(uint8_t out[static HEADER_SIZE], uint8_t type, uint8_t version,
                      uint8_t suite);

/* Whether the message begins with the magic and has this type. */
bool handshake_is(const uint8_t *message, uint8_t type);

/* Begins the hash of what both say with M1 and, of M2, what its proof is over. */
enum rx_error handshake_begin_hash(struct rx_hashing *said, const uint8_t m1[static RX_M1_SIZE],
                                   const uint8_t m2[static M2_PROOF]);

/* The server's proof: HMAC(K_s, nonce_c || SHA256(M1 || M2 up to the proof)), which *said is of. */
enum rx_error handshake_proof_of(const uint8_t server_auth[static RX_KEY_SIZE],
                                 const uint8_t m1[static RX_M1_SIZE], const struct rx_hashing *said,
                                 uint8_t proof[static RX_HASH_SIZE]);

/* The client's response: HMAC(K_c, challenge || SHA256(M1 || M2 || M3's header)), of which *said
 * has M1 and M2, and gets the header. */
enum rx_error handshake_response_of(const uint8_t client_auth[static RX_KEY_SIZE],
                                    const uint8_t m2[static RX_M2_SIZE],
                                    const uint8_t m3[static HEADER_SIZE], struct rx_hashing *said,
                                    uint8_t response[static RX_HASH_SIZE]);

/* The keys, once both proofs stand: *said is of M1, M2 and M3's header, `m3` all of that. `other`
 * is the other side's ephemeral key. */
enum rx_error handshake_keys(const struct rx_grant_keys *grant, const struct rx_key_pair *pair,
                             const uint8_t *other, const uint8_t m3[static RX_M3_SIZE],
                             struct rx_hashing *said, struct rx_session_keys *keys);

/* The two proofs for who has the messages and no hash. */
enum rx_error handshake_proof(const uint8_t server_auth[static RX_KEY_SIZE],
                              const uint8_t m1[static RX_M1_SIZE],
                              const uint8_t m2[static RX_M2_SIZE],
                              uint8_t proof[static RX_HASH_SIZE]);
enum rx_error handshake_response(const uint8_t client_auth[static RX_KEY_SIZE],
                                 const uint8_t m1[static RX_M1_SIZE],
                                 const uint8_t m2[static RX_M2_SIZE],
                                 const uint8_t m3[static RX_M3_SIZE],
                                 uint8_t response[static RX_HASH_SIZE]);

#endif
