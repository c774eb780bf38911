/*
 * What net's own files share; nobody else includes it. net.c: setup, the link, the loop;
 * net_accept.c: listeners; net_connection.c: one client's connection; net_flush.c: its way out;
 * net_command.c: one command's pipes; net_stdin.c: its input; net_terminal.c: what of that is about
 * terminals; net_trace.c: its trace.
 */
#ifndef REXEC_REXECD_NET_INTERNAL_H
#define REXEC_REXECD_NET_INTERNAL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "auth/seal.h"
#include "proto/engine.h"
#include "rexecd/ipc.h"
#include "rexecd/link.h"

enum {
    SCRATCH_SIZE = 512 * 1024, /* what one read may bring */
    OUTPUT_SIZE = 512 * 1024,  /* what one write may take; at least RX_OUTPUT_MIN */
    UNSENT_MAX = 512 * 1024,   /* output read ahead for a client whose socket is full */
    HASTE_AFTER =
        256 * 1024,        /* bytes: a session that moves less need not have its own state of it */
    READ_BUSY = 64 * 1024, /* what one read brings while the monitor has more than it takes */
    ASKED_MAX = 64 * 1024, /* bytes of requests on their way of one that asks more than that */
    KEPT_MAX = 2 * 1024 * 1024, /* output of a connection's commands that waits for its client */
    SILENT_MAX = 3,             /* ticks of keepalive without a word: the client is gone */
    LINGER_MS = 2000,           /* for the client to read our last words */
    BUCKETS = 4096,
};

/* Where a connection stands; connection_set_state alone sets it. */
enum connection_state {
    CONNECTION_M1,        /* reading M1 */
    CONNECTION_M2,        /* M1 is with the monitor */
    CONNECTION_M3,        /* reading M3 */
    CONNECTION_KEYS,      /* M3 is with the monitor */
    CONNECTION_OPEN,      /* the engine speaks */
    CONNECTION_LINGERING, /* our last words are under way; what comes is thrown away */
    CONNECTION_GONE,      /* closed; freed at the end of the turn */
};

struct command;
struct trace;

struct connection {
    TAILQ_ENTRY(connection) order; /* in net.unproven (oldest first), net.open or net.gone */
    TAILQ_ENTRY(connection) turn;  /* in net.dirty, if `dirty` is set */
    TAILQ_ENTRY(connection) later; /* in net.soon, if `soon` is set */
    TAILQ_ENTRY(connection) wait;  /* in net.held, if `held` is set */
    struct net *net;
    LIST_ENTRY(connection) by_id;
    LIST_HEAD(, command) commands;
    struct event *readable;
    struct event *writable; /* only while the socket is full */
    struct event *timer;    /* only while lingering */
    struct rx_engine *engine;
    struct rx_sealer *sealers; /* out, in */
    struct trace *trace;       /* NULL: it is not traced */
    uint8_t *output;           /* bytes that did not fit into the socket; from the pool */
    size_t output_len, output_at;
    uint64_t received, sent;
    uint64_t asked_round; /* net.rounds, to which `asked` belongs */
    size_t asked;         /* bytes of requests since the way to the monitor was last free */
    int64_t since_ms;     /* accepted at */
    struct rx_source peer;
    uint32_t id;
    int fd;
    uint16_t port;
    enum connection_state state;
    uint8_t handshake_len;
    size_t kept;                   /* bytes of output that its commands' channels keep */
    bool kept_less;                /* than that, since some were acknowledged */
    bool crowded;                  /* some are not read as that is too much */
    bool told;                     /* the monitor knows of it */
    bool dirty;                    /* has something to send at the end of the turn */
    bool soon;                     /* has something to send that may wait for more */
    bool paused;                   /* not reading: the next word is the monitor's */
    bool held;                     /* not reading: the monitor has more than it takes */
    bool heard;                    /* something came since the last keepalive tick */
    uint8_t silent;                /* ticks since, one behind the other, without anything */
    uint8_t handshake[RX_M1_SIZE]; /* M1 or M3, as it comes */
};

TAILQ_HEAD(connections, connection);

