#include "rexec/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rexec/report.h"

enum kind {
    KIND_UNKNOWN,
    KIND_FILE,    /* never waits for anybody */
    KIND_SOCKET,  /* can be asked not to wait, each time */
    KIND_OWN,     /* opened again, non-blocking */
    KIND_CAREFUL, /* poll, and no more than that promises; opened again for more than that */
    KIND_SHARED,  /* the same, and it cannot be opened again */
};

enum { DECODE_AT_ONCE = 16 * 1024 };

/* Majors of devices on Linux: /dev/null and the like; terminals that are the slaves of a pty. */
enum { MEMORY_DEVICES = 1, PTY_SLAVES = 136, PTY_SLAVES_LAST = 143 };

void sink_init(struct sink *s, struct event_base *base, enum rx_which which, int fd,
               struct transcode *transcode, void (*ready)(void *user), void *user)
{
    *s = (struct sink){
        .base = base,
        .which = which,
        .fd = fd,
        .most = SINK_MEMORY_MAX,
        .own = -1,
        .transcode = transcode,
        .ready = ready,
        .user = user,
    };
}

/* ---- the descriptor --------------------------------------------------------------------- */

static enum kind find_kind(const struct sink *s)
{
    struct stat status;
    if (fstat(s->fd, &status) != 0)
        return KIND_FILE; /* the write will say what is wrong */
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
        return KIND_FILE;
    if (S_ISCHR(status.st_mode) && major(status.st_rdev) == MEMORY_DEVICES)
        return KIND_FILE;
    if (S_ISSOCK(status.st_mode))
        return KIND_SOCKET;
    return KIND_CAREFUL;
}

/* Whether opening it again leads to the same thing: not with a device that makes a new one of
 * itself each time, as the master of a pty. */
static bool opens_again(const struct stat *status)
{
    if (S_ISFIFO(status->st_mode))
        return true;
    return S_ISCHR(status->st_mode) && major(status->st_rdev) >= PTY_SLAVES &&
           major(status->st_rdev) <= PTY_SLAVES_LAST;
}

static bool same_file(int fd, const struct stat *other)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_dev == other->st_dev &&
           status.st_ino == other->st_ino && status.st_rdev == other->st_rdev;
}

/* A pipe or a terminal once more, so that not to wait is only for us. */
static enum kind open_again(struct sink *s)
{
    struct stat status;
    char path[32];
    if (fstat(s->fd, &status) != 0 || !opens_again(&status))
        return KIND_SHARED;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", s->fd);
    s->own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (s->own >= 0 && !same_file(s->own, &status)) {
        (void)close(s->own);
        s->own = -1;
    }
    return s->own >= 0 ? KIND_OWN : KIND_SHARED;
}

