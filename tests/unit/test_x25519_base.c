/* auth/x25519_base.c: the same as libsodium's own way, for whatever secret and point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/x25519_base.h"
#include "tests/duel/session.h"
#include "tests/unit/hex.h"
#include "tests/unit/scale.h"

static void expect_same(const uint8_t secret[static 32])
{
    uint8_t ours[32], right[32], before[32];
    memcpy(before, secret, sizeof before);
    assert_int_equal(crypto_scalarmult_base(right, secret), 0);
    assert_int_equal(rx_x25519_base(secret, ours), RX_OK);
    assert_memory_equal(ours, right, 32);
    assert_memory_equal(secret, before, 32);
}

static void test_any_secret(void **state)
{
    (void)state;
    struct dice d = {.state = 1};
    for (unsigned i = 0; i < SCALED(5000); i++) {
        uint8_t secret[32];
        dice_fill(&d, secret, sizeof secret);
        expect_same(secret);
    }
}

/* Each bit alone, and all but that; with them what clamping makes of nothing and of everything. */
static void test_each_bit(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit <= 256; bit++) {
        uint8_t secret[33] = {0}; /* the last is nobody's */
        secret[bit / 8] = (uint8_t)(1 << bit % 8);
        expect_same(secret);
        for (size_t i = 0; i < 32; i++)
            secret[i] = (uint8_t)~secret[i];
        expect_same(secret);
    }
}

/* A public value may be where a secret was. */
static void test_in_place(void **state)
{
    (void)state;
    uint8_t bytes[32] = {1, 2, 3}, right[32];
    assert_int_equal(crypto_scalarmult_base(right, bytes), 0);
    assert_int_equal(rx_x25519_base(bytes, bytes), RX_OK);
    assert_memory_equal(bytes, right, 32);
}

#ifdef __SIZEOF_INT128__
/* ---- one point -------------------------------------------------------------------------- */

static void expect_u(const char *point, const char *u)
{
    uint8_t bytes[32], ours[32], right[32];
    assert_int_equal(hex_bytes(point, bytes, 32), 32);
    assert_int_equal(hex_bytes(u, right, 32), 32);
    for (int sign = 0; sign <= 1; sign++) {
        bytes[31] = (uint8_t)((bytes[31] & 0x7f) | sign << 7);
        rx_edwards_to_u(bytes, ours);
        assert_memory_equal(ours, right, 32);
    }
}

