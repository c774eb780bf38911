/* The trace of a connection, if sessions are traced: lines into a file that the monitor has made.
 * Of the handshake they are kept until the client is proven; of who is not, nothing is written. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/tap.h"
#include "proto/trace.h"
#include "rexecd/net_internal.h"

/* A handshake that comes byte by byte fits: 128 reads, a write, three records. */
enum { LINES_MAX = 12 * 1024 };

struct trace {
    struct connection *connection;
    struct rx_tap tap;
    struct rx_tapped tapped_out, tapped_in;
    struct rx_trace at;
    int64_t begin_ns;
    size_t left; /* bytes that the file may still get */
    size_t len;  /* bytes in `lines` */
    int fd;      /* -1: there is none yet, or the trace is over */
    bool over;
    char lines[LINES_MAX];
};

static int64_t rising_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void close_file(struct trace *t)
{
    if (t->fd >= 0) {
        (void)close(t->fd);
        t->connection->net->fds_used--;
    }
    t->fd = -1;
    t->over = true;
}

/* The session goes on without. */
static void lose(struct trace *t, int error)
{
    const struct ipc_trace_lost lost = {.error = (uint32_t)error};
    struct connection *c = t->connection;
    close_file(t);
    if (c->told)
        (void)link_send(c->net->monitor, IPC_TRACE_LOST, c->id, &lost, NULL, 0, NULL);
}

static void write_lines(struct trace *t)
{
    size_t n = t->len, at = 0;
    t->len = 0;
    while (t->fd >= 0 && at < n) {
        ssize_t written = write(t->fd, t->lines + at, n - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            lose(t, written < 0 ? errno : ENOSPC);
            return;
        }
        at += (size_t)written;
    }
}

/* Room for the line that ends the trace is always left. */
static void add_line(struct trace *t, const char *line, size_t n)
{
    char end[RX_TRACE_LINE_MAX];
    size_t end_len = rx_trace_limit(end);
    if (t->len + n > sizeof t->lines)
        write_lines(t);
    if (t->over || t->len + n > sizeof t->lines)
        return;
    bool last = n + end_len > t->left;
    memcpy(t->lines + t->len, last ? end : line, last ? end_len : n);
    t->len += last ? end_len : n;
    t->left -= last ? end_len : n;
    if (!last)
        return;
    write_lines(t);
    if (!t->over)
        lose(t, EFBIG);
}

static void on_moved(void *user, bool out, size_t n)
{
    struct trace *t = user;
    char line[RX_TRACE_LINE_MAX];
    size_t len = rx_trace_call(&t->at, out, n, rising_ns() - t->begin_ns, line);
    add_line(t, line, len);
    if (t->fd >= 0)
        write_lines(t);
}

static void on_record(void *user, bool out, const char *name, const uint8_t *payload, size_t n,
                      size_t size)
{
    struct trace *t = user;
    char line[RX_TRACE_LINE_MAX];
    size_t len = rx_trace_record(&t->at, out, name, payload, n, size, line);
    add_line(t, line, len);
}

void trace_begin(struct connection *c)
{
    struct trace *t = c->net->setup.trace_bytes > 0 ? calloc(1, sizeof *t) : NULL;
    if (t == NULL)
        return;
    t->connection = c;
    t->tap = (struct rx_tap){.moved = on_moved, .record = on_record, .user = t};
    t->at.out = RX_S2C;
    t->begin_ns = rising_ns();
    t->left = SIZE_MAX;
    t->fd = -1;
    c->trace = t;
}

uint32_t trace_age_us(const struct connection *c)
{
    int64_t age = c->trace != NULL ? (rising_ns() - c->trace->begin_ns) / 1000 : 0;
    return age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

void trace_file(struct connection *c, struct ipc_message *m)
{
    const struct ipc_trace *file = m->fixed;
    struct trace *t = c->trace;
    if (t == NULL || t->fd >= 0 || t->over || m->fds_lost || file->most < sizeof t->lines) {
        const struct ipc_trace_lost lost = {.error = m->fds_lost ? EMFILE : ENOMEM};
        (void)link_send(c->net->monitor, IPC_TRACE_LOST, c->id, &lost, NULL, 0, NULL);
        return;
    }
    t->left = file->most - t->len;
    t->fd = m->fds[0];
    m->fds[0] = -1;
    c->net->fds_used++;
}

void trace_seals(struct connection *c, struct rx_seal *out, struct rx_seal *in)
{
    struct trace *t = c->trace;
    if (t == NULL)
        return;
    *out = rx_tap_seal(&t->tapped_out, *out, &t->tap);
    *in = rx_tap_seal(&t->tapped_in, *in, &t->tap);
}

void trace_moved(const struct connection *c, bool out, size_t n)
{
    if (c->trace != NULL)
        on_moved(c->trace, out, n);
}

void trace_handshake(const struct connection *c, bool out, const char *name, size_t n)
{
    if (c->trace != NULL)
        on_record(c->trace, out, name, NULL, 0, n);
}

void trace_end(struct connection *c)
{
    struct trace *t = c->trace;
    if (t == NULL)
        return;
    if (t->fd >= 0)
        write_lines(t);
    close_file(t);
}
