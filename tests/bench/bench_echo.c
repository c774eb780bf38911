/*
 * One byte there and back through `cat`. Prints the seconds of each round, sorted.
 *   bench_echo run N WORD...
 *       WORD... is a client that runs cat, between two pipes
 *   bench_echo library PORT KEY NAME USER N [LOAD]
 *       on a connection of our own; LOAD is a command whose output is read meanwhile, on the same
 *       connection: a last line says how many bytes of it came and in how many seconds
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/link.h"

enum { WARM = 50 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_sorted(double *times, size_t n)
{
    qsort(times, n, sizeof *times, by_value);
    for (size_t i = 0; i < n; i++)
        (void)printf("%.9f\n", times[i]);
}

/* ---- a client program ------------------------------------------------------------------- */

static void run(long n, char **words)
{
    posix_spawn_file_actions_t actions;
    int in[2], out[2], status;
    char byte = 'x';
    pid_t pid;
    double *times = calloc((size_t)n, sizeof *times);
    link_must(times != NULL && pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
    link_must(posix_spawn_file_actions_init(&actions) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO) == 0 &&
                  posix_spawnp(&pid, words[0], &actions, NULL, words, environ) == 0,
              words[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    for (long i = -WARM; i < n; i++) {
        double begin = link_now();
        link_must(write(in[1], &byte, 1) == 1 && read(out[0], &byte, 1) == 1 && byte == 'x',
                  words[0]);
        if (i >= 0)
            times[i] = link_now() - begin;
    }
    (void)close(in[1]);
    link_must(read(out[0], &byte, 1) == 0, "the end of stdout");
    link_must(waitpid(pid, &status, 0) == pid && status == 0, "the client's status");
    print_sorted(times, (size_t)n);
    free(times);
}

/* ---- a connection of our own -------------------------------------------------------------- */

struct echo {
    struct rx_command *cat, *load;
    size_t returned;
    uint64_t loaded;
    bool over;
};

static void on_event(struct bench_link *link, const struct rx_client_event *event)
{
    struct echo *e = link->user;
    if (event->what == RX_ON_DATA) {
        size_t n = link_drain(event->command, event->which);
        if (event->command == e->cat)
            e->returned += n;
        else
            e->loaded += n;
    } else if (event->what == RX_ON_EXIT && event->command == e->cat) {
        e->over = true;
    }
}

static void library(const struct link_target *target, long n, const char *load)
{
    struct echo e = {0};
    struct bench_link link = {.event = on_event, .user = &e};
    double *times = calloc((size_t)n, sizeof *times);
    link_must(times != NULL, "calloc");
    link_open(&link, target);
    link_await_welcome(&link);
    e.cat = link_exec(&link, "cat", true, NULL);
    if (load != NULL)
        e.load = link_exec(&link, load, false, NULL);
    link_flush(&link);
    while (!rx_command_started(e.cat) || (load != NULL && e.loaded == 0))
        link_must(link_turn(&link), "closed");
    uint64_t loaded = 0;
    double loading = 0;
    for (long i = -WARM; i < n; i++) {
        if (i == 0) {
            loaded = e.loaded;
            loading = link_now();
        }
        double begin = link_now();
        e.returned = 0;
        link_write(e.cat, "x", 1);
        link_flush(&link);
        while (e.returned == 0)
            link_must(link_turn(&link), "closed");
        if (i >= 0)
            times[i] = link_now() - begin;
    }
    loading = link_now() - loading;
    loaded = e.loaded - loaded;
    rx_command_finish(e.cat);
    link_flush(&link);
    while (!e.over)
        link_must(link_turn(&link), "closed");
    rx_command_free(e.cat);
    rx_command_free(e.load);
    link_close(&link);
    print_sorted(times, (size_t)n);
    if (load != NULL)
        (void)printf("%llu %.9f\n", (unsigned long long)loaded, loading);
    free(times);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "run") == 0) {
        run(strtol(argv[2], NULL, 10), argv + 3);
        return 0;
    }
    if ((argc == 7 || argc == 8) && strcmp(argv[1], "library") == 0) {
        struct link_target target;
        link_target_read(&target, argv[2], argv[3], argv[4], argv[5]);
        library(&target, strtol(argv[6], NULL, 10), argc == 8 ? argv[7] : NULL);
        return 0;
    }
    (void)fprintf(stderr,
                  "usage: bench_echo run N WORD... | library PORT KEY NAME USER N [LOAD]\n");
    return 2;
}
