/*
 * The environment of a command: exactly HOME, USER, LOGNAME, SHELL, PATH, REXEC_CONNECTION (the
 * client's address and port), with a terminal also TERM, REXEC_TTY and SSH_TTY (the terminal's
 * name; the second is what scripts for logins look at), and what the client sets and the policy
 * accepts. Nothing of the daemon's own. What the client only would like to set (RX_WORD_WANTED) is
 * left out in silence where it is not accepted, takes the place of one of these, or is one too
 * many.
 */
#ifndef REXEC_REXECD_ENVIRONMENT_H
#define REXEC_REXECD_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexecd/users.h"

/* A block for execve: pointers, and the strings behind them in the same allocation. */
struct environment {
    char **variables; /* ends with NULL; free() frees all */
    size_t count;
};

struct environment_policy {
    const char *const *patterns; /* of names that clients may set: see proto/pattern.h */
    size_t pattern_count;
    const char *path; /* NULL: the usual one for the user */
    const char *terminal,
        *term; /* of a command with a terminal: its name and its kind; else NULL */
    /* The grant forces a command: its environment is not the client's to make, so that only
     * patterns count that have more than `*` and `?`, and the usual few (LANG, LC_*, TERM,
     * COLORTERM, TZ, GIT_PROTOCOL). */
    bool forced;
};

enum { ENVIRONMENT_MAX = 1000 }; /* variables; each is compared with all before it */

enum environment_result {
    ENVIRONMENT_OK,
    ENVIRONMENT_TOO_MANY,
    ENVIRONMENT_NOT_ACCEPTED, /* *which (a name of n bytes, in the words) may not be set */
    ENVIRONMENT_NO_MEMORY,
};

/* A name in the words. */
struct environment_name {
    const uint8_t *bytes;
    size_t n;
};

/*
 * Builds it. The words (proto/words.h) were checked; of two with one name the later counts.
 * `connection` is REXEC_CONNECTION's value, `original` REXEC_ORIGINAL_COMMAND's, or NULL.
 */
enum environment_result environment_build(struct environment *environment,
                                          const struct environment_policy *policy,
                                          const struct user *user, const char *connection,
                                          const char *original, const uint8_t *words, size_t n,
                                          struct environment_name *which);

/* Frees; for one that was built or zeroed. */
void environment_free(struct environment *environment);

/* A variable's value, or NULL. */
const char *environment_get(const struct environment *environment, const char *name);

/*
 * Whether the policy lets a client set a variable of this name. USER, LOGNAME, SHELL,
 * REXEC_CONNECTION, REXEC_TTY and REXEC_ORIGINAL_COMMAND never; what makes loaders, shells and
 * interpreters run something else (LD_*, BASH_ENV, PYTHON*, ...) only where a pattern is its very
 * name.
 */
bool environment_accepts(const struct environment_policy *policy, const uint8_t *name, size_t n);

#endif
