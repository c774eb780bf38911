#include "rexecd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rexecd/raw_call.h"
#include "rexecd/spawn_pipes.h"

enum {
    STACK_SIZE = 32 * 1024,
    STACKS_KEPT = 16,
    STATUS_FD = SPAWN_FDS, /* in the child, close-on-exec */
    SIGNALS = 64,
    KERNEL_SIGSET = 8, /* bytes */
};

/* All that the child reads; nothing of it changes before the child has executed, but for what the
 * child says itself. Nothing else of the daemon's memory does it touch. */
struct spawn_child {
    int executes; /* nothing is left to do but that; the child's, and read when it is done with us
                   */
    struct spawn_plan *plan;
    char **candidates; /* files to try, ends with NULL; one block */
    char *stack;
    pid_t parent;
    uint64_t changed;  /* signals, as bits, that are not as in a fresh process */
    bool enter_cgroup; /* it was not made there */
    int fds[3], status;
    struct spawn_failure report, reading; /* the last from the status; the one that comes */
    size_t reading_len;
};

/* Started with; restored in children. */
static struct rlimit first_files, first_core;
static bool have_first;

/* Stacks of children that are over, to be used again. */
static char *stacks[STACKS_KEPT];
static size_t stack_count;

void spawn_remember_limits(void)
{
    have_first =
        getrlimit(RLIMIT_NOFILE, &first_files) == 0 && getrlimit(RLIMIT_CORE, &first_core) == 0;
}

const char *spawn_step_name(enum spawn_step step)
{
    static const char *const names[] = {
        [SPAWN_STEP_PREPARE] = "prepare",
        [SPAWN_STEP_SESSION] = "session",
        [SPAWN_STEP_CGROUP] = "cgroup",
        [SPAWN_STEP_DESCRIPTORS] = "descriptors",
        [SPAWN_STEP_TERMINAL] = "terminal",
        [SPAWN_STEP_LIMITS] = "limits",
        [SPAWN_STEP_KEYRING] = "keyring",
        [SPAWN_STEP_USER] = "user",
        [SPAWN_STEP_CAPABILITIES] = "capabilities",
        [SPAWN_STEP_PARENT] = "parent",
        [SPAWN_STEP_DIRECTORY] = "directory",
        [SPAWN_STEP_EXECUTE] = "execute",
    };
    return (size_t)step < sizeof names / sizeof names[0] ? names[step] : "unknown";
}

/* ---- in the child ----------------------------------------------------------------------- */

/*
 * From here to the next line of dashes: runs in the daemon's memory, on a stack of its own, while
 * the daemon runs too. So: system calls by raw_call only, no writes but to this stack and the one
 * word that is for it, no instrumentation, which would keep its own books in memory that is the
 * daemon's.
 */
#define IN_CHILD static inline __attribute__((always_inline, no_sanitize("address", "undefined")))

#define P(pointer) ((long)(uintptr_t)(pointer))

IN_CHILD long call0(long number)
{
    return raw_call(number, 0, 0, 0, 0, 0);
}

IN_CHILD long call1(long number, long a)
{
    return raw_call(number, a, 0, 0, 0, 0);
}

IN_CHILD long call2(long number, long a, long b)
{
    return raw_call(number, a, b, 0, 0, 0);
}

IN_CHILD long call3(long number, long a, long b, long c)
{
    return raw_call(number, a, b, c, 0, 0);
}

IN_CHILD _Noreturn void child_fail(int status, enum spawn_step step, long error)
{
    const struct spawn_failure report = {.step = (int32_t)step, .error = (int32_t)-error};
    (void)call3(SYS_write, status, P(&report), sizeof report);
    for (;;)
        (void)call1(SYS_exit_group, 127);
}

IN_CHILD long child_descriptors(struct spawn_child *c)
{
    long wrong = 0;
    for (int i = 0; i < 3 && wrong >= 0; i++)
        wrong = call3(SYS_dup3, c->fds[i], i, 0); /* never the same: ours are above 3 */
    if (wrong >= 0)
        wrong = call3(SYS_dup3, c->status, STATUS_FD, O_CLOEXEC);
    if (wrong >= 0)
        wrong = call3(SYS_close_range, STATUS_FD + 1, (long)~0U, 0);
    return wrong < 0 ? wrong : 0;
}

IN_CHILD long child_limit(int resource, const struct rlimit *value)
{
    return raw_call(SYS_prlimit64, 0, resource, P(value), 0, 0);
}

