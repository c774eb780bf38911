/*
 * rexec batch HOST: each line of stdin is a command, all over one connection. Results come in the
 * order of the lines, or as they come. In order, what later commands write stays in their windows
 * until it is their turn, so that memory stays bounded; otherwise each one's output is collected
 * until it has ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "rexec/command_line.h"
#include "rexec/encoding.h"
#include "rexec/reach.h"
#include "rexec/report.h"
#include "rexec/result.h"
#include "rexec/sink.h"
#include "rexec/verbs.h"

enum {
    JOBS_DEFAULT = 16,
    READ_MAX = 16 * 1024,
    ASK_AT_ONCE = 1024 * 1024, /* bytes of lines, before they are sent */
    LINE_MAX_BYTES = RX_WORDS_MAX,
    UNASKED_MAX = 64 * 1024 * 1024, /* bytes that are read only to count their lines */
    AHEAD_MAX = 64, /* over, but not shown: the server keeps them until then, and not for ever */
};

/* One line of stdin. */
struct job {
    TAILQ_ENTRY(job) link;
    struct batch *batch;
    struct rx_command *command;
    struct sink output, error;
    struct result result;
    char *line; /* NULL: it was too long, or had a NUL in it */
    bool runs;  /* the server has been asked for it, and has not said how it ended */
    bool over;  /* how it ended is in the result */
    bool lost;  /* it ran, or may have, and nobody knows how it ended */
};

struct batch {
    struct options *options;
    struct reach reach;
    struct event reading;
    struct buffer input; /* read, and not yet asked for */
    bool welcomed, reads, input_ended;
    bool going;    /* no more commands can be run; `failure` says why */
    bool skipping; /* the rest of a line that is too long is dropped */
    uint64_t lines;
    unsigned running, limit;
    unsigned held;                  /* jobs in the list */
    TAILQ_HEAD(job_list, job) jobs; /* in the order of their lines */
    bool collects;                  /* outputs are shown when they are complete */
    bool failed;                    /* some command did not end with 0 */
    bool short_of_memory;           /* some result was not shown as it should be */
    bool stopped;                   /* nothing more is done, nothing more can be shown */
    bool incomplete;                /* something that was asked for has no result */
    int status;                     /* if it is stopped */
    struct rx_failure failure;      /* if it is going or stopped */
};

static void go_on(struct batch *b);

/* ---- the end of a job ------------------------------------------------------------------- */

static void job_free(struct batch *b, struct job *job)
{
    TAILQ_REMOVE(&b->jobs, job, link);
    b->held--;
    sink_clear(&job->output);
    sink_clear(&job->error);
    rx_command_free(job->command);
    free(job->line);
    free(job);
}

static void stop(struct batch *b, int status)
{
    b->stopped = true;
    b->status = status;
    reach_stop(&b->reach);
}

/* The results cannot be written: as with a local command, silent if nobody reads them any more. */
static void output_failed(struct batch *b, int error)
{
    if (b->stopped)
        return;
    if (error == EPIPE) {
        stop(b, print_failed(error));
        return;
    }
    rx_failure_set(&b->failure, RX_TROUBLE_SYSTEM, "cannot write the results: %s", strerror(error));
    rx_failure_todo(&b->failure, "make room there, and run what is left again");
    stop(b, EXIT_REXEC);
}

/* No more commands can be run; what runs and what is over goes on. The first reason counts. */
static void ask_no_more(struct batch *b, const struct rx_failure *failure)
{
    if (!b->going && !b->stopped)
        b->failure = *failure;
    b->going = true;
}

static void ask_no_more_for(struct batch *b, const char *what, int error)
{
    struct rx_failure failure;
    rx_failure_set(&failure, RX_TROUBLE_SYSTEM, "%s: %s", what, strerror(error));
    ask_no_more(b, &failure);
    b->incomplete = true;
}

/* How it ended is in its result. */
static void job_over(struct batch *b, struct job *job)
{
    b->running -= job->runs;
    job->runs = false;
    job->over = true;
    sink_finish(&job->output);
    sink_finish(&job->error);
}

