/* rexec ping HOST: how far it is, and what time it is there. */
#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "rexec/buffer.h"
#include "rexec/escape.h"
#include "rexec/reach.h"
#include "rexec/report.h"
#include "rexec/result.h"
#include "rexec/verbs.h"

enum { BILLION = 1000000000 };

struct ping {
    struct options *options;
    struct reach reach;
    struct rx_welcome welcome;
    const char *suite;
    int64_t begun; /* all times in nanoseconds */
    int64_t handshake;
    unsigned sent, received;
    uint8_t token[8]; /* of the PING that has no answer yet */
    bool asked;       /* there is one */
    struct event deadline;
    int64_t sent_at, sent_real;
    int64_t least, most, sum;
    bool clock;     /* the server has one */
    int64_t offset; /* of the quickest round trip */
    struct rx_failure failure;
};

static int64_t now(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * BILLION + t.tv_nsec;
}

static void fail(struct ping *p, const struct rx_failure *failure)
{
    p->failure = *failure;
    reach_stop(&p->reach);
}

/* What a PING may take: as much as connecting. 0: for ever. */
static long most_seconds(const struct ping *p)
{
    long seconds = settings_seconds(&p->options->settings, SETTING_TIMEOUT);
    if (settings_get(&p->options->settings, SETTING_TIMEOUT) == NULL)
        return RX_CONNECT_SECONDS;
    return seconds > 0 ? seconds : 0;
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
    struct ping *p = user;
    struct rx_failure failure;
    (void)fd;
    (void)what;
    rx_failure_set(&failure, RX_TROUBLE_TIMEOUT, "no answer to a PING in %ld seconds",
                   most_seconds(p));
    rx_failure_todo(&failure, "check the network and the server, or raise ConnectTimeout");
    fail(p, &failure);
}

static void send_next(struct ping *p)
{
    const struct timeval most = {.tv_sec = most_seconds(p)};
    rx_put64(p->token, p->sent);
    p->sent++;
    p->asked = true;
    p->sent_real = now(CLOCK_REALTIME);
    p->sent_at = now(CLOCK_MONOTONIC);
    if (most.tv_sec > 0)
        (void)event_add(&p->deadline, &most);
    enum rx_error error = rx_connection_ping(reach_connection(&p->reach), p->token);
    if (error == RX_OK)
        return;
    struct rx_failure failure;
    rx_failure_set(&failure, RX_TROUBLE_PROTOCOL, "%s", rx_error_text(error));
    fail(p, &failure);
}

/* The server's clock is taken to have been read half-way. One that cannot be, or that is so far off
 * that it cannot be told, is none. */
static void take_clock(struct ping *p, uint64_t clock, int64_t trip)
{
    const int64_t far = INT64_MAX / 2; /* the year 2116 */
    int64_t here = p->sent_real + trip / 2;
    p->clock = clock != 0 && clock < (uint64_t)far && here > -far && here < far;
    p->offset = p->clock ? (int64_t)clock - here : 0;
}

/* Only what answers our PING counts: the connection asks for itself, too. */
static void on_pong(struct ping *p, const struct rx_client_event *event)
{
    if (!p->asked || memcmp(event->token, p->token, sizeof p->token) != 0)
        return;
    p->asked = false;
    (void)event_del(&p->deadline);
    int64_t trip = now(CLOCK_MONOTONIC) - p->sent_at;
    if (p->received == 0 || trip < p->least) {
        p->least = trip;
        take_clock(p, event->clock, trip);
    }
    if (trip > p->most)
        p->most = trip;
    p->sum += trip;
    p->received++;
    if (p->received < p->options->count) {
        send_next(p);
    } else {
        reach_stop(&p->reach);
    }
}

static void on_event(void *user, const struct rx_client_event *event)
{
    struct ping *p = user;
    struct rx_failure failure;
    switch (event->what) {
    case RX_ON_WELCOME:
        p->handshake = now(CLOCK_MONOTONIC) - p->begun;
        p->welcome = event->header->welcome;
        p->suite = rx_connection_suite(reach_connection(&p->reach));
        (void)event_assign(&p->deadline, p->reach.base, -1, 0, on_deadline, p);
        send_next(p);
        break;
    case RX_ON_PONG:
        on_pong(p, event);
        break;
    case RX_ON_GOAWAY:
        rx_failure_notice(&failure, RX_TROUBLE_PROTOCOL, &event->header->notice);
        fail(p, &failure);
        break;
    default:
        break;
    }
}

static void on_ended(void *user, const struct rx_failure *failure)
{
    fail(user, failure);
}

/* ---- what is said ----------------------------------------------------------------------- */

