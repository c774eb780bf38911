/* rexec HOST COMMAND: one command, its streams ours, its end ours. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rexec/command_line.h"
#include "rexec/encoding.h"
#include "rexec/reach.h"
#include "rexec/report.h"
#include "rexec/result.h"
#include "rexec/signals.h"
#include "rexec/sink.h"
#include "rexec/source.h"
#include "rexec/terminal.h"
#include "rexec/verbs.h"

struct run {
    struct options *options;
    struct reach reach;
    struct rx_command *command;
    struct source source;
    struct sink output, error;
    struct signals signals;
    struct terminal terminal;
    struct tilde tilde;
    struct rx_size size; /* of the terminal, as the server last heard */
    bool started;
    bool resizing;      /* the server has yet to answer */
    struct event ender; /* passes on the end of stdout, if the command's own does not follow */
    struct result result;
    bool reads;    /* the command gets our stdin */
    bool begun;    /* signals are caught, stdin is read */
    bool over;     /* EXIT, or why there will be none, is in the result */
    bool signaled; /* a signal was passed on */
    int status;    /* if not the result's: -1 */
};

/* ---- the end ---------------------------------------------------------------------------- */

static void give_up(struct run *run, int status)
{
    run->status = status;
    reach_stop(&run->reach);
}

/* Our side of a stream has failed. Like a local command that cannot write. */
static void output_failed(struct run *run, const struct sink *sink)
{
    if (sink->state == SINK_BROKEN) {
        give_up(run, 128 + SIGPIPE);
        return;
    }
    struct rx_failure *failure = &run->result.failure;
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot %s the command's output: %s",
                   sink->fd < 0 ? "keep" : "write", sink_error_text(sink));
    rx_failure_todo(failure,
                    sink->fd < 0 ? "leave --json out" : "make room, or send the output elsewhere");
    run->result.exited = false;
    give_up(run, EXIT_REXEC);
}

/* What may be missing from our stdin must not look like its end to the command. */
static void check_input(struct run *run)
{
    if (run->source.error == 0)
        return;
    struct rx_failure *failure = &run->result.failure;
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot read stdin: %s",
                   strerror(run->source.error));
    rx_failure_todo(failure, "check where it comes from, or leave it out with -n");
    give_up(run, EXIT_REXEC);
}

/* Moves the output on, and ends when all of it is where it belongs. */
static void pump(struct run *run)
{
    enum sink_state output = sink_pump(&run->output);
    enum sink_state error = sink_pump(&run->error);
    if (output == SINK_BROKEN || output == SINK_FAILED) {
        output_failed(run, &run->output);
        return;
    }
    if (error == SINK_FAILED) {
        output_failed(run, &run->error);
        return;
    }
    if (run->over && output != SINK_WAITING && error != SINK_WAITING)
        reach_stop(&run->reach);
}

/* The end of stdout is passed on behind all of stderr, or after a moment if that goes on: callers
 * as rsync end us at the end of stdout, and what was wrong would not be seen. */
static void end_soon(struct run *run)
{
    static const struct timeval moment = {.tv_usec = 100 * 1000};
    if (run->over || !rx_command_ended(run->command, RX_WHICH_STDOUT))
        return;
    if (run->error.state != SINK_WAITING && rx_command_ended(run->command, RX_WHICH_STDERR))
        event_active(&run->ender, EV_TIMEOUT, 1);
    else if (!run->output.ending && !run->output.ended && !evtimer_pending(&run->ender, NULL))
        (void)evtimer_add(&run->ender, &moment);
}

static void on_sink(void *user)
{
    struct run *run = user;
    pump(run);
    end_soon(run);
    rx_driver_flush(run->reach.driver);
}

static void on_source(void *user)
{
    struct run *run = user;
    /* A shell that brings us back from the background, where we ran on, says nothing. */
    if (run->started && !run->terminal.given && !run->over)
        terminal_enter(&run->terminal);
    check_input(run);
    rx_driver_flush(run->reach.driver);
}