static void job_failed(struct batch *b, struct job *job, const struct rx_failure *failure)
{
    job->result.exited = false;
    job->result.failure = *failure;
    job_over(b, job);
}

/* One that was asked for. */
static void job_lost(struct batch *b, struct job *job, const struct rx_failure *failure,
                     bool refused)
{
    job->lost = result_failed(&job->result, failure, job->command, refused);
    b->incomplete = b->incomplete || job->lost;
    job_over(b, job);
}

/* What a person wants to know of a command that did not end well. */
static void tell_status(const struct batch *b, const struct job *job)
{
    const struct result *r = &job->result;
    if (b->options->quiet || b->options->json)
        return;
    if (!r->exited) {
        bool advises = job->lost && r->failure.todo[0] != '\0';
        note(b->options->host, "line %llu: %s%s%s", (unsigned long long)r->line, r->failure.what,
             advises ? "; " : "", advises ? r->failure.todo : "");
    } else if (r->exit.signal[0] != '\0') {
        note(b->options->host, "line %llu: killed by %ssignal %s", (unsigned long long)r->line,
             result_unknown_signal(r) ? "unknown " : "", r->exit.signal);
    } else if (r->exit.code != 0) {
        note(b->options->host, "line %llu: exit status %d", (unsigned long long)r->line,
             (int)r->exit.code);
    }
}

/* Shows a job that is over, all of whose output has come. */
static void show(struct batch *b, struct job *job)
{
    bool done = true;
    int error = 0;
    if (b->options->json) {
        done = result_print(&job->result, &job->output.held, &job->error.held, STDOUT_FILENO);
        error = errno;
        if (!done && error == ENOMEM) { /* the others need less, perhaps */
            (void)print_failed(error);
            b->short_of_memory = true;
            done = true;
        }
    } else if (b->collects) {
        done = write_all(STDOUT_FILENO, job->output.held.bytes, job->output.held.n);
        error = errno;
        if (!write_all(STDERR_FILENO, job->error.held.bytes, job->error.held.n) && errno != EPIPE &&
            done) {
            done = false;
            error = errno;
        }
    }
    if (!done) {
        output_failed(b, error);
        return;
    }
    tell_status(b, job);
    b->failed = b->failed || result_status(&job->result) != 0;
}

/* ---- output ----------------------------------------------------------------------------- */

/* The output that was collected is not all there: the command's end is of no use any more. */
static void collecting_failed(struct job *job, const struct sink *sink)
{
    rx_failure_set(&job->result.failure, RX_TROUBLE_SYSTEM, "cannot keep the command's output: %s",
                   sink_error_text(sink));
    job->result.exited = false;
}

/* Moves a job's output on. True if nothing is left of it, and it is over. */
static bool pump_job(struct batch *b, struct job *job)
{
    struct sink *sinks[] = {&job->output, &job->error};
    bool waits = false;
    if (job->command == NULL) /* it was never asked for */
        return job->over;
    for (size_t i = 0; i < 2; i++) {
        enum sink_state state = sink_pump(sinks[i]);
        waits = waits || state == SINK_WAITING;
        if (b->collects && state == SINK_FAILED)
            collecting_failed(job, sinks[i]);
        else if (state == SINK_FAILED || (state == SINK_BROKEN && i == 0))
            output_failed(b, sinks[i]->error);
    }
    return job->over && !waits && !b->stopped;
}

/* In order: the first job's output goes out, and when it is over the next one is first. As they
 * come, or as objects: all are collected, and shown when they are over (and first, if in order). */
static void pump(struct batch *b)
{
    struct job *job = TAILQ_FIRST(&b->jobs);
    while (job != NULL && !b->stopped) {
        struct job *next = TAILQ_NEXT(job, link);
        bool turn = b->options->as_completed || job == TAILQ_FIRST(&b->jobs);
        if ((b->collects || turn) && pump_job(b, job) && turn) {
            show(b, job);
            job_free(b, job);
        } else if (!b->collects) {
            return;
        }
        job = next;
    }
}

