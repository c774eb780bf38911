/*
 * Random schedules over the model of tests/duel/model.h: writes, reads, deliveries in part, early
 * ACKs, ends, connections cut at any place with what was under way, RESUME and EXEC again, old
 * connections that the server still believes in. Whatever happens, each command ends with all of
 * its bytes on both sides, once and in order.
 *
 * REXEC_MODEL_STEPS   steps to do
 * REXEC_MODEL_SEED    the first seed; each round has the next one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/duel/model.h"
#include "tests/unit/scale.h"

static struct command *some_command(struct world *w)
{
    return &w->commands[dice_below(&w->d, w->command_count)];
}

/* Mostly small, sometimes large. */
static uint64_t some_size(struct world *w)
{
    static const uint64_t sizes[] = {1, 16, 200, 200, 4096, 4096, 65536, 400000};
    return 1 + dice_below(&w->d, sizes[dice_below(&w->d, sizeof sizes / sizeof sizes[0])]);
}

/* ---- steps of both sides ---------------------------------------------------------------- */

static void step_client_write(struct world *w)
{
    struct command *c = some_command(w);
    if (client_has(w, c))
        flow_write(w, &w->now->client, c->at_client, &c->flows[0], RX_WHICH_STDIN, some_size(w));
}

static void step_server_write(struct world *w)
{
    struct command *c = some_command(w);
    enum rx_which which = model_chance(w, 3) ? RX_WHICH_STDERR : RX_WHICH_STDOUT;
    if (server_has(c))
        flow_write(w, &c->owner->server, c->at_server, &c->flows[which], which, some_size(w));
}

static void step_client_consume(struct world *w)
{
    struct command *c = some_command(w);
    enum rx_which which = model_chance(w, 3) ? RX_WHICH_STDERR : RX_WHICH_STDOUT;
    if (client_has(w, c))
        flow_consume(w, &w->now->client, c->at_client, &c->flows[which], which, some_size(w));
}

static void step_server_consume(struct world *w)
{
    struct command *c = some_command(w);
    if (c->owner != NULL) {
        flow_consume(w, &c->owner->server, c->at_server, &c->flows[0], RX_WHICH_STDIN,
                     some_size(w));
    }
}

static void step_early_ack(struct world *w)
{
    struct command *c = some_command(w);
    enum rx_which which = (enum rx_which)dice_below(&w->d, RX_WHICH_COUNT);
    if (client_has(w, c))
        rx_engine_ack(w->now->client.engine, c->at_client, which);
    if (c->owner != NULL)
        rx_engine_ack(c->owner->server.engine, c->at_server, which);
    w->stats->early_acks++;
}

static size_t some_cap(struct world *w)
{
    return model_chance(w, 3) ? 20 + dice_below(&w->d, 20000) : RX_OUTPUT_MIN;
}

static void step_client_output(struct world *w)
{
    if (w->now != NULL)
        link_output(w->now, RX_CLIENT, some_cap(w));
}

static void step_server_output(struct world *w)
{
    struct link *link = &w->links[dice_below(&w->d, MODEL_LINKS)];
    if (w->now != NULL && !model_chance(w, 8))
        link = w->now;
    if (link->number != 0 && link->server_up)
        link_output(link, RX_SERVER, some_cap(w));
}

static size_t some_part(struct world *w, size_t n)
{
    switch (dice_below(&w->d, 4)) {
    case 0:
        return dice_below(&w->d, n + 1);
    case 1:
        return dice_below(&w->d, n < 100 ? n + 1 : 100);
    default:
        return n;
    }
}

static void step_to_client(struct world *w)
{
    if (w->now != NULL)
        link_deliver(w->now, RX_CLIENT, some_part(w, w->now->to_client.n));
}

static void step_to_server(struct world *w)
{
    struct link *link = &w->links[dice_below(&w->d, MODEL_LINKS)];
    if (w->now != NULL && !model_chance(w, 8))
        link = w->now;
    if (link->number != 0 && link->server_up)
        link_deliver(link, RX_SERVER, some_part(w, link->to_server.n));
}

