/*
 * What each role may still do, once it has begun: all of it in one file, one function per role.
 *
 *   net      As root: chrooted into an empty directory, under its own user and group, no
 * capabilities. Always: no_new_privs, not dumpable, no new files by Landlock where the kernel has
 * it, and an allow-list of system calls: it reads, writes, accepts and waits, and does no more: it
 * sends no descriptors, changes nothing of a listener, and what it prints goes to its stdin
 * (/dev/null).
 *   monitor  Not dumpable, no core files. It spawns what users ask for (sudo among them), so that
 *            no_new_privs, and with it seccomp and Landlock for who is not root, would be theirs
 * too.
 */
#ifndef REXEC_REXECD_SANDBOX_H
#define REXEC_REXECD_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

/*
 * net, before it reads a byte: as root, goes into `directory` (made by priv_sandbox_directory) and
 * becomes uid and gid, for good. 0, or -1 with errno; a process that got -1 must end.
 */
int priv_sandbox_become(uid_t uid, gid_t gid, const char *directory);

/* As root: makes the empty directory, and its parent, if they are not there, and checks that nobody
 * else may write there. 0, or -1 with a line in the log. */
int priv_sandbox_directory(const char *directory);

/* net, once it has its listeners: gives up everything but serving. Files that it is handed may get
 * `file_max` bytes each. Needs no privileges. 0, or -1 with a line in the log; a process that got
 * -1 must end. */
int sandbox_net(uint32_t file_max);

/* The monitor, at its start. */
void sandbox_monitor(void);

#endif
