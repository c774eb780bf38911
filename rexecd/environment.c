#include "rexecd/environment.h"

#include <stdlib.h>
#include <string.h>

#include "proto/pattern.h"
#include "proto/words.h"

static const char *const ours[] = {
    "USER", "LOGNAME", "SHELL", "REXEC_CONNECTION", "REXEC_TTY", "REXEC_ORIGINAL_COMMAND"};

/* What a dynamic loader, the C library, a shell or an interpreter obeys before the command itself
 * has its say. */
static const char *const dangerous[] = {
    "LD_*",
    "DYLD_*",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "RESOLV_*",
    "MALLOC_*",
    "GETCONF_DIR",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERMCAP",
    "TERMPATH",
    "TZDIR",
    "BASH_ENV",
    "ENV",
    "IFS",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "BASH_FUNC_*",
    "CDPATH",
    "GLOBIGNORE",
    "FPATH",
    "ZDOTDIR",
    "NULLCMD",
    "READNULLCMD",
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "NODE_*",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
};

static const char *const usual[] = {"LANG", "LC_*", "TERM", "COLORTERM", "TZ", "GIT_PROTOCOL"};

static const char root_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static const char user_path[] = "/usr/local/bin:/usr/bin:/bin";

static bool matches_any(const char *const *patterns, size_t count, const uint8_t *name, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (rx_pattern_matches(patterns[i], name, n))
            return true;
    return false;
}

#define MATCHES_ANY(list, name, n)                                                                 \
    matches_any((list), sizeof(list) / sizeof((list)[0]), (name), (n))

bool environment_accepts(const struct environment_policy *policy, const uint8_t *name, size_t n)
{
    if (MATCHES_ANY(ours, name, n))
        return false;
    bool needs_name = MATCHES_ANY(dangerous, name, n);
    if (policy->forced && !needs_name && MATCHES_ANY(usual, name, n))
        return true;
    for (size_t i = 0; i < policy->pattern_count; i++) {
        const char *pattern = policy->patterns[i];
        if (needs_name && !rx_pattern_is_literal(pattern))
            continue;
        if (policy->forced && pattern[strspn(pattern, "*?")] == '\0')
            continue; /* it names nothing */
        if (rx_pattern_matches(pattern, name, n))
            return true;
    }
    return false;
}

/* ---- building --------------------------------------------------------------------------- */

/* Pointers grow from the front, strings behind all pointers. */
struct building {
    char **variables;
    size_t count;
    char *text;
};

static size_t name_length(const char *variable)
{
    return (size_t)(strchr(variable, '=') - variable);
}

/* Puts NAME=VALUE in, in the place of one with the same name. */
static void put(struct building *b, const char *name, size_t name_len, const void *value,
                size_t value_len)
{
    char *variable = b->text;
    memcpy(b->text, name, name_len);
    b->text[name_len] = '=';
    memcpy(b->text + name_len + 1, value, value_len);
    b->text[name_len + 1 + value_len] = '\0';
    b->text += name_len + value_len + 2;
    for (size_t i = 0; i < b->count; i++) {
        if (name_length(b->variables[i]) == name_len &&
            memcmp(b->variables[i], variable, name_len) == 0) {
            b->variables[i] = variable;
            return;
        }
    }
    b->variables[b->count++] = variable;
}

static void put_string(struct building *b, const char *name, const char *value)
{
    put(b, name, strlen(name), value, strlen(value));
}

/* A variable in the client's words. */
struct variable {
    const uint8_t *name, *value;
    size_t name_len, value_len;
    bool may_go; /* left out in silence if it is not accepted */
};

/* The next variable from *at on. What may go and is none is passed over. */
static bool next_variable(const uint8_t *words, size_t n, size_t *at, struct variable *v)
{
    struct rx_word word;
    while (rx_words_next(words, n, at, &word)) {
        if (word.kind != RX_WORD_ENVIRONMENT && word.kind != RX_WORD_WANTED)
            continue;
        const uint8_t *equals = word.len > 0 ? memchr(word.bytes, '=', word.len) : NULL;
        if (equals == NULL || equals == word.bytes)
            continue; /* one of the strict kind was checked */
        *v = (struct variable){
            .name = word.bytes,
            .value = equals + 1,
            .name_len = (size_t)(equals - word.bytes),
            .may_go = word.kind == RX_WORD_WANTED,
        };
        v->value_len = word.len - v->name_len - 1;
        return true;
    }
    return false;
}

