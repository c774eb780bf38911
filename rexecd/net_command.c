/* One command's pipes: stdout and stderr into the engine, and its end. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/header.h"
#include "rexecd/net_internal.h"

enum {
    READ_LITTLE = 4 * 1024, /* what is asked for until a command has once had more to say */
    READ_WANT = 64 * 1024,  /* a pipe's usual capacity */
    REST_MAX = 1024 * 1024, /* a pipe's greatest, for who may not ask for more */
    DRAIN_MOST_MS = 5000,   /* the drain time at most, if output still comes */
};

static void on_pipe_stdin(evutil_socket_t fd, short what, void *context);
static void on_pipe_stdout(evutil_socket_t fd, short what, void *context);
static void on_pipe_stderr(evutil_socket_t fd, short what, void *context);
static void read_pipe(struct command *k, enum rx_which which);
static void finish_if_over(struct command *k);
static void wait_for_end(struct command *k);
static void wait_longer(struct command *k);

/* ---- life ------------------------------------------------------------------------------- */

struct rx_engine *command_engine(const struct command *k)
{
    return k->connection != NULL ? k->connection->engine : NULL;
}

static void want_output(struct command *k)
{
    if (k->connection != NULL)
        connection_dirty(k->net, k->connection);
}

/* Its client does not wait for this. */
static void want_output_soon(struct command *k)
{
    if (k->connection != NULL)
        connection_soon(k->net, k->connection);
}

/* It cannot go on, and its client must hear of it: the connection ends, too. */
static void fail(struct command *k, enum rx_error error)
{
    struct net *net = k->net;
    struct connection *c = k->connection;
    command_free(net, k);
    if (c != NULL)
        connection_end(net, c, IPC_HOW_ERROR, error);
}

struct command *command_find(struct net *net, uint64_t number)
{
    struct command *k;
    LIST_FOREACH(k, &net->by_number[number % BUCKETS], by_number)
    if (k->number == number)
        return k;
    return NULL;
}

void command_close_pipe(struct command *k, enum rx_which which)
{
    if (k->events[which] != NULL)
        event_free(k->events[which]);
    k->events[which] = NULL;
    if (k->fds[which] < 0)
        return;
    (void)close(k->fds[which]);
    k->net->fds_used--;
    k->fds[which] = -1;
    listeners_resume(k->net);
}

static void say(struct net *net, enum ipc_type type, const struct command *k)
{
    const struct ipc_command which = {.command = k->number};
    net_tell(net, type, 0, &which);
}

static void tell_finished(struct command *k)
{
    const struct rx_out *out = rx_channel_out(k->channel, RX_WHICH_STDOUT);
    const struct rx_out *err = rx_channel_out(k->channel, RX_WHICH_STDERR);
    const struct ipc_finished said = {
        .command = k->number,
        .bytes = {rx_channel_in(k->channel, RX_WHICH_STDIN)->received, rx_out_end(out),
                  rx_out_end(err)},
        .kept = rx_out_end(out) - out->acked + rx_out_end(err) - err->acked,
    };
    TAILQ_REMOVE(&k->net->untold, k, of_untold);
    k->untold = false;
    net_tell(k->net, IPC_FINISHED, 0, &said);
}

void commands_tell(struct net *net)
{
    struct command *k;
    while ((k = TAILQ_FIRST(&net->untold)) != NULL)
        tell_finished(k);
}

/* Nothing more goes through its pipes. The monitor has time: the client is told first. */
static void finished(struct command *k)
{
    if (k->finished)
        return;
    k->finished = k->untold = true;
    TAILQ_INSERT_TAIL(&k->net->untold, k, of_untold);
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++)
        command_close_pipe(k, w);
    if (k->drain != NULL)
        event_free(k->drain);
    k->drain = NULL;
    free(k->exit_header);
    k->exit_header = NULL;
}

