#include "rexecd/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What /proc/PID/stat says. */
struct process {
    pid_t pid, parent, group, session;
    unsigned long long start; /* with the pid: this process and no other */
    bool ours, dead, stopped;
};

struct processes {
    struct process *all;
    size_t count, capacity;
};

int tree_signal(pid_t main_pid, int signal)
{
    return kill(-main_pid, signal);
}

/* Fields of /proc/PID/stat (proc(5)) that stand behind the name, as they are counted there. */
enum { STAT_STATE = 3, STAT_PARENT, STAT_GROUP, STAT_SESSION, STAT_START = 22 };

/* The name ends with the last parenthesis, whatever is in it. */
static bool parse_stat(const char *text, struct process *p)
{
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return false;
    p->dead = at[2] == 'Z' || at[2] == 'X';
    p->stopped = at[2] == 'T' || at[2] == 't';
    at += 3;
    for (int field = STAT_PARENT; field <= STAT_START; field++) {
        char *end;
        long long value = strtoll(at, &end, 10);
        if (end == at)
            return false;
        at = end;
        if (field == STAT_PARENT)
            p->parent = (pid_t)value;
        else if (field == STAT_GROUP)
            p->group = (pid_t)value;
        else if (field == STAT_SESSION)
            p->session = (pid_t)value;
        else if (field == STAT_START)
            p->start = (unsigned long long)value;
    }
    return true;
}

/* Whether it is this process that lacks something, and not the other that is gone. */
static bool is_ours_to_blame(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* False: there is no such process, or errno says what is lacking. */
static bool read_stat(pid_t pid, struct process *p)
{
    char path[32], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    errno = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    *p = (struct process){.pid = pid};
    return parse_stat(text, p);
}

static bool add(struct processes *list, const struct process *p)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 256;
        struct process *all = reallocarray(list->all, capacity, sizeof *all);
        if (all == NULL)
            return false;
        list->all = all;
        list->capacity = capacity;
    }
    list->all[list->count++] = *p;
    return true;
}

/* False: without memory or descriptors, not all of them. */
static bool read_all(struct processes *list)
{
    DIR *proc = opendir("/proc");
    bool all = true;
    if (proc == NULL)
        return false;
    const struct dirent *entry;
    while (all && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        struct process p;
        if (*end != '\0' || pid <= 1)
            continue;
        all = read_stat((pid_t)pid, &p) ? add(list, &p) : !is_ours_to_blame(errno);
    }
    (void)closedir(proc);
    return all;
}

static int by_pid(const void *a, const void *b)
{
    const struct process *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct process *find(const struct processes *list, pid_t pid)
{
    const struct process key = {.pid = pid};
    return bsearch(&key, list->all, list->count, sizeof *list->all, by_pid);
}

static int by_root(const void *a, const void *b)
{
    const struct tree_root *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

struct roots {
    struct tree_root *all;
    size_t count;
};

/* The root with this number, if it is still a command's. */
static bool is_root(const struct roots *roots, const struct processes *list, pid_t pid)
{
    const struct tree_root key = {.pid = pid};
    const struct tree_root *root =
        bsearch(&key, roots->all, roots->count, sizeof *roots->all, by_root);
    return root != NULL && (!root->reaped || find(list, pid) == NULL);
}

/* Marks sessions, groups, and then children of what is marked until no more are found. */
static void mark(const struct processes *list, const struct roots *roots)
{
    pid_t self = getpid();
    bool more = true;
    for (size_t i = 0; i < list->count; i++) {
        struct process *p = &list->all[i];
        p->ours =
            p->pid != self && (is_root(roots, list, p->session) || is_root(roots, list, p->group) ||
                               is_root(roots, list, p->pid));
    }
    while (more) {
        more = false;
        for (size_t i = 0; i < list->count; i++) {
            struct process *p = &list->all[i];
            const struct process *parent = p->ours ? NULL : find(list, p->parent);
            if (parent != NULL && parent->ours && p->pid != self) {
                p->ours = true;
                more = true;
            }
        }
    }
}

/* The descriptor stands for the process that has the number now; that it is still the one that was
 * looked at shows in its start. *able becomes false if descriptors are lacking. */
static bool hit(const struct process *p, int signal, bool *able)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    struct process again;
    bool found = fd >= 0 && read_stat(p->pid, &again);
    if (!found && is_ours_to_blame(errno))
        *able = false;
    if (fd < 0)
        return false;
    bool same = found && again.start == p->start;
    bool done = same && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
    (void)close(fd);
    return done;
}

/* All processes as they are now, those of the roots marked. False: some may be missing. */
static bool look(struct processes *list, const struct roots *roots)
{
    list->count = 0;
    bool all = read_all(list);
    if (list->count > 0)
        qsort(list->all, list->count, sizeof *list->all, by_pid);
    mark(list, roots);
    return all;
}

/* Sends the signal to all that are marked, but for those that have stopped already if that is what
 * it is. How many it went to; *able as above. */
static size_t hit_all(const struct processes *list, int signal, bool *able)
{
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct process *p = &list->all[i];
        if (p->ours && !p->dead && !(signal == SIGSTOP && p->stopped) && hit(p, signal, able))
            n++;
    }
    return n;
}

/* Stops them all before any is killed: who dies takes its children's descent with it, and who runs
 * may make more of them meanwhile. */
size_t tree_kill(struct tree_root *roots, size_t count, int rounds)
{
    const struct roots all = {roots, count};
    struct processes list = {0};
    size_t total = 0, more = 1;
    bool seen = true;
    if (count == 0)
        return 0;
    qsort(roots, count, sizeof *roots, by_root);
    for (int round = 0; round < rounds && more > 0; round++) {
        seen &= look(&list, &all);
        more = hit_all(&list, SIGSTOP, &seen);
    }
    more = 1;
    for (int round = 0; round < rounds && more > 0; round++) {
        more = hit_all(&list, SIGKILL, &seen);
        total += more;
        if (more > 0)
            seen &= look(&list, &all);
    }
    /* Where not all could be looked at, or hit: their groups at least, as long as those are their
     * own. */
    for (size_t i = 0; !seen && i < count; i++)
        total += !roots[i].reaped && tree_signal(roots[i].pid, SIGKILL) == 0;
    free(list.all);
    return total;
}
