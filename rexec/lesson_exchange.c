#include "rexec/lesson_exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    NS_PER_MS = 1000000,
    SILENCE_MS = 2000, /* after which a datagram that has not come will not come */
    LIMIT_MS = 60000,
};

/* While it runs. */
struct course {
    struct exchange *x;
    int from, to;
    size_t piece, piece_at; /* what is sent next */
    uint64_t sent_bytes, received_bytes;
    int64_t begin, next_send, next_receive, last;
    bool blocked, shut;
    const char *failed; /* which call; errno says why */
};

static int64_t now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

static bool fail(struct course *c, const char *what)
{
    c->failed = what;
    return false;
}

static struct exchange_call *add(struct course *c, struct exchange_calls *calls)
{
    struct exchange_call *list = realloc(calls->list, (calls->count + 1) * sizeof *list);
    if (list == NULL) {
        c->failed = "realloc";
        return NULL;
    }
    calls->list = list;
    c->last = now();
    list[calls->count] = (struct exchange_call){.ns = c->last - c->begin};
    return &list[calls->count++];
}

/* ---- sockets ---------------------------------------------------------------------------- */

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* A socket on a free port of loopback. */
static int bound(int type, struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)address, len) != 0 ||
                    getsockname(fd, (struct sockaddr *)address, &len) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static bool open_stream(struct course *c)
{
    struct sockaddr_in address, peer = {0}, own = {0};
    socklen_t peer_len = sizeof peer, own_len = sizeof own;
    int listener = bound(SOCK_STREAM, &address);
    bool good = listener >= 0 && listen(listener, 1) == 0;
    c->from = good ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    good = good && c->from >= 0 &&
           (c->x->send_buffer == 0 || set(c->from, SOL_SOCKET, SO_SNDBUF, (int)c->x->send_buffer));
    good = good && connect(c->from, (struct sockaddr *)&address, sizeof address) == 0;
    c->to = good ? accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC) : -1;
    good = good && c->to >= 0 && getsockname(c->from, (struct sockaddr *)&own, &own_len) == 0;
    if (good && own.sin_port != peer.sin_port) {
        errno = ECONNREFUSED; /* somebody else was quicker */
        good = false;
    }
    int made = 0;
    socklen_t made_len = sizeof made;
    good = good && getsockopt(c->from, SOL_SOCKET, SO_SNDBUF, &made, &made_len) == 0;
    c->x->made_buffer = made > 0 ? (size_t)made : 0;
    if (listener >= 0)
        (void)close(listener);
    return good && set(c->from, IPPROTO_TCP, TCP_NODELAY, c->x->no_delay);
}

static bool open_datagrams(struct course *c)
{
    struct sockaddr_in to, from;
    c->to = bound(SOCK_DGRAM, &to);
    c->from = c->to >= 0 ? bound(SOCK_DGRAM, &from) : -1;
    return c->from >= 0 && connect(c->from, (struct sockaddr *)&to, sizeof to) == 0 &&
           connect(c->to, (struct sockaddr *)&from, sizeof from) == 0;
}

