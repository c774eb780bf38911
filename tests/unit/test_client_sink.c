/* rexec/sink.c: output to files, pipes, sockets and memory, whoever reads there, or does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rexec/sink.h"
#include "tests/unit/client_world.h"

enum { LONG = 200 * 1024 }; /* more than a pipe holds */

static struct client_world w;
static struct event_base *base;
static struct sink sink;
static unsigned ready_calls;
static uint8_t text[LONG], got[LONG];

static void on_ready(void *user)
{
    assert_ptr_equal(user, &sink);
    ready_calls++;
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < LONG; i++)
        text[i] = (uint8_t)(i * 7 + i / 251);
    ready_calls = 0;
    base = event_base_new();
    client_world_open(&w);
    return base == NULL;
}

static int teardown(void **state)
{
    (void)state;
    sink_clear(&sink);
    client_world_close(&w);
    event_base_free(base);
    return 0;
}

static void open_sink(int fd, struct transcode *transcode)
{
    sink_init(&sink, base, RX_WHICH_STDOUT, fd, transcode, on_ready, &sink);
    sink.command = w.command;
}

/* All of n bytes of `text` go in, and n come out at `fd`, read only where the sink waits. */
static void expect_through(int fd, size_t n)
{
    size_t in = 0, out = 0;
    while (out < n) {
        in += client_world_print(&w, RX_WHICH_STDOUT, text + in, n - in);
        enum sink_state state = sink_pump(&sink);
        assert_true(state == SINK_IDLE || state == SINK_WAITING);
        client_world_carry(&w);
        ssize_t more = recv(fd, got + out, sizeof got - out, MSG_DONTWAIT);
        if (more < 0 && errno == ENOTSOCK)
            more = read(fd, got + out, sizeof got - out);
        assert_true(more > 0);
        out += (size_t)more;
        unsigned before = ready_calls;
        if (state == SINK_WAITING)
            while (ready_calls == before)
                assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    assert_int_equal(in, n);
    assert_memory_equal(got, text, n);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
}

/* What others share stays as it is: nobody finds his descriptor not to block. */
static void expect_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static void test_pipe(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    open_sink(fds[1], NULL);
    expect_through(fds[0], 10); /* small: straight to it */
    assert_int_equal(sink.own, -1);
    memmove(text, text + 1, LONG - 1); /* not the same again */
    expect_through(fds[0], LONG - 1);
    expect_blocking(fds[1]);
    expect_blocking(fds[0]);
    assert_true(ready_calls > 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* A pipe that is full when the first little comes: it waits, and nothing blocks. */
static void test_full_pipe(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(fds[1], text, 4096) > 0)
        ;
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    open_sink(fds[1], NULL);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "hello", 5), 5);
    assert_int_equal(sink_pump(&sink), SINK_WAITING);
    assert_int_equal(sink_pump(&sink), SINK_WAITING);
    while (read(fds[0], got, sizeof got) > 0)
        ;
    while (ready_calls == 0)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(read(fds[0], got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_socket(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_sink(fds[1], NULL);
    expect_through(fds[0], LONG);
    expect_blocking(fds[1]);
    sink_end(&sink);
    assert_int_equal(recv(fds[0], got, sizeof got, 0), 0); /* told that it is over */
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/rexec-test-sink.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    open_sink(fd, NULL);
    for (size_t in = 0; in < LONG;) {
        in += client_world_print(&w, RX_WHICH_STDOUT, text + in, LONG - in);
        assert_int_equal(sink_pump(&sink), SINK_IDLE);
        client_world_carry(&w);
    }
    assert_int_equal(pread(fd, got, sizeof got, 0), LONG);
    assert_memory_equal(got, text, LONG);
    (void)close(fd);
}

/* To memory: as it is, or decoded, with what is left of a character at the end. */
static void test_memory(void **state)
{
    (void)state;
    open_sink(-1, NULL);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, text, 1000), 1000);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(sink.held.n, 1000);
    assert_memory_equal(sink.held.bytes, text, 1000);
    sink_clear(&sink);
    open_sink(-1, transcode_new("GBK", "UTF-8"));
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "\xd6\xd0\xce", 3), 3);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(sink.held.n, 3);
    sink_finish(&sink);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(sink_pump(&sink), SINK_IDLE); /* once is enough */
    assert_int_equal(sink.held.n, 6);
    assert_memory_equal(sink.held.bytes, "\xe4\xb8\xad\xef\xbf\xbd", 6);
}

