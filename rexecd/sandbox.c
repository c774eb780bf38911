#include "rexecd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rexecd/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- users and directories -------------------------------------------------------------- */

/* One directory that only root may write to, made if it is not there. */
static int priv_own_directory(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) < 0 && errno != EEXIST) {
        log_error("%s: cannot make the directory: %s", path, strerror(errno));
        return -1;
    }
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        log_error("%s: not a directory: name another one with chroot", path);
        return -1;
    }
    if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        log_error("%s: others than root may write here: chown root and chmod go-w it, or name "
                  "another one with chroot",
                  path);
        return -1;
    }
    return 0;
}

int priv_sandbox_directory(const char *directory)
{
    char parent[512];
    const char *slash = strrchr(directory, '/');
    if (directory[0] != '/' || slash == NULL || slash[1] == '\0' ||
        (size_t)(slash - directory) >= sizeof parent) {
        log_error("chroot: %s: give an absolute path without a / at its end", directory);
        return -1;
    }
    memcpy(parent, directory, (size_t)(slash - directory));
    parent[slash - directory] = '\0';
    if (parent[0] != '\0' && priv_own_directory(parent, 0755) < 0)
        return -1;
    return priv_own_directory(directory, 0755);
}

int priv_sandbox_become(uid_t uid, gid_t gid, const char *directory)
{
    if (uid == 0 || gid == 0) {
        errno = EINVAL;
        return -1;
    }
    if (chdir(directory) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -1;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return -1;
    /* All three changed, so nothing is left to come back by; see that it is so. */
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

/* ---- Landlock --------------------------------------------------------------------------- */

/* The kernel's structure and constants as of ABI 6; headers may be older, and older kernels are
 * told of less. */
struct landlock_attributes {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

enum { LANDLOCK_NET_ABI = 4, LANDLOCK_SCOPE_ABI = 6 };

/* All rights on files that an ABI knows: 13 at first, then REFER, TRUNCATE, IOCTL_DEV. */
static uint64_t landlock_files(long abi)
{
    static const uint8_t bits[] = {13, 13, 14, 15, 15, 16};
    size_t i = abi < (long)sizeof bits ? (size_t)abi : sizeof bits - 1;
    return (UINT64_C(1) << bits[i]) - 1;
}

/* No file, no bind, no connect, no signal to others, no abstract socket; there are no exceptions. A
 * kernel without Landlock is fine: the system calls are not allowed either. */
static int landlock_everything(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        log_debug("this kernel has no Landlock");
        return 0;
    }
    struct landlock_attributes all = {.handled_access_fs = landlock_files(abi)};
    size_t size = offsetof(struct landlock_attributes, handled_access_net);
    if (abi >= LANDLOCK_NET_ABI) {
        all.handled_access_net = 3; /* bind and connect by TCP */
        size = offsetof(struct landlock_attributes, scoped);
    }
    if (abi >= LANDLOCK_SCOPE_ABI) {
        all.scoped = 3; /* abstract sockets, signals */
        size = sizeof all;
    }
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0)
        return -1;
    long done = syscall(SYS_landlock_restrict_self, ruleset, 0);
    (void)close(ruleset);
    return done < 0 ? -1 : 0;
}

/* ---- seccomp ---------------------------------------------------------------------------- */

/* What serving needs: bytes, waiting, memory, the clock, an end. Not sendmsg, which could hand the
 * monitor a descriptor that hangs when it is closed, nor sendto, which can connect (MSG_FASTOPEN).
 */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(accept4),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(getsockopt),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(getrandom),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(getpid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* What the library may try and do without. */
static const int refused[] = {
    SCMP_SYS(open),     SCMP_SYS(openat),      SCMP_SYS(newfstatat), SCMP_SYS(fstat),
    SCMP_SYS(readlink), SCMP_SYS(sigaltstack), SCMP_SYS(prctl),
};

/* Memory without PROT_EXEC; of terminals to see their modes; of sockets what a connection needs.
 * The listeners are the monitor's too: what is changed of them (flags, filters, whether they
 * listen) would outlive this process. */
static int allow_with_arguments(scmp_filter_ctx filter)
{
    const int memory[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    const uint64_t controls[] = {F_GETFL, F_GETFD};
    const struct scmp_arg_cmp not_executable = {
        .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
    const struct scmp_arg_cmp half = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SHUT_WR};
    const struct scmp_arg_cmp no_delay[] = {
        {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = IPPROTO_TCP},
        {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = TCP_NODELAY},
    };
    const struct scmp_arg_cmp modes = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = TCGETS};
    const struct scmp_arg_cmp not_modes = {.arg = 1, .op = SCMP_CMP_NE, .datum_a = TCGETS};
    struct scmp_arg_cmp control = {.arg = 1, .op = SCMP_CMP_EQ};
    int failed = 0;
    failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(shutdown), 1, &half);
    failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, no_delay);
    failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &modes);
    /* The library may try others, and do without; a sanitizer's build says EPERM by itself. */
    if (!SANITIZED)
        failed |=
            seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(ioctl), 1, &not_modes);
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, memory[i], 1, &not_executable);
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        control.datum_a = controls[i];
        failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &control);
    }
    return failed;
}