/* One command's pipes, and what its client is still to have of it. */
struct command {
    LIST_ENTRY(command) of_connection; /* or in net.parked */
    LIST_ENTRY(command) by_number;
    TAILQ_ENTRY(command) of_untold; /* if `untold` is set */
    struct connection *connection;  /* NULL: it waits for its client to come back */
    struct rx_channel *channel;     /* the connection's engine's, or while it waits its own */
    uint64_t number;                /* the monitor's */
    uint64_t output_limit;
    uint8_t *exit_header; /* from ENDED; NULL: it still runs */
    size_t exit_len;
    struct event *events[RX_WHICH_COUNT];
    struct event *drain;
    int fds[RX_WHICH_COUNT]; /* -1: closed */
    uint32_t drain_ms;
    bool paused[RX_WHICH_COUNT]; /* output not read: no room, or the client does not read */
    bool talks[RX_WHICH_COUNT];  /* output has once been more than little */
    bool over_limit;             /* the monitor was told */
    bool finished;               /* EXIT is in the channel */
    bool untold;                 /* the monitor is to hear of it at the end of this turn */
    bool drain_later;            /* the client does not read: the grace begins when it does */
    bool terminal;               /* its stdin and stdout are a terminal's master */
    bool in_line;                /* what went into the terminal last did not end a line */
    bool typed;                  /* nothing more comes for the terminal but its eofs */
    uint8_t eof, eofs; /* the character that says so, and how often it is still to go in */
    bool closing;      /* what is in its pipes now is the last that is read */
    size_t rest[RX_WHICH_COUNT]; /* while closing: bytes that may still be read */
    /* When the drain time began, or began again; and how much of it went by before. */
    int64_t drain_since_ms, drained_ms;
    struct net *net;
};

struct listener;

struct net {
    struct event_base *base;
    struct link *monitor;
    struct ipc_setup setup;
    struct listener *listeners;
    struct connections unproven, open, dirty, soon, gone;
    struct connections held; /* who is not read, as the monitor has more than it takes */
    uint64_t rounds;         /* so often was the way to it free again */
    LIST_HEAD(, connection) by_id[BUCKETS];
    LIST_HEAD(, command) by_number[BUCKETS];
    LIST_HEAD(, command) parked;
    TAILQ_HEAD(, command) untold;
    size_t unproven_count, connection_count;
    uint32_t last_id;
    size_t fds_used;        /* by connections and pipes */
    size_t fds_for_clients; /* when so many are, nobody new gets one that proven clients' commands
                               need */
    struct event *tick;     /* deadlines of handshakes, and keepalive */
    struct event *delay;    /* how long those in `soon` wait at most */
    uint8_t *scratch;
    uint8_t *spare_output; /* one buffer kept for the next who needs it */
    struct rx_haste haste;
    const struct rx_aead *aead; /* for it; NULL: there is none */
    int64_t next_keepalive_ms;
    int64_t tick_ms; /* for when the tick is planned, if it is */
    bool serving, stop;
    int status;
};

/* Milliseconds of a clock that only goes forward. */
int64_t net_now_ms(void);

/* Says what the monitor must hear; if that cannot be, net ends, and with it all sessions. */
void net_tell(struct net *net, enum ipc_type type, uint32_t session, const void *fixed);

/* ---- net_accept.c ------------------------------------------------------------------------- */

/* Takes fd, which is the listener's in any case. 0, or -1 without memory. */
int listener_add(struct net *net, int fd);
int listeners_start(struct net *net);
/* A descriptor was closed: who waits for one may try again. */
void listeners_resume(struct net *net);
void listeners_free(struct net *net);

/* ---- net_connection.c --------------------------------------------------------------------- */

/* A client has connected. The fd is the connection's in any case. */
void connection_accept(struct net *net, int fd, const struct rx_source *peer, uint16_t port);
struct connection *connection_find(struct net *net, uint32_t id);

/* Ends the unproven connection that has had most time. False if there is none. */
bool connection_evict(struct net *net);

/* The way to the monitor is free again: who was held is read. */
void connections_unhold(struct net *net);

/* Messages of the monitor for it. */
void connection_m2(struct net *net, struct connection *c, const struct ipc_message *m);
void connection_keys(struct net *net, struct connection *c, const struct ipc_message *m);
void connection_answer(struct net *net, struct connection *c, const struct ipc_message *m);
/* ERROR with this header, then the end. */
void connection_fail(struct net *net, struct connection *c, const void *header, size_t n);

