/*
 * What may be set by flag, by -o NAME=VALUE and in the configuration file: one list. Values are
 * checked when they are set.
 */
#ifndef REXEC_SETTINGS_H
#define REXEC_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, what ssh calls it, our own name for it, its type: rexec/setting_types.c) */
#define SETTINGS(X)                                                                                \
    X(PORT, "port", "port", PORT)                                                                  \
    X(USER, "user", "user", USER)                                                                  \
    X(KEY, "identityfile", "key", TEXT)                                                            \
    X(HOSTNAME, "hostname", "hostname", TEXT)                                                      \
    X(NAME, "hostkeyalias", "name", TEXT)                                                          \
    X(TIMEOUT, "connecttimeout", "timeout", TIME)                                                  \
    X(BATCH_MODE, "batchmode", "batchmode", SWITCH)                                                \
    X(SUITE, "suite", "suite", SUITE)                                                              \
    X(REQUEST_TTY, "requesttty", "requesttty", TTY)                                                \
    X(REMOTE_COMMAND, "remotecommand", "remotecommand", LINE)                                      \
    X(SESSION_TYPE, "sessiontype", "sessiontype", SESSION)                                         \
    X(STDIN_NULL, "stdinnull", "stdinnull", SWITCH)                                                \
    X(FORK, "forkafterauthentication", "forkafterauthentication", SWITCH)                          \
    X(ALIVE_INTERVAL, "serveraliveinterval", "serveraliveinterval", TIME)                          \
    X(ALIVE_COUNT, "serveralivecountmax", "serveralivecountmax", COUNT)                            \
    X(RESUME, "resume", "resume", SWITCH)                                                          \
    X(LINGER, "linger", "linger", TIME)                                                            \
    X(SEND_ENV, "sendenv", "sendenv", SEND_ENV)                                                    \
    X(SET_ENV, "setenv", "setenv", SET_ENV)                                                        \
    X(KEY_LOG, "keylogfile", "keylogfile", TEXT)                                                   \
    X(LOG_LEVEL, "loglevel", "loglevel", LOG_LEVEL)                                                \
    X(ESCAPE_CHAR, "escapechar", "escapechar", ESCAPE)                                             \
    X(FAMILY, "addressfamily", "addressfamily", FAMILY)                                            \
    X(BIND_ADDRESS, "bindaddress", "bindaddress", TEXT)                                            \
    X(BIND_INTERFACE, "bindinterface", "bindinterface", TEXT)                                      \
    X(CLEAR_FORWARDINGS, "clearallforwardings", "clearallforwardings", SWITCH)                     \
    X(LOCAL_FORWARD, "localforward", "localforward", TEXT)                                         \
    X(REMOTE_FORWARD, "remoteforward", "remoteforward", TEXT)                                      \
    X(DYNAMIC_FORWARD, "dynamicforward", "dynamicforward", TEXT)                                   \
    X(TUNNEL, "tunnel", "tunnel", TEXT)                                                            \
    X(PROXY_COMMAND, "proxycommand", "proxycommand", LINE)                                         \
    X(PROXY_JUMP, "proxyjump", "proxyjump", TEXT)

enum setting {
#define X(NAME, ssh, own, type) SETTING_##NAME,
    SETTINGS(X)
#undef X
        SETTING_COUNT
};

/* Who said it: the lower rank wins; of one rank, the first. */
enum rank { RANK_FLAG, RANK_HOST, RANK_PATTERN, RANK_ALL, RANK_COUNT };

/* Zero-initialised is empty. */
struct settings {
    char *value[SETTING_COUNT][RANK_COUNT];
};

enum { SETTING_ERROR_MAX = 256 };

/* The setting of this name, in any case; SETTING_COUNT: none. */
enum setting setting_by_name(const char *name, size_t n);

/* Its name in ssh's configuration, in lower case. */
const char *setting_name(enum setting which);

/*
 * Sets it for a rank, where that has none yet; what SendEnv and SetEnv say is added behind what
 * they said before. `value` is as in a file: quotes around it are taken off. False, with `error` (a
 * clause), for a value that it cannot have.
 */
bool settings_set(struct settings *s, enum setting which, enum rank rank, const char *value,
                  char error[static SETTING_ERROR_MAX]);

/* As settings_set for RANK_FLAG, but wins over what was set before. */
bool settings_replace(struct settings *s, enum setting which, const char *value,
                      char error[static SETTING_ERROR_MAX]);

/* The value that counts, or NULL. */
const char *settings_get(const struct settings *s, enum setting which);

/* Whether a switch is on. */
bool settings_on(const struct settings *s, enum setting which);

/* How long a command waits for a client whose connection was lost, and the client tries to get it
 * back: milliseconds; 0: not at all. */
int64_t settings_linger_ms(const struct settings *s);

/* Seconds of a time; -1: none, or not set. */
long settings_seconds(const struct settings *s, enum setting which);

/*
 * NULL, or the name of a setting that asks for what is not done here: forwarded ports (unless
 * ClearAllForwardings takes that back), tunnels, a way through other hosts or programs.
 */
const char *settings_impossible(const struct settings *s);

/*
 * Reads the configuration file for this host; a file that is not there is as an empty one if
 * `optional`. False, with `error` ("FILE:LINE: what").
 */
bool settings_load(struct settings *s, const char *path, bool optional, const char *host,
                   char *error, size_t error_cap);

void settings_clear(struct settings *s);

#endif
