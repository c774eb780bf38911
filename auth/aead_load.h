/*
 * Finds another implementation of the AEADs (auth/aead.h) among the libraries that the machine has:
 * the fastest one that can be used here.
 */
#ifndef REXEC_AUTH_AEAD_LOAD_H
#define REXEC_AUTH_AEAD_LOAD_H

#include "auth/aead.h"

/* How the program loads a library: dlopen, dlsym and dlclose. */
struct rx_loader {
    void *(*open)(const char *file, int mode);
    void *(*find)(void *library, const char *name);
    int (*close)(void *library);
};

/* One of them, for who wants that and no other. */
struct rx_aead_library {
    const char *name; /* as people call it */
    const char *file; /* what to load */
    uint64_t worth; /* 0: of the last; bytes of a flow by which it has gained as much as loading it
                       takes */
    struct rx_aead *(*take)(void *(*find)(void *library, const char *name), void *library);
    void (*free)(struct rx_aead *aead);
};

/* Those that this was built for, fastest and soonest worth it first; the last has no name. */
extern const struct rx_aead_library rx_aead_libraries[];

/*
 * Loads one after another until one can be used; one that cannot is closed again. Begins with *at,
 * which is rx_aead_libraries at first, and ends before one that is worth it only to a flow of more
 * than `flow` bytes: *at, then, or the last, which has no name. NULL: there is none so far. What is
 * returned is for the rest of the process's life, as the library is. libsodium is initialised
 * already.
 */
struct rx_aead *rx_aead_load(const struct rx_loader *loader, const struct rx_aead_library **at,
                             uint64_t flow);

#endif
