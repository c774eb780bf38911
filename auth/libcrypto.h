/*
 * The AEADs of OpenSSL's libcrypto, found in a library that the program has loaded. It is given
 * nothing but a record's key, nonce and bytes, reads no configuration, and is asked for no
 * randomness.
 */
#ifndef REXEC_AUTH_LIBCRYPTO_H
#define REXEC_AUTH_LIBCRYPTO_H

#include "auth/aead.h"

/* The file to load: the version that this was built for. */
extern const char rx_libcrypto_file[];

/*
 * Finds its functions by name, with `find` (dlsym) in `library`, and has it seal and open some
 * records: NULL where it lacks something, or where its bytes are not libsodium's. The library stays
 * loaded for as long as what is returned is used; that is freed with rx_libcrypto_free.
 */
struct rx_aead *rx_libcrypto_new(void *(*find)(void *library, const char *name), void *library);

/* NULL is fine. */
void rx_libcrypto_free(struct rx_aead *aead);

#endif
