#include "rexec/source.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { READ_MAX = 128 * 1024 };

/* Majors of terminals on Linux. */
enum { TERMINALS = 4, TERMINALS_TOO = 5, PTY_SLAVES = 136, PTY_SLAVES_LAST = 143 };

bool source_useful(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return false;
    return !(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)); /* /dev/null on Linux */
}

/* A terminal that is gone says EIO, and so does the master of a pty whose slave is closed: that is
 * the end of it. Any other error means that bytes may be missing. (isatty would say EIO, too.) */
static bool is_end(int fd, int error)
{
    struct stat status;
    if (error != EIO || fstat(fd, &status) != 0 || !S_ISCHR(status.st_mode))
        return false;
    unsigned kind = major(status.st_rdev);
    return kind == TERMINALS || kind == TERMINALS_TOO ||
           (kind >= PTY_SLAVES && kind <= PTY_SLAVES_LAST);
}

/* Sends what was typed; false if some of it is left. */
static bool send_typed(struct source *s)
{
    while (s->typed_at < s->typed_n) {
        uint8_t *room = NULL;
        size_t n = rx_command_room(s->command, s->typed_n - s->typed_at, &room);
        if (n == 0)
            return false;
        memcpy(room, s->typed + s->typed_at, n);
        rx_command_written(s->command, n);
        s->typed_at += n;
    }
    s->typed_at = s->typed_n = 0;
    return true;
}

/* As read, but what was typed to us is taken out, and the rest sent. */
static ssize_t read_typed(struct source *s)
{
    uint8_t bytes[sizeof s->typed - 1];
    unsigned asked = 0;
    ssize_t got = read(s->fd, bytes, sizeof bytes);
    if (got > 0)
        s->typed_n = tilde_filter(s->tilde, bytes, (size_t)got, s->typed, &asked);
    else if (got == 0)
        s->typed_n = tilde_end(s->tilde, s->typed);
    int error = errno;
    (void)send_typed(s);
    if (asked != 0)
        s->escaped(s->user, asked);
    errno = error;
    return got;
}

static ssize_t read_plain(struct source *s, uint8_t *room, size_t n)
{
    ssize_t got = read(s->fd, room, n);
    if (got > 0)
        rx_command_written(s->command, (size_t)got);
    return got;
}

/* Reads once; false if there is no room, or no more to come. */
static bool read_some(struct source *s)
{
    uint8_t *room = NULL;
    bool sent = send_typed(s);
    size_t n = s->ended || !sent ? 0 : rx_command_room(s->command, READ_MAX, &room);
    if (n == 0) {
        (void)event_del(&s->event);
        return false;
    }
    ssize_t got = s->tilde != NULL ? read_typed(s) : read_plain(s, room, n);
    if (got > 0)
        return true;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got < 0 && errno == EIO && s->away != NULL) {
        (void)event_del(&s->event); /* before it may be added again */
        if (s->away(s->user))
            return false;
    }
    s->ended = true;
    if (got < 0 && !is_end(s->fd, errno)) {
        s->error = errno;
    } else {
        rx_command_finish(s->command);
    }
    (void)event_del(&s->event);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
    struct source *s = user;
    (void)fd;
    (void)what;
    (void)read_some(s);
    s->moved(s->user);
}

void source_terminal(struct source *s, struct tilde *tilde,
                     void (*escaped)(void *user, unsigned asked), bool (*away)(void *user))
{
    s->tilde = tilde;
    s->escaped = escaped;
    s->away = away;
}

void source_start(struct source *s, struct event_base *base, struct rx_command *command, int fd,
                  void (*moved)(void *user), void *user)
{
    *s = (struct source){
        .command = command,
        .fd = fd,
        .started = true,
        .moved = moved,
        .user = user,
        .tilde = s->tilde,
        .escaped = s->escaped,
        .away = s->away,
    };
    (void)event_assign(&s->event, base, fd, EV_READ | EV_PERSIST, on_readable, s);
    (void)event_add(&s->event, NULL);
    /* What is there already goes out together with the command: a short input, and its end. */
    struct pollfd now = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 2; i++) {
        if (poll(&now, 1, 0) <= 0 || !read_some(s))
            break;
    }
}

void source_resume(struct source *s)
{
    if (s->started && send_typed(s) && !s->ended)
        (void)event_add(&s->event, NULL);
}

void source_stop(struct source *s)
{
    if (s->started)
        (void)event_del(&s->event);
    s->started = false;
}
