/*
 * Fast ends of a large flow, the same for everybody who is measured:
 *   bench_flow source BYTES
 *       writes so many
 *   bench_flow sink BYTES
 *       reads to the end; prints how many came and the seconds from the first byte to the end;
 *       status 1 if they are not so many
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 256 * 1024 };

static uint8_t bytes[PIECE];

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int source(uint64_t left)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 251 >> 3); /* nothing that a compressor would love */
    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, left < PIECE ? (size_t)left : PIECE);
        if (n < 0)
            return 1;
        left -= (uint64_t)n;
    }
    return 0;
}

static int sink(uint64_t expected)
{
    uint64_t got = 0;
    double begin = 0;
    ssize_t n;
    while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0) {
        if (got == 0)
            begin = now();
        got += (uint64_t)n;
    }
    (void)printf("%llu %.9f\n", (unsigned long long)got, got > 0 ? now() - begin : 0);
    return n == 0 && got == expected ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "source") == 0)
        return source(strtoull(argv[2], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return sink(strtoull(argv[2], NULL, 10));
    (void)fprintf(stderr, "usage: bench_flow source|sink BYTES\n");
    return 2;
}
