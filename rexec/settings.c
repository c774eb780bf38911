#include "rexec/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rexec/setting_types.h"

static const struct {
    const char *ssh, *own;
    enum setting_type type;
} rules[] = {
#define X(NAME, ssh, own, type) {ssh, own, TYPE_##type},
    SETTINGS(X)
#undef X
};

static bool same(const char *name, size_t n, const char *other)
{
    return strlen(other) == n && strncasecmp(name, other, n) == 0;
}

enum setting setting_by_name(const char *name, size_t n)
{
    unsigned i = 0;
    while (i < SETTING_COUNT && !same(name, n, rules[i].ssh) && !same(name, n, rules[i].own))
        i++;
    return (enum setting)i;
}

const char *setting_name(enum setting which)
{
    return rules[which].ssh;
}

static bool is_list(enum setting which)
{
    return rules[which].type == TYPE_SEND_ENV || rules[which].type == TYPE_SET_ENV;
}

/* A copy of the value, without quotes around it; "old value" if it is a list that goes on. */
static char *copy_value(enum setting which, const char *old, const char *value)
{
    size_t n = strlen(value);
    if (is_list(which)) {
        char *list = NULL;
        return asprintf(&list, "%s%s%s", old != NULL ? old : "", old != NULL ? " " : "", value) >= 0
                   ? list
                   : NULL;
    }
    bool quoted = n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0];
    if (quoted && rules[which].type != TYPE_LINE)
        return strndup(value + 1, n - 2);
    return strdup(value);
}

static bool fail(enum setting which, const char *value, const char *why,
                 char error[static SETTING_ERROR_MAX])
{
    if (value == NULL) {
        (void)snprintf(error, SETTING_ERROR_MAX, "out of memory");
    } else {
        (void)snprintf(error, SETTING_ERROR_MAX, "%s: %.100s: %s", rules[which].own, value, why);
    }
    return false;
}

bool settings_set(struct settings *s, enum setting which, enum rank rank, const char *value,
                  char error[static SETTING_ERROR_MAX])
{
    char **place = &s->value[which][rank];
    char *copy = copy_value(which, *place, value);
    const char *why = copy != NULL ? setting_wrong(rules[which].type, copy) : "";
    if (why != NULL) {
        free(copy);
        return fail(which, copy != NULL ? value : NULL, why, error);
    }
    if (*place != NULL && !is_list(which)) {
        free(copy);
        return true;
    }
    free(*place);
    *place = copy;
    return true;
}

bool settings_replace(struct settings *s, enum setting which, const char *value,
                      char error[static SETTING_ERROR_MAX])
{
    char *old = s->value[which][RANK_FLAG];
    s->value[which][RANK_FLAG] = NULL;
    bool done = settings_set(s, which, RANK_FLAG, value, error);
    free(old);
    return done;
}

const char *settings_get(const struct settings *s, enum setting which)
{
    for (unsigned rank = 0; rank < RANK_COUNT; rank++) {
        if (s->value[which][rank] != NULL)
            return s->value[which][rank];
    }
    return NULL;
}

bool settings_on(const struct settings *s, enum setting which)
{
    const char *value = settings_get(s, which);
    return value != NULL && setting_is_yes(value);
}

long settings_seconds(const struct settings *s, enum setting which)
{
    const char *value = settings_get(s, which);
    return value != NULL ? setting_seconds(value) : -1;
}

int64_t settings_linger_ms(const struct settings *s)
{
    enum { DEFAULT_SECONDS = 60 };
    const char *resume = settings_get(s, SETTING_RESUME);
    long seconds = settings_seconds(s, SETTING_LINGER);
    if (resume != NULL && !settings_on(s, SETTING_RESUME))
        return 0;
    return (seconds >= 0 ? seconds : (long)DEFAULT_SECONDS) * INT64_C(1000);
}

const char *settings_impossible(const struct settings *s)
{
    static const struct {
        enum setting which;
        const char *harmless[2];
        bool forwards;
    } impossible[] = {
        {SETTING_LOCAL_FORWARD, {"none"}, true},   {SETTING_REMOTE_FORWARD, {"none"}, true},
        {SETTING_DYNAMIC_FORWARD, {"none"}, true}, {SETTING_TUNNEL, {"no", "false"}, false},
        {SETTING_PROXY_COMMAND, {"none"}, false},  {SETTING_PROXY_JUMP, {"none"}, false},
    };
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        const char *value = settings_get(s, impossible[i].which);
        if (value == NULL || (impossible[i].forwards && settings_on(s, SETTING_CLEAR_FORWARDINGS)))
            continue;
        bool harmless = false;
        for (size_t h = 0; h < 2 && impossible[i].harmless[h] != NULL; h++)
            harmless = harmless || strcasecmp(value, impossible[i].harmless[h]) == 0;
        if (!harmless)
            return setting_name(impossible[i].which);
    }
    return NULL;
}

void settings_clear(struct settings *s)
{
    for (unsigned i = 0; i < SETTING_COUNT; i++) {
        for (unsigned rank = 0; rank < RANK_COUNT; rank++)
            free(s->value[i][rank]);
    }
    *s = (struct settings){0};
}
