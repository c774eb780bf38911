/*
 * A monitor in this process, and at the other end of its link this test, which plays net and the
 * clients behind it: real handshakes, real requests, real processes. For one file of a test
 * program.
 */
#ifndef REXEC_TESTS_UNIT_MONITOR_WORLD_H
#define REXEC_TESTS_UNIT_MONITOR_WORLD_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/handshake.h"
#include "auth/request_mac.h"
#include "proto/header.h"
#include "proto/request.h"
#include "proto/words.h"
#include "rexecd/ipc.h"
#include "rexecd/log.h"
#include "rexecd/monitor.h"

enum { WORLD_SECONDS = 20, WORLD_REQUEST_MAX = IPC_REQUEST_MAX };

static const char world_name[] = "server";
static enum log_level world_log = LOG_LEVEL_ERROR;
static bool world_spells; /* a space before headers, so that jansson has to read them */

struct world {
    struct event_base *base;
    struct config config;
    struct monitor *monitor;
    struct ipc_reader *reader;
    struct rx_grant grant; /* the one client's */
    uint8_t psk[RX_KEY_SIZE];
    int net;               /* this test's end */
    struct ipc_message in; /* the last that came */
    bool gone;             /* the monitor closed the link */
};

/* A client behind net. */
struct client {
    struct world *w;
    uint32_t session;
    struct rx_client_handshake handshake;
    struct rx_session_keys keys;
    struct rx_request_key key;
    struct rx_request_chain chain;
    uint8_t last[WORLD_REQUEST_MAX]; /* the last request, with its trailer */
    size_t last_len;
    uint64_t next_id;
};

static inline int64_t world_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the world -------------------------------------------------------------------------- */

static inline void world_grant(struct world *w, const uint8_t psk[static RX_KEY_SIZE],
                               struct rx_grant *grant)
{
    *grant = (struct rx_grant){0};
    if (rx_grant_keys_derive(psk, world_name, &grant->keys) != RX_OK)
        abort();
    (void)snprintf(grant->server, sizeof grant->server, "%s", world_name);
    (void)snprintf(grant->name, sizeof grant->name, "%s", "alice");
    if (geteuid() == 0) {
        grant->any_user = true;
        grant->user_count = 1;
        (void)snprintf(grant->users[0], sizeof grant->users[0], "%s", "root");
    }
    (void)w;
}

static inline void world_turn(struct world *w)
{
    if (event_base_loop(w->base, EVLOOP_NONBLOCK) < 0)
        abort();
}

/* The next message of the monitor, whatever it is. False when time is up, or the link is closed. */
static inline bool world_next(struct world *w, int ms)
{
    int64_t deadline = world_ms() + ms;
    static uint8_t nothing[512] = {0};
    ipc_close_fds(&w->in);
    w->in = (struct ipc_message){.fixed = nothing, .tail = nothing};
    for (;;) {
        world_turn(w);
        enum ipc_result got = ipc_receive(w->net, w->reader, IPC_FROM_MONITOR, &w->in);
        if (got == IPC_GOT)
            return true;
        if (got == IPC_EOF) {
            w->gone = true;
            return false;
        }
        if (got != IPC_AGAIN)
            abort();
        if (world_ms() >= deadline)
            return false;
        struct pollfd p = {.fd = w->net, .events = POLLIN};
        (void)poll(&p, 1, 1);
    }
}

/* The next message must be this one. */
static inline bool world_expect(struct world *w, enum ipc_type type)
{
    if (world_next(w, WORLD_SECONDS * 1000) && w->in.type == type)
        return true;
    (void)fprintf(stderr, "expected %s, got %s\n", ipc_type_name(type), ipc_type_name(w->in.type));
    return false;
}

/* Nothing comes for a while. */
static inline bool world_silent(struct world *w, int ms)
{
    if (!world_next(w, ms))
        return true;
    (void)fprintf(stderr, "expected nothing, got %s\n", ipc_type_name(w->in.type));
    return false;
}

static inline void world_say(struct world *w, enum ipc_type type, uint32_t session,
                             const void *fixed, const void *tail, size_t n)
{
    while (ipc_send(w->net, type, session, fixed, tail, n, NULL) < 0) {
        if (errno != EAGAIN)
            return; /* the monitor has closed it */
        world_turn(w);
    }
}

/* A second client beside the first: its key, and a grant of another name. */
static inline void world_stranger(uint8_t psk[static RX_KEY_SIZE], struct rx_grant *grant)
{
    memset(psk, 8, RX_KEY_SIZE);
    world_grant(NULL, psk, grant);
    (void)snprintf(grant->name, sizeof grant->name, "%s", "bob");
}

