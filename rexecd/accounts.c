#include "rexecd/accounts.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rexecd/account.h"
#include "rexecd/watch.h"

enum { KEPT = 16 };

struct kept {
    char *name; /* as it was asked for; NULL: nothing is here */
    struct account account;
    int64_t found_us;
};

struct accounts {
    account_look_up *look_up;
    struct watch *files;
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
    a->files = watch_new(files != NULL ? files : system_files, true);
    if (a->files == NULL) {
        free(a);
        return NULL;
    }
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
    watch_free(a->files);
    free(a);
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
    if (watch_changed(a->files))
        forget_all(a);
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
