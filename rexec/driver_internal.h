/*
 * What driver.c (life, bytes), driver_connect.c (addresses, connecting) and driver_resume.c (lost
 * connections) share; nobody else includes it.
 */
#ifndef REXEC_DRIVER_INTERNAL_H
#define REXEC_DRIVER_INTERNAL_H

#include <event2/event_struct.h>

#include "rexec/address.h"
#include "rexec/driver.h"

struct rx_driver {
    struct rx_driver_config config;
    struct rx_connection *connection;
    struct rx_addresses addresses;
    size_t at; /* the address that is tried, or connected */
    int fd;
    bool connected;
    bool taking; /* events are being taken out of the scratch buffer: nothing may be put there */
    bool deaf;   /* the other side reads no more; what it sent still counts */
    bool born;   /* rx_driver_new has returned, or is about to: callbacks may come */
    bool over;
    bool closing;    /* rx_driver_close was called from within the callback `event` */
    bool heard;      /* something came since the last look of `alive` */
    bool answered;   /* something has come over this connection */
    bool proven;     /* a server has proven itself, on this connection or an earlier one */
    int64_t lost_ms; /* since when there is no connection; -1: there is one, or was none yet */
    int64_t begun_ms, welcomed_ms;
    bool progress;  /* bytes of commands came or went since WELCOME, or one ended */
    unsigned tries; /* to connect again */
    unsigned unanswered;
    struct rx_failure failure;
    struct event read_event, write_event, deadline, retry, alive;
    struct timeval handshake_time;
    char address_text[RX_ADDRESS_TEXT];
    char server_name[RX_SERVER_NAME_MAX + 1];
    struct rx_grant_keys keys;
    /* What the socket did not take. */
    uint8_t *held;
    size_t held_at, held_len;
    uint8_t scratch[RX_CONNECTION_OUTPUT_MIN]; /* for input and output in turn */
};

/* Milliseconds of a clock that only rises, also while the machine sleeps. */
int64_t driver_now_ms(void);
struct timeval driver_milliseconds(int64_t ms);

/* driver.c */
/* Ends it for the reason in d->failure. */
void driver_end(struct rx_driver *d);
/* Closes the socket, and forgets what it did not take. */
void driver_disconnect(struct rx_driver *d);
void driver_drop_held(struct rx_driver *d);
void driver_readable(evutil_socket_t fd, short what, void *user);
void driver_writable(evutil_socket_t fd, short what, void *user);
/* A connection that waits for its socket. NULL: *failure says why. */
struct rx_connection *driver_make_connection(struct rx_driver *d, struct rx_failure *failure);

/* driver_connect.c */
/* Begins to connect to the first address, from d->at on, that can be: 0 or an error of connect. */
int driver_start(struct rx_driver *d);
/* What follows from what driver_start returned. */
void driver_go_on(struct rx_driver *d, int begun);

/* driver_resume.c */
void driver_resume_init(struct rx_driver *d);
/* The connection cannot be had, or is gone, for `error` or what d->failure says: another one is
 * tried, or it is the end. */
void driver_lost(struct rx_driver *d, enum rx_error error);
/* The handshake is over: from now on a silent server is noticed. */
void driver_welcomed(struct rx_driver *d);

#endif
