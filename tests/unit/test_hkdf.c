/* auth/hkdf.c: HMAC, SHA-256 and HKDF against the RFCs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/hkdf.h"
#include "tests/unit/guard.h"
#include "tests/unit/hex.h"

enum { LONGEST = 255 * RX_HASH_SIZE };

static const uint8_t no_bytes[1];

/* ---- HMAC ------------------------------------------------------------------------------- */

#define AA10 "aaaaaaaaaaaaaaaaaaaa"
#define AA20 AA10 AA10
#define AA131 AA20 AA20 AA20 AA20 AA20 AA20 AA10 "aa"
#define DD10 "dddddddddddddddddddd"
#define CD10 "cdcdcdcdcdcdcdcdcdcd"

/* RFC 4231, section 4. The fifth gives the first 16 bytes only. */
static const struct {
    const char *key, *data, *mac;
} rfc4231[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {AA20, DD10 DD10 DD10 DD10 DD10,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819", CD10 CD10 CD10 CD10 CD10,
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "a3b6167473100ee06e0c796c2955552b"},
    {AA131,
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368"
     "204b6579204669727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {AA131,
     "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a"
     "65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865"
     "206b6579206e6565647320746f20626520686173686564206265666f7265206265696e672075736564206279"
     "2074686520484d414320616c676f726974686d2e",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static void test_rfc4231(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rfc4231 / sizeof rfc4231[0]; i++) {
        uint8_t key[256];
        uint8_t data[256];
        uint8_t right[RX_HASH_SIZE];
        uint8_t mac[RX_HASH_SIZE];
        size_t key_len = hex_bytes(rfc4231[i].key, key, sizeof key);
        size_t n = hex_bytes(rfc4231[i].data, data, sizeof data);
        size_t right_len = hex_bytes(rfc4231[i].mac, right, sizeof right);
        const struct rx_bytes piece = {guard_copy(data, n), n};
        assert_int_equal(rx_hmac(key, key_len, &piece, 1, mac), RX_OK);
        assert_memory_equal(mac, right, right_len);
    }
}

/* However the data is cut into pieces, empty ones included, the MAC is the same. */
static void test_hmac_pieces(void **state)
{
    (void)state;
    uint8_t data[200];
    uint8_t whole[RX_HASH_SIZE];
    uint8_t mac[RX_HASH_SIZE];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    const struct rx_bytes all = {data, sizeof data};
    assert_int_equal(rx_hmac(data, 32, &all, 1, whole), RX_OK);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        const struct rx_bytes pieces[] = {
            {data, cut}, {NULL, 0}, {data + cut, sizeof data - cut}, {data, 0}};
        assert_int_equal(rx_hmac(data, 32, pieces, 4, mac), RX_OK);
        assert_memory_equal(mac, whole, sizeof mac);
    }
}

/* No pieces at all, and no key at all: values of Python's hmac. */
static void test_hmac_empty(void **state)
{
    (void)state;
    uint8_t right[RX_HASH_SIZE];
    uint8_t mac[RX_HASH_SIZE];
    (void)hex_bytes("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", right,
                    sizeof right);
    assert_int_equal(rx_hmac(no_bytes, 0, NULL, 0, mac), RX_OK);
    assert_memory_equal(mac, right, sizeof mac);
}

/* ---- SHA-256 ---------------------------------------------------------------------------- */

static void expect_hash(const char *text, size_t times, const char *hex)
{
    uint8_t right[RX_HASH_SIZE];
    uint8_t hash[RX_HASH_SIZE];
    (void)hex_bytes(hex, right, sizeof right);
    struct rx_bytes pieces[1000];
    assert_true(times <= 1000);
    for (size_t i = 0; i < times; i++)
        pieces[i] = (struct rx_bytes){text, strlen(text)};
    assert_int_equal(rx_hash(pieces, times, hash), RX_OK);
    assert_memory_equal(hash, right, sizeof hash);
}

