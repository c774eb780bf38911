/*
 * Timing for the benchmarks: CPU time of this thread, repeated short slices, medians. Header only,
 * so that each benchmark stays one file.
 */
#ifndef REXEC_TESTS_BENCH_MEASURE_H
#define REXEC_TESTS_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15 };

#define SLICE_NS INT64_C(20000000) /* CPU time of one slice */

static inline int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Runs `step` for one slice; nanoseconds of CPU time per call. */
static inline double slice(void (*step)(void *), void *context)
{
    int64_t start = cpu_ns(), now;
    uint64_t calls = 0;
    do {
        step(context);
        calls++;
        now = cpu_ns();
    } while (now - start < SLICE_NS);
    return (double)(now - start) / (double)calls;
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 != 0 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Median nanoseconds per call. */
static inline double measure(void (*step)(void *), void *context)
{
    double ns[ROUNDS];
    (void)slice(step, context);
    for (size_t i = 0; i < ROUNDS; i++)
        ns[i] = slice(step, context);
    return median(ns, ROUNDS);
}

/* Two things in turn, so that the machine's moods hit both: medians of each, and of the ratio b /
 * a. */
static inline double measure_pair(void (*a)(void *), void *context_a, void (*b)(void *),
                                  void *context_b, double *ns_a, double *ns_b)
{
    double va[ROUNDS], vb[ROUNDS], ratio[ROUNDS];
    (void)slice(a, context_a);
    (void)slice(b, context_b);
    for (size_t i = 0; i < ROUNDS; i++) {
        va[i] = slice(a, context_a);
        vb[i] = slice(b, context_b);
        ratio[i] = vb[i] / va[i];
    }
    *ns_a = median(va, ROUNDS);
    *ns_b = median(vb, ROUNDS);
    return median(ratio, ROUNDS);
}

/* One figure, as a JSON line: tests/bench/run.sh makes the table. goal may be "". */
static inline void figure(const char *name, double value, const char *unit, const char *goal)
{
    (void)printf("{\"figure\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"goal\":\"%s\"}\n", name,
                 value, unit, goal);
}

#endif
