/*
 * One end of a session on a connected socket, for test programs: the handshake by blocking reads,
 * then a plain poll loop around the engine.
 */
#ifndef REXEC_TESTS_DUEL_WIRE_H
#define REXEC_TESTS_DUEL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/grant.h"
#include "tests/duel/session.h"

enum { WIRE_SECONDS = 25 }; /* for all that one end does */

struct wire {
    int fd;
    int64_t deadline;    /* milliseconds of the monotonic clock */
    struct end end;      /* open once the handshake is over */
    enum rx_suite suite; /* the one chosen */
    uint8_t *input, *output;
    size_t output_len, output_at; /* sealed, and how much of it was sent */
    bool ended;                   /* the other side has closed */
    bool deaf;                    /* the other side reads no more */
};

/* Starts a connection on a descriptor, which wire_close closes. Aborts without memory. */
void wire_open(struct wire *w, int fd);
void wire_close(struct wire *w);

/*
 * The handshake, up to the engine behind it. NULL, or what went wrong (static, for people). The
 * server speaks to the one grant alone; `readable` is its configuration. A readable session that
 * the grant does not permit ends with ERROR, which is queued: *why says so and the engine is there.
 */
const char *wire_client_handshake(struct wire *w, const uint8_t psk[static RX_KEY_SIZE],
                                  const char *server_name, unsigned suites);
const char *wire_server_handshake(struct wire *w, const struct rx_grant *grant, bool readable);

/*
 * Sends what there is, or waits for something to come and feeds it to the engine; the caller then
 * takes all events. NULL, or what went wrong (static). w->ended tells of the other side's end.
 */
const char *wire_move(struct wire *w);

/* Sends all that is still to be sent, as far as anybody reads it. */
void wire_flush(struct wire *w);

/* Ends the session with ERROR. */
void wire_fail(struct wire *w, enum rx_error error);

#endif