/* `settings` are KEY, VALUE, ..., NULL; `grant` NULL is alice's, `stranger` NULL: there is none. */
static inline void world_open_two(struct world *w, const struct rx_grant *grant,
                                  const struct rx_grant *stranger, const char *const settings[])
{
    char error[CONFIG_ERROR_MAX];
    int fds[2];
    (void)signal(SIGPIPE, SIG_IGN); /* as rexecd does */
    *w = (struct world){0};
    memset(w->psk, 7, sizeof w->psk);
    log_open("rexecd", getenv("REXEC_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : world_log, false);
    if (sodium_init() < 0 || config_init(&w->config) < 0 ||
        config_set(&w->config, "name", world_name, error) < 0 ||
        config_set(&w->config, "kill_grace", "0.3", error) < 0 ||
        config_set(&w->config, "stop_grace", "0.5", error) < 0 ||
        config_set(&w->config, "linger", "0.3", error) < 0 ||
        config_set(&w->config, "fin_grace", "0.1", error) < 0)
        abort();
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i += 2)
        if (config_set(&w->config, settings[i], settings[i + 1], error) < 0)
            abort();
    if (config_complete(&w->config, error) < 0)
        abort();
    if (grant != NULL)
        w->grant = *grant;
    else
        world_grant(w, w->psk, &w->grant);
    struct rx_grants *grants = rx_grants_new();
    w->base = event_base_new();
    if (grants == NULL || rx_grants_add(grants, &w->grant) != RX_OK || w->base == NULL ||
        event_base_priority_init(w->base, 2) < 0 ||
        (stranger != NULL && rx_grants_add(grants, stranger) != RX_OK))
        abort();
    const struct monitor_parts parts = {
        .config = &w->config,
        .grants = grants,
        .audit = audit_open(w->config.audit),
        .cgroups = w->config.cgroups ? cgroups_open() : NULL,
    };
    w->monitor = monitor_new(w->base, &parts);
    w->reader = ipc_reader_new();
    if (w->monitor == NULL || w->reader == NULL || ipc_pair(fds) < 0 ||
        monitor_connect(w->monitor, fds[0]) < 0)
        abort();
    w->net = fds[1];
    if (!world_expect(w, IPC_SETUP) || !world_expect(w, IPC_SERVE))
        abort();
    world_say(w, IPC_READY, 0, NULL, NULL, 0);
    world_turn(w);
}

static inline void world_open(struct world *w, const struct rx_grant *grant,
                              const char *const settings[])
{
    world_open_two(w, grant, NULL, settings);
}

static inline void world_close(struct world *w)
{
    ipc_close_fds(&w->in);
    monitor_free(w->monitor);
    event_base_free(w->base);
    ipc_reader_free(w->reader);
    config_free(&w->config);
    (void)close(w->net);
}

/* Turns the loop until no command is left. Of those that end, net has all it waits for. */
static inline bool world_idle(struct world *w)
{
    int64_t deadline = world_ms() + WORLD_SECONDS * INT64_C(1000);
    while (monitor_commands(w->monitor) > 0 && world_ms() < deadline) {
        ipc_close_fds(&w->in);
        world_turn(w);
        if (ipc_receive(w->net, w->reader, IPC_FROM_MONITOR, &w->in) != IPC_GOT) {
            (void)usleep(1000);
        } else if (w->in.type == IPC_ENDED) {
            const struct ipc_command *which = w->in.fixed;
            const struct ipc_finished finished = {.command = which->command};
            world_say(w, IPC_FINISHED, 0, &finished, NULL, 0);
        }
    }
    return monitor_commands(w->monitor) == 0;
}

/* ---- clients ---------------------------------------------------------------------------- */

static inline void client_m1(struct client *c, struct world *w, uint32_t session,
                             const uint8_t psk[static RX_KEY_SIZE], unsigned suites,
                             struct ipc_m1 *m1)
{
    const struct rx_offer offer = {RX_VERSION, RX_VERSION, (uint8_t)suites};
    struct rx_grant_keys keys;
    struct rx_key_pair pair;
    uint8_t random[2][RX_KEY_SIZE];
    *c = (struct client){.w = w, .session = session};
    randombytes_buf(random, sizeof random);
    *m1 = (struct ipc_m1){.peer = {.family = RX_FAMILY_IPV4, .address = {192, 0, 2, 1}, .bits = 32},
                          .port = 1234};
    if (rx_grant_keys_derive(psk, world_name, &keys) != RX_OK ||
        rx_key_pair_make(random[0], &pair) != RX_OK ||
        rx_client_handshake_begin(&c->handshake, &offer, &keys, random[1], &pair, m1->m1) != RX_OK)
        abort();
}

/* M3 for the M2 that came. */
static inline enum rx_error client_m3(struct client *c, struct ipc_m3 *m3)
{
    const struct ipc_m2 *m2 = c->w->in.fixed;
    return rx_client_handshake_finish(&c->handshake, m2->m2, m3->m3, &c->keys, NULL);
}

static inline void client_ready(struct client *c)
{
    if (rx_request_key_init(&c->key, c->keys.request) != RX_OK)
        abort();
    const struct rx_mac mac = rx_request_key_mac(&c->key);
    rx_request_chain_init(&c->chain, &mac);
}

/* The whole handshake with this key. False if the monitor did not give the session's keys. */
static inline bool client_open_as(struct client *c, struct world *w, uint32_t session,
                                  const uint8_t psk[static RX_KEY_SIZE])
{
    struct ipc_m1 m1;
    struct ipc_m3 m3;
    client_m1(c, w, session, psk, rx_suites_here() & RX_SUITES_SEALED, &m1);
    world_say(w, IPC_M1, session, &m1, NULL, 0);
    if (!world_expect(w, IPC_M2) || client_m3(c, &m3) != RX_OK)
        return false;
    world_say(w, IPC_M3, session, &m3, NULL, 0);
    if (!world_expect(w, IPC_KEYS))
        return false;
    const struct ipc_keys *keys = w->in.fixed;
    client_ready(c);
    return memcmp(keys->c2s, c->keys.c2s, RX_KEY_SIZE) == 0 &&
           memcmp(keys->s2c, c->keys.s2c, RX_KEY_SIZE) == 0 &&
           memcmp(keys->id, c->keys.id, RX_SESSION_ID_SIZE) == 0;
}

static inline bool client_open(struct client *c, struct world *w, uint32_t session)
{
    return client_open_as(c, w, session, w->psk);
}

static inline void client_close(struct client *c, enum ipc_how how)
{
    const struct ipc_closed closed = {.how = (uint8_t)how, .received = 10, .sent = 20};
    world_say(c->w, IPC_CLOSED, c->session, &closed, NULL, 0);
}

/* Puts a request together and signs it: client->last. */
static inline void client_sign(struct client *c, enum rx_type type, uint32_t stream,
                               const struct rx_header *header, const uint8_t *body, size_t body_len)
{
    uint8_t *p = c->last;
    size_t n = 0, space = world_spells ? 1 : 0;
    if (header != NULL && rx_header_encode(type, header, p + RX_MESSAGE_HEAD + space,
                                           RX_HEADER_MAX - space, &n) != RX_OK)
        abort();
    if (world_spells && n > 0) {
        p[RX_MESSAGE_HEAD] = ' ';
        n++;
    }
    p[0] = (uint8_t)type;
    p[1] = 0;
    p[2] = (uint8_t)(n >> 8);
    p[3] = (uint8_t)n;
    p[4] = (uint8_t)(stream >> 24);
    p[5] = (uint8_t)(stream >> 16);
    p[6] = (uint8_t)(stream >> 8);
    p[7] = (uint8_t)stream;
    n += RX_MESSAGE_HEAD;
    if (body_len > 0)
        memcpy(p + n, body, body_len);
    n += body_len;
    if (rx_request_sign(&c->chain, p, n) != RX_OK)
        abort();
    c->last_len = n + RX_REQUEST_TRAILER;
}

static inline void client_send(struct client *c)
{
    world_say(c->w, IPC_REQUEST, c->session, NULL, c->last, c->last_len);
}

/* An EXEC's header with an id of its own. */
static inline struct rx_header client_exec_header(struct client *c, int run)
{
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    randombytes_buf(h.exec.id, sizeof h.exec.id);
    h.exec.run = run;
    (void)c;
    return h;
}

/* EXEC of one command line, or of words until NULL. */
static inline void client_exec(struct client *c, uint32_t stream, const struct rx_header *h,
                               const char *const words[])
{
    static uint8_t body[RX_WORDS_MAX];
    size_t n = 0;
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        if (rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, words[i], strlen(words[i])) !=
            RX_OK)
            abort();
    client_sign(c, RX_EXEC, stream, h, body, n);
    client_send(c);
}

