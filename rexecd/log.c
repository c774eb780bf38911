#include "rexecd/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static const int priorities[] = {
    [LOG_LEVEL_ERROR] = LOG_ERR,
    [LOG_LEVEL_WARNING] = LOG_WARNING,
    [LOG_LEVEL_INFO] = LOG_INFO,
    [LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

static struct {
    const char *program;
    enum log_level level;
    bool to_syslog;
} state = {.program = "rexecd", .level = LOG_LEVEL_INFO};

void log_open(const char *program, enum log_level level, bool to_syslog)
{
    if (to_syslog)
        openlog(program, LOG_PID, LOG_DAEMON);
    else if (state.to_syslog)
        closelog();
    state.program = program;
    state.level = level;
    state.to_syslog = to_syslog;
}

int log_level_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (strcmp(level_names[i], name) == 0)
            return (int)i;
    return -1;
}

bool log_wanted(enum log_level level)
{
    return level <= state.level;
}

/* One byte, escaped, to at most 4 characters; how many. */
static size_t escape_byte(uint8_t byte, char out[static 4])
{
    static const char digits[] = "0123456789abcdef";
    if (byte == '\\') {
        out[0] = out[1] = '\\';
        return 2;
    }
    if (byte >= 0x20 && byte < 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 0xf];
    return 4;
}

size_t log_escape(const void *bytes, size_t n, char *out, size_t cap)
{
    const uint8_t *p = bytes;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char escaped[4];
        size_t len = escape_byte(p[i], escaped);
        if (at + len >= cap)
            break;
        memcpy(out + at, escaped, len);
        at += len;
    }
    out[at] = '\0';
    return at;
}

static void log_vline(enum log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void log_vline(enum log_level level, const char *format, va_list arguments)
{
    if (level > state.level)
        return;
    int saved = errno;
    char raw[LOG_LINE_MAX], line[LOG_LINE_MAX + 8];
    int printed = vsnprintf(raw, sizeof raw, format, arguments);
    size_t n = printed < 0 ? 0 : (size_t)printed < sizeof raw ? (size_t)printed : sizeof raw - 1;
    size_t head = (size_t)snprintf(line, 64, "%.40s: ", state.program);
    size_t room = LOG_LINE_MAX - head;
    size_t len = head + log_escape(raw, n, line + head, room);
    /* Escaping makes lines longer, so whether all went in shows only afterwards. */
    if ((size_t)(printed < 0 ? 0 : printed) > n || len + 4 >= LOG_LINE_MAX) {
        memcpy(line + len, "...", 4);
        len += 3;
    }
    if (state.to_syslog)
        syslog(priorities[level], "%s", line + head);
    line[len++] = '\n';
    /* One write, so that lines of several processes do not mix; if it fails there is nobody to
     * tell. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
    errno = saved;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_vline(level, format, arguments);
    va_end(arguments);
}

void fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_vline(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
    exit(1);
}
