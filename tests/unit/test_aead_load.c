/* auth/aead_load.c and its libraries: they seal and open as libsodium does, or are not used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#ifdef REXEC_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif
#include <sodium.h>

#include "auth/aead_load.h"
#include "proto/bytes.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"
#include "tests/unit/leftover.h"
#include "tests/unit/scale.h"

enum { LENGTH = RX_RECORD_LENGTH, MOST = RX_RECORD_MAX - RX_AEAD_TAG };

static const struct rx_aead_library *of; /* which is tried */
static void *library;
static struct rx_aead *aead; /* NULL: this processor has nothing that it is for */

static const struct rx_aead_library *by_name(const char *name)
{
    const struct rx_aead_library *l = rx_aead_libraries;
    while (l->name != NULL && strcmp(l->name, name) != 0)
        l++;
    return l->name != NULL ? l : NULL;
}

static void load(const char *name)
{
    aead = NULL;
    if ((of = by_name(name)) == NULL)
        return;
    library = dlopen(of->file, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    aead = of->take(dlsym, library);
}

static int load_libcrypto(void **state)
{
    (void)state;
    load("libcrypto");
    assert_non_null(aead);
    return 0;
}

/* By what the kernel says, which is not whom the library asks. */
static bool processor_is_wide(void)
{
    const char *const flags[] = {" avx512vl ",   " avx512ifma ", " vaes ",
                                 " vpclmulqdq ", " gfni ",       " sha_ni "};
    static char text[65536];
    FILE *file = fopen("/proc/cpuinfo", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strstr(text, flags[i]) == NULL)
            return false;
    return true;
}

/* It must be of use where it is for: a test that skips itself everywhere is none. */
static int load_ipsec_mb(void **state)
{
    (void)state;
    load("IPSec_MB");
    assert_int_equal(of != NULL && processor_is_wide(), aead != NULL);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    if (of != NULL) {
        of->free(aead);
        of->free(NULL);
    }
    return 0;
}

static void skip_without(void)
{
    if (aead == NULL)
        skip();
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
    skip_without();
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
    skip_without();
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
    skip_without();
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

/* The key that it was given is in memory once more while it is used, and not afterwards. */
static void test_wipes(void **state)
{
    (void)state;
    if (SLOW_BUILD || aead == NULL)
        skip();
    enum rx_aead_cipher found[2];
    for (unsigned i = ciphers(found); i-- > 0;) {
        uint8_t key[RX_KEY_SIZE];
        randombytes_buf(key, sizeof key);
        const struct leftover part = leftover_of(key);
        void *out = aead->begin(aead, found[i], true, key);
        assert_non_null(out);
        sodium_memzero(key, sizeof key);
        make(&(struct dice){.state = 14}, RX_AEAD_CHACHA20POLY1305, 4096);
        assert_true(aead->seal(aead, out, r.nonce, r.length, r.plain, r.n, bytes));
        assert_true(leftover_count(&part) > 0);
        aead->end(aead, out);
        sodium_stackzero(64 * 1024);
        assert_int_equal(leftover_count(&part), 0);
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
    skip_without();
    struct rx_aead *found = NULL;
    for (missing = 0; found == NULL; missing++) {
        asked = 0;
        found = of->take(find_all_but_one, library);
        assert_int_equal(asked, found == NULL ? missing + 1 : missing);
        assert_true(missing < 64);
    }
    assert_true(missing > 5);
    of->free(found);
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
static void test_libcrypto_disagrees(void **state)
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
        assert_null(of->take(find_swapped, library));
    }
    const char *const functions[] = {
        "OPENSSL_init_crypto", "EVP_CIPHER_CTX_ctrl", "EVP_CipherInit_ex", "EVP_CipherUpdate",
        "EVP_CipherFinal_ex",  "EVP_CIPHER_CTX_new",  "EVP_aes_256_gcm",   "EVP_chacha20_poly1305"};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i], "EVP_aes_256_gcm") == 0 && !crypto_aead_aes256gcm_is_available())
            continue;
        lying = functions[i];
        lie = zero;
        assert_null(of->take(find_lying, library));
    }
    lying = "EVP_CipherFinal_ex"; /* the check of the tag */
    lie = one;
    assert_null(of->take(find_lying, library));
    lying = "no such function";
    struct rx_aead *honest = of->take(find_lying, library);
    assert_non_null(honest);
    of->free(honest);
}