/* ---- the terminal ----------------------------------------------------------------------- */

/* Tells the server if it has changed. Who drags a window around makes one change of many. */
static void send_size(struct run *run)
{
    struct rx_size now;
    if (!run->terminal.wanted || !run->started || run->resizing || run->over)
        return;
    terminal_size(&now);
    if (memcmp(&now, &run->size, sizeof now) == 0 || rx_command_resize(run->command, &now) != RX_OK)
        return;
    run->size = now;
    run->resizing = true;
    rx_driver_flush(run->reach.driver);
}

/* Whoever is stopped answers nobody: the server is told, so that the command waits longer than for
 * a client that is lost; if that cannot be sent at once it must do without. */
static void suspend(struct run *run, int number, bool group)
{
    bool waits = run->started && !run->over && settings_linger_ms(&run->options->settings) > 0;
    bool told = waits && rx_command_away(run->command, true) == RX_OK;
    rx_driver_flush(run->reach.driver);
    terminal_suspend(&run->terminal, number, group);
    if (told && rx_command_away(run->command, false) == RX_OK)
        rx_driver_flush(run->reach.driver);
}

static void show_escapes(const struct run *run)
{
    char text[512], name[8];
    int c = run->tilde.character;
    (void)snprintf(name, sizeof name, c < ' ' ? "^%c" : "%c", c < ' ' ? c + '@' : c);
    int n = snprintf(text, sizeof text,
                     "%s?\r\nAt the start of a line:\r\n"
                     " %s.   gives up: ends the command, and rexec\r\n"
                     " %s^Z  suspends rexec\r\n"
                     " %s?   shows this\r\n"
                     " %s%s   is one %s for the command\r\n",
                     name, name, name, name, name, name, name);
    (void)write_all(STDERR_FILENO, text, (size_t)n);
}

static void on_escaped(void *user, unsigned asked)
{
    struct run *run = user;
    if ((asked & TILDE_GIVE_UP) != 0) {
        struct rx_failure *failure = &run->result.failure;
        rx_failure_set(failure, RX_TROUBLE_COMMAND, "given up, as was asked for by %c.",
                       run->tilde.character);
        give_up(run, EXIT_REXEC);
        return;
    }
    if ((asked & TILDE_HELP) != 0)
        show_escapes(run);
    if ((asked & TILDE_SUSPEND) != 0) {
        suspend(run, SIGTSTP, true);
        send_size(run);
    }
}

/* In the background it may not be read: who tries is stopped. SIGTTIN is blocked, so that we are
 * not stopped within a read, which would then wait for what is typed next, and hear of nothing
 * else. */
static bool on_away(void *user)
{
    struct run *run = user;
    if (!terminal_elsewhere(&run->terminal))
        return false;
    suspend(run, SIGTTIN, true);
    return true;
}

/* True: the signal stops us or is about the terminal, and was heeded. */
static bool terminal_signal(struct run *run, int number)
{
    switch (number) {
    case SIGTSTP:
    case SIGTTIN:
        suspend(run, number, false);
        break;
    case SIGCONT:
        if (run->started && !run->over)
            terminal_enter(&run->terminal);
        source_resume(&run->source);
        break;
    case SIGWINCH:
        break;
    default:
        return false;
    }
    send_size(run);
    return true;
}

/* ---- signals ---------------------------------------------------------------------------- */

static void on_signal(void *user, int number)
{
    struct run *run = user;
    if (terminal_signal(run, number))
        return;
    /* Keys do not make signals in a terminal: who sends us one, or closes the window, means us. */
    bool enough = run->over || run->signaled || run->terminal.local;
    run->signaled = true;
    if (!enough && rx_command_signal(run->command, signal_name(number)) == RX_OK) {
        rx_driver_flush(run->reach.driver);
        return;
    }
    run->result.given_up = 128 + number;
    if (!run->over)
        rx_failure_set(&run->result.failure, RX_TROUBLE_COMMAND,
                       "given up at signal %s, before the command had ended", signal_name(number));
    give_up(run, 128 + number);
}

