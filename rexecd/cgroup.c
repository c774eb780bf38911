#include "rexecd/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/log.h"

enum { NAME_SIZE = 40, SWEEP_AT_ONCE = 64, CLOSE_ROUNDS = 50, CLOSE_WAIT_US = 2000, KEPT_MAX = 16 };

static const char prefix[] = "rexecd-", command_prefix[] = "command-";

/* One that is used again: making and removing them is what costs most of a short command. */
struct kept {
    uint64_t number; /* 0: none */
    int directory, events;
    bool taken, killed;
};

struct cgroups {
    int directory; /* the daemon's own cgroup */
    int parent;
    char name[NAME_SIZE]; /* of it, in the parent */
    uint64_t last;        /* number given to one */
    struct kept kept[KEPT_MAX];
    uint64_t *left; /* those that still have processes */
    size_t left_count, left_capacity;
};

/* This process's cgroup, from the line "0::PATH". */
static bool find_own(char path[static PATH_MAX])
{
    char line[PATH_MAX + 8];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::/", 4) == 0;
        if (found)
            (void)snprintf(path, PATH_MAX, "%.*s", PATH_MAX - 1, line + 3);
    }
    (void)fclose(file);
    return found;
}

static void command_name(uint64_t which, char name[static NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "%s%" PRIu64, command_prefix, which);
}