/* The format is the user's own, and can do no more than make a long text. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

/* The server's time by the user's format; the caller frees it. NULL: no memory, or no time. */
static char *format_time(const struct ping *p)
{
    const char *format = p->options->format != NULL ? p->options->format : "%Y-%m-%d %H:%M:%S %z";
    int64_t there = now(CLOCK_REALTIME) + (p->clock ? p->offset : 0);
    time_t seconds = p->clock ? (time_t)(there / BILLION) : (time_t)(p->welcome.time_us / 1000000);
    struct tm parts;
    if ((p->options->utc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts)) == NULL)
        return NULL;
    /* strftime gives 0 both for "too small" and for an empty text: a byte more tells them apart. */
    size_t length = strlen(format);
    char *longer = malloc(length + 2);
    if (longer == NULL)
        return NULL;
    longer[0] = ' ';
    memcpy(longer + 1, format, length + 1);
    char *text = NULL;
    for (size_t cap = length + 256; cap < (size_t)1 << 24; cap *= 2) {
        char *larger = realloc(text, cap);
        if (larger == NULL)
            break;
        text = larger;
        size_t n = strftime(text, cap, longer, &parts);
        if (n > 0) {
            memmove(text, text + 1, n);
            free(longer);
            return text;
        }
    }
    free(longer);
    free(text);
    return NULL;
}

#pragma GCC diagnostic pop

static double milliseconds(int64_t ns)
{
    return (double)ns / 1e6;
}

static bool tell_text(const struct ping *p, const char *when)
{
    char text[1024];
    char escaped[2048];
    int n =
        snprintf(text, sizeof text, "%s: %s, %s, %s, suite %s", p->options->host, p->welcome.server,
                 p->welcome.version, rx_driver_address(p->reach.driver), p->suite);
    if (n < 0)
        return false;
    size_t used = rx_escape(text, strlen(text), escaped, sizeof escaped);
    struct buffer out = {0};
    bool done = buffer_add(&out, escaped, used);
    n = snprintf(text, sizeof text,
                 "\nhandshake %.3f ms\nround trip min/avg/max %.3f/%.3f/%.3f ms, %u of %u\n",
                 milliseconds(p->handshake), milliseconds(p->least),
                 milliseconds(p->sum / p->received), milliseconds(p->most), p->received, p->sent);
    done = done && n > 0 && buffer_add(&out, text, (size_t)n);
    if (p->clock) {
        n = snprintf(text, sizeof text, "clock offset %+.3f ms (+-%.3f ms)\n",
                     milliseconds(p->offset), milliseconds(p->least / 2));
        done = done && n > 0 && buffer_add(&out, text, (size_t)n);
    }
    done = done && buffer_add(&out, "time ", 5) && buffer_add(&out, when, strlen(when)) &&
           buffer_add(&out, "\n", 1) && print_all(out.bytes, out.n);
    buffer_clear(&out);
    return done;
}

static bool tell_json(const struct ping *p, const char *when)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s*}", "host",
                  p->options->host, "server", p->welcome.server, "version", p->welcome.version,
                  "address", rx_driver_address(p->reach.driver), "suite", p->suite, "handshake_ns",
                  (json_int_t)p->handshake, "min_ns", (json_int_t)p->least, "avg_ns",
                  (json_int_t)(p->sum / p->received), "max_ns", (json_int_t)p->most, "sent",
                  (json_int_t)p->sent, "received", (json_int_t)p->received, "time", when);
    if (object != NULL && p->clock)
        (void)json_object_set_new(object, "offset_ns", json_integer(p->offset));
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text == NULL)
        report(NULL, "the host or the time is no UTF-8, which JSON wants", "see --format");
    struct buffer line = {0};
    bool done = text != NULL && buffer_add(&line, text, strlen(text)) && buffer_add(&line, "\n", 1);
    done = done && print_all(line.bytes, line.n);
    buffer_clear(&line);
    free(text);
    json_decref(object);
    return done;
}

static bool tell(const struct ping *p)
{
    (void)setlocale(LC_TIME, "");
    char *when = format_time(p);
    if (when == NULL) {
        report(p->options->host, "the server's time cannot be shown in this format",
               "see strftime(3)");
        return false;
    }
    bool done = p->options->json ? tell_json(p, when) : tell_text(p, when);
    free(when);
    return done;
}

int verb_ping(struct options *o)
{
    struct ping p = {
        .options = o,
        .reach = {.event = on_event, .ended = on_ended, .user = &p},
    };
    bool done = false;
    if (o->word_count > 0) {
        report(NULL, "ping wants one host", "rexec ping [-c N] [--format FORMAT] HOST");
        return EXIT_REXEC;
    }
    p.begun = now(CLOCK_MONOTONIC);
    if (reach_open(&p.reach, o, &p.failure)) {
        reach_run(&p.reach);
        done = p.failure.trouble == RX_TROUBLE_NONE && p.received > 0 && tell(&p);
    }
    int status = done ? 0 : print_status();
    if (p.failure.trouble != RX_TROUBLE_NONE) {
        if (o->json && !result_print_failure(o->host, &p.failure, STDOUT_FILENO))
            status = print_failed(errno);
        report_failure(o->host, &p.failure);
    }
    if (event_initialized(&p.deadline))
        (void)event_del(&p.deadline);
    reach_close(&p.reach);
    return status;
}
