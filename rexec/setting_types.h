/*
 * The types of settings: what each may be.
 */
#ifndef REXEC_SETTING_TYPES_H
#define REXEC_SETTING_TYPES_H

#include <stdbool.h>
#include <stddef.h>

enum setting_type {
    TYPE_TEXT, /* not empty */
    TYPE_LINE, /* likewise, and quotes around it are part of it */
    TYPE_PORT,
    TYPE_USER,
    TYPE_TIME, /* seconds, or 1h30m and the like, or none */
    TYPE_COUNT,
    TYPE_SWITCH,
    TYPE_SUITE,
    TYPE_TTY,
    TYPE_SESSION,
    TYPE_LOG_LEVEL,
    TYPE_ESCAPE,
    TYPE_FAMILY,
    TYPE_SEND_ENV, /* words: patterns of names, or what takes names out again */
    TYPE_SET_ENV,  /* words: NAME=VALUE */
};

/* NULL, or why a setting of this type cannot have this value (a clause). */
const char *setting_wrong(enum setting_type type, const char *value);

/* The number of a word among a type's words (TTY, SESSION, LOG_LEVEL, FAMILY), in any case; -1. */
int setting_word(enum setting_type type, const char *value);

/* Numbers of these words. */
enum request_tty { TTY_AUTO, TTY_NO, TTY_YES, TTY_FORCE };
enum session_type { SESSION_COMMAND, SESSION_NONE, SESSION_SUBSYSTEM };
enum log_level { LOG_SILENT, LOG_NORMAL, LOG_VERBOSE, LOG_DEBUG2, LOG_DEBUG3 };
enum address_family { FAMILY_ANY, FAMILY_INET, FAMILY_INET6 };

/* Seconds that a time means; -1: none; -2: it is no time. */
long setting_seconds(const char *value);

bool setting_is_yes(const char *value);

/*
 * The next word of a list: words are separated by spaces, `"` and `'` keep them together, `\`
 * before one of these, a space or itself takes its meaning away. *at is moved on; the word is put
 * into `word` (at least as long as the list, with its NUL). False at the end; *broken: a quote is
 * not closed.
 */
bool setting_next_word(const char **at, char *word, bool *broken);

#endif
