/*
 * Runs a command many times, one after another, as a shell script would: its stdin is /dev/null,
 * its output is taken.
 *
 *   bench_timer N PAUSE_US WORD...
 *
 * A line for each run: seconds as a whole process, CPU seconds of user and of system, voluntary and
 * other context switches, exit status (128 + signal). PAUSE_US passes between runs. A small process
 * starts the others: what starts them must not be what is measured.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(bool well, const char *what)
{
    if (well)
        return;
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void run(char **words)
{
    posix_spawn_file_actions_t actions;
    struct rusage used;
    char bytes[4096];
    pid_t pid;
    int ends[2], status;
    must(posix_spawn_file_actions_init(&actions) == 0, "posix_spawn_file_actions_init");
    double begin = now();
    must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    must(posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
             posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0,
         "posix_spawn_file_actions");
    must(posix_spawnp(&pid, words[0], &actions, NULL, words, environ) == 0, words[0]);
    (void)close(ends[1]);
    while (read(ends[0], bytes, sizeof bytes) > 0)
        ;
    must(wait4(pid, &status, 0, &used) == pid, "wait4");
    double took = now() - begin;
    (void)close(ends[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)printf("%.9f %.6f %.6f %ld %ld %d\n", took, seconds(used.ru_utime),
                 seconds(used.ru_stime), used.ru_nvcsw, used.ru_nivcsw,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_timer N PAUSE_US WORD...\n");
        return 2;
    }
    long n = strtol(argv[1], NULL, 10), pause_us = strtol(argv[2], NULL, 10);
    const struct timespec pause = {.tv_sec = pause_us / 1000000,
                                   .tv_nsec = pause_us % 1000000 * 1000};
    for (long i = 0; i < n; i++) {
        run(argv + 3);
        if (pause_us > 0)
            (void)nanosleep(&pause, NULL);
    }
    return 0;
}
