/* rexec/settings.c, rexec/config.c: settings, and the file they may stand in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rexec/settings.h"
#include "rexec/signals.h"

static char path[] = "/tmp/rexec-settings-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(setting_by_name("Port", 4), SETTING_PORT);
    assert_int_equal(setting_by_name("IDENTITYFILE", 12), SETTING_KEY);
    assert_int_equal(setting_by_name("key", 3), SETTING_KEY);
    assert_int_equal(setting_by_name("hostkeyalias", 12), SETTING_NAME);
    assert_int_equal(setting_by_name("por", 3), SETTING_COUNT);
    assert_int_equal(setting_by_name("", 0), SETTING_COUNT);
}

static void test_ranks(void **state)
{
    (void)state;
    struct settings s = {0};
    char error[SETTING_ERROR_MAX];
    assert_true(settings_set(&s, SETTING_USER, RANK_ALL, "all", error));
    assert_true(settings_set(&s, SETTING_USER, RANK_PATTERN, "pattern", error));
    assert_true(settings_set(&s, SETTING_USER, RANK_PATTERN, "second", error));
    assert_string_equal(settings_get(&s, SETTING_USER), "pattern");
    assert_true(settings_set(&s, SETTING_USER, RANK_HOST, "host", error));
    assert_true(settings_set(&s, SETTING_USER, RANK_FLAG, "flag", error));
    assert_true(settings_set(&s, SETTING_USER, RANK_ALL, "all", error));
    assert_string_equal(settings_get(&s, SETTING_USER), "flag");
    assert_null(settings_get(&s, SETTING_PORT));
    settings_clear(&s);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        enum setting which;
        const char *value;
        bool good;
    } values[] = {
        {SETTING_PORT, "1", true},
        {SETTING_PORT, "65535", true},
        {SETTING_PORT, "65536", false},
        {SETTING_PORT, "0", false},
        {SETTING_PORT, "rexec", true},
        {SETTING_PORT, "-1", false},
        {SETTING_PORT, "", false},
        {SETTING_TIMEOUT, "1", true},
        {SETTING_TIMEOUT, "0", true},
        {SETTING_TIMEOUT, "1s", true},
        {SETTING_TIMEOUT, "1x", false},
        {SETTING_TIMEOUT, "", false},
        {SETTING_BATCH_MODE, "Yes", true},
        {SETTING_BATCH_MODE, "maybe", false},
        {SETTING_SUITE, "aes256gcm", true},
        {SETTING_SUITE, "AES", false},
        {SETTING_NAME, "", false},
        {SETTING_NAME, "x", true},
        {SETTING_TIMEOUT, "none", true},
        {SETTING_TIMEOUT, "1h2m3s", true},
        {SETTING_TIMEOUT, "1h2m3", true},
        {SETTING_TIMEOUT, "-1", false},
        {SETTING_TIMEOUT, "1 2", false},
        {SETTING_TIMEOUT, "s", false},
        {SETTING_TIMEOUT, "99999999999999999999", false},
        {SETTING_TIMEOUT, "52w", true},
        {SETTING_TIMEOUT, "53w", false},
        {SETTING_BATCH_MODE, "true", true},
        {SETTING_BATCH_MODE, "1", false},
        {SETTING_REQUEST_TTY, "auto", true},
        {SETTING_REQUEST_TTY, "FORCE", true},
        {SETTING_REQUEST_TTY, "yess", false},
        {SETTING_SESSION_TYPE, "none", true},
        {SETTING_SESSION_TYPE, "shell", false},
        {SETTING_LOG_LEVEL, "Debug3", true},
        {SETTING_LOG_LEVEL, "DEBUG4", false},
        {SETTING_ESCAPE_CHAR, "none", true},
        {SETTING_ESCAPE_CHAR, "~", true},
        {SETTING_ESCAPE_CHAR, "^]", true},
        {SETTING_ESCAPE_CHAR, "^", true},
        {SETTING_ESCAPE_CHAR, "xx", false},
        {SETTING_FAMILY, "inet6", true},
        {SETTING_FAMILY, "inet4", false},
        {SETTING_ALIVE_COUNT, "0", true},
        {SETTING_ALIVE_COUNT, "-1", false},
        {SETTING_SEND_ENV, "A* -B ?", true},
        {SETTING_SEND_ENV, "A=1", false},
        {SETTING_SET_ENV, "A=1 B=", true},
        {SETTING_SET_ENV, "A", false},
        {SETTING_SET_ENV, "=1", false},
        {SETTING_SET_ENV, "A=1 B", false},
        {SETTING_SET_ENV, "A=\"1 2\"", true},
        {SETTING_SET_ENV, "A=\"1", false},
        {SETTING_REMOTE_COMMAND, "", false},
        {SETTING_REMOTE_COMMAND, "\"a\"", true},
        {SETTING_USER, "", false},
        {SETTING_USER, "a", true},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct settings s = {0};
        char error[SETTING_ERROR_MAX] = "";
        bool good = settings_set(&s, values[i].which, RANK_FLAG, values[i].value, error);
        if (good != values[i].good)
            fail_msg("%zu: %s", i, values[i].value);
        assert_true(good || error[0] != '\0');
        settings_clear(&s);
    }
}

static const char *loaded_port(struct settings *s, const char *host)
{
    char error[512] = "";
    settings_clear(s);
    if (!settings_load(s, path, false, host, error, sizeof error))
        fail_msg("%s", error);
    return settings_get(s, SETTING_PORT);
}

static void test_file(void **state)
{
    (void)state;
    struct settings s = {0};
    write_file("# comment\n; another\n[*]\nport = 1\nuser = all\n\n[lab*]\nport=2\n"
               "[lab1?]\nport=3\n[Lab12]\nPORT = 4\n");
    assert_string_equal(loaded_port(&s, "else"), "1");
    assert_string_equal(loaded_port(&s, "lab9"), "2");
    assert_string_equal(loaded_port(&s, "lab11"), "2"); /* the first of two patterns */
    assert_string_equal(loaded_port(&s, "LAB12"), "4");
    assert_string_equal(settings_get(&s, SETTING_USER), "all");
    /* Indented as ssh's is: no line is a part of the one before. */
    write_file("[*]\n    user = all\n\tport = 5\n  [lab]\n  port = 6");
    assert_string_equal(loaded_port(&s, "else"), "5");
    assert_string_equal(settings_get(&s, SETTING_USER), "all");
    assert_string_equal(loaded_port(&s, "lab"), "6");
    settings_clear(&s);
    write_file("[*] ; all\n; a ; b\n # c ; d\nremotecommand = a; b;c\n"
               "port = 7 ; \"the\" port\n");
    assert_string_equal(loaded_port(&s, "h"), "7");
    assert_string_equal(settings_get(&s, SETTING_REMOTE_COMMAND), "a; b;c");
    settings_clear(&s);
}

