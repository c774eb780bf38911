/*
 * A receiver in any state of its session and of a stream, in front of a peer that may send it
 * whatever it likes; and what docs/PROTOCOL.md says to each message there. The rules were written
 * down from that page, not from proto/message.def.
 */
#ifndef REXEC_TESTS_DUEL_STATION_H
#define REXEC_TESTS_DUEL_STATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/duel/forge.h"
#include "tests/duel/session.h"
#include "tests/duel/tape.h"

/* Where a stream stands, and how it came there if that matters. As bits. */
enum spot {
    SPOT_SESSION = 1 << 0, /* stream 0 */
    SPOT_IDLE = 1 << 1,
    SPOT_ASKED_EXEC = 1 << 2,
    SPOT_ASKED_RESUME = 1 << 3,
    SPOT_ASKED_ATTACH = 1 << 4,
    SPOT_ASKING_LIST = 1 << 5,
    SPOT_ASKING_FORGET = 1 << 6,
    SPOT_ASKING_SIGNAL = 1 << 7,
    SPOT_RUNNING = 1 << 8, /* after EXEC */
    SPOT_RESUMED = 1 << 9, /* after RESUME */
    SPOT_EXITED = 1 << 10,
    SPOT_CLOSED = 1 << 11,  /* by EXIT_ACK */
    SPOT_REFUSED = 1 << 12, /* closed by REFUSED+LAST */
    SPOT_SKIPPED = 1 << 13, /* never used, but below one that was */
    SPOT_END = 1 << 14,

    SPOTS_ASKED = SPOT_ASKED_EXEC | SPOT_ASKED_RESUME | SPOT_ASKED_ATTACH,
    SPOTS_ASKING = SPOT_ASKING_LIST | SPOT_ASKING_FORGET | SPOT_ASKING_SIGNAL,
    SPOTS_RUNNING = SPOT_RUNNING | SPOT_RESUMED,
    SPOTS_CLOSED = SPOT_CLOSED | SPOT_REFUSED | SPOT_SKIPPED,
    SPOTS_USED = SPOTS_ASKED | SPOTS_RUNNING | SPOT_EXITED | SPOTS_CLOSED,
};

enum { LAST_NO, LAST_YES, LAST_ANY };

/* No state, or the same as before. */
#define STATE_NONE ((enum rx_stream_state)0)

/* One line of the specification. A type has one or more. */
struct rule {
    uint8_t type;
    unsigned directions; /* enum rx_direction */
    unsigned spots;
    int last;
    enum rx_stream_state to; /* STATE_NONE: as before */
};

/* What a type may carry at all. */
struct shape {
    uint8_t type;
    unsigned directions;
    bool last;
    size_t header_max, body_min, body_max;
};

const struct shape *shape_of(uint8_t type);
const struct shape *shape_at(size_t i);

/* The state that a spot is one of. */
enum rx_stream_state spot_state(enum spot spot);
/* By name, for messages. */
const char *spot_name(enum spot spot);

/* What the receiver is. */
struct place {
    enum rx_role role;
    enum rx_session_state session;
    enum spot spot;
    bool pinged; /* it has a PING out */
};

/* Whether there is such a place at all. */
bool place_exists(const struct place *place);

/* The specification's word: NULL (refuse), or the rule that allows it. Sizes are not looked at. */
const struct rule *place_allows(const struct place *place, uint8_t type, uint8_t flags);

struct station {
    struct place place;
    struct end end;
    struct forger peer;
    struct rx_sealer opener; /* of what the receiver sends */
    struct tape sent;        /* what it has sent and was not looked at */
    uint32_t stream;         /* of the spot */
    struct rx_channel *channel;

    /* What it heard last. */
    size_t events;
    uint8_t heard_type;
    enum rx_stream_state heard_state; /* of the channel then, if any */
    /* What it said last, of what station_listen opened. */
    size_t said_count;
    uint8_t said_type;
    unsigned said_code; /* of an ERROR */
};

void station_open(struct station *s, const struct place *place, enum rx_suite suite,
                  struct dice *d);
void station_close(struct station *s);

/* A message of the type as it would be right at the place: header and body; the caller may change
 * them. The bytes live until the next call. */
struct forged station_message(const struct station *s, uint8_t type, uint8_t flags);

/* Sends it to the receiver. What rx_engine_next said last. */
enum rx_next station_tell(struct station *s, const struct forged *m);

/* Opens all that the receiver has sent since the last time. */
void station_listen(struct station *s);

#endif
