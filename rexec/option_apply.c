#include "rexec/option_apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/header.h"

bool option_wrong(char error[static OPTIONS_ERROR_MAX], const char *what, const char *word)
{
    (void)snprintf(error, OPTIONS_ERROR_MAX, "%s%s%.200s", what, word != NULL ? " " : "",
                   word != NULL ? word : "");
    return false;
}

/* An option on its way. */
struct taking {
    struct options *o;
    char *error;
};

static bool wrong(const struct taking *t, const char *what, const char *word)
{
    return option_wrong(t->error, what, word);
}

/* ---- values ----------------------------------------------------------------------------- */

static bool add_word(struct taking *t, struct words *words, const char *word)
{
    const char **list = realloc((void *)words->list, (words->count + 1) * sizeof *list);
    if (list == NULL)
        return wrong(t, "out of memory", NULL);
    words->list = list;
    words->list[words->count++] = word;
    return true;
}

static bool out_of_range(const struct taking *t, unsigned max, const char *value)
{
    char what[64];
    (void)snprintf(what, sizeof what, "give a number from 1 to %u, not", max);
    return wrong(t, what, value);
}

static bool number(struct taking *t, const char *value, unsigned max, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || n < 1 || n > max)
        return out_of_range(t, max, value);
    *out = (unsigned)n;
    return true;
}

