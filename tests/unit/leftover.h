/*
 * Looks for secrets that should be gone, everywhere in this process's memory: stack, heap, static
 * data. Not under AddressSanitizer, whose own memory is too much to walk through.
 */
#ifndef REXEC_TESTS_UNIT_LEFTOVER_H
#define REXEC_TESTS_UNIT_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Part of a secret, held inverted: else the search would find what it searches for. */
struct leftover {
    uint8_t inverted[16];
};

/* Remembers the 16 bytes of a secret of 32 that clamping (RFC 7748) leaves alone. */
static inline struct leftover leftover_of(const uint8_t secret[static 32])
{
    struct leftover l = {{0}};
    for (size_t i = 0; i < sizeof l.inverted; i++)
        l.inverted[i] = (uint8_t)~secret[8 + i];
    return l;
}

static inline bool leftover_at(const struct leftover *l, const volatile uint8_t *p)
{
    for (size_t i = 0; i < sizeof l->inverted; i++) {
        if ((p[i] ^ l->inverted[i]) != 0xff)
            return false;
    }
    return true;
}

static inline size_t leftover_between(const struct leftover *l, uintptr_t from, uintptr_t to)
{
    size_t found = 0;
    for (uintptr_t at = from; at + sizeof l->inverted <= to; at++) {
        const volatile uint8_t *p =
            (const volatile uint8_t *)at; // NOLINT(performance-no-int-to-ptr)
        found += leftover_at(l, p);
    }
    return found;
}

/* How many copies there are. */
static inline size_t leftover_count(const struct leftover *l)
{
    size_t found = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL)
        abort();
    while (fgets(line, sizeof line, maps) != NULL) {
        char *rest;
        uintptr_t from = strtoull(line, &rest, 16);
        uintptr_t to = strtoull(rest + 1, &rest, 16);
        if (strncmp(rest, " rw", 3) == 0 && strstr(rest, "[vvar]") == NULL)
            found += leftover_between(l, from, to);
    }
    (void)fclose(maps);
    return found;
}

#endif
