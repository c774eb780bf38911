/* One client's connection: handshake messages to the monitor and back, then the engine's events. */

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "rexecd/net_internal.h"

static void on_readable(evutil_socket_t fd, short what, void *context);
static void want_tick(struct net *net);

/* ---- life ------------------------------------------------------------------------------- */

/* Whether its client has proven itself: one that lingers behind the handshake has not. */
static bool proven(const struct connection *c, enum connection_state state)
{
    return state == CONNECTION_OPEN || (state == CONNECTION_LINGERING && c->engine != NULL);
}

/* The one setter. Moves the connection between the lists that its state belongs to. */
static void connection_set_state(struct connection *c, enum connection_state state)
{
    struct net *net = c->net;
    bool was_unproven = !proven(c, c->state) && c->state != CONNECTION_GONE;
    bool is_unproven = !proven(c, state) && state != CONNECTION_GONE;
    if (was_unproven != is_unproven || state == CONNECTION_GONE) {
        TAILQ_REMOVE(was_unproven ? &net->unproven : &net->open, c, order);
        if (was_unproven)
            net->unproven_count--;
        TAILQ_INSERT_TAIL(state == CONNECTION_GONE ? &net->gone : &net->open, c, order);
    }
    c->state = state;
}

struct connection *connection_find(struct net *net, uint32_t id)
{
    struct connection *c;
    LIST_FOREACH(c, &net->by_id[id % BUCKETS], by_id)
    if (c->id == id)
        return c;
    return NULL;
}

/* A number that nobody has; the monitor must never confuse two sessions. */
static uint32_t fresh_id(struct net *net)
{
    do
        net->last_id++;
    while (net->last_id == 0 || connection_find(net, net->last_id) != NULL);
    return net->last_id;
}

bool connection_evict(struct net *net)
{
    struct connection *oldest = TAILQ_FIRST(&net->unproven);
    if (oldest != NULL)
        connection_end(net, oldest, IPC_HOW_SILENCE, RX_E_IDLE_TIMEOUT);
    return oldest != NULL;
}

