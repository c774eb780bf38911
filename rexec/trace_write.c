#include "rexec/trace_write.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/trace.h"

struct trace_writer {
    FILE *file;
    struct rx_tap tap;
    struct timespec begin;
    unsigned connections;
    struct rx_trace lines; /* of this connection */
    bool failed;
    int error;
};

static int64_t since(const struct timespec *begin)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)(now.tv_sec - begin->tv_sec) * 1000000000 + (now.tv_nsec - begin->tv_nsec);
}

static void check(struct trace_writer *w, bool good)
{
    if (good || w->failed)
        return;
    w->failed = true;
    w->error = errno;
}

/* A line with text in it that others chose. Takes the object over. */
static void write_object(struct trace_writer *w, json_t *object)
{
    check(w, object != NULL && json_dumpf(object, w->file, JSON_COMPACT) == 0 &&
                 fputc('\n', w->file) != EOF);
    json_decref(object);
}

static void on_opened(void *user, const char *address)
{
    struct trace_writer *w = user;
    w->lines = (struct rx_trace){.out = RX_C2S};
    w->connections++;
    write_object(w, json_pack("{s:i,s:I,s:s}", "connection", (int)w->connections, "ns",
                              (json_int_t)since(&w->begin), "address", address));
}

static void write_line(struct trace_writer *w, const char *line, size_t n)
{
    check(w, fwrite(line, 1, n, w->file) == n);
}

static void on_moved(void *user, bool out, size_t n)
{
    struct trace_writer *w = user;
    char line[RX_TRACE_LINE_MAX];
    size_t len = rx_trace_call(&w->lines, out, n, since(&w->begin), line);
    write_line(w, line, len);
}

static void on_record(void *user, bool out, const char *name, const uint8_t *payload, size_t n,
                      size_t size)
{
    struct trace_writer *w = user;
    char line[RX_TRACE_LINE_MAX];
    size_t len = rx_trace_record(&w->lines, out, name, payload, n, size, line);
    write_line(w, line, len);
}

static void start_text(char out[static 48])
{
    struct timespec now;
    struct tm utc;
    char seconds[24];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out, 48, "%s.%06ldZ", seconds, now.tv_nsec / 1000);
}

struct trace_writer *trace_open(const char *path, const char *host, struct rx_failure *failure)
{
    struct trace_writer *w = calloc(1, sizeof *w);
    int fd = w != NULL ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600) : -1;
    if (fd >= 0)
        w->file = fdopen(fd, "w");
    if (w == NULL || w->file == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot write the trace %.256s: %s", path,
                       strerror(errno));
        rx_failure_todo(failure, "name another file with --trace");
        if (fd >= 0)
            (void)close(fd);
        free(w);
        return NULL;
    }
    /* Each line at once: what becomes of the client must not take what it did with it. */
    (void)setvbuf(w->file, NULL, _IOLBF, 0);
    w->tap = (struct rx_tap){on_opened, on_moved, on_record, w};
    (void)clock_gettime(CLOCK_MONOTONIC, &w->begin);
    char start[48];
    start_text(start);
    write_object(w, json_pack("{s:i,s:s,s:s,s:s}", "trace", 1, "side", "client", "host", host,
                              "start", start));
    return w;
}

const struct rx_tap *trace_tap(const struct trace_writer *w)
{
    return &w->tap;
}

bool trace_close(struct trace_writer *w)
{
    if (w == NULL)
        return true;
    check(w, fclose(w->file) == 0);
    bool good = !w->failed;
    int error = w->error;
    free(w);
    errno = error;
    return good;
}
