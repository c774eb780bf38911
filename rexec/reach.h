/*
 * What every verb that reaches a server begins with: its settings, the key, the connection.
 */
#ifndef REXEC_REACH_H
#define REXEC_REACH_H

#include <event2/event.h>
#include <time.h>

#include "rexec/driver.h"
#include "rexec/options.h"
#include "rexec/trace_write.h"

struct reach {
    struct options *options;
    struct event_base *base;
    struct rx_driver *driver;
    struct trace_writer *trace; /* --trace; NULL: none */
    struct rx_haste haste;
    int keylog; /* where the sessions' keys are written, if `logs_keys` */
    bool logs_keys;
    bool waits;     /* the user was told that a lost connection takes long to get again */
    time_t told_at; /* when, in seconds of a clock that only rises; 0: never */
    void (*event)(void *user, const struct rx_client_event *event);
    void (*ended)(void *user, const struct rx_failure *failure);
    void *user;
};

/*
 * Reads the configuration and the key, looks the host up and begins to connect. The options are
 * the caller's and stay; event, ended and user are set by the caller before. False, with *failure.
 * To be closed either way.
 */
bool reach_open(struct reach *s, struct options *options, struct rx_failure *failure);

/* The connection, to ask for commands. */
struct rx_connection *reach_connection(struct reach *s);

/* Lets things happen until reach_stop is called. */
void reach_run(struct reach *s);
void reach_stop(struct reach *s);

/* Ends it: says CLOSE if there is somebody to say it to, and frees all. Commands are freed before.
 */
void reach_close(struct reach *s);

#endif
