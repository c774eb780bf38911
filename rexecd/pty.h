/*
 * Pseudo-terminals: what a command has that asked for one.
 */
#ifndef REXEC_REXECD_PTY_H
#define REXEC_REXECD_PTY_H

#include "proto/header.h"
#include "rexecd/users.h"

enum { PTY_NAME_MAX = 64 };

/* Both ends, close-on-exec; -1: closed, or taken. */
struct pty {
    int master; /* does not block */
    int slave;
    char name[PTY_NAME_MAX]; /* the slave's: /dev/pts/4 */
};

/*
 * Makes one with the modes and the size asked for. It becomes nobody's controlling terminal. As
 * root (`give`) it is given to the user, so that nobody else can read it; the group tty may write
 * messages to it, as to any terminal. NULL with errno; else to be freed with pty_free.
 */
struct pty *pty_new(const struct rx_pty *asked, const struct user *user, bool give);

/* Closes what is not taken; NULL is fine. */
void pty_free(struct pty *pty);

/* The size of the terminal with this master; who runs in its foreground gets WINCH if it is
 * another. 0, or -1 with errno. */
int pty_resize(int master, int64_t rows, int64_t cols, int64_t width, int64_t height);

/* Sends what the keyboard can send, INT, QUIT and TSTP, to its foreground. 0; -1 with errno, EINVAL
 * for any other signal. */
int pty_signal(int master, int number);

#endif
