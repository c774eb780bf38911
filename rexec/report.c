#include "rexec/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rexec/escape.h"

enum {
    LINE = 2048,
    SETTLED_FD =
        100, /* and up: what is closed there is a copy, and nothing else (so a test knows) */
};

static int report_fd = STDERR_FILENO;
static int printed = EXIT_REXEC; /* print_status */
static bool is_raw;

void report_to(int fd)
{
    report_fd = fd;
}

void report_raw(bool raw)
{
    is_raw = raw;
}

bool write_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t written = write(fd, p, n);
        if (written > 0) {
            p += written;
            n -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

void report(const char *host, const char *what, const char *todo)
{
    char raw[LINE];
    char line[LINE + 2] = "rexec: ";
    bool hosted = host != NULL && host[0] != '\0', advised = todo != NULL && todo[0] != '\0';
    int n = snprintf(raw, sizeof raw, "%s%s%s%s%s", hosted ? host : "", hosted ? ": " : "", what,
                     advised ? "; " : "", advised ? todo : "");
    size_t length = n < 0 ? 0 : (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1;
    size_t used = strlen(line);
    used += rx_escape(raw, length, line + used, LINE - used);
    if (is_raw && isatty(report_fd) == 1)
        line[used++] = '\r';
    line[used++] = '\n';
    /* There is nobody to tell that nobody could be told. */
    (void)write_all(report_fd, line, used);
}

void report_failure(const char *host, const struct rx_failure *failure)
{
    report(host, failure->what, failure->todo);
}

void note(const char *host, const char *format, ...)
{
    char text[LINE];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    report(host, text, NULL);
}

int print_failed(int error)
{
    char what[128];
    if (error == EPIPE) {
        printed = 128 + SIGPIPE;
        return printed;
    }
    if (error == ENOMEM) {
        (void)snprintf(what, sizeof what, "the result is not complete: %s", strerror(error));
        report(NULL, what, "close other programs");
    } else {
        (void)snprintf(what, sizeof what, "cannot write to stdout: %s", strerror(error));
        report(NULL, what, "check where the output goes, and the room left there");
    }
    printed = EXIT_REXEC;
    return printed;
}

int print_status(void)
{
    return printed;
}

bool print_all(const void *bytes, size_t n)
{
    if (write_all(STDOUT_FILENO, bytes, n))
        return true;
    (void)print_failed(errno);
    return false;
}

bool write_settled(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, SETTLED_FD);
    return copy < 0 || close(copy) == 0 || errno == EINTR;
}

int finish_output(int status)
{
    if (status != EXIT_REXEC && !write_settled(STDOUT_FILENO))
        status = print_failed(errno);
    return write_settled(STDERR_FILENO) ? status : EXIT_REXEC;
}
