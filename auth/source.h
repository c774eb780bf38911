/*
 * Where clients come from: addresses and ranges of them, as a grant's `from` names them.
 */
#ifndef REXEC_AUTH_SOURCE_H
#define REXEC_AUTH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RX_SOURCE_TEXT_MAX = 52 }; /* longest that is printed, with the final NUL */

enum rx_family {
    RX_FAMILY_NONE,
    RX_FAMILY_UNIX, /* no address */
    RX_FAMILY_IPV4, /* 4 bytes of address */
    RX_FAMILY_IPV6, /* 16 bytes */
};

/* An address in network order, and how many of its leading bits count. Bytes beyond it are zero. */
struct rx_source {
    enum rx_family family;
    uint8_t address[16];
    uint8_t bits; /* of a peer: 32 or 128 */
};

/*
 * Parses n bytes of `ADDRESS`, `ADDRESS/BITS` or `unix`: NULL, or why they are refused (static, for
 * people). Numbers only, no names and no zones. An IPv4 address mapped into IPv6 becomes the IPv4
 * one.
 */
const char *rx_source_parse(const char *text, size_t n, struct rx_source *source);

/* Prints it as rx_source_parse reads it, without BITS where all count, NUL-terminated. Its length,
 * or 0 (and an empty string) for what has no such form. */
size_t rx_source_print(const struct rx_source *source, char out[static RX_SOURCE_TEXT_MAX]);

/* The same place; an IPv4 address mapped into IPv6 (::ffff:a.b.c.d) as the IPv4 address. */
struct rx_source rx_source_unmapped(const struct rx_source *source);

/* Whether the peer, unmapped, is within the range (of rx_source_parse). No range holds an unknown
 * family. Takes the same path whatever the range. */
bool rx_source_covers(const struct rx_source *range, const struct rx_source *peer);

#endif
