/*
 * Many commands at once on one connection: all come to their end, all get their turn, one that is
 * not read holds up no other, and no more is kept than the configuration says.
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

#include "proto/bytes.h"
#include "tests/duel/model.h"
#include "tests/unit/scale.h"

static struct stats stats;
static struct world world;

/* A world of `count` commands, asked for and answered; nothing is written yet. */
static void open_commands(unsigned count, const uint64_t totals[static RX_WHICH_COUNT])
{
    static uint64_t seed = 500;
    world_open(&world, seed++, &stats);
    world.client_config.window = world.server_config.window = RX_WINDOW_OUTPUT;
    for (unsigned i = 0; i < count; i++)
        (void)world_add(&world, totals);
    world.draining = true; /* no refusals */
    client_connect(&world);
    for (unsigned i = 0; i < count; i++)
        client_ask(&world, &world.commands[i]);
    link_output(world.now, RX_CLIENT, SIZE_MAX);
    while (rx_engine_pending(world.now->client.engine))
        link_output(world.now, RX_CLIENT, SIZE_MAX);
    link_deliver(world.now, RX_SERVER, SIZE_MAX);
    for (unsigned i = 0; i < count; i++)
        server_answer(&world, &world.commands[i]);
    while (rx_engine_pending(world.now->server.engine))
        link_output(world.now, RX_SERVER, SIZE_MAX);
    link_deliver(world.now, RX_CLIENT, SIZE_MAX);
}

static void test_a_thousand_commands(void **state)
{
    (void)state;
    static const uint64_t totals[] = {3000, 20000, 500};
    for (int round = 0; round < (SLOW_BUILD ? 1 : 3); round++) {
        open_commands(MODEL_COMMANDS, totals);
        world_drain(&world);
        world_close(&world);
    }
}

/* The largest number of channels, one more is an error of the caller's and no harm. */
static void test_more_than_fit(void **state)
{
    (void)state;
    struct dice d = {1};
    struct session s;
    const struct rx_engine_config config = {.max_channels = 3};
    session_open(&s, &d, RX_SUITE_CHACHA20POLY1305, &config, &config);
    struct rx_channel *channels[4] = {NULL};
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(end_exec(&s.client, i, &channels[i]), i < 3 ? RX_OK : RX_E_LIMIT_REACHED);
    assert_null(channels[3]);
    assert_int_equal(rx_engine_error(s.client.engine), RX_OK);
    session_close(&s);
}

/* ---- turns ------------------------------------------------------------------------------ */

/* What the sender could send of a byte stream, and how many records of others came since its last.
 */
struct turn {
    uint64_t sendable;
    size_t waited;
};

struct turns {
    struct turn of[MODEL_COMMANDS][RX_WHICH_COUNT];
    size_t command_waited[MODEL_COMMANDS];
    size_t commands, streams; /* that had something to send at the beginning */
    size_t records;
};

static uint64_t sendable(const struct rx_out *out)
{
    if (out == NULL)
        return 0;
    uint64_t end = rx_out_end(out) < out->limit ? rx_out_end(out) : out->limit;
    return end - out->sent;
}

static void hear_turn(void *context, const struct rx_event *event)
{
    struct turns *t = context;
    if (!rx_is_data(event->message.type))
        return;
    const struct command *speaker = rx_channel_user(event->channel);
    size_t who = (size_t)(speaker - world.commands);
    t->records++;
    for (size_t i = 0; i < world.command_count; i++) {
        bool any = false;
        for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
            struct turn *turn = &t->of[i][w];
            if (turn->sendable == 0)
                continue;
            any = true;
            if (i == who && w == event->which) {
                turn->waited = 0;
                turn->sendable -= event->message.body_len - RX_DATA_OFFSET;
            } else {
                turn->waited++;
                assert_true(turn->waited <= 2 * t->commands + 2);
            }
        }
        t->command_waited[i] = i == who ? 0 : t->command_waited[i] + 1;
        if (any && i != who)
            assert_true(t->command_waited[i] <= t->commands + 2);
    }
    const uint8_t *bytes;
    struct rx_engine *e = speaker->owner != NULL && event->which == RX_WHICH_STDIN
                              ? speaker->owner->server.engine
                              : world.now->client.engine;
    size_t n = rx_engine_peek(e, event->channel, event->which, &bytes);
    rx_engine_consume(e, event->channel, event->which, n);
}

