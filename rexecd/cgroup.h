/*
 * A cgroup (v2) for each command, where the daemon may make them: the one thing that no process can
 * leave, so that all of a command can be ended. Without, everything here does nothing.
 */
#ifndef REXEC_REXECD_CGROUP_H
#define REXEC_REXECD_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroups;

/* Makes a cgroup of the daemon's own below the one it is in. NULL: cgroup v2 is not there or not
 * writable. */
struct cgroups *cgroups_open(void);

/* Removes what is empty; NULL is fine. */
void cgroups_close(struct cgroups *cgroups);

/* Makes a cgroup for a command to come, unless there is one. For when there is nothing else to do.
 */
void cgroups_prepare(struct cgroups *cgroups);

/* Removes all that no command has but one. For when no command runs. */
void cgroups_trim(struct cgroups *cgroups);

/* A command's cgroup, empty: the descriptor of its directory, for the caller to close, or -1. It
 * goes by the number in *which (never 0) until it is given back. */
int cgroups_take(struct cgroups *cgroups, uint64_t *which);

/* Kills all that is in it. 0, or -1 if there is no cgroup or no cgroup.kill. */
int cgroups_kill(struct cgroups *cgroups, uint64_t which);

/* Processes in it: how many were put in `pids`, at most `max`. */
size_t cgroups_pids(const struct cgroups *cgroups, uint64_t which, pid_t *pids, size_t max);

/*
 * The command is over. Its cgroup may be another command's if it is as it was made: nobody is in
 * it, nothing was killed in it, and, as the caller knows, no process of the command was allowed to
 * change it (`untouched`). Otherwise it is removed; one that still has processes in it is tried
 * again later (cgroups_sweep).
 */
void cgroups_give(struct cgroups *cgroups, uint64_t which, bool untouched);

/* Removes what could not be removed before; true while something is left. */
bool cgroups_sweep(struct cgroups *cgroups);

#endif
