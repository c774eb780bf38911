#include "rexec/probe_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rexec/settings.h"

int64_t wire_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until `end` (wire_now) for the events; false: they did not come. */
static bool wait_for(int fd, short events, int64_t end)
{
    for (;;) {
        int64_t left = end - wire_now();
        struct pollfd one = {.fd = fd, .events = events};
        int n = poll(&one, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

/* Every send is to be a segment of its own. */
static void no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* not on AF_UNIX */
}

static int begin_connect(const struct probe *p, int fd)
{
    const struct settings *s = &p->options->settings;
    int error =
        rx_address_bind(fd, p->address.storage.ss_family, settings_get(s, SETTING_BIND_ADDRESS),
                        settings_get(s, SETTING_BIND_INTERFACE));
    if (error != 0)
        return error;
    no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&p->address.storage, p->address.len) == 0)
        return 0;
    return errno;
}

bool wire_open(struct probe *p, struct wire *w)
{
    *w = (struct wire){.fd = -1, .patience = p->patience};
    int fd = socket(p->address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return probe_fail(p, "no socket: %s", strerror(errno));
    w->fd = fd;
    int error = begin_connect(p, fd);
    if (error == EINPROGRESS) {
        socklen_t n = sizeof error;
        if (!wait_for(fd, POLLOUT, wire_now() + w->patience)) {
            error = ETIMEDOUT;
        } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0) {
            error = errno;
        }
    }
    return error == 0 || probe_fail(p, "no connection: %s", strerror(error));
}

void wire_adopt(struct probe *p, struct wire *w, int fd)
{
    *w = (struct wire){.fd = fd, .patience = p->patience};
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    no_delay(fd);
}

void wire_send(struct wire *w, const void *bytes, size_t n)
{
    const char *at = bytes;
    int64_t end = wire_now() + w->patience;
    while (n > 0) {
        ssize_t sent = send(w->fd, at, n, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN) {
            /* It does not read any more: what it says will tell. */
            if (!wait_for(w->fd, POLLOUT, end))
                return;
        } else if (errno != EINTR) {
            return;
        }
    }
}

void wire_finish(struct wire *w)
{
    (void)shutdown(w->fd, SHUT_WR);
}

size_t wire_take(struct wire *w, void *bytes, size_t n)
{
    char *at = bytes;
    size_t got = 0;
    int64_t end = wire_now() + w->patience;
    while (got < n && !wire_over(w)) {
        ssize_t came = recv(w->fd, at + got, n - got, 0);
        if (came > 0) {
            got += (size_t)came;
        } else if (came == 0) {
            w->end = WIRE_CLOSED;
        } else if (errno == EAGAIN) {
            w->end = wait_for(w->fd, POLLIN, end) ? WIRE_OPEN : WIRE_SILENT;
            if (w->end == WIRE_SILENT)
                break;
        } else if (errno != EINTR) {
            w->end = WIRE_RESET;
        }
    }
    return got;
}

void wire_close(struct wire *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
}

bool wire_must_close(struct probe *p, struct wire *w, const char *what)
{
    uint8_t byte;
    if (wire_take(w, &byte, 1) > 0)
        return probe_fail(p, "it answered behind %s", what);
    return wire_over(w) || probe_fail(p, "it neither answered nor closed behind %s", what);
}
