#include "rexec/trace_read.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/escape.h"

enum { NO_MEMORY = -1, WRONG = 0, GOOD = 1 };

static void *grow(void *list, size_t count, size_t size)
{
    void *bigger = list;
    if ((count & (count - 1)) == 0)
        bigger = realloc(list, (count > 0 ? 2 * count : 1) * size);
    if (bigger != NULL)
        memset((char *)bigger + count * size, 0, size);
    return bigger;
}

static bool natural(const json_t *line, const char *name, uint64_t *value)
{
    const json_t *number = json_object_get(line, name);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return false;
    *value = (uint64_t)json_integer_value(number);
    return true;
}

static bool text(const json_t *line, const char *name, char *out, size_t cap)
{
    const char *s = json_string_value(json_object_get(line, name));
    if (s == NULL)
        return false;
    (void)rx_escape(s, strlen(s), out, cap);
    return true;
}

static int read_connection(struct trace *t, const json_t *line)
{
    struct trace_connection *list = grow(t->connections, t->connection_count, sizeof *list);
    if (list == NULL)
        return NO_MEMORY;
    t->connections = list;
    struct trace_connection *c = &list[t->connection_count++];
    return text(line, "address", c->address, sizeof c->address) ? GOOD : WRONG;
}

/* Bytes follow on each other: a gap would be a lie. */
static int read_call(struct trace_way *way, const json_t *line, const char *name)
{
    struct trace_call *list = grow(way->calls, way->call_count, sizeof *list);
    uint64_t ns;
    if (list == NULL)
        return NO_MEMORY;
    way->calls = list;
    struct trace_call *c = &list[way->call_count];
    uint64_t expected = way->call_count > 0 ? c[-1].at + c[-1].n : 0;
    if (!natural(line, name, &c->n) || !natural(line, "at", &c->at) || !natural(line, "ns", &ns) ||
        c->at != expected || c->n > INT64_MAX - c->at)
        return WRONG;
    c->ns = (int64_t)ns;
    way->call_count++;
    return GOOD;
}

/* The names of records are words of the protocol, or ? for what is none. */
static bool is_name(const char *s)
{
    static const char of[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_?";
    return s[0] != '\0' && s[strspn(s, of)] == '\0';
}

static int read_record(struct trace_way *way, const json_t *line)
{
    struct trace_record *list = grow(way->records, way->record_count, sizeof *list);
    uint64_t stream = 0;
    if (list == NULL)
        return NO_MEMORY;
    way->records = list;
    struct trace_record *r = &list[way->record_count];
    uint64_t expected = way->record_count > 0 ? r[-1].at + r[-1].n : 0;
    if (!text(line, "record", r->name, sizeof r->name) || !is_name(r->name) ||
        !natural(line, "at", &r->at) || !natural(line, "bytes", &r->n) || r->at != expected ||
        r->n == 0 || r->n > INT64_MAX - r->at)
        return WRONG;
    r->message = natural(line, "stream", &stream) && stream <= UINT32_MAX &&
                 natural(line, "header", &r->header) && natural(line, "body", &r->body);
    r->stream = (uint32_t)stream;
    r->last = json_is_true(json_object_get(line, "last"));
    way->record_count++;
    return GOOD;
}

/* `side` is not in the files of older versions, which were all a client's. */
static bool read_start(struct trace *t, const json_t *line)
{
    uint64_t version;
    const json_t *side = json_object_get(line, "side");
    const char *name = json_string_value(side);
    t->server = name != NULL && strcmp(name, "server") == 0;
    return (side == NULL || t->server || (name != NULL && strcmp(name, "client") == 0)) &&
           natural(line, "trace", &version) && version == 1 &&
           text(line, "host", t->host, sizeof t->host) &&
           text(line, "start", t->start, sizeof t->start);
}

static int read_line(struct trace *t, const json_t *line, bool first)
{
    if (first)
        return read_start(t, line) ? GOOD : WRONG;
    if (t->cut)
        return WRONG;
    if (json_object_get(line, "connection") != NULL)
        return read_connection(t, line);
    if (json_object_get(line, "end") != NULL) {
        t->cut = true;
        return GOOD;
    }
    if (t->connection_count == 0)
        return WRONG;
    struct trace_connection *c = &t->connections[t->connection_count - 1];
    if (json_object_get(line, "write") != NULL)
        return read_call(&c->out, line, "write");
    if (json_object_get(line, "read") != NULL)
        return read_call(&c->in, line, "read");
    const char *way = json_string_value(json_object_get(line, "dir"));
    if (way == NULL || (strcmp(way, "in") != 0 && strcmp(way, "out") != 0))
        return WRONG;
    return read_record(way[0] == 'i' ? &c->in : &c->out, line);
}

static bool wrong(struct rx_failure *failure, const char *path, const char *what, size_t number)
{
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%.256s: %s (line %zu)", path, what, number);
    rx_failure_todo(failure,
                    "name a file that `rexec --trace FILE HOST COMMAND` or rexecd has written");
    return false;
}

static bool read_lines(FILE *file, const char *path, struct trace *t, struct rx_failure *failure)
{
    char *bytes = NULL;
    size_t cap = 0, number = 0;
    int status = GOOD;
    ssize_t n;
    while (status == GOOD && (n = getline(&bytes, &cap, file)) > 0 && bytes[n - 1] == '\n') {
        json_t *line = json_loadb(bytes, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        status = line != NULL ? read_line(t, line, number == 0) : WRONG;
        json_decref(line);
        number++;
    }
    free(bytes);
    if (status == NO_MEMORY)
        return wrong(failure, path, "out of memory", number);
    return (status == GOOD && number > 0) ||
           wrong(failure, path, "this is no line of a trace", number > 0 ? number : 1);
}

bool trace_read(const char *path, struct trace *t, struct rx_failure *failure)
{
    *t = (struct trace){0};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot read %.256s: %s", path, strerror(errno));
        rx_failure_todo(failure, "name a file that `rexec --trace` or rexecd has written");
        return false;
    }
    bool done = read_lines(file, path, t, failure);
    (void)fclose(file);
    return done;
}

void trace_clear(struct trace *t)
{
    for (size_t i = 0; i < t->connection_count; i++) {
        struct trace_connection *c = &t->connections[i];
        free(c->in.calls);
        free(c->in.records);
        free(c->out.calls);
        free(c->out.records);
    }
    free(t->connections);
    *t = (struct trace){0};
}