static void step_ping(struct world *w)
{
    static const uint8_t token[8] = "12345678";
    if (w->now == NULL)
        return;
    (void)rx_engine_ping(w->now->client.engine, token);
    if (w->now->server_up)
        (void)rx_engine_ping(w->now->server.engine, token);
}

/* ---- steps of a command's life ---------------------------------------------------------- */

static void step_ask(struct world *w)
{
    client_ask(w, some_command(w));
}

static void step_answer(struct world *w)
{
    server_answer(w, some_command(w));
}

static void step_signal(struct world *w)
{
    client_signal(w, some_command(w));
}

static void step_client_finish(struct world *w)
{
    struct command *c = some_command(w);
    if (c->flows[0].written == c->flows[0].total || model_chance(w, 20))
        client_finish(w, c);
}

static void step_server_finish(struct world *w)
{
    struct command *c = some_command(w);
    enum rx_which which = model_chance(w, 2) ? RX_WHICH_STDERR : RX_WHICH_STDOUT;
    if (c->flows[which].written == c->flows[which].total || model_chance(w, 20))
        server_finish(w, c, which);
}

static void step_exit(struct world *w)
{
    struct command *c = some_command(w);
    bool all = c->flows[1].written == c->flows[1].total && c->flows[2].written == c->flows[2].total;
    if (all || model_chance(w, 50))
        server_exit(w, c);
}

static void step_exit_ack(struct world *w)
{
    client_exit_ack(w, some_command(w));
}

/* ---- steps of connections --------------------------------------------------------------- */

static void step_connect(struct world *w)
{
    if (w->now == NULL)
        client_connect(w);
}

/* The client gives up: nothing, some or all of what it sent still comes. */
static void step_client_drop(struct world *w)
{
    if (w->now != NULL && model_chance(w, 4))
        client_drop(w, model_chance(w, 3) ? 0 : some_part(w, w->now->to_server.n));
}

/* The server gives up, a connection of the past or the present one. The client then notices. */
static void step_server_drop(struct world *w)
{
    struct link *link = &w->links[dice_below(&w->d, MODEL_LINKS)];
    if (link->number == 0 || !link->server_up || (link == w->now && !model_chance(w, 16)))
        return;
    server_drop(link);
}

static void step_notice(struct world *w)
{
    if (w->now != NULL && !w->now->server_up && model_chance(w, 2))
        client_drop(w, 0);
}

/* ---- fair turns ------------------------------------------------------------------------- */

static uint64_t sendable(const struct rx_channel *channel, enum rx_which which)
{
    const struct rx_out *out = rx_channel_out(channel, which);
    if (out == NULL || rx_channel_state(channel) != RX_STREAM_RUNNING)
        return 0;
    uint64_t end = rx_out_end(out) < out->limit ? rx_out_end(out) : out->limit;
    return end > out->sent ? end - out->sent : 0;
}

/* All that the server can send goes out and comes in at once; the client watches the turns. */
static void step_probe(struct world *w)
{
    struct link *link = w->now;
    if (link == NULL || !link->server_up || link->to_client.n > 0)
        return;
    w->turns = 0;
    for (unsigned i = 0; i < w->command_count; i++) {
        const struct command *c = &w->commands[i];
        bool here = server_has(c) && c->owner == link;
        w->waited[i] = 0;
        w->sendable[i] = here ? sendable(c->at_server, 1) + sendable(c->at_server, 2) : 0;
        w->turns += w->sendable[i] > 0 ? 1 : 0;
    }
    w->probing = true;
    while (rx_engine_pending(link->server.engine))
        link_output(link, RX_SERVER, SIZE_MAX);
    link_deliver(link, RX_CLIENT, SIZE_MAX);
    w->probing = false;
    for (unsigned i = 0; i < w->command_count; i++)
        MODEL_CHECK(w, w->sendable[i] == 0);
    w->stats->probes++;
}

/* ---- a round ---------------------------------------------------------------------------- */

