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

enum { NAME_SIZE = 40, SWEEP_AT_ONCE = 64, CLOSE_ROUNDS = 50, CLOSE_WAIT_US = 2000 };

static const char prefix[] = "rexecd-", command_prefix[] = "command-";

struct cgroups {
    int directory; /* the daemon's own cgroup */
    int parent;
    char name[NAME_SIZE]; /* of it, in the parent */
    bool prepared;        /* that of the command `ready` */
    uint64_t ready;
    uint64_t *left; /* commands whose cgroups still have processes */
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

static void command_name(uint64_t command, char name[static NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "%s%" PRIu64, command_prefix, command);
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
    int directory = cgroups_make(c, 0);
    bool usable = directory >= 0 && child_may_enter(directory);
    if (directory >= 0)
        (void)close(directory);
    cgroups_remove(c, 0);
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

/* What was prepared is not needed. */
static void unprepare(struct cgroups *c)
{
    if (c->prepared)
        cgroups_remove(c, c->ready);
    c->prepared = false;
}

void cgroups_close(struct cgroups *c)
{
    if (c == NULL)
        return;
    unprepare(c);
    /* What was killed just now needs a moment to be gone. */
    for (int i = 0; i < CLOSE_ROUNDS && cgroups_sweep(c); i++)
        (void)usleep(CLOSE_WAIT_US);
    leave_mount(c);
    free(c->left);
    free(c);
}

static bool make(const struct cgroups *c, uint64_t command)
{
    char name[NAME_SIZE];
    command_name(command, name);
    return mkdirat(c->directory, name, 0755) == 0 || errno == EEXIST;
}

void cgroups_prepare(struct cgroups *c, uint64_t command)
{
    if (c == NULL || (c->prepared && c->ready == command))
        return;
    unprepare(c);
    c->ready = command;
    c->prepared = make(c, command);
}

int cgroups_make(struct cgroups *c, uint64_t command)
{
    char name[NAME_SIZE];
    if (c == NULL)
        return -1;
    command_name(command, name);
    if (c->prepared && c->ready == command)
        c->prepared = false;
    else if (!make(c, command))
        return -1;
    int directory = openat(c->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* What was prepared may have been taken away by whoever tidies up there. */
    if (directory < 0 && errno == ENOENT && make(c, command))
        directory = openat(c->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory;
}

size_t cgroups_pids(const struct cgroups *c, uint64_t command, pid_t *pids, size_t max)
{
    char name[NAME_SIZE], path[NAME_SIZE + 16], line[32];
    size_t n = 0;
    if (c == NULL)
        return 0;
    command_name(command, name);
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", name);
    int fd = openat(c->directory, path, O_RDONLY | O_CLOEXEC);
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

int cgroups_kill(struct cgroups *c, uint64_t command)
{
    char name[NAME_SIZE], path[NAME_SIZE + 16];
    if (c == NULL)
        return -1;
    command_name(command, name);
    (void)snprintf(path, sizeof path, "%s/cgroup.kill", name);
    int fd = openat(c->directory, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, "1", 1);
    (void)close(fd);
    return n == 1 ? 0 : -1;
}

static bool remove_now(const struct cgroups *c, uint64_t command)
{
    char name[NAME_SIZE];
    command_name(command, name);
    return unlinkat(c->directory, name, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

void cgroups_remove(struct cgroups *c, uint64_t command)
{
    if (c == NULL || remove_now(c, command))
        return;
    if (c->left_count == c->left_capacity) {
        size_t capacity = c->left_capacity > 0 ? c->left_capacity * 2 : 64;
        uint64_t *left = reallocarray(c->left, capacity, sizeof *left);
        if (left == NULL)
            return; /* an empty directory stays; nothing depends on it */
        c->left = left;
        c->left_capacity = capacity;
    }
    c->left[c->left_count++] = command;
}

bool cgroups_sweep(struct cgroups *c)
{
    if (c == NULL)
        return false;
    size_t tried = c->left_count < SWEEP_AT_ONCE ? c->left_count : SWEEP_AT_ONCE;
    for (size_t i = 0; i < tried; i++) {
        uint64_t command = c->left[0];
        c->left_count--;
        memmove(c->left, c->left + 1, c->left_count * sizeof *c->left);
        if (!remove_now(c, command))
            c->left[c->left_count++] = command; /* to the end: others have their turn */
    }
    return c->left_count > 0;
}
