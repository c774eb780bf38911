/*
 * Makes one allocation fail. For programs named test_*_oom.c, which are linked with the allocator
 * wrapped; include it in one file of the program. Counts only calls from our own code, and those of
 * a library that was told to use __wrap_malloc.
 */
#ifndef REXEC_TESTS_UNIT_OOM_H
#define REXEC_TESTS_UNIT_OOM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *old, size_t n);
void *__real_reallocarray(void *old, size_t count, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_reallocarray(void *old, size_t count, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

static size_t oom_calls; /* since oom_fail_at or oom_off */
static size_t oom_failing;

/* The n-th allocation from now on fails (from 1), once. */
static inline void oom_fail_at(size_t n)
{
    oom_calls = 0;
    oom_failing = n;
}

/* None fails from now on. */
static inline void oom_off(void)
{
    oom_fail_at(0);
}

/* Allocations, failed or not, since oom_fail_at or oom_off. */
static inline size_t oom_count(void)
{
    return oom_calls;
}

/* Whether the allocation that was to fail has come. */
static inline bool oom_failed(void)
{
    return oom_failing != 0 && oom_calls >= oom_failing;
}

static inline bool oom_now(void)
{
    if (++oom_calls != oom_failing)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return oom_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return oom_now() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *old, size_t n)
{
    return oom_now() ? NULL : __real_realloc(old, n);
}

void *__wrap_reallocarray(void *old, size_t count, size_t n)
{
    return oom_now() ? NULL : __real_reallocarray(old, count, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return oom_now() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *text)
{
    return oom_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return oom_now() ? NULL : __real_strndup(text, n);
}

#endif
