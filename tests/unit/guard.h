/*
 * Inputs that end where the memory ends: a read of one byte too many is a fault at once, with or
 * without a sanitizer.
 */
#ifndef REXEC_TESTS_UNIT_GUARD_H
#define REXEC_TESTS_UNIT_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_ROOM = 1024 * 1024 };

/* A copy of n bytes, at most GUARD_ROOM, that lives until the next call. */
static inline uint8_t *guard_copy(const void *bytes, size_t n)
{
    static uint8_t *end;
    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *room = mmap(NULL, GUARD_ROOM + page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED || mprotect(room + GUARD_ROOM, page, PROT_NONE) != 0)
            abort();
        end = room + GUARD_ROOM;
    }
    if (n > GUARD_ROOM)
        abort();
    if (n > 0)
        memcpy(end - n, bytes, n);
    return end - n;
}

#endif