void command_free(struct net *net, struct command *k)
{
    finished(k);
    if (k->untold)
        tell_finished(k);
    say(net, IPC_GONE, k);
    rx_channel_set_user(k->channel, NULL);
    if (k->connection == NULL)
        rx_channel_free(k->channel);
    LIST_REMOVE(k, of_connection);
    LIST_REMOVE(k, by_number);
    free(k);
}

static void park(struct net *net, struct command *k)
{
    if (k->untold)
        tell_finished(k); /* before anything that follows from its connection's end */
    LIST_REMOVE(k, of_connection);
    LIST_INSERT_HEAD(&net->parked, k, of_connection);
    k->connection = NULL;
}

void command_park(struct net *net, struct command *k)
{
    if (rx_engine_release(k->connection->engine, k->channel, NULL, 0) != RX_OK) {
        command_free(net, k); /* bytes of its input could not be kept */
        return;
    }
    park(net, k);
    /* What waited for its client's socket may fill the window now. */
    command_resume_output(k);
}

/* The events of the pipes that there are, none of them added. -1: no memory. */
static int make_events(struct net *net, struct command *k)
{
    static void (*const handlers[])(evutil_socket_t, short,
                                    void *) = {on_pipe_stdin, on_pipe_stdout, on_pipe_stderr};
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
        if (k->fds[w] < 0)
            continue;
        short what = w == RX_WHICH_STDIN ? EV_WRITE : EV_READ | EV_PERSIST;
        k->events[w] = event_new(net->base, k->fds[w], what, handlers[w], k);
        if (k->events[w] == NULL)
            return -1;
    }
    return 0;
}

/* Takes what is there already, which of a command that is over by now is all; waits for the rest.
 * -1: no memory. */
static int watch_output(struct command *k)
{
    struct pollfd ends[] = {{.fd = k->fds[RX_WHICH_STDOUT], .events = POLLIN},
                            {.fd = k->fds[RX_WHICH_STDERR], .events = POLLIN}};
    (void)poll(ends, 2, 0);
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        if (ends[w - RX_WHICH_STDOUT].revents != 0)
            read_pipe(k, w);
        if (k->fds[w] >= 0 && !k->paused[w] && event_add(k->events[w], NULL) < 0)
            return -1;
    }
    return 0;
}

/* There is nothing of a command that was started. */
static void say_gone(struct net *net, uint64_t command)
{
    const struct ipc_command which = {.command = command};
    net_tell(net, IPC_GONE, 0, &which);
}

/* The command runs, and its pipes are lost: nobody may take what comes of it for the whole. */
static void pipes_lost(struct net *net, struct connection *c, uint64_t command)
{
    say_gone(net, command);
    if (c == NULL || c->state != CONNECTION_OPEN)
        return;
    struct rx_header h;
    uint8_t bytes[512];
    size_t n = 0;
    rx_header_error(&h, RX_E_NO_MEMORY,
                    "the server has no descriptors left for another command: try fewer at once, or "
                    "raise its limit (ulimit -n)");
    if (rx_header_encode(RX_ERROR, &h, bytes, sizeof bytes, &n) != RX_OK)
        n = 0;
    rx_engine_fail(c->engine, RX_E_NO_MEMORY, bytes, n);
    connection_linger(net, c);
}

/* The command's channel: its stream's, or one that waits for its client (*c becomes NULL then).
 * NULL: no memory. */
