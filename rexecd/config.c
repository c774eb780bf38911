#include "rexecd/config.h"

#include <errno.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rexecd/log.h"
#include "rexecd/subsystem.h"

static const char default_file[] = "/etc/rexec/rexecd.conf";

enum kind { TEXT, LIST, NUMBER, TIME, SWITCH };

/* One key, as config.def says. */
struct key {
    const char *name, *initial, *help;
    uint64_t min, max;
    size_t member, set_at; /* offsets in struct config */
    enum kind kind;
};

static const struct key keys[] = {
#define X(name, kind, initial, min, max, help)                                                     \
    {#name,                                                                                        \
     (initial),                                                                                    \
     (help),                                                                                       \
     (min),                                                                                        \
     (max),                                                                                        \
     offsetof(struct config, name),                                                                \
     offsetof(struct config, set_at.name),                                                         \
     (kind)},
#include "rexecd/config.def"
#undef X
};

enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

static void *member(struct config *config, const struct key *key)
{
    return (char *)config + key->member;
}

/* ---- values ----------------------------------------------------------------------------- */

static void list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

static int list_add(struct config_list *list, const char *item, size_t n)
{
    if (list->count >= CONFIG_LIST_MAX)
        return -1;
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return -1;
    list->items = items;
    items[list->count] = strndup(item, n);
    if (items[list->count] == NULL)
        return -1;
    list->count++;
    return 0;
}

/* Words with spaces between. */
static const char *set_list(struct config_list *list, const char *value)
{
    static const char spaces[] = " \t";
    for (value += strspn(value, spaces); *value != '\0'; value += strspn(value, spaces)) {
        size_t n = strcspn(value, spaces);
        if (list_add(list, value, n) < 0)
            return "too many values";
        value += n;
    }
    return NULL;
}

static const char *set_text(char **text, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return "no memory";
    free(*text);
    *text = copy;
    return NULL;
}

/* Digits, with at most `decimals` behind a point, as a number of 10^-decimals. */
static bool read_decimal(const char *value, unsigned decimals, uint64_t *out)
{
    uint64_t n = 0;
    unsigned digits = 0, behind = 0;
    bool point = false;
    for (; *value != '\0'; value++) {
        if (*value == '.' && decimals > 0 && !point && digits > 0) {
            point = true;
            continue;
        }
        if (*value < '0' || *value > '9' || digits >= 12 || (point && behind >= decimals))
            return false;
        n = n * 10 + (uint64_t)(*value - '0');
        digits++;
        behind += point;
    }
    for (; behind < decimals; behind++)
        n *= 10;
    *out = n;
    return digits > 0;
}

static const char *set_number(uint32_t *number, const struct key *key, const char *value)
{
    static _Thread_local char what[96];
    unsigned decimals = key->kind == TIME ? 3 : 0;
    uint64_t n;
    if (!read_decimal(value, decimals, &n) || n < key->min || n > key->max) {
        if (decimals > 0)
            (void)snprintf(what, sizeof what, "give seconds from %g to %g", (double)key->min / 1000,
                           (double)key->max / 1000);
        else
            (void)snprintf(what, sizeof what, "give a number from %llu to %llu",
                           (unsigned long long)key->min, (unsigned long long)key->max);
        return what;
    }
    *number = (uint32_t)n;
    return NULL;
}

static const char *set_switch(bool *on, const char *value)
{
    *on = strcmp(value, "yes") == 0;
    return *on || strcmp(value, "no") == 0 ? NULL : "give yes or no";
}

static const char *set_value(struct config *config, const struct key *key, const char *value)
{
    void *to = member(config, key);
    switch (key->kind) {
    case TEXT:
        return set_text(to, value);
    case LIST:
        return set_list(to, value);
    case NUMBER:
    case TIME:
        return set_number(to, key, value);
    case SWITCH:
        return set_switch(to, value);
    }
    return "unknown kind of key";
}

