#include "rexecd/account.h"

#include <errno.h>
#include <shadow.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHADOW_MAX = 64 * 1024, DAY = 24 * 60 * 60 };

int priv_account_expired(const char *name, int64_t now)
{
    for (size_t size = 1024; size <= SHADOW_MAX; size *= 4) {
        char *buffer = malloc(size);
        struct spwd entry, *found = NULL;
        int wrong = buffer != NULL ? getspnam_r(name, &entry, buffer, size, &found) : ENOMEM;
        bool expired = found != NULL && found->sp_expire >= 0 && now / DAY >= found->sp_expire;
        /* There is a hash of a password in it. */
        if (buffer != NULL)
            explicit_bzero(buffer, size);
        free(buffer);
        if (wrong == ERANGE)
            continue;
        if (wrong == 0 || wrong == ENOENT || wrong == EACCES)
            return expired;
        errno = wrong;
        return -1;
    }
    errno = E2BIG;
    return -1;
}

bool account_shell_is_listed(const char *shell)
{
    const char *each;
    bool listed = false;
    setusershell();
    while (!listed && (each = getusershell()) != NULL)
        listed = strcmp(each, shell) == 0;
    endusershell();
    return listed;
}
