/*
 * The daemon's way of starting commands alone, without net, client or connection:
 *   bench_spawn N USER WORD...
 *       runs a command N times, one after another, as the user (as root; else as oneself), in a
 *       session and, where they are writable, a cgroup of its own, both outputs taken: seconds
 */
#include <stdio.h>
#include <stdlib.h>

#include "rexecd/spawn.h"
#include "tests/bench/local.h"
#include "tests/bench/spawning.h"

/* To the end of both outputs. */
static void take_output(struct spawn *s)
{
    char bytes[4096];
    struct pollfd ends[2] = {{.fd = s->fds[1], .events = POLLIN},
                             {.fd = s->fds[2], .events = POLLIN}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        must(poll(ends, 2, -1) > 0, "poll");
        for (int i = 0; i < 2; i++) {
            if (ends[i].revents != 0 && read(ends[i].fd, bytes, sizeof bytes) <= 0) {
                (void)close(ends[i].fd);
                ends[i].fd = -1;
            }
        }
    }
}

static void run_one(struct spawning *g, char **words)
{
    struct spawned s;
    spawning_start(g, words, &s);
    take_output(&s.process);
    spawning_wait(&s);
    spawning_over(g, &s);
}

int main(int argc, char **argv)
{
    struct spawning g;
    if (argc < 4)
        return 2;
    spawning_open(&g, argv[2]);
    long n = strtol(argv[1], NULL, 10);
    run_one(&g, argv + 3);
    double begin = now();
    for (long i = 0; i < n; i++)
        run_one(&g, argv + 3);
    (void)printf("%.9f\n", now() - begin);
    spawning_close(&g);
    return 0;
}