/* The key of this name, with `-` for `_` as flags have it; NULL if there is none. */
static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *a = keys[i].name, *b = name;
        while (*a != '\0' && (*a == *b || (*a == '_' && *b == '-'))) {
            a++;
            b++;
        }
        if (*a == '\0' && *b == '\0')
            return &keys[i];
    }
    return NULL;
}

/* What is set by flags counts more than what the file says, and that more than the defaults; at one
 * level a key comes once, unless it is a list. */
static const char *set_key(struct config *config, const struct key *key, const char *value)
{
    uint8_t *set_at = (uint8_t *)config + key->set_at;
    if (*set_at > config->level)
        return NULL;
    if (*set_at == config->level && config->level > 0 && key->kind != LIST)
        return "given twice";
    if (*set_at < config->level && key->kind == LIST)
        list_clear(member(config, key));
    *set_at = config->level;
    return set_value(config, key, value);
}

int config_set(struct config *config, const char *name, const char *value,
               char error[static CONFIG_ERROR_MAX])
{
    const struct key *key = find_key(name);
    const char *wrong =
        key == NULL ? "unknown key; rexecd --help lists them" : set_key(config, key, value);
    if (wrong == NULL)
        return 0;
    (void)snprintf(error, CONFIG_ERROR_MAX, "%.64s: %s", name, wrong);
    return -1;
}

int config_init(struct config *config)
{
    char error[CONFIG_ERROR_MAX];
    *config = (struct config){0};
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].initial != NULL && config_set(config, keys[i].name, keys[i].initial, error) < 0)
            return -1;
    return 0;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].kind == LIST)
            list_clear(member(config, &keys[i]));
        if (keys[i].kind == TEXT)
            free(*(char **)member(config, &keys[i]));
    }
    *config = (struct config){0};
}

/* ---- the file --------------------------------------------------------------------------- */

struct parsing {
    struct config *config;
    char what[CONFIG_ERROR_MAX]; /* the first error; empty: none */
};

static int on_pair(void *context, const char *section, const char *name, const char *value)
{
    struct parsing *p = context;
    char what[CONFIG_ERROR_MAX];
    if (section[0] != '\0' && strcmp(section, "rexecd") != 0)
        (void)snprintf(what, sizeof what, "[%.64s]: unknown section; there is only [rexecd]",
                       section);
    else if (config_set(p->config, name, value, what) == 0)
        return 1;
    if (p->what[0] == '\0')
        (void)snprintf(p->what, sizeof p->what, "%s", what);
    return 0;
}

/* The number of the first line that libinih would not read whole, or 0. */
static unsigned overlong_line(const char *text, size_t n)
{
    unsigned line = 1;
    for (size_t at = 0; at < n; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end != NULL ? (size_t)(end - text) - at : n - at;
        if (length > CONFIG_LINE_MAX)
            return line;
        at += length + 1;
    }
    return 0;
}

int config_parse(struct config *config, const char *text, size_t n,
                 char error[static CONFIG_ERROR_MAX])
{
    unsigned line = overlong_line(text, n);
    if (n > CONFIG_FILE_MAX || memchr(text, '\0', n) != NULL || line > 0) {
        (void)snprintf(error, CONFIG_ERROR_MAX, "%u: %s", line > 0 ? line : 1,
                       line > 0 ? "longer than 190 bytes" : "not a text file of at most 64 KiB");
        return -1;
    }
    char *copy = malloc(n + 1);
    struct parsing p = {.config = config};
    if (copy == NULL) {
        (void)snprintf(error, CONFIG_ERROR_MAX, "1: no memory");
        return -1;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    uint8_t before = config->level;
    config->level = 1;
    int wrong = ini_parse_string(copy, on_pair, &p);
    config->level = before;
    free(copy);
    if (wrong == 0)
        return 0;
    (void)snprintf(error, CONFIG_ERROR_MAX, "%d: %.400s", wrong,
                   p.what[0] != '\0' ? p.what : "not `key = value`");
    return -1;
}

static int read_file(struct config *config, const char *path, bool must_be,
                     char error[static CONFIG_ERROR_MAX])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        if (errno == ENOENT && !must_be)
            return 0;
        (void)snprintf(error, CONFIG_ERROR_MAX, "%.300s: %s", path, strerror(errno));
        return -1;
    }
    char *text = malloc(CONFIG_FILE_MAX + 1);
    size_t n = text != NULL ? fread(text, 1, CONFIG_FILE_MAX + 1, file) : 0;
    bool failed = text == NULL || ferror(file);
    (void)fclose(file);
    char what[CONFIG_ERROR_MAX];
    if (failed)
        (void)snprintf(what, sizeof what, "1: cannot be read");
    else
        failed = config_parse(config, text, n, what) < 0;
    free(text);
    if (failed)
        (void)snprintf(error, CONFIG_ERROR_MAX, "%.180s:%.300s", path, what);
    return failed ? -1 : 0;
}