/* ---- the connection --------------------------------------------------------------------- */

static void start_reading(struct run *run)
{
    if (run->terminal.wanted)
        source_terminal(&run->source, &run->tilde, on_escaped, on_away);
    if (run->reads)
        source_start(&run->source, run->reach.base, run->command, STDIN_FILENO, on_source, run);
    else if (run->terminal.wanted)
        rx_command_finish(run->command);
}

static void begin(struct run *run)
{
    if (run->begun)
        return; /* another connection */
    run->begun = true;
    /* Without it, a signal ends us, and the server ends the command for that. */
    run->signals.terminal = run->terminal.wanted;
    run->signals.stops = true;
    (void)signals_catch(&run->signals, run->reach.base, on_signal, run);
    if (!run->terminal.local)
        start_reading(run);
    check_input(run);
}

/* What was typed before belongs to the command too, but as it was typed: so it is not read before
 * the terminal is raw. */
static void on_started(struct run *run)
{
    run->started = true;
    if (run->terminal.local) {
        terminal_enter(&run->terminal);
        start_reading(run);
    }
    source_resume(&run->source);
    send_size(run);
}

static void on_ender(evutil_socket_t fd, short what, void *user)
{
    struct run *run = user;
    (void)fd;
    (void)what;
    /* Not stderr: what rexec itself has to say goes there, too. */
    if (!run->over && !run->terminal.wanted && run->output.state == SINK_IDLE &&
        rx_command_ended(run->command, RX_WHICH_STDOUT)) {
        sink_end(&run->output);
        pump(run);
    }
}

static void on_data(struct run *run)
{
    pump(run);
    end_soon(run);
}

static void finish(struct run *run)
{
    run->over = true;
    source_stop(&run->source);
    sink_finish(&run->output);
    sink_finish(&run->error);
    pump(run);
}

static void on_event(void *user, const struct rx_client_event *event)
{
    struct run *run = user;
    struct rx_failure failure;
    switch (event->what) {
    case RX_ON_READY:
        begin(run);
        break;
    case RX_ON_DATA:
        on_data(run);
        break;
    case RX_ON_STARTED:
        on_started(run);
        break;
    case RX_ON_RESIZED:
        run->resizing = false;
        send_size(run); /* it may be another again */
        break;
    case RX_ON_RESUMED:
    case RX_ON_ROOM:
        source_resume(&run->source);
        break;
    case RX_ON_EXIT:
        result_exited(&run->result, event);
        finish(run);
        break;
    case RX_ON_REFUSED:
        rx_failure_notice(&failure, RX_TROUBLE_COMMAND, &event->header->notice);
        (void)result_failed(&run->result, &failure, run->command, true);
        finish(run);
        break;
    case RX_ON_UNSIGNALED:
        if (!run->options->quiet) {
            note(run->options->host, "the signal was not passed on: %s",
                 event->header->notice.text);
        }
        break;
    default:
        break;
    }
}

static void on_ended(void *user, const struct rx_failure *failure)
{
    struct run *run = user;
    if (run->over)
        return;
    run->result.failure = *failure;
    finish(run);
}

/* ---- before and after ------------------------------------------------------------------- */

static bool prepare_sinks(struct run *run)
{
    const struct options *o = run->options;
    struct event_base *base = run->reach.base;
    struct transcode *decoders[2] = {NULL, NULL};
    for (int i = 0; i < 2 && o->encoding != NULL; i++) {
        decoders[i] = encoding_open(o->encoding, o->json, &run->result.failure);
        if (decoders[i] == NULL) {
            transcode_free(decoders[0]);
            return false;
        }
    }
    (void)event_assign(&run->ender, base, -1, 0, on_ender, run);
    sink_init(&run->output, base, RX_WHICH_STDOUT, o->json ? -1 : STDOUT_FILENO, decoders[0],
              on_sink, run);
    sink_init(&run->error, base, RX_WHICH_STDERR, o->json ? -1 : STDERR_FILENO, decoders[1],
              on_sink, run);
    return true;
}

