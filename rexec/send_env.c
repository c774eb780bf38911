#include "rexec/send_env.h"

#include <stdlib.h>
#include <string.h>

#include "proto/pattern.h"

/* Sent unless it is taken out with -NAME: without them, a command would take every file name and
 * text that is not ASCII for something else than the user's terminal does. */
static const char by_default[] = "LANG LC_*";

/* ---- SendEnv ---------------------------------------------------------------------------- */

/* The patterns, as described in the header. */
struct patterns {
    char *text;
    size_t n;
};

static void take_out(struct patterns *p, const char *pattern)
{
    size_t kept = 0;
    for (size_t at = 0; at < p->n;) {
        size_t length = strlen(p->text + at);
        if (!rx_pattern_matches(pattern, p->text + at, length)) {
            memmove(p->text + kept, p->text + at, length + 1);
            kept += length + 1;
        }
        at += length + 1;
    }
    p->n = kept;
}

/* There is room for all words, and for one more NUL. */
static void add_words(struct patterns *p, const char *words)
{
    bool broken = false;
    while (setting_next_word(&words, p->text + p->n, &broken)) {
        char *word = p->text + p->n;
        if (word[0] == '-') {
            /* Behind the list, where it stays until it has done its work. */
            take_out(p, word + 1);
        } else if (word[0] != '\0') {
            p->n += strlen(word) + 1;
        }
    }
}

char *send_env_patterns(const struct settings *s)
{
    size_t size = sizeof by_default + 1;
    for (unsigned rank = 0; rank < RANK_COUNT; rank++) {
        const char *words = s->value[SETTING_SEND_ENV][rank];
        size += words != NULL ? strlen(words) + 2 : 0;
    }
    struct patterns p = {.text = malloc(size)};
    if (p.text == NULL)
        return NULL;
    add_words(&p, by_default);
    /* The weakest first, so that others can take out what it says. */
    for (unsigned rank = RANK_COUNT; rank-- > 0;) {
        if (s->value[SETTING_SEND_ENV][rank] != NULL)
            add_words(&p, s->value[SETTING_SEND_ENV][rank]);
    }
    p.text[p.n] = '\0';
    return p.text;
}

static bool wanted(const char *patterns, const char *name, size_t n)
{
    for (const char *p = patterns; *p != '\0'; p += strlen(p) + 1) {
        if (rx_pattern_matches(p, name, n))
            return true;
    }
    return false;
}

/* ---- both ------------------------------------------------------------------------------- */

/* Puts a variable in, unless it is there from `first` on. */
static bool add(struct variables *out, size_t first, const char *variable)
{
    size_t name = (size_t)(strchr(variable, '=') - variable) + 1;
    for (size_t i = first; i < out->count; i++) {
        if (strncmp(out->list[i], variable, name) == 0)
            return true;
    }
    char **list = realloc((void *)out->list, (out->count + 1) * sizeof *list);
    if (list == NULL)
        return false;
    out->list = list;
    list[out->count] = strdup(variable);
    if (list[out->count] == NULL)
        return false;
    out->count++;
    return true;
}

static bool add_set(const struct settings *s, struct variables *out)
{
    size_t first = out->count; /* of one name, what is set counts more than what is sent */
    for (unsigned rank = 0; rank < RANK_COUNT; rank++) {
        const char *list = s->value[SETTING_SET_ENV][rank];
        char *word = list != NULL ? malloc(strlen(list) + 1) : NULL;
        bool broken = false;
        bool done = list == NULL || word != NULL;
        while (done && list != NULL && setting_next_word(&list, word, &broken))
            done = add(out, first, word);
        free(word);
        if (!done)
            return false;
    }
    return true;
}

bool send_env_collect(const struct settings *s, char *const *environment, struct variables *out)
{
    char *patterns = send_env_patterns(s);
    bool done = patterns != NULL;
    for (; done && *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL || equals == *environment)
            continue;
        if (wanted(patterns, *environment, (size_t)(equals - *environment)))
            done = add(out, out->count, *environment);
    }
    free(patterns);
    return done && add_set(s, out);
}

void variables_free(struct variables *variables)
{
    for (size_t i = 0; i < variables->count; i++)
        free(variables->list[i]);
    free((void *)variables->list);
    *variables = (struct variables){0};
}