static struct rx_channel *start_channel(struct net *net, struct connection **c,
                                        const struct ipc_message *m)
{
    const struct ipc_start *start = m->fixed;
    if (*c != NULL && (*c)->state == CONNECTION_OPEN) {
        struct rx_channel *channel = rx_engine_channel((*c)->engine, start->stream);
        if (channel != NULL && rx_engine_start((*c)->engine, RX_STARTED, &channel, NULL, m->tail,
                                               m->tail_len) == RX_OK)
            return channel;
        connection_end(net, *c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
    }
    *c = NULL;
    return rx_channel_new_running(0, net->setup.window);
}

void command_start(struct net *net, struct connection *c, struct ipc_message *m)
{
    const struct ipc_start *start = m->fixed;
    if (m->fds_lost) {
        pipes_lost(net, c, start->command);
        return;
    }
    struct command *k = calloc(1, sizeof *k);
    struct rx_channel *channel = k != NULL ? start_channel(net, &c, m) : NULL;
    if (channel == NULL) {
        say_gone(net, start->command);
        if (c != NULL)
            connection_end(net, c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
        free(k);
        return;
    }
    size_t first = m->type == IPC_START_NO_STDIN ? RX_WHICH_STDOUT : RX_WHICH_STDIN;
    k->terminal = m->type == IPC_START_PTY;
    k->fds[RX_WHICH_STDIN] = k->fds[RX_WHICH_STDERR] = -1;
    for (size_t i = 0; i < m->fd_count; i++) {
        k->fds[first + i] = m->fds[i];
        net->fds_used++;
        m->fds[i] = -1;
    }
    k->net = net;
    k->connection = c;
    k->channel = channel;
    k->number = start->command;
    k->output_limit = start->output_limit;
    k->drain_ms = start->drain_ms;
    rx_channel_set_user(channel, k);
    if (c != NULL)
        LIST_INSERT_HEAD(&c->commands, k, of_connection);
    else
        LIST_INSERT_HEAD(&net->parked, k, of_connection);
    LIST_INSERT_HEAD(&net->by_number[k->number % BUCKETS], k, by_number);
    if (make_events(net, k) < 0 || watch_output(k) < 0) {
        fail(k, RX_E_NO_MEMORY);
        return;
    }
    command_stdin(k); /* it may have come before */
    /* A client that still has input for it waits to hear how much it may send. */
    if (k->fds[RX_WHICH_STDIN] < 0)
        want_output_soon(k);
    else
        want_output(k);
}

/* ---- its pipes -------------------------------------------------------------------------- */

static void on_pipe_stdin(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    command_stdin(context);
}

static void pause_output(struct command *k, enum rx_which which)
{
    k->paused[which] = true;
    (void)event_del(k->events[which]);
}

void command_resume_output(struct command *k)
{
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        if (!k->paused[w] || k->fds[w] < 0)
            continue;
        k->paused[w] = false;
        (void)event_add(k->events[w], NULL);
        if (k->closing)
            event_active(k->events[w], EV_READ, 0); /* its end is that nothing is there */
    }
    if (k->drain_later && !k->finished) {
        k->drain_later = false;
        wait_for_end(k);
    }
}

static size_t kept_of(const struct command *k)
{
    const struct rx_out *out = rx_channel_out(k->channel, RX_WHICH_STDOUT);
    const struct rx_out *err = rx_channel_out(k->channel, RX_WHICH_STDERR);
    return (size_t)(rx_out_end(out) - out->acked + rx_out_end(err) - err->acked);
}

/* How much may be read now, for a connection that keeps KEPT_MAX bytes already: of each stream as
 * much as its client may be late by in acknowledging, or it would wait for an ACK that is not due.
 */
static size_t crowded_room(struct connection *c, const struct command *k, enum rx_which which)
{
    if (c->kept > KEPT_MAX && c->kept_less) {
        const struct command *each;
        c->kept_less = false;
        c->kept = 0;
        LIST_FOREACH(each, &c->commands, of_connection)
        c->kept += kept_of(each);
    }
    if (c->kept <= KEPT_MAX)
        return SIZE_MAX;
    const struct rx_out *out = rx_channel_out(k->channel, which);
    size_t kept = (size_t)(rx_out_end(out) - out->acked);
    return kept < RX_ACK_AT_LEAST ? RX_ACK_AT_LEAST - kept : 0;
}

void commands_uncrowd(struct connection *c)
{
    struct command *k;
    c->kept_less = true;
    if (!c->crowded)
        return;
    c->crowded = false;
    LIST_FOREACH(k, &c->commands, of_connection)
    command_resume_output(k);
}

static void check_limit(struct command *k)
{
    if (k->output_limit == 0 || k->over_limit)
        return;
    uint64_t total = rx_out_end(rx_channel_out(k->channel, RX_WHICH_STDOUT)) +
                     rx_out_end(rx_channel_out(k->channel, RX_WHICH_STDERR));
    if (total <= k->output_limit)
        return;
    k->over_limit = true;
    say(k->net, IPC_OVER_LIMIT, k);
}

static void read_pipe(struct command *k, enum rx_which which)
{
    struct connection *c = k->connection;
    if (c != NULL && c->output != NULL && connection_unsent(c) > UNSENT_MAX) {
        pause_output(k, which); /* until the client reads */
        return;
    }
    uint8_t *room = NULL;
    size_t most = c != NULL ? crowded_room(c, k, which) : SIZE_MAX;
    if (c != NULL && most == 0) {
        c->crowded = true;
        pause_output(k, which);
        return;
    }
    size_t want = k->talks[which] ? READ_WANT : READ_LITTLE;
    if (want > most)
        want = most;
    size_t space = rx_engine_write_room(k->channel, which, want, &room);
    if (space > most)
        space = most;
    if (space == 0) {
        pause_output(k, which); /* until it acknowledges */
        return;
    }
    if (k->closing && space > k->rest[which])
        space = k->rest[which];
    ssize_t n = read(k->fds[which], room, space);
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && !k->closing)))
        return;
    if (n > 0) {
        k->talks[which] |= (size_t)n == space;
        rx_engine_written(command_engine(k), k->channel, which, (size_t)n);
        if (c != NULL)
            c->kept += (size_t)n;
        check_limit(k);
        wait_longer(k);
        if (k->closing)
            k->rest[which] -= (size_t)n;
    }
    bool ended = n <= 0 || (k->closing && k->rest[which] == 0);
    if (ended) {
        rx_engine_finish(command_engine(k), k->channel, which);
        command_close_pipe(k, which);
    } else if (k->closing) {
        event_active(k->events[which], EV_READ, 0);
    }
    if (n > 0)
        want_output(k);
    else
        want_output_soon(k);
    if (ended)
        finish_if_over(k);
}

