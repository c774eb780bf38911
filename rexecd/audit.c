#include "rexecd/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/words.h"
#include "rexecd/log.h"

struct audit {
    int fd;
    char *path; /* NULL: stderr */
    bool torn;  /* the file ends in the middle of a line */
};

/* ---- values ----------------------------------------------------------------------------- */

/* How many bytes the UTF-8 character at p has, 0 if it is not one (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (p[0] < forms[i].first_low || p[0] > forms[i].first_high)
            continue;
        size_t length = forms[i].length;
        if (n < length ||
            (length > 1 && (p[1] < forms[i].second_low || p[1] > forms[i].second_high)))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

/* The bytes as a JSON string, with U+FFFD for what is not UTF-8; *exact becomes false then. */
static json_t *text_value(const uint8_t *bytes, size_t n, bool *exact)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *out = malloc(3 * n + 1);
    size_t len = 0;
    if (out == NULL)
        return NULL;
    for (size_t at = 0; at < n;) {
        size_t length = utf8_length(bytes + at, n - at);
        const void *from = length > 0 ? (const void *)(bytes + at) : replacement;
        size_t more = length > 0 ? length : sizeof replacement - 1;
        memcpy(out + len, from, more);
        len += more;
        at += length > 0 ? length : 1;
        if (length == 0)
            *exact = false;
    }
    json_t *value = json_stringn(out, len);
    free(out);
    return value;
}

static json_t *base64_value(const uint8_t *bytes, size_t n)
{
    size_t cap = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    char *out = malloc(cap);
    if (out == NULL)
        return NULL;
    (void)sodium_bin2base64(out, cap, bytes, n, sodium_base64_VARIANT_ORIGINAL);
    json_t *value = json_string(out);
    free(out);
    return value;
}

/* A name with a value; a NULL value leaves the name out. The object may be NULL: no memory. */
static void put(json_t *object, const char *name, json_t *value)
{
    if (value != NULL)
        (void)json_object_set_new(object, name, value);
}

static void put_text(json_t *object, const char *name, const char *text)
{
    bool exact = true;
    if (text != NULL)
        put(object, name, text_value((const uint8_t *)text, strlen(text), &exact));
}

static void put_number(json_t *object, const char *name, uint64_t n)
{
    put(object, name, json_integer((json_int_t)n));
}

static void put_hex(json_t *object, const char *name, const uint8_t *bytes, size_t n)
{
    char hex[2 * 32 + 1];
    put(object, name, json_string(sodium_bin2hex(hex, sizeof hex, bytes, n)));
}

/* YYYY-MM-DDTHH:MM:SS.uuuuuuZ. */
static void put_time(json_t *object, const char *name, int64_t us)
{
    char date[32], text[64];
    struct tm parts;
    time_t seconds = (time_t)(us / 1000000);
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return;
    (void)snprintf(text, sizeof text, "%s.%06dZ", date, (int)(us % 1000000));
    put(object, name, json_string(text));
}

/* ---- records ---------------------------------------------------------------------------- */

static json_t *begin(const char *kind, const struct audit_who *who, int64_t now_us)
{
    char peer[RX_SOURCE_TEXT_MAX];
    json_t *object = json_object();
    put_time(object, "time", now_us);
    put_text(object, "record", kind);
    put_text(object, "principal", who->principal);
    put_hex(object, "kid", who->kid, sizeof who->kid);
    put_hex(object, "session", who->session, sizeof who->session);
    (void)rx_source_print(&who->peer, peer);
    put_text(object, "from", peer);
    if (who->port != 0)
        put_number(object, "port", who->port);
    return object;
}

/* The line of an object, which is freed. */
static char *end(json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    if (text == NULL)
        return NULL;
    /* DEL is ASCII, too, and only within strings. */
    static const char del[] = "\\u007f";
    size_t n = 0, extra = 0;
    for (const char *p = text; *p != '\0'; p++, n++)
        extra += *p == 0x7f ? sizeof del - 2 : 0;
    char *line = malloc(n + extra + 2), *to = line;
    for (const char *p = text; line != NULL && *p != '\0'; p++) {
        if (*p == 0x7f)
            to = stpcpy(to, del);
        else
            *to++ = *p;
    }
    if (line != NULL)
        memcpy(to, "\n", 2);
    free(text);
    return line;
}

char *audit_session_line(const struct audit_session *r, int64_t now_us)
{
    json_t *object = begin("session", &r->who, now_us);
    put_text(object, "suite", r->suite);
    put_time(object, "start", r->start_us);
    put_time(object, "end", r->end_us);
    put_text(object, "how", r->how);
    put_text(object, "error", r->error);
    put_number(object, "commands", r->commands);
    put_number(object, "received", r->received);
    put_number(object, "sent", r->sent);
    return end(object);
}