static bool open_sockets(struct course *c)
{
    bool opened = c->x->datagrams ? open_datagrams(c) : open_stream(c);
    if (!opened || fcntl(c->from, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(c->to, F_SETFL, O_NONBLOCK) != 0)
        return fail(c, "sockets over 127.0.0.1");
    return true;
}

/* ---- calls ------------------------------------------------------------------------------ */

static bool send_one(struct course *c)
{
    const struct exchange_piece *piece = &c->x->pieces[c->piece];
    size_t whole = piece->n - c->piece_at;
    ssize_t n =
        send(c->from, (const char *)piece->bytes + c->piece_at, whole, MSG_NOSIGNAL | MSG_DONTWAIT);
    c->blocked = n < 0 && errno == EAGAIN;
    if (c->blocked || (n < 0 && errno == EINTR))
        return true;
    if (n < 0)
        return fail(c, "send");
    struct exchange_call *call = add(c, &c->x->sends);
    if (call == NULL)
        return false;
    call->at = c->sent_bytes;
    call->n = (size_t)n;
    call->whole = whole;
    c->sent_bytes += call->n;
    c->piece_at += call->n;
    if (c->piece_at == piece->n) {
        c->piece++;
        c->piece_at = 0;
        c->next_send = c->last + (int64_t)c->x->send_gap_ms * NS_PER_MS;
    }
    return true;
}

/* Whatever is due: sends without a gap between them have all been made before the next recv(). */
static bool send_some(struct course *c)
{
    bool good = true;
    do {
        good = send_one(c);
    } while (good && !c->blocked && c->piece < c->x->piece_count && now() >= c->next_send);
    return good;
}

/* With MSG_TRUNC, a datagram's recv() says how long it was; a stream's would drop the bytes. */
static bool receive_some(struct course *c)
{
    struct exchange *x = c->x;
    char *room = buffer_room(&x->received, x->buffer);
    if (room == NULL)
        return fail(c, "realloc");
    ssize_t n = recv(c->to, room, x->buffer, MSG_DONTWAIT | (x->datagrams ? MSG_TRUNC : 0));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || fail(c, "recv");
    if (n == 0 && !x->datagrams) {
        x->ended = true;
        return true;
    }
    struct exchange_call *call = add(c, &x->receives);
    if (call == NULL)
        return false;
    call->at = c->received_bytes;
    call->whole = (size_t)n;
    call->n = call->whole < x->buffer ? call->whole : x->buffer;
    x->received.n += call->n;
    c->received_bytes += call->whole;
    c->next_receive = c->last + (int64_t)x->receive_gap_ms * NS_PER_MS;
    if (x->late_acks) /* the kernel forgets it by and by */
        (void)set(c->to, IPPROTO_TCP, TCP_QUICKACK, 0);
    return true;
}

static bool finished(struct course *c)
{
    const struct exchange *x = c->x;
    bool all_sent = c->piece == x->piece_count;
    bool silent = now() - c->last > (int64_t)SILENCE_MS * NS_PER_MS;
    if (x->datagrams)
        return all_sent && (x->receives.count >= x->sends.count || silent);
    /* The end is said behind the last byte, so that it pushes nothing along. */
    if (all_sent && !c->shut && c->received_bytes == c->sent_bytes)
        c->shut = shutdown(c->from, SHUT_WR) == 0;
    return x->ended;
}

/* Waits until there is something to do; at most 100 ms. */
static void wait_for_more(const struct course *c)
{
    int64_t t = now(), wake = t + (int64_t)100 * NS_PER_MS;
    struct pollfd fds[2] = {{.fd = -1}, {.fd = -1}};
    if (c->piece < c->x->piece_count) {
        if (c->blocked)
            fds[0] = (struct pollfd){.fd = c->from, .events = POLLOUT};
        else if (c->next_send < wake)
            wake = c->next_send;
    }
    if (t >= c->next_receive)
        fds[1] = (struct pollfd){.fd = c->to, .events = POLLIN};
    else if (c->next_receive < wake)
        wake = c->next_receive;
    int64_t left = wake > t ? wake - t : 0;
    struct timespec time = {.tv_nsec = left};
    (void)ppoll(fds, 2, &time, NULL);
}

static bool run(struct course *c)
{
    const struct exchange *x = c->x;
    if (!open_sockets(c))
        return false;
    if (x->late_acks)
        (void)set(c->to, IPPROTO_TCP, TCP_QUICKACK, 0);
    c->begin = c->last = c->next_send = now();
    c->next_receive = c->begin + (int64_t)x->first_receive_ms * NS_PER_MS;
    while (!finished(c)) {
        int64_t t = now();
        if (t - c->last > (int64_t)LIMIT_MS * NS_PER_MS) {
            errno = ETIMEDOUT;
            return fail(c, "recv");
        }
        if (c->piece < x->piece_count && t >= c->next_send && !send_some(c))
            return false;
        if (now() >= c->next_receive && !receive_some(c))
            return false;
        wait_for_more(c);
    }
    return true;
}

bool exchange_run(struct exchange *x, struct rx_failure *failure)
{
    struct course c = {.x = x, .from = -1, .to = -1};
    bool good = run(&c);
    if (!good) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "the lesson failed: %s: %s", c.failed,
                       strerror(errno));
        rx_failure_todo(failure, "check that this machine has a loopback interface");
    }
    if (c.from >= 0)
        (void)close(c.from);
    if (c.to >= 0)
        (void)close(c.to);
    return good;
}

void exchange_clear(struct exchange *x)
{
    free(x->sends.list);
    free(x->receives.list);
    buffer_clear(&x->received);
    *x = (struct exchange){0};
}
