/* rexecd/grantdir.c: which files of a directory become grants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/grantdir.h"
#include "rexecd/log.h"

static char dir[] = "/tmp/rexec-test-grants.XXXXXX";

static void path_of(const char *file, char path[static 256])
{
    (void)snprintf(path, 256, "%s/%s", dir, file);
}

static void write_file(const char *file, const char *text, mode_t mode)
{
    char path[256];
    path_of(file, path);
    (void)unlink(path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static const char *grant_text(uint8_t seed, const char *server)
{
    static char text[RX_GRANT_TEXT_MAX];
    struct rx_grant grant = {0};
    uint8_t psk[RX_KEY_SIZE];
    size_t n;
    memset(psk, seed, sizeof psk);
    assert_int_equal(rx_grant_keys_derive(psk, server, &grant.keys), RX_OK);
    (void)snprintf(grant.server, sizeof grant.server, "%s", server);
    if (seed == 1)
        (void)snprintf(grant.name, sizeof grant.name, "%s", "first");
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
    return text;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/rexec-test-grants.XXXXXX");
    return mkdtemp(dir) != NULL && sodium_init() >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command); // NOLINT(cert-env33-c): the path is ours
}

static void expect(size_t read, size_t refused)
{
    struct grantdir_result result;
    struct rx_grants *grants = grantdir_read(dir, "server", &result);
    assert_non_null(grants);
    assert_int_equal(result.read, read);
    assert_int_equal(result.refused, refused);
    assert_int_equal(rx_grants_count(grants), read);
    rx_grants_free(grants);
}

static void test_good(void **state)
{
    (void)state;
    expect(0, 0);
    write_file("a", grant_text(1, "server"), 0600);
    write_file("b.grant", grant_text(2, "server"), 0400);
    write_file(".hidden", "nonsense", 0644);
    write_file("a~", "nonsense", 0644);
    expect(2, 0);
    struct grantdir_result result;
    struct rx_grants *grants = grantdir_read(dir, "server", &result);
    char name[RX_PRINCIPAL_MAX + 1];
    const struct rx_grant *first = rx_grants_at(grants, 0), *second = rx_grants_at(grants, 1);
    grantdir_principal(first, name);
    assert_string_equal(name, "first");
    grantdir_principal(second, name);
    assert_int_equal(strlen(name), 2 * RX_KID_SIZE);
    assert_ptr_equal(grantdir_find(grants, second->keys.kid), second);
    uint8_t other[RX_KID_SIZE] = {0};
    assert_null(grantdir_find(grants, other));
    rx_grants_free(grants);
}

/* Each bit for others, alone. */
static void test_modes(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 0100; mode++) {
        write_file("a", grant_text(1, "server"), 0600 | mode);
        expect(mode == 0 ? 1 : 0, mode == 0 ? 0 : 1);
    }
}

static void test_owner(void **state)
{
    (void)state;
    char path[256];
    if (geteuid() != 0)
        skip();
    write_file("a", grant_text(1, "server"), 0600);
    path_of("a", path);
    assert_int_equal(chown(path, 12345, 0), 0);
    expect(0, 1);
}

/* What is wrong is left out; the rest counts. */
static void test_broken(void **state)
{
    (void)state;
    char path[256], target[256];
    write_file("good", grant_text(1, "server"), 0600);
    write_file("empty", "", 0600);
    write_file("nonsense", "rexec-grant 1\nserver = server\nwhat = ever\n", 0600);
    write_file("other-server", grant_text(3, "elsewhere"), 0600);
    write_file("twice", grant_text(1, "server"), 0600);
    path_of("directory", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of("link", path);
    path_of("good", target);
    assert_int_equal(symlink(target, path), 0);
    path_of("fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(1, 7);
    static char large[RX_GRANT_FILE_MAX + 100];
    memset(large, '#', sizeof large - 1);
    write_file("large", large, 0600);
    expect(1, 8);
}

/* A copy that is revoked counts, in whatever file it is. */
static void test_revoked_copy(void **state)
{
    (void)state;
    static const char *const names[] = {"0-before", "z-behind"};
    for (size_t i = 0; i < 2; i++) {
        char text[RX_GRANT_TEXT_MAX + 32], path[256];
        struct grantdir_result result;
        (void)snprintf(text, sizeof text, "%srevoked = yes\n", grant_text(1, "server"));
        write_file("good", grant_text(1, "server"), 0600);
        write_file(names[i], text, 0600);
        struct rx_grants *grants = grantdir_read(dir, "server", &result);
        assert_int_equal(rx_grants_count(grants), 1);
        assert_true(rx_grants_at(grants, 0)->revoked);
        rx_grants_free(grants);
        path_of(names[i], path);
        assert_int_equal(unlink(path), 0);
        grants = grantdir_read(dir, "server", &result);
        assert_false(rx_grants_at(grants, 0)->revoked);
        rx_grants_free(grants);
    }
}

static void test_directory(void **state)
{
    (void)state;
    struct grantdir_result result;
    assert_null(grantdir_read("/no/such/directory", "server", &result));
    assert_int_equal(chmod(dir, 0770), 0);
    assert_null(grantdir_read(dir, "server", &result));
    assert_int_equal(chmod(dir, 0702), 0);
    assert_null(grantdir_read(dir, "server", &result));
    assert_int_equal(chmod(dir, 0755), 0);
    expect(0, 0);
}

int main(void)
{
    log_open("rexecd", LOG_LEVEL_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