/* What the client's words need. */
struct measured {
    size_t count, bytes;
    size_t spare; /* how many of those that may go there is room for */
};

/* Counts the client's words and their bytes, or finds one that is not accepted. Those that may go
 * get the room that the others leave. */
static enum environment_result measure(const struct environment_policy *policy,
                                       const uint8_t *words, size_t n, struct measured *m,
                                       struct environment_name *which)
{
    struct variable v;
    for (size_t at = 0; next_variable(words, n, &at, &v);) {
        m->bytes += v.name_len + v.value_len + 2;
        m->spare += v.may_go;
        if (v.may_go)
            continue;
        if (!environment_accepts(policy, v.name, v.name_len)) {
            *which = (struct environment_name){v.name, v.name_len};
            return ENVIRONMENT_NOT_ACCEPTED;
        }
        if (++m->count > ENVIRONMENT_MAX)
            return ENVIRONMENT_TOO_MANY;
    }
    if (m->spare > ENVIRONMENT_MAX - m->count)
        m->spare = ENVIRONMENT_MAX - m->count;
    m->count += m->spare;
    return ENVIRONMENT_OK;
}

/* Whether one of the first `count` has this name. */
static bool has(const struct building *b, size_t count, const struct variable *v)
{
    for (size_t i = 0; i < count; i++) {
        if (name_length(b->variables[i]) == v->name_len &&
            memcmp(b->variables[i], v->name, v->name_len) == 0)
            return true;
    }
    return false;
}

/* Puts all in; of those that may go what is accepted, is not there of the server's own, and has
 * room. */
static void put_words(struct building *b, const struct environment_policy *policy,
                      const uint8_t *words, size_t n, size_t spare)
{
    size_t own = b->count;
    struct variable v;
    for (size_t at = 0; next_variable(words, n, &at, &v);) {
        if (v.may_go &&
            (spare == 0 || has(b, own, &v) || !environment_accepts(policy, v.name, v.name_len)))
            continue;
        spare -= v.may_go;
        put(b, (const char *)v.name, v.name_len, v.value, v.value_len);
    }
}

enum environment_result environment_build(struct environment *environment,
                                          const struct environment_policy *policy,
                                          const struct user *user, const char *connection,
                                          const char *original, const uint8_t *words, size_t n,
                                          struct environment_name *which)
{
    const char *path = policy->path != NULL ? policy->path : user->uid == 0 ? root_path : user_path;
    const struct {
        const char *name, *value;
    } base[] = {
        {"HOME", user->home},
        {"USER", user->name},
        {"LOGNAME", user->name},
        {"SHELL", user->shell},
        {"PATH", path},
        {"REXEC_CONNECTION", connection},
        {"TERM", policy->term},
        {"REXEC_TTY", policy->terminal},
        {"SSH_TTY", policy->terminal},
        {"REXEC_ORIGINAL_COMMAND", original},
    };
    enum { BASE_COUNT = sizeof base / sizeof base[0] };
    *environment = (struct environment){0};
    struct measured m = {.count = BASE_COUNT + 1};
    for (size_t i = 0; i < BASE_COUNT; i++)
        if (base[i].value != NULL)
            m.bytes += strlen(base[i].name) + strlen(base[i].value) + 2;
    enum environment_result result = measure(policy, words, n, &m, which);
    if (result != ENVIRONMENT_OK)
        return result;
    struct building b = {.variables = malloc(m.count * sizeof(char *) + m.bytes)};
    if (b.variables == NULL)
        return ENVIRONMENT_NO_MEMORY;
    b.text = (char *)(b.variables + m.count);
    for (size_t i = 0; i < BASE_COUNT; i++)
        if (base[i].value != NULL)
            put_string(&b, base[i].name, base[i].value);
    put_words(&b, policy, words, n, m.spare);
    b.variables[b.count] = NULL;
    *environment = (struct environment){.variables = b.variables, .count = b.count};
    return ENVIRONMENT_OK;
}

void environment_free(struct environment *environment)
{
    free(environment->variables);
    *environment = (struct environment){0};
}

const char *environment_get(const struct environment *environment, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < environment->count; i++)
        if (name_length(environment->variables[i]) == n &&
            memcmp(environment->variables[i], name, n) == 0)
            return environment->variables[i] + n + 1;
    return NULL;
}
