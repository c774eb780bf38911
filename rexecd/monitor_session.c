/* Sessions: M1, M3, and how they end. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexecd/grantdir.h"
#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"

enum {
    WELCOME_MAX = 4096,
    REFILL_US = 5000, /* a short command is over by then */
};

static void judge_later(struct monitor *m, const struct session *s);

static const char *const state_names[] = {
    [SESSION_NEW] = "new",       [SESSION_CHALLENGED] = "challenged", [SESSION_PROVEN] = "proven",
    [SESSION_FAILED] = "failed", [SESSION_CLOSED] = "closed",
};

/* Which states follow which. */
static const unsigned next_states[] = {
    [SESSION_NEW] = 1 << SESSION_CHALLENGED,
    [SESSION_CHALLENGED] = 1 << SESSION_PROVEN | 1 << SESSION_CLOSED,
    [SESSION_PROVEN] = 1 << SESSION_FAILED | 1 << SESSION_CLOSED,
    [SESSION_FAILED] = 1 << SESSION_CLOSED,
    [SESSION_CLOSED] = 0,
};

static void set_state(struct monitor *m, struct session *s, enum session_state state)
{
    log_debug("session %u: %s -> %s", s->id, state_names[s->state], state_names[state]);
    if ((next_states[s->state] & 1U << state) == 0)
        fatal("session %u: %s -> %s is not possible", s->id, state_names[s->state],
              state_names[state]);
    m->proven_count += state == SESSION_PROVEN;
    m->proven_count -= s->state == SESSION_PROVEN;
    s->state = state;
}

struct session *session_find(const struct monitor *m, uint32_t id)
{
    struct session *s;
    LIST_FOREACH(s, &m->sessions[id % BUCKETS], by_id)
    if (s->id == id)
        return s;
    return NULL;
}

const char *session_label(const struct session *s)
{
    static char label[RX_PRINCIPAL_MAX + RX_SOURCE_TEXT_MAX + 16];
    char peer[RX_SOURCE_TEXT_MAX];
    (void)rx_source_print(&s->peer, peer);
    bool port = s->peer.family != RX_FAMILY_UNIX;
    (void)snprintf(label, sizeof label, port ? "%s from %s:%u" : "%s from %s",
                   s->principal[0] != '\0' ? s->principal : "somebody", peer, (unsigned)s->port);
    return label;
}

void session_who(const struct session *s, struct audit_who *who)
{
    who->principal = s->principal;
    who->peer = s->peer;
    who->port = s->port;
    memcpy(who->kid, s->kid, sizeof who->kid);
    memcpy(who->session, s->public_id, sizeof who->session);
}

static void wipe_handshake(struct session *s)
{
    if (s->handshake != NULL)
        rx_server_handshake_wipe(s->handshake);
    free(s->handshake);
    s->handshake = NULL;
}

void session_free(struct monitor *m, struct session *s)
{
    wipe_handshake(s);
    rx_request_key_wipe(&s->request_key);
    LIST_REMOVE(s, by_id);
    if (s->state != SESSION_CLOSED)
        m->session_count--;
    m->proven_count -= s->state == SESSION_PROVEN;
    free(s);
}

void session_release(struct monitor *m, struct session *s)
{
    if (s->state == SESSION_CLOSED && !s->pinned && LIST_EMPTY(&s->commands))
        session_free(m, s);
}

static void complain(struct monitor *m, const struct session *s, enum rx_error error)
{
    if (monitor_may_say(m))
        log_info("%s: no session: %s", session_label(s),
                 error == RX_E_CLOSED_EARLY ? "the client left in the handshake, as one does that "
                                              "has no grant here or asks for another name"
                                            : rx_error_text(error));
}

/* Close without a word, to the client too. */
static void drop(struct monitor *m, struct session *s, enum rx_error error)
{
    complain(m, s, error);
    monitor_send(m, IPC_DROP, s->id, NULL, NULL, 0, NULL);
    session_free(m, s);
}

