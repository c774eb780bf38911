#include "rexec/signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { SIGNAL_LAST = 64 };

static const struct {
    int number;
    const char *name;
} names[] = {
    {SIGHUP, "HUP"},   {SIGINT, "INT"},       {SIGQUIT, "QUIT"}, {SIGILL, "ILL"},
    {SIGTRAP, "TRAP"}, {SIGABRT, "ABRT"},     {SIGBUS, "BUS"},   {SIGFPE, "FPE"},
    {SIGKILL, "KILL"}, {SIGUSR1, "USR1"},     {SIGSEGV, "SEGV"}, {SIGUSR2, "USR2"},
    {SIGPIPE, "PIPE"}, {SIGALRM, "ALRM"},     {SIGTERM, "TERM"}, {SIGSTKFLT, "STKFLT"},
    {SIGCHLD, "CHLD"}, {SIGCONT, "CONT"},     {SIGSTOP, "STOP"}, {SIGTSTP, "TSTP"},
    {SIGTTIN, "TTIN"}, {SIGTTOU, "TTOU"},     {SIGURG, "URG"},   {SIGXCPU, "XCPU"},
    {SIGXFSZ, "XFSZ"}, {SIGVTALRM, "VTALRM"}, {SIGPROF, "PROF"}, {SIGWINCH, "WINCH"},
    {SIGIO, "IO"},     {SIGPWR, "PWR"},       {SIGSYS, "SYS"},
};

const char *signal_name(int number)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == number)
            return names[i].name;
    }
    return NULL;
}

int signal_number(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, name) == 0)
            return names[i].number;
    }
    if (strncmp(name, "RT", 2) == 0)
        name += 2;
    int number = 0;
    for (; *name >= '0' && *name <= '9' && number <= SIGNAL_LAST; name++)
        number = number * 10 + (*name - '0');
    return *name == '\0' && number <= SIGNAL_LAST ? number : 0;
}

static void on_signal(evutil_socket_t fd, short what, void *user)
{
    const struct signals *s = user;
    struct signalfd_siginfo info;
    (void)what;
    if (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        s->caught(s->user, (int)info.ssi_signo);
}

bool signals_catch(struct signals *s, struct event_base *base,
                   void (*caught)(void *user, int number), void *user)
{
    static const int wanted[] = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT,
                                 SIGTSTP, SIGWINCH, SIGTTIN, SIGCONT};
    enum { ALWAYS = 4 };
    size_t count = s->terminal ? sizeof wanted / sizeof wanted[0] : ALWAYS + (size_t)s->stops;
    sigset_t *set = &s->set;
    (void)sigemptyset(set);
    for (size_t i = 0; i < count; i++) {
        struct sigaction now;
        if (sigaction(wanted[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            (void)sigaddset(set, wanted[i]);
    }
    s->fd = -1;
    if (sigprocmask(SIG_BLOCK, set, NULL) != 0)
        return false;
    s->fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->fd < 0) {
        (void)sigprocmask(SIG_UNBLOCK, set, NULL);
        return false;
    }
    s->caught = caught;
    s->user = user;
    (void)event_assign(&s->event, base, s->fd, EV_READ | EV_PERSIST, on_signal, s);
    (void)event_add(&s->event, NULL);
    return true;
}

void signals_release(struct signals *s)
{
    if (s->fd < 0)
        return;
    (void)event_del(&s->event);
    (void)close(s->fd);
    s->fd = -1;
    (void)sigprocmask(SIG_UNBLOCK, &s->set, NULL);
}