/* It costs milliseconds, which being made there does not. */
IN_CHILD long child_cgroup(int directory)
{
    static const char file[] = "cgroup.procs", self[] = {'0'};
    long procs = raw_call(SYS_openat, directory, P(file), O_WRONLY | O_CLOEXEC, 0, 0);
    return procs < 0 ? procs : call3(SYS_write, procs, P(self), 1);
}

/* The limits that the daemon was started with, then those that were asked for. */
IN_CHILD long child_limits(const struct spawn_plan *plan)
{
    long wrong = 0;
    if (have_first)
        wrong = child_limit(RLIMIT_NOFILE, &first_files);
    if (have_first && wrong == 0)
        wrong = child_limit(RLIMIT_CORE, &first_core);
    for (size_t i = 0; i < plan->limit_count && wrong == 0; i++) {
        struct rlimit limit = {0};
        wrong = raw_call(SYS_prlimit64, 0, plan->limits[i].resource, 0, P(&limit), 0);
        /* Between the two CPU limits the command learns which it was: SIGXCPU, then SIGKILL. */
        const rlim_t value = plan->limits[i].value;
        const rlim_t hard = plan->limits[i].resource == RLIMIT_CPU ? value + 1 : value;
        if (limit.rlim_max > hard)
            limit.rlim_max = hard;
        limit.rlim_cur = limit.rlim_max < value ? limit.rlim_max : value;
        if (wrong == 0)
            wrong = child_limit(plan->limits[i].resource, &limit);
    }
    return wrong;
}

/* A session keyring of its own, empty: whoever has the daemon's reads the keys in it, whosever they
 * are, and what one user puts there. Made as root, whose quota has room for many. A kernel without
 * keys, or a container where they are forbidden, has none to give away. */
IN_CHILD long priv_child_keyring(void)
{
    long id = call2(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
    return id == -ENOSYS || id == -EPERM || id > 0 ? 0 : id;
}

/* For good: real, effective and saved. The library's wrappers would tell other threads; there are
 * none. */
IN_CHILD long priv_child_user(const struct user *user)
{
    long wrong = call2(SYS_setgroups, (long)user->group_count, P(user->groups));
    if (wrong == 0)
        wrong = call3(SYS_setresgid, (long)user->gid, (long)user->gid, (long)user->gid);
    if (wrong == 0)
        wrong = call3(SYS_setresuid, (long)user->uid, (long)user->uid, (long)user->uid);
    return wrong;
}

/* The daemon may have been given some that its commands must not have. */
IN_CHILD long child_drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    long wrong = raw_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (wrong == 0)
        wrong = call2(SYS_capset, P(&head), P(none));
    return wrong;
}

/* Every signal as in a fresh process. Executing would do that for those that have handlers, but one
 * that came before would run the daemon's handler here, and be lost to the command. */
IN_CHILD void child_signals(uint64_t changed)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        unsigned long mask;
    } standard = {0};
    for (int n = 1; n <= SIGNALS; n++)
        if ((changed & UINT64_C(1) << (n - 1)) != 0)
            (void)raw_call(SYS_rt_sigaction, n, P(&standard), 0, KERNEL_SIGSET, 0);
}

IN_CHILD long child_directory(const struct spawn_plan *plan)
{
    static const char root[] = "/";
    long home = call1(SYS_chdir, P(plan->user.home));
    if (home < 0)
        (void)call1(SYS_chdir, P(root));
    if (plan->directory == NULL)
        return 0;
    /* What is relative to the home directory is relative to nothing else. */
    if (home < 0 && plan->directory[0] != '/')
        return home;
    return call1(SYS_chdir, P(plan->directory));
}

/* As execvp(3): the first that is there counts; that one may not be executed is told only if no
 * other may. */
IN_CHILD long child_execute(struct spawn_child *c)
{
    const unsigned long none = 0;
    long result = -ENOENT;
    /* By memory: by the pipe it would wake the daemon for nothing. */
    __atomic_store_n(&c->executes, 1, __ATOMIC_RELEASE);
    (void)raw_call(SYS_rt_sigprocmask, SIG_SETMASK, P(&none), 0, KERNEL_SIGSET, 0);
    for (char **file = c->candidates; *file != NULL; file++) {
        long wrong =
            call3(SYS_execve, P(*file), P(c->plan->argv), P(c->plan->environment.variables));
        if (wrong == -EACCES)
            result = wrong;
        else if (wrong != -ENOENT && wrong != -ENOTDIR)
            return wrong;
    }
    return result;
}