static void test_decoded_pipe(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    open_sink(fds[1], transcode_new("UTF-16LE", "UTF-8"));
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "a\0b\0\x2d", 5), 5);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    sink_finish(&sink);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(read(fds[0], got, sizeof got), 5);
    assert_memory_equal(got, "ab\xef\xbf\xbd", 5);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* Nobody reads any more: it is said once, and the command can go on writing. */
static void test_broken(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)close(fds[0]);
    open_sink(fds[1], NULL);
    size_t in = 0;
    for (int i = 0; i < 20; i++) {
        in += client_world_print(&w, RX_WHICH_STDOUT, text, LONG);
        assert_int_equal(sink_pump(&sink), SINK_BROKEN);
        client_world_carry(&w);
    }
    assert_true(in > RX_WINDOW_OUTPUT); /* what is dropped makes room */
    (void)close(fds[1]);
}

static void test_failed(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    open_sink(fd, NULL);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "x", 1), 1);
    assert_int_equal(sink_pump(&sink), SINK_FAILED);
    assert_int_equal(sink.error, EBADF);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "y", 1), 1);
    assert_int_equal(sink_pump(&sink), SINK_FAILED);
    (void)close(fd);
    sink_clear(&sink);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    open_sink(full, NULL);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "x", 1), 1);
    assert_int_equal(sink_pump(&sink), SINK_FAILED);
    assert_int_equal(sink.error, ENOSPC);
    (void)close(full);
}

/* More than memory may hold: that much is kept of it, nothing, and it is said why. */
static void test_too_long_for_memory(void **state)
{
    (void)state;
    open_sink(-1, NULL);
    assert_int_equal(sink.most, SINK_MEMORY_MAX);
    sink.most = 1000;
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, text, 1000), 1000);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, text, 1), 1);
    assert_int_equal(sink_pump(&sink), SINK_FAILED);
    assert_int_equal(sink.held.n, 0);
    assert_non_null(strstr(sink_error_text(&sink), "1 GiB"));
    sink.error = ENOSPC;
    assert_string_equal(sink_error_text(&sink), strerror(ENOSPC));
}

/* The decoder's rest comes before the end, also where there is no room for it at first. */
static void test_end_of_decoded(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    open_sink(fds[1], transcode_new("CP1255", "UTF-8"));
    assert_int_equal(client_world_print(&w, RX_WHICH_STDOUT, "\xf9\xec", 2), 2);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    while (write(fds[1], text, 4096) > 0)
        ;
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    sink_end(&sink);
    assert_int_equal(sink_pump(&sink), SINK_WAITING);
    assert_int_equal(read(fds[0], got, 2), 2);
    assert_memory_equal(got, "\xd7\xa9", 2);
    while (read(fds[0], got, sizeof got) > 0)
        ;
    while (ready_calls == 0)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    assert_int_equal(read(fds[0], got, sizeof got), 2);
    assert_memory_equal(got, "\xd7\x9c", 2);
    assert_int_equal(read(fds[0], got, sizeof got), 0); /* and only then the end */
    sink_end(&sink);
    sink_finish(&sink);
    assert_int_equal(sink_pump(&sink), SINK_IDLE);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* The command closed its stdout and goes on: who reads ours sees the end, the number stays taken.
 */
static void test_end(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    open_sink(fds[1], NULL);
    expect_through(fds[0], LONG); /* so that there is a second opening */
    assert_true(sink.own >= 0);
    sink_end(&sink);
    assert_int_equal(read(fds[0], got, sizeof got), 0);
    assert_true(fcntl(fds[1], F_GETFD) >= 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

#define SINK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        SINK_TEST(test_pipe),
        SINK_TEST(test_full_pipe),
        SINK_TEST(test_socket),
        SINK_TEST(test_file),
        SINK_TEST(test_memory),
        SINK_TEST(test_decoded_pipe),
        SINK_TEST(test_broken),
        SINK_TEST(test_failed),
        SINK_TEST(test_end),
        SINK_TEST(test_too_long_for_memory),
        SINK_TEST(test_end_of_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
