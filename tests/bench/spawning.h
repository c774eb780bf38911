/*
 * The daemon's way of starting commands, without the daemon: in a session of its own, both outputs
 * in pipes, no stdin; as a user (as root; else as oneself) and, where they are writable, in a
 * cgroup of its own, or as nobody else and in no cgroup. Whatever fails ends the program.
 */
#ifndef REXEC_BENCH_SPAWNING_H
#define REXEC_BENCH_SPAWNING_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/cgroup.h"
#include "rexecd/log.h"
#include "rexecd/spawn.h"
#include "tests/bench/local.h"

struct spawning {
    struct user user;
    bool become;
    struct cgroups *cgroups;
};

struct spawned {
    struct spawn process; /* fds[1] and fds[2] are the caller's, once it executes */
    uint64_t cgroup;
};

/* NULL: nobody else, no cgroup. */
static inline void spawning_open(struct spawning *g, const char *user)
{
    log_open("bench", LOG_LEVEL_ERROR, false);
    enum user_result found =
        user != NULL ? user_find(user, &g->user) : user_by_id(geteuid(), &g->user);
    errno = ENOENT;
    must(found == USER_FOUND, user != NULL ? user : "this user");
    spawn_remember_limits();
    g->become = user != NULL && geteuid() == 0;
    g->cgroups = user != NULL ? cgroups_open() : NULL;
}

static inline void spawning_close(struct spawning *g)
{
    cgroups_close(g->cgroups);
    spawn_unprepare();
    user_free(&g->user);
}

static inline struct spawn_plan *spawning_plan(const struct spawning *g, char **words)
{
    static const struct environment_policy policy;
    struct environment_name which;
    struct spawn_plan *plan = calloc(1, sizeof *plan);
    size_t count = 1; /* there is a first */
    while (words[count] != NULL)
        count++;
    must(plan != NULL, "calloc");
    plan->argv = calloc(count + 1, sizeof *plan->argv);
    plan->file = strdup(words[0]);
    must(plan->argv != NULL && plan->file != NULL &&
             user_copy(&g->user, &plan->user) == USER_FOUND &&
             environment_build(&plan->environment, &policy, &g->user, "127.0.0.1 1", NULL, NULL, 0,
                               &which) == ENVIRONMENT_OK,
         "plan");
    memcpy((void *)plan->argv, (const void *)words, count * sizeof *words);
    plan->become = g->become;
    plan->no_stdin = true;
    return plan;
}

/* Until it executes; what the next one needs is made meanwhile. */
static inline void spawning_start(struct spawning *g, char **words, struct spawned *s)
{
    struct spawn_plan *plan = spawning_plan(g, words);
    struct spawn_failure failure;
    plan->cgroup = cgroups_take(g->cgroups, &s->cgroup);
    must(spawn_begin(plan, &s->process, &failure) == 0, words[0]);
    spawn_prepare();
    cgroups_prepare(g->cgroups);
    struct pollfd said = {.fd = s->process.status, .events = POLLIN};
    while (spawn_check(&s->process, &failure) == SPAWN_PENDING)
        must(poll(&said, 1, -1) > 0, "poll");
    spawn_end(&s->process);
}

/* Until it is over, with status 0. Its cgroup is still to be given back. */
static inline void spawning_wait(const struct spawned *s)
{
    int status;
    must(waitpid(s->process.pid, &status, 0) == s->process.pid && status == 0, "waitpid");
}

static inline void spawning_over(struct spawning *g, const struct spawned *s)
{
    cgroups_give(g->cgroups, s->cgroup, true);
}

#endif