__attribute__((no_sanitize("address", "undefined"), no_stack_protector)) static int child_main(
    void *context)
{
    struct spawn_child *c = context;
    const struct spawn_plan *plan = c->plan;
    long wrong = call0(SYS_setsid);
    if (wrong < 0)
        child_fail(c->status, SPAWN_STEP_SESSION, wrong);
    if (c->enter_cgroup) {
        wrong = child_cgroup(plan->cgroup);
        if (wrong < 0)
            child_fail(c->status, SPAWN_STEP_CGROUP, wrong);
    }
    wrong = child_descriptors(c);
    if (wrong != 0)
        child_fail(c->status, SPAWN_STEP_DESCRIPTORS, wrong);
    if (plan->pty != NULL)
        wrong = call3(SYS_ioctl, STDIN_FILENO, TIOCSCTTY, 0);
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_TERMINAL, wrong);
    wrong = child_limits(plan);
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_LIMITS, wrong);
    if (plan->become)
        wrong = priv_child_keyring();
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_KEYRING, wrong);
    if (plan->become) {
        wrong = priv_child_user(&plan->user);
        /* The memory, which is the daemon's, may now be looked into if the system says so
         * (fs.suid_dumpable). */
        (void)raw_call(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_USER, wrong);
    if (plan->user.uid != 0)
        wrong = child_drop_capabilities();
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_CAPABILITIES, wrong);
    /* Behind the change of user, which clears it; then see that it was not too late. */
    wrong = raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (wrong == 0 && call0(SYS_getppid) != c->parent)
        wrong = -ESRCH;
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_PARENT, wrong);
    (void)call1(SYS_umask, 022);
    child_signals(c->changed);
    wrong = child_directory(plan);
    if (wrong != 0)
        child_fail(STATUS_FD, SPAWN_STEP_DIRECTORY, wrong);
    child_fail(STATUS_FD, SPAWN_STEP_EXECUTE, child_execute(c));
}

/* ---- plans ------------------------------------------------------------------------------ */

void spawn_plan_free(struct spawn_plan *plan)
{
    if (plan == NULL)
        return;
    if (plan->cgroup >= 0)
        (void)close(plan->cgroup);
    free((void *)plan->argv);
    free(plan->file);
    free(plan->directory);
    pty_free(plan->pty);
    environment_free(&plan->environment);
    user_free(&plan->user);
    free(plan);
}

/* The files to try, in one block: `file` itself, or behind each directory of PATH (an empty one is
 * the working directory). */
static char **candidates_of(const struct spawn_plan *plan)
{
    const char *path = environment_get(&plan->environment, "PATH");
    const char *file = plan->file;
    if (path == NULL || strchr(file, '/') != NULL)
        path = "";
    size_t count = 1, file_len = strlen(file), path_len = strlen(path);
    for (const char *p = path; *p != '\0'; p++)
        count += *p == ':';
    char **list = malloc((count + 1) * sizeof *list + path_len + count * (file_len + 2));
    if (list == NULL)
        return NULL;
    char *text = (char *)(list + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t n = strcspn(path, ":");
        list[i] = text;
        memcpy(text, path, n);
        text += n;
        if (n > 0)
            *text++ = '/';
        memcpy(text, file, file_len + 1);
        text += file_len + 1;
        path += n + (path[n] != '\0');
    }
    list[count] = NULL;
    return list;
}

/* ---- in the daemon ---------------------------------------------------------------------- */

static char *take_stack(void)
{
    if (stack_count > 0)
        return stacks[--stack_count];
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p, guard, PROT_NONE) < 0) {
        (void)munmap(p, guard + STACK_SIZE);
        return NULL;
    }
    return p + guard;
}

static void give_stack_back(char *stack)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    if (stack == NULL)
        return;
    if (stack_count < STACKS_KEPT)
        stacks[stack_count++] = stack;
    else
        (void)munmap(stack - guard, guard + STACK_SIZE);
}

