#include "tests/duel/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

void model_fail(const struct world *w, const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "model: %s:%d: %s (seed %llu, step %llu)\n", file, line, what,
                  (unsigned long long)w->seed, (unsigned long long)w->step);
    abort();
}

bool model_chance(struct world *w, uint64_t one_in)
{
    return dice_below(&w->d, one_in) == 0;
}

uint64_t model_window(const struct world *w, enum rx_which which)
{
    bool in = which == RX_WHICH_STDIN;
    uint64_t first = in ? RX_WINDOW_STDIN : RX_WINDOW_OUTPUT;
    uint64_t later = in ? w->server_config.window : w->client_config.window;
    return later > first ? later : first;
}

/* ---- byte streams ----------------------------------------------------------------------- */

/* A prime number of bytes, so that no shift that a bug might make shows the same again. */
enum { PATTERN_SIZE = 1048573 };

static const uint8_t *pattern(const struct flow *f, uint64_t offset, size_t *n)
{
    static uint8_t bytes[PATTERN_SIZE];
    static bool made;
    if (!made) {
        struct dice d = {99};
        dice_fill(&d, bytes, sizeof bytes);
        made = true;
    }
    size_t at = (size_t)((offset + f->salt) % PATTERN_SIZE);
    *n = PATTERN_SIZE - at;
    return bytes + at;
}

static void compare(const struct world *w, const struct flow *f, uint64_t offset,
                    const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        size_t piece;
        const uint8_t *right = pattern(f, offset, &piece);
        if (piece > n)
            piece = n;
        MODEL_CHECK(w, memcmp(bytes, right, piece) == 0);
        bytes += piece;
        offset += piece;
        n -= piece;
    }
}

/* One piece of n bytes. */
static size_t write_piece(struct world *w, struct end *end, struct rx_channel *channel,
                          enum rx_which which, const uint8_t *bytes, size_t n)
{
    if (model_chance(w, 2))
        return rx_engine_write(end->engine, channel, which, bytes, n);
    uint8_t *room;
    size_t space = rx_engine_write_room(channel, which, n, &room);
    if (space > n)
        space = n;
    if (space > 0) {
        memcpy(room, bytes, space);
        rx_engine_written(end->engine, channel, which, space);
    }
    return space;
}

void flow_write(struct world *w, struct end *end, struct rx_channel *channel, struct flow *f,
                enum rx_which which, uint64_t n)
{
    const struct rx_out *out = rx_channel_out(channel, which);
    if (n > f->total - f->written)
        n = f->total - f->written;
    while (n > 0 && !f->finished) {
        size_t piece;
        const uint8_t *bytes = pattern(f, f->written, &piece);
        if (piece > n)
            piece = (size_t)n;
        size_t taken = write_piece(w, end, channel, which, bytes, piece);
        f->written += taken;
        n -= taken;
        w->moves += taken;
        if (taken == 0) {
            MODEL_CHECK(w, out->ring.used == out->keep && rx_out_full(out));
            break;
        }
    }
    MODEL_CHECK(w, rx_out_end(out) == f->written);
}

void flow_consume(struct world *w, struct end *end, struct rx_channel *channel, struct flow *f,
                  enum rx_which which, uint64_t n)
{
    const uint8_t *bytes = NULL;
    size_t piece;
    if (f->unread)
        return;
    while (n > 0 && (piece = rx_engine_peek(end->engine, channel, which, &bytes)) > 0) {
        if (piece > n)
            piece = (size_t)n;
        MODEL_CHECK(w, f->consumed + piece <= f->heard);
        compare(w, f, f->consumed, bytes, piece);
        rx_engine_consume(end->engine, channel, which, piece);
        f->consumed += piece;
        n -= piece;
        w->moves += piece;
        w->stats->bytes += piece;
    }
    MODEL_CHECK(w, n == 0 || f->consumed == f->heard);
}

/* Counts the turns of others while a command has something to send. */
static void hear_turn(struct world *w, const struct command *c, size_t n)
{
    for (unsigned i = 0; i < w->command_count; i++) {
        if (&w->commands[i] == c) {
            w->waited[i] = 0;
            w->sendable[i] -= n < w->sendable[i] ? n : w->sendable[i];
        } else if (w->sendable[i] > 0) {
            w->waited[i]++;
            MODEL_CHECK(w, w->waited[i] <= w->turns + 2);
        }
    }
}

void flow_hear(struct world *w, struct end *end, const struct rx_event *event, struct flow *f)
{
    uint64_t offset = rx_get64(event->message.body);
    size_t n = event->message.body_len - RX_DATA_OFFSET;
    MODEL_CHECK(w, offset == f->heard);
    MODEL_CHECK(w, offset + n <= f->limit && offset + n <= f->written);
    MODEL_CHECK(w, !f->ended);
    compare(w, f, offset, event->message.body + RX_DATA_OFFSET, n);
    f->heard += n;
    if ((event->message.flags & RX_FLAG_LAST) != 0) {
        MODEL_CHECK(w, f->finished && f->heard == f->written);
        f->ended = true;
    }
    if (w->probing)
        hear_turn(w, rx_channel_user(event->channel), n);
    switch (dice_below(&w->d, 4)) {
    case 0:
        flow_consume(w, end, event->channel, f, event->which, UINT64_MAX);
        break;
    case 1:
        flow_consume(w, end, event->channel, f, event->which, dice_below(&w->d, n + 1));
        break;
    default:
        break;
    }
}

