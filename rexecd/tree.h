/*
 * All processes of a command, as far as they can be found without a cgroup: its session, its
 * process group, and the descendants of its main process while that lives. One that has left all
 * three (a double fork with setsid) is found by its cgroup only (rexecd/cgroup.h).
 */
#ifndef REXEC_REXECD_TREE_H
#define REXEC_REXECD_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Sends the signal to the process group of a main process that was not reaped yet (so that the
 * number is still its own). 0, or -1 with errno. */
int tree_signal(pid_t main_pid, int signal);

/* A command whose processes are to be killed. */
struct tree_root {
    pid_t pid;   /* of its main process, and so of its session and group */
    bool reaped; /* then the number may have passed to another process */
};

/*
 * Stops, then kills every process of the commands, for several of them at once, until none is left
 * or `rounds` are over. Each is looked at once more before it is hit, so that a number that has
 * passed to another process hits nobody. Where the main process was reaped, the rest of its session
 * keeps the number from being given away; if a process has it all the same, there is no rest, and
 * nobody is hit for it. Never the caller. Sorts the roots. Returns how many were hit.
 */
size_t tree_kill(struct tree_root *roots, size_t count, int rounds);

#endif
