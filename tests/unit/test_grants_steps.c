/*
 * The look-up of a grant takes as many instructions whether the client is known or not, whatever
 * its grant says, and wherever in the table it stands: a child is stepped through it, one
 * instruction at a time, and they are counted. That no branch depends on a secret is for
 * test_grants_ct.c, to which kids are public.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sodium.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/grants.h"
#include "auth/hkdf.h"
#include "tests/unit/scale.h"

enum { COUNT = 32 };

static const int64_t now = 1800000000;

/* These stand before libsodium's, which would be most of the steps and are the same for all. */
int crypto_auth_hmacsha256_init(crypto_auth_hmacsha256_state *state, const unsigned char *key,
                                size_t n)
{
    (void)state;
    (void)key;
    (void)n;
    return 0;
}

int crypto_auth_hmacsha256_update(crypto_auth_hmacsha256_state *state, const unsigned char *in,
                                  unsigned long long n)
{
    (void)state;
    (void)in;
    (void)n;
    return 0;
}

int crypto_auth_hmacsha256_final(crypto_auth_hmacsha256_state *state, unsigned char *out)
{
    (void)state;
    memset(out, 1, RX_HASH_SIZE);
    return 0;
}

/* What is looked up, and in what. */
static struct rx_grants *grants;
static uint8_t kid[RX_KID_SIZE];

/* Of four kinds in turn: usable, revoked, expired, for another address. */
static void fill_table(void)
{
    grants = rx_grants_new();
    assert_non_null(grants);
    for (unsigned i = 0; i < COUNT; i++) {
        struct rx_grant grant = {.server = "s", .keys = {.kid = {(uint8_t)i, 1}}};
        grant.revoked = i % 4 == 1;
        grant.expires = i % 4 == 2 ? now - 1 : 0;
        grant.source_count = i % 4 == 3;
        grant.sources[0].family = RX_FAMILY_IPV6;
        assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
    }
}

static bool look_up(void)
{
    static const uint8_t decoy_secret[RX_KEY_SIZE] = {1, 2, 3};
    static const struct rx_source here = {.family = RX_FAMILY_UNIX};
    struct rx_grant_keys keys;
    const struct rx_grant *found;
    if (rx_grants_look_up(grants, decoy_secret, kid, now, &here, &keys, &found) != RX_OK)
        abort();
    return found != NULL;
}

/* The first time, the dynamic linker has work to do. */
static _Noreturn void be_stepped(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    (void)look_up();
    (void)kill(getpid(), SIGSTOP);
    (void)look_up();
    (void)kill(getpid(), SIGSTOP);
    _exit(0);
}

/* Instructions from one SIGSTOP to the next; 0: it may not be traced here. */
static size_t count_steps(void)
{
    int status;
    size_t steps = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        be_stepped();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        return 0;
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    do {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSTOPPED(status));
        steps++;
    } while (WSTOPSIG(status) == SIGTRAP);
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    return steps;
}

static void test_same_steps(void **state)
{
    (void)state;
    if (SLOW_BUILD)
        skip();
    /* Usable ones first and last, one of each other kind, and two that are not there. */
    static const uint8_t asked[] = {0, COUNT - 4, 1, 2, 3, COUNT, 255};
    size_t steps[sizeof asked];
    fill_table();
    for (size_t i = 0; i < sizeof asked; i++) {
        kid[0] = asked[i];
        kid[1] = 1;
        assert_int_equal(look_up(), i < 2);
        steps[i] = count_steps();
    }
    rx_grants_free(grants);
    if (steps[0] == 0)
        skip();
    for (size_t i = 0; i < sizeof asked; i++)
        assert_int_equal(steps[i], steps[0]);
    print_message("%zu instructions\n", steps[0]);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
