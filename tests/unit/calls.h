/*
 * Makes one call to the system fail. For programs named test_*_calls.c, which are linked with what
 * can fail wrapped; include it in one file of the program. Each call fails with an error that it
 * may well have one day; some have two, and the second is asked for by `flavour`.
 */
#ifndef REXEC_TESTS_UNIT_CALLS_H
#define REXEC_TESTS_UNIT_CALLS_H

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t call_count; /* since calls_at or calls_off */
static size_t call_failing;
static unsigned call_flavour;
static const char *call_failed; /* the name of the one that did */

enum { CALL_LOG = 8192 };
static const char *call_log[CALL_LOG]; /* their names */

/* The n-th call from now on fails (from 1), once. */
static inline void calls_at(size_t n, unsigned flavour)
{
    call_count = 0;
    call_failing = n;
    call_flavour = flavour;
    call_failed = NULL;
}

/* None fails from now on; counting begins anew. */
static inline void calls_off(void)
{
    calls_at(0, 0);
}

/* 0, or the error that this call has now. */
static inline int call_now(const char *name, int first, int second)
{
    if (call_count < CALL_LOG)
        call_log[call_count] = name;
    if (++call_count != call_failing)
        return 0;
    call_failed = name;
    return call_flavour == 0 ? first : second;
}

// NOLINTBEGIN(bugprone-reserved-identifier): these are the names the linker's --wrap asks for
#define CALL(type, name, parameters, arguments, failed, first, second)                             \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        int error = call_now(#name, first, second);                                                \
        if (error == 0)                                                                            \
            return __real_##name arguments;                                                        \
        errno = error;                                                                             \
        return failed;                                                                             \
    }

CALL(int, pipe2, (int fds[2], int flags), (fds, flags), -1, EMFILE, ENFILE)
CALL(int, dup, (int fd), (fd), -1, EMFILE, EMFILE)
CALL(pid_t, fork, (void), (), -1, EAGAIN, ENOMEM)
CALL(int, kill, (pid_t pid, int number), (pid, number), -1, EPERM, ESRCH)
CALL(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
     (at, n, prot, flags, fd, from), MAP_FAILED, ENOMEM, EAGAIN)
CALL(int, mprotect, (void *at, size_t n, int prot), (at, n, prot), -1, ENOMEM, ENOMEM)
CALL(DIR *, opendir, (const char *name), (name), NULL, EMFILE, ENOMEM)
CALL(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), -1, EINTR, ENOMEM)
CALL(ssize_t, read, (int fd, void *out, size_t n), (fd, out, n), -1, EINTR, EAGAIN)
CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), -1, ENOSPC, EIO)
CALL(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), -1, EINTR,
     EAGAIN)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1, EINTR,
     ENOBUFS)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), -1, EINTR, EAGAIN)
CALL(pid_t, wait4, (pid_t pid, int *status, int how, struct rusage *usage),
     (pid, status, how, usage), -1, EINTR, EINTR)
CALL(int, inotify_init1, (int flags), (flags), -1, EMFILE, ENOMEM)
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t what), (fd, path, what), -1,
     ENOSPC, ENOMEM)
CALL(int, getgrouplist, (const char *user, gid_t group, gid_t *groups, int *count),
     (user, group, groups, count), -1, ENOMEM, ENOMEM)
CALL(int, event_add, (struct event * event, const struct timeval *after), (event, after), -1,
     ENOSPC, ENOMEM)
CALL(struct event *, event_new,
     (struct event_base * base, evutil_socket_t fd, short what, event_callback_fn call, void *arg),
     (base, fd, what, call, arg), NULL, ENOMEM, ENOMEM)

#undef CALL

/* These return their error. */
int __real_getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found);
int __wrap_getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found);
int __real_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found);
int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found);

int __wrap_getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found)
{
    int error = call_now("getpwnam_r", EMFILE, EIO);
    *found = NULL;
    return error != 0 ? error : __real_getpwnam_r(name, entry, buffer, n, found);
}

int __wrap_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t n,
                      struct passwd **found)
{
    int error = call_now("getpwuid_r", EMFILE, EIO);
    *found = NULL;
    return error != 0 ? error : __real_getpwuid_r(uid, entry, buffer, n, found);
}

/* Those that take a variable number. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __real_clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static inline mode_t call_mode(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 ? (mode_t)va_arg(list, unsigned) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = call_mode(flags, list);
    va_end(list);
    errno = call_now("open", EMFILE, ENFILE);
    return errno != 0 ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = call_mode(flags, list);
    va_end(list);
    errno = call_now("openat", EMFILE, ENFILE);
    return errno != 0 ? -1 : __real_openat(directory, path, flags, mode);
}

/* With an int, or without; only what makes a descriptor can fail. */
int __wrap_fcntl(int fd, int what, ...)
{
    va_list list;
    va_start(list, what);
    int value = what == F_GETFD || what == F_GETFL ? 0 : va_arg(list, int);
    va_end(list);
    errno = what == F_DUPFD || what == F_DUPFD_CLOEXEC ? call_now("fcntl", EMFILE, EMFILE) : 0;
    return errno != 0 ? -1 : __real_fcntl(fd, what, value);
}

int __wrap_clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
    errno = call_now("clone", EAGAIN, ENOMEM);
    return errno != 0 ? -1 : __real_clone(run, stack, flags, arg);
}

/* pidfd_open and pidfd_send_signal, which take no more than this. */
long __wrap_syscall(long number, ...)
{
    long a[4];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 4; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    errno = call_now("syscall", EMFILE, ESRCH);
    return errno != 0 ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3]);
}
// NOLINTEND(bugprone-reserved-identifier)

#endif
