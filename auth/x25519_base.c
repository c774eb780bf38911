#include "auth/x25519_base.h"

#include <sodium.h>
#include <string.h>

/* Used by libsodium, at most: the digits of the secret, and what becomes of them. */
enum { STACK_USED = 8192 };

#ifdef __SIZEOF_INT128__

__extension__ typedef unsigned __int128 wide;

enum { LIMBS = 5, LIMB_BITS = 51 };

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

/* A number modulo p = 2^255 - 19, in digits of 51 bits with some room above. */
struct field {
    uint64_t limb[LIMBS];
};

static uint64_t load64(const uint8_t *p)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

static void store64(uint8_t *p, uint64_t n)
{
    for (int i = 0; i < 8; i++, n >>= 8)
        p[i] = (uint8_t)n;
}

/* Of 32 bytes, the first the lowest, without the highest bit. */
static struct field field_load(const uint8_t bytes[static RX_KEY_SIZE])
{
    return (struct field){{load64(bytes) & LIMB_MASK, load64(bytes + 6) >> 3 & LIMB_MASK,
                           load64(bytes + 12) >> 6 & LIMB_MASK, load64(bytes + 19) >> 1 & LIMB_MASK,
                           load64(bytes + 24) >> 12 & LIMB_MASK}};
}

/* The one name of the number that is below p; of what reduce gives, which is below 2p. */
static void field_store(struct field a, uint8_t bytes[static RX_KEY_SIZE])
{
    /* Whether it is p or more is what adding 19 carries out of 255 bits. */
    uint64_t over = a.limb[0] + 19;
    for (int i = 1; i < LIMBS; i++)
        over = a.limb[i] + (over >> LIMB_BITS);
    a.limb[0] += 19 * (over >> LIMB_BITS);
    for (int i = 0; i < LIMBS - 1; i++) {
        a.limb[i + 1] += a.limb[i] >> LIMB_BITS;
        a.limb[i] &= LIMB_MASK;
    }
    a.limb[LIMBS - 1] &= LIMB_MASK;
    store64(bytes, a.limb[0] | a.limb[1] << 51);
    store64(bytes + 8, a.limb[1] >> 13 | a.limb[2] << 38);
    store64(bytes + 16, a.limb[2] >> 26 | a.limb[3] << 25);
    store64(bytes + 24, a.limb[3] >> 39 | a.limb[4] << 12);
}

/* Each sum into the next limb, what is above the last, 19 times, into the first, and from there
 * once more into the second: limbs below 2^51, but the second some more than that. */
static struct field reduce(wide s0, wide s1, wide s2, wide s3, wide s4)
{
    s1 += s0 >> LIMB_BITS;
    s2 += s1 >> LIMB_BITS;
    s3 += s2 >> LIMB_BITS;
    s4 += s3 >> LIMB_BITS;
    wide first = ((uint64_t)s0 & LIMB_MASK) + 19 * (s4 >> LIMB_BITS);
    return (struct field){
        {(uint64_t)first & LIMB_MASK, ((uint64_t)s1 & LIMB_MASK) + (uint64_t)(first >> LIMB_BITS),
         (uint64_t)s2 & LIMB_MASK, (uint64_t)s3 & LIMB_MASK, (uint64_t)s4 & LIMB_MASK}};
}

/* Of limbs below 2^54. What would come above the fifth limb is 19 times as much below. */
static struct field multiply(const struct field *x, const struct field *y)
{
    const uint64_t *a = x->limb, *b = y->limb;
    const uint64_t c1 = 19 * b[1], c2 = 19 * b[2], c3 = 19 * b[3], c4 = 19 * b[4];
    return reduce(
        (wide)a[0] * b[0] + (wide)a[1] * c4 + (wide)a[2] * c3 + (wide)a[3] * c2 + (wide)a[4] * c1,
        (wide)a[0] * b[1] + (wide)a[1] * b[0] + (wide)a[2] * c4 + (wide)a[3] * c3 + (wide)a[4] * c2,
        (wide)a[0] * b[2] + (wide)a[1] * b[1] + (wide)a[2] * b[0] + (wide)a[3] * c4 +
            (wide)a[4] * c3,
        (wide)a[0] * b[3] + (wide)a[1] * b[2] + (wide)a[2] * b[1] + (wide)a[3] * b[0] +
            (wide)a[4] * c4,
        (wide)a[0] * b[4] + (wide)a[1] * b[3] + (wide)a[2] * b[2] + (wide)a[3] * b[1] +
            (wide)a[4] * b[0]);
}

