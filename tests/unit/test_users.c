/* rexecd/users.c, rexecd/roles.c: who commands run as, and what a role is started with. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/ipc.h"
#include "rexecd/roles.h"
#include "rexecd/users.h"

static void test_user(void **state)
{
    (void)state;
    struct user user, same;
    const struct passwd *here = getpwuid(geteuid());
    if (here == NULL) {
        skip();
        return; /* which skip() does, but says to nobody */
    }
    assert_int_equal(user_by_id(geteuid(), &user), USER_FOUND);
    assert_string_equal(user.name, here->pw_name);
    assert_string_equal(user.home, here->pw_dir);
    assert_true(user.shell[0] == '/');
    assert_int_equal(user.uid, geteuid());
    assert_int_equal(user.gid, here->pw_gid);
    assert_int_equal(user_find(user.name, &same), USER_FOUND);
    assert_int_equal(same.uid, user.uid);
    assert_string_equal(same.shell, user.shell);
    /* All groups of the data base, the primary one with them. */
    gid_t groups[1024];
    int count = 1024;
    assert_true(getgrouplist(user.name, user.gid, groups, &count) >= 0);
    assert_int_equal(user.group_count, count);
    assert_memory_equal(user.groups, groups, (size_t)count * sizeof *groups);
    user_free(&user);
    user_free(&same);
    user_free(&same); /* again is as once */
}

static void test_every_user(void **state)
{
    (void)state;
    size_t n = 0;
    setpwent();
    for (const struct passwd *entry; (entry = getpwent()) != NULL && n < 200; n++) {
        struct user user;
        char name[256];
        uid_t uid = entry->pw_uid;
        (void)snprintf(name, sizeof name, "%s", entry->pw_name);
        assert_int_equal(user_find(name, &user), USER_FOUND);
        assert_string_equal(user.name, name);
        assert_int_equal(user.uid, uid);
        gid_t groups[1024];
        int count = 1024;
        assert_true(getgrouplist(name, user.gid, groups, &count) >= 0);
        assert_int_equal(user.group_count, count);
        assert_true(user.shell[0] == '/');
        user_free(&user);
    }
    endpwent();
    assert_true(n > 0);
}

/* A copy has all of it, and is its own. */
static void test_copy(void **state)
{
    (void)state;
    struct user user, copy;
    assert_int_equal(user_by_id(geteuid(), &user), USER_FOUND);
    assert_int_equal(user_copy(&user, &copy), USER_FOUND);
    assert_int_equal(copy.uid, user.uid);
    assert_int_equal(copy.gid, user.gid);
    assert_int_equal(copy.group_count, user.group_count);
    assert_memory_equal(copy.groups, user.groups, user.group_count * sizeof *user.groups);
    assert_ptr_not_equal(copy.name, user.name);
    const char *const both[][2] = {
        {copy.name, user.name}, {copy.home, user.home}, {copy.shell, user.shell}};
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(both[i][0], both[i][1]);
    user_free(&user);
    user_free(&copy);
}

static void test_unknown(void **state)
{
    (void)state;
    struct user user;
    static const char *const none[] = {"",    "no-such-user-here", "root\n", "root ", "-1", "0",
                                       "../x"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        if (getpwnam(none[i]) != NULL)
            continue;
        assert_int_equal(user_find(none[i], &user), USER_UNKNOWN);
        assert_null(user.name);
        user_free(&user);
    }
    if (getpwuid(4000000001U) == NULL)
        assert_int_equal(user_by_id(4000000001U, &user), USER_UNKNOWN);
    user_free(&user);
}

/* ---- roles ------------------------------------------------------------------------------ */

/* This program again, as a role: says on the link what it was given. */
static int play_role(int argc, char **argv)
{
    char out[512] = "";
    size_t n = 0, fds = 0;
    sigset_t blocked;
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(directory))
            fds |= (size_t)1 << strtol(entry->d_name, NULL, 10);
    if (directory != NULL)
        (void)closedir(directory);
    char null[64] = "";
    (void)!readlink("/proc/self/fd/1", null, sizeof null - 1);
    (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
    bool free = true;
    for (int i = 1; i < 32; i++)
        free &= sigismember(&blocked, i) == 0;
    n = (size_t)snprintf(out, sizeof out, "%s|%d|%s|%zx|%s|%d|%d|%d", argv[0], argc, argv[2], fds,
                         null, environ[0] == NULL, getpgrp() == getpid(), free);
    return write(IPC_FD, out, n) == (ssize_t)n ? 0 : 1;
}

static void expect_role(int fd, int other)
{
    char name[] = "a role: x", role[] = "--role", which[] = "x";
    char *argv[] = {name, role, which, NULL};
    char out[512] = "";
    int status = 0;
    pid_t pid = role_start(argv, fd);
    assert_true(pid > 0);
    assert_true(fcntl(fd, F_GETFD) >= 0); /* stays the caller's */
    ssize_t n = read(other, out, sizeof out - 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(n > 0);
    assert_string_equal(out, "a role: x|3|x|f|/dev/null|1|1|1");
}

static void test_role(void **state)
{
    (void)state;
    int fds[2], extra[8];
    sigset_t all, before;
    assert_int_equal(ipc_pair(fds), 0);
    int flags = fcntl(fds[1], F_GETFL);
    assert_int_equal(fcntl(fds[1], F_SETFL, flags & ~O_NONBLOCK), 0);
    for (int i = 0; i < 8; i++)
        extra[i] = dup(fds[0]); /* not close-on-exec: they must not get there */
    assert_int_equal(setenv("REXEC_TEST_SECRET", "x", 1), 0);
    (void)sigemptyset(&all);
    (void)sigaddset(&all, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    expect_role(fds[0], fds[1]);
    expect_role(extra[5], fds[1]);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    /* Wherever its end of the link happens to be. */
    for (int place = 3; place < 5; place++) {
        int saved = fcntl(place, F_DUPFD_CLOEXEC, 64);
        if (place == fds[1] || saved < 0)
            continue;
        assert_int_equal(dup2(fds[0], place), place);
        expect_role(place, fds[1]);
        assert_int_equal(dup2(saved, place), place);
        (void)close(saved);
    }
    for (int i = 0; i < 8; i++)
        (void)close(extra[i]);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--role") == 0)
        return play_role(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user),    cmocka_unit_test(test_every_user),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