/* FIPS 180-2, appendix B, and the empty message. */
static void test_sha256(void **state)
{
    (void)state;
    char thousand[1001];
    memset(thousand, 'a', 1000);
    thousand[1000] = '\0';
    expect_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_hash("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect_hash(thousand, 1000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* As it grows, it is what it would be at once, and looking at it changes nothing. */
static void test_sha256_grows(void **state)
{
    (void)state;
    uint8_t text[200];
    struct rx_hashing growing;
    memset(text, 'x', sizeof text);
    assert_int_equal(rx_hashing_begin(&growing), RX_OK);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint8_t now[RX_HASH_SIZE], again[RX_HASH_SIZE], right[RX_HASH_SIZE];
        const struct rx_bytes all = {text, n};
        assert_int_equal(rx_hash(&all, 1, right), RX_OK);
        assert_int_equal(rx_hashing_now(&growing, now), RX_OK);
        assert_int_equal(rx_hashing_now(&growing, again), RX_OK);
        assert_memory_equal(now, right, sizeof right);
        assert_memory_equal(again, right, sizeof right);
        if (n < sizeof text)
            assert_int_equal(rx_hashing_add(&growing, text + n, 1), RX_OK);
    }
}

/* ---- HKDF ------------------------------------------------------------------------------- */

#define BYTES_00_4F                                                                                \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d" \
    "2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f"
#define BYTES_60_AF                                                                                \
    "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d" \
    "8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
#define BYTES_B0_FF                                                                                \
    "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdd" \
    "dedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"

/* RFC 5869, appendix A.1 to A.3: those with SHA-256. */
static const struct {
    const char *ikm, *salt, *info, *prk, *okm;
} rfc5869[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
     "f0f1f2f3f4f5f6f7f8f9", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {BYTES_00_4F, BYTES_60_AF, BYTES_B0_FF,
     "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e59"
     "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

static void test_rfc5869(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rfc5869 / sizeof rfc5869[0]; i++) {
        uint8_t ikm[80];
        uint8_t salt[80];
        uint8_t info[80];
        uint8_t prk[RX_HASH_SIZE];
        uint8_t right[82];
        uint8_t out[82];
        size_t ikm_len = hex_bytes(rfc5869[i].ikm, ikm, sizeof ikm);
        size_t salt_len = hex_bytes(rfc5869[i].salt, salt, sizeof salt);
        size_t info_len = hex_bytes(rfc5869[i].info, info, sizeof info);
        assert_int_equal(rx_hkdf_extract(salt, salt_len, ikm, ikm_len, prk), RX_OK);
        (void)hex_bytes(rfc5869[i].prk, right, sizeof right);
        assert_memory_equal(prk, right, sizeof prk);
        size_t n = hex_bytes(rfc5869[i].okm, right, sizeof right);
        const struct rx_bytes piece = {info, info_len};
        assert_int_equal(rx_hkdf_expand(prk, sizeof prk, &piece, 1, out, n), RX_OK);
        assert_memory_equal(out, right, n);
    }
}

static void expand(uint8_t *out, size_t n)
{
    const struct rx_bytes info = RX_LITERAL("info");
    assert_int_equal(rx_hkdf_expand((const uint8_t *)"prk", 3, &info, 1, out, n), RX_OK);
}

/* A shorter output is the beginning of a longer one, and nothing is written behind it. */
static void test_expand_lengths(void **state)
{
    (void)state;
    static uint8_t longest[LONGEST];
    expand(longest, sizeof longest);
    size_t lengths = 0;
    for (size_t n = 0; n <= LONGEST; n += n < 200 || n > LONGEST - 70 ? 1 : 61) {
        uint8_t *out = guard_copy(longest, n);
        memset(out, 0xa5, n);
        expand(out, n);
        if (n > 0)
            assert_memory_equal(out, longest, n);
        lengths++;
    }
    print_message("%zu lengths\n", lengths);
}

/* The last block is numbered 255: T(255) = HMAC(prk, T(254) || info || ff). */
static void test_expand_longest(void **state)
{
    (void)state;
    static uint8_t longest[LONGEST];
    expand(longest, sizeof longest);
    const uint8_t *block = longest + LONGEST - RX_HASH_SIZE;
    const struct rx_bytes pieces[] = {
        {block - RX_HASH_SIZE, RX_HASH_SIZE}, RX_LITERAL("info"), {"\xff", 1}};
    uint8_t last[RX_HASH_SIZE];
    assert_int_equal(rx_hmac((const uint8_t *)"prk", 3, pieces, 3, last), RX_OK);
    assert_memory_equal(block, last, sizeof last);
}

static void test_expand_limits(void **state)
{
    (void)state;
    static uint8_t out[LONGEST + 1];
    static uint8_t same[64];
    static const char letters[] = "infoinfo";
    struct rx_bytes info[9];
    for (size_t i = 0; i < 9; i++)
        info[i] = (struct rx_bytes){&letters[i % 8], 1};
    memset(out, 0xa5, sizeof out);
    assert_int_equal(rx_hkdf_expand(no_bytes, 1, info, 1, out, sizeof out), RX_E_MISUSE);
    assert_true(sodium_is_zero(out, sizeof out));
    memset(out, 0xa5, sizeof out);
    assert_int_equal(rx_hkdf_expand(no_bytes, 1, info, 9, out, 64), RX_E_MISUSE);
    assert_true(sodium_is_zero(out, 64));
    assert_int_equal(out[64], 0xa5);

    const struct rx_bytes whole = RX_LITERAL("infoinfo");
    assert_int_equal(rx_hkdf_expand(no_bytes, 1, info, 8, out, 64), RX_OK);
    assert_int_equal(rx_hkdf_expand(no_bytes, 1, &whole, 1, same, 64), RX_OK);
    assert_memory_equal(out, same, 64);
    assert_int_equal(rx_hkdf_expand(no_bytes, 1, NULL, 0, out, 64), RX_OK);
}

/* Several outputs of one key, in any order, are what each would be by itself; and it is gone when
 * it was wiped. */
static void test_outputs_of_one_key(void **state)
{
    (void)state;
    struct rx_hkdf k;
    const struct rx_bytes labels[] = {RX_LITERAL("info"), RX_LITERAL("other"), RX_LITERAL("info")};
    assert_int_equal(rx_hkdf_begin(&k, (const uint8_t *)"prk", 3), RX_OK);
    for (size_t i = 0; i < 3; i++) {
        uint8_t one[80], alone[80];
        assert_int_equal(rx_hkdf_output(&k, &labels[i], 1, one, sizeof one), RX_OK);
        assert_int_equal(
            rx_hkdf_expand((const uint8_t *)"prk", 3, &labels[i], 1, alone, sizeof alone), RX_OK);
        assert_memory_equal(one, alone, sizeof alone);
    }
    rx_hkdf_wipe(&k);
    assert_true(sodium_is_zero((const uint8_t *)&k, sizeof k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4231),        cmocka_unit_test(test_hmac_pieces),
        cmocka_unit_test(test_hmac_empty),     cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_grows),   cmocka_unit_test(test_outputs_of_one_key),
        cmocka_unit_test(test_rfc5869),        cmocka_unit_test(test_expand_lengths),
        cmocka_unit_test(test_expand_longest), cmocka_unit_test(test_expand_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
