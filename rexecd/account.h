/*
 * What the system's own files say of a user that commands are to run as, besides who he is: root's
 * daemon goes by it as a login would.
 */
#ifndef REXEC_REXECD_ACCOUNT_H
#define REXEC_REXECD_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the account has expired (shadow(5)) at this time, in seconds since 1970: 1 or 0. 0 where
 * nothing is known of that, or only root could know. -1 with errno: it could not be found out. */
int priv_account_expired(const char *name, int64_t now);

/* Whether the shell is one that people log in with: one in /etc/shells. */
bool account_shell_is_listed(const char *shell);

#endif
