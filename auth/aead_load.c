#include "auth/aead_load.h"

#include <dlfcn.h>

#include "auth/libcrypto.h"
#ifdef REXEC_IPSEC_MB
#include "auth/ipsec_mb.h"
#endif

const struct rx_aead_library rx_aead_libraries[] = {
#ifdef REXEC_IPSEC_MB
    {"IPSec_MB", rx_ipsec_mb_file, 1 << 20, rx_ipsec_mb_new, rx_ipsec_mb_free},
#endif
    {"libcrypto", rx_libcrypto_file, 8 << 20, rx_libcrypto_new, rx_libcrypto_free},
    {NULL, NULL, 0, NULL, NULL},
};

struct rx_aead *rx_aead_load(const struct rx_loader *loader, const struct rx_aead_library **at,
                             uint64_t flow)
{
    for (; (*at)->name != NULL && (*at)->worth <= flow; ++*at) {
        void *library = loader->open((*at)->file, RTLD_NOW | RTLD_LOCAL);
        struct rx_aead *aead = library != NULL ? (*at)->take(loader->find, library) : NULL;
        if (aead != NULL)
            return aead;
        if (library != NULL)
            (void)loader->close(library);
    }
    return NULL;
}
