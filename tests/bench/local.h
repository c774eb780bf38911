/*
 * What the limits are made of: a command here, bytes over loopback, a process between two pipes.
 * Whatever fails ends the program with a line on stderr.
 */
#ifndef REXEC_BENCH_LOCAL_H
#define REXEC_BENCH_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static inline void must(bool well, const char *what)
{
    if (well)
        return;
    perror(what);
    exit(1);
}

/* Seconds of a clock that only rises. */
static inline double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A command whose output is taken. */
struct job {
    pid_t pid; /* 0: none */
    int out;
};

struct job start(char **words);

/* Reads all of its output and waits for it; it must have ended with 0. */
void finish(struct job *job);

/* A listener on loopback, at a port of the system's choice. */
int listen_somewhere(uint16_t *port);
int accept_from(int listener);

void write_all(int fd, const void *bytes, size_t n);

/* False: it ended before. */
bool read_all(int fd, void *bytes, size_t n);

/* A process between two pipes: *to it, *from it. */
void begin_between(void (*what)(char **), char **words, int *to, int *from);

#endif
