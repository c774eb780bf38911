/* rexecd/listen.c: from what people write to sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rexecd/listen.h"

static struct listen_sockets all;
static char error[LISTEN_ERROR_MAX];

static int teardown(void **state)
{
    (void)state;
    listen_close(&all);
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 address = {0};
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin6_port); /* in the same place for both families */
}

static bool have_ipv6(void)
{
    const struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have = fd >= 0 && bind(fd, (const struct sockaddr *)&here, sizeof here) == 0;
    if (fd >= 0)
        (void)close(fd);
    return have;
}

static void expect_good(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len), 0);
    assert_int_equal(on, 1);
}

static void test_ipv4(void **state)
{
    (void)state;
    char name[64];
    int on = 0;
    socklen_t len = sizeof on;
    assert_int_equal(listen_open(&all, "127.0.0.1:0", error), 0);
    assert_int_equal(all.count, 1);
    expect_good(all.sockets[0].fd);
    assert_int_equal(getsockopt(all.sockets[0].fd, SOL_SOCKET, SO_REUSEADDR, &on, &len), 0);
    assert_int_equal(on, 1);
    (void)snprintf(name, sizeof name, "127.0.0.1:%u", (unsigned)port_of(all.sockets[0].fd));
    assert_string_equal(all.sockets[0].name, name);
    /* Taken already. */
    assert_int_equal(listen_open(&all, name, error), -1);
    assert_non_null(strstr(error, "another server"));
    assert_int_equal(all.count, 1);
}

static void test_ipv6(void **state)
{
    (void)state;
    if (!have_ipv6())
        skip();
    assert_int_equal(listen_open(&all, "[::1]:0", error), 0);
    assert_int_equal(strncmp(all.sockets[0].name, "[::1]:", 6), 0);
    expect_good(all.sockets[0].fd);
}

/* Both families, one port. */
static void test_any(void **state)
{
    (void)state;
    const char *const ways[] = {"*:0", ":0"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(listen_open(&all, ways[i], error), 0);
        assert_true(all.count >= 1);
        for (size_t k = 1; k < all.count; k++)
            assert_int_equal(port_of(all.sockets[k].fd), port_of(all.sockets[0].fd));
        listen_close(&all);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(listen_open(&all, "localhost:0", error), 0);
    assert_true(all.count >= 1);
    listen_close(&all);
    /* A service by its name; whether the port is free is another matter. */
    if (listen_open(&all, "127.0.0.1:zip", error) == 0)
        assert_int_equal(port_of(all.sockets[0].fd), 6);
}

static void test_unix(void **state)
{
    (void)state;
    char path[64], specification[80];
    struct stat st;
    (void)snprintf(path, sizeof path, "/tmp/rexec-test-listen.%d", (int)getpid());
    (void)snprintf(specification, sizeof specification, "unix:%s", path);
    assert_int_equal(listen_open(&all, specification, error), 0);
    assert_string_equal(all.sockets[0].name, specification);
    expect_good(all.sockets[0].fd);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    /* A living server's socket is not taken away. */
    assert_int_equal(listen_open(&all, specification, error), -1);
    assert_int_equal(all.count, 1);
    /* A dead one's is. */
    (void)close(all.sockets[0].fd);
    all.count = 0;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(listen_open(&all, specification, error), 0);
    listen_close(&all);
    assert_int_equal(stat(path, &st), -1);
    /* A path that another server has been given is not. */
    static struct listen_sockets other;
    assert_int_equal(listen_open(&all, specification, error), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listen_open(&other, specification, error), 0);
    listen_close(&all);
    assert_int_equal(stat(path, &st), 0);
    listen_close(&other);
    assert_int_equal(stat(path, &st), -1);
    /* A file is left alone. */
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(listen_open(&all, specification, error), -1);
    assert_int_equal(stat(path, &st), 0);
    (void)unlink(path);
}

static void test_wrong(void **state)
{
    (void)state;
    char long_path[200] = "unix:/";
    memset(long_path + 6, 'x', sizeof long_path - 7);
    const char *const wrong[] = {
        "",
        "127.0.0.1",
        ":",
        "::1:7512",
        "[::1]",
        "[::1:7512",
        "[::1]7512",
        "unix:",
        long_path,
        "127.0.0.1:",
        "127.0.0.1:70000",
        "no.such.host.invalid:1",
        "127.0.0.1:no-such-service",
        "192.0.2.1:0",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        error[0] = '\0';
        assert_int_equal(listen_open(&all, wrong[i], error), -1);
        assert_true(strlen(error) > 0);
        assert_int_equal(all.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ipv4, teardown),
        cmocka_unit_test_teardown(test_ipv6, teardown),
        cmocka_unit_test_teardown(test_any, teardown),
        cmocka_unit_test_teardown(test_names, teardown),
        cmocka_unit_test_teardown(test_unix, teardown),
        cmocka_unit_test_teardown(test_wrong, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