/* ---- M1 --------------------------------------------------------------------------------- */

static enum rx_error fresh_pair(struct monitor *m, struct rx_key_pair *pair)
{
    /* Making another at once would keep the client, which is about to be woken, from the processor
     * that it was on. Nor is it put off by those who come meanwhile. */
    const struct timeval later = {.tv_usec = REFILL_US};
    if (m->pool != NULL && !event_pending(m->on_idle, EV_TIMEOUT, NULL))
        (void)event_add(m->on_idle, &later);
    if (m->pool != NULL && rx_pool_take(m->pool, pair))
        return RX_OK;
    uint8_t random[RX_KEY_SIZE];
    randombytes_buf(random, sizeof random);
    enum rx_error error = rx_key_pair_make(random, pair);
    sodium_memzero(random, sizeof random);
    return error;
}

bool pool_refill(struct monitor *m)
{
    uint8_t random[RX_KEY_SIZE];
    if (m->pool == NULL || rx_pool_count(m->pool) >= rx_pool_capacity(m->pool))
        return false;
    randombytes_buf(random, sizeof random);
    enum rx_error error = rx_pool_add(m->pool, random);
    sodium_memzero(random, sizeof random);
    return error == RX_OK && rx_pool_count(m->pool) < rx_pool_capacity(m->pool);
}

/* The same for known and unknown clients, up to the last byte. */
static enum rx_error make_m2(struct monitor *m, struct session *s, const uint8_t *m1,
                             struct ipc_m2 *m2)
{
    const struct rx_offer offer = {
        .version_min = RX_VERSION,
        .version_max = RX_VERSION,
        .suites = m->config->readable ? RX_SUITES_ALL : RX_SUITES_SEALED,
    };
    struct rx_grant_keys keys = {0};
    struct rx_key_pair pair = {0};
    const struct rx_grant *grant = NULL;
    enum rx_error error = rx_server_handshake_begin(s->handshake, &offer, m1, s->kid);
    if (error == RX_OK)
        error = rx_grants_look_up(m->grants, m->decoy_secret, s->kid, wall_us() / 1000000, &s->peer,
                                  &keys, &grant);
    if (error == RX_OK)
        error = fresh_pair(m, &pair);
    if (error == RX_OK) {
        uint8_t challenge[RX_KEY_SIZE];
        randombytes_buf(challenge, sizeof challenge);
        error = rx_server_handshake_answer(s->handshake, &keys, grant != NULL, challenge, &pair,
                                           m2->m2);
    }
    sodium_memzero(&keys, sizeof keys);
    rx_key_pair_wipe(&pair);
    return error;
}

/* What net says of the client's address is believed, but it must be one. */
static bool is_peer(const struct rx_source *peer)
{
    switch (peer->family) {
    case RX_FAMILY_UNIX:
        return true;
    case RX_FAMILY_IPV4:
        return peer->bits == 32;
    case RX_FAMILY_IPV6:
        return peer->bits == 128;
    default:
        return false;
    }
}

