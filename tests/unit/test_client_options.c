/* rexec/options.c: the grammar of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rexec/options.h"

enum { WORDS_MAX = 16 };

/* A command line, and what it is read as. */
struct line {
    const char *words[WORDS_MAX];
    const char *host, *port, *user, *key;
    const char *command[WORDS_MAX];
};

static char *text_of(const char *word)
{
    union {
        const char *in;
        char *out;
    } u = {.in = word};
    return u.out;
}

static bool parse(struct options *o, const char *const *words, char *error)
{
    static char *argv[WORDS_MAX + 2];
    int argc = 0;
    argv[argc++] = text_of("rexec");
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++)
        argv[argc++] = text_of(words[i]);
    argv[argc] = NULL;
    return options_parse(o, argc, argv, error);
}

static void expect_text(const char *got, const char *expected, const char *what)
{
    if (got == NULL ? expected != NULL : expected == NULL || strcmp(got, expected) != 0) {
        fail_msg("%s is %s, not %s", what, got != NULL ? got : "(none)",
                 expected != NULL ? expected : "(none)");
    }
}

static const struct line lines[] = {
    {{"h"}, "h", NULL, NULL, NULL, {NULL}},
    {{"h", "ls", "-l"}, "h", NULL, NULL, NULL, {"ls", "-l"}},
    {{"u@h", "ls"}, "h", NULL, "u", NULL, {"ls"}},
    {{"u@x@h", "ls"}, "h", NULL, "u@x", NULL, {"ls"}},
    {{"-l", "u", "h", "ls"}, "h", NULL, "u", NULL, {"ls"}},
    {{"-lu", "h", "ls"}, "h", NULL, "u", NULL, {"ls"}},
    {{"-lu", "-l", "v", "w@h"}, "h", NULL, "u", NULL, {NULL}},
    {{"-p7", "h"}, "h", "7", NULL, NULL, {NULL}},
    {{"-p", "7", "h"}, "h", "7", NULL, NULL, {NULL}},
    {{"-nqTp7", "h", "x"}, "h", "7", NULL, NULL, {"x"}},
    {{"-nqTp", "7", "h", "x"}, "h", "7", NULL, NULL, {"x"}},
    {{"h", "-p", "7", "x", "-p", "8"}, "h", "7", NULL, NULL, {"x", "-p", "8"}},
    {{"h", "-n", "-oPort=7", "x"}, "h", "7", NULL, NULL, {"x"}},
    {{"h", "--", "-x"}, "h", NULL, NULL, NULL, {"-x"}},
    {{"--", "h", "-x"}, "h", NULL, NULL, NULL, {"-x"}},
    {{"-p7", "--", "u@h", "--", "x"}, "h", "7", "u", NULL, {"--", "x"}},
    {{"h", "-p7", "--", "--", "x"}, "h", "7", NULL, NULL, {"--", "x"}},
    {{"h", "-"}, "h", NULL, NULL, NULL, {"-"}},
    {{"-oPort=7", "h"}, "h", "7", NULL, NULL, {NULL}},
    {{"-o", "Port 7", "h"}, "h", "7", NULL, NULL, {NULL}},
    {{"-o", " pOrT  =  7 ", "h"}, "h", "7", NULL, NULL, {NULL}},
    {{"-o", "User=\"a b\"", "h"}, "h", NULL, "a b", NULL, {NULL}},
    {{"-oIdentityFile=/k", "h"}, "h", NULL, NULL, "/k", {NULL}},
    {{"-i", "/k", "-i", "/l", "h"}, "h", NULL, NULL, "/k", {NULL}},
    {{"-oForwardX11=no", "-oPermitLocalCommand no", "-oNope", "=1", "h"},
     NULL,
     NULL,
     NULL,
     NULL,
     {NULL}},
    {{"-oForwardX11=no", "-oPermitLocalCommand no", "h", "x"}, "h", NULL, NULL, NULL, {"x"}},
    {{"--exec", "h", "x", "--exec"}, "h", NULL, NULL, NULL, {"x", "--exec"}},
    {{"run", "ping", "x"}, "ping", NULL, NULL, NULL, {"x"}},
    {{"run", "-p7", "run", "run"}, "run", "7", NULL, NULL, {"run"}},
    {{"unix:/a@b", "x"}, "unix:/a@b", NULL, NULL, NULL, {"x"}},
    {{"u@unix:/a@b", "x"}, "unix:/a@b", NULL, "u", NULL, {"x"}},
    {{"[::1]"}, "::1", NULL, NULL, NULL, {NULL}},
    {{"h", "", ""}, "h", NULL, NULL, NULL, {"", ""}},
    {{"h", ""}, "h", NULL, NULL, NULL, {NULL}},
    {{"--exec", "h", ""}, "h", NULL, NULL, NULL, {""}},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct line *l = &lines[i];
        struct options o;
        char error[OPTIONS_ERROR_MAX];
        bool good = parse(&o, l->words, error);
        if (good != (l->host != NULL))
            fail_msg("line %zu: %s", i, error);
        if (good) {
            expect_text(o.host, l->host, "host");
            expect_text(settings_get(&o.settings, SETTING_PORT), l->port, "port");
            expect_text(settings_get(&o.settings, SETTING_USER), l->user, "user");
            expect_text(settings_get(&o.settings, SETTING_KEY), l->key, "key");
            for (size_t w = 0; w < WORDS_MAX && l->command[w] != NULL; w++)
                expect_text(w < o.word_count ? o.words[w] : NULL, l->command[w], "word");
            assert_true(o.word_count == WORDS_MAX || l->command[o.word_count] == NULL);
        }
        options_clear(&o);
    }
}

