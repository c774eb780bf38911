#include "rexecd/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    QUEUE_MAX = 256 * 1024 * 1024, /* a peer this far behind is dead */
    QUEUE_DEAF = 1024 * 1024,      /* net this far behind is not listened to until it is not */
    MESSAGES_A_TURN = 64,          /* then others have their turn */
    RETRY_MS = 10,                 /* where the kernel is full and not the socket */
};

/* A message that did not fit. */
struct waiting {
    STAILQ_ENTRY(waiting) next;
    enum ipc_type type;
    uint32_t session;
    int fds[IPC_FDS_MAX];
    size_t fd_count, fixed_len, tail_len;
    _Alignas(16) uint8_t bytes[]; /* structure, tail */
};

struct link {
    int fd;
    enum ipc_side side;
    struct event *readable, *writable, *retry;
    struct ipc_reader *reader;
    STAILQ_HEAD(queue, waiting) queue;
    size_t queued;
    link_message message;
    link_ended ended;
    void (*drained)(void *context);
    void *context;
    bool *freed; /* set when the link is freed from inside a callback */
};

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
}

/* Keys may be in it. */
static void free_waiting(struct waiting *w)
{
    explicit_bzero(w->bytes, w->fixed_len + w->tail_len);
    free(w);
}

static void end(struct link *link, int error)
{
    (void)event_del(link->readable);
    (void)event_del(link->writable);
    (void)event_del(link->retry);
    link->ended(link->context, error);
}

/* ENOBUFS and ETOOMANYREFS pass when the other side has taken what is under way. */
static bool passes(int error)
{
    return error == EAGAIN || error == ENOBUFS || error == ETOOMANYREFS;
}

/* The socket is writable, so waiting for that would only spin. False: no memory. */
static bool retry_later(struct link *link)
{
    const struct timeval after = {.tv_usec = RETRY_MS * 1000};
    (void)event_del(link->writable);
    return event_add(link->retry, &after) == 0;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct link *link = context;
    bool freed = false;
    link->freed = &freed;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        struct ipc_message message;
        /* Asking without reading answers must not cost memory. Only of net: were both ends deaf,
         * neither would ever read. */
        if (link->side == IPC_FROM_NET && link->queued > QUEUE_DEAF) {
            (void)event_del(link->readable);
            break;
        }
        enum ipc_result result = ipc_receive(fd, link->reader, link->side, &message);
        if (result == IPC_GOT) {
            link->message(link->context, &message);
            ipc_close_fds(&message);
            if (freed)
                return;
            continue;
        }
        link->freed = NULL;
        if (result == IPC_EOF)
            end(link, 0);
        else if (result == IPC_BAD)
            end(link, EPROTO);
        else if (result == IPC_ERROR)
            end(link, errno);
        return;
    }
    link->freed = NULL;
}

/* Sends what waits, as far as it goes. */
static void send_waiting(struct link *link)
{
    struct waiting *w;
    size_t before = link->queued;
    while ((w = STAILQ_FIRST(&link->queue)) != NULL) {
        if (ipc_send(link->fd, w->type, w->session, w->bytes, w->bytes + w->fixed_len, w->tail_len,
                     w->fds) < 0) {
            if (!passes(errno))
                end(link, errno);
            else if (errno != EAGAIN && !retry_later(link))
                end(link, ENOMEM);
            else if (before > LINK_LOW && link->queued <= LINK_LOW && link->drained != NULL)
                link->drained(link->context);
            return;
        }
        STAILQ_REMOVE_HEAD(&link->queue, next);
        link->queued -= sizeof *w + w->fixed_len + w->tail_len;
        close_all(w->fds, w->fd_count);
        free_waiting(w);
    }
    (void)event_del(link->writable);
    if (event_add(link->readable, NULL) < 0)
        end(link, ENOMEM);
    else if (before > LINK_LOW && link->drained != NULL)
        link->drained(link->context);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    send_waiting(context);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct link *link = context;
    if (event_add(link->writable, NULL) < 0)
        end(link, ENOMEM);
    else
        send_waiting(link);
}

