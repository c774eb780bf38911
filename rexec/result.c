#include "rexec/result.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/escape.h"
#include "rexec/report.h"
#include "rexec/signals.h"

static const char INCOMPLETE[] = "incomplete";

void result_exited(struct result *r, const struct rx_client_event *event)
{
    r->exited = true;
    r->exit = event->header->exit;
    memcpy(r->counts, event->counts, sizeof r->counts);
}

/* Refusals of commands that were asked for before, or may have been. */
static bool is_of_the_past(unsigned code)
{
    return code == RX_E_FATE_UNKNOWN || code == RX_E_DATA_LOST || code == RX_E_DUPLICATE_ID;
}

bool result_failed(struct result *r, const struct rx_failure *failure,
                   const struct rx_command *command, bool refused)
{
    r->exited = false;
    r->failure = *failure;
    if (rx_command_started(command))
        rx_failure_todo(&r->failure,
                        "it was started, and how it ended is not known: look what it has done");
    else if (!refused && rx_command_asked(command))
        rx_failure_todo(&r->failure, "whether it was started is not known: look what it has done");
    else
        return refused && is_of_the_past(failure->code);
    return true;
}

int result_status(const struct result *r)
{
    if (r->given_up != 0)
        return r->given_up;
    if (!r->exited)
        return EXIT_REXEC;
    if (r->exit.signal[0] == '\0')
        return (int)r->exit.code;
    int number = signal_number(r->exit.signal);
    return number > 0 ? 128 + number : EXIT_REXEC;
}

bool result_unknown_signal(const struct result *r)
{
    return r->exited && r->exit.signal[0] != '\0' && signal_number(r->exit.signal) == 0;
}

/* ---- the object, but for the output ----------------------------------------------------- */

/* A name with a new value, which is given away; a value that could not be made shows at the end,
 * and so does one that is not complete itself. */
static void set(json_t *object, const char *name, json_t *value)
{
    bool complete = json_object_get(value, INCOMPLETE) == NULL;
    if (json_object_set_new(object, name, value) != 0 || !complete)
        (void)json_object_set_new(object, INCOMPLETE, json_true());
}

static void set_integer(json_t *object, const char *name, int64_t value)
{
    if (value != RX_ABSENT)
        set(object, name, json_integer(value));
}

static void set_count(json_t *object, const char *name, uint64_t value)
{
    set(object, name, json_integer((json_int_t)value));
}

/* Bytes as text, if that is what they are; else in base64 under NAME_base64. For short ones. */
static void set_bytes(json_t *object, const char *name, const void *bytes, size_t n)
{
    if (n == 0 || rx_utf8_valid(bytes, n)) {
        set(object, name, json_stringn(n > 0 ? bytes : "", n));
        return;
    }
    size_t cap = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(cap);
    char longer[32];
    (void)snprintf(longer, sizeof longer, "%s_base64", name);
    if (text != NULL)
        (void)sodium_bin2base64(text, cap, bytes, n, sodium_base64_VARIANT_ORIGINAL);
    set(object, longer, text != NULL ? json_string(text) : NULL);
    free(text);
}

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text[0] != '\0')
        set_bytes(object, name, text, strlen(text));
}

static json_t *rusage_json(const struct rx_rusage *u)
{
    json_t *object = json_object();
    set_integer(object, "utime_us", u->utime_us);
    set_integer(object, "stime_us", u->stime_us);
    set_integer(object, "maxrss_kib", u->maxrss_kib);
    set_integer(object, "minflt", u->minflt);
    set_integer(object, "majflt", u->majflt);
    set_integer(object, "inblock", u->inblock);
    set_integer(object, "oublock", u->oublock);
    set_integer(object, "nvcsw", u->nvcsw);
    set_integer(object, "nivcsw", u->nivcsw);
    return object;
}

static void set_exit(json_t *object, const struct result *r)
{
    const struct rx_exit *e = &r->exit;
    if (e->signal[0] != '\0') {
        set_text(object, "signal", e->signal);
    } else {
        set_integer(object, "code", e->code);
    }
    set(object, "core", json_boolean(e->core));
    set_text(object, "by", e->by);
    set_text(object, "detail", e->detail);
    set_integer(object, "start_us", e->start_us);
    set_integer(object, "end_us", e->end_us);
    set_count(object, "stdin_bytes", r->counts[RX_WHICH_STDIN]);
    set_count(object, "stdout_bytes", r->counts[RX_WHICH_STDOUT]);
    set_count(object, "stderr_bytes", r->counts[RX_WHICH_STDERR]);
    set(object, "rusage", rusage_json(&e->rusage));
    json_t *holders = json_array();
    bool complete = true;
    for (size_t i = 0; i < e->holders.count; i++)
        complete =
            json_array_append_new(holders, json_integer(e->holders.pids[i])) == 0 && complete;
    set(object, "holders", complete ? holders : NULL);
    if (!complete)
        json_decref(holders);
}