#ifdef REXEC_IPSEC_MB

static int other_version(void)
{
    return IMB_VERSION_NUM + 0x100;
}

static int repaired_version(void)
{
    return IMB_VERSION_NUM + 1;
}

/* A function's pointer from the library, as find_all in auth/ipsec_mb.c has it. */
static void find_function(void *pointer, const char *name)
{
    void *found = dlsym(library, name);
    assert_non_null(found);
    memcpy(pointer, &found, sizeof found);
}

static unsigned long long without; /* features */

static IMB_MGR *alloc_without(uint64_t flags)
{
    IMB_MGR *(*alloc)(uint64_t) = NULL;
    IMB_MGR *manager;
    find_function(&alloc, "alloc_mb_mgr");
    assert_non_null(manager = alloc(flags));
    manager->features &= ~without;
    return manager;
}

/* Its own initialisation, and then: */
static void (*meddle)(IMB_MGR *);

static void init_and_meddle(IMB_MGR *manager)
{
    void (*init)(IMB_MGR *) = NULL;
    find_function(&init, "init_mb_mgr_avx512");
    init(manager);
    meddle(manager);
}

static void untested(IMB_MGR *manager)
{
    manager->features &= ~IMB_FEATURE_SELF_TEST_PASS;
}

static void other_key_size(IMB_MGR *manager)
{
    manager->gcm256_enc = manager->gcm128_enc;
}

static void opens_otherwise(IMB_MGR *manager)
{
    manager->gcm256_dec = manager->gcm192_dec;
}

static void lazy(const void *key, struct chacha20_poly1305_context_data *context, void *out,
                 const void *in, const uint64_t n)
{
    (void)key;
    (void)context;
    memmove(out, in, n);
}

static void seals_nothing(IMB_MGR *manager)
{
    manager->chacha20_poly1305_enc_update = lazy;
}

static void opens_nothing(IMB_MGR *manager)
{
    manager->chacha20_poly1305_dec_update = lazy;
}

static struct rx_aead *take_lying(const char *name, int (*function)(void))
{
    lying = name;
    lie = function;
    return of->take(find_lying, library);
}

static void test_ipsec_mb_disagrees(void **state)
{
    (void)state;
    skip_without();
    assert_null(take_lying("imb_get_version", other_version));
    struct rx_aead *repaired = take_lying("imb_get_version", repaired_version);
    assert_non_null(repaired);
    of->free(repaired);
    assert_null(take_lying("alloc_mb_mgr", zero));
    assert_null(take_lying("init_mb_mgr_avx512", zero));
    assert_null(take_lying("imb_get_errno", one));
    const unsigned long long features[] = {IMB_FEATURE_VAES, IMB_FEATURE_VPCLMULQDQ,
                                           IMB_FEATURE_AVX512_IFMA, IMB_FEATURE_SAFE_DATA};
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        without = features[i];
        assert_null(take_lying("alloc_mb_mgr", (int (*)(void))(void (*)(void))alloc_without));
    }
    without = IMB_FEATURE_AESNI_EMU;
    struct rx_aead *all = take_lying("alloc_mb_mgr", (int (*)(void))(void (*)(void))alloc_without);
    assert_non_null(all);
    of->free(all);
    void (*const meddlers[])(IMB_MGR *) = {untested, other_key_size, opens_otherwise, seals_nothing,
                                           opens_nothing};
    for (size_t i = 0; i < sizeof meddlers / sizeof meddlers[0]; i++) {
        meddle = meddlers[i];
        assert_null(
            take_lying("init_mb_mgr_avx512", (int (*)(void))(void (*)(void))init_and_meddle));
    }
}

#endif

/* ---- which of them ---------------------------------------------------------------------- */

/* A machine on which some are missing and some cannot be used. */
static struct machine {
    const char *missing, *broken; /* files */
    unsigned opened, closed;
    void *broken_library;
} machine;

