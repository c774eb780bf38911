/*
 * A connection on a socket, driven by libevent: looks the host up, connects, moves bytes between
 * the socket and rexec/connection.h, keeps the deadlines, and says in words what went wrong.
 */
#ifndef REXEC_DRIVER_H
#define REXEC_DRIVER_H

#include <event2/event.h>
#include <limits.h>

#include "rexec/connection.h"
#include "rexec/failure.h"

struct rx_driver;

enum {
    RX_PORT_DEFAULT = 7512,
    RX_CONNECT_SECONDS = 10, /* for each address */
};

#define RX_ALIVE_NEVER UINT_MAX

/* Strings need to last only as long as rx_driver_new runs, but for `key_file`. */
struct rx_driver_config {
    struct event_base *base;
    const char *host;           /* as rx_address_find */
    const char *port;           /* NULL: the default */
    int family;                 /* AF_UNSPEC, AF_INET, AF_INET6 */
    const char *bind_address;   /* to connect from; lasts, or NULL */
    const char *bind_interface; /* likewise */
    const char *server_name;    /* under which the server holds the grant */
    const uint8_t *psk;         /* RX_KEY_SIZE bytes: the client's key */
    const char *key_file;       /* for texts only: where the user keeps that key; lasts, or NULL */
    unsigned suites;            /* bits of enum rx_suite; 0: all that are sealed */
    uint32_t window;            /* as in rx_connection_config */
    unsigned connect_ms;        /* for each address; 0: the default */
    unsigned handshake_ms;      /* from the connect to WELCOME; 0: RX_HANDSHAKE_SECONDS */
    int64_t resume_ms;          /* how long to try to get a lost connection again while commands are
                                   not over, and take them up there; 0: its loss is the end */
    unsigned alive_ms;    /* silence after which the server is asked; 0: as suits while commands
                             run; RX_ALIVE_NEVER */
    unsigned alive_count; /* questions without an answer that make it a lost one; 0: as suits */
    void (*trace)(void *user, uint32_t stream, const char *from, const char *to);
    const struct rx_tap *tap; /* told of each read, write and record, if not NULL; lasts */
    /* As in rx_connection_config, for each connection; NULL: keys are given to nobody. */
    void (*keylog)(void *user, const uint8_t nonce_c[static RX_KEY_SIZE],
                   const struct rx_session_keys *keys);
    const struct rx_haste *haste; /* as in rx_connection_config; lasts */
    /* Each event of the connection. Must not free the driver. */
    void (*event)(void *user, const struct rx_client_event *event);
    /* The connection was lost so many milliseconds ago, and a try to get it again has failed. May
     * be NULL. */
    void (*waiting)(void *user, int64_t ms, const struct rx_failure *why);
    /* It is over and nothing more will come: why. Once; never after rx_driver_close. Data received
     * before may still be taken out of its commands. Must not free the driver. */
    void (*ended)(void *user, const struct rx_failure *failure);
    void *user;
};

/*
 * Looks the host up (this blocks) and begins to connect. NULL: *failure says why. What happens
 * later comes through the callbacks, and never before this has returned. The key is derived from
 * for this server's name; no copy of it stays.
 */
struct rx_driver *rx_driver_new(const struct rx_driver_config *config, struct rx_failure *failure);

/* Its connection: there from the start. Another one takes its place when it is lost and had again,
 * so it must be asked for each time. */
struct rx_connection *rx_driver_connection(struct rx_driver *d);

/* Sends what is waiting. To be called when something was put into the connection or consumed from
 * it outside of the callback `event`; within, it does nothing, as all is sent behind it. */
void rx_driver_flush(struct rx_driver *d);

/* The address it is, or was last, connected to: "192.0.2.1 port 7512". */
const char *rx_driver_address(const struct rx_driver *d);

/* Says CLOSE, without waiting for anything, and closes the socket; within the callback `event`,
 * when that has returned. */
void rx_driver_close(struct rx_driver *d);

/* Frees it and its connection, the socket closed without CLOSE if rx_driver_close was not called:
 * to the server, the client is lost then. NULL is fine. */
void rx_driver_free(struct rx_driver *d);

#endif