/* What the command gets for stdin, and for a terminal. */
static void ask_for_streams(struct run *run, struct rx_exec *exec)
{
    const struct options *o = run->options;
    run->reads = !o->no_stdin && source_useful(STDIN_FILENO);
    exec->input = run->reads || run->terminal.wanted ? RX_INPUT_STREAM : RX_INPUT_NONE;
    if (!run->terminal.wanted)
        return;
    terminal_describe(&exec->pty);
    run->size = (struct rx_size){.rows = exec->pty.rows,
                                 .cols = exec->pty.cols,
                                 .width = exec->pty.width,
                                 .height = exec->pty.height};
    tilde_init(&run->tilde, settings_get(&o->settings, SETTING_ESCAPE_CHAR));
}

static bool ask(struct run *run)
{
    const struct options *o = run->options;
    struct request request;
    struct rx_failure *failure = &run->result.failure;
    bool made = request_make(&request, o, settings_get(&o->settings, SETTING_USER), o->words,
                             o->word_count, failure);
    made = made && terminal_decide(&run->terminal, o, failure);
    if (made) {
        ask_for_streams(run, &request.exec);
        memcpy(run->result.id, request.exec.id, sizeof run->result.id);
        enum rx_error error =
            rx_connection_exec(reach_connection(&run->reach), &request.exec, request.words,
                               request.words_len, run, &run->command);
        made = error == RX_OK;
        if (!made) {
            rx_failure_set(failure, RX_TROUBLE_COMMAND, "the command cannot be sent: %s",
                           rx_error_text(error));
            rx_failure_todo(failure, "check that user, label and directory are plain text");
        }
    }
    request_clear(&request);
    if (!made)
        return false;
    run->output.command = run->error.command = run->command;
    return true;
}

/* What is said at the end: the object, a note, an error. */
/* What its user did not ask for: that it was ended, or that its output may not be all. */
static void tell_end(const struct options *o, const struct rx_exit *e)
{
    bool by_itself = strcmp(e->by, "self") == 0;
    if (!by_itself && strcmp(e->by, "client") != 0 && e->by[0] != '\0')
        note(o->host, "the command was ended: %s%s%s", e->by, e->detail[0] ? ": " : "", e->detail);
    /* Those of one that was ended are ended, too. */
    if (by_itself && e->holders.count > 0)
        note(
            o->host,
            "the command has ended, but %zu of its processes still hold its output open: what they "
            "write from now on is lost",
            e->holders.count);
}

static void tell(struct run *run)
{
    const struct result *r = &run->result;
    const struct options *o = run->options;
    if (o->json && !result_print(r, &run->output.held, &run->error.held, STDOUT_FILENO))
        run->status = print_failed(errno);
    if (r->given_up != 0)
        return;
    if (!r->exited) {
        report_failure(o->host, &r->failure);
        return;
    }
    if (result_unknown_signal(r))
        note(o->host, "killed by unknown signal %s", r->exit.signal);
    if (!o->quiet && !o->json)
        tell_end(o, &r->exit);
}

int verb_run(struct options *o)
{
    struct run run = {
        .options = o,
        .reach = {.event = on_event, .ended = on_ended, .user = &run},
        .signals = {.fd = -1},
        .result = {.host = o->host},
        .status = -1,
    };
    run.output.own = run.error.own = -1;
    if (reach_open(&run.reach, o, &run.result.failure) && prepare_sinks(&run) && ask(&run))
        reach_run(&run.reach);
    terminal_leave(&run.terminal);
    signals_release(&run.signals); /* what is said may have to wait for who reads it */
    if (run.status < 0 || run.status == EXIT_REXEC || o->json) {
        tell(&run);
        if (run.status < 0)
            run.status = result_status(&run.result);
    }
    if (event_initialized(&run.ender))
        (void)event_del(&run.ender);
    source_stop(&run.source);
    sink_clear(&run.output);
    sink_clear(&run.error);
    reach_close(&run.reach);
    rx_command_free(run.command);
    return run.status;
}
