/*
 * Known answers as they are printed in RFCs.
 */
#ifndef REXEC_TESTS_UNIT_HEX_H
#define REXEC_TESTS_UNIT_HEX_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes from hex digits, with spaces between; their number. Aborts if it is not that or too long.
 */
static inline size_t hex_bytes(const char *text, uint8_t *out, size_t cap)
{
    size_t n = 0;
    const char *end = NULL;
    if (sodium_hex2bin(out, cap, text, strlen(text), " \n", &n, &end) != 0 || *end != '\0')
        abort();
    return n;
}

#endif