static void on_sink(void *user)
{
    go_on(user);
}

/* ---- asking ----------------------------------------------------------------------------- */

static bool start_job(struct batch *b, struct job *job, struct rx_failure *failure)
{
    const struct options *o = b->options;
    struct request request;
    char *words[] = {job->line};
    bool made =
        request_make(&request, o, settings_get(&o->settings, SETTING_USER), words, 1, failure);
    if (made) {
        memcpy(job->result.id, request.exec.id, sizeof job->result.id);
        enum rx_error error =
            rx_connection_exec(reach_connection(&b->reach), &request.exec, request.words,
                               request.words_len, job, &job->command);
        made = error == RX_OK;
        if (!made) {
            rx_failure_set(failure, RX_TROUBLE_COMMAND, "the command cannot be sent: %s",
                           rx_error_text(error));
        }
    }
    request_clear(&request);
    job->output.command = job->error.command = job->command;
    return made;
}

static bool prepare_sinks(struct batch *b, struct job *job, struct rx_failure *failure)
{
    struct transcode *decoders[2] = {NULL, NULL};
    const struct options *o = b->options;
    for (int i = 0; i < 2 && o->encoding != NULL; i++) {
        decoders[i] = encoding_open(o->encoding, o->json, failure);
        if (decoders[i] == NULL) {
            transcode_free(decoders[0]);
            return false;
        }
    }
    sink_init(&job->output, b->reach.base, RX_WHICH_STDOUT, b->collects ? -1 : STDOUT_FILENO,
              decoders[0], on_sink, b);
    sink_init(&job->error, b->reach.base, RX_WHICH_STDERR, b->collects ? -1 : STDERR_FILENO,
              decoders[1], on_sink, b);
    return true;
}

/* The job of the line that was counted last; NULL: no memory, and the line is lost to us. */
static struct job *new_job(struct batch *b)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        b->lines--;
        ask_no_more_for(b, "cannot run more commands", ENOMEM);
        return NULL;
    }
    job->batch = b;
    job->output.own = job->error.own = -1;
    job->output.fd = job->error.fd = -1;
    job->output.which = RX_WHICH_STDOUT;
    job->error.which = RX_WHICH_STDERR;
    job->result = (struct result){.host = b->options->host, .line = b->lines};
    TAILQ_INSERT_TAIL(&b->jobs, job, link);
    b->held++;
    return job;
}

/* Of bytes behind which no NUL stands. */
static char *copy_line(const char *line, size_t n)
{
    char *copy = malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, line, n);
        copy[n] = '\0';
    }
    return copy;
}

static bool add_job(struct batch *b, const char *line, size_t n)
{
    struct job *job = new_job(b);
    if (job == NULL)
        return false;
    struct rx_failure failure;
    job->line = copy_line(line, n);
    job->result.command = job->line;
    rx_failure_set(&failure, RX_TROUBLE_SYSTEM, "%s", strerror(ENOMEM));
    if (job->line != NULL && prepare_sinks(b, job, &failure) && start_job(b, job, &failure)) {
        job->runs = true;
        b->running++;
    } else {
        job_failed(b, job, &failure);
    }
    return true;
}

/* A line that is no command. */
static bool add_bad_line(struct batch *b, const char *why)
{
    struct job *job = new_job(b);
    if (job == NULL)
        return false;
    struct rx_failure failure;
    rx_failure_set(&failure, RX_TROUBLE_COMMAND, "%s", why);
    job_failed(b, job, &failure);
    return true;
}

static bool may_ask(const struct batch *b)
{
    return b->running < b->limit && b->held < b->limit + AHEAD_MAX && !b->going;
}

