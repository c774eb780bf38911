#include "tests/duel/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool done, const char *what)
{
    if (!done) {
        (void)fprintf(stderr, "play: %s\n", what);
        abort();
    }
}

/* ---- hearing ---------------------------------------------------------------------------- */

/* FNV-1a, 64 bits: the same whatever the pieces. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    return mix(hash, &number, sizeof number);
}

static void log_event(struct player *p, const struct rx_event *event)
{
    const struct rx_message *m = &event->message;
    uint64_t hash = p->hash;
    hash = mix_number(hash, (uint64_t)m->type << 8 | m->flags);
    hash = mix_number(hash, m->stream);
    hash = mix_number(hash, m->header_len);
    hash = mix(hash, m->header, m->header_len);
    hash = mix_number(hash, m->body_len);
    hash = mix(hash, m->body, m->body_len);
    hash = mix(hash, m->raw, m->raw_len);
    hash = mix_number(hash, (uint64_t)event->which);
    hash = mix_number(hash, event->offsets.window);
    for (size_t w = 0; w < RX_WHICH_COUNT; w++)
        hash = mix_number(hash, event->offsets.at[w] << 1 | event->offsets.ended[w]);
    if (event->channel != NULL) {
        hash = mix_number(hash, rx_channel_state(event->channel));
        hash = mix_number(hash, rx_channel_stream(event->channel));
    }
    p->hash = hash;
}

static void consume(struct player *p, struct rx_channel *channel, enum rx_which which, size_t most)
{
    const uint8_t *bytes = NULL;
    uint64_t *hash = &p->data[rx_channel_stream(channel)][which];
    while (most > 0) {
        size_t n = rx_engine_peek(p->end.engine, channel, which, &bytes);
        if (n > most)
            n = most;
        if (n == 0)
            return;
        *hash = mix(*hash, bytes, n);
        rx_engine_consume(p->end.engine, channel, which, n);
        most -= n;
    }
}

/* Data is taken at once, in part, byte by byte, or left to be kept. */
static void take_data(struct player *p, const struct rx_event *event)
{
    size_t n = event->message.body_len - RX_DATA_OFFSET;
    switch (p->events % 4) {
    case 0:
        consume(p, event->channel, event->which, SIZE_MAX);
        break;
    case 1:
        consume(p, event->channel, event->which, n / 2);
        break;
    case 2:
        for (size_t i = 0; i < n && i < 10; i++)
            consume(p, event->channel, event->which, 1);
        break;
    default:
        break;
    }
}

static void hear(void *context, const struct rx_event *event)
{
    struct player *p = context;
    p->events++;
    p->types |= UINT64_C(1) << event->message.type;
    log_event(p, event);
    if (event->message.type == RX_PING)
        memcpy(p->tokens[p->token_count++], event->message.body, 8);
    if (event->channel == NULL)
        return;
    uint32_t stream = rx_channel_stream(event->channel);
    must(stream < PLAY_STREAMS, "a stream number too high");
    if (rx_is_data(event->message.type))
        take_data(p, event);
    bool over = rx_channel_state(event->channel) == RX_STREAM_CLOSED;
    p->channels[stream] = over ? NULL : event->channel;
}

struct listener player_listener(struct player *p)
{
    return (struct listener){hear, p};
}

void player_drain(struct player *p)
{
    for (size_t i = 0; i < PLAY_STREAMS; i++) {
        for (enum rx_which w = 0; w < RX_WHICH_COUNT && p->channels[i] != NULL; w++)
            consume(p, p->channels[i], w, SIZE_MAX);
    }
}

bool players_agree(const struct player *a, const struct player *b)
{
    return a->events == b->events && a->hash == b->hash && a->types == b->types &&
           memcmp(a->data, b->data, sizeof a->data) == 0;
}

/* ---- the connection before -------------------------------------------------------------- */

static void move_before(struct end *from, struct player *to)
{
    static struct tape tape;
    tape.n = 0;
    tape_output(&tape, from->engine);
    const struct listener l = player_listener(to);
    must(deliver(to->end.engine, tape.bytes, tape.n, &l) == RX_NEXT_MORE, "the one before failed");
}

/* Two commands are left behind: bytes of both are with the client, and some are under way. */
static void leave_behind(struct player *client, struct player *server)
{
    struct rx_channel *at_client[PLAY_BEFORE + 1] = {NULL};
    for (unsigned i = 1; i <= PLAY_BEFORE; i++)
        must(end_exec(&client->end, 100 + i, &at_client[i]) == RX_OK, "EXEC before");
    (void)rx_engine_write(client->end.engine, at_client[1], RX_WHICH_STDIN, "to be kept", 10);
    move_before(&client->end, server);
    for (unsigned i = 1; i <= PLAY_BEFORE; i++) {
        must(end_started(&server->end, server->channels[i]) == RX_OK, "STARTED before");
        (void)rx_engine_write(server->end.engine, server->channels[i], RX_WHICH_STDOUT,
                              "some output", 11);
    }
    move_before(&server->end, client);
    (void)rx_engine_write(server->end.engine, server->channels[1], RX_WHICH_STDOUT, "is lost", 7);
    (void)rx_engine_write(client->end.engine, at_client[1], RX_WHICH_STDIN, "is lost too", 11);
    static struct tape lost;
    lost.n = 0;
    tape_output(&lost, server->end.engine);
    tape_output(&lost, client->end.engine);
}

