/* rexecd/environment.c: exactly what a command's environment is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/words.h"
#include "rexecd/environment.h"

static char name[] = "bob", home[] = "/home/bob", shell[] = "/bin/zsh";

static const struct user bob = {.name = name, .home = home, .shell = shell, .uid = 1000, .gid = 7};

static const char *const all[] = {"*"};
static const char *const some[] = {"LANG", "LC_*", "A*Z", "LD_LIBRARY_PATH", "*"};

static const struct environment_policy open_policy = {.patterns = all, .pattern_count = 1};
static const struct environment_policy some_policy = {.patterns = some, .pattern_count = 4};

static bool accepts(const struct environment_policy *policy, const char *variable)
{
    return environment_accepts(policy, (const uint8_t *)variable, strlen(variable));
}

struct words {
    uint8_t bytes[RX_WORD_HEAD * 2000 + 65536];
    size_t n;
};

static void add(struct words *w, const char *variable)
{
    assert_int_equal(rx_words_add(w->bytes, sizeof w->bytes, &w->n, RX_WORD_ENVIRONMENT, variable,
                                  strlen(variable)),
                     RX_OK);
}

static void want(struct words *w, const char *variable)
{
    assert_int_equal(
        rx_words_add(w->bytes, sizeof w->bytes, &w->n, RX_WORD_WANTED, variable, strlen(variable)),
        RX_OK);
}

static enum environment_result build(struct environment *e, const struct environment_policy *policy,
                                     const struct words *w, struct environment_name *which)
{
    return environment_build(e, policy, &bob, "192.0.2.1 5", NULL, w->bytes, w->n, which);
}

static void expect(const struct environment *e, const char *const variables[], size_t n)
{
    assert_int_equal(e->count, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(e->variables[i], variables[i]);
    assert_null(e->variables[n]);
}

/* Nothing of this process's own. */
static void test_base(void **state)
{
    (void)state;
    struct environment e;
    struct environment_name which;
    static struct words w;
    const char *const variables[] = {
        "HOME=/home/bob",
        "USER=bob",
        "LOGNAME=bob",
        "SHELL=/bin/zsh",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "REXEC_CONNECTION=192.0.2.1 5",
    };
    w.n = 0;
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_OK);
    expect(&e, variables, 6);
    assert_string_equal(environment_get(&e, "PATH"), "/usr/local/bin:/usr/bin:/bin");
    assert_null(environment_get(&e, "PAT"));
    environment_free(&e);
    const struct environment_policy path = {.path = "/opt"};
    assert_int_equal(build(&e, &path, &w, &which), ENVIRONMENT_OK);
    assert_string_equal(environment_get(&e, "PATH"), "/opt");
    environment_free(&e);
    struct user root = bob;
    root.uid = 0;
    assert_int_equal(
        environment_build(&e, &open_policy, &root, "unix 0", "orig", w.bytes, 0, &which),
        ENVIRONMENT_OK);
    assert_non_null(strstr(environment_get(&e, "PATH"), "/sbin"));
    assert_string_equal(environment_get(&e, "REXEC_ORIGINAL_COMMAND"), "orig");
    environment_free(&e);
}

static void test_client(void **state)
{
    (void)state;
    struct environment e;
    struct environment_name which;
    static struct words w;
    w.n = 0;
    add(&w, "A=1");
    add(&w, "B=");
    add(&w, "A=2=3 \xff\n");
    add(&w, "HOME=/elsewhere");
    add(&w, "AA=x");
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_OK);
    const char *const variables[] = {
        "HOME=/elsewhere",
        "USER=bob",
        "LOGNAME=bob",
        "SHELL=/bin/zsh",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "REXEC_CONNECTION=192.0.2.1 5",
        "A=2=3 \xff\n",
        "B=",
        "AA=x",
    };
    expect(&e, variables, 9);
    environment_free(&e);
    add(&w, "LD_PRELOAD=/tmp/x.so");
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_NOT_ACCEPTED);
    assert_int_equal(which.n, 10);
    assert_memory_equal(which.bytes, "LD_PRELOAD", 10);
}

/* What may be dropped is, in silence, wherever a strict variable would be refused, or is not even
 * one; and it never takes the place of the server's own. */
static void test_wanted(void **state)
{
    (void)state;
    struct environment e;
    struct environment_name which;
    static struct words w;
    w.n = 0;
    want(&w, "LD_PRELOAD=/tmp/x.so");
    want(&w, "BASH_ENV=/tmp/x");
    want(&w, "USER=eve");
    want(&w, "HOME=/elsewhere");
    want(&w, "PATH=/elsewhere");
    want(&w, "REXEC_CONNECTION=x");
    want(&w, "");
    want(&w, "=");
    want(&w, "=x");
    want(&w, "NONE");
    want(&w, "LANG=C.UTF-8");
    want(&w, "A=1");
    want(&w, "A=2");
    want(&w, "B=1");
    add(&w, "B=2");
    want(&w, "C=");
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_OK);
    const char *const variables[] = {
        "HOME=/home/bob",
        "USER=bob",
        "LOGNAME=bob",
        "SHELL=/bin/zsh",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "REXEC_CONNECTION=192.0.2.1 5",
        "LANG=C.UTF-8",
        "A=2",
        "B=2",
        "C=",
    };
    expect(&e, variables, 10);
    environment_free(&e);
    const struct environment_policy nothing = {0};
    w.n = 0;
    want(&w, "LANG=C.UTF-8");
    assert_int_equal(build(&e, &nothing, &w, &which), ENVIRONMENT_OK);
    expect(&e, variables, 6);
    environment_free(&e);
}

