/*
 * -f: the program goes to the background when its command runs.
 *
 * The process forks at once, and the one that the caller waits for stays until the other has said
 * that the command runs: so the terminal and the caller see everything that can go wrong before.
 */
#ifndef REXEC_BACKGROUND_H
#define REXEC_BACKGROUND_H

#include <stdbool.h>

/*
 * Forks. In the child it returns true. In the parent it does not return: it exits with 0 when the
 * child has called background_ready, and as the child if that ends before. False, with errno.
 */
bool background_start(void);

/* The command runs: the parent ends, and this process leaves its session. Once; does nothing where
 * background_start was not called. */
void background_ready(void);

#endif