static void on_pipe_stdout(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    read_pipe(context, RX_WHICH_STDOUT);
}

static void on_pipe_stderr(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    read_pipe(context, RX_WHICH_STDERR);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* EXIT goes out behind all output, now or when the client has come back. The pipes are done with;
 * the rest stays until the client has it. */
static void finish(struct command *k)
{
    if (k->finished)
        return;
    (void)command_drop_stdin(k);
    enum rx_error error =
        rx_engine_exit(command_engine(k), k->channel, k->exit_header, k->exit_len);
    finished(k);
    want_output(k);
    if (error != RX_OK)
        fail(k, error);
}

/* Over is: dead, and both outputs at their end. */
static void finish_if_over(struct command *k)
{
    if (k->exit_header != NULL && k->fds[RX_WHICH_STDOUT] < 0 && k->fds[RX_WHICH_STDERR] < 0)
        finish(k);
}

static bool is_paused(const struct command *k)
{
    bool out = k->fds[RX_WHICH_STDOUT] >= 0 && k->paused[RX_WHICH_STDOUT];
    return out || (k->fds[RX_WHICH_STDERR] >= 0 && k->paused[RX_WHICH_STDERR]);
}

static void wait_for_end(struct command *k)
{
    const struct timeval grace = {.tv_sec = k->drain_ms / 1000,
                                  .tv_usec = (suseconds_t)(k->drain_ms % 1000) * 1000};
    (void)event_add(k->drain, &grace);
    k->drain_since_ms = net_now_ms();
}

/* Who still writes is more likely to be the rest of the command (`make > >(tee log)`) than what it
 * left behind: the time begins again, but not for ever. */
static void wait_longer(struct command *k)
{
    if (k->drain == NULL || !event_pending(k->drain, EV_TIMEOUT, NULL))
        return;
    k->drained_ms += net_now_ms() - k->drain_since_ms;
    k->drain_since_ms = net_now_ms();
    if (k->drained_ms + k->drain_ms < DRAIN_MOST_MS)
        wait_for_end(k);
}

/* Others hold the outputs: what is in the pipes now still goes to the client, at its pace. */
static void read_rest(struct command *k)
{
    k->closing = true;
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        k->rest[w] = REST_MAX;
        if (k->fds[w] >= 0 && !k->paused[w])
            event_active(k->events[w], EV_READ, 0);
    }
}