/* A daemon's directory, with those of its commands. */
static void remove_with_commands(int parent, const char *name)
{
    struct dirent **entries = NULL;
    int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int count = directory >= 0 ? scandirat(directory, ".", &entries, NULL, NULL) : 0;
    for (int i = 0; i < count; i++) {
        if (strncmp(entries[i]->d_name, command_prefix, strlen(command_prefix)) == 0)
            (void)unlinkat(directory, entries[i]->d_name, AT_REMOVEDIR);
        free(entries[i]);
    }
    free(entries);
    if (directory >= 0)
        (void)close(directory);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* Whether a child can be put into a cgroup that was made here: a file that can be opened for
 * writing need not take what is written. */
static bool child_may_enter(int directory)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int procs = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        _exit(procs >= 0 && write(procs, "0", 1) == 1 ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Directories of daemons that are no more, and could not clean up behind themselves. What still has
 * processes in it stays. */
static void remove_stale(int parent)
{
    struct dirent **entries = NULL;
    int count = scandirat(parent, ".", &entries, NULL, NULL);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char *end = NULL;
        long pid = strncmp(name, prefix, strlen(prefix)) == 0
                       ? strtol(name + strlen(prefix), &end, 10)
                       : 0;
        if (pid > 0 && *end == '\0' && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            remove_with_commands(parent, name);
        free(entries[i]);
    }
    free(entries);
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Undoes mountinfo's \040 and the like, in place. */
static void unescape(char *path)
{
    char *to = path;
    for (const char *from = path; *from != '\0'; to++) {
        if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) && is_octal(from[3])) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Opens the daemon's cgroup where one line of mountinfo has cgroup v2 (its fifth field) and makes
 * one below it. False: nothing can be made, or nobody be put there. */
static bool use_mount(struct cgroups *c, const char *line, const char *own)
{
    char mount[PATH_MAX], path[2 * PATH_MAX];
    if (strstr(line, " - cgroup2 ") == NULL || sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1)
        return false;
    unescape(mount);
    (void)snprintf(path, sizeof path, "%s%s", mount, own);
    c->parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->parent < 0)
        return false;
    remove_stale(c->parent);
    if (mkdirat(c->parent, c->name, 0755) < 0 && errno != EEXIST)
        return false;
    c->directory = openat(c->parent, c->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->directory < 0)
        return false;
    uint64_t which = 0;
    int directory = cgroups_take(c, &which);
    bool usable = directory >= 0 && child_may_enter(directory);
    if (directory >= 0)
        (void)close(directory);
    cgroups_give(c, which, false);
    return usable;
}

static void leave_mount(struct cgroups *c)
{
    if (c->directory >= 0)
        (void)close(c->directory);
    if (c->parent >= 0) {
        (void)unlinkat(c->parent, c->name, AT_REMOVEDIR);
        (void)close(c->parent);
    }
    c->directory = c->parent = -1;
}

/* It may be mounted several times, and not be writable everywhere: the first that will do. */
static bool find_mount(struct cgroups *c)
{
    char own[PATH_MAX], line[PATH_MAX + 512];
    bool found = false;
    FILE *file = find_own(own) ? fopen("/proc/self/mountinfo", "re") : NULL;
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = use_mount(c, line, own);
        if (!found)
            leave_mount(c);
    }
    (void)fclose(file);
    return found;
}

struct cgroups *cgroups_open(void)
{
    struct cgroups *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->directory = c->parent = -1;
    (void)snprintf(c->name, sizeof c->name, "%s%d", prefix, (int)getpid());
    if (find_mount(c))
        return c;
    log_debug("no writable cgroup v2: a command's processes are found by session and descent");
    free(c->left);
    free(c);
    return NULL;
}

/* ---- being removed ---------------------------------------------------------------------- */

static bool remove_now(const struct cgroups *c, uint64_t which)
{
    char name[NAME_SIZE];
    command_name(which, name);
    return unlinkat(c->directory, name, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

/* At once, or when nobody is in it any more. */
static void remove_later(struct cgroups *c, uint64_t which)
{
    if (remove_now(c, which))
        return;
    if (c->left_count == c->left_capacity) {
        size_t capacity = c->left_capacity > 0 ? c->left_capacity * 2 : 64;
        uint64_t *left = reallocarray(c->left, capacity, sizeof *left);
        if (left == NULL)
            return; /* an empty directory stays; nothing depends on it */
        c->left = left;
        c->left_capacity = capacity;
    }
    c->left[c->left_count++] = which;
}

static void drop(struct cgroups *c, struct kept *k)
{
    if (k->directory >= 0)
        (void)close(k->directory);
    if (k->events >= 0)
        (void)close(k->events);
    remove_later(c, k->number);
    *k = (struct kept){0};
}

void cgroups_close(struct cgroups *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < KEPT_MAX; i++)
        if (c->kept[i].number != 0 && !c->kept[i].taken)
            drop(c, &c->kept[i]);
    /* What was killed just now needs a moment to be gone. */
    for (int i = 0; i < CLOSE_ROUNDS && cgroups_sweep(c); i++)
        (void)usleep(CLOSE_WAIT_US);
    leave_mount(c);
    free(c->left);
    free(c);
}

/* ---- those that are used again ---------------------------------------------------------- */

/* The kept one with this number, which is not 0; with 0: a place for one more. */
static struct kept *find_kept(struct cgroups *c, uint64_t which)
{
    for (size_t i = 0; i < KEPT_MAX; i++)
        if (c->kept[i].number == which)
            return &c->kept[i];
    return NULL;
}

/* Whether it is there and nobody is in it. */
static bool is_empty(const struct kept *k)
{
    static const char empty[] = "populated 0\nfrozen 0\n";
    char events[64];
    ssize_t n = pread(k->events, events, sizeof events, 0);
    return n == (ssize_t)strlen(empty) && memcmp(events, empty, strlen(empty)) == 0;
}

/* A new cgroup's number, or 0. */
static uint64_t make(struct cgroups *c)
{
    char name[NAME_SIZE];
    command_name(c->last + 1, name);
    if (mkdirat(c->directory, name, 0755) < 0 && errno != EEXIST)
        return 0;
    return ++c->last;
}

static int open_in(const struct cgroups *c, uint64_t which, const char *file, int flags)
{
    char name[NAME_SIZE], path[NAME_SIZE + 16];
    command_name(which, name);
    (void)snprintf(path, sizeof path, "%s/%s", name, file);
    return openat(c->directory, path, flags | O_CLOEXEC);
}

/* Makes one in a place that is free. NULL: it cannot be. */
static struct kept *keep(struct cgroups *c, struct kept *k)
{
    uint64_t which = make(c);
    if (which == 0)
        return NULL;
    *k = (struct kept){
        .number = which,
        .directory = open_in(c, which, "", O_RDONLY | O_DIRECTORY),
        .events = open_in(c, which, "cgroup.events", O_RDONLY),
    };
    if (k->directory >= 0 && k->events >= 0 && is_empty(k))
        return k;
    drop(c, k);
    return NULL;
}

/* One that nobody has. NULL: there is none. */
static struct kept *find_free(struct cgroups *c)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        struct kept *k = &c->kept[i];
        if (k->number == 0 || k->taken)
            continue;
        if (is_empty(k))
            return k;
        drop(c, k); /* taken away by whoever tidies up there */
    }
    return NULL;
}

