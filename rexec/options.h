/*
 * The command line: ssh's grammar, with verbs in front and long options of our own.
 */
#ifndef REXEC_OPTIONS_H
#define REXEC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexec/setting_types.h"
#include "rexec/settings.h"

enum verb {
    VERB_NONE = 0,
    VERB_RUN = 1 << 0,
    VERB_PING = 1 << 1,
    VERB_BATCH = 1 << 2,
    VERB_KEYGEN = 1 << 3,
    VERB_GRANT = 1 << 4,
    VERB_HELP = 1 << 5,
    VERB_VERSION = 1 << 6,
    VERB_SSH_VERSION = 1 << 7, /* -V */
    VERB_CONTROL = 1 << 8,     /* -O */
    VERB_QUERY = 1 << 9,       /* -Q */
    VERB_LESSON = 1 << 11,
    VERB_TRACE = 1 << 12,
    VERB_PROBE = 1 << 13,
};

/* Arguments of an option that may be given several times; the strings are argv's. */
struct words {
    const char **list;
    size_t count;
};

/* Variables, NAME=VALUE, owned. */
struct variables {
    char **list;
    size_t count;
};

/* Only probe's. */
struct probe_options {
    const char *only;  /* names with commas between them; NULL: all */
    const char *serve; /* a port; NULL: probe a server */
    uint64_t seed;     /* 0: not said */
    unsigned slow;     /* seconds; 0: leave out what takes long */
    bool list, keyless, tap, junit;
};

struct options {
    enum verb verb;
    struct settings settings; /* what flags and -o say */
    char *host;               /* as typed, without USER@ and brackets; owned */
    const char *config;       /* -F */
    const char *log_file;     /* -E */
    const char *query;        /* -Q, -O: its argument, as they have no use for more */
    char **words;             /* behind the host, or a verb's arguments */
    size_t word_count;

    /* What follows from the settings: rexec/resolve.h. */
    int family; /* AF_UNSPEC, AF_INET, AF_INET6 */
    unsigned verbose;
    bool quiet, no_stdin, background;
    enum request_tty tty;
    enum session_type session;

    /* Likewise, once the configuration was read; owned. */
    bool resolved;
    char *hostname, *key_path;
    char *remote_command;    /* words[0], if none were given */
    struct variables wanted; /* what SendEnv and SetEnv send */
    bool exec, json, show;   /* --exec, --json, -G */
    struct words environment;
    const char *directory, *label, *encoding;
    int64_t timeout_ms; /* 0: none */

    unsigned count;     /* ping */
    const char *format; /* ping */
    bool utc;           /* ping */

    unsigned jobs;     /* batch; 0: not said */
    bool as_completed; /* batch */

    const char *trace;                 /* --trace: where reads and writes are written down */
    const char *language, *svg, *html; /* lesson, trace */
    unsigned columns;                  /* likewise; 0: not said */
    struct {
        unsigned count, size, delay_ms, buffer, send_buffer; /* 0: not said */
    } lesson;
    struct probe_options probe;

    const char *comment; /* keygen */

    const char *principal, *expires, *not_before, *forced; /* grant */
    struct words users, sources;
    unsigned max_commands;
    bool readable, no_pty;
};

enum { OPTIONS_ERROR_MAX = 512 };

/*
 * Reads the command line. Where argv[0], the program's name, is `ssh`, no word is a verb. False,
 * with `error` (a clause). To be cleared either way. Pointers in it that are not owned are into
 * argv.
 */
bool options_parse(struct options *o, int argc, char **argv, char error[static OPTIONS_ERROR_MAX]);

void options_clear(struct options *o);

#endif