static void on_drained(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct command *k = context;
    /* Only time in which the client could have had more counts. */
    if (is_paused(k))
        k->drain_later = true;
    else
        say(k->net, IPC_DRAINED, k);
}

static bool keep_header(struct command *k, const struct ipc_message *m)
{
    uint8_t *copy = malloc(m->tail_len + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, m->tail, m->tail_len);
    free(k->exit_header);
    k->exit_header = copy;
    k->exit_len = m->tail_len;
    return true;
}

void command_ended(struct net *net, struct command *k, const struct ipc_message *m, bool now)
{
    if (k->finished)
        return;
    if (!keep_header(k, m)) {
        fail(k, RX_E_NO_MEMORY);
        return;
    }
    if (k->fds[RX_WHICH_STDOUT] < 0 && k->fds[RX_WHICH_STDERR] < 0) {
        finish(k);
    } else if (now) {
        read_rest(k);
    } else {
        k->drain = event_new(net->base, -1, 0, on_drained, k);
        if (k->drain == NULL)
            fail(k, RX_E_NO_MEMORY);
        else
            wait_for_end(k);
    }
}

/* ---- its client is back ----------------------------------------------------------------- */

/* Takes it from the connection that still has it, whose client is told. */
static void take_away(struct net *net, struct command *k, const void *header, size_t n)
{
    struct connection *old = k->connection;
    /* A session that failed says nothing any more. */
    if (rx_engine_release(old->engine, k->channel, header, n) != RX_OK &&
        rx_engine_release(old->engine, k->channel, NULL, 0) != RX_OK)
        return;
    park(net, k);
    commands_uncrowd(old);
    connection_dirty(net, old);
}

/* Binds it to the stream that its client asked on. */
static enum rx_error attach(struct net *net, struct connection *c, struct command *k,
                            const struct ipc_message *m)
{
    const struct ipc_resume *resume = m->fixed;
    if (k->connection != NULL)
        take_away(net, k, m->tail + resume->header_len, m->tail_len - resume->header_len);
    if (k->connection != NULL)
        return RX_E_NO_MEMORY;
    if (c == NULL || c->state != CONNECTION_OPEN)
        return RX_E_CLOSED_EARLY;
    struct rx_channel *channel = rx_engine_channel(c->engine, resume->stream);
    if (channel == NULL)
        return RX_E_BAD_STREAM;
    enum rx_error error = rx_engine_start(c->engine, resume->answer, &channel, k->channel, m->tail,
                                          resume->header_len);
    if (error != RX_OK)
        return error;
    LIST_REMOVE(k, of_connection);
    LIST_INSERT_HEAD(&c->commands, k, of_connection);
    k->connection = c;
    c->kept += kept_of(k);
    return RX_OK;
}

void command_resume(struct net *net, struct connection *c, const struct ipc_message *m)
{
    const struct ipc_resume *resume = m->fixed;
    struct command *k = command_find(net, resume->command);
    if (resume->header_len > m->tail_len)
        return;
    enum rx_error error = k != NULL ? attach(net, c, k, m) : RX_E_DATA_LOST;
    if (error != RX_OK) {
        const struct ipc_not_resumed not = {.command = resume->command,
                                            .session = m->session,
                                            .stream = resume->stream,
                                            .error = (uint16_t)error};
        net_tell(net, IPC_NOT_RESUMED, 0, &not );
        return;
    }
    command_resume_output(k);
    command_stdin(k);
    want_output(k);
}
