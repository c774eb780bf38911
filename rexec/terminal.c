#include "rexec/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "proto/modes.h"
#include "rexec/escape.h"
#include "rexec/report.h"

/* There is one, and signal handlers and atexit know no other way to it. */
static struct termios saved;
static volatile sig_atomic_t is_raw; /* saved is to be put back */

/* ---- whether ---------------------------------------------------------------------------- */

bool terminal_decide(struct terminal *t, const struct options *o, struct rx_failure *failure)
{
    bool asked = o->tty == TTY_YES || o->tty == TTY_FORCE;
    bool plain = !o->json && o->encoding == NULL;
    bool here = !o->no_stdin && isatty(STDIN_FILENO) == 1;
    *t = (struct terminal){0};
    if (asked && !plain) {
        rx_failure_set(failure, RX_TROUBLE_COMMAND, "%s and a terminal (-t) exclude each other",
                       o->json ? "--json" : "--encoding");
        rx_failure_todo(failure, "leave one of them out");
        return false;
    }
    if (o->tty == TTY_YES && !here && !o->quiet)
        note(o->host, "no terminal is asked for, as stdin is none (-tt asks all the same)");
    bool shell = o->word_count == 0 && plain;
    t->wanted = o->tty == TTY_FORCE || (here && (asked || (o->tty == TTY_AUTO && shell)));
    t->local = t->wanted && here;
    return true;
}

/* ---- what it is like -------------------------------------------------------------------- */

void terminal_size(struct rx_size *size)
{
    static const int fds[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    struct winsize w;
    *size = (struct rx_size){0};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (ioctl(fds[i], TIOCGWINSZ, &w) != 0)
            continue;
        *size = (struct rx_size){
            .rows = w.ws_row, .cols = w.ws_col, .width = w.ws_xpixel, .height = w.ws_ypixel};
        return;
    }
}

void terminal_describe(struct rx_pty *pty)
{
    const char *term = getenv("TERM");
    struct rx_size size;
    struct termios now;
    size_t n = term != NULL ? strlen(term) : 0;
    bool fits = n > 0 && n < sizeof pty->term && rx_utf8_valid(term, n);
    terminal_size(&size);
    *pty = (struct rx_pty){
        .wanted = true,
        .rows = size.rows,
        .cols = size.cols,
        .width = size.width,
        .height = size.height,
    };
    (void)snprintf(pty->term, sizeof pty->term, "%s", fits ? term : "dumb");
    if (tcgetattr(STDIN_FILENO, &now) == 0)
        rx_modes_read(&now, &pty->modes);
}

/* ---- raw mode --------------------------------------------------------------------------- */

/* Whether the modes are ours to change: a terminal that is not our controlling one has no
 * background. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);
    return group < 0 || group == getpgrp();
}

/* Safe in a signal handler. */
static void put_back(void)
{
    if (!is_raw)
        return;
    is_raw = 0;
    if (in_foreground())
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

static void on_deadly(int number)
{
    put_back();
    (void)raise(number); /* the handler was for once: this time it is deadly */
}

/* Signals that nobody catches and that end a program. The loop gets the others. */
static void watch_deaths(void)
{
    static const int deadly[] = {SIGABRT, SIGALRM, SIGBUS,  SIGFPE,  SIGILL,  SIGPROF, SIGSEGV,
                                 SIGSYS,  SIGTRAP, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ, SIGVTALRM};
    static bool done;
    if (done)
        return;
    done = true;
    (void)atexit(put_back);
    const struct sigaction action = {.sa_handler = on_deadly, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        struct sigaction now;
        if (sigaction(deadly[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            (void)sigaction(deadly[i], &action, NULL);
    }
}

void terminal_enter(struct terminal *t)
{
    struct termios now;
    if (!t->local || !in_foreground() || tcgetattr(STDIN_FILENO, &now) != 0)
        return;
    /* A shell that stopped us without our knowledge has set the modes anew. */
    if (!is_raw || (now.c_lflag & (ICANON | ECHO | ISIG)) != 0)
        saved = now;
    now.c_iflag |= IGNPAR;
    now.c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF);
    now.c_oflag &= ~(tcflag_t)OPOST;
    now.c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    watch_deaths();
    is_raw = 1;
    t->given = true;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &now) != 0)
        is_raw = 0;
    report_raw(is_raw != 0);
}

void terminal_leave(struct terminal *t)
{
    t->given = false;
    put_back();
    report_raw(false);
}

bool terminal_elsewhere(const struct terminal *t)
{
    return t->local && !in_foreground();
}

void terminal_suspend(struct terminal *t, int number, bool group)
{
    bool given = t->given;
    sigset_t stop, before;
    terminal_leave(t);
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, number);
    (void)kill(group ? 0 : getpid(), number);
    (void)sigprocmask(SIG_UNBLOCK, &stop, &before); /* here it stops */
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (given)
        terminal_enter(t);
}