static inline void client_shell(struct client *c, uint32_t stream, const char *line)
{
    struct rx_header h = client_exec_header(c, RX_RUN_SHELL);
    const char *const words[] = {line, NULL};
    client_exec(c, stream, &h, words);
}

static inline void client_signal(struct client *c, uint32_t stream, const char *name, int64_t n)
{
    struct rx_header h;
    rx_header_init(RX_SIGNAL, &h);
    (void)snprintf(h.signal.signal, sizeof h.signal.signal, "%s", name);
    h.signal.n = n;
    client_sign(c, RX_SIGNAL, stream, &h, NULL, 0);
    client_send(c);
}

/* ---- what comes of it ------------------------------------------------------------------- */

/* A command that runs, as net has it. */
struct running {
    uint64_t number;
    int fds[3];
    uint32_t drain_ms;
    struct rx_header started;
};

/* START must come. */
static inline bool world_started(struct world *w, struct running *r)
{
    *r = (struct running){.fds = {-1, -1, -1}};
    if (!world_next(w, WORLD_SECONDS * 1000) ||
        (w->in.type != IPC_START && w->in.type != IPC_START_NO_STDIN)) {
        (void)fprintf(stderr, "expected START, got %s %.*s\n", ipc_type_name(w->in.type),
                      (int)w->in.tail_len, (const char *)w->in.tail);
        return false;
    }
    const struct ipc_start *start = w->in.fixed;
    size_t first = w->in.type == IPC_START ? 0 : 1;
    r->number = start->command;
    r->drain_ms = start->drain_ms;
    for (size_t i = first; i < 3; i++) {
        r->fds[i] = w->in.fds[i - first];
        w->in.fds[i - first] = -1;
    }
    return rx_header_decode(RX_STARTED, w->in.tail, w->in.tail_len, &r->started) == RX_OK;
}

