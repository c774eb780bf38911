#include "auth/source.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"

enum {
    IPV4_BITS = 32,
    IPV6_BITS = 128,
    MAPPED_BITS = 96, /* of ::ffff:0:0 */
};

static const char not_address[] = "an address is IPv4 or IPv6 in numbers, ADDRESS or ADDRESS/BITS, "
                                  "or unix; commas between and no spaces";
static const char wrong_bits[] = "BITS is 0 to 32 for IPv4, 0 to 128 for IPv6";
static const char host_bits[] =
    "the address has bits set beyond its /BITS: write the network's own "
    "address, or leave /BITS out";

/* Reads a number of 1 to 3 digits without leading zeros, from 0 to max. */
static bool read_bits(const char *text, size_t n, unsigned max, uint8_t *bits)
{
    if (n < 1 || n > 3 || (n > 1 && text[0] == '0'))
        return false;
    unsigned number = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *bits = (uint8_t)number;
    return number <= max;
}

static bool read_address(const char *text, size_t n, struct rx_source *source)
{
    char address[INET6_ADDRSTRLEN];
    if (n >= sizeof address || memchr(text, '\0', n) != NULL)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';

    if (inet_pton(AF_INET, address, source->address) == 1) {
        source->family = RX_FAMILY_IPV4;
        source->bits = IPV4_BITS;
        return true;
    }
    if (inet_pton(AF_INET6, address, source->address) == 1) {
        source->family = RX_FAMILY_IPV6;
        source->bits = IPV6_BITS;
        return true;
    }
    return false;
}

/* Two halves of an address. */
enum { HALVES = 2, HALF_BITS = 64 };

/* Which bits of one half are among the address's first `bits`, 0 to 128. Without a branch on them.
 */
static uint64_t half_mask(unsigned bits, unsigned half)
{
    unsigned beyond = bits > HALF_BITS;
    unsigned n = half == 0 ? bits * (1 - beyond) + HALF_BITS * beyond : (bits - HALF_BITS) * beyond;
    return ~(UINT64_MAX >> n / 2 >> (n - n / 2)); /* no shift by 64, which is undefined */
}

static bool has_host_bits(const struct rx_source *source)
{
    uint64_t set = 0;
    for (unsigned i = 0; i < HALVES; i++)
        set |= rx_get64(source->address + 8 * i) & ~half_mask(source->bits, i);
    return set != 0;
}

const char *rx_source_parse(const char *text, size_t n, struct rx_source *source)
{
    memset(source, 0, sizeof *source);
    if (n == 4 && memcmp(text, "unix", 4) == 0) {
        source->family = RX_FAMILY_UNIX;
        return NULL;
    }

    const char *slash = n > 0 ? memchr(text, '/', n) : NULL;
    size_t address_len = slash != NULL ? (size_t)(slash - text) : n;
    if (address_len == 0 || !read_address(text, address_len, source))
        return not_address;
    if (slash != NULL && !read_bits(slash + 1, n - address_len - 1, source->bits, &source->bits))
        return wrong_bits;
    if (has_host_bits(source))
        return host_bits;
    *source = rx_source_unmapped(source);
    return NULL;
}

size_t rx_source_print(const struct rx_source *source, char out[static RX_SOURCE_TEXT_MAX])
{
    out[0] = '\0';
    if (source->family == RX_FAMILY_UNIX) {
        memcpy(out, "unix", sizeof "unix");
        return strlen(out);
    }
    bool ipv4 = source->family == RX_FAMILY_IPV4;
    unsigned all = ipv4 ? IPV4_BITS : IPV6_BITS;
    if ((!ipv4 && source->family != RX_FAMILY_IPV6) || source->bits > all)
        return 0;

    char address[INET6_ADDRSTRLEN];
    if (inet_ntop(ipv4 ? AF_INET : AF_INET6, source->address, address, sizeof address) == NULL)
        return 0;
    int length = source->bits == all
                     ? snprintf(out, RX_SOURCE_TEXT_MAX, "%s", address)
                     : snprintf(out, RX_SOURCE_TEXT_MAX, "%s/%u", address, source->bits);
    return (size_t)length;
}

struct rx_source rx_source_unmapped(const struct rx_source *source)
{
    static const uint8_t prefix[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};
    if (source->family != RX_FAMILY_IPV6 || source->bits < MAPPED_BITS ||
        memcmp(source->address, prefix, sizeof prefix) != 0)
        return *source;

    struct rx_source plain = {
        .family = RX_FAMILY_IPV4,
        .bits = (uint8_t)(source->bits - MAPPED_BITS),
    };
    memcpy(plain.address, source->address + sizeof prefix, 4);
    return plain;
}

bool rx_source_covers(const struct rx_source *range, const struct rx_source *peer)
{
    uint64_t differ = (uint64_t)range->family ^ (uint64_t)peer->family;
    for (unsigned i = 0; i < HALVES; i++)
        differ |= (rx_get64(range->address + 8 * i) ^ rx_get64(peer->address + 8 * i)) &
                  half_mask(range->bits, i);
    return (differ == 0) & (peer->family != RX_FAMILY_NONE);
}
