#include "rexec/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/destination.h"
#include "rexec/option_apply.h"
#include "rexec/option_list.h"
#include "rexec/resolve.h"

/* Where the reading of argv stands. */
struct reader {
    struct options *o;
    enum verb verb; /* whose options there are */
    char **argv;
    size_t argc, at;
    char *error;
};

static bool wrong(const struct reader *r, const char *what, const char *word)
{
    return option_wrong(r->error, what, word);
}

/* ---- the command line ------------------------------------------------------------------- */

static const struct option_rule *by_letter(const struct reader *r, char letter)
{
    for (const struct option_rule *rule = option_list; rule->option != OPTION_NONE; rule++) {
        if (rule->letter == letter && (rule->verbs & (unsigned)r->verb) != 0)
            return rule;
    }
    return NULL;
}

static const struct option_rule *by_name(const struct reader *r, const char *name, size_t n)
{
    for (const struct option_rule *rule = option_list; rule->option != OPTION_NONE; rule++) {
        if (rule->name != NULL && strlen(rule->name) == n && memcmp(rule->name, name, n) == 0 &&
            (rule->verbs & (unsigned)r->verb) != 0)
            return rule;
    }
    return NULL;
}

/* One that is for other verbs is not unknown: it may be that the verb does not come first. */
static bool no_option(const struct reader *r, char letter, const char *name, size_t n,
                      const char *word)
{
    bool other = false;
    for (const struct option_rule *rule = option_list; rule->option != OPTION_NONE; rule++) {
        other |= letter != '\0' && rule->letter == letter;
        other |= name != NULL && rule->name != NULL && strlen(rule->name) == n &&
                 memcmp(rule->name, name, n) == 0;
    }
    return wrong(
        r, other ? "a verb comes first, and this is an option of others:" : "there is no option",
        word);
}

/* --help, --version and the like: nothing behind them matters. */
static bool decided(const struct reader *r)
{
    return r->o->verb != r->verb;
}

/* The argument that stands by itself behind an option. */
static const char *next_word(struct reader *r)
{
    return r->at < r->argc ? r->argv[r->at++] : NULL;
}

static bool long_option(struct reader *r, const char *word)
{
    const char *name = word + 2;
    size_t n = strcspn(name, "=");
    const struct option_rule *rule = by_name(r, name, n);
    if (rule == NULL)
        return no_option(r, '\0', name, n, word);
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    if (!rule->takes && value != NULL)
        return wrong(r, "this option takes no argument:", word);
    if (!rule->takes)
        return option_apply(r->o, rule->option, "", r->error);
    if (value == NULL)
        value = next_word(r);
    return value != NULL ? option_apply(r->o, rule->option, value, r->error)
                         : wrong(r, "this option wants an argument:", word);
}

/* -n, -nq, -p7512, -p 7512, -nqp7512 */
static bool short_options(struct reader *r, const char *word)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        const struct option_rule *rule = by_letter(r, *p);
        char letter[] = {'-', *p, '\0'};
        if (rule == NULL)
            return no_option(r, *p, NULL, 0, letter);
        if (!rule->takes) {
            if (!option_apply(r->o, rule->option, "", r->error))
                return false;
            if (decided(r))
                return true;
            continue;
        }
        const char *value = p[1] != '\0' ? p + 1 : next_word(r);
        return value != NULL ? option_apply(r->o, rule->option, value, r->error)
                             : wrong(r, "this option wants an argument:", letter);
    }
    return true;
}

/* Reads options up to the first word that is none; *ended: behind `--`. */
static bool read_options(struct reader *r, bool *ended)
{
    *ended = false;
    while (r->at < r->argc && !decided(r)) {
        const char *word = r->argv[r->at];
        if (word[0] != '-' || word[1] == '\0')
            return true;
        r->at++;
        if (strcmp(word, "--") == 0) {
            *ended = true;
            return true;
        }
        if (word[1] == '-' ? !long_option(r, word) : !short_options(r, word))
            return false;
    }
    return true;
}

static bool set(struct reader *r, enum setting which, const char *value)
{
    char error[SETTING_ERROR_MAX];
    if (value == NULL || settings_set(&r->o->settings, which, RANK_FLAG, value, error))
        return true;
    return wrong(r, error, NULL);
}

