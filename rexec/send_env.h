/*
 * SendEnv and SetEnv: which variables go along with a command, if the server accepts them.
 */
#ifndef REXEC_SEND_ENV_H
#define REXEC_SEND_ENV_H

#include "rexec/options.h"

/*
 * The patterns of SendEnv, what others have taken out of the list left out, each ended by NUL and
 * an empty one at the end; to be freed. LANG and LC_* come first. NULL: no memory.
 */
char *send_env_patterns(const struct settings *s);

/* Adds each variable of `environment` that SendEnv names, and behind them those of SetEnv. False:
 * no memory. To be freed with variables_free either way. */
bool send_env_collect(const struct settings *s, char *const *environment, struct variables *out);

void variables_free(struct variables *variables);

#endif
