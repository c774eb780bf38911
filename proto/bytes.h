/*
 * Big-endian integers in byte buffers. Every integer on the wire is unsigned and big-endian
 * (docs/PROTOCOL.md, "Conventions"); these are the only places that know it.
 */
#ifndef REXEC_PROTO_BYTES_H
#define REXEC_PROTO_BYTES_H

#include <stdint.h>

static inline void rx_put16(uint8_t p[static 2], uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void rx_put32(uint8_t p[static 4], uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void rx_put64(uint8_t p[static 8], uint64_t v)
{
    rx_put32(p, (uint32_t)(v >> 32));
    rx_put32(p + 4, (uint32_t)v);
}

static inline uint16_t rx_get16(const uint8_t p[static 2])
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t rx_get32(const uint8_t p[static 4])
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t rx_get64(const uint8_t p[static 8])
{
    return (uint64_t)rx_get32(p) << 32 | rx_get32(p + 4);
}

#endif