/* All commands have all their byte streams full; everything that may be sent is, and watched. */
static void watch_turns(unsigned count, enum rx_role sender, size_t cap)
{
    static const uint64_t totals[] = {RX_WINDOW_STDIN, RX_WINDOW_OUTPUT, RX_WINDOW_OUTPUT};
    static struct turns turns;
    static struct tape tape;
    memset(&turns, 0, sizeof turns);
    open_commands(count, totals);
    struct end *from = link_end(world.now, sender);
    for (unsigned i = 0; i < count; i++) {
        struct command *c = &world.commands[i];
        struct rx_channel *channel = sender == RX_CLIENT ? c->at_client : c->at_server;
        for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
            if (rx_channel_out(channel, w) == NULL)
                continue;
            flow_write(&world, from, channel, &c->flows[w], w,
                       dice_below(&world.d, 4) == 0 ? 40000 : UINT64_MAX);
            turns.of[i][w].sendable = sendable(rx_channel_out(channel, w));
            turns.streams++;
        }
    }
    turns.commands = count;
    tape.n = 0;
    static uint8_t bytes[RX_OUTPUT_MIN];
    while (rx_engine_pending(from->engine)) {
        size_t n = rx_engine_output(from->engine, bytes, cap);
        assert_true(n > 0);
        tape_append(&tape, bytes, n);
    }
    struct end *to = link_end(world.now, sender == RX_CLIENT ? RX_SERVER : RX_CLIENT);
    const struct listener l = {hear_turn, &turns};
    assert_int_equal(deliver(to->engine, tape.bytes, tape.n, &l), RX_NEXT_MORE);
    for (unsigned i = 0; i < count; i++) {
        for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++)
            assert_int_equal(turns.of[i][w].sendable, 0);
    }
    stats.probes += turns.records;
    end_close(&world.now->client);
    end_close(&world.now->server);
    tape_clear(&world.now->to_client);
    tape_clear(&world.now->to_server);
}

static void test_turns(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, 3, 10, 100, SLOW_BUILD ? 150 : 500};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (enum rx_role sender = RX_CLIENT; sender <= RX_SERVER; sender++) {
            watch_turns(counts[i], sender, RX_OUTPUT_MIN);
            if (counts[i] <= 10)
                watch_turns(counts[i], sender, 100000);
        }
    }
}

/* Messages go before the data that waits: a PONG, an answer and a new command's STARTED. */
static void test_messages_before_data(void **state)
{
    (void)state;
    static const uint64_t totals[] = {0, RX_WINDOW_OUTPUT, 0};
    static uint8_t bytes[RX_OUTPUT_MIN];
    open_commands(50, totals);
    struct end *server = &world.now->server;
    for (unsigned i = 0; i < 50; i++) {
        struct command *c = &world.commands[i];
        flow_write(&world, server, c->at_server, &c->flows[1], RX_WHICH_STDOUT, UINT64_MAX);
    }
    (void)rx_engine_output(server->engine, bytes, sizeof bytes);
    assert_int_equal(rx_engine_ping(server->engine, (const uint8_t *)"a ping.."), RX_OK);
    assert_int_equal(end_refuse(server, world.commands[20].at_server, false, RX_E_NO_TERMINAL),
                     RX_OK);
    size_t queued = rx_engine_queued(server->engine);
    assert_true(queued > 0);
    /* Room for both and not for data: both go out. */
    size_t n = rx_engine_output(server->engine, bytes, queued + 2 * (4 + 16));
    assert_int_equal(n, queued + 2 * (4 + 16));
    assert_int_equal(rx_engine_queued(server->engine), 0);
    end_close(&world.now->client);
    end_close(&world.now->server);
    tape_clear(&world.now->to_client);
    tape_clear(&world.now->to_server);
}

/* ---- readers that do not read ----------------------------------------------------------- */

/* Bytes that both engines hold for data. */
static size_t held(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < world.command_count; i++) {
        const struct command *c = &world.commands[i];
        for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
            if (c->bound) {
                const struct rx_out *out = rx_channel_out(c->at_client, w);
                sum += out != NULL ? out->ring.cap : rx_channel_in(c->at_client, w)->ring.cap;
            }
            if (c->owner != NULL) {
                const struct rx_out *out = rx_channel_out(c->at_server, w);
                sum += out != NULL ? out->ring.cap : rx_channel_in(c->at_server, w)->ring.cap;
            }
        }
    }
    return sum;
}

