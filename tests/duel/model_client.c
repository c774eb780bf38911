/* The model's client. */

#include <string.h>

#include "proto/bytes.h"
#include "tests/duel/forge.h"
#include "tests/duel/model.h"

/* ---- what it hears ---------------------------------------------------------------------- */

/* STARTED to a first EXEC: stdin is on its way already. */
static void hear_first_start(struct world *w, struct command *c, const struct rx_offsets *at)
{
    struct flow *in = &c->flows[RX_WHICH_STDIN];
    MODEL_CHECK(w, at->at[0] <= in->heard);
    MODEL_CHECK(w, at->at[0] + at->window >= in->limit);
    MODEL_CHECK(w, at->at[1] == 0 && at->at[2] == 0);
    in->limit = at->at[0] + at->window;
}

/* The answer on a new connection: both sides must mean the same bytes. */
static void hear_later_start(struct world *w, struct command *c, const struct rx_offsets *at)
{
    for (size_t i = 0; i < RX_WHICH_COUNT; i++)
        MODEL_CHECK(w, at->at[i] == c->flows[i].heard);
    MODEL_CHECK(w, at->ended[0] == c->flows[0].ended);
    c->flows[RX_WHICH_STDIN].limit = at->at[0] + at->window;
}

static void hear_start(struct world *w, struct command *c, const struct rx_event *event)
{
    bool again = event->message.type == RX_RESUMED || c->repeated;
    MODEL_CHECK(w, c->stage != STAGE_NEW && c->stage != STAGE_OVER);
    MODEL_CHECK(w, (event->message.type == RX_STARTED) == (c->stage == STAGE_ASKED));
    if (again) {
        hear_later_start(w, c, &event->offsets);
    } else {
        hear_first_start(w, c, &event->offsets);
    }
    c->stage = STAGE_ANSWERED;
    if (event->message.type == RX_RESUMED) {
        w->stats->resumed++;
    } else if (again) {
        w->stats->repeated++;
    }
}

static void hear_exit(struct world *w, struct command *c, const struct rx_event *event)
{
    const uint8_t *counts = event->message.body;
    MODEL_CHECK(w, c->exited && c->stage == STAGE_ANSWERED);
    MODEL_CHECK(w, rx_get64(counts) == c->flows[0].heard);
    for (size_t i = 1; i < RX_WHICH_COUNT; i++) {
        MODEL_CHECK(w, rx_get64(counts + 8 * i) == c->flows[i].written);
        MODEL_CHECK(w, c->flows[i].heard == c->flows[i].written);
    }
    struct rx_header h;
    MODEL_CHECK(w, rx_header_decode(RX_EXIT, event->message.header, event->message.header_len,
                                    &h) == RX_OK);
    MODEL_CHECK(w, h.exit.code == c->number % 256);
    c->stage = STAGE_EXIT;
}

static void hear_refused(struct world *w, struct command *c, const struct rx_event *event)
{
    bool last = (event->message.flags & RX_FLAG_LAST) != 0;
    MODEL_CHECK(w, last && c->refused && c->stage == STAGE_ASKED);
    c->stage = STAGE_OVER;
    c->at_client = NULL;
    c->bound = false;
    w->stats->refused++;
}

static void hear_command(struct link *link, struct command *c, const struct rx_event *event)
{
    struct world *w = link->world;
    switch (event->message.type) {
    case RX_STARTED:
    case RX_RESUMED:
        hear_start(w, c, event);
        break;
    case RX_STDOUT:
    case RX_STDERR:
        flow_hear(w, &link->client, event, &c->flows[event->which]);
        break;
    case RX_EXIT:
        hear_exit(w, c, event);
        break;
    case RX_REFUSED:
        hear_refused(w, c, event);
        break;
    case RX_ACK:
        if (rx_channel_state(event->channel) != RX_STREAM_EXITED)
            flow_hear_ack(w, event, &c->flows[event->which]);
        break;
    default:
        MODEL_CHECK(w, event->message.type == RX_DONE);
        break;
    }
}

void client_hear(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    uint8_t type = event->message.type;
    struct command *c = event->channel != NULL ? rx_channel_user(event->channel) : NULL;
    w->moves++;
    if (c != NULL) {
        hear_command(link, c, event);
    } else if (type == RX_PING) {
        MODEL_CHECK(w, rx_engine_pong(link->client.engine, event->message.body, 0) == RX_OK);
    } else {
        /* WELCOME, and answers to FORGET or on a stream that is closed. */
        MODEL_CHECK(w, type == RX_WELCOME || type == RX_PONG || type == RX_DONE ||
                           type == RX_REFUSED || type == RX_ACK);
    }
}

/* ---- connections ------------------------------------------------------------------------ */

static struct link *free_link(struct world *w)
{
    struct link *oldest = NULL;
    for (size_t i = 0; i < MODEL_LINKS; i++) {
        struct link *link = &w->links[i];
        if (link->number == 0)
            return link;
        if (link != w->now && (oldest == NULL || link->number < oldest->number))
            oldest = link;
    }
    server_drop(oldest);
    return oldest;
}

static enum rx_suite some_suite(struct world *w)
{
    static const enum rx_suite suites[] = {RX_SUITE_AES256GCM, RX_SUITE_CHACHA20POLY1305,
                                           RX_SUITE_HMAC_SHA256};
    enum rx_suite suite = suites[dice_below(&w->d, 8) % 3];
    return (rx_suites_here() & suite) != 0 ? suite : RX_SUITE_CHACHA20POLY1305;
}

