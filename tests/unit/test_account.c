/* rexecd/account.c: what the system's files say of a user. Those files are not ours, so the
 * library's look-up is this program's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <shadow.h>

#include "rexecd/account.h"

static long expires;
static int wrong;
static size_t needed; /* bytes of buffer */
static bool there;

/* In the place of the C library's, whose header has names of its own for these. */
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
int getspnam_r(const char *name, struct spwd *entry, char *buffer, size_t size, struct spwd **found)
{
    *found = NULL;
    if (size < needed)
        return ERANGE;
    if (wrong != 0 || !there)
        return wrong;
    memset(buffer, 'x', size);
    *entry = (struct spwd){.sp_namp = buffer, .sp_expire = expires};
    assert_string_equal(name, "alice");
    *found = entry;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    expires = -1;
    wrong = 0;
    needed = 0;
    there = true;
    return 0;
}

static void test_expiry(void **state)
{
    (void)state;
    const int64_t day = 24 * 60 * 60;
    assert_int_equal(0, priv_account_expired("alice", 20000 * day));
    expires = 20001;
    assert_int_equal(0, priv_account_expired("alice", 20001 * day - 1));
    assert_int_equal(1, priv_account_expired("alice", 20001 * day));
    assert_int_equal(1, priv_account_expired("alice", 20002 * day));
    expires = 0; /* how accounts are closed */
    assert_int_equal(1, priv_account_expired("alice", 20000 * day));
}

static void test_long_entry(void **state)
{
    (void)state;
    expires = 0;
    needed = 9000;
    assert_int_equal(1, priv_account_expired("alice", 1));
    needed = 1024 * 1024;
    assert_int_equal(-1, priv_account_expired("alice", 1));
    assert_int_equal(errno, E2BIG);
}

static void test_nothing_known(void **state)
{
    (void)state;
    expires = 0;
    there = false;
    assert_int_equal(0, priv_account_expired("alice", 1));
    wrong = EACCES;
    assert_int_equal(0, priv_account_expired("alice", 1));
    wrong = ENOENT;
    assert_int_equal(0, priv_account_expired("alice", 1));
}

/* Nobody is let in because the data base could not be read. */
static void test_not_found_out(void **state)
{
    (void)state;
    const int errors[] = {ENOMEM, EIO, EMFILE, ENFILE};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        wrong = errors[i];
        assert_int_equal(-1, priv_account_expired("alice", 1));
        assert_int_equal(errno, errors[i]);
    }
}

static void test_shells(void **state)
{
    (void)state;
    assert_true(account_shell_is_listed("/bin/sh"));
    assert_true(account_shell_is_listed("/bin/sh")); /* from the first line again */
    assert_false(account_shell_is_listed("/usr/sbin/nologin"));
    assert_false(account_shell_is_listed("/bin/false"));
    assert_false(account_shell_is_listed(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_expiry, setup),
        cmocka_unit_test_setup(test_long_entry, setup),
        cmocka_unit_test_setup(test_nothing_known, setup),
        cmocka_unit_test_setup(test_not_found_out, setup),
        cmocka_unit_test_setup(test_shells, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
