/* auth/libcrypto.c: libcrypto seals and opens as libsodium does, or is not used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <sodium.h>

#include "auth/libcrypto.h"
#include "proto/bytes.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

enum { LENGTH = RX_RECORD_LENGTH, MOST = RX_RECORD_MAX - RX_AEAD_TAG };

static void *library;
static struct rx_aead *aead;

static int load(void **state)
{
    (void)state;
    library = dlopen(rx_libcrypto_file, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    aead = rx_libcrypto_new(dlsym, library);
    assert_non_null(aead);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    rx_libcrypto_free(aead);
    rx_libcrypto_free(NULL);
    return 0;
}

static unsigned ciphers(enum rx_aead_cipher found[static 2])
{
    unsigned n = 0;
    found[n++] = RX_AEAD_CHACHA20POLY1305;
    if (crypto_aead_aes256gcm_is_available())
        found[n++] = RX_AEAD_AES256GCM;
    return n;
}

/* One record, and what libsodium makes of it. */
struct record {
    uint8_t key[RX_KEY_SIZE], nonce[RX_NONCE_SIZE], length[LENGTH];
    size_t n;
    uint8_t plain[MOST], sealed[MOST + RX_AEAD_TAG];
};

static struct record r;
static uint8_t bytes[MOST + RX_AEAD_TAG];

static void make(struct dice *d, enum rx_aead_cipher cipher, size_t n)
{
    dice_fill(d, r.nonce, sizeof r.nonce);
    dice_fill(d, r.plain, n);
    r.n = n;
    rx_put32(r.length, (uint32_t)(n + RX_AEAD_TAG));
    if (cipher == RX_AEAD_AES256GCM)
        assert_int_equal(crypto_aead_aes256gcm_encrypt(r.sealed, NULL, r.plain, n, r.length, LENGTH,
                                                       NULL, r.nonce, r.key),
                         0);
    else
        assert_int_equal(crypto_aead_chacha20poly1305_ietf_encrypt(
                             r.sealed, NULL, r.plain, n, r.length, LENGTH, NULL, r.nonce, r.key),
                         0);
}

static bool opens(void *context)
{
    return aead->open(aead, context, r.nonce, r.length, bytes, r.n);
}

/* Many records under one key, each with a nonce of its own: into another place, and where they are.
 */
static void test_as_libsodium(void **state)
{
    (void)state;
    struct dice d = {.state = 11};
    enum rx_aead_cipher found[2];
    unsigned records = 0;
    for (unsigned i = ciphers(found); i-- > 0;) {
        dice_fill(&d, r.key, sizeof r.key);
        void *out = aead->begin(aead, found[i], true, r.key);
        void *in = aead->begin(aead, found[i], false, r.key);
        assert_non_null(out);
        assert_non_null(in);
        for (size_t n = 0; n <= MOST; n += n < 600 ? 1 : 1 + dice_below(&d, MOST / 8)) {
            make(&d, found[i], n);
            assert_true(aead->seal(aead, out, r.nonce, r.length, r.plain, n, bytes));
            assert_memory_equal(bytes, r.sealed, n + RX_AEAD_TAG);
            assert_true(opens(in));
            assert_memory_equal(bytes, r.plain, n);
            assert_true(aead->seal(aead, out, r.nonce, r.length, bytes, n, bytes));
            assert_memory_equal(bytes, r.sealed, n + RX_AEAD_TAG);
            records++;
        }
        make(&d, found[i], MOST);
        assert_true(aead->seal(aead, out, r.nonce, r.length, r.plain, MOST, bytes));
        assert_memory_equal(bytes, r.sealed, MOST + RX_AEAD_TAG);
        aead->end(aead, out);
        aead->end(aead, in);
    }
    print_message("records as libsodium's: %u\n", records);
}

/* Every bit of a record, its length field and its nonce; the context goes on working. */
static void test_refuses(void **state)
{
    (void)state;
    struct dice d = {.state = 12};
    enum rx_aead_cipher found[2];
    unsigned flips = 0;
    for (unsigned i = ciphers(found); i-- > 0;) {
        dice_fill(&d, r.key, sizeof r.key);
        void *in = aead->begin(aead, found[i], false, r.key);
        assert_non_null(in);
        const size_t sizes[] = {0, 1, 16, 77, 300};
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            make(&d, found[i], sizes[s]);
            const struct {
                uint8_t *at;
                size_t n;
            } parts[] = {{bytes, r.n + RX_AEAD_TAG}, {r.length, LENGTH}, {r.nonce, sizeof r.nonce}};
            for (size_t p = 0; p < 3; p++) {
                for (size_t bit = 0; bit < parts[p].n * 8; bit++, flips++) {
                    memcpy(bytes, r.sealed, r.n + RX_AEAD_TAG);
                    parts[p].at[bit / 8] ^= (uint8_t)(1U << bit % 8);
                    assert_false(opens(in));
                    if (p > 0)
                        parts[p].at[bit / 8] ^= (uint8_t)(1U << bit % 8);
                }
            }
            memcpy(bytes, r.sealed, r.n + RX_AEAD_TAG);
            assert_true(opens(in));
        }
        aead->end(aead, in);
    }
    print_message("flipped bits refused: %u\n", flips);
}

