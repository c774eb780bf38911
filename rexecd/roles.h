/*
 * Roles: the same program once more, re-executed, so that no role shares another's address space.
 * A role has its end of the link as descriptor IPC_FD, /dev/null as stdin and stdout, the daemon's
 * stderr (until the sandbox closes it), an empty environment, and nothing else.
 */
#ifndef REXEC_REXECD_ROLES_H
#define REXEC_REXECD_ROLES_H

#include <sys/types.h>

/*
 * Starts a role. `argv` is its argument vector ({"rexecd: net", "--role", "net", ..., NULL}); fd is
 * its end of the link and stays the caller's. In a process group of its own, so that a terminal's
 * signals go to the monitor alone. The pid, or -1 with errno; what fails behind the fork shows as
 * the role's end, with a line on stderr.
 */
pid_t role_start(char *const argv[], int fd);

#endif