/* Seconds with at most three decimals, as milliseconds. */
static bool seconds(struct taking *t, const char *value, int64_t *ms)
{
    int64_t n = 0;
    int decimals = -1;
    const char *p = value;
    for (; *p != '\0'; p++) {
        if (*p == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (*p < '0' || *p > '9' || decimals == 3 || n > RX_INTEGER_MAX / 100000)
            break;
        n = n * 10 + (*p - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++)
        n *= 10;
    if (*p != '\0' || n <= 0)
        return wrong(t, "--timeout wants seconds above 0, as in 5 or 0.25, not", value);
    *ms = n;
    return true;
}

/* ---- settings --------------------------------------------------------------------------- */

/* Unless it is set already. */
static bool set(struct taking *t, enum setting which, const char *value)
{
    char error[SETTING_ERROR_MAX];
    if (settings_set(&t->o->settings, which, RANK_FLAG, value, error))
        return true;
    return wrong(t, error, NULL);
}

/* Whatever it was before: ssh's way with flags that have no argument, and a few others. */
static bool replace(struct taking *t, enum setting which, const char *value)
{
    char error[SETTING_ERROR_MAX];
    if (settings_replace(&t->o->settings, which, value, error))
        return true;
    return wrong(t, error, NULL);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ssh's -o: NAME=VALUE or NAME VALUE, spaces around both, quotes around the value. What we do not
 * know means nothing here. */
static bool set_by_name(struct taking *t, const char *text)
{
    while (is_space(*text))
        text++;
    if (*text == '\0' || *text == '#')
        return true; /* an empty line, a comment */
    size_t n = strcspn(text, "= \t\r\n");
    const char *value = text + n;
    while (is_space(*value))
        value++;
    bool equals = *value == '=';
    value += equals;
    while (is_space(*value))
        value++;
    size_t length = strlen(value);
    while (length > 0 && is_space(value[length - 1]))
        length--;
    enum setting which = setting_by_name(text, n);
    if (n == 0 || (length == 0 && (which != SETTING_COUNT || !equals)))
        return wrong(t, "-o wants NAME=VALUE, not", text);
    if (which == SETTING_COUNT)
        return true;
    char *copy = strndup(value, length);
    bool done = copy != NULL ? set(t, which, copy) : wrong(t, "out of memory", NULL);
    free(copy);
    return done;
}

/* -t: a terminal; once more: even if there is none here. */
static bool ask_for_terminal(struct taking *t)
{
    const char *now = settings_get(&t->o->settings, SETTING_REQUEST_TTY);
    int asked = now != NULL ? setting_word(TYPE_TTY, now) : TTY_AUTO;
    return replace(t, SETTING_REQUEST_TTY, asked >= (int)TTY_YES ? "force" : "yes");
}

static bool say_more(struct taking *t)
{
    static const char *const more[] = {"debug", "debug", "debug2", "debug3", "debug3"};
    const char *now = settings_get(&t->o->settings, SETTING_LOG_LEVEL);
    int level = t->o->verbose > 0 && now != NULL ? setting_word(TYPE_LOG_LEVEL, now) : LOG_NORMAL;
    t->o->verbose++;
    return replace(t, SETTING_LOG_LEVEL, more[level]);
}

/* -N and -s exclude each other. */
static bool choose_session(struct taking *t, const char *type)
{
    const char *now = settings_get(&t->o->settings, SETTING_SESSION_TYPE);
    if (now != NULL && strcasecmp(now, type) != 0)
        return wrong(t, "-N, -s and SessionType exclude each other", NULL);
    return replace(t, SETTING_SESSION_TYPE, type);
}

static bool add_environment(struct taking *t, const char *value)
{
    if (value[0] == '=' || strchr(value, '=') == NULL)
        return wrong(t, "--env wants NAME=VALUE, not", value);
    return add_word(t, &t->o->environment, value);
}

/* ---- one option ------------------------------------------------------------------------- */

/* Options that say where to and from where. */
static bool apply_way(struct taking *t, enum option option, const char *value)
{
    switch (option) {
    case OPTION_KEY:
        return set(t, SETTING_KEY, value);
    case OPTION_PORT:
        return set(t, SETTING_PORT, value);
    case OPTION_USER:
        return set(t, SETTING_USER, value);
    case OPTION_IPV4:
        return replace(t, SETTING_FAMILY, "inet");
    case OPTION_IPV6:
        return replace(t, SETTING_FAMILY, "inet6");
    case OPTION_BIND:
        return replace(t, SETTING_BIND_ADDRESS, value);
    case OPTION_BIND_INTERFACE:
        return replace(t, SETTING_BIND_INTERFACE, value);
    case OPTION_JUMP:
        return set(t, SETTING_PROXY_JUMP, value);
    case OPTION_LOCAL_FORWARD:
        return set(t, SETTING_LOCAL_FORWARD, value);
    case OPTION_REMOTE_FORWARD:
        return set(t, SETTING_REMOTE_FORWARD, value);
    case OPTION_DYNAMIC_FORWARD:
        return set(t, SETTING_DYNAMIC_FORWARD, value);
    case OPTION_TUNNEL:
        return wrong(t, "rexec runs commands and makes no tunnels (-w, -W)", NULL);
    default:
        return wrong(t, "an option without a meaning", NULL);
    }
}

/* Options that any verb has that reaches a server. */
static bool apply_common(struct taking *t, enum option option, const char *value)
{
    struct options *o = t->o;
    switch (option) {
    case OPTION_SETTING:
        return set_by_name(t, value);
    case OPTION_CONFIG:
        o->config = value;
        break;
    case OPTION_LOG_FILE:
        o->log_file = value;
        break;
    case OPTION_QUIET:
        return replace(t, SETTING_LOG_LEVEL, "quiet");
    case OPTION_VERBOSE:
        return say_more(t);
    case OPTION_SHOW:
        o->show = true;
        break;
    case OPTION_CONTROL:
    case OPTION_QUERY:
        o->verb = option == OPTION_QUERY ? VERB_QUERY : VERB_CONTROL;
        o->query = value;
        break;
    case OPTION_SSH_VERSION:
        o->verb = VERB_SSH_VERSION;
        break;
    case OPTION_VERSION:
        o->verb = VERB_VERSION;
        break;
    case OPTION_HELP:
        o->verb = VERB_HELP;
        break;
    case OPTION_IGNORED:
        break;
    default:
        return apply_way(t, option, value);
    }
    return true;
}

/* ssh's options that say what to run, and how. */
static bool apply_session(struct taking *t, enum option option, const char *value)
{
    switch (option) {
    case OPTION_NO_STDIN:
        return replace(t, SETTING_STDIN_NULL, "yes");
    case OPTION_NO_TERMINAL:
        return replace(t, SETTING_REQUEST_TTY, "no");
    case OPTION_TERMINAL:
        return ask_for_terminal(t);
    case OPTION_ESCAPE:
        return replace(t, SETTING_ESCAPE_CHAR, value);
    case OPTION_NO_COMMAND:
        return choose_session(t, "none") && replace(t, SETTING_REQUEST_TTY, "no");
    case OPTION_SUBSYSTEM:
        return choose_session(t, "subsystem");
    case OPTION_BACKGROUND:
        return replace(t, SETTING_FORK, "yes") && replace(t, SETTING_STDIN_NULL, "yes");
    default:
        return apply_common(t, option, value);
    }
}

static bool set_seed(struct taking *t, const char *value)
{
    char *end;
    unsigned long long n = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || n == 0)
        return wrong(t, "a seed is a number from 1 on, not", value);
    t->o->probe.seed = n;
    return true;
}

static bool apply_probe(struct taking *t, enum option option, const char *value)
{
    struct probe_options *probe = &t->o->probe;
    switch (option) {
    case OPTION_LIST:
        probe->list = true;
        break;
    case OPTION_ONLY:
        probe->only = value;
        break;
    case OPTION_SEED:
        return set_seed(t, value);
    case OPTION_SLOW:
        return number(t, value, 3600, &probe->slow);
    case OPTION_TAP:
        probe->tap = true;
        break;
    case OPTION_JUNIT:
        probe->junit = true;
        break;
    case OPTION_KEYLESS:
        probe->keyless = true;
        break;
    case OPTION_SERVE:
        probe->serve = value;
        break;
    default:
        return apply_session(t, option, value);
    }
    return true;
}

/* Options that say what to run and what to do with what comes of it. */
static bool apply_command(struct taking *t, enum option option, const char *value)
{
    struct options *o = t->o;
    switch (option) {
    case OPTION_EXEC:
        o->exec = true;
        break;
    case OPTION_ENVIRONMENT:
        return add_environment(t, value);
    case OPTION_DIRECTORY:
        o->directory = value;
        return value[0] != '\0' || wrong(t, "--cwd wants a directory", NULL);
    case OPTION_TIMEOUT:
        return seconds(t, value, &o->timeout_ms);
    case OPTION_JSON:
        o->json = true;
        break;
    case OPTION_ENCODING:
        o->encoding = value;
        break;
    case OPTION_LABEL:
        o->label = value;
        return (value[0] != '\0' && strlen(value) <= RX_LABEL_MAX) ||
               wrong(t, "a label has 1 to 64 bytes, not", value);
    case OPTION_LINGER:
        return replace(t, SETTING_LINGER, value);
    case OPTION_NO_RESUME:
        return replace(t, SETTING_RESUME, "no");
    case OPTION_JOBS:
        return number(t, value, 65535, &o->jobs);
    case OPTION_AS_COMPLETED:
        o->as_completed = true;
        break;
    case OPTION_COUNT:
        return number(t, value, 1000000, &o->count);
    case OPTION_FORMAT:
        o->format = value;
        break;
    case OPTION_UTC:
        o->utc = true;
        break;
    default:
        return apply_probe(t, option, value);
    }
    return true;
}

static bool language(struct taking *t, const char *value)
{
    t->o->language = value;
    return strncasecmp(value, "en", 2) == 0 || strncasecmp(value, "zh", 2) == 0 ||
           wrong(t, "a language is en or zh, not", value);
}

/* Those of lesson and trace. */
static bool apply_picture(struct taking *t, enum option option, const char *value)
{
    struct options *o = t->o;
    switch (option) {
    case OPTION_TRACE:
        o->trace = value;
        break;
    case OPTION_LANGUAGE:
        return language(t, value);
    case OPTION_SVG:
        o->svg = value;
        break;
    case OPTION_HTML:
        o->html = value;
        break;
    case OPTION_COLUMNS:
        return number(t, value, 1000, &o->columns) &&
               (o->columns >= 40 || wrong(t, "too narrow, 40 at least:", value));
    case OPTION_MESSAGES:
        return number(t, value, t->o->verb == VERB_TRACE ? 1000000 : 64, &o->lesson.count);
    case OPTION_SIZE:
        return number(t, value, 16 * 1024 * 1024, &o->lesson.size);
    case OPTION_DELAY:
        return number(t, value, 1000, &o->lesson.delay_ms);
    case OPTION_BUFFER:
        return number(t, value, 16 * 1024 * 1024, &o->lesson.buffer);
    case OPTION_SEND_BUFFER:
        return number(t, value, 16 * 1024 * 1024, &o->lesson.send_buffer);
    default:
        return apply_command(t, option, value);
    }
    return true;
}

/* Those of keygen and grant first. */
bool option_apply(struct options *o, enum option option, const char *value,
                  char error[static OPTIONS_ERROR_MAX])
{
    struct taking t = {.o = o, .error = error};
    switch (option) {
    case OPTION_COMMENT:
        o->comment = value;
        break;
    case OPTION_PRINCIPAL:
        o->principal = value;
        break;
    case OPTION_GRANT_USER:
        return add_word(&t, &o->users, value);
    case OPTION_FROM:
        return add_word(&t, &o->sources, value);
    case OPTION_EXPIRES:
        o->expires = value;
        break;
    case OPTION_NOT_BEFORE:
        o->not_before = value;
        break;
    case OPTION_MAX_COMMANDS:
        return number(&t, value, 65535, &o->max_commands);
    case OPTION_FORCED:
        o->forced = value;
        break;
    case OPTION_NO_PTY:
        o->no_pty = true;
        break;
    case OPTION_READABLE:
        o->readable = true;
        return o->verb == VERB_GRANT || set(&t, SETTING_SUITE, "hmac-sha256");
    default:
        return apply_picture(&t, option, value);
    }
    return true;
}