/* Not a byte behind what it was given is read or written. */
static void test_stays_inside(void **state)
{
    (void)state;
    struct dice d = {.state = 13};
    enum rx_aead_cipher found[2];
    for (unsigned i = ciphers(found); i-- > 0;) {
        dice_fill(&d, r.key, sizeof r.key);
        void *out = aead->begin(aead, found[i], true, r.key);
        void *in = aead->begin(aead, found[i], false, r.key);
        for (size_t n = 0; n < 300; n += 7) {
            make(&d, found[i], n);
            assert_true(aead->seal(aead, out, r.nonce, r.length, guard_copy(r.plain, n), n, bytes));
            assert_memory_equal(bytes, r.sealed, n + RX_AEAD_TAG);
            uint8_t *place = guard_copy(r.sealed, n + RX_AEAD_TAG);
            assert_true(aead->open(aead, in, r.nonce, r.length, place, n));
            assert_true(aead->seal(aead, out, r.nonce, r.length, place, n, place));
            assert_memory_equal(place, r.sealed, n + RX_AEAD_TAG);
        }
        aead->end(aead, out);
        aead->end(aead, in);
    }
}

/* ---- libraries that are not to be used -------------------------------------------------- */

static unsigned asked, missing;

static void *find_all_but_one(void *lib, const char *name)
{
    return asked++ == missing ? NULL : dlsym(lib, name);
}

static void test_lacks_a_function(void **state)
{
    (void)state;
    struct rx_aead *found = NULL;
    for (missing = 0; found == NULL; missing++) {
        asked = 0;
        found = rx_libcrypto_new(find_all_but_one, library);
        assert_int_equal(asked, found == NULL ? missing + 1 : missing);
        assert_true(missing < 64);
    }
    assert_true(missing > 8);
    rx_libcrypto_free(found);
}

static const char *swapped[2];

static void *find_swapped(void *lib, const char *name)
{
    return dlsym(lib, strcmp(name, swapped[0]) == 0 ? swapped[1] : name);
}

static int zero(void)
{
    return 0;
}

static int one(void)
{
    return 1;
}

static const char *lying;
static int (*lie)(void);

static void *find_lying(void *lib, const char *name)
{
    void *function;
    memcpy(&function, &lie, sizeof function);
    return strcmp(name, lying) == 0 ? function : dlsym(lib, name);
}

/* Other ciphers, failures, and success that is none. */
static void test_disagrees(void **state)
{
    (void)state;
    const char *const other[][2] = {{"EVP_chacha20_poly1305", "EVP_aes_256_gcm"},
                                    {"EVP_chacha20_poly1305", "EVP_aes_256_ocb"},
                                    {"EVP_aes_256_gcm", "EVP_aes_256_ccm"},
                                    {"EVP_aes_256_gcm", "EVP_chacha20_poly1305"}};
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        if (strcmp(other[i][0], "EVP_aes_256_gcm") == 0 && !crypto_aead_aes256gcm_is_available())
            continue;
        swapped[0] = other[i][0];
        swapped[1] = other[i][1];
        assert_null(rx_libcrypto_new(find_swapped, library));
    }
    const char *const functions[] = {
        "OPENSSL_init_crypto", "EVP_CIPHER_CTX_ctrl", "EVP_CipherInit_ex", "EVP_CipherUpdate",
        "EVP_CipherFinal_ex",  "EVP_CIPHER_CTX_new",  "EVP_aes_256_gcm",   "EVP_chacha20_poly1305"};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i], "EVP_aes_256_gcm") == 0 && !crypto_aead_aes256gcm_is_available())
            continue;
        lying = functions[i];
        lie = zero;
        assert_null(rx_libcrypto_new(find_lying, library));
    }
    /* A check of the tag that says yes to everything. */
    lying = "EVP_CipherFinal_ex";
    lie = one;
    assert_null(rx_libcrypto_new(find_lying, library));
    lying = "no such function";
    struct rx_aead *honest = rx_libcrypto_new(find_lying, library);
    assert_non_null(honest);
    rx_libcrypto_free(honest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_libsodium), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_stays_inside), cmocka_unit_test(test_lacks_a_function),
        cmocka_unit_test(test_disagrees),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, load, unload);
}