static void make_before(struct player *p, const struct rx_session_keys *keys)
{
    struct player *client = calloc(1, sizeof *client);
    struct player *server = calloc(1, sizeof *server);
    must(client != NULL && server != NULL, "no memory");
    end_open(&client->end, RX_CLIENT, keys, NULL);
    end_open(&server->end, RX_SERVER, keys, NULL);
    must(end_welcome(&server->end) == RX_OK, "WELCOME before");
    move_before(&server->end, client);
    leave_behind(client, server);
    struct player *ours = p->end.role == RX_CLIENT ? client : server;
    for (size_t i = 0; i < PLAY_BEFORE; i++) {
        p->before[i] = ours->channels[i + 1];
        must(rx_engine_release(ours->end.engine, p->before[i], NULL, 0) == RX_OK, "release");
    }
    end_close(&client->end);
    end_close(&server->end);
    free(client);
    free(server);
}

/* ---- playing ---------------------------------------------------------------------------- */

static struct player *player_new(const struct recording *rec, enum rx_role role)
{
    struct player *p = calloc(1, sizeof *p);
    must(p != NULL, "no memory");
    end_open(&p->end, role, &rec->keys, NULL);
    if (rec->play->before)
        make_before(p, &rec->before);
    return p;
}

static void player_free(struct player *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < PLAY_BEFORE; i++)
        rx_channel_free(p->before[i]);
    end_close(&p->end);
    free(p);
}

static bool is_end(const struct play_step *step)
{
    return step->act == NULL && !step->deliver;
}

static void act(struct player *p, const struct play_step *step, struct tape *sent)
{
    if (step->act != NULL)
        step->act(p);
    tape_output(sent, p->end.engine);
}

void record_play(struct recording *rec, const struct play *play, enum rx_suite suite,
                 struct dice *d)
{
    struct handshake_pair pair;
    *rec = (struct recording){.play = play};
    handshake_run(&pair, d, suite);
    rec->before = pair.client_keys;
    handshake_run(&pair, d, suite);
    rec->keys = pair.client_keys;
    size_t delivered[2] = {0};
    rec->players[RX_CLIENT] = player_new(rec, RX_CLIENT);
    rec->players[RX_SERVER] = player_new(rec, RX_SERVER);
    for (const struct play_step *step = play->steps; !is_end(step); step++) {
        struct tape *all = &rec->all[step->role];
        act(rec->players[step->role], step, all);
        if (!step->deliver)
            continue;
        size_t *from = &delivered[step->role];
        size_t *count = &rec->batch_count[step->role];
        must(*count < PLAY_BATCHES, "too many deliveries");
        struct player *other = rec->players[step->role == RX_CLIENT ? RX_SERVER : RX_CLIENT];
        struct tape *batch = &rec->batches[step->role][(*count)++];
        tape_append(batch, all->bytes + *from, all->n - *from);
        *from = all->n;
        const struct listener l = player_listener(other);
        (void)deliver(other->end.engine, batch->bytes, batch->n, &l);
        enum rx_error error = rx_engine_error(other->end.engine);
        must(error == RX_OK || error == RX_E_PEER_ERROR, rx_error_name(error));
    }
    player_drain(rec->players[RX_CLIENT]);
    player_drain(rec->players[RX_SERVER]);
}

void recording_clear(struct recording *rec)
{
    for (unsigned role = 0; role < 2; role++) {
        for (size_t i = 0; i < PLAY_BATCHES; i++)
            tape_clear(&rec->batches[role][i]);
        tape_clear(&rec->all[role]);
        player_free(rec->players[role]);
    }
}

/* ---- once more -------------------------------------------------------------------------- */

void replay_begin(struct replay *r, const struct recording *rec, enum rx_role role,
                  struct tape *sent)
{
    *r = (struct replay){.rec = rec, .step = rec->play->steps, .sent = sent};
    r->player = player_new(rec, role);
    sent->n = 0;
}

const struct tape *replay_until_delivery(struct replay *r)
{
    enum rx_role role = r->player->end.role;
    while (!is_end(r->step)) {
        const struct play_step *step = r->step++;
        if (step->role == role) {
            act(r->player, step, r->sent);
        } else if (step->deliver) {
            return &r->rec->batches[step->role][r->batch++];
        }
    }
    return NULL;
}

void replay_end(struct replay *r)
{
    player_free(r->player);
}