/* To the power of 2^times. */
static struct field square(struct field x, int times)
{
    while (times-- > 0) {
        const uint64_t *a = x.limb;
        const uint64_t twice0 = 2 * a[0], twice1 = 2 * a[1];
        const uint64_t c3 = 19 * a[3], c4 = 19 * a[4];
        x = reduce((wide)a[0] * a[0] + 2 * ((wide)a[1] * c4 + (wide)a[2] * c3),
                   (wide)twice0 * a[1] + 2 * (wide)a[2] * c4 + (wide)a[3] * c3,
                   (wide)twice0 * a[2] + (wide)a[1] * a[1] + 2 * (wide)a[3] * c4,
                   (wide)twice0 * a[3] + (wide)twice1 * a[2] + (wide)a[4] * c4,
                   (wide)twice0 * a[4] + (wide)twice1 * a[3] + (wide)a[2] * a[2]);
    }
    return x;
}

/* To the power of p - 2 = 2^255 - 21 (Fermat): ones of the exponent in runs, each run twice as long
 * as the one that it is made of. 0 for 0. */
static struct field invert(const struct field *a)
{
    struct field two = square(*a, 1), eight = square(two, 2);
    struct field nine = multiply(&eight, a), eleven = multiply(&nine, &two);
    struct field at = square(eleven, 1);
    struct field run5 = multiply(&at, &nine); /* 2^5 - 1: a run of 5 ones */
    at = square(run5, 5);
    struct field run10 = multiply(&at, &run5);
    at = square(run10, 10);
    struct field run20 = multiply(&at, &run10);
    at = square(run20, 20);
    struct field run40 = multiply(&at, &run20);
    at = square(run40, 10);
    struct field run50 = multiply(&at, &run10);
    at = square(run50, 50);
    struct field run100 = multiply(&at, &run50);
    at = square(run100, 100);
    struct field run200 = multiply(&at, &run100);
    at = square(run200, 50);
    struct field run250 = multiply(&at, &run50);
    at = square(run250, 5);
    return multiply(&at, &eleven);
}

void rx_edwards_to_u(const uint8_t point[static RX_KEY_SIZE], uint8_t u[static RX_KEY_SIZE])
{
    struct field y = field_load(point), above = y, below;
    above.limb[0] += 1;
    /* 2p + 1 - y, so that no limb is negative. */
    for (int i = 0; i < LIMBS; i++)
        below.limb[i] = 2 * LIMB_MASK - y.limb[i];
    below.limb[0] -= 2 * 18 - 1;
    below = invert(&below);
    field_store(multiply(&above, &below), u);
}

/* On edwards25519, and carried over. */
static int multiply_base(const uint8_t secret[static RX_KEY_SIZE],
                         uint8_t public[static RX_KEY_SIZE])
{
    uint8_t point[RX_KEY_SIZE], clamped[RX_KEY_SIZE];
    if (sodium_runtime_has_avx() == 0)
        return crypto_scalarmult_base(public, secret);
    memcpy(clamped, secret, sizeof clamped);
    /* As it would be there; but a secret of nothing but zeros would be refused before. */
    clamped[0] &= 0xf8;
    clamped[31] = (clamped[31] & 0x7f) | 0x40;
    int failed = crypto_scalarmult_ed25519_base(point, clamped);
    sodium_memzero(clamped, sizeof clamped);
    if (failed == 0)
        rx_edwards_to_u(point, public);
    return failed;
}

#else /* without products of 128 bits, libsodium's own way, which is as right */

static int multiply_base(const uint8_t secret[static RX_KEY_SIZE],
                         uint8_t public[static RX_KEY_SIZE])
{
    return crypto_scalarmult_base(public, secret);
}

#endif

enum rx_error rx_x25519_base(const uint8_t secret[static RX_KEY_SIZE],
                             uint8_t public[static RX_KEY_SIZE])
{
    int failed = multiply_base(secret, public);
    sodium_stackzero(STACK_USED);
    return failed == 0 ? RX_OK : RX_E_CRYPTO_FAILED;
}