/* What options have said already counts more than what stands before and behind the host. */
static bool read_host(struct reader *r, const char *word)
{
    struct destination d;
    bool good = destination_parse(&d, word) ||
                wrong(r, "this is no host:", word[0] != '\0' ? word : "an empty word");
    good = good && set(r, SETTING_USER, d.user) && set(r, SETTING_PORT, d.port);
    if (good) {
        r->o->host = d.host;
        d.host = NULL;
    }
    destination_clear(&d);
    return good;
}

/* Programs that look for one named ssh mean its command line, whatever their hosts are called. */
static bool named_ssh(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash != NULL ? slash + 1 : program, "ssh") == 0;
}

static void read_verb(struct reader *r)
{
    static const struct {
        const char *name;
        enum verb verb;
    } verbs[] = {
        {"run", VERB_RUN},       {"ping", VERB_PING},   {"batch", VERB_BATCH},
        {"keygen", VERB_KEYGEN}, {"grant", VERB_GRANT}, {"help", VERB_HELP},
        {"lesson", VERB_LESSON}, {"trace", VERB_TRACE}, {"probe", VERB_PROBE},
    };
    r->o->verb = VERB_RUN;
    bool verb = r->argc > 1 && !named_ssh(r->argv[0]);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && verb; i++) {
        if (strcmp(r->argv[1], verbs[i].name) == 0) {
            r->o->verb = verbs[i].verb;
            r->at = 2;
        }
    }
    r->verb = r->o->verb;
}

/* Verbs without a host: their arguments may stand between their options. */
static bool read_arguments(struct reader *r)
{
    size_t kept = 0;
    bool ended = false;
    while (r->at < r->argc && !decided(r)) {
        if (!ended && !read_options(r, &ended))
            return false;
        if (r->at < r->argc && !decided(r))
            r->o->words[kept++] = r->argv[r->at++];
    }
    r->o->word_count = kept;
    return true;
}

/* What cannot be, once all is read. */
static bool check(struct reader *r)
{
    struct options *o = r->o;
    const char *impossible = settings_impossible(&o->settings);
    if (impossible != NULL) {
        (void)snprintf(r->error, OPTIONS_ERROR_MAX,
                       "rexec runs commands; it forwards nothing and reaches hosts directly (%s)",
                       impossible);
        return false;
    }
    if (o->session == SESSION_SUBSYSTEM && o->word_count == 0 && !o->show)
        return wrong(r, "-s wants the subsystem's name behind the host", NULL);
    if (o->session == SESSION_SUBSYSTEM && o->exec)
        return wrong(r, "-s and --exec exclude each other", NULL);
    return true;
}

bool options_parse(struct options *o, int argc, char **argv, char error[static OPTIONS_ERROR_MAX])
{
    *o = (struct options){.count = 4};
    error[0] = '\0';
    if (argc < 1)
        return true;
    struct reader r = {.o = o, .argv = argv, .argc = (size_t)argc, .at = 1, .error = error};
    read_verb(&r);
    o->words = argv + r.at; /* at least as long as what comes to stand there */
    if ((r.verb & (VERB_RUN | VERB_PING | VERB_BATCH | VERB_PROBE)) == 0)
        return read_arguments(&r);
    bool ended;
    if (!read_options(&r, &ended))
        return false;
    if (decided(&r) || (o->probe.list && r.at == r.argc))
        return true;
    if (r.at == r.argc)
        return wrong(&r, "no host is given", NULL);
    if (!read_host(&r, argv[r.at++]))
        return false;
    if (!ended && !read_options(&r, &ended))
        return false;
    o->words = argv + r.at;
    o->word_count = r.argc - r.at;
    /* As with ssh: one word that is empty is no command, but asks for the shell. */
    if (r.verb == VERB_RUN && !o->exec && o->word_count == 1 && o->words[0][0] == '\0')
        o->word_count = 0;
    options_derive(o);
    return decided(&r) || check(&r);
}

static void clear_words(struct words *words)
{
    free((void *)words->list);
    *words = (struct words){0};
}

void options_clear(struct options *o)
{
    settings_clear(&o->settings);
    options_forget(o);
    clear_words(&o->environment);
    clear_words(&o->users);
    clear_words(&o->sources);
    free(o->host);
    *o = (struct options){0};
}