/* Ends it now; `how` and `error` go to the monitor. */
void connection_end(struct net *net, struct connection *c, enum ipc_how how, enum rx_error error);
/* Sends what is left, then ends. */
void connection_linger(struct net *net, struct connection *c);

/* Once a turn: frees what has gone. */
void connections_sweep(struct net *net);
/* Deadlines of handshakes, keepalive: when the first of them is due. */
void connections_tick(struct net *net, int64_t now_ms);

/* ---- net_flush.c -------------------------------------------------------------------------- */

/* Has something to send at the end of this turn. */
void connection_dirty(struct net *net, struct connection *c);
/* Has something to send that its client does not wait for, and that is likely to be followed by
 * more at once, as STARTED is by the end of a short command: goes with that, in one segment and one
 * wake-up of the client, or by itself after a moment. */
void connection_soon(struct net *net, struct connection *c);
/* It was sent with other things, or never will be. */
void connection_not_soon(struct net *net, struct connection *c);
/* Their delay is over, for all that have such. */
void connections_delayed(struct net *net);
/* Sends what it can of all that have. */
void connections_flush(struct net *net);
/* Bytes of output of its commands that are not sent yet. */
size_t connection_unsent(const struct connection *c);
void output_release(struct net *net, struct connection *c);

/* ---- net_command.c ------------------------------------------------------------------------ */

/* START, START_NO_STDIN, START_PTY: takes the message's fds. c is NULL if the connection has gone
 * meanwhile.
 */
void command_start(struct net *net, struct connection *c, struct ipc_message *m);
/* RESUME: c, or NULL if it has gone meanwhile, gets the command. */
void command_resume(struct net *net, struct connection *c, const struct ipc_message *m);
struct command *command_find(struct net *net, uint64_t number);
/* ENDED, EXIT_NOW: the tail is EXIT's header. */
void command_ended(struct net *net, struct command *k, const struct ipc_message *m, bool now);
/* Once a turn, behind what goes to clients: which commands have finished. */
void commands_tell(struct net *net);
/* The client acknowledged, or its socket has room again. */
void command_resume_output(struct command *k);
/* Some of what was kept for the client is not any more: who was not read for it is. */
void commands_uncrowd(struct connection *c);
/* The connection is gone: the command goes on and waits for its client. */
void command_park(struct net *net, struct command *k);
/* Nobody wants it any more, or its client has acknowledged EXIT: closes the pipes, says what went.
 */
void command_free(struct net *net, struct command *k);
/* The engine that has its channel; NULL: it waits for its client. */
struct rx_engine *command_engine(const struct command *k);
void command_close_pipe(struct command *k, enum rx_which which);

/* ---- net_stdin.c -------------------------------------------------------------------------- */

/* Bytes of stdin are there, or the end. */
void command_stdin(struct command *k);
/* The command does not read any more, or never did: what comes is dropped, the client is not held
 * up. Whether something came. */
bool command_drop_stdin(struct command *k);

/* ---- net_trace.c -------------------------------------------------------------------------- */

/* All of these do nothing where nothing is traced. A client has connected: */
void trace_begin(struct connection *c);
/* Microseconds since. */
uint32_t trace_age_us(const struct connection *c);
/* TRACE: the file, which it takes out of the message. */
void trace_file(struct connection *c, struct ipc_message *m);
/* Its engine is to use these seals; they live as long as the connection. */
void trace_seals(struct connection *c, struct rx_seal *out, struct rx_seal *in);
/* One call has moved n bytes. */
void trace_moved(const struct connection *c, bool out, size_t n);
/* M1, M2, M3. */
void trace_handshake(const struct connection *c, bool out, const char *name, size_t n);
/* Writes what is left; nothing is traced from then on. `trace` is to be freed behind the engine. */
void trace_end(struct connection *c);

/* ---- net_terminal.c ----------------------------------------------------------------------- */

/* The character that ends the input of who reads from this terminal now; -1: none does (it is in
 * raw mode), or it cannot be found out. */
int terminal_eof(int master);

#endif
