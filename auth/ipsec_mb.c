#include "auth/ipsec_mb.h"

#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Of the first major version, which CMakeLists.txt sees to. */
const char rx_ipsec_mb_file[] = "libIPSec_MB.so.1";

/* What is used of it by name; all else is in what alloc_mb_mgr makes. */
#define FUNCTIONS(X)                                                                               \
    X(imb_get_version)                                                                             \
    X(imb_get_errno)                                                                               \
    X(alloc_mb_mgr)                                                                                \
    X(init_mb_mgr_avx512)                                                                          \
    X(free_mb_mgr)

struct ipsec_mb {
    struct rx_aead aead; /* the first, so that one is the other */
    IMB_MGR *manager;
#define MEMBER(name) __typeof__(&(name)) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

/* A direction. Wiped and freed by aead_end. */
struct direction {
    _Alignas(64) struct gcm_key_data gcm; /* the header says so only where LINUX is defined */
    enum rx_aead_cipher cipher;
    uint8_t key[RX_KEY_SIZE];
    union {
        struct gcm_context_data gcm;
        struct chacha20_poly1305_context_data chacha;
    } record; /* of the record that is at work */
};

static const struct ipsec_mb *of(const struct rx_aead *aead)
{
    return (const struct ipsec_mb *)(const void *)aead;
}

/* ---- records ---------------------------------------------------------------------------- */

static void *aead_begin(const struct rx_aead *aead, enum rx_aead_cipher cipher, bool seals,
                        const uint8_t key[static RX_KEY_SIZE])
{
    (void)seals;
    struct direction *d = aligned_alloc(_Alignof(struct direction), sizeof *d);
    if (d == NULL)
        return NULL;
    memset(d, 0, sizeof *d);
    d->cipher = cipher;
    if (cipher == RX_AEAD_AES256GCM)
        IMB_AES256_GCM_PRE(of(aead)->manager, key, &d->gcm);
    else
        memcpy(d->key, key, sizeof d->key);
    return d;
}

static void aead_end(const struct rx_aead *aead, void *context)
{
    (void)aead;
    sodium_memzero(context, sizeof(struct direction));
    free(context);
}

static bool aead_seal(const struct rx_aead *aead, void *context,
                      const uint8_t nonce[static RX_NONCE_SIZE],
                      const uint8_t length[static RX_RECORD_LENGTH], const uint8_t *in, size_t n,
                      uint8_t *out)
{
    IMB_MGR *m = of(aead)->manager;
    struct direction *d = context;
    if (d->cipher == RX_AEAD_AES256GCM) {
        IMB_AES256_GCM_ENC(m, &d->gcm, &d->record.gcm, out, in, n, nonce, length, RX_RECORD_LENGTH,
                           out + n, RX_AEAD_TAG);
    } else {
        IMB_CHACHA20_POLY1305_INIT(m, d->key, &d->record.chacha, nonce, length, RX_RECORD_LENGTH);
        IMB_CHACHA20_POLY1305_ENC_UPDATE(m, d->key, &d->record.chacha, out, in, n);
        IMB_CHACHA20_POLY1305_ENC_FINALIZE(m, &d->record.chacha, out + n, RX_AEAD_TAG);
    }
    return of(aead)->imb_get_errno(m) == 0; /* it does nothing where it dislikes what it is given */
}

static bool aead_open(const struct rx_aead *aead, void *context,
                      const uint8_t nonce[static RX_NONCE_SIZE],
                      const uint8_t length[static RX_RECORD_LENGTH], uint8_t *bytes, size_t n)
{
    IMB_MGR *m = of(aead)->manager;
    struct direction *d = context;
    uint8_t tag[RX_AEAD_TAG];
    if (d->cipher == RX_AEAD_AES256GCM) {
        IMB_AES256_GCM_DEC(m, &d->gcm, &d->record.gcm, bytes, bytes, n, nonce, length,
                           RX_RECORD_LENGTH, tag, sizeof tag);
    } else {
        IMB_CHACHA20_POLY1305_INIT(m, d->key, &d->record.chacha, nonce, length, RX_RECORD_LENGTH);
        IMB_CHACHA20_POLY1305_DEC_UPDATE(m, d->key, &d->record.chacha, bytes, bytes, n);
        IMB_CHACHA20_POLY1305_DEC_FINALIZE(m, &d->record.chacha, tag, sizeof tag);
    }
    const bool verified = sodium_memcmp(tag, bytes + n, sizeof tag) == 0;
    sodium_memzero(tag, sizeof tag);
    return verified;
}

/* ---- whether it is to be used ----------------------------------------------------------- */

static bool find_all(struct ipsec_mb *lib, void *(*find)(void *library, const char *name),
                     void *library)
{
#define FOUND(name) &&rx_aead_find(find, library, #name, &lib->name)
    return true FUNCTIONS(FOUND);
#undef FOUND
}

static bool has(const struct ipsec_mb *lib, uint64_t features)
{
    return (lib->manager->features & features) == features;
}

/* But for repairs: IMB_VERSION_NUM is 0xMMmmrr. */
static bool same_version(unsigned version)
{
    return version >> 8 == IMB_VERSION_NUM >> 8;
}

static bool take_up(struct ipsec_mb *lib)
{
    /* It asks the processor alone, and not whether the system saves the wide registers. */
    if (sodium_runtime_has_avx512f() == 0)
        return false;
    if (!same_version(lib->imb_get_version()) || (lib->manager = lib->alloc_mb_mgr(0)) == NULL)
        return false;
    if (!has(lib, IMB_CPUFLAGS_AVX512_T2 | IMB_FEATURE_SAFE_DATA))
        return false;
    lib->init_mb_mgr_avx512(lib->manager);
    return lib->imb_get_errno(lib->manager) == 0 && has(lib, IMB_FEATURE_SELF_TEST_PASS) &&
           rx_aead_as_libsodium(&lib->aead);
}

struct rx_aead *rx_ipsec_mb_new(void *(*find)(void *library, const char *name), void *library)
{
    struct ipsec_mb *lib = calloc(1, sizeof *lib);
    if (lib == NULL)
        return NULL;
    lib->aead = (struct rx_aead){aead_begin, aead_seal, aead_open, aead_end};
    if (find_all(lib, find, library) && take_up(lib))
        return &lib->aead;
    rx_ipsec_mb_free(&lib->aead);
    return NULL;
}

void rx_ipsec_mb_free(struct rx_aead *aead)
{
    struct ipsec_mb *lib = (struct ipsec_mb *)(void *)aead;
    if (lib != NULL && lib->manager != NULL)
        lib->free_mb_mgr(lib->manager);
    free(lib);
}