/* The client cannot know whether its EXIT_ACK came: it has what was left forgotten. */
static void forget_the_rest(struct world *w)
{
    for (unsigned i = 0; i < w->command_count; i++) {
        const struct command *c = &w->commands[i];
        struct rx_channel *none = NULL;
        if (c->stage != STAGE_OVER || c->refused || c->forgotten)
            continue;
        struct rx_header h;
        uint8_t header[64];
        size_t n;
        rx_header_init(RX_FORGET, &h);
        h.target.has_id = true;
        rx_put64(h.target.id + 8, c->number);
        MODEL_CHECK(w, rx_header_encode(RX_FORGET, &h, header, sizeof header, &n) == RX_OK);
        MODEL_CHECK(w, rx_engine_request(w->now->client.engine, RX_FORGET, header, n, NULL, 0,
                                         &none) == RX_OK);
    }
}

void client_connect(struct world *w)
{
    struct link *link = free_link(w);
    struct rx_session_keys client = random_keys(&w->d, some_suite(w));
    struct rx_session_keys server = client;
    if (model_chance(w, 16)) {
        struct handshake_pair pair;
        handshake_run(&pair, &w->d, client.suite);
        client = pair.client_keys;
        server = pair.server_keys;
    }
    link->world = w;
    link->number = ++w->link_count;
    link->to_client.n = link->to_server.n = 0;
    end_open(&link->client, RX_CLIENT, &client, &w->client_config);
    end_open(&link->server, RX_SERVER, &server, &w->server_config);
    link->client_up = link->server_up = true;
    MODEL_CHECK(w, end_welcome(&link->server) == RX_OK);
    w->now = link;
    w->stats->links++;
    w->moves++;
    forget_the_rest(w);
}

void client_drop(struct world *w, size_t left)
{
    struct link *link = w->now;
    for (unsigned i = 0; i < w->command_count; i++) {
        struct command *c = &w->commands[i];
        if (!c->bound)
            continue;
        MODEL_CHECK(w, rx_engine_release(link->client.engine, c->at_client, NULL, 0) == RX_OK);
        c->bound = false;
    }
    end_close(&link->client);
    link->client_up = false;
    link->to_client.n = 0;
    if (left < link->to_server.n)
        link->to_server.n = left;
    if (!link->server_up)
        link->number = 0;
    w->now = NULL;
    w->stats->cuts++;
}

/* ---- what it does ----------------------------------------------------------------------- */

bool client_has(const struct world *w, const struct command *c)
{
    return w->now != NULL && c->bound && c->stage != STAGE_OVER;
}

static size_t encode_exec(struct world *w, const struct command *c, uint8_t *header, size_t cap)
{
    struct rx_header h;
    size_t n;
    rx_header_init(RX_EXEC, &h);
    rx_put64(h.exec.id + 8, c->number);
    if (c->stage != STAGE_NEW)
        h.exec.age_ms = (int64_t)dice_below(&w->d, 100000);
    MODEL_CHECK(w, rx_header_encode(RX_EXEC, &h, header, cap, &n) == RX_OK);
    return n;
}

static size_t encode_resume(struct world *w, const struct command *c, uint8_t *header, size_t cap)
{
    struct rx_header h;
    size_t n;
    rx_header_init(RX_RESUME, &h);
    h.target.has_id = true;
    rx_put64(h.target.id + 8, c->number);
    MODEL_CHECK(w, rx_header_encode(RX_RESUME, &h, header, cap, &n) == RX_OK);
    return n;
}

void client_ask(struct world *w, struct command *c)
{
    static const uint8_t words[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};
    if (w->now == NULL || c->bound || c->stage == STAGE_OVER)
        return;
    uint8_t header[256];
    bool exec = c->stage == STAGE_NEW || c->stage == STAGE_ASKED;
    size_t n = exec ? encode_exec(w, c, header, sizeof header)
                    : encode_resume(w, c, header, sizeof header);
    MODEL_CHECK(w, rx_engine_request(w->now->client.engine, exec ? RX_EXEC : RX_RESUME, header, n,
                                     exec ? words : NULL, exec ? sizeof words : 0,
                                     &c->at_client) == RX_OK);
    rx_channel_set_user(c->at_client, c);
    c->repeated = c->stage != STAGE_NEW;
    if (c->stage == STAGE_NEW)
        c->stage = STAGE_ASKED;
    c->bound = true;
    w->moves++;
}

void client_signal(struct world *w, struct command *c)
{
    if (!client_has(w, c) || rx_channel_state(c->at_client) != RX_STREAM_RUNNING)
        return;
    static const char header[] = "{\"signal\":\"USR1\",\"n\":1}";
    MODEL_CHECK(w, rx_engine_request(w->now->client.engine, RX_SIGNAL, header, sizeof header - 1,
                                     NULL, 0, &c->at_client) == RX_OK);
}

void client_finish(struct world *w, struct command *c)
{
    if (!client_has(w, c))
        return;
    c->flows[RX_WHICH_STDIN].finished = true;
    rx_engine_finish(w->now->client.engine, c->at_client, RX_WHICH_STDIN);
    w->moves++;
}

void client_exit_ack(struct world *w, struct command *c)
{
    bool all =
        c->flows[1].consumed == c->flows[1].heard && c->flows[2].consumed == c->flows[2].heard;
    if (!client_has(w, c) || c->stage != STAGE_EXIT || !all ||
        rx_channel_state(c->at_client) != RX_STREAM_EXITED)
        return;
    MODEL_CHECK(w, rx_engine_exit_ack(w->now->client.engine, c->at_client) == RX_OK);
    c->at_client = NULL;
    c->bound = false;
    c->stage = STAGE_OVER;
    w->moves++;
}