/* What is too long is not cut in two: its rest could be a setting. */
static void test_long_lines(void **state)
{
    (void)state;
    struct settings s = {0};
    char text[1024];
    char error[512] = "";
    for (int n = 150; n < 420; n++) {
        (void)snprintf(text, sizeof text, "[*]\nuser = a\n#%*s port = 7\nport = 8\n", n, "");
        write_file(text);
        bool good = settings_load(&s, path, false, "h", error, sizeof error);
        if (good)
            assert_string_equal(settings_get(&s, SETTING_PORT), "8");
        else
            assert_non_null(strstr(error, ":3: a line has at most "));
        assert_true(good == (n + 10 <= 198));
        settings_clear(&s);
    }
}

static void expect_refused(const char *text, const char *what)
{
    struct settings s = {0};
    char error[512] = "";
    write_file(text);
    if (settings_load(&s, path, true, "h", error, sizeof error))
        fail_msg("taken: %s", text);
    if (strncmp(error, path, strlen(path)) != 0 || strstr(error, what) == NULL)
        fail_msg("%s, not %s", error, what);
    settings_clear(&s);
}

static void test_file_refused(void **state)
{
    (void)state;
    expect_refused("[*]\nport = 0\n", ":2: port: 0:");
    expect_refused("[*]\nport = 1\n[other]\nport = 0\n", ":4: port: 0:");
    expect_refused("[*]\n\nprot = 1\n", ":3: there is no setting prot");
    expect_refused("port = 1\n", ":1: a section must come first");
    expect_refused("[*]\nword\n", ":2: neither");
    /* Nothing is cut off in silence. */
    static const char *const cut[] = {
        "remotecommand = a ; b", "RemoteCommand: a\t;", "proxycommand = ;x", "setenv = A=1 ;B=2",
        "sendenv = A ;B",        "  user = \"a ;b\"",   "name = 'a ;b'",
    };
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "[*]\n%s\n", cut[i]);
        expect_refused(text, ":2: a ; behind a space begins a comment");
    }
    struct settings s = {0};
    char error[512] = "";
    write_file("[*]\n");
    assert_int_equal(chmod(path, 0666), 0);
    assert_false(settings_load(&s, path, true, "h", error, sizeof error));
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(settings_load(&s, "/no/such/file", true, "h", error, sizeof error));
    assert_false(settings_load(&s, "/no/such/file", false, "h", error, sizeof error));
    assert_false(settings_load(&s, "/", false, "h", error, sizeof error));
    assert_string_equal(error, "/: Is a directory");
}

static void test_signals(void **state)
{
    (void)state;
    assert_int_equal(signal_number("KILL"), 9);
    assert_int_equal(signal_number("TERM"), 15);
    assert_int_equal(signal_number("RT34"), 34);
    assert_int_equal(signal_number("34"), 34);
    assert_int_equal(signal_number("RT"), 0);
    assert_int_equal(signal_number(""), 0);
    assert_int_equal(signal_number("999"), 0);
    assert_int_equal(signal_number("64"), 64);
    assert_int_equal(signal_number("1"), 1);
    static const char *const none[] = {"65",
                                       "0",
                                       "+9",
                                       "-9",
                                       " 9",
                                       "9 ",
                                       "0x9",
                                       "9a",
                                       "FOO",
                                       "RT+34",
                                       "RT65",
                                       "4294967305",
                                       "99999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(signal_number(none[i]), 0);
    assert_string_equal(signal_name(2), "INT");
    assert_null(signal_name(64));
    for (int i = 1; i < 32; i++)
        assert_int_equal(signal_number(signal_name(i)), i);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused), cmocka_unit_test(test_signals),
        cmocka_unit_test(test_long_lines),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
