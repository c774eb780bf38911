#include "rexec/setting_types.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/seal.h"
#include "proto/header.h"

/* ---- words ------------------------------------------------------------------------------ */

struct choice {
    enum setting_type type;
    const char *word;
    int number;
};

static const struct choice choices[] = {
    {TYPE_SWITCH, "yes", 1},
    {TYPE_SWITCH, "true", 1},
    {TYPE_SWITCH, "no", 0},
    {TYPE_SWITCH, "false", 0},
    {TYPE_TTY, "auto", TTY_AUTO},
    {TYPE_TTY, "no", TTY_NO},
    {TYPE_TTY, "false", TTY_NO},
    {TYPE_TTY, "yes", TTY_YES},
    {TYPE_TTY, "true", TTY_YES},
    {TYPE_TTY, "force", TTY_FORCE},
    {TYPE_SESSION, "default", SESSION_COMMAND},
    {TYPE_SESSION, "none", SESSION_NONE},
    {TYPE_SESSION, "subsystem", SESSION_SUBSYSTEM},
    {TYPE_LOG_LEVEL, "quiet", LOG_SILENT},
    {TYPE_LOG_LEVEL, "silent", LOG_SILENT},
    {TYPE_LOG_LEVEL, "fatal", LOG_SILENT},
    {TYPE_LOG_LEVEL, "error", LOG_SILENT},
    {TYPE_LOG_LEVEL, "info", LOG_NORMAL},
    {TYPE_LOG_LEVEL, "verbose", LOG_VERBOSE},
    {TYPE_LOG_LEVEL, "debug", LOG_VERBOSE},
    {TYPE_LOG_LEVEL, "debug1", LOG_VERBOSE},
    {TYPE_LOG_LEVEL, "debug2", LOG_DEBUG2},
    {TYPE_LOG_LEVEL, "debug3", LOG_DEBUG3},
    {TYPE_FAMILY, "any", FAMILY_ANY},
    {TYPE_FAMILY, "inet", FAMILY_INET},
    {TYPE_FAMILY, "inet6", FAMILY_INET6},
};

int setting_word(enum setting_type type, const char *value)
{
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        if (choices[i].type == type && strcasecmp(choices[i].word, value) == 0)
            return choices[i].number;
    }
    return -1;
}