static void test_patterns(void **state)
{
    (void)state;
    assert_true(accepts(&some_policy, "LANG"));
    assert_false(accepts(&some_policy, "LANGUAGE"));
    assert_false(accepts(&some_policy, "LAN"));
    assert_true(accepts(&some_policy, "LC_"));
    assert_true(accepts(&some_policy, "LC_ALL"));
    assert_true(accepts(&some_policy, "AZ"));
    assert_true(accepts(&some_policy, "AZZZ"));
    assert_true(accepts(&some_policy, "AxZyZ"));
    assert_false(accepts(&some_policy, "AZx"));
    assert_false(accepts(&some_policy, ""));
    const struct environment_policy nothing = {0};
    assert_false(accepts(&nothing, "LANG"));
}

/* By its very name only, and what is ours never. */
static void test_dangerous(void **state)
{
    (void)state;
    const char *const never[] = {"USER", "LOGNAME", "SHELL", "REXEC_CONNECTION",
                                 "REXEC_ORIGINAL_COMMAND"};
    const char *const by_name[] = {"LD_PRELOAD", "LD_",        "BASH_ENV",       "ENV",
                                   "IFS",        "SHELLOPTS",  "BASH_FUNC_x%%",  "PYTHONSTARTUP",
                                   "PERL5OPT",   "GCONV_PATH", "GLIBC_TUNABLES", "NODE_OPTIONS",
                                   "PS4"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        const struct environment_policy policy = {.patterns = &never[i], .pattern_count = 1};
        assert_false(accepts(&open_policy, never[i]));
        assert_false(accepts(&policy, never[i]));
    }
    for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++) {
        const char *const prefix[] = {"L*", "B*", "P*"};
        const struct environment_policy policy = {.patterns = &by_name[i], .pattern_count = 1};
        const struct environment_policy wide = {.patterns = prefix, .pattern_count = 3};
        assert_false(accepts(&open_policy, by_name[i]));
        assert_false(accepts(&wide, by_name[i]));
        assert_true(accepts(&policy, by_name[i]));
    }
    const char *const almost[] = {"LD_PRELOA?", "?S4"};
    const struct environment_policy one_open = {.patterns = almost, .pattern_count = 2};
    assert_false(accepts(&one_open, "LD_PRELOAD"));
    assert_false(accepts(&one_open, "PS4"));
    assert_true(accepts(&one_open, "AS4"));
    assert_true(accepts(&some_policy, "LD_LIBRARY_PATH"));
}

/* With a forced command `*` is not enough. */
static void test_forced(void **state)
{
    (void)state;
    struct environment_policy policy = open_policy;
    policy.forced = true;
    assert_true(accepts(&policy, "LANG"));
    assert_true(accepts(&policy, "LC_TIME"));
    assert_true(accepts(&policy, "TERM"));
    assert_false(accepts(&policy, "PATH"));
    assert_false(accepts(&policy, "HOME"));
    assert_false(accepts(&policy, "ANYTHING"));
    policy.patterns = some;
    policy.pattern_count = 5;
    assert_true(accepts(&policy, "AZ"));
    assert_false(accepts(&policy, "BZ"));
    const char *const nameless[] = {"**", "?*"};
    policy.patterns = nameless;
    policy.pattern_count = 2;
    assert_false(accepts(&policy, "PATH"));
}

static void test_too_many(void **state)
{
    (void)state;
    struct environment e;
    struct environment_name which;
    static struct words w;
    w.n = 0;
    for (int i = 0; i < ENVIRONMENT_MAX + 1; i++) {
        char variable[32];
        (void)snprintf(variable, sizeof variable, "V%d=1", i);
        add(&w, variable);
    }
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_TOO_MANY);
}

/* Too many that may be dropped are; those that may not are all there, wherever they stand. */
static void test_too_many_wanted(void **state)
{
    (void)state;
    struct environment e;
    struct environment_name which;
    static struct words w;
    w.n = 0;
    for (int i = 0; i < ENVIRONMENT_MAX + 100; i++) {
        char variable[32];
        (void)snprintf(variable, sizeof variable, "V%d=1", i);
        want(&w, variable);
    }
    add(&w, "LAST=1");
    assert_int_equal(build(&e, &open_policy, &w, &which), ENVIRONMENT_OK);
    assert_true(e.count <= ENVIRONMENT_MAX);
    assert_true(e.count > ENVIRONMENT_MAX - 20);
    assert_string_equal(environment_get(&e, "LAST"), "1");
    assert_string_equal(environment_get(&e, "V0"), "1");
    environment_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),     cmocka_unit_test(test_client),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_dangerous),
        cmocka_unit_test(test_forced),   cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_wanted),   cmocka_unit_test(test_too_many_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
