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

/* Makes the cgroup of a command that may be the next, so that cgroups_make need not: one at a time,
 * and what was prepared for another is removed. For when there is nothing else to do. */
void cgroups_prepare(struct cgroups *cgroups, uint64_t command);

/* Makes a command's cgroup: the descriptor of its directory, for the caller to close, or -1. */
int cgroups_make(struct cgroups *cgroups, uint64_t command);

/* Kills all that is in a command's cgroup. 0, or -1 if there is no cgroup or no cgroup.kill. */
int cgroups_kill(struct cgroups *cgroups, uint64_t command);

/* Processes in a command's cgroup: how many were put in `pids`, at most `max`. */
size_t cgroups_pids(const struct cgroups *cgroups, uint64_t command, pid_t *pids, size_t max);

/* Removes a command's cgroup. One that still has processes in it is tried again later
 * (cgroups_sweep). */
void cgroups_remove(struct cgroups *cgroups, uint64_t command);

/* Removes what could not be removed before; true while something is left. */
bool cgroups_sweep(struct cgroups *cgroups);

#endif
