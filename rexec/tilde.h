/*
 * What the user types to rexec itself and not to the command: at the start of a line, the escape
 * character (~ if nothing else was said) and one more, as in ssh(1).
 */
#ifndef REXEC_TILDE_H
#define REXEC_TILDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was asked for, as bits. */
enum {
    TILDE_GIVE_UP = 1 << 0, /* ~. */
    TILDE_SUSPEND = 1 << 1, /* ~^Z */
    TILDE_HELP = 1 << 2,    /* ~? */
};

struct tilde {
    int character;   /* -1: none, everything goes to the command */
    bool line_start; /* the next byte is the first of its line */
    bool held;       /* the escape character came, and what it means shows in the next byte */
};

/* `setting` is one character, ^ and a letter, "none", or NULL for the usual one. */
void tilde_init(struct tilde *t, const char *setting);

/*
 * Takes n bytes as they were typed, writes at most n + 1 for the command to `out` (which may not
 * overlap) and returns how many. *asked gets what was asked for; behind TILDE_GIVE_UP nothing
 * counts any more.
 */
size_t tilde_filter(struct tilde *t, const uint8_t *typed, size_t n, uint8_t *out, unsigned *asked);

/* Nothing more is typed: a byte that was held is written to out. 0 or 1. */
size_t tilde_end(struct tilde *t, uint8_t out[static 1]);

#endif