static int allow_list(void)
{
    /* A sanitizer's own calls must not end the program it watches. */
    scmp_filter_ctx filter =
        seccomp_init(SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int failed = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; !SANITIZED && i < sizeof refused / sizeof refused[0]; i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
    if (SANITIZED) {
        const int more[] = {SCMP_SYS(sigaltstack), SCMP_SYS(gettid), SCMP_SYS(sched_yield),
                            SCMP_SYS(tgkill), SCMP_SYS(rt_sigaction)};
        for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
            failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, more[i], 0);
    }
    failed |= allow_with_arguments(filter);
    if (failed == 0)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed != 0)
        errno = failed < 0 ? -failed : EINVAL;
    return failed != 0 ? -1 : 0;
}

/* ---- roles ------------------------------------------------------------------------------ */

/* The hard limit stays: a command's may be higher than the daemon's own. */
static void not_to_be_looked_into(void)
{
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    /* A sanitizer looks for leaks by ptrace. */
    if (!SANITIZED)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Of the files that it has, which are traces; a sanitizer reports to the log. */
static int limit_files(uint32_t file_max)
{
    struct rlimit size;
    if (SANITIZED)
        return 0;
    if (getrlimit(RLIMIT_FSIZE, &size) < 0)
        return -1;
    if (size.rlim_max > file_max)
        size.rlim_max = file_max;
    size.rlim_cur = size.rlim_max;
    return setrlimit(RLIMIT_FSIZE, &size);
}

int sandbox_net(uint32_t file_max)
{
    not_to_be_looked_into();
    if (limit_files(file_max) < 0) {
        log_error("net: RLIMIT_FSIZE: %s", strerror(errno));
        return -1;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        log_error("net: no_new_privs: %s", strerror(errno));
        return -1;
    }
    if (landlock_everything() < 0) {
        log_error("net: Landlock: %s", strerror(errno));
        return -1;
    }
    if (allow_list() < 0) {
        log_error("net: seccomp: %s", strerror(errno));
        return -1;
    }
    /* The daemon's stderr is its log, maybe its audit: not this process's to write any more. */
    if (!SANITIZED && (close(STDERR_FILENO) < 0 || dup(STDIN_FILENO) != STDERR_FILENO))
        return -1;
    return 0;
}

/* With this setting, processes that change their user may be looked into by that user. */
static void warn_of_dumps(void)
{
    char value = '0';
    int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, &value, 1) == 1 && value == '1')
        log_warning("fs.suid_dumpable is 1, which is for debugging only: set it to 0 or 2 "
                    "(sysctl)");
    if (fd >= 0)
        (void)close(fd);
}

void sandbox_monitor(void)
{
    not_to_be_looked_into();
    warn_of_dumps();
}
