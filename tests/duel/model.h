/*
 * Commands over connections that come and go, as a model: two counters for each byte stream on each
 * side, and a pattern for its bytes. A client and a server are driven over engines, and what they
 * hear and hold is compared with the counters all the time.
 *
 * The client has one connection at a time. The server may still believe in older ones, and bytes
 * that were under way on them may still come to it.
 */
#ifndef REXEC_TESTS_DUEL_MODEL_H
#define REXEC_TESTS_DUEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/duel/session.h"
#include "tests/duel/tape.h"

enum { MODEL_COMMANDS = 1000, MODEL_LINKS = 4 };

/* One byte stream of a command. The last two are what the sender has heard. */
struct flow {
    size_t salt;       /* where its pattern begins */
    uint64_t total;    /* bytes that will be written */
    uint64_t written;  /* by the writer */
    uint64_t heard;    /* came to the reader's side */
    uint64_t consumed; /* by the reader */
    bool finished;     /* the writer said so */
    bool unread;       /* the reader takes nothing */
    bool ended;        /* the reader heard LAST */
    uint64_t limit;    /* up to here the sender may send */
    uint64_t acked;    /* and need not keep what is before this */
};

enum stage {
    STAGE_NEW,      /* the client has not asked for it yet */
    STAGE_ASKED,    /* EXEC was sent, perhaps more than once; no answer came */
    STAGE_ANSWERED, /* STARTED came */
    STAGE_EXIT,     /* EXIT came */
    STAGE_OVER,     /* REFUSED came, or EXIT_ACK was sent */
};

struct link;

struct command {
    unsigned number;
    struct flow flows[RX_WHICH_COUNT];

    /* client */
    enum stage stage;
    struct rx_channel *at_client; /* NULL: none (yet, or any more) */
    bool bound;                   /* to the present connection */
    bool repeated;                /* the request that bound it was not its first */

    /* server */
    bool known;
    struct rx_channel *at_server;
    struct link *owner;       /* at_server is bound there; NULL: released */
    struct rx_channel *asked; /* waits for an answer; at_server itself for a first EXEC */
    struct link *asked_at;    /* on this connection */
    bool by_resume;           /* by RESUME, which said: */
    struct rx_offsets offsets;
    unsigned newest;  /* number of the newest connection that asked for it */
    unsigned started; /* how often; at most once, whatever happens */
    bool refused, exited, forgotten;
};

/* A connection. A side that is not `up` has closed its end. */
struct link {
    struct world *world;
    unsigned number; /* from 1, rising; 0: this place is free */
    struct end client, server;
    bool client_up, server_up;
    struct tape to_server, to_client; /* under way */
};

struct stats {
    uint64_t steps, rounds, links, cuts, resumed, repeated, taken_over, late, refused;
    uint64_t bytes, events, early_acks, probes;
};

struct world {
    struct dice d;
    uint64_t seed, step;
    struct rx_engine_config client_config, server_config;
    struct link links[MODEL_LINKS];
    struct link *now; /* the client's connection; NULL: none */
    unsigned link_count;
    struct command commands[MODEL_COMMANDS];
    unsigned command_count;
    bool draining;  /* no more accidents */
    uint64_t moves; /* grows with all that gets on */
    struct stats *stats;

    /* A test of fair turns is going on: what each command could send, and how many records of
     * others came since its last. */
    bool probing;
    uint64_t sendable[MODEL_COMMANDS];
    size_t waited[MODEL_COMMANDS], turns;
};

/* Ends the program, with what is needed to see it again. */
_Noreturn void model_fail(const struct world *w, const char *file, int line, const char *what);

#define MODEL_CHECK(w, condition)                                                                  \
    do {                                                                                           \
        if (!(condition))                                                                          \
            model_fail((w), __FILE__, __LINE__, #condition);                                       \
    } while (0)

bool model_chance(struct world *w, uint64_t one_in);

/* The most that the reader of a byte stream ever promises beyond what it has consumed. */
uint64_t model_window(const struct world *w, enum rx_which which);

/* ---- model.c: byte streams and connections ---------------------------------------------- */

/* Writes up to n bytes of the pattern; through one of the two ways. */
void flow_write(struct world *w, struct end *end, struct rx_channel *channel, struct flow *f,
                enum rx_which which, uint64_t n);
/* Consumes up to n bytes and compares them. */
void flow_consume(struct world *w, struct end *end, struct rx_channel *channel, struct flow *f,
                  enum rx_which which, uint64_t n);
/* A data message came: compares it, and consumes some. */
void flow_hear(struct world *w, struct end *end, const struct rx_event *event, struct flow *f);
/* An ACK came. */
void flow_hear_ack(struct world *w, const struct rx_event *event, struct flow *f);

/* Moves what a side has to send onto the connection: at most `cap` bytes. */
void link_output(struct link *link, enum rx_role from, size_t cap);
/* Gives n bytes that are under way to a side, and checks all of its commands. */
void link_deliver(struct link *link, enum rx_role to, size_t n);
/* Compares what a side's engine holds with the counters. */
void link_check(struct link *link, enum rx_role role);

struct end *link_end(struct link *link, enum rx_role role);

/* ---- model_client.c --------------------------------------------------------------------- */

void client_hear(struct link *link, const struct rx_event *event);
/* A new connection. */
void client_connect(struct world *w);
/* The client's end is closed; `left` bytes that were under way to the server may still come. */
void client_drop(struct world *w, size_t left);
/* Asks for a command that the present connection does not have yet. */
void client_ask(struct world *w, struct command *c);
void client_signal(struct world *w, struct command *c);
void client_finish(struct world *w, struct command *c);
/* Has it all: says so, and is done with it. */
void client_exit_ack(struct world *w, struct command *c);
/* Whether the command's data can be written and read now. */
bool client_has(const struct world *w, const struct command *c);

/* ---- model_server.c --------------------------------------------------------------------- */

void server_hear(struct link *link, const struct rx_event *event);
/* The server believes no longer in a connection. */
void server_drop(struct link *link);
/* Answers EXEC or RESUME, if one waits. */
void server_answer(struct world *w, struct command *c);
void server_finish(struct world *w, struct command *c, enum rx_which which);
void server_exit(struct world *w, struct command *c);
bool server_has(const struct command *c);

/* ---- model_world.c ---------------------------------------------------------------------- */

/* A world without connections or commands; the configuration is the caller's to fill in. */
void world_open(struct world *w, uint64_t seed, struct stats *stats);
/* A command that will have so many bytes on its byte streams. */
struct command *world_add(struct world *w, const uint64_t totals[static RX_WHICH_COUNT]);
/* Both sides do once all that they can, without accidents and without ACKs that are not due.
 * Whether anything came of it. */
bool world_turn(struct world *w);
bool world_over(const struct world *w);
/* Goes on so until all commands are over, or nothing moves any more: that is a failure. */
void world_drain(struct world *w);
/* Checks that each command came to its right end, and frees all. */
void world_close(struct world *w);

#endif
