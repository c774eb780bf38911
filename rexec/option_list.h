/*
 * Every option: its letter, its name, whether it takes an argument, for which verbs it is, and what
 * `rexec help` says of it. One list.
 */
#ifndef REXEC_OPTION_LIST_H
#define REXEC_OPTION_LIST_H

#include <stdbool.h>

enum option {
    OPTION_NONE, /* the end of the list */
    OPTION_KEY,
    OPTION_PORT,
    OPTION_USER,
    OPTION_SETTING,
    OPTION_CONFIG,
    OPTION_IPV4,
    OPTION_IPV6,
    OPTION_QUIET,
    OPTION_VERBOSE,
    OPTION_VERSION,
    OPTION_SSH_VERSION,
    OPTION_HELP,
    OPTION_READABLE,
    OPTION_NO_STDIN,
    OPTION_NO_TERMINAL,
    OPTION_TERMINAL,
    OPTION_NO_COMMAND,
    OPTION_SUBSYSTEM,
    OPTION_BACKGROUND,
    OPTION_ESCAPE,
    OPTION_SHOW,
    OPTION_BIND,
    OPTION_BIND_INTERFACE,
    OPTION_JUMP,
    OPTION_LOG_FILE,
    OPTION_CONTROL,
    OPTION_QUERY,
    OPTION_LOCAL_FORWARD,
    OPTION_REMOTE_FORWARD,
    OPTION_DYNAMIC_FORWARD,
    OPTION_TUNNEL,  /* -w, -W: refused at once */
    OPTION_IGNORED, /* ssh's, and without a meaning here */
    OPTION_EXEC,
    OPTION_ENVIRONMENT,
    OPTION_DIRECTORY,
    OPTION_TIMEOUT,
    OPTION_JSON,
    OPTION_ENCODING,
    OPTION_LABEL,
    OPTION_LINGER,
    OPTION_NO_RESUME,
    OPTION_JOBS,
    OPTION_AS_COMPLETED,
    OPTION_TRACE,
    OPTION_LANGUAGE,
    OPTION_SVG,
    OPTION_HTML,
    OPTION_COLUMNS,
    OPTION_MESSAGES,
    OPTION_SIZE,
    OPTION_DELAY,
    OPTION_BUFFER,
    OPTION_SEND_BUFFER,
    OPTION_COUNT,
    OPTION_FORMAT,
    OPTION_UTC,
    OPTION_LIST,
    OPTION_ONLY,
    OPTION_SEED,
    OPTION_SLOW,
    OPTION_TAP,
    OPTION_JUNIT,
    OPTION_KEYLESS,
    OPTION_SERVE,
    OPTION_COMMENT,
    OPTION_PRINCIPAL,
    OPTION_GRANT_USER,
    OPTION_FROM,
    OPTION_EXPIRES,
    OPTION_NOT_BEFORE,
    OPTION_MAX_COMMANDS,
    OPTION_FORCED,
    OPTION_NO_PTY,
};

struct option_rule {
    enum option option;
    char letter;      /* 0: none */
    const char *name; /* NULL: none */
    bool takes;
    unsigned verbs;              /* bits of enum verb */
    const char *argument, *help; /* help NULL: not shown */
};

extern const struct option_rule option_list[];

#endif
