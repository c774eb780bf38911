/* rexec/source.c: our stdin on its way to a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "rexec/source.h"
#include "tests/unit/client_world.h"

static struct client_world w;
static struct event_base *base;
static struct source source;
static unsigned moved_calls;
static int fds[2];

static void on_moved(void *user)
{
    assert_ptr_equal(user, &source);
    moved_calls++;
    client_world_carry(&w);
}

static int setup(void **state)
{
    (void)state;
    moved_calls = 0;
    base = event_base_new();
    client_world_open(&w);
    return base == NULL || pipe2(fds, O_CLOEXEC) < 0;
}

static int teardown(void **state)
{
    (void)state;
    source_stop(&source);
    source_stop(&source);
    client_world_close(&w);
    event_base_free(base);
    (void)close(fds[0]);
    if (fds[1] >= 0)
        (void)close(fds[1]);
    return 0;
}

static void end_input(void)
{
    (void)close(fds[1]);
    fds[1] = -1;
}

static void test_useful(void **state)
{
    (void)state;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_false(source_useful(null));
    assert_true(source_useful(zero));
    assert_true(source_useful(fds[0]));
    assert_false(source_useful(-1));
    (void)close(null);
    assert_false(source_useful(null));
    (void)close(zero);
}

/* What is there already, and its end, need no turn of the loop. */
static void test_at_once(void **state)
{
    (void)state;
    assert_int_equal(write(fds[1], "short", 5), 5);
    end_input();
    source_start(&source, base, w.command, fds[0], on_moved, &source);
    assert_int_equal(moved_calls, 0);
    client_world_carry(&w);
    assert_int_equal(w.input_len, 5);
    assert_memory_equal(w.input, "short", 5);
    assert_true(w.input_ended);
    assert_true(source.ended);
    source_resume(&source); /* over is over */
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1);
}

static void test_as_it_comes(void **state)
{
    (void)state;
    source_start(&source, base, w.command, fds[0], on_moved, &source);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    assert_int_equal(moved_calls, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(write(fds[1], "line\n", 5), 5);
        while (w.input_len < (size_t)5 * (i + 1))
            assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        assert_int_equal(moved_calls, i + 1);
        assert_memory_equal(w.input + (size_t)5 * i, "line\n", 5);
    }
    assert_false(w.input_ended);
    end_input();
    while (!w.input_ended)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* A command that does not read: our stdin is left where it is, and the loop sleeps. */
static void test_no_room(void **state)
{
    (void)state;
    static uint8_t block[4096];
    size_t given = 0;
    w.holds_input = true;
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    source_start(&source, base, w.command, fds[0], on_moved, &source);
    int quiet = 0;
    while (quiet < 3) {
        ssize_t n = write(fds[1], block, sizeof block);
        if (n > 0)
            given += (size_t)n;
        unsigned before = moved_calls;
        int result = event_base_loop(base, EVLOOP_NONBLOCK);
        assert_true(result >= 0);
        quiet = n < 0 && moved_calls == before ? quiet + 1 : 0;
    }
    assert_true(given > RX_WINDOW_STDIN); /* and what the pipe holds */
    assert_int_equal(w.input_len, 0);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* nothing is waited for */
    /* It reads again: all of it comes, once, in order. */
    w.holds_input = false;
    end_input();
    client_world_carry(&w);
    while (!w.input_ended) {
        source_resume(&source);
        assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
        client_world_carry(&w);
    }
    assert_int_equal(w.input_len, given);
}

/* What cannot be read is no end: the command is not told of one. */
static void test_unreadable(void **state)
{
    (void)state;
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    event_base_free(base);
    struct event_config *config = event_config_new();
    assert_non_null(config);
    (void)event_config_avoid_method(config, "epoll"); /* which takes no directories */
    base = event_base_new_with_config(config);
    event_config_free(config);
    assert_non_null(base);
    source_start(&source, base, w.command, directory, on_moved, &source);
    client_world_carry(&w);
    assert_int_equal(source.error, EISDIR);
    assert_true(source.ended);
    assert_false(w.input_ended);
    assert_int_equal(w.input_len, 0);
    (void)close(directory);
}

/* A terminal whose other side is closed says EIO, and that is its end. */
static void test_terminal_gone(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    (void)close(slave);
    source_start(&source, base, w.command, master, on_moved, &source);
    client_world_carry(&w);
    assert_int_equal(source.error, 0);
    assert_true(w.input_ended);
    (void)close(master);
}

#define SOURCE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOURCE_TEST(test_useful),  SOURCE_TEST(test_at_once),    SOURCE_TEST(test_as_it_comes),
        SOURCE_TEST(test_no_room), SOURCE_TEST(test_unreadable), SOURCE_TEST(test_terminal_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
