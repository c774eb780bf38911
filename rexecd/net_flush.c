/* A connection's way out: one write a turn for all that its engine has to say. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rexecd/net_internal.h"

enum {
    WRITES_A_TURN = 4, /* then the others have theirs */
    /* A shell that has nothing to do is done by then, and it is more than the loop's clock errs,
     * which goes in steps of up to 4 ms. */
    SOON_US = 8000,
};

void connection_dirty(struct net *net, struct connection *c)
{
    if (c->dirty || c->state == CONNECTION_GONE || c->engine == NULL)
        return;
    c->dirty = true;
    TAILQ_INSERT_TAIL(&net->dirty, c, turn);
}

void connection_soon(struct net *net, struct connection *c)
{
    const struct timeval delay = {.tv_usec = SOON_US};
    if (c->dirty || c->soon || c->state == CONNECTION_GONE || c->engine == NULL)
        return;
    if (TAILQ_EMPTY(&net->soon) && event_add(net->delay, &delay) < 0) {
        connection_dirty(net, c);
        return;
    }
    c->soon = true;
    TAILQ_INSERT_TAIL(&net->soon, c, later);
}

void connections_delayed(struct net *net)
{
    struct connection *c;
    /* Off the list at once: who comes to it later in this turn must find it empty, and arm the
     * timer again. */
    while ((c = TAILQ_FIRST(&net->soon)) != NULL) {
        connection_not_soon(net, c);
        connection_dirty(net, c);
    }
}

void connection_not_soon(struct net *net, struct connection *c)
{
    if (!c->soon)
        return;
    c->soon = false;
    TAILQ_REMOVE(&net->soon, c, later);
    if (TAILQ_EMPTY(&net->soon))
        (void)event_del(net->delay);
}

size_t connection_unsent(const struct connection *c)
{
    size_t n = 0;
    const struct command *k;
    LIST_FOREACH(k, &c->commands, of_connection)
    {
        for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
            const struct rx_out *out = rx_channel_out(k->channel, w);
            n += (size_t)(rx_out_end(out) - out->sent);
        }
    }
    return n;
}

void output_release(struct net *net, struct connection *c)
{
    if (c->output == NULL)
        return;
    if (net->spare_output == NULL)
        net->spare_output = c->output;
    else
        free(c->output);
    c->output = NULL;
    c->output_len = c->output_at = 0;
}

static bool output_take(struct net *net, struct connection *c)
{
    c->output = net->spare_output;
    net->spare_output = NULL;
    if (c->output == NULL)
        c->output = malloc(OUTPUT_SIZE);
    return c->output != NULL;
}

static void on_writable(evutil_socket_t fd, short what, void *context);

/* The socket is full: goes on when it is not. */
static void wait_writable(struct net *net, struct connection *c)
{
    if (c->writable == NULL) {
        c->writable = event_new(net->base, c->fd, EV_WRITE, on_writable, c);
        if (c->writable == NULL) {
            connection_end(net, c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
            return;
        }
    }
    (void)event_add(c->writable, NULL);
}

/* Writes what is in the buffer. True when all of it went. */
static bool write_output(struct net *net, struct connection *c)
{
    while (c->output_at < c->output_len) {
        ssize_t n = write(c->fd, c->output + c->output_at, c->output_len - c->output_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            wait_writable(net, c);
            return false;
        }
        if (n < 0) {
            connection_end(net, c, IPC_HOW_RESET, RX_OK);
            return false;
        }
        c->output_at += (size_t)n;
        c->sent += (uint64_t)n;
        trace_moved(c, true, (size_t)n);
    }
    return true;
}

static void flush(struct net *net, struct connection *c)
{
    connection_not_soon(net, c);
    for (int i = 0; i < WRITES_A_TURN; i++) {
        if (c->output == NULL && !output_take(net, c)) {
            connection_end(net, c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
            return;
        }
        if (c->output_at == c->output_len) {
            c->output_at = 0;
            c->output_len = rx_engine_output(c->engine, c->output, OUTPUT_SIZE);
            if (c->output_len == 0)
                break;
        }
        if (!write_output(net, c))
            return;
    }
    output_release(net, c);
    if (rx_engine_pending(c->engine))
        connection_dirty(net, c);
    else if (c->state == CONNECTION_LINGERING)
        (void)shutdown(c->fd, SHUT_WR);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct connection *c = context;
    connection_dirty(c->net, c);
    /* Commands that waited for the client to read go on. */
    struct command *k;
    LIST_FOREACH(k, &c->commands, of_connection)
    command_resume_output(k);
}

void connections_flush(struct net *net)
{
    /* Those that become dirty meanwhile have their turn next time. */
    struct connections now = TAILQ_HEAD_INITIALIZER(now);
    TAILQ_CONCAT(&now, &net->dirty, turn);
    struct connection *c;
    while ((c = TAILQ_FIRST(&now)) != NULL) {
        TAILQ_REMOVE(&now, c, turn);
        c->dirty = false;
        if (c->state != CONNECTION_GONE)
            flush(net, c);
    }
}
