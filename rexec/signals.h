/*
 * Signals that are passed on to the command, as events of the loop.
 */
#ifndef REXEC_SIGNALS_H
#define REXEC_SIGNALS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdbool.h>

struct signals {
    int fd;        /* -1: not caught */
    bool terminal; /* what a terminal's changes are told by, too: WINCH, TSTP, TTIN, CONT */
    bool stops;    /* TSTP at least */
    sigset_t set;  /* those that are caught */
    struct event event;
    void (*caught)(void *user, int number);
    void *user;
};

/* Catches INT, TERM, HUP and QUIT (with s->terminal or s->stops, more) from now on, but for those
 * that were ignored when the program began (nohup). False, with errno. */
bool signals_catch(struct signals *s, struct event_base *base,
                   void (*caught)(void *user, int number), void *user);

/* They do again what they do to any program. */
void signals_release(struct signals *s);

/* "INT" for SIGINT; NULL for a number without a name. Static. */
const char *signal_name(int number);

/* The number that EXIT's name of a signal stands for here ("TERM", "RT34", "34"), 1 to 64; 0:
 * none. */
int signal_number(const char *name);

#endif
