/*
 * The descriptors of a command that is started: pipes, or a terminal. All are close-on-exec and
 * above those that the child replaces (0 to SPAWN_FDS). Pipes are taken from those that were made
 * ahead (spawn_prepare), if there are any.
 */
#ifndef REXEC_REXECD_SPAWN_PIPES_H
#define REXEC_REXECD_SPAWN_PIPES_H

#include "rexecd/spawn.h"

enum { SPAWN_FDS = 3 }; /* stdin, stdout, stderr; the status is the next */

/* Both sides' descriptors: the daemon's, which do not block, in *spawn; the child's in `theirs`, -1
 * before. 0, or -1 with errno: what is open by then is the caller's in any case. */
int pipes_open(struct spawn *spawn, const struct spawn_plan *plan, int theirs[static SPAWN_FDS]);

/* The same for the status: the daemon reads. */
int pipes_status(int *ours, int *theirs);

#endif
