#include "rexecd/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rx_error policy_refuse(struct policy_refusal *refusal, enum rx_error error, const char *format,
                            ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
    va_end(arguments);
    refusal->error = error;
    return error;
}

/* An ordinary user's daemon runs everything as that user: no grant is needed to say so, but one
 * that names only others means another machine. */
static enum rx_error own_user(const struct policy_host *host, const struct rx_grant *grant,
                              const char *asked, const char **user, struct policy_refusal *refusal)
{
    if (asked[0] != '\0' && strcmp(asked, host->self) != 0)
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "this rexecd runs as %s and runs commands as %s only; leave -l out",
                             host->self, host->self);
    bool named = grant->any_user || grant->user_count > 0;
    if (named && !rx_grant_allows_user(grant, host->self))
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "this rexecd runs as %s, whom the grant does not name; ask for "
                             "users = %s in it",
                             host->self, host->self);
    *user = host->self;
    return RX_OK;
}

static enum rx_error any_user(const struct rx_grant *grant, const char *asked, const char **user,
                              struct policy_refusal *refusal)
{
    if (!grant->any_user && grant->user_count == 0)
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "the grant names no user to run commands as; ask for users = NAME in "
                             "it");
    if (asked[0] == '\0' && grant->user_count == 0)
        return policy_refuse(refusal, RX_E_BAD_REQUEST,
                             "the grant allows every user; say which one with -l");
    if (asked[0] == '\0') {
        *user = grant->users[0];
        return RX_OK;
    }
    if (!rx_grant_allows_user(grant, asked))
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "the grant does not permit the user %s; choose another with -l",
                             asked);
    *user = asked;
    return RX_OK;
}

static enum rx_error supported(const struct rx_exec *exec, struct policy_refusal *refusal)
{
    if (exec->detach)
        return policy_refuse(refusal, RX_E_NOT_SUPPORTED,
                             "this server cannot detach commands; stay connected");
    return RX_OK;
}

/* Limits under which the process itself would run, and might behave otherwise than was meant. */
static bool limits_command(const struct rx_limits *limits)
{
    return limits->cpu_ms != RX_ABSENT || limits->memory != RX_ABSENT ||
           limits->files != RX_ABSENT || limits->processes != RX_ABSENT ||
           limits->file_size != RX_ABSENT || limits->core != RX_ABSENT;
}

enum rx_error policy_exec(const struct policy_host *host, const struct rx_grant *grant,
                          const struct rx_exec *exec, bool has_directory, const char **user,
                          struct policy_refusal *refusal)
{
    enum rx_error error = supported(exec, refusal);
    if (error != RX_OK)
        return error;
    if (grant->command[0] != '\0' && limits_command(&exec->limits))
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "the grant forces a command, which has the server's limits; ask "
                             "without limits but for output");
    if (exec->pty.wanted && grant->no_pty)
        return policy_refuse(refusal, RX_E_NO_TERMINAL,
                             "the grant allows no terminals; leave the terminal out (-T)");
    if (grant->command[0] != '\0' && has_directory)
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "the grant forces a command, which runs in the home directory; leave "
                             "--cwd out");
    return host->root ? any_user(grant, exec->user, user, refusal)
                      : own_user(host, grant, exec->user, user, refusal);
}