static inline void running_close(struct running *r)
{
    for (size_t i = 0; i < 3; i++) {
        if (r->fds[i] >= 0)
            (void)close(r->fds[i]);
        r->fds[i] = -1;
    }
}

/* Reads a pipe to its end while the monitor works; how much there was, NUL-terminated. */
static inline size_t world_read(struct world *w, int fd, char *out, size_t cap)
{
    int64_t deadline = world_ms() + WORLD_SECONDS * INT64_C(1000);
    size_t n = 0;
    while (n + 1 < cap && world_ms() < deadline) {
        world_turn(w);
        ssize_t got = read(fd, out + n, cap - 1 - n);
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
        else
            (void)usleep(500);
    }
    out[n] = '\0';
    return n;
}

/* ENDED must come; EXIT's header to *h. */
static inline bool world_ended(struct world *w, const struct running *r, struct rx_header *h)
{
    if (!world_expect(w, IPC_ENDED))
        return false;
    const struct ipc_command *which = w->in.fixed;
    return which->command == r->number &&
           rx_header_decode(RX_EXIT, w->in.tail, w->in.tail_len, h) == RX_OK;
}

/* All of it went to the client, who acknowledges it. */
static inline void client_finished(struct client *c, struct running *r)
{
    const struct ipc_finished finished = {.command = r->number, .bytes = {1, 2, 3}, .kept = 5};
    const struct ipc_command gone = {.command = r->number};
    running_close(r);
    world_say(c->w, IPC_FINISHED, 0, &finished, NULL, 0);
    world_say(c->w, IPC_GONE, 0, &gone, NULL, 0);
    world_turn(c->w);
}

/* An ANSWER must come; its type and header. */
static inline bool world_answer(struct world *w, enum rx_type type, bool last, struct rx_header *h)
{
    if (!world_expect(w, IPC_ANSWER))
        return false;
    const struct ipc_answer *a = w->in.fixed;
    return a->type == type && a->last == last &&
           rx_header_decode(type, w->in.tail, a->header_len, h) == RX_OK;
}

/* REFUSED with this error must come. */
static inline bool world_refused(struct world *w, enum rx_error error)
{
    struct rx_header h;
    if (!world_answer(w, RX_REFUSED, true, &h))
        return false;
    if (h.notice.code == (int64_t)error)
        return true;
    (void)fprintf(stderr, "expected %s, got %s: %s\n", rx_error_name(error), h.notice.name,
                  h.notice.text);
    return false;
}

/* FAIL with this error must come. */
static inline bool world_failed(struct world *w, enum rx_error error)
{
    struct rx_header h;
    return world_expect(w, IPC_FAIL) &&
           rx_header_decode(RX_ERROR, w->in.tail, w->in.tail_len, &h) == RX_OK &&
           h.notice.code == (int64_t)error;
}

#endif
