/*
 * Looking at a connection from within: each read and write, each record and the message in it.
 * Where there is no tap, nothing of this runs.
 */
#ifndef REXEC_PROTO_TAP_H
#define REXEC_PROTO_TAP_H

#include <stdbool.h>

#include "proto/message.h"
#include "proto/record.h"

/* `out`: away from this end. Records come in the order of their bytes: one that is sent, before its
 * bytes are written; one that is received, behind the read that completed it. */
struct rx_tap {
    /* A new connection to this address; NULL where nobody asks. */
    void (*opened)(void *user, const char *address);
    /* One call has written or read n bytes. */
    void (*moved)(void *user, bool out, size_t n);
    /* M1, M2, M3: `name`, without a payload. Or the message in a record: its payload of n bytes. It
     * takes `size` bytes of the connection, all told. */
    void (*record)(void *user, bool out, const char *name, const uint8_t *payload, size_t n,
                   size_t size);
    void *user;
};

/* A seal that tells the tap of each payload. Lives as long as what uses it. */
struct rx_tapped {
    struct rx_seal_ops ops;
    struct rx_seal real;
    const struct rx_tap *tap;
};

/* The seal with the tap on it; the seal itself if there is no tap. */
struct rx_seal rx_tap_seal(struct rx_tapped *tapped, struct rx_seal real, const struct rx_tap *tap);

#endif
