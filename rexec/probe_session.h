/*
 * A session by hand for probe: either role, every message in any order, and none of the checks
 * that an honest side makes of the other.
 */
#ifndef REXEC_PROBE_SESSION_H
#define REXEC_PROBE_SESSION_H

#include "auth/handshake.h"
#include "auth/request_mac.h"
#include "proto/message.h"
#include "rexec/buffer.h"
#include "rexec/probe_wire.h"

enum said_what {
    SAID_MESSAGE,
    SAID_CLOSED,
    SAID_SILENT,
    SAID_BROKEN, /* bytes that are no record of this session */
};

/* One message received; what is in it is the session's until the next. */
struct said {
    enum said_what what;
    uint8_t type, flags;
    uint32_t stream;
    const uint8_t *header, *body; /* a request's body with its trailer */
    size_t header_len, body_len;
};

struct session {
    struct probe *probe;
    struct wire wire;
    bool serves;                /* we are the server */
    struct rx_grant_keys grant; /* keys in use: the probe's, unless changed */
    struct rx_key_pair pair;
    uint8_t m1[RX_M1_SIZE], m2[RX_M2_SIZE], m3[RX_M3_SIZE];
    struct rx_session_keys keys;
    struct rx_sealer in, out;
    uint64_t sequence;  /* of the last request */
    struct buffer send; /* records made and not sent */
    struct buffer came; /* the record that came last */
    uint8_t welcome[512];
    size_t welcome_len; /* the first record received, as it came */
};

/* Begins one of ours: M1 is made and may be changed before it is sent. To be ended. */
void session_begin(struct probe *p, struct session *s);
void session_end(struct session *s);

/* Connects, sends M1, takes M2. False: there is none, and the check is skipped or failed. */
bool session_challenge(struct session *s);

/* The right response for these M1 and M2 (and M3's header as it stands in m3). */
void session_respond(struct session *s, const uint8_t *m1, const uint8_t *m2);

/* M3's header by M2, the response and the keys: all that an honest client makes of M2, without
 * looking at it. A shared secret that cannot be is taken to be zero. */
void session_answer(struct session *s);

/* Keys of the session from m1, m2, m3 as they stand; sealers at record 0. */
void session_derive(struct session *s);

/* begin, challenge, answer, M3, WELCOME. False: skipped, as there is no session to try it in. */
bool session_prove(struct probe *p, struct session *s);

/* ---- records ---- */

/* Seals a payload and puts the record behind those to be sent. */
void session_add_payload(struct session *s, const void *payload, size_t n);

/* Makes a message and does the same; a request gets its trailer. header may be NULL. */
void session_add(struct session *s, uint8_t type, uint8_t flags, uint32_t stream,
                 const char *header, const void *body, size_t body_len);

/* Likewise with a header of any bytes, and a trailer of the caller's choice (NULL: as above). */
struct trailer {
    uint64_t sequence;
    uint8_t flip;   /* is put over a byte of the mac */
    size_t flip_at; /* that one */
    const uint8_t *key;
};
void session_add_request(struct session *s, uint8_t type, uint32_t stream, const char *header,
                         size_t header_len, const void *body, size_t body_len,
                         const struct trailer *trailer);

/* PING with 8 bytes. */
void session_add_ping(struct session *s, const char token[static 8]);

/* EXEC of one word by its name on the path: `true`, `cat`. id NULL: a fresh one. */
void session_add_exec(struct session *s, uint32_t stream, const char *word, const char *id);

/* Sends what was made, and forgets it. */
void session_send(struct session *s);

/* The next message. */
struct said session_read(struct session *s);

/* Reads on until a message of this type; false if the connection ends or goes silent before. */
bool session_await(struct session *s, uint8_t type, struct said *said);

/*
 * What was sent is to be the end of the session: sends a PING behind it, and reads to the close.
 * Fails if nothing closes, or if the PING is answered; "... behind `what`". Where it was a request
 * that opens `stream` (else 0), a PING may overtake it, as somebody else may judge it: then fails
 * if it is STARTED, no more than REFUSED, or answered in another way.
 */
bool session_must_stop(struct session *s, uint32_t stream, const char *what);

#endif
