#include "rexec/resolve.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rexec/driver.h"
#include "rexec/expand.h"
#include "rexec/keyfile.h"
#include "rexec/send_env.h"

/* ---- what follows from settings alone --------------------------------------------------- */

/* The number of a setting's word, or `otherwise` where nobody has said anything. */
static int word_of(const struct options *o, enum setting which, enum setting_type type,
                   int otherwise)
{
    const char *value = settings_get(&o->settings, which);
    return value != NULL ? setting_word(type, value) : otherwise;
}

void options_derive(struct options *o)
{
    static const int families[] = {
        [FAMILY_ANY] = AF_UNSPEC, [FAMILY_INET] = AF_INET, [FAMILY_INET6] = AF_INET6};
    static const enum request_tty terminals[] = {TTY_AUTO, TTY_NO, TTY_YES, TTY_FORCE};
    static const enum session_type sessions[] = {SESSION_COMMAND, SESSION_NONE, SESSION_SUBSYSTEM};
    int level = word_of(o, SETTING_LOG_LEVEL, TYPE_LOG_LEVEL, LOG_NORMAL);
    o->family = families[word_of(o, SETTING_FAMILY, TYPE_FAMILY, FAMILY_ANY)];
    o->quiet = level == (int)LOG_SILENT;
    o->verbose = level > (int)LOG_NORMAL ? (unsigned)level - LOG_NORMAL : 0;
    o->tty = terminals[word_of(o, SETTING_REQUEST_TTY, TYPE_TTY, TTY_AUTO)];
    bool runs = o->verb == VERB_RUN; /* other verbs have their own ideas of these */
    int session = word_of(o, SETTING_SESSION_TYPE, TYPE_SESSION, SESSION_COMMAND);
    o->session = runs ? sessions[session] : SESSION_COMMAND;
    o->background = runs && settings_on(&o->settings, SETTING_FORK);
    o->no_stdin = settings_on(&o->settings, SETTING_STDIN_NULL) || o->background;
}

/* ---- the configuration ------------------------------------------------------------------ */

static bool load_settings(struct options *o, struct rx_failure *failure)
{
    char path[PATH_MAX];
    char error[PATH_MAX + SETTING_ERROR_MAX];
    bool given = o->config != NULL;
    if (given && strcmp(o->config, "none") == 0)
        return true;
    bool found = given ? keyfile_expand(o->config, path) : keyfile_default("config", path);
    if (!found && !given)
        return true;
    if (!found)
        (void)snprintf(error, sizeof error,
                       "the configuration's path is too long, or there is no home");
    if (found && settings_load(&o->settings, path, !given, o->host, error, sizeof error))
        return true;
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s", error);
    rx_failure_todo(failure, "repair the configuration, or go without it with -F none");
    return false;
}

static bool fail(struct rx_failure *failure, const char *what, const char *todo)
{
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s", what);
    rx_failure_todo(failure, "%s", todo);
    return false;
}

/* ---- tokens ----------------------------------------------------------------------------- */

/* What tokens stand for, and room for what is made for them. */
struct world {
    struct tokens tokens;
    char home[PATH_MAX], here[HOST_NAME_MAX + 1], short_here[HOST_NAME_MAX + 1];
    char uid[16], user[RX_HEADER_USER_MAX + 1];
};

static void set_token(struct world *w, char letter, const char *value)
{
    w->tokens.value[(unsigned char)letter] = value != NULL ? value : "";
}

static void know_world(struct world *w, const struct options *o)
{
    const struct settings *s = &o->settings;
    const char *port = settings_get(s, SETTING_PORT);
    const char *alias = settings_get(s, SETTING_NAME);
    const char *remote = settings_get(s, SETTING_USER);
    const struct passwd *user = getpwuid(getuid());
    static char default_port[8];
    (void)snprintf(default_port, sizeof default_port, "%d", RX_PORT_DEFAULT);
    (void)snprintf(w->uid, sizeof w->uid, "%lu", (unsigned long)getuid());
    (void)snprintf(w->user, sizeof w->user, "%s", user != NULL ? user->pw_name : w->uid);
    if (gethostname(w->here, sizeof w->here - 1) != 0)
        w->here[0] = '\0';
    (void)snprintf(w->short_here, sizeof w->short_here, "%.*s", (int)strcspn(w->here, "."),
                   w->here);
    if (!keyfile_expand("~/", w->home))
        w->home[0] = '\0';
    size_t n = strlen(w->home);
    if (n > 1 && w->home[n - 1] == '/')
        w->home[n - 1] = '\0';
    set_token(w, 'd', w->home);
    set_token(w, 'h', o->hostname);
    set_token(w, 'i', w->uid);
    set_token(w, 'k', alias != NULL ? alias : o->host);
    set_token(w, 'L', w->short_here);
    set_token(w, 'l', w->here);
    set_token(w, 'n', o->host);
    set_token(w, 'p', port != NULL ? port : default_port);
    set_token(w, 'r', remote != NULL ? remote : w->user);
    set_token(w, 'u', w->user);
}

