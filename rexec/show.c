/* rexec -G: the settings that count for a host, as ssh -G prints them. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "rexec/buffer.h"
#include "rexec/driver.h"
#include "rexec/report.h"
#include "rexec/resolve.h"
#include "rexec/send_env.h"
#include "rexec/verbs.h"

struct listing {
    const struct options *o;
    struct buffer text;
    bool good;
};

static void line(struct listing *l, const char *name, const char *value)
{
    l->good = l->good && buffer_add(&l->text, name, strlen(name)) && buffer_add(&l->text, " ", 1) &&
              buffer_add(&l->text, value, strlen(value)) && buffer_add(&l->text, "\n", 1);
}

/* A setting's value; `otherwise` where it has none, and no line where that is NULL. */
static void setting(struct listing *l, enum setting which, const char *otherwise)
{
    const char *value = settings_get(&l->o->settings, which);
    if (value == NULL)
        value = otherwise;
    if (value != NULL)
        line(l, setting_name(which), value);
}

static void on_off(struct listing *l, enum setting which)
{
    line(l, setting_name(which), settings_on(&l->o->settings, which) ? "yes" : "no");
}

static void number(struct listing *l, const char *name, long n)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%ld", n);
    line(l, name, text);
}

static void add_environment(struct listing *l)
{
    char *patterns = send_env_patterns(&l->o->settings);
    l->good = l->good && patterns != NULL;
    for (const char *p = patterns; l->good && *p != '\0'; p += strlen(p) + 1)
        line(l, "sendenv", p);
    free(patterns);
    struct variables set = {0};
    static char *const nothing[] = {NULL};
    l->good = l->good && send_env_collect(&l->o->settings, nothing, &set);
    for (size_t i = 0; i < set.count; i++)
        line(l, "setenv", set.list[i]);
    variables_free(&set);
}

static void add_all(struct listing *l)
{
    static const char *const terminals[] = {"auto", "false", "true", "force"};
    static const char *const levels[] = {"QUIET", "INFO", "DEBUG", "DEBUG2", "DEBUG3"};
    const struct options *o = l->o;
    const struct passwd *me = getpwuid(getuid());
    char port[8];
    (void)snprintf(port, sizeof port, "%d", RX_PORT_DEFAULT);
    line(l, "host", o->host);
    setting(l, SETTING_USER, me != NULL ? me->pw_name : "");
    line(l, "hostname", o->hostname);
    setting(l, SETTING_PORT, port);
    setting(l, SETTING_FAMILY, "any");
    on_off(l, SETTING_BATCH_MODE);
    on_off(l, SETTING_CLEAR_FORWARDINGS);
    line(l, "requesttty", terminals[o->tty]);
    setting(l, SETTING_SESSION_TYPE, "default");
    line(l, "stdinnull", o->no_stdin ? "yes" : "no");
    line(l, "forkafterauthentication", o->background ? "yes" : "no");
    setting(l, SETTING_ALIVE_COUNT, "3");
    long interval = settings_seconds(&o->settings, SETTING_ALIVE_INTERVAL);
    number(l, "serveraliveinterval", interval > 0 ? interval : 0);
    line(l, "loglevel", levels[o->quiet ? 0 : o->verbose + 1]);
    line(l, "identityfile", o->key_path);
    setting(l, SETTING_NAME, NULL);
    long timeout = settings_seconds(&o->settings, SETTING_TIMEOUT);
    if (timeout >= 0) {
        number(l, "connecttimeout", timeout);
    } else {
        line(l, "connecttimeout", "none");
    }
    setting(l, SETTING_ESCAPE_CHAR, "~");
    setting(l, SETTING_BIND_ADDRESS, NULL);
    setting(l, SETTING_BIND_INTERFACE, NULL);
    const char *command = settings_get(&o->settings, SETTING_REMOTE_COMMAND);
    if (command != NULL && strcasecmp(command, "none") != 0)
        line(l, "remotecommand", command);
    setting(l, SETTING_SUITE, NULL);
    add_environment(l);
}

int verb_show(struct options *o)
{
    struct rx_failure failure;
    struct listing l = {.o = o, .good = true};
    if (!options_resolve(o, &failure)) {
        report_failure(o->host, &failure);
        return EXIT_REXEC;
    }
    add_all(&l);
    if (!l.good)
        report(o->host, "out of memory", "close other programs");
    bool done = l.good && print_all(l.text.bytes, l.text.n);
    buffer_clear(&l.text);
    return done ? 0 : print_status();
}
