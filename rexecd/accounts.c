#include "rexecd/accounts.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "rexecd/account.h"

enum { KEPT = 16, FILES_MAX = 8 };

/* What tells one content of a file from another. All zero: it is not there. */
struct mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct kept {
    char *name; /* as it was asked for; NULL: nothing is here */
    struct account account;
    int64_t found_us;
};

struct accounts {
    account_look_up *look_up;
    const char *const *files;
    struct mark marks[FILES_MAX]; /* of the files, as they were last seen */
    struct kept kept[KEPT];
    size_t next; /* to be given up for another */
};

static const char *const system_files[] = {"/etc/passwd",        "/etc/group",  "/etc/shadow",
                                           "/etc/nsswitch.conf", "/etc/shells", NULL};

enum user_result account_find(const char *name, struct account *account)
{
    *account = (struct account){0};
    enum user_result result = user_find(name, &account->user);
    if (result != USER_FOUND)
        return result;
    int expired = priv_account_expired(account->user.name, (int64_t)time(NULL));
    if (expired < 0)
        return USER_FAILED;
    account->expired = expired > 0;
    account->listed = account_shell_is_listed(account->user.shell);
    return USER_FOUND;
}

struct accounts *accounts_new(const char *const *files, account_look_up *look_up)
{
    struct accounts *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->look_up = look_up;
    a->files = files != NULL ? files : system_files;
    return a;
}

static void forget(struct kept *kept)
{
    free(kept->name);
    user_free(&kept->account.user);
    *kept = (struct kept){0};
}

static void forget_all(struct accounts *a)
{
    for (size_t i = 0; i < KEPT; i++)
        forget(&a->kept[i]);
}

void accounts_free(struct accounts *a)
{
    if (a == NULL)
        return;
    forget_all(a);
    free(a);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct mark *a, const struct mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

/* Forgets all if one of the files is another than it was. */
static void check_files(struct accounts *a)
{
    bool changed = false;
    for (size_t i = 0; i < FILES_MAX && a->files[i] != NULL; i++) {
        struct mark mark = {0};
        struct stat file;
        if (stat(a->files[i], &file) == 0)
            mark =
                (struct mark){file.st_dev, file.st_ino, file.st_size, file.st_mtim, file.st_ctim};
        changed = changed || !same(&mark, &a->marks[i]);
        a->marks[i] = mark;
    }
    if (changed)
        forget_all(a);
}

static struct kept *find_kept(struct accounts *a, const char *name, int64_t now_us)
{
    for (size_t i = 0; i < KEPT; i++) {
        struct kept *k = &a->kept[i];
        if (k->name == NULL || strcmp(k->name, name) != 0)
            continue;
        if (now_us - k->found_us < (int64_t)ACCOUNTS_KEPT_MS * 1000)
            return k;
        forget(k);
    }
    return NULL;
}

enum user_result accounts_find(struct accounts *a, const char *name, int64_t now_us,
                               const struct account **account)
{
    /* Before the look-up: a file that changes meanwhile is another one the next time. */
    check_files(a);
    struct kept *k = find_kept(a, name, now_us);
    if (k == NULL) {
        k = &a->kept[a->next];
        forget(k);
        k->name = strdup(name);
        enum user_result result = k->name != NULL ? a->look_up(name, &k->account) : USER_FAILED;
        if (result != USER_FOUND) {
            forget(k);
            return result;
        }
        k->found_us = now_us;
        a->next = (a->next + 1) % KEPT;
    }
    *account = &k->account;
    return USER_FOUND;
}