void flow_hear_ack(struct world *w, const struct rx_event *event, struct flow *f)
{
    uint64_t offset = rx_get64(event->message.body + 8);
    uint32_t given = rx_get32(event->message.body + 4);
    MODEL_CHECK(w, offset >= f->acked && offset <= f->consumed);
    MODEL_CHECK(w, offset + given >= f->limit);
    MODEL_CHECK(w, given <= model_window(w, event->which));
    f->acked = offset;
    f->limit = offset + given;
}

/* ---- connections ------------------------------------------------------------------------ */

struct end *link_end(struct link *link, enum rx_role role)
{
    return role == RX_CLIENT ? &link->client : &link->server;
}

void link_output(struct link *link, enum rx_role from, size_t cap)
{
    static uint8_t bytes[RX_OUTPUT_MIN];
    struct world *w = link->world;
    struct end *end = link_end(link, from);
    bool carried = from == RX_CLIENT ? link->server_up : link->client_up;
    size_t n = rx_engine_output(end->engine, bytes, cap < sizeof bytes ? cap : sizeof bytes);
    MODEL_CHECK(w, rx_engine_error(end->engine) == RX_OK);
    if (n > 0 && carried)
        tape_append(from == RX_CLIENT ? &link->to_server : &link->to_client, bytes, n);
    w->moves += n;
    link_check(link, from);
}

static void hear_at_client(void *context, const struct rx_event *event)
{
    struct link *link = context;
    link->world->stats->events++;
    client_hear(link, event);
}

static void hear_at_server(void *context, const struct rx_event *event)
{
    struct link *link = context;
    link->world->stats->events++;
    server_hear(link, event);
}

void link_deliver(struct link *link, enum rx_role to, size_t n)
{
    struct world *w = link->world;
    struct tape *tape = to == RX_CLIENT ? &link->to_client : &link->to_server;
    struct end *end = link_end(link, to);
    const struct listener l = {to == RX_CLIENT ? hear_at_client : hear_at_server, link};
    if (n > tape->n)
        n = tape->n;
    if (n == 0)
        return;
    enum rx_next next = model_chance(w, 2) ? deliver(end->engine, tape->bytes, n, &l)
                                           : deliver_to_room(end->engine, tape->bytes, n, &l);
    if (next != RX_NEXT_MORE)
        model_fail(w, __FILE__, __LINE__, rx_error_name(rx_engine_error(end->engine)));
    tape->n -= n;
    memmove(tape->bytes, tape->bytes + n, tape->n);
    w->moves += n;
    link_check(link, to);
}

/* ---- comparing -------------------------------------------------------------------------- */

static void check_out(const struct world *w, const struct rx_out *out, const struct flow *f)
{
    MODEL_CHECK(w, rx_out_end(out) == f->written);
    MODEL_CHECK(w, out->acked == f->acked && out->acked <= f->consumed);
    MODEL_CHECK(w, out->acked <= out->sent && out->sent <= f->written);
    MODEL_CHECK(w, out->limit == f->limit && out->sent <= out->limit);
    MODEL_CHECK(w, out->ring.used <= out->keep && out->ring.cap <= out->keep);
}

static void check_in(const struct world *w, const struct rx_in *in, const struct flow *f,
                     uint64_t window)
{
    MODEL_CHECK(w, in->consumed == f->consumed && in->received == f->heard);
    MODEL_CHECK(w, in->ring.used == f->heard - f->consumed);
    MODEL_CHECK(w, in->limit <= f->consumed + window);
    MODEL_CHECK(w, in->received <= in->limit);
}

static void check_channel(const struct world *w, const struct command *c,
                          const struct rx_channel *channel)
{
    for (enum rx_which i = 0; i < RX_WHICH_COUNT; i++) {
        const struct rx_out *out = rx_channel_out(channel, i);
        if (out != NULL) {
            check_out(w, out, &c->flows[i]);
        } else {
            check_in(w, rx_channel_in(channel, i), &c->flows[i], model_window(w, i));
        }
    }
}

void link_check(struct link *link, enum rx_role role)
{
    const struct world *w = link->world;
    struct rx_engine *e = link_end(link, role)->engine;
    MODEL_CHECK(w, rx_engine_error(e) == RX_OK);
    MODEL_CHECK(w, rx_engine_queued(e) <= RX_QUEUE_DEFAULT + RX_RECORD_MAX);
    for (unsigned i = 0; i < w->command_count; i++) {
        const struct command *c = &w->commands[i];
        if (role == RX_CLIENT && link == w->now && c->bound)
            check_channel(w, c, c->at_client);
        if (role == RX_SERVER && c->owner == link && c->at_server != NULL)
            check_channel(w, c, c->at_server);
    }
}