/* ---- the command line ------------------------------------------------------------------- */

/* A flag's value: behind `=`, or the next word. */
static const char *flag_value(char *const argv[], int argc, int *i)
{
    const char *equals = strchr(argv[*i], '=');
    if (equals != NULL)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static bool is_config_flag(const char *word)
{
    return strcmp(word, "-f") == 0 || strcmp(word, "--config") == 0 ||
           strncmp(word, "--config=", 9) == 0;
}

/* One flag other than the configuration file's. */
static enum config_result read_flag(struct config *config, int argc, char *const argv[], int *i,
                                    char error[static CONFIG_ERROR_MAX])
{
    const char *word = argv[*i];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return CONFIG_HELP;
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return CONFIG_VERSION;
    if (strcmp(word, "--check") == 0) {
        config->check = true;
        return CONFIG_RUN;
    }
    char name[64];
    size_t n = strcspn(word, "=");
    if (strncmp(word, "--", 2) != 0 || n < 3 || n - 2 >= sizeof name) {
        (void)snprintf(error, CONFIG_ERROR_MAX, "%.64s: not a flag; rexecd --help lists them",
                       word);
        return CONFIG_WRONG;
    }
    memcpy(name, word + 2, n - 2);
    name[n - 2] = '\0';
    const char *value = flag_value(argv, argc, i);
    if (value == NULL && find_key(name) != NULL) {
        (void)snprintf(error, CONFIG_ERROR_MAX, "--%s: give a value", name);
        return CONFIG_WRONG;
    }
    return config_set(config, name, value != NULL ? value : "", error) < 0 ? CONFIG_WRONG
                                                                           : CONFIG_RUN;
}

static enum config_result read_flags(struct config *config, int argc, char *const argv[],
                                     char error[static CONFIG_ERROR_MAX])
{
    config->level = 2;
    for (int i = 1; i < argc; i++) {
        if (is_config_flag(argv[i])) {
            (void)flag_value(argv, argc, &i);
            continue;
        }
        enum config_result result = read_flag(config, argc, argv, &i, error);
        if (result != CONFIG_RUN)
            return result;
    }
    return CONFIG_RUN;
}

/* The file, wherever its flag stands: flags count more, so it must be read first. */
static int read_config_file(struct config *config, int argc, char *const argv[],
                            char error[static CONFIG_ERROR_MAX])
{
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (!is_config_flag(argv[i]))
            continue;
        path = flag_value(argv, argc, &i);
        if (path == NULL) {
            (void)snprintf(error, CONFIG_ERROR_MAX, "-f: give a file");
            return -1;
        }
    }
    if (path != NULL)
        return read_file(config, path, true, error);
    return geteuid() == 0 ? read_file(config, default_file, false, error) : 0;
}

