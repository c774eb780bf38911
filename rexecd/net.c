/* The net role: its setup, its link to the monitor, its loop. */

#include "rexecd/net.h"

#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/header.h"
#include "rexecd/net_internal.h"
#include "rexecd/sandbox.h"

enum { FDS_OURS = 16, FDS_KEPT = 1024 };

int64_t net_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_delay(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    connections_delayed(context);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    connections_tick(context, net_now_ms());
}

static void stop(struct net *net, int status)
{
    net->stop = true;
    if (net->status == 0)
        net->status = status;
}

void net_tell(struct net *net, enum ipc_type type, uint32_t session, const void *fixed)
{
    if (link_send(net->monitor, type, session, fixed, NULL, 0, NULL) < 0)
        stop(net, 1);
}

static void on_drained(void *context)
{
    connections_unhold(context);
}

/* ---- messages of the monitor ------------------------------------------------------------ */

/* All listeners are here: from now on nothing is needed that an intruder would want. */
static void serve(struct net *net)
{
    if (sandbox_net(net->setup.trace_bytes) < 0 || listeners_start(net) < 0 ||
        link_send(net->monitor, IPC_READY, 0, NULL, NULL, 0, NULL) < 0) {
        stop(net, 1);
        return;
    }
    net->serving = true;
}

static void goaway(struct net *net, const struct ipc_message *m)
{
    listeners_free(net);
    struct connection *c;
    TAILQ_FOREACH(c, &net->open, order)
    {
        if (c->state == CONNECTION_OPEN &&
            rx_engine_goaway(c->engine, m->tail, m->tail_len) == RX_OK)
            connection_dirty(net, c);
    }
}

static void on_command_message(struct net *net, struct ipc_message *m)
{
    const struct ipc_command *which = m->fixed;
    struct command *k = command_find(net, which->command);
    if (k == NULL)
        return; /* it was let go of meanwhile */
    if (m->type == IPC_FORGET)
        command_free(net, k);
    else
        command_ended(net, k, m, m->type == IPC_EXIT_NOW);
}

/* Messages of no session. */
static void on_whole_message(struct net *net, struct ipc_message *m)
{
    switch (m->type) {
    case IPC_SETUP:
        net->setup = *(const struct ipc_setup *)m->fixed;
        break;
    case IPC_LISTENER:
        if (m->fds_lost || listener_add(net, m->fds[0]) < 0)
            stop(net, 1);
        m->fds[0] = -1;
        break;
    case IPC_SERVE:
        serve(net);
        break;
    case IPC_GOAWAY:
        goaway(net, m);
        break;
    default:
        on_command_message(net, m);
        break;
    }
}

static void on_session_message(struct net *net, struct connection *c, struct ipc_message *m)
{
    switch (m->type) {
    case IPC_M2:
        connection_m2(net, c, m);
        break;
    case IPC_DROP:
        c->told = false; /* the monitor has forgotten it already */
        connection_end(net, c, IPC_HOW_ERROR, RX_OK);
        break;
    case IPC_TRACE:
        trace_file(c, m);
        break;
    case IPC_KEYS:
        connection_keys(net, c, m);
        break;
    case IPC_ANSWER:
        connection_answer(net, c, m);
        break;
    case IPC_FAIL:
        connection_fail(net, c, m->tail, m->tail_len);
        break;
    default:
        break;
    }
}

static void on_message(void *context, struct ipc_message *m)
{
    struct net *net = context;
    if (m->session == 0) {
        on_whole_message(net, m);
        return;
    }
    struct connection *c = connection_find(net, m->session);
    if (m->type == IPC_START || m->type == IPC_START_NO_STDIN || m->type == IPC_START_PTY)
        command_start(net, c, m);
    else if (m->type == IPC_RESUME)
        command_resume(net, c, m);
    else if (c != NULL)
        on_session_message(net, c, m);
    else if (m->type == IPC_KEYS)
        sodium_memzero(m->fixed, sizeof(struct ipc_keys));
}

/* The monitor is gone, and with it everything that this process could do for anybody. */
static void on_ended(void *context, int error)
{
    stop(context, error != 0);
}

/* ---- the loop --------------------------------------------------------------------------- */

static void fail_all(struct net *net)
{
    struct connection *c;
    while ((c = TAILQ_FIRST(&net->unproven)) != NULL || (c = TAILQ_FIRST(&net->open)) != NULL) {
        c->told = false;
        connection_end(net, c, IPC_HOW_ERROR, RX_OK);
    }
}

static void loop(struct net *net)
{
    while (!net->stop) {
        /* What could not be sent in one turn must not wait for an event to be sent in the next. */
        int flags = TAILQ_EMPTY(&net->dirty) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
        if (event_base_loop(net->base, flags) < 0)
            stop(net, 1);
        connections_flush(net);
        commands_tell(net);
        connections_sweep(net);
    }
    connections_flush(net);
    fail_all(net);
    connections_sweep(net);
    struct command *k;
    while ((k = LIST_FIRST(&net->parked)) != NULL)
        command_free(net, k);
}

/* Some descriptors are kept back from those who only connect: commands of proven clients need them.
 */
static size_t fds_for_clients(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    rlim_t kept = FDS_OURS + files.rlim_cur / 4;
    if (kept > FDS_KEPT)
        kept = FDS_KEPT;
    return files.rlim_cur > kept ? (size_t)(files.rlim_cur - kept) : 1;
}

static bool prepare(struct net *net, int ipc_fd)
{
    TAILQ_INIT(&net->unproven);
    TAILQ_INIT(&net->open);
    TAILQ_INIT(&net->dirty);
    TAILQ_INIT(&net->soon);
    TAILQ_INIT(&net->gone);
    TAILQ_INIT(&net->held);
    TAILQ_INIT(&net->untold);
    LIST_INIT(&net->parked);
    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_INIT(&net->by_id[i]);
        LIST_INIT(&net->by_number[i]);
    }
    net->base = event_base_new();
    if (net->base == NULL)
        return false;
    net->fds_for_clients = fds_for_clients();
    net->scratch = malloc(SCRATCH_SIZE);
    net->tick = event_new(net->base, -1, 0, on_tick, net);
    net->delay = event_new(net->base, -1, 0, on_delay, net);
    net->monitor = link_new(net->base, ipc_fd, IPC_FROM_MONITOR, on_message, on_ended, net);
    if (net->monitor != NULL)
        link_when_drained(net->monitor, on_drained);
    return net->scratch != NULL && net->tick != NULL && net->delay != NULL && net->monitor != NULL;
}

static const struct rx_aead *give_aead(void *user, uint64_t moved, uint64_t *again)
{
    const struct net *net = user;
    (void)moved;
    (void)again;
    return net->aead;
}

int net_main(int ipc_fd, const struct rx_aead *aead)
{
    static struct net net; /* large, and there is one */
    rx_header_seed(randombytes_random());
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a trace that is full: write says so */
    /* A terminal's ^C is for the monitor, which ends things in their order. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    net.aead = aead;
    net.haste = (struct rx_haste){HASTE_AFTER, give_aead, &net};
    if (!prepare(&net, ipc_fd))
        return 1;
    loop(&net);
    listeners_free(&net);
    link_free(net.monitor);
    if (net.tick != NULL)
        event_free(net.tick);
    if (net.delay != NULL)
        event_free(net.delay);
    event_base_free(net.base);
    free(net.scratch);
    free(net.spare_output);
    return net.status;
}
