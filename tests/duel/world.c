#include "tests/duel/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tests/duel/session.h"

enum { PIPE_ROOM = 1 << 20, PIECE = 70000, STEPS_MAX = 100000 };

/* Bytes on their way in one direction. */
struct pipe {
    uint8_t bytes[PIPE_ROOM];
    size_t n;
};

struct command {
    uint8_t number;
    size_t sizes[RX_WHICH_COUNT]; /* of its streams, in all */
    /* the client's side */
    struct rx_channel *asked;
    bool answered, over;
    size_t sent_in, got[RX_WHICH_COUNT];
    /* the server's side */
    struct rx_channel *run;
    unsigned starts;
    size_t took_in, wrote[RX_WHICH_COUNT];
    bool exited;
};

struct world {
    const struct world_options *options;
    struct dice d;
    struct handshake_pair keys;
    struct session s;
    struct pipe c2s, s2c;
    struct command commands[WORLD_COMMANDS];
    bool listed; /* the answer to LIST has come */
    bool broken; /* an engine has failed */
    unsigned cuts;
};

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "world: %s\n", what);
        abort();
    }
}

/* Whether what went wrong was memory, so that it may be tried again. Otherwise it must be right. */
static bool again(const struct world *w, enum rx_error error, const char *what)
{
    if (error == RX_OK)
        return false;
    if (w->options->starved != NULL && w->options->starved())
        return true;
    (void)fprintf(stderr, "world: %s: %s\n", what, rx_error_name(error));
    abort();
}

/* ---- data ------------------------------------------------------------------------------- */

static uint8_t byte_at(const struct command *k, enum rx_which which, uint64_t at)
{
    return (uint8_t)((at * UINT64_C(0x9e3779b97f4a7c15) >> 51) + k->number * 7U + (unsigned)which);
}

/* Writes some more of a stream, as much as it takes, and its end. */
static size_t write_some(struct world *w, struct end *end, struct rx_channel *channel,
                         const struct command *k, enum rx_which which, size_t done)
{
    size_t left = k->sizes[which] - done;
    uint8_t *room;
    size_t n = rx_engine_write_room(channel, which, 1 + dice_below(&w->d, PIECE), &room);
    n = n < left ? n : left;
    for (size_t i = 0; i < n; i++)
        room[i] = byte_at(k, which, done + i);
    if (n > 0)
        rx_engine_written(end->engine, channel, which, n);
    if (n == left && dice_below(&w->d, 2) == 0)
        rx_engine_finish(end->engine, channel, which);
    return n;
}

/* Uses some of what has come. */
static size_t read_some(struct world *w, struct end *end, struct rx_channel *channel,
                        const struct command *k, enum rx_which which)
{
    const uint8_t *bytes = NULL;
    uint64_t at = rx_channel_in(channel, which)->consumed;
    size_t n = rx_engine_peek(end->engine, channel, which, &bytes);
    n = n > 0 ? 1 + dice_below(&w->d, n) : 0;
    for (size_t i = 0; i < n; i++)
        must(bytes[i] == byte_at(k, which, at + i), "a wrong byte");
    rx_engine_consume(end->engine, channel, which, n);
    return n;
}

/* ---- the server ------------------------------------------------------------------------- */

static struct command *command_of(struct world *w, const struct rx_message *m)
{
    struct rx_header h;
    while (again(w, rx_message_check(m, &h), "request"))
        ;
    uint64_t number = rx_get64((m->type == RX_EXEC ? h.exec.id : h.target.id) + 8);
    must(number < w->options->commands, "a command that was never asked for");
    return &w->commands[number];
}

static void server_starts(struct world *w, const struct rx_event *event)
{
    enum rx_type answer = event->message.type == RX_EXEC ? RX_STARTED : RX_RESUMED;
    struct command *k = command_of(w, &event->message);
    struct rx_channel *channel = event->channel;
    k->starts += k->run == NULL;
    must(answer == RX_STARTED || k->run != NULL, "RESUME of what never ran");
    while (
        again(w, rx_engine_start(w->s.server.engine, answer, &channel, k->run, NULL, 0), "start"))
        ;
    k->run = channel;
    rx_channel_set_user(channel, k);
}

static void server_event(struct world *w, struct rx_event *event)
{
    struct command *k = event->channel != NULL ? rx_channel_user(event->channel) : NULL;
    switch (event->message.type) {
    case RX_EXEC:
    case RX_RESUME:
        server_starts(w, event);
        break;
    case RX_LIST:
        while (again(
            w,
            rx_engine_answer(w->s.server.engine, RX_LISTED, event->channel, true, NULL, 0, NULL, 0),
            "LISTED"))
            ;
        break;
    case RX_EXIT_ACK:
        if (k != NULL)
            k->run = NULL;
        break;
    case RX_STDIN:
        if (k != NULL && dice_below(&w->d, 2) == 0)
            k->took_in += read_some(w, &w->s.server, event->channel, k, RX_WHICH_STDIN);
        break;
    default:
        break;
    }
}