/* Whether one seems to be free: who takes it looks into it. */
static bool has_free(const struct cgroups *c)
{
    for (size_t i = 0; i < KEPT_MAX; i++)
        if (c->kept[i].number != 0 && !c->kept[i].taken)
            return true;
    return false;
}

void cgroups_prepare(struct cgroups *c)
{
    if (c == NULL || has_free(c))
        return;
    struct kept *k = find_kept(c, 0);
    if (k != NULL)
        (void)keep(c, k);
}

void cgroups_trim(struct cgroups *c)
{
    bool one = false;
    for (size_t i = 0; c != NULL && i < KEPT_MAX; i++) {
        struct kept *k = &c->kept[i];
        if (k->number == 0 || k->taken)
            continue;
        if (one)
            drop(c, k);
        one = true;
    }
}

int cgroups_take(struct cgroups *c, uint64_t *which)
{
    *which = 0;
    if (c == NULL)
        return -1;
    struct kept *k = find_free(c), *place = k == NULL ? find_kept(c, 0) : NULL;
    if (place != NULL)
        k = keep(c, place);
    if (k == NULL) {
        uint64_t number = make(c);
        int directory = number != 0 ? open_in(c, number, "", O_RDONLY | O_DIRECTORY) : -1;
        if (number != 0 && directory < 0)
            remove_later(c, number);
        *which = directory >= 0 ? number : 0;
        return directory;
    }
    int directory = fcntl(k->directory, F_DUPFD_CLOEXEC, 0);
    if (directory >= 0) {
        k->taken = true;
        *which = k->number;
    }
    return directory;
}

void cgroups_give(struct cgroups *c, uint64_t which, bool untouched)
{
    if (c == NULL || which == 0)
        return;
    struct kept *k = find_kept(c, which);
    if (k == NULL)
        remove_later(c, which);
    else if (untouched && !k->killed && is_empty(k))
        k->taken = false;
    else
        drop(c, k);
}

/* ---- what is in them -------------------------------------------------------------------- */

size_t cgroups_pids(const struct cgroups *c, uint64_t which, pid_t *pids, size_t max)
{
    char line[32];
    size_t n = 0;
    if (c == NULL)
        return 0;
    int fd = open_in(c, which, "cgroup.procs", O_RDONLY);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    while (n < max && fgets(line, sizeof line, file) != NULL)
        pids[n++] = (pid_t)strtol(line, NULL, 10);
    (void)fclose(file);
    return n;
}

int cgroups_kill(struct cgroups *c, uint64_t which)
{
    if (c == NULL)
        return -1;
    struct kept *k = which != 0 ? find_kept(c, which) : NULL;
    if (k != NULL)
        k->killed = true;
    int fd = open_in(c, which, "cgroup.kill", O_WRONLY);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, "1", 1);
    (void)close(fd);
    return n == 1 ? 0 : -1;
}

bool cgroups_sweep(struct cgroups *c)
{
    if (c == NULL)
        return false;
    size_t tried = c->left_count < SWEEP_AT_ONCE ? c->left_count : SWEEP_AT_ONCE;
    for (size_t i = 0; i < tried; i++) {
        uint64_t which = c->left[0];
        c->left_count--;
        memmove(c->left, c->left + 1, c->left_count * sizeof *c->left);
        if (!remove_now(c, which))
            c->left[c->left_count++] = which; /* to the end: others have their turn */
    }
    return c->left_count > 0;
}