/*
 * Of each byte stream named, command 0's is never read. All others carry megabytes meanwhile; the
 * unread one stops at its window, and costs its keep and its window.
 */
static void leave_unread(enum rx_which which)
{
    enum { MEGABYTE = 1024 * 1024, OTHERS = 6 };
    static const uint64_t totals[] = {2 * MEGABYTE, 3 * MEGABYTE, MEGABYTE};
    open_commands(OTHERS + 1, totals);
    struct command *stuck = &world.commands[0];
    struct flow *flow = &stuck->flows[which];
    size_t most = 0;
    flow->unread = true;
    while (world_turn(&world)) {
        size_t now = held();
        most = now > most ? now : most;
    }
    for (unsigned i = 1; i <= OTHERS; i++)
        assert_int_equal(world.commands[i].stage, STAGE_OVER);
    for (enum rx_which w = 0; w < RX_WHICH_COUNT; w++) {
        if (w != which)
            assert_int_equal(stuck->flows[w].consumed, totals[w]);
    }
    assert_int_equal(stuck->stage, STAGE_ANSWERED);
    assert_int_equal(flow->consumed, 0);
    assert_int_equal(flow->heard, RX_WINDOW_OUTPUT);
    assert_int_equal(flow->written, RX_KEEP_MIN);
    assert_true(most <= (size_t)(OTHERS + 1) * 2 * RX_WHICH_COUNT * RX_KEEP_MIN);
    /* Its own window and keep; and of the others what LAST left without an ACK. */
    assert_true(held() <= RX_WINDOW_OUTPUT + RX_WHICH_COUNT * RX_KEEP_MIN);
    flow->unread = false; /* and when it is read at last, all comes */
    world_drain(&world);
    assert_int_equal(held(), 0);
    world_close(&world);
}

static void test_one_that_is_not_read(void **state)
{
    (void)state;
    leave_unread(RX_WHICH_STDIN);
    leave_unread(RX_WHICH_STDOUT);
    leave_unread(RX_WHICH_STDERR);
}

/* Nobody reads anything: all stop, and what is kept is bounded. */
static void test_none_is_read(void **state)
{
    (void)state;
    enum { COUNT = SLOW_BUILD ? 20 : 100 };
    static const uint64_t totals[] = {1 << 20, 1 << 20, 1 << 20};
    open_commands(COUNT, totals);
    for (unsigned i = 0; i < COUNT; i++) {
        for (size_t w = 0; w < RX_WHICH_COUNT; w++)
            world.commands[i].flows[w].unread = true;
    }
    while (world_turn(&world))
        ;
    assert_int_equal(held(), (size_t)COUNT * 2 * RX_WHICH_COUNT * RX_KEEP_MIN);
    for (unsigned i = 0; i < COUNT; i++) {
        for (size_t w = 0; w < RX_WHICH_COUNT; w++)
            world.commands[i].flows[w].unread = false;
    }
    world_drain(&world);
    world_close(&world);
}

/* Messages that nobody takes away are refused at last, and the caller is told. */
static void test_queue_is_bounded(void **state)
{
    (void)state;
    struct dice d = {3};
    struct session s;
    const struct rx_engine_config config = {.max_queue = 10000, .max_channels = 100000};
    session_open(&s, &d, RX_SUITE_CHACHA20POLY1305, &config, &config);
    enum rx_error error = RX_OK;
    unsigned count = 0;
    for (; error == RX_OK && count < 100000; count++) {
        struct rx_channel *channel = NULL;
        error = end_exec(&s.client, count, &channel);
    }
    assert_int_equal(error, RX_E_FLOOD);
    assert_true(rx_engine_queued(s.client.engine) < 10000 + RX_HEADER_MAX);
    static struct tape tape;
    tape.n = 0;
    tape_output(&tape, s.client.engine);
    assert_int_equal(rx_engine_queued(s.client.engine), 0);
    struct rx_channel *channel = NULL;
    assert_int_equal(end_exec(&s.client, count, &channel), RX_OK);
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_commands),
        cmocka_unit_test(test_more_than_fit),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_messages_before_data),
        cmocka_unit_test(test_one_that_is_not_read),
        cmocka_unit_test(test_none_is_read),
        cmocka_unit_test(test_queue_is_bounded),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("interleave: %llu bytes, %llu events, %llu turns watched\n",
           (unsigned long long)stats.bytes, (unsigned long long)stats.events,
           (unsigned long long)stats.probes);
    return failed;
}