void session_m1(struct monitor *m, const struct ipc_message *message)
{
    const struct ipc_m1 *m1 = message->fixed;
    struct ipc_m2 m2 = {0};
    if (!is_peer(&m1->peer)) {
        if (monitor_may_say(m))
            log_error("net: a session from nowhere");
        monitor_send(m, IPC_DROP, message->session, NULL, NULL, 0, NULL);
        return;
    }
    /* Above max_connections there is room to prove oneself, and be told. */
    size_t most = (size_t)m->config->max_connections + m->config->max_unproven;
    struct session *s = m->session_count < most ? calloc(1, sizeof *s) : NULL;
    if (s == NULL || (s->handshake = calloc(1, sizeof *s->handshake)) == NULL) {
        if (monitor_may_say(m))
            log_warning("a session was dropped: %s", s == NULL && m->session_count >= most
                                                         ? "max_connections is reached"
                                                         : "no memory");
        monitor_send(m, IPC_DROP, message->session, NULL, NULL, 0, NULL);
        free(s);
        return;
    }
    LIST_INIT(&s->commands);
    s->id = message->session;
    s->peer = m1->peer;
    s->port = m1->port;
    if (m->config->tracing)
        s->accepted_us = wall_us() - m1->waited_us;
    m->session_count++;
    LIST_INSERT_HEAD(&m->sessions[s->id % BUCKETS], s, by_id);
    enum rx_error error = make_m2(m, s, m1->m1, &m2);
    m2.last = error == RX_E_NO_COMMON_VERSION || error == RX_E_NO_COMMON_SUITE;
    if (error != RX_OK && !m2.last) {
        drop(m, s, error);
        return;
    }
    s->answered_us = rising_us();
    monitor_send(m, IPC_M2, s->id, &m2, NULL, 0, NULL);
    if (m2.last) {
        complain(m, s, error);
        session_free(m, s);
    } else {
        set_state(m, s, SESSION_CHALLENGED);
    }
}

const struct rx_grant *session_grant(const struct monitor *m, const struct session *s)
{
    const struct rx_grant *grant = grantdir_find(m->grants, s->kid);
    return grant != NULL && rx_grant_usable(grant, wall_us() / 1000000, &s->peer) ? grant : NULL;
}

/* ---- M3 --------------------------------------------------------------------------------- */

static size_t welcome(const struct monitor *m, uint8_t bytes[static WELCOME_MAX])
{
    struct rx_header h;
    size_t n = 0;
    rx_header_init(RX_WELCOME, &h);
    memcpy(h.welcome.server, m->config->server_name, sizeof m->config->server_name);
    (void)snprintf(h.welcome.version, sizeof h.welcome.version, "%s", VERSION_TEXT);
    h.welcome.time_us = wall_us();
    h.welcome.commands = m->config->max_commands;
    h.welcome.linger_ms = m->config->linger_max;
    if (m->config->keepalive > 0)
        h.welcome.keepalive_ms = m->config->keepalive;
    return rx_header_encode(RX_WELCOME, &h, bytes, WELCOME_MAX, &n) == RX_OK ? n : 0;
}

/* The traffic keys go to net, the request key stays. */
static void send_keys(struct monitor *m, const struct session *s,
                      const struct rx_session_keys *keys, const uint8_t *bytes, size_t n)
{
    struct ipc_keys to_net = {.version = keys->version, .suite = (uint8_t)keys->suite};
    memcpy(to_net.c2s, keys->c2s, sizeof to_net.c2s);
    memcpy(to_net.s2c, keys->s2c, sizeof to_net.s2c);
    memcpy(to_net.id, keys->id, sizeof to_net.id);
    monitor_send(m, IPC_KEYS, s->id, &to_net, bytes, n, NULL);
    sodium_memzero(&to_net, sizeof to_net);
}

static enum rx_error proven(struct monitor *m, struct session *s, const struct rx_grant *grant,
                            const struct rx_session_keys *keys)
{
    uint8_t bytes[WELCOME_MAX];
    size_t n = welcome(m, bytes);
    if (n == 0)
        return RX_E_NO_MEMORY;
    const struct rx_mac mac = rx_request_key_mac(&s->request_key);
    rx_request_chain_init(&s->chain, &mac);
    memcpy(s->public_id, keys->id, sizeof s->public_id);
    s->suite = keys->suite;
    s->start_us = wall_us();
    grantdir_principal(grant, s->principal);
    s->expires = grant->expires;
    judge_later(m, s);
    set_state(m, s, SESSION_PROVEN);
    if (m->proven_count <= m->config->max_connections)
        log_info("%s: session opened, %s", session_label(s), rx_suite_name((unsigned)s->suite));
    if (m->config->tracing)
        session_trace(m, s);
    send_keys(m, s, keys, bytes, n);
    if (m->proven_count > m->config->max_connections)
        session_fail(m, s, RX_E_SESSION_LIMIT);
    else if (s->suite == RX_SUITE_HMAC_SHA256 && !grant->readable)
        session_fail(m, s, RX_E_SUITE_NOT_PERMITTED);
    return RX_OK;
}