enum config_result config_read(struct config *config, int argc, char *const argv[],
                               char error[static CONFIG_ERROR_MAX])
{
    if (config_init(config) < 0) {
        (void)snprintf(error, CONFIG_ERROR_MAX, "no memory");
        return CONFIG_WRONG;
    }
    /* Flags once before the file: --help must work whatever is in it. */
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return CONFIG_HELP;
    }
    if (read_config_file(config, argc, argv, error) < 0)
        return CONFIG_WRONG;
    enum config_result result = read_flags(config, argc, argv, error);
    if (result == CONFIG_RUN && config_complete(config, error) < 0)
        return CONFIG_WRONG;
    return result;
}

/* ---- what is left ----------------------------------------------------------------------- */

static int default_name(struct config *config)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0)
        return -1;
    return set_text(&config->name, host) == NULL ? 0 : -1;
}

static int default_grants(struct config *config)
{
    char path[512];
    const char *base = getenv("XDG_CONFIG_HOME");
    if (geteuid() == 0)
        return set_text(&config->grants, "/etc/rexec/grants") == NULL ? 0 : -1;
    if (base != NULL && base[0] == '/') {
        (void)snprintf(path, sizeof path, "%.400s/rexec/grants", base);
    } else {
        const char *home = getenv("HOME");
        const struct passwd *me = home == NULL ? getpwuid(geteuid()) : NULL;
        if (me != NULL)
            home = me->pw_dir;
        if (home == NULL || home[0] != '/')
            return -1;
        (void)snprintf(path, sizeof path, "%.400s/.config/rexec/grants", home);
    }
    return set_text(&config->grants, path) == NULL ? 0 : -1;
}

int config_complete(struct config *config, char error[static CONFIG_ERROR_MAX])
{
    const char *wrong = NULL;
    if (config->listen.count == 0)
        wrong = set_list(&config->listen, "*:7512");
    if (wrong == NULL && config->name == NULL && default_name(config) < 0)
        wrong = "name: the host name cannot be read: give --name";
    if (wrong == NULL && config->grants == NULL && default_grants(config) < 0)
        wrong = "grants: no home directory: give --grants";
    if (wrong == NULL &&
        rx_server_name_fold(config->name, strlen(config->name), config->server_name) != RX_OK)
        wrong = "name: 1 to 255 printable characters without spaces";
    if (wrong == NULL && log_level_by_name(config->log) < 0)
        wrong = "log: give error, warning, info or debug";
    if (wrong == NULL && config->path != NULL && config->path[0] == '\0')
        wrong = "path: give directories with : between";
    for (size_t i = 0; i < config->subsystem.count && wrong == NULL; i++)
        if (!subsystem_valid(config->subsystem.items[i]))
            wrong = "subsystem: give NAME=/PATH, as in sftp=/usr/lib/openssh/sftp-server";
    if (wrong == NULL && config->trace[0] == '\0')
        wrong = "trace: give a directory, or none";
    config->tracing = strcmp(config->trace, "none") != 0;
    if (wrong == NULL)
        return 0;
    (void)snprintf(error, CONFIG_ERROR_MAX, "%s", wrong);
    return -1;
}

const char *config_usage(void)
{
    static char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "usage: rexecd [-f FILE] [--KEY VALUE]... [--check]\n"
                                "  -f, --config FILE      read FILE (rexecd.conf(5)) first\n"
                                "  --check                read everything, say what is wrong, end\n"
                                "  --version, --help\n");
    for (size_t i = 0; i < KEY_COUNT && n < sizeof text; i++) {
        char flag[32];
        (void)snprintf(flag, sizeof flag, "%s", keys[i].name);
        for (char *p = flag; *p != '\0'; p++)
            if (*p == '_')
                *p = '-';
        int more = snprintf(text + n, sizeof text - n, "  --%-20s %s%s%s%s\n", flag, keys[i].help,
                            keys[i].initial != NULL ? " (" : "",
                            keys[i].initial != NULL ? keys[i].initial : "",
                            keys[i].initial != NULL ? ")" : "");
        n += more > 0 ? (size_t)more : 0;
    }
    return text;
}