static void child_free(struct spawn_child *c)
{
    if (c == NULL)
        return;
    spawn_plan_free(c->plan);
    free((void *)c->candidates);
    give_stack_back(c->stack);
    free(c);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* What the daemon handles, ignores and was started with: by the first command that does not change
 * any more. The library does not tell of all. */
static uint64_t changed_signals(void)
{
    static uint64_t changed;
    static bool known;
    for (int n = 1; n <= SIGNALS && !known; n++) {
        struct sigaction now = {0};
        if (sigaction(n, NULL, &now) < 0 || now.sa_handler != SIG_DFL)
            changed |= UINT64_C(1) << (n - 1);
    }
    known = true;
    return changed;
}

#if RAW_CALL_CLONE3
/* A child that is in its cgroup from the beginning; -1 where the kernel does not do that. */
static pid_t start_in_cgroup(struct spawn_child *c, int flags)
{
    const struct raw_clone how = {
        .flags = (uint64_t)(flags & ~CSIGNAL) | RAW_CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)c->stack,
        .stack_size = STACK_SIZE,
        .cgroup = (uint64_t)c->plan->cgroup,
    };
    long pid = raw_clone3(SYS_clone3, &how, child_main, c);
    return pid > 0 ? (pid_t)pid : -1;
}
#else
static pid_t start_in_cgroup(struct spawn_child *c, int flags)
{
    (void)c;
    (void)flags;
    return -1;
}
#endif

/* The child begins with all signals blocked, so that no handler of the daemon's runs in it. */
static pid_t start(struct spawn_child *c)
{
    const int flags = CLONE_VM | SIGCHLD | (RAW_CALL_PARENT_RUNS ? 0 : CLONE_VFORK);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = c->plan->cgroup >= 0 ? start_in_cgroup(c, flags) : -1;
    if (pid < 0) {
        c->enter_cgroup = c->plan->cgroup >= 0;
        pid = clone(child_main, c->stack + STACK_SIZE, flags, c);
    }
    int saved = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

int spawn_begin(struct spawn_plan *plan, struct spawn *spawn, struct spawn_failure *failure)
{
    *spawn = (struct spawn){.pid = -1, .fds = {-1, -1, -1}, .terminal = -1, .status = -1};
    struct spawn_child *c = calloc(1, sizeof *c);
    if (c == NULL) {
        *failure = (struct spawn_failure){SPAWN_STEP_PREPARE, ENOMEM};
        spawn_plan_free(plan);
        return -1;
    }
    *c = (struct spawn_child){.plan = plan, .parent = getpid(), .fds = {-1, -1, -1}, .status = -1};
    c->changed = changed_signals();
    c->candidates = candidates_of(plan);
    c->stack = take_stack();
    if (c->candidates == NULL || c->stack == NULL)
        errno = ENOMEM;
    else if (pipes_open(spawn, plan, c->fds) == 0 && pipes_status(&spawn->status, &c->status) == 0)
        spawn->pid = start(c);
    int saved = errno;
    /* Closed, not forgotten: the child still reads the numbers. */
    for (int i = 0; i < 3; i++)
        if (c->fds[i] >= 0)
            (void)close(c->fds[i]);
    if (c->status >= 0)
        (void)close(c->status);
    if (spawn->pid > 0) {
        spawn->child = c;
        return 0;
    }
    for (int i = 0; i < 3; i++)
        close_fd(&spawn->fds[i]);
    close_fd(&spawn->terminal);
    close_fd(&spawn->status);
    child_free(c);
    *failure = (struct spawn_failure){SPAWN_STEP_PREPARE, saved};
    return -1;
}

/* Takes a report in; the last whole one counts. */
static void take_report(struct spawn_child *c, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)&c->reading)[c->reading_len++] = bytes[i];
        if (c->reading_len == sizeof c->reading) {
            c->report = c->reading;
            c->reading_len = 0;
        }
    }
}

/*
 * The child's end of the status is closed when it has executed, or is dead; by then it has let go
 * of this memory.
 */
enum spawn_answer spawn_check(struct spawn *spawn, struct spawn_failure *failure)
{
    struct spawn_child *c = spawn->child;
    for (;;) {
        uint8_t bytes[sizeof c->reading];
        ssize_t n = read(spawn->status, bytes, sizeof bytes);
        if (n > 0)
            take_report(c, bytes, (size_t)n);
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0 && errno == EAGAIN)
            return SPAWN_PENDING;
        *failure = c->report;
        if (failure->error != 0)
            return SPAWN_FAILED;
        if (__atomic_load_n(&c->executes, __ATOMIC_ACQUIRE) != 0)
            return SPAWN_STARTED;
        failure->error = ECANCELED; /* killed on its way */
        return SPAWN_FAILED;
    }
}

void spawn_end(struct spawn *spawn)
{
    /* Between its becoming another user and its own word on that it may have been killed. */
    if (spawn->child->plan->become)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    child_free(spawn->child);
    spawn->child = NULL;
    close_fd(&spawn->status);
}
