#include "rexecd/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PLACES = 4 }; /* of one search, at most */

/* In the place of a file system: what the number is of. */
#define OF_PIPES 0
#define OF_SESSIONS UINT64_MAX

/* What may be held, and who asks for it. */
struct place {
    uint64_t device, number;
    struct holders_search *search;
};

struct places {
    struct place *all; /* in order */
    size_t count;
    bool terminals; /* some are no pipes */
};

static int in_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->device != y->device)
        return x->device > y->device ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static void add(struct places *places, uint64_t device, uint64_t number,
                struct holders_search *search)
{
    if (number != 0)
        places->all[places->count++] = (struct place){device, number, search};
}

/* `all` has room for PLACES of each search. */
static struct places index_places(struct place *all, struct holders_search *searches, size_t count)
{
    struct places places = {.all = all};
    for (size_t i = 0; i < count; i++) {
        struct holders_search *s = &searches[i];
        add(&places, OF_PIPES, s->output.pipes[0], s);
        add(&places, OF_PIPES, s->output.pipes[1], s);
        if (s->output.terminal == 0)
            continue;
        places.terminals = true;
        add(&places, s->output.device, s->output.terminal, s);
        add(&places, OF_SESSIONS, s->session > 0 ? (uint64_t)s->session : 0, s);
    }
    qsort(all, places.count, sizeof *all, in_order);
    return places;
}

static struct holders_search *search_of(const struct places *places, uint64_t device,
                                        uint64_t number)
{
    const struct place key = {.device = device, .number = number};
    const struct place *found =
        bsearch(&key, places->all, places->count, sizeof *places->all, in_order);
    return found != NULL ? found->search : NULL;
}

/* A terminal: by its own file, or as the session's, which /dev/tty does not name. The file is not
 * asked for news of itself: whose file system that is may never answer. */
static struct holders_search *search_of_file(long pid, int directory, const char *name,
                                             const struct places *places)
{
    struct statx st;
    if (!places->terminals ||
        statx(directory, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) != 0 ||
        !S_ISCHR(st.stx_mode))
        return NULL;
    if (st.stx_rdev_major == 5 && st.stx_rdev_minor == 0) {
        pid_t session = getsid((pid_t)pid);
        return session > 0 ? search_of(places, OF_SESSIONS, (uint64_t)session) : NULL;
    }
    return search_of(places, makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino);
}

/* The search for what the link leads to. Of a pipe those count that have it open for writing: net
 * holds the other end. NULL: for none. */
static struct holders_search *search_of_link(long pid, int directory, const char *name,
                                             const struct places *places)
{
    static const char kind[] = "pipe:[";
    char target[64];
    ssize_t n = readlinkat(directory, name, target, sizeof target - 1);
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    bool pipe = strncmp(target, kind, strlen(kind)) == 0;
    struct holders_search *found = NULL;
    if (pipe)
        found = search_of(places, OF_PIPES, strtoull(target + strlen(kind), NULL, 10));
    else if (target[0] == '/')
        found = search_of_file(pid, directory, name, places);
    /* The link's own mode says how it is open; O_PATH is not at all. */
    struct stat link;
    mode_t open = pipe ? S_IWUSR : S_IRUSR | S_IWUSR;
    return found != NULL && fstatat(directory, name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                   (link.st_mode & open) != 0
               ? found
               : NULL;
}

/* Adds the process to the searches for what it holds, once to each. */
static void look_at(long pid, const struct places *places)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    DIR *fds = pid != getpid() ? opendir(path) : NULL;
    if (fds == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(fds)) != NULL) {
        struct holders_search *search = search_of_link(pid, dirfd(fds), entry->d_name, places);
        struct rx_holders *found = search != NULL ? &search->found : NULL;
        if (found != NULL && found->count < RX_HOLDERS_MAX &&
            (found->count == 0 || found->pids[found->count - 1] != pid))
            found->pids[found->count++] = pid;
    }
    (void)closedir(fds);
}

void holders_find(struct holders_search *searches, size_t count)
{
    struct place *all = count > 0 ? reallocarray(NULL, PLACES * count, sizeof *all) : NULL;
    DIR *proc = all != NULL ? opendir("/proc") : NULL;
    const struct dirent *entry;
    struct places places = {0};
    if (proc != NULL)
        places = index_places(all, searches, count);
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && pid > 0)
            look_at(pid, &places);
    }
    if (proc != NULL)
        (void)closedir(proc);
    free(all);
}

void holders_find_among(const pid_t *pids, size_t n, struct holders_search *search)
{
    struct place all[PLACES];
    const struct places places = index_places(all, search, 1);
    for (size_t i = 0; i < n; i++)
        look_at(pids[i], &places);
}
