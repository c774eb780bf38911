/*
 * Starts a command: pipes or a terminal, a process that shares the daemon's memory until it
 * executes (so that the size of the daemon costs nothing), and what it may inherit: descriptors 0,
 * 1 and 2, no signal mask, no handlers, umask 022, its user's groups, no capabilities unless it is
 * root, no keys of the daemon's, a session and process group of its own, its environment and
 * limits.
 *
 * The daemon runs on meanwhile: a home directory on a server that does not answer holds up its own
 * command and no other. How it went is known when the status descriptor becomes readable.
 */
#ifndef REXEC_REXECD_SPAWN_H
#define REXEC_REXECD_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "rexecd/environment.h"
#include "rexecd/holders.h"
#include "rexecd/pty.h"
#include "rexecd/users.h"

enum { SPAWN_LIMITS_MAX = 8 };

/* What is to be started. Made with calloc; what the pointers lead to is the plan's own, on the
 * heap. */
struct spawn_plan {
    char **argv;     /* ends with NULL; one block, freed with free */
    char *file;      /* what is executed; without a / it is looked up in the environment's PATH */
    char *directory; /* to start in, must be there; relative to home. NULL: home, or / */
    struct environment environment;
    struct user user;
    bool become;     /* take the user's ids and groups: needs root */
    bool no_stdin;   /* /dev/null, and no pipe */
    struct pty *pty; /* instead of pipes, the plan's own; becomes the controlling terminal */
    int cgroup;      /* directory of the cgroup to go into, the plan's own; -1: none */
    size_t limit_count;
    struct {
        int resource;
        rlim_t value; /* never raises the daemon's own hard limit */
    } limits[SPAWN_LIMITS_MAX];
};

void spawn_plan_free(struct spawn_plan *plan);

/* A child on its way. */
struct spawn {
    pid_t pid;
    int fds[3]; /* the daemon's ends, non-blocking; [0] is -1 with no_stdin. Of a terminal, [0] and
                   [1] are its master, [2] is -1 */
    int terminal;                 /* its master once more; -1: there is none */
    struct holders_output output; /* who holds it open shows in /proc */
    int status;                   /* readable when spawn_check has something to say */
    struct spawn_child *child;
};

/* What failed. */
enum spawn_step {
    SPAWN_STEP_PREPARE, /* in the daemon: pipes, memory, the process itself */
    SPAWN_STEP_SESSION,
    SPAWN_STEP_CGROUP,
    SPAWN_STEP_DESCRIPTORS,
    SPAWN_STEP_TERMINAL,
    SPAWN_STEP_LIMITS,
    SPAWN_STEP_KEYRING,
    SPAWN_STEP_USER,
    SPAWN_STEP_CAPABILITIES,
    SPAWN_STEP_PARENT, /* the daemon died meanwhile */
    SPAWN_STEP_DIRECTORY,
    SPAWN_STEP_EXECUTE,
};

struct spawn_failure {
    int32_t step;  /* enum spawn_step */
    int32_t error; /* errno */
};

/* Remembers the limits that the daemon was started with: children get those. Called once, before
 * the daemon changes its own. */
void spawn_remember_limits(void);

/* Makes what the next command will need, unless it is there: its pipes. For when there is nothing
 * else to do; spawn_begin takes it, or makes its own. */
void spawn_prepare(void);

/* Closes what was prepared. */
void spawn_unprepare(void);

/*
 * Starts the plan, which it takes over. 0; -1 with *failure: then there is no process, and the plan
 * is freed all the same. On success the descriptors are the caller's, and spawn_end must follow.
 */
int spawn_begin(struct spawn_plan *plan, struct spawn *spawn, struct spawn_failure *failure);

enum spawn_answer { SPAWN_PENDING, SPAWN_STARTED, SPAWN_FAILED };

/* Asks how it went, without waiting. After SPAWN_FAILED the process is dead or dying, to be reaped
 * by the caller like any other. */
enum spawn_answer spawn_check(struct spawn *spawn, struct spawn_failure *failure);

/* After STARTED or FAILED: closes the status and frees the plan. The daemon's ends in fds stay. */
void spawn_end(struct spawn *spawn);

const char *spawn_step_name(enum spawn_step step);

#endif
