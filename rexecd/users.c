#include "rexecd/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWD_MAX = 1024 * 1024, GROUPS_FIRST = 32, GROUPS_MAX = 65536 };

void user_free(struct user *user)
{
    free(user->name);
    free(user->groups);
    *user = (struct user){0};
}

static int copy_strings(struct user *user, const struct passwd *found)
{
    const char *shell =
        found->pw_shell != NULL && found->pw_shell[0] == '/' ? found->pw_shell : "/bin/sh";
    size_t name = strlen(found->pw_name) + 1, home = strlen(found->pw_dir) + 1;
    user->name = malloc(name + home + strlen(shell) + 1);
    if (user->name == NULL)
        return -1;
    user->home = user->name + name;
    user->shell = user->home + home;
    memcpy(user->name, found->pw_name, name);
    memcpy(user->home, found->pw_dir, home);
    memcpy(user->shell, shell, strlen(shell) + 1);
    return 0;
}

static int find_groups(struct user *user)
{
    int count = GROUPS_FIRST;
    for (;;) {
        gid_t *groups = reallocarray(user->groups, (size_t)count, sizeof *groups);
        if (groups == NULL)
            return -1;
        user->groups = groups;
        int room = count;
        if (getgrouplist(user->name, user->gid, groups, &count) >= 0) {
            user->group_count = (size_t)count;
            return 0;
        }
        /* Some libraries do not say how many there are. */
        if (count <= room)
            count = room * 2;
        if (count > GROUPS_MAX) {
            errno = E2BIG;
            return -1;
        }
    }
}

/* By name, or by id if name is NULL. */
static enum user_result look_up(const char *name, uid_t uid, struct user *user)
{
    *user = (struct user){0};
    for (size_t size = 1024; size <= PASSWD_MAX; size *= 4) {
        char *buffer = malloc(size);
        if (buffer == NULL)
            return USER_FAILED;
        struct passwd entry, *found = NULL;
        int wrong = name != NULL ? getpwnam_r(name, &entry, buffer, size, &found)
                                 : getpwuid_r(uid, &entry, buffer, size, &found);
        if (wrong == ERANGE) {
            free(buffer);
            continue;
        }
        enum user_result result = USER_FOUND;
        if (found == NULL) {
            /* These all mean "not there" (getpwnam(3), "ERRORS"). */
            bool unknown =
                wrong == 0 || wrong == ENOENT || wrong == ESRCH || wrong == EBADF || wrong == EPERM;
            result = unknown ? USER_UNKNOWN : USER_FAILED;
        } else {
            user->uid = found->pw_uid;
            user->gid = found->pw_gid;
            if (copy_strings(user, found) < 0 || find_groups(user) < 0)
                result = USER_FAILED;
        }
        free(buffer);
        if (result == USER_FAILED && wrong != 0)
            errno = wrong;
        return result;
    }
    errno = E2BIG;
    return USER_FAILED;
}

enum user_result user_find(const char *name, struct user *user)
{
    return look_up(name, 0, user);
}

enum user_result user_by_id(uid_t uid, struct user *user)
{
    return look_up(NULL, uid, user);
}

enum user_result user_copy(const struct user *from, struct user *to)
{
    const struct passwd entry = {
        .pw_name = from->name, .pw_dir = from->home, .pw_shell = from->shell};
    *to = (struct user){.uid = from->uid, .gid = from->gid, .group_count = from->group_count};
    to->groups = reallocarray(NULL, from->group_count + 1, sizeof *to->groups);
    if (to->groups == NULL || copy_strings(to, &entry) < 0)
        return USER_FAILED;
    if (from->group_count > 0)
        memcpy(to->groups, from->groups, from->group_count * sizeof *to->groups);
    return USER_FOUND;
}