static void *machine_open(const char *file, int mode)
{
    machine.opened++;
    assert_true((mode & RTLD_NOW) != 0);
    if (machine.missing != NULL && strcmp(file, machine.missing) == 0)
        return NULL;
    void *opened = dlopen(file, mode);
    if (machine.broken != NULL && strcmp(file, machine.broken) == 0)
        machine.broken_library = opened;
    return opened;
}

static void *machine_find(void *from, const char *name)
{
    return from == machine.broken_library ? NULL : dlsym(from, name);
}

static int machine_close(void *closed)
{
    machine.closed++;
    return dlclose(closed);
}

static const struct rx_loader loader = {machine_open, machine_find, machine_close};

static const struct rx_aead_library *next;

static struct rx_aead *load_best(uint64_t flow)
{
    next = rx_aead_libraries;
    return rx_aead_load(&loader, &next, flow);
}

/* The first, if it can be used here; libcrypto, if not; nothing, if that cannot, either. */
static void test_the_best_that_there_is(void **state)
{
    (void)state;
    const struct rx_aead_library *first = rx_aead_libraries, *last = by_name("libcrypto");
    const bool one_only = first == last;
    machine = (struct machine){0};
    struct rx_aead *found = load_best(UINT64_MAX);
    assert_non_null(found);
    assert_int_equal(machine.opened, machine.closed + 1);
    const unsigned before = machine.closed; /* those that are not for this processor */
    assert_int_equal(before, !one_only && !processor_is_wide());

    const char *file = first->file;
    for (int broken = 0; broken < 2; broken++) {
        machine = (struct machine){.missing = broken ? NULL : file, .broken = broken ? file : NULL};
        struct rx_aead *other = load_best(UINT64_MAX);
        assert_int_equal(other == NULL, one_only);
        assert_int_equal(machine.opened, one_only ? 1 : 2);
        assert_int_equal(machine.closed, broken);
        if (other != NULL)
            last->free(other);
    }
    machine = (struct machine){.broken = last->file, .missing = one_only ? NULL : file};
    assert_null(load_best(UINT64_MAX));
    assert_int_equal(machine.closed, 1);
    (one_only || before > 0 ? last : first)->free(found);
}

/* What takes long to load is loaded for large flows alone, and nothing is tried twice. */
static void test_worth_it(void **state)
{
    (void)state;
    unsigned usable = 0;
    for (const struct rx_aead_library *l = rx_aead_libraries; l->name != NULL; l++) {
        machine =
            (struct machine){.missing = l == rx_aead_libraries ? NULL : rx_aead_libraries->file};
        assert_true(l == rx_aead_libraries || l->worth > l[-1].worth);
        struct rx_aead *found = load_best(l->worth - 1);
        assert_null(found);
        assert_ptr_equal(next, l);
        const unsigned before = machine.opened;
        found = rx_aead_load(&loader, &next, l->worth);
        assert_int_equal(machine.opened, before + 1);
        assert_ptr_equal(next, found != NULL ? l : l + 1);
        if (found != NULL)
            l->free(found);
        usable += found != NULL;
    }
    assert_true(usable > 0);
    machine = (struct machine){0};
    while (next->name != NULL)
        next++;
    assert_int_equal(next->worth, 0);
    assert_null(rx_aead_load(&loader, &next, UINT64_MAX));
    assert_int_equal(machine.opened, 0);
}

int main(void)
{
    const struct CMUnitTest libcrypto[] = {
        cmocka_unit_test(test_as_libsodium),     cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_stays_inside),     cmocka_unit_test(test_wipes),
        cmocka_unit_test(test_lacks_a_function), cmocka_unit_test(test_libcrypto_disagrees),
    };
    const struct CMUnitTest ipsec_mb[] = {
        cmocka_unit_test(test_as_libsodium),       cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_stays_inside),       cmocka_unit_test(test_wipes),
        cmocka_unit_test(test_lacks_a_function),
#ifdef REXEC_IPSEC_MB
        cmocka_unit_test(test_ipsec_mb_disagrees),
#endif
    };
    const struct CMUnitTest which[] = {cmocka_unit_test(test_the_best_that_there_is),
                                       cmocka_unit_test(test_worth_it)};
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(libcrypto, load_libcrypto, unload) +
           cmocka_run_group_tests(ipsec_mb, load_ipsec_mb, unload) +
           cmocka_run_group_tests(which, NULL, NULL);
}