/* Asks for what stands in the next n bytes of the input, a line. False: it stays there. */
static bool take_line(struct batch *b, size_t n, bool whole)
{
    bool done = true;
    if (!b->skipping && n > 0) {
        b->lines++;
        if (!whole || n > LINE_MAX_BYTES)
            done = add_bad_line(b, "the line is too long for a command");
        else if (memchr(b->input.bytes, '\0', n) != NULL)
            done = add_bad_line(b, "a line with a NUL in it is no command");
        else
            done = add_job(b, b->input.bytes, n);
    } else if (!b->skipping) {
        b->lines++; /* an empty one */
    }
    b->skipping = done ? !whole : b->skipping;
    return done;
}

/* Asks for as many as may run, out of what was read. */
static void ask(struct batch *b)
{
    for (size_t asked = 0; may_ask(b) && !b->stopped && asked < ASK_AT_ONCE && b->input.n > 0;) {
        const char *end = memchr(b->input.bytes, '\n', b->input.n);
        size_t n = end != NULL ? (size_t)(end - b->input.bytes) : b->input.n;
        bool whole = end != NULL || b->input_ended;
        if (!whole && !b->skipping && n <= LINE_MAX_BYTES)
            return;
        if (!take_line(b, n, whole))
            return;
        asked += n;
        buffer_drop(&b->input, end != NULL ? n + 1 : n);
    }
}

/* Reads more only when what is there is used up. */
static void want_input(struct batch *b)
{
    bool wanted = b->welcomed && !b->input_ended && may_ask(b);
    if (wanted && !b->reads) {
        (void)event_add(&b->reading, NULL);
    } else if (!wanted && b->reads) {
        (void)event_del(&b->reading);
    }
    b->reads = wanted;
}

static void go_on(struct batch *b)
{
    bool again;
    do {
        pump(b);
        unsigned held = b->held;
        ask(b);
        /* Lines that are no commands are over at once. */
        again = !b->stopped && b->held > held && b->running == 0;
    } while (again);
    want_input(b);
    if (TAILQ_EMPTY(&b->jobs) && (b->going || (b->input_ended && b->input.n == 0)))
        reach_stop(&b->reach);
    rx_driver_flush(b->reach.driver);
}

static void on_input(evutil_socket_t fd, short what, void *user)
{
    struct batch *b = user;
    (void)what;
    char *room = buffer_room(&b->input, READ_MAX);
    ssize_t n = room != NULL ? read(fd, room, READ_MAX) : -1;
    if (n > 0) {
        b->input.n += (size_t)n;
    } else if (n == 0) {
        b->input_ended = true;
    } else if (room == NULL) {
        ask_no_more_for(b, "cannot read more commands", ENOMEM);
    } else if (errno != EAGAIN && errno != EINTR) {
        ask_no_more_for(b, "cannot read the commands", errno);
    }
    go_on(b);
}

/* ---- what was never asked for ----------------------------------------------------------- */

struct unasked {
    uint64_t lines;
    bool inside; /* a line that is counted, or dropped */
};

static void count_lines(struct unasked *u, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        u->lines += bytes[i] != '\n' && !u->inside;
        u->inside = bytes[i] != '\n';
    }
}

/* The lines that are there without waiting; *all: there are no others. */
static uint64_t count_unasked(struct batch *b, bool *all)
{
    struct unasked u = {.inside = b->skipping};
    char bytes[READ_MAX];
    ssize_t n = 1;
    size_t total = b->input.n;
    if (b->input.n > 0)
        count_lines(&u, b->input.bytes, b->input.n);
    while (!b->input_ended && n > 0 && total < UNASKED_MAX) {
        struct pollfd now = {.fd = STDIN_FILENO, .events = POLLIN};
        n = poll(&now, 1, 0) > 0 ? read(STDIN_FILENO, bytes, sizeof bytes) : -1;
        b->input_ended = n == 0;
        if (n > 0) {
            count_lines(&u, bytes, (size_t)n);
            total += (size_t)n;
        }
    }
    *all = b->input_ended;
    return u.lines;
}