/* Where the numbers are near 0, p or a limb's end; the right ones were computed with Python's. */
static void test_points(void **state)
{
    (void)state;
    static const char *const points[][2] = {
        {"0000000000000000000000000000000000000000000000000000000000000000",
         "0100000000000000000000000000000000000000000000000000000000000000"},
        {"0100000000000000000000000000000000000000000000000000000000000000",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"0200000000000000000000000000000000000000000000000000000000000000",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"0300000000000000000000000000000000000000000000000000000000000000",
         "ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"1300000000000000000000000000000000000000000000000000000000000000",
         "da388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee3388ee338"},
        {"1200000000000000000000000000000000000000000000000000000000000000",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"1400000000000000000000000000000000000000000000000000000000000000",
         "c46b28afa1bc86f21aca6b28afa1bc86f21aca6b28afa1bc86f21aca6b28af21"},
        {"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "a4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2a"},
        {"daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "cacccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc0c"},
        {"dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "2794d7505e43790de53594d7505e43790de53594d7505e43790de53594d7505e"},
        {"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0100000000000000000000000000000000000000000000000000000000000000"},
        {"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "0000000000000000000000000000000000000000000000000000000000000000"},
        {"efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "eaffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"0000000000000800000000000000000000000000000000000000000000000000",
         "da388ee3388e1bc7711cc771dc388ee3388ee3c6711cc7711c378ee3388ee338"},
        {"0000000000000000000000004000000000000000000000000000000000000000",
         "d2822dd8822d5ab0055bb0050bb6600bb6608b166cc1166cc1822dd8822dd822"},
        {"0000000000000000000000000000000000000002000000000000000000000000",
         "fd6edd22296559ea79b36c10142563908ac0e907deba4552cab2d4f366d92028"},
        {"0000000000000000000000000000000000000000000000000010000000000000",
         "b91e9d2994b6446bbba5b79dbe0419a4abbb5d4591522dfe1953ecd19942694b"},
        {"0000000000000000000000000000000000000000000000000000000000000040",
         "9296969696969696969696969696969696969696969696969696969696969616"},
        {"ffffffffffff0700000000000000000000000000000000000000000000000000",
         "237662277662a7d8899dd8899d6227766227768a9dd8899dd829766227766227"},
        {"ffffffffffffffffffffffff3f00000000000000000000000000000000000000",
         "717c606487c2763d29730c70f08f0f8cec50d8ae27658e010efef181911d0a5b"},
        {"ffffffffffffffffffffffffffffffffffffff01000000000000000000000000",
         "b89790d0d21e1e8876f54a937834986f20dde5ca9790d0d21e1e8876f54a9378"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffff0f000000000000",
         "89c242b75b4a3ce7d98cab2376492369abdaa6a938fa4c67c2c41416badd5262"},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         "3f4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b"},
        {"f7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff3f",
         "0300000000000000000000000000000000000000000000000000000000000000"},
        {"5555555555555555555555555555555555555555555555555555555555555555",
         "dff0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f070"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0a",
         "1700000000000000000000000000000000000000000000000000000000000000"},
        /* u: p's limbs and others at their end, with one that differs. */
        {"13c7711cc771e4388ee3388e23c7711cc7711c398ee3388ee3c8711cc7711c47",
         "edfffffffffff7ffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"f78a8245c1a2905bc62de396f1e46ff237f99bbc17de0bef85573bab9dd5ce6a",
         "edffffffffff070000000000c0ffffffffffffffffffffffffffffffffffff7f"},
        {"676db7f4b6d39720837475b7ab2852aac53f638a3d3a53286de919f058547111",
         "fffffffffffff7ffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"03096b7fa5f2bfa0aef1259f9f4698f62a3f798634e11cbab0ddcfdfe293255a",
         "ffffffffffff070000000000c0ffffffffffffffffffffffffffffffffffff7f"},
        {"1b7dd2277dd2a54ffaa44ffaf4499ff4499f74e9933ee9933e7dd2277dd2275d",
         "edffffffffffffffffffffffbfffffffffffffffffffffffffffffffffffff7f"},
        {"0b74ec82ed9b2079dd3b7923978b9ebd078147d489e1b6fc6e5b4f5388b0661c",
         "edffffffffffffffffffffff3f000000000000feffffffffffffffffffffff7f"},
        {"8d8c412a02a71f78eb164929cb52cf9b6583a0944132f6c0d4310ba199ba0138",
         "ffffffffffffffffffffffffbfffffffffffffffffffffffffffffffffffff7f"},
        {"00061d4dab5b5ef54e181ae1f2818fac4ccecc83477b295f286f3672af9cd171",
         "ffffffffffffffffffffffff3f000000000000feffffffffffffffffffffff7f"},
        {"f09022ddd69aa615864c93efebda9c6f753f16f82145baad354d2b0c9926df57",
         "edfffffffffffffffffffffffffffffffffffffdffffffffffffffffffffff7f"},
        {"bec339433dc2b08a0718ff65318ce5a7a3bc52a9b4fbc121acd0268d03d65729",
         "edffffffffffffffffffffffffffffffffffff010000000000f0ffffffffff7f"},
        {"04b6600bb660c1166cc1166c5190120e1705a90e49d4bdea90a87bd52189ba37",
         "fffffffffffffffffffffffffffffffffffffffdffffffffffffffffffffff7f"},
        {"3ccaf76c4231e21720b3703fcd20292556d38cafffe776d9e0b4dda4cfb25836",
         "ffffffffffffffffffffffffffffffffffffff010000000000f0ffffffffff7f"},
        {"34e162d66b49bb94445a486241fbe65b5444a2ba6eadd201e6ac132e66bd9634",
         "edffffffffffffffffffffffffffffffffffffffffffffffffefffffffffff7f"},
        {"9a518478975487421333109c1c2e266837c7f36a06b70f7a6d7b81ae4e314b78",
         "edffffffffffffffffffffffffffffffffffffffffffffffff0f000000000000"},
        {"d5388ee3388ecb682ea3b98c26b29bc86e22bb83f80ee23b88bf80fe02fa0b68",
         "ffffffffffffffffffffffffffffffffffffffffffffffffffefffffffffff7f"},
        {"feffffffffff4f5e43790de53594d7505e43790de53594d7505e43790de53514",
         "ffffffffffffffffffffffffffffffffffffffffffffffffff0f000000000000"},
    };
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        expect_u(points[i][0], points[i][1]);
}
#endif

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
#ifdef __SIZEOF_INT128__
        cmocka_unit_test(test_points),
#endif
        cmocka_unit_test(test_any_secret),
        cmocka_unit_test(test_each_bit),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
