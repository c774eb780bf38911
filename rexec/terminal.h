/*
 * The terminal that the user sits at, for a command that gets one too: each byte that is typed goes
 * to the command as it is, and what it means there is decided there.
 */
#ifndef REXEC_TERMINAL_H
#define REXEC_TERMINAL_H

#include <stdbool.h>

#include "proto/header.h"
#include "rexec/failure.h"
#include "rexec/options.h"

struct terminal {
    bool wanted; /* the command gets a terminal */
    bool local;  /* stdin is one, and is given over to it */
    bool given;  /* terminal_enter was called, terminal_leave not */
};

/*
 * Whether the command gets a terminal, as ssh decides it: where it was asked for (-t), or without a
 * command, and stdin is one; -tt: in any case. False, with *failure, for what does not go together.
 */
bool terminal_decide(struct terminal *t, const struct options *o, struct rx_failure *failure);

/* Its kind, size and modes, for EXEC. */
void terminal_describe(struct rx_pty *pty);

/* The size of the terminal that is there; zeros: it is not known. */
void terminal_size(struct rx_size *size);

/*
 * Gives stdin over: raw mode, from now on until terminal_leave, however the program ends, but for
 * KILL. Nothing happens without a local terminal, or in the background: there the terminal is
 * somebody else's, and this is to be called again when the program goes on (CONT).
 */
void terminal_enter(struct terminal *t);

/* Takes it back: the modes are as they were. */
void terminal_leave(struct terminal *t);

/* Stops this program, or all of its group, by a signal that stops (TSTP, TTIN), with the terminal
 * as it was; returns when it goes on. */
void terminal_suspend(struct terminal *t, int number, bool group);

/* Whether stdin is a terminal that is somebody else's now: we are in the background. */
bool terminal_elsewhere(const struct terminal *t);

#endif