void connection_accept(struct net *net, int fd, const struct rx_source *peer, uint16_t port)
{
    /* Who does not prove himself must not keep others out. */
    if (net->unproven_count >= net->setup.max_unproven)
        (void)connection_evict(net);
    /* The monitor lets no more than that be proven; those it has turned away leave soon. */
    size_t most = (size_t)net->setup.max_connections + net->setup.max_unproven;
    if (net->connection_count >= most && !connection_evict(net)) {
        (void)close(fd);
        return;
    }
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->readable = event_new(net->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    if (c->readable == NULL || event_add(c->readable, NULL) < 0) {
        if (c->readable != NULL)
            event_free(c->readable);
        free(c);
        (void)close(fd);
        return;
    }
    c->net = net;
    c->fd = fd;
    c->peer = *peer;
    c->port = port;
    c->id = fresh_id(net);
    c->since_ms = net_now_ms();
    trace_begin(c);
    LIST_INIT(&c->commands);
    LIST_INSERT_HEAD(&net->by_id[c->id % BUCKETS], c, by_id);
    TAILQ_INSERT_TAIL(&net->unproven, c, order);
    net->unproven_count++;
    net->connection_count++;
    net->fds_used++;
    want_tick(net);
}

void connection_end(struct net *net, struct connection *c, enum ipc_how how, enum rx_error error)
{
    if (c->state == CONNECTION_GONE)
        return;
    struct command *k;
    while ((k = LIST_FIRST(&c->commands)) != NULL) {
        /* The end of its stdin would look like the end of what the client had to say: after CLOSE,
         * too, the monitor ends the command first and then says FORGET. */
        command_park(net, k);
    }
    trace_end(c);
    if (c->told) {
        struct ipc_closed closed = {.how = (uint8_t)how,
                                    .error = (uint16_t)error,
                                    .received = c->received,
                                    .sent = c->sent};
        net_tell(net, IPC_CLOSED, c->id, &closed);
        c->told = false;
    }
    if (c->held)
        TAILQ_REMOVE(&net->held, c, wait);
    c->held = false;
    LIST_REMOVE(c, by_id);
    connection_set_state(c, CONNECTION_GONE);
    event_free(c->readable);
    if (c->writable != NULL)
        event_free(c->writable);
    if (c->timer != NULL)
        event_free(c->timer);
    (void)close(c->fd);
    net->connection_count--;
    net->fds_used--;
    listeners_resume(net);
}

void connections_sweep(struct net *net)
{
    struct connection *c;
    while ((c = TAILQ_FIRST(&net->gone)) != NULL) {
        TAILQ_REMOVE(&net->gone, c, order);
        if (c->dirty)
            TAILQ_REMOVE(&net->dirty, c, turn);
        connection_not_soon(net, c);
        rx_engine_free(c->engine);
        if (c->sealers != NULL) {
            rx_sealer_wipe(&c->sealers[0]);
            rx_sealer_wipe(&c->sealers[1]);
            free(c->sealers);
        }
        output_release(net, c);
        free(c->trace);
        free(c);
    }
}

static void on_linger_end(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct connection *c = context;
    connection_end(c->net, c, IPC_HOW_ERROR,
                   c->engine != NULL ? rx_engine_error(c->engine) : RX_OK);
}

void connection_linger(struct net *net, struct connection *c)
{
    if (c->state == CONNECTION_GONE || c->state == CONNECTION_LINGERING)
        return;
    const struct timeval limit = {.tv_sec = LINGER_MS / 1000};
    connection_set_state(c, CONNECTION_LINGERING);
    c->timer = event_new(net->base, -1, 0, on_linger_end, c);
    if (c->timer == NULL || event_add(c->timer, &limit) < 0) {
        connection_end(net, c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
        return;
    }
    if (c->held)
        TAILQ_REMOVE(&net->held, c, wait);
    if (c->paused || c->held)
        (void)event_add(c->readable, NULL);
    c->paused = c->held = false;
    connection_dirty(net, c);
    if (c->engine == NULL)
        (void)shutdown(c->fd, SHUT_WR);
}

void connection_fail(struct net *net, struct connection *c, const void *header, size_t n)
{
    if (c->engine == NULL) {
        connection_end(net, c, IPC_HOW_ERROR, RX_OK);
        return;
    }
    rx_engine_fail(c->engine, RX_E_REQUEST_REJECTED, header, n);
    connection_linger(net, c);
}

/* ---- the handshake ---------------------------------------------------------------------- */

static void pause_reading(struct connection *c)
{
    c->paused = true;
    (void)event_del(c->readable);
}

static void resume_reading(struct connection *c)
{
    if (c->paused && !c->held)
        (void)event_add(c->readable, NULL);
    c->paused = false;
}

/* The monitor takes less than comes: who brought more than a share waits, or everybody who has
 * something for it, until it has caught up. So nobody's requests can keep those of others waiting,
 * and what waits is bounded. */
static bool hold_reading(struct net *net, struct connection *c)
{
    size_t waiting = link_queued(net->monitor);
    size_t asked = c->asked_round == net->rounds ? c->asked : 0;
    if (waiting < LINK_HIGH && (waiting <= LINK_LOW || asked < ASKED_MAX))
        return false;
    if (!c->held) {
        c->held = true;
        TAILQ_INSERT_TAIL(&net->held, c, wait);
        (void)event_del(c->readable);
    }
    return true;
}

void connections_unhold(struct net *net)
{
    struct connection *c;
    net->rounds++;
    while ((c = TAILQ_FIRST(&net->held)) != NULL) {
        TAILQ_REMOVE(&net->held, c, wait);
        c->held = false;
        if (!c->paused)
            (void)event_add(c->readable, NULL);
    }
}

/* A whole M1 or M3 has come: the monitor has the next word. */
static void pass_handshake(struct net *net, struct connection *c)
{
    int sent;
    if (c->state == CONNECTION_M1) {
        struct ipc_m1 m1 = {.peer = c->peer, .waited_us = trace_age_us(c), .port = c->port};
        memcpy(m1.m1, c->handshake, RX_M1_SIZE);
        trace_handshake(c, false, "M1", RX_M1_SIZE);
        sent = link_send(net->monitor, IPC_M1, c->id, &m1, NULL, 0, NULL);
        c->told = sent == 0;
        connection_set_state(c, CONNECTION_M2);
    } else {
        struct ipc_m3 m3;
        memcpy(m3.m3, c->handshake, RX_M3_SIZE);
        trace_handshake(c, false, "M3", RX_M3_SIZE);
        sent = link_send(net->monitor, IPC_M3, c->id, &m3, NULL, 0, NULL);
        connection_set_state(c, CONNECTION_KEYS);
    }
    c->handshake_len = 0;
    if (sent < 0)
        connection_end(net, c, IPC_HOW_ERROR, RX_E_NO_MEMORY);
}

/* Reads M1 or M3 and not a byte more: what is behind it stays in the socket until the client is
 * proven. */
static void read_handshake(struct net *net, struct connection *c)
{
    size_t want = c->state == CONNECTION_M1 ? RX_M1_SIZE : RX_M3_SIZE;
    ssize_t n = read(c->fd, c->handshake + c->handshake_len, want - c->handshake_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        connection_end(net, c, n == 0 ? IPC_HOW_FIN : IPC_HOW_RESET, RX_OK);
        return;
    }
    c->received += (uint64_t)n;
    trace_moved(c, false, (size_t)n);
    c->handshake_len = (uint8_t)(c->handshake_len + n);
    if (c->handshake_len == want)
        pass_handshake(net, c);
}

void connection_m2(struct net *net, struct connection *c, const struct ipc_message *m)
{
    const struct ipc_m2 *m2 = m->fixed;
    if (c->state != CONNECTION_M2)
        return;
    /* 104 bytes always fit into the buffer of a socket that nothing was sent over yet. */
    ssize_t n = write(c->fd, m2->m2, sizeof m2->m2);
    if (n != (ssize_t)sizeof m2->m2) {
        connection_end(net, c, IPC_HOW_RESET, RX_OK);
        return;
    }
    c->sent += (uint64_t)n;
    trace_handshake(c, true, "M2", RX_M2_SIZE);
    trace_moved(c, true, (size_t)n);
    if (m2->last) {
        c->told = false; /* the monitor has forgotten it already */
        connection_linger(net, c);
        return;
    }
    connection_set_state(c, CONNECTION_M3);
    resume_reading(c);
}

static enum rx_error open_engine(struct net *net, struct connection *c, const struct ipc_keys *keys)
{
    c->sealers = aligned_alloc(_Alignof(struct rx_sealer), 2 * sizeof *c->sealers);
    if (c->sealers == NULL)
        return RX_E_NO_MEMORY;
    enum rx_error error = rx_sealer_init(&c->sealers[0], keys->suite, keys->s2c);
    enum rx_error other = rx_sealer_init(&c->sealers[1], keys->suite, keys->c2s);
    if (error != RX_OK || other != RX_OK)
        return error != RX_OK ? error : other;
    rx_sealer_hasten(&c->sealers[0], &net->haste);
    rx_sealer_hasten(&c->sealers[1], &net->haste);
    struct rx_seal seal = rx_sealer_seal(&c->sealers[0]), open = rx_sealer_seal(&c->sealers[1]);
    trace_seals(c, &seal, &open);
    const struct rx_engine_config config = {
        .role = RX_SERVER,
        .seal = seal,
        .open = open,
        /* The monitor refuses what is above its limit; more than this at once is an attack. */
        .max_channels = (size_t)net->setup.max_commands * 2 + 64,
        .window = net->setup.window,
        .first_chunk = RX_FIRST_CHUNK,
    };
    c->engine = rx_engine_new(&config);
    return c->engine != NULL ? RX_OK : RX_E_NO_MEMORY;
}

void connection_keys(struct net *net, struct connection *c, const struct ipc_message *m)
{
    /* The reader's buffer is ours to wipe: the keys are to be in the sealers and nowhere else. */
    struct ipc_keys *keys = m->fixed;
    enum rx_error error = c->state == CONNECTION_KEYS ? open_engine(net, c, keys) : RX_E_BAD_STATE;
    sodium_memzero(keys, sizeof *keys);
    if (error == RX_OK)
        error = rx_engine_welcome(c->engine, m->tail, m->tail_len);
    if (error != RX_OK) {
        connection_end(net, c, IPC_HOW_ERROR, error);
        return;
    }
    sodium_memzero(c->handshake, sizeof c->handshake);
    connection_set_state(c, CONNECTION_OPEN);
    c->heard = true;
    want_tick(net);
    resume_reading(c);
    on_readable(c->fd, EV_READ, c); /* requests often come in the same segment as M3 */
    /* Who has asked already waits for the answer, and not for WELCOME. */
    if (c->asked > 0)
        connection_soon(net, c);
    else
        connection_dirty(net, c);
}

/* ---- the engine's events ---------------------------------------------------------------- */

void connection_answer(struct net *net, struct connection *c, const struct ipc_message *m)
{
    const struct ipc_answer *answer = m->fixed;
    if (c->engine == NULL || c->state != CONNECTION_OPEN || answer->header_len > m->tail_len)
        return;
    struct rx_channel *channel = rx_engine_channel(c->engine, answer->stream);
    if (channel == NULL)
        return; /* its stream is closed: there is nobody to tell */
    /* A command's channel is never closed by an answer. */
    if (answer->last && rx_channel_user(channel) != NULL) {
        connection_end(net, c, IPC_HOW_ERROR, RX_E_INTERNAL);
        return;
    }
    enum rx_error error = rx_engine_answer(
        c->engine, answer->type, channel, answer->last != 0, m->tail, answer->header_len,
        m->tail + answer->header_len, m->tail_len - answer->header_len);
    if (error == RX_E_FLOOD || error == RX_E_NO_MEMORY)
        connection_end(net, c, IPC_HOW_ERROR, error);
    else
        connection_dirty(net, c);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_event(struct net *net, struct connection *c, const struct rx_event *event)
{
    const struct rx_message *m = &event->message;
    struct command *k = event->channel != NULL ? rx_channel_user(event->channel) : NULL;
    if (rx_is_request(m->type)) {
        if (c->asked_round != net->rounds)
            c->asked = 0;
        c->asked_round = net->rounds;
        c->asked += m->raw_len;
        if (link_send(net->monitor, IPC_REQUEST, c->id, NULL, m->raw, m->raw_len, NULL) < 0)
            connection_end(net, c, IPC_HOW_ERROR, RX_E_FLOOD);
        return;
    }
    switch (m->type) {
    case RX_PING:
        (void)rx_engine_pong(c->engine, m->body, clock_ns());
        connection_dirty(net, c);
        break;
    case RX_CLOSE:
        connection_end(net, c, IPC_HOW_CLOSE, RX_OK);
        break;
    case RX_ERROR:
        connection_end(net, c, IPC_HOW_ERROR, RX_E_PEER_ERROR);
        break;
    case RX_STDIN:
        if (k != NULL)
            command_stdin(k);
        break;
    case RX_EXIT_ACK:
        if (k != NULL)
            command_free(net, k);
        commands_uncrowd(c);
        break;
    case RX_ACK:
        if (k != NULL)
            command_resume_output(k);
        commands_uncrowd(c);
        connection_dirty(net, c);
        break;
    default:
        break;
    }
}

/* Takes all events out of what was fed. */
static void take_events(struct net *net, struct connection *c)
{
    struct rx_event event;
    enum rx_next next;
    bool pending = rx_engine_pending(c->engine); /* then its time is appointed */
    while ((next = rx_engine_next(c->engine, &event)) == RX_NEXT_EVENT) {
        on_event(net, c, &event);
        if (c->state != CONNECTION_OPEN)
            return;
    }
    if (next == RX_NEXT_ERROR)
        connection_linger(net, c);
    if (!pending && rx_engine_pending(c->engine))
        connection_dirty(net, c);
}

static void read_records(struct net *net, struct connection *c)
{
    uint8_t *room = NULL;
    size_t room_len = rx_engine_room(c->engine, &room);
    size_t most = link_queued(net->monitor) > 0 ? READ_BUSY : SCRATCH_SIZE;
    struct iovec parts[] = {{.iov_base = room, .iov_len = room_len},
                            {.iov_base = net->scratch, .iov_len = most}};
    bool whole = room_len == 0;
    ssize_t n = readv(c->fd, whole ? parts + 1 : parts, whole ? 1 : 2);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        connection_end(net, c, n == 0 ? IPC_HOW_FIN : IPC_HOW_RESET, rx_engine_eof(c->engine));
        return;
    }
    c->received += (uint64_t)n;
    trace_moved(c, false, (size_t)n);
    c->heard = true;
    size_t placed = (size_t)n < room_len ? (size_t)n : room_len;
    rx_engine_filled(c->engine, placed);
    rx_engine_feed(c->engine, net->scratch, (size_t)n - placed);
    take_events(net, c);
    if (c->state == CONNECTION_OPEN)
        (void)hold_reading(net, c);
}

/* Throws away what still comes, so that our last words are not lost with it. */
static void read_nothing(struct net *net, struct connection *c)
{
    ssize_t n = read(c->fd, net->scratch, SCRATCH_SIZE);
    if (n > 0)
        trace_moved(c, false, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_end(net, c, IPC_HOW_ERROR,
                       c->engine != NULL ? rx_engine_error(c->engine) : RX_OK);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct connection *c = context;
    switch (c->state) {
    case CONNECTION_M1:
    case CONNECTION_M3:
        if (!hold_reading(c->net, c))
            read_handshake(c->net, c);
        break;
    case CONNECTION_M2:
    case CONNECTION_KEYS:
        pause_reading(c);
        break;
    case CONNECTION_OPEN:
        if (!hold_reading(c->net, c))
            read_records(c->net, c);
        break;
    case CONNECTION_LINGERING:
        read_nothing(c->net, c);
        break;
    case CONNECTION_GONE:
        break;
    }
}

/* ---- time ------------------------------------------------------------------------------- */

static void keepalive(struct net *net, struct connection *c)
{
    static const uint8_t token[8] = "rexecd";
    if (c->state != CONNECTION_OPEN)
        return;
    /* Who is not read cannot be heard. */
    c->silent = c->heard || c->held ? 0 : (uint8_t)(c->silent + 1);
    c->heard = false;
    if (c->silent >= SILENT_MAX) {
        connection_end(net, c, IPC_HOW_SILENCE, RX_E_IDLE_TIMEOUT);
    } else if (c->silent > 0) {
        (void)rx_engine_ping(c->engine, token);
        connection_dirty(net, c);
    }
}

/* Sets the tick to the next moment at which something is due, if anything is: a daemon that nobody
 * talks to sleeps. */
static void want_tick(struct net *net)
{
    int64_t now_ms = net_now_ms();
    int64_t due = INT64_MAX;
    const struct connection *oldest = TAILQ_FIRST(&net->unproven);
    if (oldest != NULL)
        due = oldest->since_ms + (int64_t)net->setup.handshake_ms;
    if (net->setup.keepalive_ms > 0 && !TAILQ_EMPTY(&net->open) && net->next_keepalive_ms < due)
        due = net->next_keepalive_ms;
    bool planned = event_pending(net->tick, EV_TIMEOUT, NULL);
    if (due == INT64_MAX || (planned && net->tick_ms <= due))
        return;
    net->tick_ms = due;
    int64_t ms = due > now_ms ? due - now_ms : 0;
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(net->tick, &after);
}

void connections_tick(struct net *net, int64_t now_ms)
{
    struct connection *c, *next;
    while ((c = TAILQ_FIRST(&net->unproven)) != NULL &&
           now_ms - c->since_ms >= (int64_t)net->setup.handshake_ms)
        connection_end(net, c, IPC_HOW_SILENCE, RX_E_IDLE_TIMEOUT);
    if (net->setup.keepalive_ms > 0 && now_ms >= net->next_keepalive_ms) {
        net->next_keepalive_ms = now_ms + (int64_t)net->setup.keepalive_ms;
        for (c = TAILQ_FIRST(&net->open); c != NULL; c = next) {
            next = TAILQ_NEXT(c, order);
            keepalive(net, c);
        }
    }
    want_tick(net);
}
