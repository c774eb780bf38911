/*
 * ssh's tokens in settings: %h, %u, ${NAME}, a leading ~/.
 */
#ifndef REXEC_EXPAND_H
#define REXEC_EXPAND_H

#include <stdbool.h>
#include <stddef.h>

/* What each letter stands for; NULL: not a token. `%` itself need not be set. */
struct tokens {
    const char *value[128];
    bool variables; /* ${NAME} is the environment's NAME, too */
};

enum { EXPAND_ERROR_MAX = 128 };

/* The text with its tokens replaced, to be freed. NULL, with `error` (a clause). */
char *expand_tokens(const char *text, const struct tokens *tokens,
                    char error[static EXPAND_ERROR_MAX]);

#endif
