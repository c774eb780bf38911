#include "tests/duel/toy.h"

#include <string.h>

#include "proto/bytes.h"

/* FNV-1a, over several pieces. */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void make_tag(uint64_t counter, const uint8_t length[static RX_RECORD_LENGTH],
                     const uint8_t *payload, size_t n, uint8_t *tag, size_t tag_size)
{
    uint64_t h = hash(UINT64_C(0xcbf29ce484222325) + counter, length, RX_RECORD_LENGTH);
    h = hash(h, payload, n);
    for (size_t i = 0; i < tag_size; i++) {
        h = h * UINT64_C(0x9e3779b97f4a7c15) + i;
        tag[i] = (uint8_t)(h >> 56);
    }
}

static enum rx_error count(struct toy_seal *toy)
{
    toy->counter++;
    return toy->fail_at != 0 && toy->counter >= toy->fail_at ? toy->error : RX_OK;
}

static void mask(const struct toy_seal *toy, const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t key = toy->plain ? 0 : (uint8_t)(0x5a + toy->counter);
    if (key == 0 && in == out)
        return;
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] ^ key;
}

static enum rx_error seal_with(struct toy_seal *toy, const uint8_t *length, const uint8_t *payload,
                               size_t n, uint8_t *out, size_t tag_size)
{
    enum rx_error error = count(toy);
    if (error != RX_OK)
        return error;
    memset(out + n, 0, tag_size);
    if (!toy->plain)
        make_tag(toy->counter, length, payload, n, out + n, tag_size);
    mask(toy, payload, n, out);
    return RX_OK;
}

static enum rx_error open_with(struct toy_seal *toy, const uint8_t *length, uint8_t *sealed,
                               size_t n, size_t tag_size)
{
    enum rx_error error = count(toy);
    if (error != RX_OK)
        return error;
    n -= tag_size;
    mask(toy, sealed, n, sealed);
    if (toy->plain)
        return RX_OK;
    uint8_t tag[RX_TAG_MAX];
    make_tag(toy->counter, length, sealed, n, tag, tag_size);
    return memcmp(tag, sealed + n, tag_size) == 0 ? RX_OK : RX_E_BAD_SEAL;
}

#define TOY_OPS(name, size)                                                                        \
    static enum rx_error name##_seal(void *context, const uint8_t length[static RX_RECORD_LENGTH], \
                                     const uint8_t *payload, size_t n, uint8_t *out)               \
    {                                                                                              \
        return seal_with(context, length, payload, n, out, (size));                                \
    }                                                                                              \
    static enum rx_error name##_open(void *context, const uint8_t length[static RX_RECORD_LENGTH], \
                                     uint8_t *sealed, size_t n)                                    \
    {                                                                                              \
        return open_with(context, length, sealed, n, (size));                                      \
    }                                                                                              \
    static const struct rx_seal_ops name##_ops = {                                                 \
        .tag_size = (size), .seal = name##_seal, .open = name##_open}

TOY_OPS(usual, TOY_TAG);
TOY_OPS(longest, RX_TAG_MAX);
TOY_OPS(bare, 0);

struct rx_seal toy_seal(struct toy_seal *toy)
{
    return (struct rx_seal){&usual_ops, toy};
}

struct rx_seal toy_seal_long(struct toy_seal *toy)
{
    return (struct rx_seal){&longest_ops, toy};
}

struct rx_seal toy_seal_bare(struct toy_seal *toy)
{
    return (struct rx_seal){&bare_ops, toy};
}

/* ---- requests --------------------------------------------------------------------------- */

static enum rx_error toy_sign(void *context, const uint8_t *bytes, size_t n,
                              uint8_t mac[static RX_MAC_SIZE])
{
    struct toy_mac *toy = context;
    if (++toy->calls >= toy->fail_at && toy->fail_at != 0)
        return RX_E_CRYPTO_FAILED;
    uint8_t length[RX_RECORD_LENGTH] = {0};
    make_tag(0, length, bytes, n, mac, RX_MAC_SIZE);
    return RX_OK;
}

static enum rx_error toy_verify(void *context, const uint8_t *bytes, size_t n,
                                const uint8_t mac[static RX_MAC_SIZE])
{
    uint8_t expected[RX_MAC_SIZE];
    enum rx_error error = toy_sign(context, bytes, n, expected);
    if (error != RX_OK)
        return error;
    uint8_t different = 0; /* not memcmp: a fuzzer looks into that, and learns what it should be */
    for (size_t i = 0; i < sizeof expected; i++)
        different |= mac[i] ^ expected[i];
    return different == 0 ? RX_OK : RX_E_REQUEST_REJECTED;
}

struct rx_mac toy_mac(struct toy_mac *toy)
{
    return (struct rx_mac){toy_sign, toy_verify, toy};
}
