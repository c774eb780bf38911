/*
 * Rows of command lines, as programs call ssh, and what they come to. A row's words stand between
 * bars.
 */
#ifndef REXEC_TESTS_ARGV_ROWS_H
#define REXEC_TESTS_ARGV_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rexec/options.h"

enum { WORDS_MAX = 64, TEXT_MAX = 4096 };

struct row {
    const char *line;
    const char *expected; /* as tell() has it; "!" and a part of the error */
};

static char text[TEXT_MAX];
static size_t used;

static void say(const char *name, const char *value)
{
    int n = snprintf(text + used, sizeof text - used, "%s%s:%s", used > 0 ? " " : "", name, value);
    used += n > 0 ? (size_t)n : 0;
}

static void say_setting(const struct options *o, const char *name, enum setting which)
{
    const char *value = settings_get(&o->settings, which);
    if (value != NULL)
        say(name, value);
}

static void say_words(const char *name, const char *const *words, size_t count)
{
    char all[TEXT_MAX] = "";
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? "|" : "", words[i]);
    if (count > 0)
        say(name, all);
}

/* What is not as if nothing had been said. */
static void tell(const struct options *o)
{
    static const char *const terminals[] = {"auto", "no", "yes", "force"};
    static const char *const sessions[] = {"command", "none", "subsystem"};
    used = 0;
    text[0] = '\0';
    say("host", o->host != NULL ? o->host : "");
    say_setting(o, "user", SETTING_USER);
    say_setting(o, "port", SETTING_PORT);
    say_setting(o, "key", SETTING_KEY);
    say_setting(o, "name", SETTING_HOSTNAME);
    say_setting(o, "alias", SETTING_NAME);
    say_setting(o, "timeout", SETTING_TIMEOUT);
    say_setting(o, "batch", SETTING_BATCH_MODE);
    say_setting(o, "alive", SETTING_ALIVE_INTERVAL);
    say_setting(o, "send", SETTING_SEND_ENV);
    say_setting(o, "set", SETTING_SET_ENV);
    say_setting(o, "escape", SETTING_ESCAPE_CHAR);
    say_setting(o, "remote", SETTING_REMOTE_COMMAND);
    say_setting(o, "bind", SETTING_BIND_ADDRESS);
    if (o->config != NULL)
        say("config", o->config);
    if (o->log_file != NULL)
        say("log", o->log_file);
    if (o->family != AF_UNSPEC)
        say("family", o->family == AF_INET ? "4" : "6");
    if (o->tty != TTY_AUTO)
        say("tty", terminals[o->tty]);
    if (o->session != SESSION_COMMAND)
        say("session", sessions[o->session]);
    if (o->verbose > 0)
        say("verbose", o->verbose == 1 ? "1" : o->verbose == 2 ? "2" : "3");
    if (o->quiet)
        say("quiet", "");
    if (o->no_stdin)
        say("null", "");
    if (o->background)
        say("background", "");
    if (o->show)
        say("show", "");
    say_words("run", (const char *const *)o->words, o->word_count);
}

/* The words of a row, behind the program's name. */
static int split(char *copy, const char *line, const char *program, char *argv[static WORDS_MAX])
{
    static char name[64];
    int argc = 0;
    (void)snprintf(name, sizeof name, "%s", program);
    (void)snprintf(copy, TEXT_MAX, "%s", line);
    argv[argc++] = name;
    for (char *p = copy; p != NULL && argc < WORDS_MAX - 1;) {
        char *bar = strchr(p, '|');
        if (bar != NULL)
            *bar++ = '\0';
        argv[argc++] = p;
        p = bar;
    }
    argv[argc] = NULL;
    return argc;
}

static void check_as(const char *program, const char *line, const char *expected)
{
    char copy[TEXT_MAX];
    char *argv[WORDS_MAX];
    struct options o;
    char error[OPTIONS_ERROR_MAX];
    int argc = split(copy, line, program, argv);
    bool good = options_parse(&o, argc, argv, error);
    if (good && expected[0] == '!')
        fail_msg("%s: taken", line);
    if (!good && (expected[0] != '!' || strstr(error, expected + 1) == NULL))
        fail_msg("%s: %s", line, error);
    if (good) {
        tell(&o);
        if (strcmp(text, expected) != 0)
            fail_msg("%s:\n  %s, not\n  %s", line, text, expected);
    }
    options_clear(&o);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_as("rexec", rows[i].line, rows[i].expected);
        check_as("/usr/libexec/rexec/ssh", rows[i].line, rows[i].expected);
    }
}

#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

#endif
