/*
 * Both ends of a session in one process, for tests: keys, handshake, sealers, engines, and what
 * carries bytes between them. Everything random comes from a seed, so that every run is the same.
 */
#ifndef REXEC_TESTS_DUEL_SESSION_H
#define REXEC_TESTS_DUEL_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "auth/handshake.h"
#include "auth/request_mac.h"
#include "auth/seal.h"
#include "proto/engine.h"
#include "proto/header.h"

/* A small repeatable generator (SplitMix64); never used for anything but tests. */
struct dice {
    uint64_t state;
};

uint64_t dice_next(struct dice *d);
/* 0 .. n-1; n > 0. */
uint64_t dice_below(struct dice *d, uint64_t n);
void dice_fill(struct dice *d, void *out, size_t n);

/* The handshake of one session, its messages kept so that tests can replay or alter them. */
struct handshake_pair {
    uint8_t psk[RX_KEY_SIZE];
    char server_name[64];
    struct rx_grant_keys grant;
    struct rx_offer client_offer, server_offer;
    struct rx_client_handshake client;
    struct rx_server_handshake server;
    struct rx_key_pair client_pair, server_pair;
    uint8_t nonce[RX_KEY_SIZE], challenge[RX_KEY_SIZE];
    uint8_t m1[RX_M1_SIZE], m2[RX_M2_SIZE], m3[RX_M3_SIZE];
    struct rx_session_keys client_keys, server_keys;
};

/* Random inputs for a suite; nothing is sent yet. */
void handshake_prepare(struct handshake_pair *p, struct dice *d, enum rx_suite suite);
/* The steps; each fills the message it makes, and returns what the machine said. */
enum rx_error handshake_m1(struct handshake_pair *p);
enum rx_error handshake_m2(struct handshake_pair *p);
enum rx_error handshake_m3(struct handshake_pair *p);
enum rx_error handshake_end(struct handshake_pair *p);
/* All steps; aborts if one fails. */
void handshake_run(struct handshake_pair *p, struct dice *d, enum rx_suite suite);

/* One end behind its handshake. */
struct end {
    enum rx_role role;
    struct rx_sealer out, in;
    struct rx_request_key request_key;
    struct rx_request_chain monitor; /* server: checks the requests that the engine passes on */
    struct rx_engine *engine;
};

/* Makes an end from its session keys. `config` may be NULL; its role, seals and mac are filled in
 * here. Aborts without memory. */
void end_open(struct end *end, enum rx_role role, const struct rx_session_keys *keys,
              const struct rx_engine_config *config);
/* The same, but returns what went wrong; *end needs no close then. */
enum rx_error end_try_open(struct end *end, enum rx_role role, const struct rx_session_keys *keys,
                           const struct rx_engine_config *config);
void end_close(struct end *end);

/* Whether ends put a space before each header that they encode: nobody else does, so that jansson
 * has to read it. */
extern bool end_spells;

/* rx_header_encode, for an end; RX_HEADER_MAX bytes are there. */
enum rx_error end_encode(enum rx_type type, const struct rx_header *h,
                         uint8_t bytes[static RX_HEADER_MAX], size_t *n);

/* Sends WELCOME (server). */
enum rx_error end_welcome(struct end *end);

/* Encodes a header and sends a request; id is made from `number`. Client. */
enum rx_error end_exec(struct end *end, uint64_t number, struct rx_channel **channel);
/* Answers EXEC with a bare STARTED. Server. */
enum rx_error end_started(struct end *end, struct rx_channel *channel);
/* Ends a command with exit code 0..255. Server. */
enum rx_error end_exit(struct end *end, struct rx_channel *channel, int code);
/* REFUSED with the error's number. Server. */
enum rx_error end_refuse(struct end *end, struct rx_channel *channel, bool last, enum rx_error why);

/* A pair of connected ends. */
struct session {
    struct end client, server;
};

/* Handshake, both ends, WELCOME queued at the server. */
void session_open(struct session *s, struct dice *d, enum rx_suite suite,
                  const struct rx_engine_config *client, const struct rx_engine_config *server);
void session_close(struct session *s);

#endif