static void server_works(struct world *w, struct command *k)
{
    if (k->run == NULL || rx_channel_state(k->run) != RX_STREAM_RUNNING)
        return;
    k->took_in += read_some(w, &w->s.server, k->run, k, RX_WHICH_STDIN);
    for (enum rx_which which = RX_WHICH_STDOUT; which <= RX_WHICH_STDERR; which++)
        k->wrote[which] += write_some(w, &w->s.server, k->run, k, which, k->wrote[which]);
    if (k->exited || !rx_in_done(rx_channel_in(k->run, RX_WHICH_STDIN)) ||
        k->wrote[1] != k->sizes[1] || k->wrote[2] != k->sizes[2])
        return;
    must(k->took_in == k->sizes[0], "stdin of another length");
    while (again(w, end_exit(&w->s.server, k->run, k->number), "exit"))
        ;
    k->exited = true;
}

/* ---- the client ------------------------------------------------------------------------- */

static void client_ends(struct world *w, struct command *k, const struct rx_message *exit)
{
    struct rx_header h;
    while (again(w, rx_message_check(exit, &h), "EXIT"))
        ;
    must(h.exit.code == k->number, "another's exit code");
    for (enum rx_which which = RX_WHICH_STDOUT; which <= RX_WHICH_STDERR; which++) {
        while (k->got[which] < k->sizes[which]) {
            size_t n = read_some(w, &w->s.client, k->asked, k, which);
            must(n > 0, "output is missing");
            k->got[which] += n;
        }
        must(rx_in_done(rx_channel_in(k->asked, which)), "output has no end");
    }
    while (again(w, rx_engine_exit_ack(w->s.client.engine, k->asked), "EXIT_ACK"))
        ;
    k->asked = NULL;
    k->over = true;
}

static void client_event(struct world *w, struct rx_event *event)
{
    struct command *k = event->channel != NULL ? rx_channel_user(event->channel) : NULL;
    if (event->message.type == RX_LISTED)
        w->listed = true;
    if (k == NULL)
        return;
    switch (event->message.type) {
    case RX_STARTED:
    case RX_RESUMED:
        k->answered = true;
        break;
    case RX_STDOUT:
    case RX_STDERR:
        if (dice_below(&w->d, 2) == 0)
            k->got[event->which] += read_some(w, &w->s.client, k->asked, k, event->which);
        break;
    case RX_EXIT:
        /* Else the connection is lost before it can say so. */
        if (w->options->cut_one_in == 0 || dice_below(&w->d, 3) != 0)
            client_ends(w, k, &event->message);
        break;
    default:
        break;
    }
}

static enum rx_error ask_resume(struct world *w, struct command *k)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    rx_header_init(RX_RESUME, &h);
    rx_put64(h.target.id + 8, k->number);
    enum rx_error error = end_encode(RX_RESUME, &h, bytes, &n);
    if (error != RX_OK)
        return error;
    return rx_engine_request(w->s.client.engine, RX_RESUME, bytes, n, NULL, 0, &k->asked);
}

static void client_asks(struct world *w, struct command *k)
{
    struct rx_channel *before = k->asked;
    while (again(w, k->answered ? ask_resume(w, k) : end_exec(&w->s.client, k->number, &k->asked),
                 "request"))
        must(k->asked == before, "a channel of a request that was not made");
    rx_channel_set_user(k->asked, k);
}

static void client_works(struct world *w, struct command *k)
{
    if (k->asked == NULL && !k->over && dice_below(&w->d, 20) == 0)
        client_asks(w, k);
    if (k->asked == NULL)
        return;
    k->sent_in += write_some(w, &w->s.client, k->asked, k, RX_WHICH_STDIN, k->sent_in);
    for (enum rx_which which = RX_WHICH_STDOUT; which <= RX_WHICH_STDERR; which++)
        k->got[which] += read_some(w, &w->s.client, k->asked, k, which);
    if (dice_below(&w->d, 8) == 0)
        rx_engine_ack(w->s.client.engine, k->asked, RX_WHICH_STDOUT);
}

/* ---- the connection --------------------------------------------------------------------- */

