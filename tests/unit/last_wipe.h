/*
 * Stands before libsodium's sodium_memzero, and notes what was wiped last. For one file of a test
 * program.
 */
#ifndef REXEC_TESTS_UNIT_LAST_WIPE_H
#define REXEC_TESTS_UNIT_LAST_WIPE_H

#include <sodium.h>
#include <stddef.h>
#include <string.h>

static const void *last_wiped;
static size_t last_wiped_n;

void sodium_memzero(void *bytes, size_t n)
{
    last_wiped = bytes;
    last_wiped_n = n;
    explicit_bzero(bytes, n);
}

#endif
