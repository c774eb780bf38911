/* The model as a whole. */

#include "tests/duel/model.h"

void world_open(struct world *w, uint64_t seed, struct stats *stats)
{
    *w = (struct world){.d = {seed}, .seed = seed, .stats = stats};
}

struct command *world_add(struct world *w, const uint64_t totals[static RX_WHICH_COUNT])
{
    MODEL_CHECK(w, w->command_count < MODEL_COMMANDS);
    struct command *c = &w->commands[w->command_count];
    c->number = 1000 + w->command_count++;
    for (size_t i = 0; i < RX_WHICH_COUNT; i++) {
        c->flows[i].salt = (size_t)dice_below(&w->d, 1000000);
        c->flows[i].total = totals[i];
    }
    c->flows[RX_WHICH_STDIN].limit = RX_WINDOW_STDIN;
    return c;
}

bool world_over(const struct world *w)
{
    for (unsigned i = 0; i < w->command_count; i++) {
        if (w->commands[i].stage != STAGE_OVER)
            return false;
    }
    return true;
}

/* ---- to the end ------------------------------------------------------------------------- */

static void drain_client(struct world *w, struct command *c)
{
    client_ask(w, c);
    if (!client_has(w, c))
        return;
    flow_write(w, &w->now->client, c->at_client, &c->flows[0], RX_WHICH_STDIN, UINT64_MAX);
    if (c->flows[0].written == c->flows[0].total && !c->flows[0].finished)
        client_finish(w, c);
    for (enum rx_which i = RX_WHICH_STDOUT; i <= RX_WHICH_STDERR; i++)
        flow_consume(w, &w->now->client, c->at_client, &c->flows[i], i, UINT64_MAX);
    client_exit_ack(w, c);
}

static void drain_server(struct world *w, struct command *c)
{
    bool all = true;
    server_answer(w, c);
    if (!server_has(c))
        return;
    flow_consume(w, &c->owner->server, c->at_server, &c->flows[0], RX_WHICH_STDIN, UINT64_MAX);
    for (enum rx_which i = RX_WHICH_STDOUT; i <= RX_WHICH_STDERR; i++) {
        flow_write(w, &c->owner->server, c->at_server, &c->flows[i], i, UINT64_MAX);
        all = all && (c->flows[i].written == c->flows[i].total || c->flows[i].finished);
    }
    if (all && c->flows[0].ended && c->flows[0].consumed == c->flows[0].written)
        server_exit(w, c);
}

bool world_turn(struct world *w)
{
    uint64_t moves = w->moves;
    w->draining = true;
    if (w->now != NULL && !w->now->server_up)
        client_drop(w, 0);
    if (w->now == NULL)
        client_connect(w);
    for (unsigned i = 0; i < w->command_count; i++) {
        drain_client(w, &w->commands[i]);
        drain_server(w, &w->commands[i]);
    }
    while (rx_engine_pending(w->now->client.engine))
        link_output(w->now, RX_CLIENT, SIZE_MAX);
    link_deliver(w->now, RX_SERVER, SIZE_MAX);
    while (rx_engine_pending(w->now->server.engine))
        link_output(w->now, RX_SERVER, SIZE_MAX);
    link_deliver(w->now, RX_CLIENT, SIZE_MAX);
    return w->moves > moves;
}

void world_drain(struct world *w)
{
    while (!world_over(w))
        MODEL_CHECK(w, world_turn(w));
}

static void check_command(const struct world *w, const struct command *c)
{
    MODEL_CHECK(w, c->stage == STAGE_OVER && c->started == (c->refused ? 0 : 1));
    if (c->refused)
        return;
    MODEL_CHECK(w, c->exited);
    for (size_t i = 1; i < RX_WHICH_COUNT; i++)
        MODEL_CHECK(w, c->flows[i].consumed == c->flows[i].written);
}

void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->command_count; i++)
        check_command(w, &w->commands[i]);
    if (w->now != NULL)
        client_drop(w, 0);
    for (size_t i = 0; i < MODEL_LINKS; i++) {
        struct link *link = &w->links[i];
        if (link->number != 0)
            server_drop(link);
        tape_clear(&link->to_client);
        tape_clear(&link->to_server);
    }
    for (unsigned i = 0; i < w->command_count; i++)
        rx_channel_free(w->commands[i].at_server); /* its EXIT_ACK was lost */
}
