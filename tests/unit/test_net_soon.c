/* rexecd/net_flush.c: what no client waits for is sent in the end, whoever else has something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rexecd/net_internal.h"

static void on_delay(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    connections_delayed(context);
}

static int setup(void **state)
{
    struct net *net = calloc(1, sizeof *net);
    if (net == NULL)
        return -1;
    TAILQ_INIT(&net->dirty);
    TAILQ_INIT(&net->soon);
    net->base = event_base_new();
    net->delay = event_new(net->base, -1, 0, on_delay, net);
    *state = net;
    return net->delay == NULL;
}

static int teardown(void **state)
{
    struct net *net = *state;
    event_free(net->delay);
    event_base_free(net->base);
    free(net);
    return 0;
}

/* Only asked whether it is there. */
static struct connection open_connection(struct net *net)
{
    return (struct connection){
        .net = net, .state = CONNECTION_OPEN, .engine = (struct rx_engine *)net};
}

static bool delayed(const struct net *net)
{
    return event_pending(net->delay, EV_TIMEOUT, NULL);
}

static void test_delay(void **state)
{
    struct net *net = *state;
    struct connection a = open_connection(net), b = open_connection(net);
    connection_soon(net, &a);
    connection_soon(net, &a);
    connection_soon(net, &b);
    assert_true(a.soon && b.soon && !a.dirty && !b.dirty && delayed(net));
    connection_not_soon(net, &a); /* sent with other things */
    assert_true(delayed(net));
    assert_int_equal(event_base_loop(net->base, EVLOOP_ONCE), 0);
    assert_true(b.dirty && !b.soon && !a.dirty && !delayed(net));
    connection_soon(net, &b); /* is sent anyway */
    assert_false(b.soon || delayed(net));
}

static void test_nothing_left(void **state)
{
    struct net *net = *state;
    struct connection a = open_connection(net), gone = open_connection(net);
    connection_soon(net, &a);
    connection_not_soon(net, &a);
    connection_not_soon(net, &a);
    assert_false(delayed(net));
    gone.state = CONNECTION_GONE;
    connection_soon(net, &gone);
    assert_false(gone.soon || delayed(net));
}

/* In the turn of the delay's end, before what is due is written, another comes: it must not count
 * on a delay that is over. */
static void test_in_the_same_turn(void **state)
{
    struct net *net = *state;
    struct connection a = open_connection(net), b = open_connection(net);
    connection_soon(net, &a);
    assert_int_equal(event_base_loop(net->base, EVLOOP_ONCE), 0);
    connection_soon(net, &b);
    assert_true(a.dirty && b.soon && delayed(net));
    assert_int_equal(event_base_loop(net->base, EVLOOP_ONCE), 0);
    assert_true(b.dirty);
}

#define SOON_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOON_TEST(test_delay),
        SOON_TEST(test_nothing_left),
        SOON_TEST(test_in_the_same_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
