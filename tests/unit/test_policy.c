/* rexecd/policy.c: what a grant lets its client do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rexecd/policy.h"

static struct rx_grant grant;
static struct rx_header header;
static struct policy_refusal refusal;
static const char *user;

static const struct policy_host as_root = {.root = true, .self = "root"};
static const struct policy_host as_bob = {.root = false, .self = "bob"};

static int setup(void **state)
{
    (void)state;
    grant = (struct rx_grant){0};
    refusal = (struct policy_refusal){0};
    rx_header_init(RX_EXEC, &header);
    header.exec.run = RX_RUN_SHELL;
    user = NULL;
    return 0;
}

static void allow(const char *name)
{
    (void)snprintf(grant.users[grant.user_count++], sizeof grant.users[0], "%s", name);
}

static void expect_as(const struct policy_host *host, const char *asked, const char *expected)
{
    (void)snprintf(header.exec.user, sizeof header.exec.user, "%s", asked);
    user = NULL;
    assert_int_equal(policy_exec(host, &grant, &header.exec, false, &user, &refusal), RX_OK);
    assert_string_equal(user, expected);
}

/* Refused, and the text says this. */
static void expect_refused(const struct policy_host *host, const char *asked, bool directory,
                           enum rx_error error, const char *says)
{
    (void)snprintf(header.exec.user, sizeof header.exec.user, "%s", asked);
    user = NULL;
    assert_int_equal(policy_exec(host, &grant, &header.exec, directory, &user, &refusal), error);
    assert_int_equal(refusal.error, error);
    assert_null(user);
    if (strstr(refusal.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", refusal.text, says);
}

static void test_root(void **state)
{
    (void)state;
    expect_refused(&as_root, "", false, RX_E_NOT_PERMITTED, "names no user");
    expect_refused(&as_root, "root", false, RX_E_NOT_PERMITTED, "names no user");
    allow("alice");
    allow("carol");
    expect_as(&as_root, "", "alice");
    expect_as(&as_root, "alice", "alice");
    expect_as(&as_root, "carol", "carol");
    expect_refused(&as_root, "root", false, RX_E_NOT_PERMITTED, "does not permit the user root");
    expect_refused(&as_root, "alic", false, RX_E_NOT_PERMITTED, "the user alic");
    expect_refused(&as_root, "alicee", false, RX_E_NOT_PERMITTED, "alicee");
    expect_refused(&as_root, "Alice", false, RX_E_NOT_PERMITTED, "Alice");
}

static void test_root_any(void **state)
{
    (void)state;
    grant.any_user = true;
    expect_as(&as_root, "whoever", "whoever");
    expect_refused(&as_root, "", false, RX_E_BAD_REQUEST, "-l");
    allow("alice");
    expect_as(&as_root, "", "alice");
    expect_as(&as_root, "root", "root");
}

static void test_own(void **state)
{
    (void)state;
    expect_as(&as_bob, "", "bob"); /* no grant needs to say so */
    expect_as(&as_bob, "bob", "bob");
    expect_refused(&as_bob, "root", false, RX_E_NOT_PERMITTED, "bob only");
    allow("alice");
    expect_refused(&as_bob, "", false, RX_E_NOT_PERMITTED, "users = bob");
    expect_refused(&as_bob, "alice", false, RX_E_NOT_PERMITTED, "bob only");
    allow("bob");
    expect_as(&as_bob, "", "bob");
    grant.user_count = 0;
    grant.any_user = true;
    expect_as(&as_bob, "bob", "bob");
    expect_refused(&as_bob, "alice", false, RX_E_NOT_PERMITTED, "bob only");
}

static void test_forced(void **state)
{
    (void)state;
    grant.any_user = true;
    (void)snprintf(grant.command, sizeof grant.command, "date");
    expect_as(&as_root, "alice", "alice");
    /* Limits might make it behave otherwise than was meant; what it writes is the client's. */
    int64_t *const limits[] = {&header.exec.limits.cpu_ms,    &header.exec.limits.memory,
                               &header.exec.limits.files,     &header.exec.limits.processes,
                               &header.exec.limits.file_size, &header.exec.limits.core};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        *limits[i] = 0;
        expect_refused(&as_root, "alice", false, RX_E_NOT_PERMITTED, "limits");
        *limits[i] = RX_ABSENT;
    }
    header.exec.limits.output = 1;
    expect_as(&as_root, "alice", "alice");
    header.exec.limits.output = RX_ABSENT;
    expect_refused(&as_root, "alice", true, RX_E_NOT_PERMITTED, "forces a command");
    expect_refused(&as_bob, "bob", true, RX_E_NOT_PERMITTED, "forces a command");
    grant.command[0] = '\0';
    assert_int_equal(policy_exec(&as_bob, &grant, &header.exec, true, &user, &refusal), RX_OK);
}

static void test_not_there(void **state)
{
    (void)state;
    grant.any_user = true;
    header.exec.pty.wanted = true;
    expect_as(&as_root, "alice", "alice");
    grant.no_pty = true;
    expect_refused(&as_root, "alice", false, RX_E_NO_TERMINAL, "-T");
    header.exec.pty.wanted = false;
    expect_as(&as_root, "alice", "alice");
    header.exec.detach = true;
    expect_refused(&as_root, "alice", false, RX_E_NOT_SUPPORTED, "detach");
    header.exec.detach = false;
    expect_as(&as_root, "alice", "alice");
}

/* Cut where it is too long, never beyond. */
static void test_long_text(void **state)
{
    (void)state;
    char name[2 * RX_TEXT_MAX];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(policy_refuse(&refusal, RX_E_NO_RESOURCES, "%s", name), RX_E_NO_RESOURCES);
    assert_int_equal(strlen(refusal.text), RX_TEXT_MAX);
}

#define POLICY_TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POLICY_TEST(test_root),   POLICY_TEST(test_root_any),  POLICY_TEST(test_own),
        POLICY_TEST(test_forced), POLICY_TEST(test_not_there), POLICY_TEST(test_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
