/*
 * The users that commands run as, looked up once for many commands: a look-up asks every source
 * that the system has (nsswitch.conf(5)) and costs more than all else that a short command needs of
 * the monitor.
 *
 * What was found is believed as long as none of the system's files has changed since, and never
 * longer than ACCOUNTS_KEPT_MS: of other sources, a directory service say, nobody tells us.
 */
#ifndef REXEC_REXECD_ACCOUNTS_H
#define REXEC_REXECD_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "rexecd/users.h"

enum { ACCOUNTS_KEPT_MS = 5000 };

struct account {
    struct user user;
    bool expired; /* priv_account_expired() */
    bool listed;  /* its shell: account_shell_is_listed() */
};

/* As user_find, with the rest; what it leaves in *account is the caller's, of which user_free frees
 * all. */
typedef enum user_result account_look_up(const char *name, struct account *account);
account_look_up account_find;

struct accounts;

/* `files`: those that say who is who, a list that ends with NULL and stays the caller's; NULL: the
 * system's. `look_up`: account_find, or a test's. NULL: no memory. */
struct accounts *accounts_new(const char *const *files, account_look_up *look_up);
void accounts_free(struct accounts *accounts);

/* Looks a user up at this time, in microseconds of a clock that only rises. USER_FOUND: *account
 * points to what was found, until the next call; otherwise as user_find, and nothing is kept. */
enum user_result accounts_find(struct accounts *accounts, const char *name, int64_t now_us,
                               const struct account **account);

#endif
