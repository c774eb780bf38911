/* rexecd/log.c, rexecd/signal_names.c: a line is a line, and a signal has one name. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/log.h"
#include "rexecd/signal_names.h"

static int pipe_fds[2], saved_stderr;
static char line[2 * LOG_LINE_MAX];

/* stderr goes to a pipe for a while; what came is in `line`, and how much is returned. */
static void begin(void)
{
    (void)fflush(stderr);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
}

static size_t end(void)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    ssize_t n = read(pipe_fds[0], line, sizeof line - 1);
    (void)close(saved_stderr);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    line[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Every byte: one line of ASCII, and nothing is lost. (attacks: terminal escapes and newlines) */
static void test_every_byte(void **state)
{
    (void)state;
    char text[256], expected[64];
    for (unsigned byte = 1; byte < 256; byte++) {
        (void)snprintf(text, sizeof text, "a%cb", (int)byte);
        begin();
        log_error("%s", text);
        size_t n = end();
        if (byte == '\\')
            (void)snprintf(expected, sizeof expected, "rexecd: a\\\\b\n");
        else if (byte >= 0x20 && byte < 0x7f)
            (void)snprintf(expected, sizeof expected, "rexecd: a%cb\n", (int)byte);
        else
            (void)snprintf(expected, sizeof expected, "rexecd: a\\x%02xb\n", byte);
        assert_string_equal(line, expected);
        assert_int_equal(n, strlen(expected));
    }
}

/* Long ones are cut, say so, and still are one line. */
static void test_long(void **state)
{
    (void)state;
    static char text[3 * LOG_LINE_MAX];
    static const char kinds[] = {'x', '\x1b', '\\'};
    for (size_t k = 0; k < sizeof kinds; k++) {
        for (size_t n = 400; n < sizeof text; n += 7) {
            memset(text, kinds[k], n);
            text[n] = '\0';
            size_t each = kinds[k] == 'x' ? 1 : kinds[k] == '\\' ? 2 : 4;
            begin();
            log_error("%s", text);
            size_t length = end();
            assert_true(length > 0 && length <= LOG_LINE_MAX + 8);
            assert_ptr_equal(strchr(line, '\n'), line + length - 1);
            bool cut = strcmp(line + length - 4, "...\n") == 0;
            if (cut)
                assert_true(n * each + 8 + 8 >= LOG_LINE_MAX);
            else
                assert_int_equal(length, strlen("rexecd: ") + n * each + 1);
        }
    }
}

static void test_escape_bounds(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 20; cap++) {
        char out[32];
        memset(out, '#', sizeof out);
        size_t n = log_escape("a\n\\b\0c", 6, out, cap);
        static const char whole[] = "a\\x0a\\\\b\\x00c";
        assert_true(n < cap);
        assert_int_equal(strlen(out), n);
        assert_memory_equal(out, whole, n);
        assert_int_equal(out[cap], '#');
        /* Between characters only. */
        assert_true(n == 0 || n == 1 || n == 5 || n == 7 || n == 8 || n == 12 || n == 13);
        assert_int_equal(n == 13, cap > 13);
    }
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (int level = LOG_LEVEL_NONE; level <= LOG_LEVEL_DEBUG; level++) {
        log_open("test", (enum log_level)level, false);
        for (int of = LOG_LEVEL_ERROR; of <= LOG_LEVEL_DEBUG; of++) {
            begin();
            errno = 77;
            log_line((enum log_level)of, "%s %d", "x", of);
            assert_int_equal(errno, 77);
            size_t n = end();
            assert_int_equal(n > 0, of <= level);
            assert_int_equal(log_wanted((enum log_level)of), of <= level);
        }
    }
    log_open("rexecd", LOG_LEVEL_INFO, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(log_level_by_name(names[i]), i);
    assert_int_equal(log_level_by_name("Error"), -1);
    assert_int_equal(log_level_by_name(""), -1);
    assert_int_equal(log_level_by_name("err"), -1);
}

static void test_fatal(void **state)
{
    (void)state;
    int status;
    begin();
    pid_t pid = fork();
    if (pid == 0)
        fatal("it is %s", "over");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)end();
    assert_string_equal(line, "rexecd: it is over\n");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void test_signal_names(void **state)
{
    (void)state;
    char name[RX_SIGNAL_NAME_MAX + 1];
    for (int n = 1; n <= 64; n++) {
        memset(name, '#', sizeof name);
        signal_name(n, name);
        assert_int_equal(signal_number(name), n);
        assert_null(strstr(name, "SIG"));
    }
    signal_name(SIGTERM, name);
    assert_string_equal(name, "TERM");
    signal_name(SIGABRT, name);
    assert_string_equal(name, "ABRT");
    signal_name(34, name);
    assert_string_equal(name, "RT34");
    signal_name(64, name);
    assert_string_equal(name, "RT64");
}

static void test_signal_numbers(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "SIGTERM",
                                       "term",
                                       "0",
                                       "-1",
                                       "65",
                                       "015",
                                       "1x",
                                       "RT31",
                                       "RT65",
                                       "RT",
                                       "RTx",
                                       "RT-1",
                                       "15 ",
                                       " 15",
                                       "+9",
                                       "99999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (signal_number(none[i]) != 0)
            fail_msg("%s: %d", none[i], signal_number(none[i]));
    assert_int_equal(signal_number("15"), 15);
    assert_int_equal(signal_number("KILL"), SIGKILL);
    assert_int_equal(signal_number("WINCH"), SIGWINCH);
    assert_int_equal(signal_number("RT32"), 32);
    assert_int_equal(signal_number("64"), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_escape_bounds),  cmocka_unit_test(test_levels),
        cmocka_unit_test(test_fatal),          cmocka_unit_test(test_signal_names),
        cmocka_unit_test(test_signal_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
