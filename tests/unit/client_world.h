/*
 * A client's connection and a server's end in memory, behind a real handshake, for the modules that
 * move a command's bytes. For programs named test_client_*.c; for one file of each.
 */
#ifndef REXEC_TESTS_UNIT_CLIENT_WORLD_H
#define REXEC_TESTS_UNIT_CLIENT_WORLD_H

#include <stdlib.h>
#include <string.h>

#include "rexec/connection.h"
#include "tests/duel/session.h"

enum { CLIENT_WORLD_STDIN = 4 * 1024 * 1024 };

struct client_world {
    struct handshake_pair p;
    struct dice d;
    struct rx_connection *c;
    struct rx_command *command;
    struct end server;
    struct rx_channel *channel; /* the command's, at the server */
    /* What the client was told of. */
    bool welcome, started, exited;
    size_t data_events, room_events;
    /* What the server was sent. */
    uint8_t *input;
    size_t input_len;
    bool input_ended;
    bool holds_input; /* the server takes nothing */
    uint8_t wire[RX_CONNECTION_OUTPUT_MIN];
};

static const uint8_t client_world_words[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};

static inline void client_world_must(bool right)
{
    if (!right)
        abort();
}

/* Gives bytes to the client, which writes to them, and takes its events. */
static inline void client_world_give(struct client_world *w, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    client_world_must(copy != NULL);
    memcpy(copy, bytes, n);
    rx_connection_feed(w->c, copy, n);
    struct rx_client_event event;
    enum rx_next next;
    while ((next = rx_connection_next(w->c, 1, &event)) == RX_NEXT_EVENT) {
        w->welcome |= event.what == RX_ON_WELCOME;
        w->started |= event.what == RX_ON_STARTED;
        w->exited |= event.what == RX_ON_EXIT;
        w->data_events += event.what == RX_ON_DATA;
        w->room_events += event.what == RX_ON_ROOM;
    }
    client_world_must(next == RX_NEXT_MORE);
    free(copy);
}

static inline void client_world_serve(struct client_world *w)
{
    struct rx_event event;
    while (rx_engine_next(w->server.engine, &event) == RX_NEXT_EVENT) {
        if (event.message.type == RX_EXEC) {
            w->channel = event.channel;
            client_world_must(end_started(&w->server, w->channel) == RX_OK);
        } else if (event.message.type == RX_STDIN) {
            w->input_ended |= (event.message.flags & RX_FLAG_LAST) != 0;
        }
    }
    client_world_must(rx_engine_error(w->server.engine) == RX_OK);
}

/* Takes what the client has sent of stdin. */
static inline void client_world_take(struct client_world *w)
{
    const uint8_t *bytes;
    size_t n;
    while (w->channel != NULL && !w->holds_input &&
           (n = rx_engine_peek(w->server.engine, w->channel, RX_WHICH_STDIN, &bytes)) > 0) {
        client_world_must(w->input_len + n <= CLIENT_WORLD_STDIN);
        memcpy(w->input + w->input_len, bytes, n);
        w->input_len += n;
        rx_engine_consume(w->server.engine, w->channel, RX_WHICH_STDIN, n);
    }
}

/* Carries bytes to and fro until there are none. */
static inline void client_world_carry(struct client_world *w)
{
    size_t moved;
    do {
        size_t n;
        moved = 0;
        while ((n = rx_connection_output(w->c, w->wire, sizeof w->wire)) > 0) {
            rx_engine_feed(w->server.engine, w->wire, n);
            client_world_serve(w);
            moved += n;
        }
        client_world_take(w);
        while ((n = rx_engine_output(w->server.engine, w->wire, sizeof w->wire)) > 0) {
            client_world_give(w, w->wire, n);
            moved += n;
        }
    } while (moved > 0);
}

/* A session and a command that runs. */
static inline void client_world_open(struct client_world *w)
{
    uint8_t random[RX_CONNECTION_RANDOM];
    enum rx_error error;
    memset(w, 0, sizeof *w);
    w->d.state = 3;
    w->input = malloc(CLIENT_WORLD_STDIN);
    handshake_prepare(&w->p, &w->d, RX_SUITE_CHACHA20POLY1305);
    const struct rx_connection_config config = {.keys = &w->p.grant,
                                                .suites = RX_SUITE_CHACHA20POLY1305};
    dice_fill(&w->d, random, sizeof random);
    w->c = rx_connection_new(&config, random, &error);
    client_world_must(w->c != NULL && w->input != NULL);
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    h.exec.id[0] = 1;
    client_world_must(rx_connection_exec(w->c, &h.exec, client_world_words,
                                         sizeof client_world_words, w, &w->command) == RX_OK);
    client_world_must(rx_connection_output(w->c, w->wire, sizeof w->wire) == RX_M1_SIZE);
    memcpy(w->p.m1, w->wire, RX_M1_SIZE);
    client_world_must(handshake_m2(&w->p) == RX_OK);
    client_world_give(w, w->p.m2, sizeof w->p.m2);
    size_t n = rx_connection_output(w->c, w->wire, sizeof w->wire);
    memcpy(w->p.m3, w->wire, RX_M3_SIZE);
    client_world_must(n > RX_M3_SIZE && handshake_end(&w->p) == RX_OK);
    end_open(&w->server, RX_SERVER, &w->p.server_keys, NULL);
    client_world_must(end_welcome(&w->server) == RX_OK);
    rx_engine_feed(w->server.engine, w->wire + RX_M3_SIZE, n - RX_M3_SIZE);
    client_world_serve(w);
    client_world_carry(w);
    client_world_must(w->welcome && w->started && w->channel != NULL);
}

/* Output of the command: as much as the server may send now. */
static inline size_t client_world_print(struct client_world *w, enum rx_which which,
                                        const void *bytes, size_t n)
{
    size_t written = rx_engine_write(w->server.engine, w->channel, which, bytes, n);
    client_world_carry(w);
    return written;
}

static inline void client_world_close(struct client_world *w)
{
    rx_command_free(w->command);
    rx_connection_free(w->c);
    end_close(&w->server);
    free(w->input);
}

#endif
