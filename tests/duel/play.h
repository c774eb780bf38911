/*
 * Scripted sessions: both ends act by a fixed list of steps, and what goes over the wire is
 * recorded. One end can then be made anew from the session's keys, to be given what it received
 * then, whole, cut or altered.
 *
 * All is fixed by the play, the suite and the keys: an end that is made anew sends the same bytes.
 */
#ifndef REXEC_TESTS_DUEL_PLAY_H
#define REXEC_TESTS_DUEL_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/duel/session.h"
#include "tests/duel/tape.h"

enum {
    PLAY_STREAMS = 12, /* stream numbers of a play are below this */
    PLAY_BATCHES = 16, /* deliveries to one end, at most */
    PLAY_BEFORE = 2,   /* commands that a connection before left behind */
};

struct player {
    struct end end;
    struct rx_channel *channels[PLAY_STREAMS]; /* by stream number; NULL: none, or over */
    struct rx_channel *before[PLAY_BEFORE];    /* released; NULL: none, or bound by now */
    uint8_t tokens[RX_PINGS_MAX][8];           /* PINGs to be answered */
    size_t token_count;
    size_t events;
    uint64_t hash;                               /* of the events, in order */
    uint64_t data[PLAY_STREAMS][RX_WHICH_COUNT]; /* of the bytes consumed */
    uint64_t types;                              /* a bit for each type that came */
};

/* What one side does: `act`, if not NULL, and send; then, if `deliver`, the other side receives all
 * that it has sent since the last time. */
struct play_step {
    enum rx_role role;
    void (*act)(struct player *p);
    bool deliver;
};

struct play {
    const char *name;
    const struct play_step *steps; /* up to one without act and without deliver */
    bool before;                   /* there was a connection before */
};

/* A command with all that can come on its stream, and all types of messages around it. */
extern const struct play play_rich;
/* Short ones, together of all types. */
extern const struct play play_command, play_questions, play_return;
/* Large data, large messages. */
extern const struct play play_bulk;

struct recording {
    const struct play *play;
    struct rx_session_keys keys, before;
    /* By the role that sent: the bytes of each delivery, and all in one. */
    struct tape batches[2][PLAY_BATCHES];
    size_t batch_count[2];
    struct tape all[2];
    struct player *players[2]; /* as they were at the end */
};

void record_play(struct recording *rec, const struct play *play, enum rx_suite suite,
                 struct dice *d);
void recording_clear(struct recording *rec);

/* One end once more. */
struct replay {
    const struct recording *rec;
    struct player *player;
    const struct play_step *step;
    size_t batch;      /* the next to be received */
    struct tape *sent; /* all that it has sent; the caller's, to be used again */
};

void replay_begin(struct replay *r, const struct recording *rec, enum rx_role role,
                  struct tape *sent);
/* Acts up to the next delivery: the bytes that are to come now; NULL at the end. */
const struct tape *replay_until_delivery(struct replay *r);
void replay_end(struct replay *r);

/* Who hears the events of a player. */
struct listener player_listener(struct player *p);
/* Consumes all that is left on all streams. */
void player_drain(struct player *p);
/* Both did and heard the same. */
bool players_agree(const struct player *a, const struct player *b);

#endif
