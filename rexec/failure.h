/*
 * Why something did not work, as a value: what kind of trouble, what happened (to what), and what
 * the user can do about it. Texts are one clause each, without a full stop; they may hold any bytes
 * that a server or a user chose, so whoever shows them escapes them (rexec/escape.h).
 */
#ifndef REXEC_FAILURE_H
#define REXEC_FAILURE_H

#include <stdbool.h>

#include "proto/error.h"
#include "proto/header.h"

enum rx_trouble {
    RX_TROUBLE_NONE,
    RX_TROUBLE_NAME,     /* the host was not found */
    RX_TROUBLE_ROUTE,    /* no way to it */
    RX_TROUBLE_REFUSED,  /* nobody listens there */
    RX_TROUBLE_TIMEOUT,  /* no answer in time */
    RX_TROUBLE_SYSTEM,   /* any other error of the system */
    RX_TROUBLE_PEER,     /* not a rexec server */
    RX_TROUBLE_GRANT,    /* the server holds no grant of this key under this name */
    RX_TROUBLE_VERSION,  /* no version or no suite in common */
    RX_TROUBLE_LOST,     /* the connection ended before the command */
    RX_TROUBLE_PROTOCOL, /* one side broke the protocol, or said that the other did */
    RX_TROUBLE_COMMAND,  /* the server refused one command */
};

enum { RX_WHAT_MAX = 1024, RX_TODO_MAX = 512 };

struct rx_failure {
    enum rx_trouble trouble;
    unsigned code; /* of proto/error.def, 0: none */
    char what[RX_WHAT_MAX];
    char todo[RX_TODO_MAX]; /* may be empty */
};

/* Fills in a failure's trouble and `what`; todo and code are cleared. Cut off where too long. */
void rx_failure_set(struct rx_failure *failure, enum rx_trouble trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says what to do about it. */
void rx_failure_todo(struct rx_failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A server's REFUSED, ERROR or GOAWAY: its code's advice, and its text where that says more than
 * ours. */
void rx_failure_notice(struct rx_failure *failure, enum rx_trouble trouble,
                       const struct rx_notice *notice);

/* What to do about an error of the system when connecting: trouble and texts. */
void rx_failure_connect(struct rx_failure *failure, const char *address, int error);

#endif
