/*
 * What connection.c (handshake, bytes, events) and command.c share; nobody else includes it.
 */
#ifndef REXEC_CONNECTION_INTERNAL_H
#define REXEC_CONNECTION_INTERNAL_H

#include <sys/queue.h>

#include "auth/request_mac.h"
#include "rexec/connection.h"

enum phase {
    PHASE_GREETING, /* M2 has not come */
    PHASE_SESSION,  /* there is an engine */
};

/* A SIGNAL that the server has not answered. */
struct asked_signal {
    int64_t n;
    char name[RX_SIGNAL_NAME_MAX + 1];
};

enum { SIGNALS_MAX = 32 }; /* without an answer */

struct rx_command {
    TAILQ_ENTRY(rx_command) link;     /* in the connection's list, in the order of asking */
    struct rx_connection *connection; /* NULL: it is gone */
    struct rx_channel *channel;       /* NULL: not asked for yet, or over */
    void *user;
    struct rx_exec *exec; /* what was asked for, until it has started */
    uint8_t *words;       /* of it */
    size_t words_len;
    int64_t sent_ms; /* when its EXEC was first sent; RX_ABSENT: not yet */
    int64_t signals; /* asked for so far */
    struct asked_signal asked[SIGNALS_MAX];
    size_t asked_count;
    struct rx_size size; /* of its terminal, if `sized` */
    uint8_t id[RX_COMMAND_ID_SIZE];
    bool sized;
    bool own;      /* the channel is in no engine: the command frees it */
    bool started;  /* the server has said so, on this connection or an earlier one */
    bool finished; /* rx_command_finish was called before it could be done */
    bool exited;
    bool refused;
};

struct rx_connection {
    enum phase phase;
    enum rx_error error; /* of the handshake; the engine keeps its own */
    struct rx_client_handshake handshake;
    struct rx_sealer out, in;
    struct rx_tapped tapped_out, tapped_in;
    struct rx_request_key request_key;
    struct rx_connection_config config; /* without the keys */
    struct rx_engine *engine;
    TAILQ_HEAD(command_list, rx_command) commands;

    uint8_t *input; /* fed before there is an engine, and not used */
    size_t input_len;
    uint8_t m1[RX_M1_SIZE], m2[RX_M2_SIZE], m3[RX_M3_SIZE];
    size_t m2_len;
    bool m1_due, m3_due;

    uint8_t session_id[RX_SESSION_ID_SIZE];
    enum rx_suite suite;
    uint8_t server_version;
    bool welcomed, closed;
    int64_t now_ms; /* as rx_connection_clock last said */
    struct rx_welcome welcome;
    struct rx_header header; /* of the last event */
};

/* There are keys: asks for all commands, those of a lost connection again. */
enum rx_error connection_ask_all(struct rx_connection *c);

/* The stream of a command was closed by the last event: what was received of it stays. */
void command_closed(struct rx_command *command);

/* The server has said that it runs. */
void command_started(struct rx_command *command);

/* SIGNAL number n was answered: false if it was not asked for, or answered before. */
bool command_signaled(struct rx_command *command, int64_t n);

/* Takes the command out of its connection; its channel is no longer its own. */
void command_detach(struct rx_command *command);

#endif
