/*
 * The ends of the lesson's real handshake: alice, who is rexec's client library; lab01, who is
 * what rexecd's monitor runs; and the way between them, which always leads through Mallory.
 */
#ifndef REXEC_LESSON_HANDSHAKE_ENDS_H
#define REXEC_LESSON_HANDSHAKE_ENDS_H

#include "auth/handshake.h"
#include "rexec/connection.h"
#include "rexec/lesson_handshake_net.h"

/* Keys of one scene, made anew for each. */
struct cast {
    struct net *net;
    uint8_t psk[RX_KEY_SIZE];          /* alice's */
    struct rx_grant_keys lab01;        /* what lab01 stores of it */
    struct rx_grant_keys lab02;        /* what lab02, Mallory's own server, stores of it */
    uint8_t decoy_secret[RX_KEY_SIZE]; /* lab01's */
};

/* False, with an error of the net: no keys could be made. */
bool cast_make(struct cast *cast, struct net *net);
void cast_wipe(struct cast *cast);

enum {
    ALICE_RECORDS = 2,    /* the command, and the end of its input */
    GUARD_MESSAGE = 4096, /* the longest record of the lesson */
};

/* The client. */
struct alice {
    struct rx_connection *connection;
    struct rx_command *command;
    enum rx_error error;
    uint8_t *buffer; /* what the library wants to send: M1, then M3 and the records */
    uint8_t m1[RX_M1_SIZE];
    const uint8_t *m3; /* NULL: she sends none */
    const uint8_t *record[ALICE_RECORDS];
    size_t record_len[ALICE_RECORDS];
    bool welcomed;
};

/* The server. */
struct guard {
    struct rx_server_handshake handshake;
    struct rx_session_keys keys;
    struct rx_sealer in, out;
    enum rx_error error;
    uint8_t m2[RX_M2_SIZE];
    bool answered; /* M2 was sent */
};

/* One run of the handshake over real sockets: alice - near - mallory - far - lab01. */
struct talk {
    struct cast *cast;
    struct net_pair near, far;
    struct alice alice;
    struct guard guard;
    uint8_t m2[RX_M2_SIZE]; /* as it came to Mallory */
    bool m2_seen;
    uint8_t welcome[GUARD_MESSAGE];
    size_t welcome_len;
};

/*
 * Begins: with alice, who holds `keys`, or without her, if that is NULL. False, with an error of
 * the net, and nothing has to be ended. Where a function below says false without an error of the
 * net, one of the ends has refused: alice.error or guard.error.
 */
bool talk_begin(struct talk *talk, struct cast *cast, const struct rx_grant_keys *keys);
void talk_end(struct talk *talk);

/* Alice sends her M1; Mallory sends this one on. True: lab01 has answered. */
bool talk_m1(struct talk *talk, const uint8_t *m1);

/* Mallory takes M2 from the wire. */
bool talk_see_m2(struct talk *talk);

/* Mallory passes this on to alice as M2. True: alice has accepted it. */
bool talk_m2(struct talk *talk, const uint8_t *m2);

/* Alice, if she does, sends M3 and her records; Mallory passes this on as M3. True: lab01 has
 * accepted it. */
bool talk_m3(struct talk *talk, const uint8_t *m3);

/* Mallory sends a record of n bytes on, and lab01 opens it; the message to `opened`, *opened_len.
 */
enum rx_error talk_record(struct talk *talk, const uint8_t *record, size_t n,
                          uint8_t opened[static GUARD_MESSAGE], size_t *opened_len);

/* lab01 greets alice: talk->welcome. True: she has opened it. */
bool talk_welcome(struct talk *talk);

/* Whether lab01 has closed its connection without a word. */
bool talk_closed(struct talk *talk);

#endif
