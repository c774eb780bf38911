/* rexecd/accounts.c: what is known of users is believed for a moment, and no longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/accounts.h"

enum { SECOND = 1000000, MANY = 40 };

static char directory[] = "/tmp/rexec-accounts-XXXXXX";
static char present[64], absent[64];
static const char *files[] = {present, absent, NULL};
static unsigned asked; /* how often the data base was */
static enum user_result answer;

static enum user_result look_up(const char *name, struct account *account)
{
    asked++;
    *account = (struct account){.expired = true, .listed = true};
    if (answer != USER_FOUND) {
        errno = EIO;
        return answer;
    }
    account->user.name = strdup(name);
    account->user.uid = 1000 + asked;
    assert_non_null(account->user.name);
    return USER_FOUND;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    answer = USER_FOUND;
    asked = 0;
    put(present, "one");
    (void)unlink(absent);
    *state = accounts_new(files, look_up);
    return *state == NULL;
}

static int teardown(void **state)
{
    accounts_free(*state);
    return 0;
}

static uid_t uid_of(struct accounts *a, const char *name, int64_t now)
{
    const struct account *account = NULL;
    assert_int_equal(accounts_find(a, name, now, &account), USER_FOUND);
    assert_string_equal(account->user.name, name);
    assert_true(account->expired && account->listed);
    return account->user.uid;
}

static void test_once_for_many(void **state)
{
    for (int i = 0; i < 100; i++)
        assert_int_equal(uid_of(*state, "ann", SECOND + i), 1001);
    assert_int_equal(uid_of(*state, "bob", SECOND), 1002);
    assert_int_equal(uid_of(*state, "ann", SECOND), 1001);
    assert_int_equal(asked, 2);
}

static void test_not_for_long(void **state)
{
    const int64_t limit = (int64_t)ACCOUNTS_KEPT_MS * 1000;
    assert_int_equal(uid_of(*state, "ann", 7), 1001);
    assert_int_equal(uid_of(*state, "ann", 7 + limit - 1), 1001);
    /* By when it was looked up, not by when it was last asked for. */
    assert_int_equal(uid_of(*state, "ann", 7 + limit), 1002);
    assert_int_equal(uid_of(*state, "ann", 7 + 2 * limit), 1003);
}

/* Written to, replaced, of another mode, gone, there: all are changes. */
static void test_files_change(void **state)
{
    char other[80];
    assert_int_equal(uid_of(*state, "ann", 1), 1001);
    put(present, "three");
    assert_int_equal(uid_of(*state, "ann", 1), 1002);
    (void)snprintf(other, sizeof other, "%s.new", present);
    put(other, "three");
    assert_int_equal(rename(other, present), 0);
    assert_int_equal(uid_of(*state, "ann", 1), 1003);
    put(absent, "");
    assert_int_equal(uid_of(*state, "ann", 1), 1004);
    assert_int_equal(unlink(absent), 0);
    assert_int_equal(uid_of(*state, "ann", 1), 1005);
    assert_int_equal(uid_of(*state, "ann", 1), 1005);
    /* The same size and the same time of modification: somebody has put that back. */
    struct stat before;
    assert_int_equal(stat(present, &before), 0);
    (void)usleep(20000); /* the clock of files is coarse */
    put(present, "eerht");
    const struct timespec times[] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, present, times, 0), 0);
    assert_int_equal(uid_of(*state, "ann", 1), 1006);
}

static void test_failures_are_not_kept(void **state)
{
    const struct account *account = NULL;
    answer = USER_UNKNOWN;
    assert_int_equal(accounts_find(*state, "ann", 1, &account), USER_UNKNOWN);
    answer = USER_FAILED;
    errno = 0;
    assert_int_equal(accounts_find(*state, "ann", 1, &account), USER_FAILED);
    assert_int_equal(errno, EIO);
    assert_null(account);
    answer = USER_FOUND;
    assert_int_equal(uid_of(*state, "ann", 1), 1003);
    assert_int_equal(uid_of(*state, "ann", 1), 1003);
}

static void test_bounded(void **state)
{
    char name[16];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(uid_of(*state, name, 1), 1001 + i);
        assert_int_equal(uid_of(*state, name, 1), 1001 + i);
    }
    assert_int_equal(uid_of(*state, "user0", 1), 1001 + MANY); /* it had to go */
}

static void test_system(void **state)
{
    (void)state;
    struct accounts *a = accounts_new(NULL, account_find);
    const struct account *account = NULL;
    struct user self;
    assert_non_null(a);
    if (user_by_id(geteuid(), &self) == USER_FOUND) {
        for (int i = 0; i < 3; i++) {
            assert_int_equal(accounts_find(a, self.name, i, &account), USER_FOUND);
            assert_int_equal(account->user.uid, geteuid());
            assert_string_equal(account->user.home, self.home);
        }
    }
    user_free(&self);
    assert_int_equal(accounts_find(a, "nobody has this name", 1, &account), USER_UNKNOWN);
    accounts_free(a);
    accounts_free(NULL);
}

#define ACCOUNTS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ACCOUNTS_TEST(test_once_for_many), ACCOUNTS_TEST(test_not_for_long),
        ACCOUNTS_TEST(test_files_change),  ACCOUNTS_TEST(test_failures_are_not_kept),
        ACCOUNTS_TEST(test_bounded),       cmocka_unit_test(test_system),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    (void)snprintf(present, sizeof present, "%s/present", directory);
    (void)snprintf(absent, sizeof absent, "%s/absent", directory);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(present);
    (void)unlink(absent);
    (void)rmdir(directory);
    return failed;
}
