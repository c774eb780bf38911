/*
 * Plans that are good but for what a test changes, and how they are run. For one file of a test
 * program, which includes cmocka before.
 */
#ifndef REXEC_TESTS_UNIT_SPAWN_WORLD_H
#define REXEC_TESTS_UNIT_SPAWN_WORLD_H

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/spawn.h"

static inline char *copy(const char *text)
{
    char *out = strdup(text);
    if (out == NULL)
        abort();
    return out;
}

/* argv in one block, as a plan has it. */
static inline char **vector(const char *const words[])
{
    size_t n = 0, bytes = 0;
    for (; words[n] != NULL; n++)
        bytes += strlen(words[n]) + 1;
    char **argv = malloc((n + 1) * sizeof *argv + bytes);
    if (argv == NULL)
        abort();
    char *text = (char *)(argv + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(words[i]) + 1;
        argv[i] = memcpy(text, words[i], len);
        text += len;
    }
    argv[n] = NULL;
    return argv;
}

/* Which user commands can run as here: somebody else if that is possible. */
static inline const char *somebody(void)
{
    return geteuid() == 0 ? "nobody" : NULL;
}

static inline struct spawn_plan *new_plan(const char *user, const char *const words[])
{
    struct spawn_plan *plan = calloc(1, sizeof *plan);
    const struct environment_policy policy = {0};
    struct environment_name which;
    if (plan == NULL)
        abort();
    plan->cgroup = -1;
    enum user_result found =
        user != NULL ? user_find(user, &plan->user) : user_by_id(geteuid(), &plan->user);
    assert_int_equal(found, USER_FOUND);
    plan->become = geteuid() == 0;
    assert_int_equal(
        environment_build(&plan->environment, &policy, &plan->user, "x 1", NULL, NULL, 0, &which),
        ENVIRONMENT_OK);
    plan->argv = vector(words);
    plan->file = copy(words[0]);
    plan->no_stdin = true;
    return plan;
}

static inline enum spawn_answer wait_for(struct spawn *s, struct spawn_failure *f)
{
    enum spawn_answer answer;
    while ((answer = spawn_check(s, f)) == SPAWN_PENDING) {
        struct pollfd p = {.fd = s->status, .events = POLLIN};
        assert_true(poll(&p, 1, 10000) > 0);
    }
    return answer;
}

static inline void read_all(int fd, char *out, size_t cap)
{
    size_t n = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_true(poll(&p, 1, 10000) > 0);
        ssize_t got = read(fd, out + n, cap - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    out[n] = '\0';
}

static inline void close_all(struct spawn *s)
{
    for (int i = 0; i < 3; i++)
        if (s->fds[i] >= 0)
            (void)close(s->fds[i]);
}

/* Runs the plan to its end; stdout, and the status. */
static inline int run(struct spawn_plan *plan, char *out, size_t cap)
{
    struct spawn s;
    struct spawn_failure f = {0};
    int status;
    assert_int_equal(spawn_begin(plan, &s, &f), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    spawn_end(&s);
    read_all(s.fds[1], out, cap);
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    return status;
}

static inline size_t open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

#endif
