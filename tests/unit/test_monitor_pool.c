/* rexecd/monitor_session.c: when the key pairs that handshakes take are made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rexecd/monitor_internal.h"
#include "tests/unit/monitor_world.h"

static int setup(void **state)
{
    static struct world w;
    world_open(&w, NULL, NULL);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    return 0;
}

static void fill_pool(struct world *w)
{
    const struct rx_pool *pool = w->monitor->pool;
    int64_t deadline = world_ms() + WORLD_SECONDS * 1000;
    while (rx_pool_count(pool) < rx_pool_capacity(pool) && world_ms() < deadline)
        world_turn(w);
    assert_int_equal(rx_pool_count(pool), rx_pool_capacity(pool));
}

static void take_pair(struct world *w, uint32_t id)
{
    const struct ipc_closed closed = {.how = IPC_HOW_FIN};
    struct client c;
    struct ipc_m1 m1;
    client_m1(&c, w, id, w->psk, RX_SUITE_CHACHA20POLY1305, &m1);
    world_say(w, IPC_M1, id, &m1, NULL, 0);
    assert_true(world_expect(w, IPC_M2));
    world_say(w, IPC_CLOSED, id, &closed, NULL, 0);
}

/* A pair that was taken is made again, but not at once: the client is about to answer. Where this
 * is slow, it may have been time by then; not each time. */
static void test_pool(void **state)
{
    struct world *w = *state;
    const struct rx_pool *pool = w->monitor->pool;
    bool seen = false;
    if (pool == NULL)
        skip(); /* a kernel that does not wipe it on fork */
    for (uint32_t id = 1; id < 200 && !seen; id++) {
        fill_pool(w);
        take_pair(w, id);
        for (int turn = 0; turn < 3; turn++)
            world_turn(w);
        seen = rx_pool_count(pool) < rx_pool_capacity(pool);
    }
    assert_true(seen);
    fill_pool(w);
}

/* Who comes meanwhile does not put it off: pairs are made again while one M1 follows another. */
static void test_pool_under_way(void **state)
{
    struct world *w = *state;
    const struct rx_pool *pool = w->monitor->pool;
    int64_t deadline = world_ms() + WORLD_SECONDS * 1000;
    bool more = false;
    if (pool == NULL)
        skip();
    fill_pool(w);
    for (uint32_t id = 1; !more && world_ms() < deadline; id++) {
        take_pair(w, id);
        size_t left = rx_pool_count(pool);
        for (int64_t until = world_ms() + 2; world_ms() < until;)
            world_turn(w);
        more = rx_pool_count(pool) > left;
    }
    assert_true(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pool_under_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