void session_m3(struct monitor *m, struct session *s, const struct ipc_message *message)
{
    const struct ipc_m3 *m3 = message->fixed;
    struct rx_session_keys keys;
    enum rx_error error = rx_server_handshake_finish(s->handshake, m3->m3, &keys);
    wipe_handshake(s);
    if (error != RX_OK) {
        drop(m, s, error);
        return;
    }
    /* The grant may have gone since M1. */
    const struct rx_grant *grant = session_grant(m, s);
    error =
        grant == NULL ? RX_E_RESPONSE_WRONG : rx_request_key_init(&s->request_key, keys.request);
    if (error == RX_OK)
        error = proven(m, s, grant, &keys);
    if (error != RX_OK)
        drop(m, s, error);
    rx_session_keys_wipe(&keys);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* The client wants nothing more of them. Afterwards the session may be gone. */
static void end_commands(struct monitor *m, struct session *s, enum ended_by by)
{
    struct job *c, *next;
    s->pinned = true;
    for (c = LIST_FIRST(&s->commands); c != NULL; c = next) {
        next = LIST_NEXT(c, of_session);
        job_end(c, by, m->config->kill_grace);
        job_disown(c);
    }
    s->pinned = false;
    session_release(m, s);
}

/* The client may come back for them. */
static void lose_commands(struct monitor *m, struct session *s, bool fin)
{
    struct job *c, *next;
    s->pinned = true;
    for (c = LIST_FIRST(&s->commands); c != NULL; c = next) {
        next = LIST_NEXT(c, of_session);
        job_lost(c, fin);
    }
    s->pinned = false;
    session_release(m, s);
}

/* Ends it with an error to the client, and its commands. Afterwards it may be gone. */
static void fail(struct monitor *m, struct session *s, enum rx_error error, enum ended_by by)
{
    struct rx_header h;
    uint8_t bytes[1024];
    size_t n = 0;
    if (s->state != SESSION_PROVEN)
        return;
    rx_header_error(&h, error, NULL);
    if (rx_header_encode(RX_ERROR, &h, bytes, sizeof bytes, &n) != RX_OK)
        n = 0;
    if (monitor_may_say(m))
        log_warning("%s: the session ends: %s", session_label(s), rx_error_text(error));
    set_state(m, s, SESSION_FAILED);
    s->failure = error;
    monitor_send(m, IPC_FAIL, s->id, NULL, bytes, n, NULL);
    end_commands(m, s, by);
}

void session_fail(struct monitor *m, struct session *s, enum rx_error error)
{
    fail(m, s, error, BY_LOST);
}

static void record(const struct monitor *m, const struct session *s, const char *how,
                   const struct ipc_closed *closed)
{
    /* What was found out here counts, whatever net says of it. */
    unsigned error = s->failure != RX_OK ? (unsigned)s->failure : closed->error;
    if (s->failure != RX_OK)
        how = "error";
    struct audit_session r = {
        .suite = rx_suite_name((unsigned)s->suite),
        .start_us = s->start_us,
        .end_us = wall_us(),
        .how = how,
        .error = error != RX_OK ? rx_error_name(error) : NULL,
        .commands = s->commands_total,
        .received = closed->received,
        .sent = closed->sent,
    };
    session_who(s, &r.who);
    audit_session(m->audit, &r);
    log_info("%s: session closed (%s), %llu commands", session_label(s), how,
             (unsigned long long)s->commands_total);
}

static void close_session(struct monitor *m, struct session *s)
{
    LIST_REMOVE(s, by_id);
    LIST_INSERT_HEAD(&m->closed, s, by_id);
    set_state(m, s, SESSION_CLOSED);
    m->session_count--;
}

void session_closed(struct monitor *m, struct session *s, const struct ipc_closed *closed)
{
    static const char *const names[] = {
        [IPC_HOW_CLOSE] = "close",     [IPC_HOW_FIN] = "fin",     [IPC_HOW_RESET] = "reset",
        [IPC_HOW_SILENCE] = "silence", [IPC_HOW_ERROR] = "error",
    };
    const char *how = closed->how < IPC_HOW_COUNT ? names[closed->how] : "error";
    if (s->state == SESSION_CHALLENGED)
        complain(m, s, RX_E_CLOSED_EARLY);
    else
        record(m, s, how, closed);
    close_session(m, s);
    if (closed->how == IPC_HOW_CLOSE)
        end_commands(m, s, BY_CLOSED);
    else
        lose_commands(m, s, closed->how == IPC_HOW_FIN);
    monitor_check_stop(m);
}

void sessions_lost(struct monitor *m)
{
    const struct ipc_closed nothing = {.how = IPC_HOW_ERROR, .error = RX_E_INTERNAL};
    for (size_t i = 0; i < BUCKETS; i++) {
        struct session *s;
        while ((s = LIST_FIRST(&m->sessions[i])) != NULL) {
            if (s->state != SESSION_CHALLENGED)
                record(m, s, "error", &nothing);
            close_session(m, s);
            end_commands(m, s, BY_LOST);
        }
    }
    /* And what waited for a client went with net. */
    struct session *s, *next;
    for (s = LIST_FIRST(&m->closed); s != NULL; s = next) {
        next = LIST_NEXT(s, by_id);
        end_commands(m, s, BY_LOST);
    }
}

/* ---- grants that end -------------------------------------------------------------------- */

/* The clock on the wall may be set meanwhile, so nobody is waited for longer than this. */
enum { JUDGE_SECONDS = 60 };

/* Looks again when this session's grant has expired. */
static void judge_later(struct monitor *m, const struct session *s)
{
    int64_t now = wall_us() / 1000000;
    if (s->expires == 0 || (m->judge_at != 0 && m->judge_at <= s->expires))
        return;
    m->judge_at = s->expires;
    int64_t wait = s->expires > now ? s->expires - now : 0;
    const struct timeval after = {.tv_sec = wait < JUDGE_SECONDS ? wait : JUDGE_SECONDS};
    (void)event_add(m->on_judge, &after);
}

/* Whether its grant is not what it was when it was proven, or last looked at. Nobody has to look
 * when only time has passed, and not enough of it. */
static bool has_ended(struct monitor *m, struct session *s, bool reloaded)
{
    if (!reloaded && (s->expires == 0 || s->expires > wall_us() / 1000000))
        return false;
    const struct rx_grant *grant = session_grant(m, s);
    if (grant != NULL)
        s->expires = grant->expires;
    return grant == NULL;
}

void sessions_judge(struct monitor *m, bool reloaded)
{
    struct session *s, *next;
    m->judge_at = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (s = LIST_FIRST(&m->sessions[i]); s != NULL; s = next) {
            next = LIST_NEXT(s, by_id);
            if (s->state != SESSION_PROVEN)
                continue;
            if (has_ended(m, s, reloaded))
                fail(m, s, RX_E_GRANT_ENDED, BY_OPERATOR);
            else
                judge_later(m, s);
        }
    }
    /* Their commands wait for a client who cannot come. */
    for (s = LIST_FIRST(&m->closed); s != NULL; s = next) {
        next = LIST_NEXT(s, by_id);
        if (has_ended(m, s, reloaded))
            end_commands(m, s, BY_OPERATOR);
        else
            judge_later(m, s);
    }
}
