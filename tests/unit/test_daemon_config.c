/* rexecd/config.c: defaults, files, flags, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "rexecd/config.h"

static struct config config;
static char error[CONFIG_ERROR_MAX];

static int setup(void **state)
{
    (void)state;
    error[0] = '\0';
    return config_init(&config);
}

static int teardown(void **state)
{
    (void)state;
    config_free(&config);
    return 0;
}

static int parse(const char *text)
{
    return config_parse(&config, text, strlen(text), error);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(config_complete(&config, error), 0);
    assert_int_equal(config.max_connections, 20000);
    assert_int_equal(config.handshake_timeout, 10000);
    assert_int_equal(config.listen.count, 1);
    assert_string_equal(config.listen.items[0], "*:7512");
    assert_int_equal(config.accept_env.count, 1);
    assert_string_equal(config.accept_env.items[0], "*");
    assert_false(config.readable);
    assert_true(config.cgroups);
    assert_null(config.user);
    assert_true(strlen(config.server_name) > 0);
}

static void test_file(void **state)
{
    (void)state;
    assert_int_equal(parse("# a comment\n; another\n"
                           "listen = 127.0.0.1:1 [::1]:2\n"
                           "listen = unix:/tmp/s ; behind the value\n"
                           "[rexecd]\n"
                           "name = LAB-01\nkill_grace = 0.25\nreadable = yes\r\n"
                           "accept_env = LANG\n   LC_*\n"),
                     0);
    assert_int_equal(config_complete(&config, error), 0);
    assert_int_equal(config.listen.count, 3);
    assert_string_equal(config.listen.items[1], "[::1]:2");
    assert_string_equal(config.listen.items[2], "unix:/tmp/s");
    assert_string_equal(config.server_name, "lab-01");
    assert_int_equal(config.kill_grace, 250);
    assert_true(config.readable);
    assert_int_equal(config.accept_env.count, 2);
    assert_string_equal(config.accept_env.items[1], "LC_*");
}

static void test_wrong_files(void **state)
{
    (void)state;
    static char overlong[300];
    memset(overlong, 'x', sizeof overlong - 1);
    memcpy(overlong, "name = ", 7); // NOLINT(bugprone-not-null-terminated-result)
    const struct {
        const char *text, *error;
    } cases[] = {
        {"listen = a:1\nnonsense = 1\n", "2: nonsense: unknown key"},
        {"[other]\nname = x\n", "2: [other]: unknown section"},
        {"name = a\nname = b\n", "2: name: given twice"},
        {"just words\n", "1: not `key = value`"},
        {"max_commands = 0\n", "1: max_commands: give a number from 1 to 65535"},
        {"max_commands = 65536\n", "1: max_commands: give"},
        {"max_commands = 1.5\n", "1: max_commands: give"},
        {"max_commands = -1\n", "1: max_commands: give"},
        {"max_commands =\n", "1: max_commands: give"},
        {"max_commands = 99999999999999999999\n", "1: max_commands: give"},
        {"drain = 1.2345\n", "1: drain: give seconds"},
        {"drain = .5\n", "1: drain: give seconds"},
        {"drain = 1..5\n", "1: drain: give seconds"},
        {"readable = maybe\n", "1: readable: give yes or no"},
        {overlong, "1: longer than 190 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        config_free(&config);
        assert_int_equal(config_init(&config), 0);
        assert_int_equal(parse(cases[i].text), -1);
        if (strncmp(error, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%s: got %s", cases[i].text, error);
    }
    assert_int_equal(config_parse(&config, "name = a\0b\n", 11, error), -1);
}

static enum config_result flags(const char *const words[])
{
    int argc = 0;
    while (words[argc] != NULL)
        argc++;
    config_free(&config);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): main's argv is not const, and not written to
    return config_read(&config, argc, (char *const *)(uintptr_t)words, error);
}

/* Flags count more than the file, wherever -f stands; lists are replaced, not added to. */
static void test_flags(void **state)
{
    (void)state;
    char path[] = "/tmp/rexec-test-config.XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "listen = a:1\nlisten = b:2\nname = file\ndrain = 3\n";
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
    const char *const words[] = {
        "rexecd",         "--listen", "c:3",     "--name=flag", "--listen=d:4", "-f", path,
        "--max-commands", "9",        "--check", NULL};
    assert_int_equal(flags(words), CONFIG_RUN);
    assert_int_equal(config.listen.count, 2);
    assert_string_equal(config.listen.items[0], "c:3");
    assert_string_equal(config.listen.items[1], "d:4");
    assert_string_equal(config.name, "flag");
    assert_int_equal(config.drain, 3000);
    assert_int_equal(config.max_commands, 9);
    assert_true(config.check);
    (void)unlink(path);
    assert_int_equal(flags(words), CONFIG_WRONG);
    assert_non_null(strstr(error, path));
}

static void test_wrong_flags(void **state)
{
    (void)state;
    const char *const cases[][5] = {
        {"rexecd", "-f", "/dev/null", "--nonsense", "1"},
        {"rexecd", "-f", "/dev/null", "--name", NULL},
        {"rexecd", "-f", "/dev/null", "words", NULL},
        {"rexecd", "-f", "/dev/null", "--", NULL},
        {"rexecd", "-f", NULL, NULL, NULL},
        {"rexecd", "-f", "/dev/null", "--log=loud", NULL},
        {"rexecd", "-f", "/dev/null", "--name=a b", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *words[6] = {NULL};
        memcpy(words, cases[i], sizeof cases[i]);
        error[0] = '\0';
        assert_int_equal(flags(words), CONFIG_WRONG);
        assert_true(strlen(error) > 0);
    }
    const char *const help[] = {"rexecd", "-f", "/no/such/file", "--help", NULL};
    assert_int_equal(flags(help), CONFIG_HELP);
    const char *const version[] = {"rexecd", "-f", "/dev/null", "--version", NULL};
    assert_int_equal(flags(version), CONFIG_VERSION);
}

static char *read_file(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

/* Every key is in --help and in the man page. */
static void test_documented(void **state)
{
    (void)state;
    static const char *const keys[] = {
#define X(name, kind, initial, min, max, help) #name,
#include "rexecd/config.def"
#undef X
    };
    const char *page = read_file(REXEC_SOURCE_DIR "/docs/man/rexecd.conf.5");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char item[64], flag[64];
        (void)snprintf(item, sizeof item, ".It Cm %s ", keys[i]);
        (void)snprintf(flag, sizeof flag, "  --%s ", keys[i]);
        for (char *p = flag; *p != '\0'; p++)
            if (*p == '_')
                *p = '-';
        if (strstr(page, item) == NULL)
            fail_msg("rexecd.conf.5 does not say what %s is", keys[i]);
        if (strstr(config_usage(), flag) == NULL)
            fail_msg("--help does not name %s", keys[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_flags, setup, teardown),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