/* Delivers a part of what is on its way, as one read would. */
static void deliver(struct world *w, struct pipe *pipe, struct end *to,
                    void (*act)(struct world *, struct rx_event *))
{
    static uint8_t input[PIPE_ROOM];
    size_t n = dice_below(&w->d, pipe->n + 1);
    uint8_t *at = input + sizeof input - n; /* its end is the array's */
    memcpy(at, pipe->bytes, n);
    memmove(pipe->bytes, pipe->bytes + n, pipe->n - n);
    pipe->n -= n;
    rx_engine_feed(to->engine, at, n);
    struct rx_event event;
    enum rx_next next;
    while ((next = rx_engine_next(to->engine, &event)) == RX_NEXT_EVENT)
        act(w, &event);
    memset(at, 0xdd, n); /* what was kept is elsewhere */
    if (next == RX_NEXT_ERROR) {
        enum rx_error error = rx_engine_error(to->engine);
        w->broken |= again(w, error, to->role == RX_CLIENT ? "the client" : "the server");
        must(error == RX_E_NO_MEMORY, "an engine failed by another error");
        must(rx_engine_next(to->engine, &event) == RX_NEXT_ERROR &&
                 rx_engine_error(to->engine) == error,
             "an error that went away");
    }
}

static void collect(struct world *w, struct end *from, struct pipe *pipe)
{
    size_t cap = PIPE_ROOM - pipe->n;
    if (dice_below(&w->d, 4) == 0 && cap > 5000)
        cap = 1 + dice_below(&w->d, 5000);
    pipe->n += rx_engine_output(from->engine, pipe->bytes + pipe->n, cap);
}

static void connect(struct world *w)
{
    struct rx_engine_config config = {.window = 1 + (uint32_t)dice_below(&w->d, 400000)};
    struct rx_channel *list = NULL;
    handshake_run(&w->keys, &w->d, RX_SUITE_HMAC_SHA256);
    while (again(w, end_try_open(&w->s.client, RX_CLIENT, &w->keys.client_keys, &config), "open"))
        ;
    while (again(w, end_try_open(&w->s.server, RX_SERVER, &w->keys.server_keys, &config), "open"))
        ;
    while (again(w, end_welcome(&w->s.server), "WELCOME"))
        ;
    w->c2s.n = w->s2c.n = 0;
    w->broken = w->listed = false;
    while (
        again(w, rx_engine_request(w->s.client.engine, RX_LIST, NULL, 0, NULL, 0, &list), "LIST"))
        must(list == NULL, "a channel of a request that was not made");
    for (size_t i = 0; i < w->options->commands; i++)
        if (w->commands[i].asked != NULL)
            client_asks(w, &w->commands[i]);
}

static void release(struct world *w, struct end *end, struct rx_channel *channel)
{
    /* The request to go on with it may not have come, since the last time. */
    if (channel == NULL || rx_engine_channel(end->engine, rx_channel_stream(channel)) != channel)
        return;
    while (again(w, rx_engine_release(end->engine, channel, NULL, 0), "release"))
        ;
}

static void cut(struct world *w)
{
    for (size_t i = 0; i < w->options->commands; i++) {
        release(w, &w->s.client, w->commands[i].asked);
        release(w, &w->s.server, w->commands[i].run);
    }
    session_close(&w->s);
    w->cuts++;
}

/* ---- all -------------------------------------------------------------------------------- */

static bool all_over(const struct world *w)
{
    for (size_t i = 0; i < w->options->commands; i++)
        if (!w->commands[i].over)
            return false;
    return w->listed;
}

static void step(struct world *w)
{
    for (size_t i = 0; i < w->options->commands; i++) {
        client_works(w, &w->commands[i]);
        server_works(w, &w->commands[i]);
    }
    collect(w, &w->s.client, &w->c2s);
    collect(w, &w->s.server, &w->s2c);
    deliver(w, &w->c2s, &w->s.server, server_event);
    if (!w->broken)
        deliver(w, &w->s2c, &w->s.client, client_event);
}

unsigned world_run(const struct world_options *options)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.options = options;
    w.d.state = options->seed;
    for (size_t i = 0; i < options->commands; i++) {
        w.commands[i].number = (uint8_t)i;
        for (size_t which = 0; which < RX_WHICH_COUNT; which++)
            w.commands[i].sizes[which] =
                dice_below(&w.d, dice_below(&w.d, 3) * options->most / 2 + 1);
    }
    connect(&w);
    for (unsigned steps = 0; !all_over(&w); steps++) {
        must(steps < STEPS_MAX, "a standstill");
        step(&w);
        if (w.broken || (options->cut_one_in > 0 && dice_below(&w.d, options->cut_one_in) == 0)) {
            cut(&w);
            connect(&w);
        }
    }
    cut(&w);
    for (size_t i = 0; i < options->commands; i++) {
        must(w.commands[i].starts == 1, "a command was not started once");
        rx_channel_free(w.commands[i].run); /* of one whose EXIT_ACK was lost */
    }
    return w.cuts;
}