struct link *link_new(struct event_base *base, int fd, enum ipc_side side, link_message message,
                      link_ended ended, void *context)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->fd = -1;
    link->side = side;
    link->message = message;
    link->ended = ended;
    link->context = context;
    STAILQ_INIT(&link->queue);
    link->reader = ipc_reader_new();
    link->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, link);
    link->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, link);
    link->retry = event_new(base, -1, 0, on_retry, link);
    if (link->reader == NULL || link->readable == NULL || link->writable == NULL ||
        link->retry == NULL || event_add(link->readable, NULL) < 0) {
        link_free(link);
        return NULL;
    }
    link->fd = fd;
    return link;
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    if (link->freed != NULL)
        *link->freed = true;
    struct waiting *w;
    while ((w = STAILQ_FIRST(&link->queue)) != NULL) {
        STAILQ_REMOVE_HEAD(&link->queue, next);
        close_all(w->fds, w->fd_count);
        free_waiting(w);
    }
    if (link->readable != NULL)
        event_free(link->readable);
    if (link->writable != NULL)
        event_free(link->writable);
    if (link->retry != NULL)
        event_free(link->retry);
    ipc_reader_free(link->reader);
    if (link->fd >= 0)
        (void)close(link->fd);
    free(link);
}

void link_when_drained(struct link *link, void (*drained)(void *context))
{
    link->drained = drained;
}

/* Net's word about what is over, or nearly: the monitor must not go on without, and there are no
 * more of them than there were sessions and commands. */
static bool must_go(enum ipc_type type)
{
    return type == IPC_CLOSED || (ipc_type_states(type) & IPC_STATE_COMMAND) != 0;
}

/* Puts a message behind the others; its order among them is kept. */
static int enqueue(struct link *link, enum ipc_type type, uint32_t session, const void *fixed,
                   const void *tail, size_t tail_len, const int *fds)
{
    size_t fixed_len = ipc_type_fixed(type), fd_count = ipc_type_fds(type);
    if (link->queued > QUEUE_MAX && !(link->side == IPC_FROM_MONITOR && must_go(type))) {
        errno = ENOBUFS;
        return -1;
    }
    /* Before it is in the queue, which owns the descriptors. */
    if (!event_pending(link->retry, EV_TIMEOUT, NULL) && event_add(link->writable, NULL) < 0)
        return -1;
    struct waiting *w = calloc(1, sizeof *w + fixed_len + tail_len);
    if (w == NULL)
        return -1;
    w->type = type;
    w->session = session;
    w->fixed_len = fixed_len;
    w->tail_len = tail_len;
    w->fd_count = fd_count;
    if (fd_count > 0)
        memcpy(w->fds, fds, fd_count * sizeof *fds);
    if (fixed_len > 0)
        memcpy(w->bytes, fixed, fixed_len);
    if (tail_len > 0)
        memcpy(w->bytes + fixed_len, tail, tail_len);
    STAILQ_INSERT_TAIL(&link->queue, w, next);
    link->queued += sizeof *w + fixed_len + tail_len;
    return 0;
}

int link_send(struct link *link, enum ipc_type type, uint32_t session, const void *fixed,
              const void *tail, size_t tail_len, const int *fds)
{
    bool full = !STAILQ_EMPTY(&link->queue);
    if (!full) {
        int sent = ipc_send(link->fd, type, session, fixed, tail, tail_len, fds);
        full = sent < 0 && passes(errno);
        if (!full) {
            int saved = errno;
            close_all(fds, ipc_type_fds(type));
            errno = saved;
            return sent;
        }
    }
    if (enqueue(link, type, session, fixed, tail, tail_len, fds) == 0)
        return 0;
    int saved = errno;
    close_all(fds, ipc_type_fds(type));
    errno = saved;
    return -1;
}

size_t link_queued(const struct link *link)
{
    return link->queued;
}
