/*
 * Log lines for people: one line each to stderr ("rexecd: ..."), and to syslog if asked for.
 * Whatever bytes are in what is logged, one call is one line: control bytes and all that is not
 * ASCII come out as \xNN, a backslash as two.
 */
#ifndef REXEC_REXECD_LOG_H
#define REXEC_REXECD_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_NONE = -1, /* not even errors */
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum { LOG_LINE_MAX = 2048 }; /* longer lines are cut, and end in "..." */

/* How to begin: the program's name ("rexecd", kept by reference), the least severe level that is
 * logged, and whether to log to syslog too. Without it: "rexecd", INFO, no. */
void log_open(const char *program, enum log_level level, bool to_syslog);

/* The level of this name ("error", "warning", "info", "debug"), or -1. */
int log_level_by_name(const char *name);

/* Whether a line of this level would be logged: for those that cost something to put together. */
bool log_wanted(enum log_level level);

/* One line; printf's format, no newline at its end. errno stays as it is. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Logs the line as an error and exits with status 1. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Writes n bytes escaped to `out` of `cap` bytes (at least 1), NUL-terminated. What does not fit is
 * cut between two characters. Returns the length.
 */
size_t log_escape(const void *bytes, size_t n, char *out, size_t cap);

#endif
