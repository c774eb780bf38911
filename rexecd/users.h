/*
 * Users of the system, by name: who commands run as.
 */
#ifndef REXEC_REXECD_USERS_H
#define REXEC_REXECD_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user {
    char *name, *home, *shell; /* in one allocation; shell is /bin/sh where none is named */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* with gid */
    size_t group_count;
};

enum user_result {
    USER_FOUND,
    USER_UNKNOWN,
    USER_FAILED, /* errno: the data base could not be asked, or no memory */
};

/* Looks a user up, by name or by id; the caller frees with user_free whatever it says. With all
 * groups of the data base. */
enum user_result user_find(const char *name, struct user *user);
enum user_result user_by_id(uid_t uid, struct user *user);

/* A copy of one that was found. USER_FOUND, or USER_FAILED: no memory. */
enum user_result user_copy(const struct user *from, struct user *to);

void user_free(struct user *user);

#endif
