/*
 * The AEADs of Intel's Multi-Buffer Crypto library (libIPSec_MB), found in a library that the
 * program has loaded. For processors that do AES and the carry-less product on 64 bytes at once
 * (AVX-512 with VAES and VPCLMULQDQ), and no others: there it takes a third of libcrypto 3.0's time
 * for AES-256-GCM; with narrower instructions it gains nothing, or loses.
 */
#ifndef REXEC_AUTH_IPSEC_MB_H
#define REXEC_AUTH_IPSEC_MB_H

#include "auth/aead.h"

/* The file to load. */
extern const char rx_ipsec_mb_file[];

/*
 * As rx_libcrypto_new (auth/libcrypto.h). NULL also where the processor has not what it is for, and
 * where the library is not of the version that this was built for (its functions are found in a
 * structure of its own), is built without wiping what it leaves in registers and on the stack, or
 * has failed its own test.
 */
struct rx_aead *rx_ipsec_mb_new(void *(*find)(void *library, const char *name), void *library);

/* NULL is fine. */
void rx_ipsec_mb_free(struct rx_aead *aead);

#endif