/* A setting with its tokens replaced, to be freed; NULL, with *failure. */
static char *expand(const struct tokens *tokens, enum setting which, const char *text,
                    struct rx_failure *failure)
{
    char error[EXPAND_ERROR_MAX];
    char *expanded = expand_tokens(text, tokens, error);
    if (expanded == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s %s: %s", setting_name(which), text, error);
        rx_failure_todo(failure, "see CONFIGURATION in rexec(1) for what may stand there");
    }
    return expanded;
}

/* Most have none, and then no user need be looked up. */
static bool has_tokens(const struct options *o, enum setting which)
{
    const char *value = settings_get(&o->settings, which);
    return value != NULL && strchr(value, '%') != NULL;
}

static bool find_hostname(struct options *o, struct rx_failure *failure)
{
    const struct tokens tokens = {.value = {['h'] = o->host}};
    const char *given = settings_get(&o->settings, SETTING_HOSTNAME);
    o->hostname = expand(&tokens, SETTING_HOSTNAME, given != NULL ? given : "%h", failure);
    return o->hostname != NULL;
}

static bool find_key(struct options *o, const struct world *w, struct rx_failure *failure)
{
    char path[PATH_MAX];
    const char *given = settings_get(&o->settings, SETTING_KEY);
    if (given == NULL) {
        if (!keyfile_default("key", path))
            return fail(failure, "there is no home directory for the key", "name the key with -i");
        o->key_path = strdup(path);
        return o->key_path != NULL || fail(failure, "out of memory", "close other programs");
    }
    struct tokens tokens = w->tokens;
    tokens.variables = true;
    char *expanded = expand(&tokens, SETTING_KEY, given, failure);
    if (expanded == NULL)
        return false;
    bool found = keyfile_expand(expanded, path);
    free(expanded);
    o->key_path = found ? strdup(path) : NULL;
    return o->key_path != NULL ||
           fail(failure, "the path of the key is too long", "name another with -i");
}

/* ---- the command ------------------------------------------------------------------------ */

static bool find_command(struct options *o, const struct world *w, struct rx_failure *failure)
{
    const char *line = settings_get(&o->settings, SETTING_REMOTE_COMMAND);
    if (o->verb != VERB_RUN || o->session == SESSION_NONE)
        return true;
    if (line != NULL && strcasecmp(line, "none") != 0) {
        if (o->word_count > 0)
            return fail(failure, "there is a RemoteCommand as well as a command",
                        "leave one out: -o RemoteCommand=none");
        o->remote_command = expand(&w->tokens, SETTING_REMOTE_COMMAND, line, failure);
        if (o->remote_command == NULL)
            return false;
        o->words = &o->remote_command;
        o->word_count = 1;
        o->exec = false;
    }
    if (o->session == SESSION_SUBSYSTEM && o->word_count == 0)
        return fail(failure, "there is no subsystem's name", "give it behind the host");
    if (o->background && o->word_count == 0)
        return fail(failure, "a shell cannot run in the background (-f)", "give a command");
    return true;
}

bool options_resolve(struct options *o, struct rx_failure *failure)
{
    if (o->resolved)
        return true;
    options_forget(o);
    if (!load_settings(o, failure))
        return false;
    options_derive(o);
    const char *impossible = settings_impossible(&o->settings);
    if (impossible != NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM,
                       "rexec runs commands; it forwards nothing and reaches hosts directly (%s)",
                       impossible);
        rx_failure_todo(failure, "take it out of the configuration");
        return false;
    }
    struct world w = {0};
    if (!find_hostname(o, failure))
        return false;
    if (has_tokens(o, SETTING_KEY) || has_tokens(o, SETTING_REMOTE_COMMAND))
        know_world(&w, o);
    if (!find_key(o, &w, failure) || (!o->show && !find_command(o, &w, failure)))
        return false;
    if (!send_env_collect(&o->settings, environ, &o->wanted))
        return fail(failure, "out of memory", "close other programs");
    o->resolved = true;
    return true;
}

void options_forget(struct options *o)
{
    variables_free(&o->wanted);
    free(o->hostname);
    free(o->key_path);
    if (o->words == &o->remote_command)
        o->word_count = 0;
    free(o->remote_command);
    o->hostname = o->key_path = o->remote_command = NULL;
    o->resolved = false;
}
