/*
 * Who still holds a command's output open, looked up in /proc: a pipe is known by its inode, a
 * terminal by its file's.
 */
#ifndef REXEC_REXECD_HOLDERS_H
#define REXEC_REXECD_HOLDERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/header.h"

/* Where a command's output goes. */
struct holders_output {
    uint64_t pipes[2];         /* inodes of stdout's and stderr's; 0: none */
    uint64_t device, terminal; /* file system and inode of a terminal's slave; 0: none */
};

/* What is looked for, and what was found. */
struct holders_search {
    struct holders_output output;
    pid_t session; /* the terminal is, or was, the controlling one of this session */
    struct rx_holders found;
};

/*
 * Adds to each of `count` searches the processes, at most RX_HOLDERS_MAX, other than the caller,
 * that have one of its pipes open for writing, or its terminal in any way: by its name, or in its
 * session by /dev/tty. Looks through all processes once; those of other users are seen by root
 * only. Without memory nothing is found.
 */
void holders_find(struct holders_search *searches, size_t count);

/* The same for one search among these processes. */
void holders_find_among(const pid_t *pids, size_t n, struct holders_search *search);

#endif
