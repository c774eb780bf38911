/* rexecd/tracedir.c: where traces may be written, and what a new one begins with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/tracedir.h"

static char dir[64];
static char error[TRACEDIR_ERROR_MAX], name[TRACEDIR_NAME_MAX];
static size_t written;
static struct tracedir_session session = {
    .start_us = 1700000000123456, .server = "lab01", .address = "alice from 192.0.2.1:4242"};

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/rexec-test-traces.XXXXXX");
    for (size_t i = 0; i < sizeof session.id; i++)
        session.id[i] = (uint8_t)(0xa0 + i);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); // NOLINT(cert-env33-c): the path is ours
}

static int begin(size_t most)
{
    error[0] = '\0';
    return tracedir_begin(dir, most, &session, name, &written, error);
}

static void test_begins(void **state)
{
    static const char expected[] =
        "{\"trace\":1,\"side\":\"server\",\"host\":\"lab01\","
        "\"start\":\"2023-11-14T22:13:20.123456Z\"}\n"
        "{\"connection\":1,\"ns\":0,\"address\":\"alice from 192.0.2.1:4242\"}\n";
    char path[256], text[512] = "";
    struct stat st;
    (void)state;
    mode_t before = umask(0);
    int fd = begin(10);
    (void)umask(before);
    assert_true(fd >= 0);
    assert_string_equal(name, "20231114T221320Z-a0a1a2a3.trace");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    assert_true(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600);
    (void)close(fd);
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text - 1), sizeof expected - 1);
    (void)close(fd);
    assert_string_equal(text, expected);
    assert_int_equal(written, sizeof expected - 1);
    /* Never over one that is there. */
    assert_int_equal(begin(10), -1);
    assert_non_null(strstr(error, "File exists"));
    session.id[0]++;
    fd = begin(10);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void test_no_more_than_that(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        session.id[0]++;
        int fd = begin(3);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    session.id[0]++;
    assert_int_equal(begin(3), -1);
    assert_non_null(strstr(error, "trace_files"));
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(unlink(path), 0);
    int fd = begin(3);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void refused(const char *why)
{
    assert_false(tracedir_check(dir, error));
    assert_non_null(strstr(error, why));
    assert_int_equal(begin(10), -1);
    assert_non_null(strstr(error, why));
}

static void test_places(void **state)
{
    char path[256];
    (void)state;
    assert_true(tracedir_check(dir, error));
    assert_int_equal(chmod(dir, 0777), 0);
    refused("others may write");
    assert_int_equal(chmod(dir, 0770), 0);
    refused("others may write");
    assert_int_equal(chmod(dir, 0755), 0);
    assert_true(tracedir_check(dir, error));
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 65534, 65534), 0);
        refused("another user");
        assert_int_equal(chown(dir, 0, 0), 0);
    }
    /* Where the name of a new file leads elsewhere, nothing is written. */
    (void)snprintf(path, sizeof path, "%s/20231114T221320Z-%02xa1a2a3.trace", dir, session.id[0]);
    assert_int_equal(symlink("/tmp/rexec-test-not-there", path), 0);
    assert_int_equal(begin(10), -1);
    assert_int_equal(access("/tmp/rexec-test-not-there", F_OK), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    refused("No such file");
    int fd = open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && close(fd) == 0);
    refused("Not a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_more_than_that, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
