/*
 * The daemon's way of starting commands alone, without net, client or connection:
 *   bench_spawn N USER WORD...
 *       runs a command N times, one after another, as the user (as root; else as oneself), in a
 *       session and, where they are writable, a cgroup of its own, both outputs taken: seconds
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/cgroup.h"
#include "rexecd/log.h"
#include "rexecd/spawn.h"
#include "tests/bench/local.h"

static struct spawn_plan *plan_for(const struct user *user, char **words)
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
    must(plan->argv != NULL && plan->file != NULL && user_copy(user, &plan->user) == USER_FOUND &&
             environment_build(&plan->environment, &policy, user, "127.0.0.1 1", NULL, NULL, 0,
                               &which) == ENVIRONMENT_OK,
         "plan");
    memcpy((void *)plan->argv, (const void *)words, count * sizeof *words);
    plan->become = geteuid() == 0;
    plan->no_stdin = true;
    return plan;
}

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

static void run_one(struct cgroups *cgroups, const struct user *user, char **words)
{
    struct spawn_plan *plan = plan_for(user, words);
    struct spawn_failure failure;
    struct spawn s;
    uint64_t cgroup;
    int status;
    plan->cgroup = cgroups_take(cgroups, &cgroup);
    must(spawn_begin(plan, &s, &failure) == 0, words[0]);
    spawn_prepare();
    cgroups_prepare(cgroups);
    struct pollfd said = {.fd = s.status, .events = POLLIN};
    while (spawn_check(&s, &failure) == SPAWN_PENDING)
        must(poll(&said, 1, -1) > 0, "poll");
    spawn_end(&s);
    take_output(&s);
    must(waitpid(s.pid, &status, 0) == s.pid && status == 0, "waitpid");
    cgroups_give(cgroups, cgroup, true);
}

int main(int argc, char **argv)
{
    struct user user;
    if (argc < 4)
        return 2;
    log_open("bench_spawn", LOG_LEVEL_ERROR, false);
    must(user_find(argv[2], &user) == USER_FOUND, argv[2]);
    spawn_remember_limits();
    struct cgroups *cgroups = cgroups_open();
    long n = strtol(argv[1], NULL, 10);
    run_one(cgroups, &user, argv + 3);
    double begin = now();
    for (long i = 0; i < n; i++)
        run_one(cgroups, &user, argv + 3);
    (void)printf("%.9f\n", now() - begin);
    cgroups_close(cgroups);
    spawn_unprepare();
    user_free(&user);
    return 0;
}