bool setting_is_yes(const char *value)
{
    return setting_word(TYPE_SWITCH, value) == 1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool setting_next_word(const char **at, char *word, bool *broken)
{
    const char *p = *at;
    char quote = '\0';
    while (is_space(*p))
        p++;
    if (*p == '\0') {
        *at = p;
        return false;
    }
    for (; *p != '\0' && (quote != '\0' || !is_space(*p)); p++) {
        bool escaped = *p == '\\' && p[1] != '\0' && strchr("\"'\\", p[1]) != NULL;
        escaped = escaped || (*p == '\\' && quote == '\0' && p[1] == ' ');
        if (escaped) {
            *word++ = *++p;
        } else if (quote == '\0' && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else if (quote != '\0' && *p == quote) {
            quote = '\0';
        } else {
            *word++ = *p;
        }
    }
    *word = '\0';
    *at = p;
    *broken = *broken || quote != '\0';
    return true;
}

/* ---- numbers ---------------------------------------------------------------------------- */

static bool number_between(const char *value, unsigned long min, unsigned long max)
{
    if (value[0] < '0' || value[0] > '9')
        return false;
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    return *end == '\0' && n >= min && n <= max;
}

/* A port's number, or a word that may be a service's name. */
static bool is_port(const char *value)
{
    if (value[0] >= '0' && value[0] <= '9')
        return number_between(value, 1, 65535);
    return value[0] != '\0' && value[0] != '-';
}

static long unit_seconds(char unit)
{
    switch (unit) {
    case '\0':
    case 's':
    case 'S':
        return 1;
    case 'm':
    case 'M':
        return 60;
    case 'h':
    case 'H':
        return 60L * 60;
    case 'd':
    case 'D':
        return 24L * 60 * 60;
    case 'w':
    case 'W':
        return 7L * 24 * 60 * 60;
    default:
        return 0;
    }
}

long setting_seconds(const char *value)
{
    enum { MOST = 365 * 24 * 60 * 60 };
    if (strcasecmp(value, "none") == 0)
        return -1;
    long total = 0;
    const char *p = value;
    do {
        long n = 0, digits = 0;
        for (; *p >= '0' && *p <= '9' && n <= MOST; p++, digits++)
            n = n * 10 + (*p - '0');
        long unit = unit_seconds(*p);
        if (digits == 0 || unit == 0 || n > MOST / unit)
            return -2;
        total += n * unit;
        p += *p != '\0';
    } while (*p != '\0' && total <= MOST);
    return total <= MOST ? total : -2;
}

/* ---- lists ------------------------------------------------------------------------------ */

/* Whether each word has an `=` behind a name (SetEnv), or none at all (SendEnv). */
static const char *wrong_list(enum setting_type type, const char *value)
{
    char *word = malloc(strlen(value) + 1);
    if (word == NULL)
        return "out of memory";
    const char *why = NULL, *at = value;
    bool broken = false;
    while (why == NULL && setting_next_word(&at, word, &broken)) {
        const char *equals = strchr(word, '=');
        if (broken) {
            why = "a quote is not closed";
        } else if (type == TYPE_SET_ENV && (equals == NULL || equals == word)) {
            why = "it wants NAME=VALUE";
        } else if (type == TYPE_SEND_ENV && equals != NULL) {
            why = "it wants names of variables";
        }
    }
    free(word);
    return why;
}

static bool is_escape(const char *value)
{
    if (strcasecmp(value, "none") == 0)
        return true;
    size_t n = strlen(value);
    return n == 1 || (n == 2 && value[0] == '^' && value[1] >= '?' && value[1] <= '~');
}

/* ---- all -------------------------------------------------------------------------------- */

static const char *wrong_word(enum setting_type type, const char *value)
{
    if (setting_word(type, value) >= 0)
        return NULL;
    switch (type) {
    case TYPE_SWITCH:
        return "it is yes or no";
    case TYPE_TTY:
        return "it is auto, no, yes or force";
    case TYPE_SESSION:
        return "it is default, none or subsystem";
    case TYPE_FAMILY:
        return "it is any, inet or inet6";
    default:
        return "it is QUIET, FATAL, ERROR, INFO, VERBOSE, or DEBUG to DEBUG3";
    }
}

const char *setting_wrong(enum setting_type type, const char *value)
{
    switch (type) {
    case TYPE_PORT:
        return is_port(value) ? NULL : "a port is a number from 1 to 65535";
    case TYPE_USER:
        return value[0] != '\0' && strlen(value) <= RX_HEADER_USER_MAX
                   ? NULL
                   : "a user's name has 1 to 32 bytes";
    case TYPE_TIME:
        return setting_seconds(value) != -2 ? NULL : "a time is a number of seconds, or like 1m30s";
    case TYPE_COUNT:
        return number_between(value, 0, INT_MAX) ? NULL : "it is a number";
    case TYPE_SUITE:
        return rx_suite_by_name(value) != RX_SUITE_NONE
                   ? NULL
                   : "suites are aes256gcm, chacha20poly1305 and hmac-sha256";
    case TYPE_SWITCH:
    case TYPE_TTY:
    case TYPE_SESSION:
    case TYPE_LOG_LEVEL:
    case TYPE_FAMILY:
        return wrong_word(type, value);
    case TYPE_ESCAPE:
        return is_escape(value) ? NULL : "it is one character, ^ and a letter, or none";
    case TYPE_SEND_ENV:
    case TYPE_SET_ENV:
        return wrong_list(type, value);
    case TYPE_TEXT:
    case TYPE_LINE:
        break;
    }
    return value[0] != '\0' ? NULL : "it must not be empty";
}