static const struct {
    void (*act)(struct world *w);
    unsigned weight;
} steps[] = {
    {step_client_write, 60},
    {step_server_write, 80},
    {step_client_consume, 80},
    {step_server_consume, 50},
    {step_early_ack, 6},
    {step_client_output, 80},
    {step_server_output, 100},
    {step_to_client, 120},
    {step_to_server, 100},
    {step_ping, 4},
    {step_ask, 30},
    {step_answer, 40},
    {step_signal, 4},
    {step_client_finish, 4},
    {step_server_finish, 4},
    {step_exit, 6},
    {step_exit_ack, 10},
    {step_connect, 20},
    {step_client_drop, 6},
    {step_server_drop, 4},
    {step_notice, 10},
    {step_probe, 2},
};

static void random_step(struct world *w)
{
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        sum += steps[i].weight;
    uint64_t pick = dice_below(&w->d, sum);
    size_t i = 0;
    for (; pick >= steps[i].weight; i++)
        pick -= steps[i].weight;
    steps[i].act(w);
    w->step++;
    w->stats->steps++;
}

static uint64_t some_total(struct world *w, uint64_t window, size_t chunk)
{
    static const uint64_t totals[] = {0, 1, 1000, 70000, 70000, 300000, 1000000};
    uint64_t n = dice_below(&w->d, 1 + totals[dice_below(&w->d, sizeof totals / sizeof totals[0])]);
    uint64_t most = window * 100 < chunk * 1000 ? window * 100 : chunk * 1000;
    return n < most ? n : most;
}

static void open_some_world(struct world *w, uint64_t seed, struct stats *stats)
{
    static const uint32_t windows[] = {1,      300,        4096,        65536,
                                       262144, 262144 + 1, 1024 * 1024, RX_WINDOW_MAX};
    static const size_t chunks[] = {1, 1000, 16384, 65536, RX_DATA_MAX};
    world_open(w, seed, stats);
    struct rx_engine_config *client = &w->client_config;
    struct rx_engine_config *server = &w->server_config;
    client->window = windows[dice_below(&w->d, sizeof windows / sizeof windows[0])];
    server->window = windows[dice_below(&w->d, sizeof windows / sizeof windows[0])];
    client->chunk = chunks[dice_below(&w->d, sizeof chunks / sizeof chunks[0])];
    server->chunk = chunks[dice_below(&w->d, sizeof chunks / sizeof chunks[0])];
    client->keep = (size_t)RX_KEEP_MIN << dice_below(&w->d, 3);
    server->keep = (size_t)RX_KEEP_MIN << dice_below(&w->d, 3);
    unsigned count = 1 + (unsigned)dice_below(&w->d, 8);
    for (unsigned i = 0; i < count; i++) {
        uint64_t totals[RX_WHICH_COUNT];
        for (size_t j = 0; j < RX_WHICH_COUNT; j++) {
            const struct rx_engine_config *from = j == 0 ? client : server;
            const struct rx_engine_config *to = j == 0 ? server : client;
            totals[j] = some_total(w, to->window, from->chunk);
        }
        (void)world_add(w, totals);
    }
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_model(void **state)
{
    (void)state;
    struct stats stats = {0};
    uint64_t most = number_from("REXEC_MODEL_STEPS", SLOW_BUILD ? 1000000 : 5000000);
    uint64_t seed = number_from("REXEC_MODEL_SEED", 1);
    static struct world w;
    while (stats.steps < most) {
        open_some_world(&w, seed++, &stats);
        uint64_t length = 500 + dice_below(&w.d, 6000);
        while (w.step < length && !world_over(&w))
            random_step(&w);
        world_drain(&w);
        world_close(&w);
        stats.rounds++;
    }
    printf("model: %llu steps, %llu rounds, %llu connections, %llu cuts, %llu bytes, %llu events\n",
           (unsigned long long)stats.steps, (unsigned long long)stats.rounds,
           (unsigned long long)stats.links, (unsigned long long)stats.cuts,
           (unsigned long long)stats.bytes, (unsigned long long)stats.events);
    printf("model: %llu resumed, %llu asked again, %llu taken over, %llu came late, %llu refused,"
           " %llu early ACKs, %llu probes of turns\n",
           (unsigned long long)stats.resumed, (unsigned long long)stats.repeated,
           (unsigned long long)stats.taken_over, (unsigned long long)stats.late,
           (unsigned long long)stats.refused, (unsigned long long)stats.early_acks,
           (unsigned long long)stats.probes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    assert_true(sodium_init() >= 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
