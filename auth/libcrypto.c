#include "auth/libcrypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

const char rx_libcrypto_file[] = "libcrypto.so." TEXT_OF(OPENSSL_SHLIB_VERSION);

/* What is used of it. */
#define FUNCTIONS(X)                                                                               \
    X(OPENSSL_init_crypto)                                                                         \
    X(EVP_CIPHER_CTX_new)                                                                          \
    X(EVP_CIPHER_CTX_free)                                                                         \
    X(EVP_CIPHER_CTX_ctrl)                                                                         \
    X(EVP_CipherInit_ex)                                                                           \
    X(EVP_CipherUpdate)                                                                            \
    X(EVP_CipherFinal_ex)                                                                          \
    X(EVP_aes_256_gcm)                                                                             \
    X(EVP_chacha20_poly1305)

struct libcrypto {
    struct rx_aead aead; /* the first, so that one is the other */
#define MEMBER(name) __typeof__(&(name)) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static const struct libcrypto *of(const struct rx_aead *aead)
{
    return (const struct libcrypto *)(const void *)aead;
}

/* ---- records ---------------------------------------------------------------------------- */

static void *aead_begin(const struct rx_aead *aead, enum rx_aead_cipher cipher, bool seals,
                        const uint8_t key[static RX_KEY_SIZE])
{
    const struct libcrypto *lib = of(aead);
    EVP_CIPHER_CTX *context = lib->EVP_CIPHER_CTX_new();
    if (context == NULL)
        return NULL;
    const EVP_CIPHER *which =
        cipher == RX_AEAD_AES256GCM ? lib->EVP_aes_256_gcm() : lib->EVP_chacha20_poly1305();
    if (which == NULL || lib->EVP_CipherInit_ex(context, which, NULL, key, NULL, seals) != 1) {
        lib->EVP_CIPHER_CTX_free(context);
        return NULL;
    }
    return context;
}

static void aead_end(const struct rx_aead *aead, void *context)
{
    of(aead)->EVP_CIPHER_CTX_free(context);
}

/* All but the tag. */
static bool turn(const struct libcrypto *lib, EVP_CIPHER_CTX *context, const uint8_t *nonce,
                 const uint8_t *length, const uint8_t *in, size_t n, uint8_t *out)
{
    int done = 0;
    return n <= INT_MAX && lib->EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1) == 1 &&
           lib->EVP_CipherUpdate(context, NULL, &done, length, RX_RECORD_LENGTH) == 1 &&
           lib->EVP_CipherUpdate(context, out, &done, in, (int)n) == 1 && done == (int)n;
}

static bool aead_seal(const struct rx_aead *aead, void *context,
                      const uint8_t nonce[static RX_NONCE_SIZE],
                      const uint8_t length[static RX_RECORD_LENGTH], const uint8_t *in, size_t n,
                      uint8_t *out)
{
    const struct libcrypto *lib = of(aead);
    uint8_t none[RX_AEAD_TAG]; /* both ciphers are streams: nothing is left for the end */
    int left = 0;
    return turn(lib, context, nonce, length, in, n, out) &&
           lib->EVP_CipherFinal_ex(context, none, &left) == 1 && left == 0 &&
           lib->EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, RX_AEAD_TAG, out + n) == 1;
}

static bool aead_open(const struct rx_aead *aead, void *context,
                      const uint8_t nonce[static RX_NONCE_SIZE],
                      const uint8_t length[static RX_RECORD_LENGTH], uint8_t *bytes, size_t n)
{
    const struct libcrypto *lib = of(aead);
    uint8_t none[RX_AEAD_TAG];
    int left = 0;
    return turn(lib, context, nonce, length, bytes, n, bytes) &&
           lib->EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, RX_AEAD_TAG, bytes + n) == 1 &&
           lib->EVP_CipherFinal_ex(context, none, &left) == 1 && left == 0;
}

/* ---- whether it is to be used ----------------------------------------------------------- */

static bool find_all(struct libcrypto *lib, void *(*find)(void *library, const char *name),
                     void *library)
{
#define FOUND(name) &&rx_aead_find(find, library, #name, &lib->name)
    return true FUNCTIONS(FOUND);
#undef FOUND
}

struct rx_aead *rx_libcrypto_new(void *(*find)(void *library, const char *name), void *library)
{
    struct libcrypto *lib = calloc(1, sizeof *lib);
    if (lib == NULL)
        return NULL;
    lib->aead = (struct rx_aead){aead_begin, aead_seal, aead_open, aead_end};
    /* No configuration: it could name other libraries to load. */
    if (find_all(lib, find, library) &&
        lib->OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) == 1 &&
        rx_aead_as_libsodium(&lib->aead))
        return &lib->aead;
    free(lib);
    return NULL;
}

void rx_libcrypto_free(struct rx_aead *aead)
{
    free(aead);
}
