/* rexecd/net_command.c: what a command has written by the time that net hears of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "rexecd/net_internal.h"

enum { NUMBER = 7, LITTLE = 4096, MUCH = 3 * LITTLE };

/* A net that has nothing but a way to the monitor, whose end is `monitor`; one command's pipes. */
struct world {
    struct net net;
    int monitor;
    int write_out, write_err; /* the command's ends; -1: closed */
};

static void on_message(void *context, struct ipc_message *m)
{
    (void)context;
    (void)m;
}

static void on_ended(void *context, int error)
{
    (void)context;
    (void)error;
    fail();
}

static int setup(void **state)
{
    static struct world the_world; /* large, and there is one */
    struct world *w = &the_world;
    int fds[2];
    if (ipc_pair(fds) < 0)
        return -1;
    memset(w, 0, sizeof *w);
    struct net *net = &w->net;
    TAILQ_INIT(&net->dirty);
    TAILQ_INIT(&net->soon);
    TAILQ_INIT(&net->untold);
    LIST_INIT(&net->parked);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&net->by_number[i]);
    net->base = event_base_new();
    net->monitor = link_new(net->base, fds[0], IPC_FROM_MONITOR, on_message, on_ended, net);
    w->monitor = fds[1];
    w->write_out = w->write_err = -1;
    *state = w;
    return net->monitor == NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct command *k = command_find(&w->net, NUMBER);
    if (k != NULL)
        command_free(&w->net, k);
    assert_int_equal(w->net.fds_used, 0);
    if (w->write_out >= 0)
        (void)close(w->write_out);
    if (w->write_err >= 0)
        (void)close(w->write_err);
    link_free(w->net.monitor);
    (void)close(w->monitor);
    event_base_free(w->net.base);
    return 0;
}

static void make_pipe(int *ours, int *its)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *ours = fds[0];
    *its = fds[1];
}

static void put(int fd, char what, size_t n)
{
    char bytes[MUCH];
    assert_true(n <= sizeof bytes);
    memset(bytes, what, n);
    assert_int_equal(write(fd, bytes, n), n);
}

static void end(int *fd)
{
    (void)close(*fd);
    *fd = -1;
}

/* START of a command that has written so much on each stream, and has ended if `over`. Its client
 * is gone, so that nothing is asked of a connection. */
static struct command *start(struct world *w, size_t out, size_t err, bool over)
{
    struct ipc_start fixed = {.command = NUMBER, .stream = 1, .drain_ms = 1000};
    struct ipc_message m = {.type = IPC_START_NO_STDIN, .fixed = &fixed, .fd_count = 2};
    make_pipe(&m.fds[0], &w->write_out);
    make_pipe(&m.fds[1], &w->write_err);
    if (out > 0)
        put(w->write_out, 'o', out);
    if (err > 0)
        put(w->write_err, 'e', err);
    if (over) {
        end(&w->write_out);
        end(&w->write_err);
    }
    command_start(&w->net, NULL, &m);
    struct command *k = command_find(&w->net, NUMBER);
    assert_non_null(k);
    return k;
}

static uint64_t taken(const struct command *k, enum rx_which which)
{
    return rx_out_end(rx_channel_out(k->channel, which));
}

static bool awaited(const struct command *k, enum rx_which which)
{
    return k->events[which] != NULL && event_pending(k->events[which], EV_READ, NULL);
}

static void turn(struct world *w)
{
    assert_true(event_base_loop(w->net.base, EVLOOP_NONBLOCK) >= 0);
}

/* ---- tests ------------------------------------------------------------------------------ */

/* No turn of the loop is needed to see that it is over. */
static void test_over_and_silent(void **state)
{
    struct world *w = *state;
    const struct command *k = start(w, 0, 0, true);
    assert_int_equal(k->fds[RX_WHICH_STDOUT], -1);
    assert_int_equal(k->fds[RX_WHICH_STDERR], -1);
    assert_int_equal(w->net.fds_used, 0);
}

static void test_over(void **state)
{
    struct world *w = *state;
    const struct command *k = start(w, 5, 6, true);
    assert_int_equal(taken(k, RX_WHICH_STDOUT), 5);
    assert_int_equal(taken(k, RX_WHICH_STDERR), 6);
    assert_true(awaited(k, RX_WHICH_STDOUT) && awaited(k, RX_WHICH_STDERR));
    turn(w);
    assert_int_equal(w->net.fds_used, 0);
}

/* One stream has something; the other is waited for, and takes no memory. */
static void test_one_speaks(void **state)
{
    struct world *w = *state;
    const struct command *k = start(w, 0, 3, false);
    assert_int_equal(taken(k, RX_WHICH_STDERR), 3);
    assert_true(awaited(k, RX_WHICH_STDOUT) && awaited(k, RX_WHICH_STDERR));
    assert_null(rx_channel_out(k->channel, RX_WHICH_STDOUT)->ring.base);
    put(w->write_out, 'o', 1);
    turn(w);
    assert_int_equal(taken(k, RX_WHICH_STDOUT), 1);
}

/* It has its turn, and no more: the rest comes with the loop's. */
static void test_much(void **state)
{
    struct world *w = *state;
    const struct command *k = start(w, MUCH, MUCH, true);
    assert_int_equal(taken(k, RX_WHICH_STDOUT), LITTLE);
    assert_int_equal(taken(k, RX_WHICH_STDERR), LITTLE);
    for (int i = 0; i < 4 && w->net.fds_used > 0; i++)
        turn(w);
    assert_int_equal(taken(k, RX_WHICH_STDOUT), MUCH);
    assert_int_equal(taken(k, RX_WHICH_STDERR), MUCH);
    assert_int_equal(w->net.fds_used, 0);
}

#define START_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        START_TEST(test_over_and_silent),
        START_TEST(test_over),
        START_TEST(test_one_speaks),
        START_TEST(test_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