/* As write, but EAGAIN instead of waiting. */
static ssize_t put(struct sink *s, const void *bytes, size_t n)
{
    if (s->kind == KIND_UNKNOWN)
        s->kind = (int)find_kind(s);
    if (s->kind == KIND_CAREFUL && n > PIPE_BUF)
        s->kind = (int)open_again(s);
    struct pollfd asked = {.fd = s->fd, .events = POLLOUT};
    switch (s->kind) {
    case KIND_SOCKET:
        return send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    case KIND_OWN:
        return write(s->own, bytes, n);
    case KIND_CAREFUL:
    case KIND_SHARED:
        if (poll(&asked, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(s->fd, bytes, n < PIPE_BUF ? n : PIPE_BUF);
    default:
        return write(s->fd, bytes, n);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *user)
{
    struct sink *s = user;
    (void)fd;
    (void)what;
    s->waits = false;
    s->ready(s->user);
}

static void wait_for_room(struct sink *s)
{
    if (s->waits)
        return;
    int fd = s->own >= 0 ? s->own : s->fd;
    (void)event_assign(&s->event, s->base, fd, EV_WRITE, on_writable, s);
    s->waits = event_add(&s->event, NULL) == 0;
}

/* Writes up to n bytes; how many, 0 if it would block or cannot be: s->state says. */
static size_t put_some(struct sink *s, const void *bytes, size_t n)
{
    for (;;) {
        ssize_t written = put(s, bytes, n);
        if (written >= 0)
            return (size_t)written;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN) {
            s->state = SINK_WAITING;
            wait_for_room(s);
        } else {
            s->error = errno;
            s->state = errno == EPIPE ? SINK_BROKEN : SINK_FAILED;
        }
        return 0;
    }
}

/* ---- moving bytes ----------------------------------------------------------------------- */

static bool is_over(const struct sink *s)
{
    return s->state == SINK_BROKEN || s->state == SINK_FAILED;
}

/* What is held is of no use any more, and others may need the memory. */
static void fail(struct sink *s, int error)
{
    s->error = error;
    s->state = SINK_FAILED;
    buffer_clear(&s->held);
}

/* Takes received bytes into memory, decoded if asked for. */
static void take(struct sink *s, const uint8_t *bytes, size_t n)
{
    if (s->fd < 0 && s->held.n + n > s->most) {
        fail(s, EFBIG);
        return;
    }
    bool taken = s->transcode != NULL ? transcode_put(s->transcode, bytes, n, &s->held)
                                      : buffer_add(&s->held, bytes, n);
    if (!taken)
        fail(s, ENOMEM);
}

static void drop_all(struct sink *s)
{
    const uint8_t *bytes;
    for (size_t n; (n = rx_command_peek(s->command, s->which, &bytes)) > 0;)
        rx_command_consume(s->command, s->which, n);
}

/* Writes what is held; false if some of it is left. */
static bool write_held(struct sink *s)
{
    size_t at = 0;
    while (at < s->held.n && s->state == SINK_IDLE)
        at += put_some(s, s->held.bytes + at, s->held.n - at);
    buffer_drop(&s->held, at);
    return s->held.n == 0;
}

/* Behind all that came: the decoder's rest. */
static void end_decoding(struct sink *s)
{
    s->finishing = false;
    s->finished = true;
    if (s->transcode == NULL)
        return;
    if (!transcode_end(s->transcode, &s->held)) {
        fail(s, ENOMEM);
    } else if (s->fd >= 0) {
        (void)write_held(s);
    }
}

/* Whether our stderr is the same socket: what rexec itself has to say is to get there. */
static bool is_stderr(int fd)
{
    struct stat status;
    return fd != STDERR_FILENO && fstat(STDERR_FILENO, &status) == 0 && same_file(fd, &status);
}

/* All is written: lets go of the descriptor. */
static void end_descriptor(struct sink *s)
{
    s->ending = false;
    s->ended = true;
    if (s->kind == KIND_UNKNOWN)
        s->kind = (int)find_kind(s);
    if (s->kind == KIND_SOCKET) {
        if (!is_stderr(s->fd))
            (void)shutdown(s->fd, SHUT_WR);
        return;
    }
    if (s->own >= 0)
        (void)close(s->own);
    s->own = -1;
    if (!write_settled(s->fd)) {
        fail(s, errno);
        return;
    }
    /* The number stays taken, so that nothing else comes to stand there. */
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing >= 0) {
        (void)dup2(nothing, s->fd);
        (void)close(nothing);
    }
    s->kind = KIND_FILE;
}

enum sink_state sink_pump(struct sink *s)
{
    if (s->state == SINK_WAITING)
        s->state = SINK_IDLE;
    const uint8_t *bytes;
    size_t n;
    while (s->state == SINK_IDLE && (s->fd < 0 || write_held(s)) &&
           (n = rx_command_peek(s->command, s->which, &bytes)) > 0) {
        if (s->fd >= 0 && s->transcode == NULL) {
            n = put_some(s, bytes, n);
        } else {
            n = n < DECODE_AT_ONCE ? n : DECODE_AT_ONCE;
            take(s, bytes, n);
        }
        rx_command_consume(s->command, s->which, n);
    }
    if (s->state == SINK_IDLE && s->finishing)
        end_decoding(s);
    if (s->state == SINK_IDLE && s->ending)
        end_descriptor(s);
    if (is_over(s))
        drop_all(s);
    return s->state;
}

void sink_finish(struct sink *s)
{
    s->finishing = !s->finished;
}

void sink_end(struct sink *s)
{
    if (s->fd < 0 || s->ended)
        return;
    s->ending = true;
    sink_finish(s);
    (void)sink_pump(s);
}

const char *sink_error_text(const struct sink *s)
{
    if (s->fd < 0 && s->error == EFBIG)
        return "it is longer than what is kept in memory, 1 GiB";
    return strerror(s->error);
}

void sink_clear(struct sink *s)
{
    if (s->waits)
        (void)event_del(&s->event);
    s->waits = false;
    if (s->own >= 0)
        (void)close(s->own);
    s->own = -1;
    transcode_free(s->transcode);
    s->transcode = NULL;
    buffer_clear(&s->held);
}