/* One kind of words as an array, and, if some are not UTF-8, all of them in base64 besides. */
static void put_words(json_t *object, const struct audit_command *r)
{
    json_t *texts = json_array(), *raw = json_array();
    struct rx_word word;
    size_t recorded = 0, total = 0;
    bool exact = true;
    for (size_t at = 0; rx_words_next(r->words, r->words_len, &at, &word);) {
        if (word.kind == RX_WORD_DIRECTORY) {
            bool plain = true;
            put(object, "directory", text_value(word.bytes, word.len, &plain));
            if (!plain)
                put(object, "directory_base64", base64_value(word.bytes, word.len));
        }
        if (word.kind != RX_WORD_ARGUMENT)
            continue;
        size_t left = AUDIT_WORDS_MAX - recorded, n = word.len < left ? word.len : left;
        total += word.len;
        recorded += n;
        /* Empty words cost, too. */
        if (json_array_size(texts) < AUDIT_WORDS_MAX / 8) {
            (void)json_array_append_new(texts, text_value(word.bytes, n, &exact));
            (void)json_array_append_new(raw, base64_value(word.bytes, n));
        } else {
            total++;
        }
    }
    put(object, "words", texts);
    if (recorded < total)
        put_number(object, "words_bytes", total);
    if (!exact)
        put(object, "words_base64", raw);
    else
        json_decref(raw);
}

static void put_exit(json_t *object, const struct audit_command *r)
{
    static const char *const streams[] = {"stdin", "stdout", "stderr"};
    const struct rx_exit *x = r->exit;
    put_time(object, "start", x->start_us);
    put_time(object, "end", x->end_us);
    if (x->code >= 0)
        put_number(object, "code", (uint64_t)x->code);
    else
        put_text(object, "signal", x->signal);
    if (x->core)
        put(object, "core", json_true());
    put_text(object, "by", x->by);
    if (x->detail[0] != '\0')
        put_text(object, "detail", x->detail);
    if (r->unfinished)
        put(object, "unfinished", json_true());
    for (size_t i = 0; i < sizeof streams / sizeof streams[0] && !r->unfinished; i++)
        put_number(object, streams[i], r->bytes[i]);
    put_number(object, "utime_us", (uint64_t)x->rusage.utime_us);
    put_number(object, "stime_us", (uint64_t)x->rusage.stime_us);
    put_number(object, "maxrss_kib", (uint64_t)x->rusage.maxrss_kib);
}

char *audit_command_line(const struct audit_command *r, int64_t now_us)
{
    json_t *object = begin("command", &r->who, now_us);
    put_hex(object, "id", r->id, sizeof r->id);
    put_text(object, "run", r->run);
    put_text(object, "user", r->user);
    put_words(object, r);
    put_text(object, "label", r->label);
    put_text(object, "forced", r->forced);
    if (r->pid > 0)
        put_number(object, "pid", (uint64_t)r->pid);
    if (r->resumed > 0)
        put_number(object, "resumed", r->resumed);
    put_text(object, "refused", r->refused);
    put_text(object, "text", r->text);
    if (r->exit != NULL)
        put_exit(object, r);
    return end(object);
}

/* ---- the file --------------------------------------------------------------------------- */

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
}

struct audit *audit_open(const char *where)
{
    errno = 0;
    if (strcmp(where, "none") == 0)
        return NULL;
    struct audit *audit = calloc(1, sizeof *audit);
    if (audit == NULL)
        return NULL;
    audit->fd = STDERR_FILENO;
    if (strcmp(where, "stderr") == 0)
        return audit;
    audit->path = strdup(where);
    audit->fd = audit->path != NULL ? open_file(where) : -1;
    if (audit->fd >= 0)
        return audit;
    int saved = errno;
    audit_close(audit);
    errno = saved;
    return NULL;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->path != NULL && audit->fd >= 0)
        (void)close(audit->fd);
    free(audit->path);
    free(audit);
}

int audit_reopen(struct audit *audit)
{
    if (audit == NULL || audit->path == NULL)
        return 0;
    struct stat before, after;
    int fd = open_file(audit->path);
    if (fd < 0)
        return -1;
    if (fstat(audit->fd, &before) == 0 && fstat(fd, &after) == 0 &&
        (before.st_dev != after.st_dev || before.st_ino != after.st_ino))
        audit->torn = false;
    (void)close(audit->fd);
    audit->fd = fd;
    return 0;
}

static int64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whole, or not at all as far as the file system goes; frees the line. What is left of one that was
 * cut short must not spoil the next. */
static void write_line(struct audit *audit, char *line)
{
    size_t n = line != NULL ? strlen(line) : 0, at = 0;
    audit->torn = audit->torn && write(audit->fd, "\n", 1) != 1;
    while (!audit->torn && at < n) {
        ssize_t written = write(audit->fd, line + at, n - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        at += (size_t)written;
    }
    audit->torn |= at > 0 && at < n;
    if (line == NULL || at < n)
        log_error("an audit record is lost: %s", strerror(line == NULL ? ENOMEM : errno));
    free(line);
}

void audit_session(struct audit *audit, const struct audit_session *record)
{
    if (audit != NULL)
        write_line(audit, audit_session_line(record, now_us()));
}

void audit_command(struct audit *audit, const struct audit_command *record)
{
    if (audit != NULL)
        write_line(audit, audit_command_line(record, now_us()));
}