static void test_flags(void **state)
{
    (void)state;
    static const char *const words[] = {
        "-46nvv", "--json", "--env=A=b", "--env", "B=",         "--cwd", "/d",     "--timeout",
        "1.5",    "h",      "--label",   "l",     "--encoding", "GBK",   "-Fnone", "x"};
    struct options o;
    char error[OPTIONS_ERROR_MAX];
    if (!parse(&o, words, error))
        fail_msg("%s", error);
    assert_int_equal(o.verb, VERB_RUN);
    assert_int_equal(o.family, AF_INET6);
    assert_true(o.no_stdin && !o.quiet && o.json && !o.exec);
    assert_int_equal(o.verbose, 2);
    assert_int_equal(o.environment.count, 2);
    assert_string_equal(o.environment.list[0], "A=b");
    assert_string_equal(o.environment.list[1], "B=");
    assert_string_equal(o.directory, "/d");
    assert_string_equal(o.label, "l");
    assert_string_equal(o.encoding, "GBK");
    assert_string_equal(o.config, "none");
    assert_int_equal(o.timeout_ms, 1500);
    options_clear(&o);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const refused[][WORDS_MAX] = {
        {NULL},
        {"-p"},
        {"-p", "7"},
        {"-p", "0", "h"},
        {"-p", "65536", "h"},
        {"-p", "7x", "h"},
        {"-l", "", "h"},
        {"-H", "h"},
        {"-nH", "h"},
        {"--nope", "h"},
        {"--json=1", "h"},
        {"--env", "x", "h"},
        {"--env", "=x", "h"},
        {"--cwd", "", "h"},
        {"--label", "", "h"},
        {"--timeout", "0", "h"},
        {"--timeout", "1.2345", "h"},
        {"--timeout", "-1", "h"},
        {"--timeout", "", "h"},
        {"--timeout", "99999999999999999999", "h"},
        {"--as-completed", "h"}, /* batch's */
        {"--count", "1", "h"},
        {"-o", "Port", "h"},
        {"-o", "=7", "h"},
        {"-oConnectTimeout=-1", "h"},
        {"-oConnectTimeout=x", "h"},
        {"-oSuite=rot13", "h"},
        {"u@"},
        {"u@-x"},
        {"--", "-x"},
        {"ping"},
        {"ping", "-c", "0", "h"},
        {"batch", "-j", "x", "h"},
        {"batch", "--exec", "h"},
        {"grant", "--max-commands", "65536", "k", "n"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct options o;
        char error[OPTIONS_ERROR_MAX];
        if (parse(&o, refused[i], error))
            fail_msg("line %zu was taken", i);
        assert_int_not_equal(error[0], '\0');
        options_clear(&o);
    }
}

static void test_verbs(void **state)
{
    (void)state;
    static const struct {
        const char *words[WORDS_MAX];
        enum verb verb;
        size_t count;
    } verbs[] = {
        {{"keygen", "k", "-C", "me"}, VERB_KEYGEN, 1},
        {{"keygen"}, VERB_KEYGEN, 0},
        {{"keygen", "--", "-C"}, VERB_KEYGEN, 1},
        {{"grant", "k", "--user", "a", "n", "--from", "unix"}, VERB_GRANT, 2},
        {{"ping", "-c3", "h"}, VERB_PING, 0},
        {{"batch", "-j", "4", "h"}, VERB_BATCH, 0},
        {{"help"}, VERB_HELP, 0},
        {{"--help"}, VERB_HELP, 0},
        {{"-V"}, VERB_SSH_VERSION, 0},
        {{"-V", "-H", "nonsense"}, VERB_SSH_VERSION, 0},
        {{"-Q", "cipher"}, VERB_QUERY, 0},
        {{"-Ocheck", "h"}, VERB_CONTROL, 0},
        {{"--version"}, VERB_VERSION, 0},
        {{"h", "--version"}, VERB_VERSION, 0},
        {{"h", "x", "--version"}, VERB_RUN, 2},
    };
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        struct options o;
        char error[OPTIONS_ERROR_MAX];
        if (!parse(&o, verbs[i].words, error))
            fail_msg("line %zu: %s", i, error);
        assert_int_equal(o.verb, verbs[i].verb);
        assert_int_equal(o.word_count, verbs[i].count);
        options_clear(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