/* Why not all was run, and what was not; nothing if all was. */
static void tell_failure(struct batch *b)
{
    bool all = true;
    uint64_t lines = b->welcomed ? count_unasked(b, &all) : 0;
    b->incomplete = b->incomplete || lines > 0 || !all;
    if (!b->incomplete && !b->stopped)
        return;
    report_failure(b->options->host, &b->failure);
    if (lines > 0) {
        note(b->options->host, "%s%llu line%s never run, from line %llu on", all ? "" : "at least ",
             (unsigned long long)lines, lines == 1 ? " was" : "s were",
             (unsigned long long)b->lines + 1);
    }
}

/* ---- the connection --------------------------------------------------------------------- */

static void on_welcome(struct batch *b, const struct rx_welcome *welcome)
{
    if (b->limit == 0)
        b->limit = JOBS_DEFAULT;
    if (b->limit > RX_CHANNELS_DEFAULT)
        b->limit = RX_CHANNELS_DEFAULT;
    if (welcome->commands > 0 && welcome->commands < b->limit)
        b->limit = (unsigned)welcome->commands;
    b->welcomed = true;
}

static void command_over(struct batch *b, const struct rx_client_event *event)
{
    struct job *job = rx_command_user(event->command);
    struct rx_failure failure;
    if (job->over)
        return;
    if (event->what == RX_ON_EXIT) {
        result_exited(&job->result, event);
        job_over(b, job);
    } else {
        rx_failure_notice(&failure, RX_TROUBLE_COMMAND, &event->header->notice);
        job_lost(b, job, &failure, true);
    }
}

static void on_event(void *user, const struct rx_client_event *event)
{
    struct batch *b = user;
    struct rx_failure failure;
    switch (event->what) {
    case RX_ON_WELCOME:
        on_welcome(b, &event->header->welcome);
        break;
    case RX_ON_EXIT:
    case RX_ON_REFUSED:
        command_over(b, event);
        break;
    case RX_ON_GOAWAY:
        rx_failure_notice(&failure, RX_TROUBLE_PROTOCOL, &event->header->notice);
        ask_no_more(b, &failure);
        break;
    case RX_ON_STARTED:
    case RX_ON_RESUMED:
    case RX_ON_DATA:
        break;
    default:
        return;
    }
    go_on(b);
}

/* The connection is lost for good: what is known of the commands is shown, and that nothing more
 * is known. */
static void on_ended(void *user, const struct rx_failure *failure)
{
    struct batch *b = user;
    struct job *job;
    ask_no_more(b, failure);
    b->incomplete = b->incomplete || !b->welcomed;
    for (job = TAILQ_FIRST(&b->jobs); job != NULL; job = TAILQ_NEXT(job, link)) {
        b->incomplete = b->incomplete || !job->over;
        if (!job->over)
            job_lost(b, job, failure, false);
    }
    go_on(b);
}

static int end_status(const struct batch *b)
{
    if (b->stopped)
        return b->status;
    if (b->incomplete || b->short_of_memory)
        return EXIT_REXEC;
    return b->failed ? 1 : 0;
}

int verb_batch(struct options *o)
{
    struct batch b = {
        .options = o,
        .reach = {.event = on_event, .ended = on_ended, .user = &b},
        .limit = o->jobs,
        .collects = o->as_completed || o->json,
    };
    TAILQ_INIT(&b.jobs);
    if (o->word_count > 0) {
        report(NULL, "batch wants one host, and commands on stdin",
               "rexec batch [-j N] [--as-completed] [--json] HOST");
        return EXIT_REXEC;
    }
    /* Said once, and not for each line. */
    if (encoding_check(o->encoding, o->json, &b.failure) && reach_open(&b.reach, o, &b.failure)) {
        (void)event_assign(&b.reading, b.reach.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input,
                           &b);
        reach_run(&b.reach);
        (void)event_del(&b.reading);
    } else {
        b.incomplete = true;
    }
    if (b.failure.trouble != RX_TROUBLE_NONE)
        tell_failure(&b);
    if (b.reach.driver != NULL)
        rx_driver_close(b.reach.driver);
    for (struct job *job = TAILQ_FIRST(&b.jobs), *next; job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        job_free(&b, job);
    }
    buffer_clear(&b.input);
    reach_close(&b.reach);
    return end_status(&b);
}
