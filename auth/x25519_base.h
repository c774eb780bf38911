/*
 * X25519 of the base point (RFC 7748, 6.1): the public value of a secret one. Where the processor
 * has AVX, libsodium climbs a ladder for it. On edwards25519, which is the same group in other
 * coordinates (RFC 7748, 4.1), it has a table of the base point's multiples, and takes half as long
 * there: so the point is found there, and its coordinate carried over. Without AVX libsodium does
 * the same itself.
 */
#ifndef REXEC_AUTH_X25519_BASE_H
#define REXEC_AUTH_X25519_BASE_H

#include <stdint.h>

#include "auth/secret.h"

/*
 * What crypto_scalarmult_base gives for the same secret, of which it clamps a copy. Nothing of
 * it is left on the stack, also if it fails. The two may be the same. RX_E_CRYPTO_FAILED: libsodium
 * would not; `public` is then anything.
 */
enum rx_error rx_x25519_base(const uint8_t secret[static RX_KEY_SIZE],
                             uint8_t public[static RX_KEY_SIZE]);

#ifdef __SIZEOF_INT128__
/*
 * The step of it that is ours, where the compiler has products of 128 bits; elsewhere libsodium
 * does all of it. The u coordinate of a point of edwards25519 that is given as RFC 8032, 5.1.2
 * writes it (the bit that is x's sign makes no difference): (1 + y) / (1 - y) modulo 2^255 - 19,
 * canonical; 0 for the neutral point, which has none.
 */
void rx_edwards_to_u(const uint8_t point[static RX_KEY_SIZE], uint8_t u[static RX_KEY_SIZE]);
#endif

#endif
