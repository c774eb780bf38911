/*
 * What the end of a session means, in words: from the protocol's error, and how far it had come.
 */
#ifndef REXEC_EXPLAIN_H
#define REXEC_EXPLAIN_H

#include "rexec/connection.h"
#include "rexec/failure.h"

/* What the texts name. */
struct rx_explain {
    const char *address;
    const char *server_name;
    const char *key_file; /* may be NULL */
    const struct rx_connection *connection;
};

/* Fills in *failure for an error of the connection; RX_OK stands for an end of the connection that
 * nobody announced. */
void rx_explain_session(const struct rx_explain *about, enum rx_error error,
                        struct rx_failure *failure);

#endif