static json_t *failure_json(const struct rx_failure *failure)
{
    json_t *object = json_object();
    if (failure->code != 0) {
        set_integer(object, "code", failure->code);
        set_text(object, "name", rx_error_name(failure->code));
    }
    set_bytes(object, "text", failure->what, strlen(failure->what));
    set_text(object, "todo", failure->todo);
    return object;
}

static json_t *result_object(const struct result *r)
{
    char id[RX_COMMAND_ID_SIZE * 2 + 1];
    json_t *object = json_object();
    if (object == NULL)
        return NULL;
    if (r->line != 0)
        set_count(object, "line", r->line);
    set_text(object, "id", sodium_bin2hex(id, sizeof id, r->id, sizeof r->id));
    set_text(object, "host", r->host);
    if (r->command != NULL)
        set_bytes(object, "command", r->command, strlen(r->command));
    set_integer(object, "status", result_status(r));
    if (r->exited)
        set_exit(object, r);
    if (!r->exited)
        set(object, "error", failure_json(&r->failure));
    return object;
}

/* ---- a line on its way out -------------------------------------------------------------- */

enum {
    PIECE = 16 * 1024,
    CODED = 3 * 1024, /* bytes of base64 at once: without padding but for the last */
};

struct line {
    int fd;
    int error; /* errno of the first failure */
    size_t n;
    char piece[PIECE];
};

static void flush(struct line *l)
{
    if (l->error == 0 && !write_all(l->fd, l->piece, l->n))
        l->error = errno;
    l->n = 0;
}

static void put(struct line *l, const char *bytes, size_t n)
{
    while (n > 0) {
        if (l->n == sizeof l->piece)
            flush(l);
        size_t room = sizeof l->piece - l->n;
        size_t take = n < room ? n : room;
        memcpy(l->piece + l->n, bytes, take);
        l->n += take;
        bytes += take;
        n -= take;
    }
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* RFC 8259, 7. */
static void put_escaped(struct line *l, const char *bytes, size_t n)
{
    static const char letters[] = "btn?fr"; /* of 8 to 13; 11 has none */
    size_t from = 0;
    for (size_t at = 0; at < n && l->error == 0; at++) {
        unsigned char c = (unsigned char)bytes[at];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(l, bytes + from, at - from);
        from = at + 1;
        char code[8] = {'\\', (char)c};
        if (c >= 8 && c <= 13 && c != 11)
            code[1] = letters[c - 8];
        else if (c < 0x20)
            (void)snprintf(code, sizeof code, "\\u%04x", c);
        put_text(l, code);
    }
    put(l, bytes + from, n - from);
}

static void put_base64(struct line *l, const char *bytes, size_t n)
{
    char text[CODED / 3 * 4 + 1];
    for (size_t at = 0; at < n && l->error == 0; at += CODED) {
        size_t some = n - at < CODED ? n - at : CODED;
        put_text(l, sodium_bin2base64(text, sizeof text, (const unsigned char *)bytes + at, some,
                                      sodium_base64_VARIANT_ORIGINAL));
    }
}

/* As set_bytes, for any length. */
static void put_output(struct line *l, const char *name, const struct buffer *output)
{
    if (output == NULL)
        return;
    bool text = output->n == 0 || rx_utf8_valid(output->bytes, output->n);
    put_text(l, ",\"");
    put_text(l, name);
    put_text(l, text ? "\":\"" : "_base64\":\"");
    if (text) {
        put_escaped(l, output->n > 0 ? output->bytes : "", output->n);
    } else {
        put_base64(l, output->bytes, output->n);
    }
    put_text(l, "\"");
}

static int put_dumped(const char *bytes, size_t n, void *user)
{
    put(user, bytes, n);
    return 0;
}

/* Takes the object. */
static bool print_object(json_t *object, const struct buffer *output, const struct buffer *error,
                         int fd)
{
    bool incomplete = json_object_get(object, INCOMPLETE) != NULL;
    struct line line = {.fd = fd};
    /* Straight to the line, as jansson does not look at each of its own failures to keep it. */
    bool dumped = object != NULL &&
                  json_dump_callback(object, put_dumped, &line, JSON_COMPACT) == 0 && line.n > 0;
    json_decref(object);
    if (!dumped) {
        errno = ENOMEM;
        return false;
    }
    line.n--; /* but for the brace */
    put_output(&line, "stdout", output);
    put_output(&line, "stderr", error);
    put_text(&line, "}\n");
    flush(&line);
    if (line.error == 0 && incomplete)
        line.error = ENOMEM;
    errno = line.error;
    return line.error == 0;
}

bool result_print(const struct result *r, const struct buffer *output, const struct buffer *error,
                  int fd)
{
    return print_object(result_object(r), output, error, fd);
}

bool result_print_failure(const char *host, const struct rx_failure *failure, int fd)
{
    json_t *object = json_object();
    if (object != NULL) {
        set_bytes(object, "host", host, strlen(host));
        set_integer(object, "status", EXIT_REXEC);
        set(object, "error", failure_json(failure));
    }
    return print_object(object, NULL, NULL, fd);
}
