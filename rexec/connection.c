#include "rexec/connection.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "auth/handshake_layout.h"
#include "proto/bytes.h"
#include "rexec/connection_internal.h"

_Static_assert(_Alignof(struct rx_connection) <= _Alignof(max_align_t), "calloc aligns it");

/* ---- life ------------------------------------------------------------------------------- */

/* M1, from fresh randomness: the nonce, and the secret of the ephemeral key. */
static enum rx_error begin(struct rx_connection *c, const struct rx_connection_config *config,
                           const uint8_t random[static RX_CONNECTION_RANDOM])
{
    unsigned suites = config->suites != 0 ? config->suites : RX_SUITES_SEALED & rx_suites_here();
    struct rx_offer offer = {RX_VERSION, RX_VERSION, (uint8_t)suites};
    struct rx_key_pair pair = {0};
    bool sealed = suites != RX_SUITE_HMAC_SHA256;
    enum rx_error error = sealed ? rx_key_pair_make(random + RX_KEY_SIZE, &pair) : RX_OK;
    if (error == RX_OK) {
        error = rx_client_handshake_begin(&c->handshake, &offer, config->keys, random,
                                          sealed ? &pair : NULL, c->m1);
    }
    rx_key_pair_wipe(&pair);
    return error;
}

struct rx_connection *rx_connection_new(const struct rx_connection_config *config,
                                        const uint8_t random[static RX_CONNECTION_RANDOM],
                                        enum rx_error *error)
{
    struct rx_connection *c = calloc(1, sizeof *c);
    *error = RX_E_NO_MEMORY;
    if (c == NULL)
        return NULL;
    TAILQ_INIT(&c->commands);
    *error = begin(c, config, random);
    if (*error != RX_OK) {
        rx_connection_free(c);
        return NULL;
    }
    c->config = *config;
    c->config.keys = NULL;
    c->m1_due = true;
    return c;
}

void rx_connection_free(struct rx_connection *c)
{
    if (c == NULL)
        return;
    struct rx_command *command;
    while ((command = TAILQ_FIRST(&c->commands)) != NULL)
        command_detach(command);
    rx_engine_free(c->engine);
    rx_sealer_wipe(&c->out);
    rx_sealer_wipe(&c->in);
    sodium_memzero(c, sizeof *c);
    free(c);
}

static void set_phase(struct rx_connection *c, enum phase phase)
{
    if (c->config.trace != NULL)
        c->config.trace(c->config.trace_context, 0, "greeting", "start");
    c->phase = phase;
}

enum rx_error rx_connection_error(const struct rx_connection *c)
{
    if (c->error != RX_OK || c->engine == NULL)
        return c->error;
    return rx_engine_error(c->engine);
}

bool rx_connection_ready(const struct rx_connection *c)
{
    return c->phase == PHASE_SESSION;
}

const struct rx_welcome *rx_connection_welcome(const struct rx_connection *c)
{
    return c->welcomed ? &c->welcome : NULL;
}

const char *rx_connection_suite(const struct rx_connection *c)
{
    return rx_suite_name(c->suite);
}

const uint8_t *rx_connection_session_id(const struct rx_connection *c)
{
    return c->session_id;
}

unsigned rx_connection_server_version(const struct rx_connection *c)
{
    return c->server_version;
}

static void tap_handshake(const struct rx_connection *c, bool out, const char *name, size_t size)
{
    if (c->config.tap != NULL)
        c->config.tap->record(c->config.tap->user, out, name, NULL, 0, size);
}

/* ---- M2 --------------------------------------------------------------------------------- */

static enum rx_error open_session(struct rx_connection *c, const struct rx_session_keys *keys)
{
    enum rx_error error = rx_sealer_init(&c->out, keys->suite, keys->c2s);
    if (error == RX_OK)
        error = rx_sealer_init(&c->in, keys->suite, keys->s2c);
    if (error == RX_OK)
        error = rx_request_key_init(&c->request_key, keys->request);
    if (error != RX_OK)
        return error;
    rx_sealer_hasten(&c->out, c->config.haste);
    rx_sealer_hasten(&c->in, c->config.haste);
    if (c->config.keylog != NULL)
        c->config.keylog(c->config.keylog_context, c->m1 + M1_NONCE, keys);
    struct rx_engine_config config = {
        .role = RX_CLIENT,
        .seal = rx_tap_seal(&c->tapped_out, rx_sealer_seal(&c->out), c->config.tap),
        .open = rx_tap_seal(&c->tapped_in, rx_sealer_seal(&c->in), c->config.tap),
        .mac = rx_request_key_mac(&c->request_key),
        .window = c->config.window,
        .first_chunk = RX_FIRST_CHUNK,
        .trace = c->config.trace,
        .trace_context = c->config.trace_context,
    };
    c->engine = rx_engine_new(&config);
    if (c->engine == NULL)
        return RX_E_NO_MEMORY;
    memcpy(c->session_id, keys->id, sizeof c->session_id);
    c->suite = keys->suite;
    c->m3_due = true;
    set_phase(c, PHASE_SESSION);
    return connection_ask_all(c);
}

/* Collects M2 from what was fed. Its first bytes tell a stranger before all of them have come. */
static enum rx_next take_m2(struct rx_connection *c, struct rx_client_event *event)
{
    size_t n = sizeof c->m2 - c->m2_len;
    if (n > c->input_len)
        n = c->input_len;
    if (n > 0)
        memcpy(c->m2 + c->m2_len, c->input, n);
    c->m2_len += n;
    c->input += n;
    c->input_len -= n;
    static const uint8_t begins[] = {'r', 'e', 'x', 'c', 2};
    size_t compared = c->m2_len < sizeof begins ? c->m2_len : sizeof begins;
    if (memcmp(c->m2, begins, compared) != 0) {
        c->error = RX_E_NOT_REXEC;
        return RX_NEXT_ERROR;
    }
    if (c->m2_len < sizeof c->m2)
        return RX_NEXT_MORE;
    tap_handshake(c, false, "M2", sizeof c->m2);
    struct rx_session_keys keys = {0};
    c->error = rx_client_handshake_finish(&c->handshake, c->m2, c->m3, &keys, &c->server_version);
    if (c->error == RX_OK)
        c->error = open_session(c, &keys);
    rx_session_keys_wipe(&keys);
    if (c->error != RX_OK)
        return RX_NEXT_ERROR;
    rx_engine_feed(c->engine, c->input, c->input_len);
    event->what = RX_ON_READY;
    return RX_NEXT_EVENT;
}

/* ---- events ----------------------------------------------------------------------------- */

/* The session fails because of what the server sent; it is told which error. */
static void fail(struct rx_connection *c, enum rx_error error)
{
    struct rx_header header;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n = 0;
    rx_header_error(&header, error, NULL);
    bool told = rx_header_encode(RX_ERROR, &header, bytes, sizeof bytes, &n) == RX_OK;
    rx_engine_fail(c->engine, error, told ? bytes : NULL, told ? n : 0);
}

/* Data and the end of a command that nobody here waits for any more. */
static void drop(struct rx_connection *c, const struct rx_event *e)
{
    if (e->channel == NULL)
        return;
    if (e->message.type == RX_STDOUT || e->message.type == RX_STDERR) {
        rx_engine_consume(c->engine, e->channel, e->which, e->message.body_len - RX_DATA_OFFSET);
    } else if (e->message.type == RX_EXIT) {
        (void)rx_engine_exit_ack(c->engine, e->channel);
    }
}

static enum rx_happening session_event(struct rx_connection *c, const struct rx_event *e,
                                       struct rx_client_event *event)
{
    switch (e->message.type) {
    case RX_WELCOME:
        c->welcome = c->header.welcome;
        c->welcomed = true;
        return RX_ON_WELCOME;
    case RX_PONG:
        memcpy(event->token, e->message.body, sizeof event->token);
        event->clock = rx_get64(e->message.body + 8);
        return RX_ON_PONG;
    case RX_GOAWAY:
        return RX_ON_GOAWAY;
    default:
        return RX_ON_ERROR;
    }
}

static enum rx_happening command_event(const struct rx_event *e, struct rx_client_event *event)
{
    struct rx_command *command = event->command;
    event->which = e->which;
    switch (e->message.type) {
    case RX_STDOUT:
    case RX_STDERR:
        return RX_ON_DATA;
    case RX_ACK:
        return RX_ON_ROOM;
    case RX_EXIT:
        for (size_t i = 0; i < RX_WHICH_COUNT; i++)
            event->counts[i] = rx_get64(e->message.body + 8 * i);
        command->exited = true;
        return RX_ON_EXIT;
    case RX_DONE:
        return event->header->reply.n != RX_ABSENT ? RX_ON_SIGNALED : RX_ON_RESIZED;
    case RX_REFUSED:
        if ((e->message.flags & RX_FLAG_LAST) == 0)
            return event->header->notice.n != RX_ABSENT ? RX_ON_UNSIGNALED : RX_ON_RESIZED;
        command->refused = true;
        return RX_ON_REFUSED;
    case RX_RESUMED:
        return RX_ON_RESUMED;
    default:
        command_started(command);
        return RX_ON_STARTED;
    }
}

/* An answer to a SIGNAL counts once, and only if there was one to answer. */
static bool answers_nothing(struct rx_command *command, const struct rx_message *m,
                            const struct rx_header *h)
{
    if ((m->flags & RX_FLAG_LAST) != 0)
        return command->exited; /* the end of a command that has had its end */
    int64_t n = m->type == RX_DONE ? h->reply.n : h->notice.n;
    if (n == RX_ABSENT)
        return !command->sized; /* to a RESIZE */
    return !command_signaled(command, n);
}

/* What the engine's event is to the program; false: nothing. */
static bool translate(struct rx_connection *c, uint64_t now, const struct rx_event *e,
                      struct rx_client_event *event)
{
    if (e->message.type == RX_PING) {
        /* A server that floods us with PINGs is told so by the engine. */
        (void)rx_engine_pong(c->engine, e->message.body, now);
        return false;
    }
    struct rx_command *command = e->channel != NULL ? rx_channel_user(e->channel) : NULL;
    /* Whatever is wrong with the message that closed it. */
    if (command != NULL && rx_channel_state(e->channel) == RX_STREAM_CLOSED)
        command_closed(command);
    if (e->message.kind->header_max > 0) {
        enum rx_error error = rx_message_check(&e->message, &c->header);
        if (error != RX_OK) {
            fail(c, error);
            return false;
        }
    }
    *event = (struct rx_client_event){.header = &c->header};
    if (e->message.stream == 0) {
        event->what = session_event(c, e, event);
        return true;
    }
    event->command = command;
    if (command == NULL) {
        drop(c, e);
        return false;
    }
    bool answer = e->message.type == RX_DONE || e->message.type == RX_REFUSED;
    if (answer && answers_nothing(command, &e->message, &c->header))
        return false;
    event->what = command_event(e, event);
    return true;
}

enum rx_next rx_connection_next(struct rx_connection *c, uint64_t now,
                                struct rx_client_event *event)
{
    if (c->error != RX_OK)
        return RX_NEXT_ERROR;
    *event = (struct rx_client_event){0};
    if (c->phase == PHASE_GREETING)
        return take_m2(c, event);
    struct rx_event e;
    enum rx_next next;
    do {
        next = rx_engine_next(c->engine, &e);
    } while (next == RX_NEXT_EVENT && !translate(c, now, &e, event));
    return next;
}

/* ---- bytes ------------------------------------------------------------------------------ */

size_t rx_connection_room(struct rx_connection *c, uint8_t **room)
{
    if (c->error != RX_OK)
        return 0;
    if (c->phase == PHASE_SESSION)
        return rx_engine_room(c->engine, room);
    return 0;
}

void rx_connection_filled(struct rx_connection *c, size_t n)
{
    rx_engine_filled(c->engine, n);
}

void rx_connection_feed(struct rx_connection *c, uint8_t *bytes, size_t n)
{
    if (c->phase == PHASE_SESSION) {
        rx_engine_feed(c->engine, bytes, n);
        return;
    }
    c->input = bytes;
    c->input_len = n;
}

enum rx_error rx_connection_eof(const struct rx_connection *c)
{
    if (c->error != RX_OK)
        return c->error;
    if (c->phase == PHASE_GREETING)
        return RX_E_CLOSED_EARLY;
    enum rx_error error = rx_engine_eof(c->engine);
    return error == RX_OK && !c->welcomed ? RX_E_CLOSED_EARLY : error;
}

bool rx_connection_pending(const struct rx_connection *c)
{
    return c->m1_due || c->m3_due || (c->engine != NULL && rx_engine_pending(c->engine));
}

size_t rx_connection_output(struct rx_connection *c, uint8_t *out, size_t cap)
{
    size_t n = 0;
    if (c->m1_due) {
        memcpy(out, c->m1, sizeof c->m1);
        c->m1_due = false;
        tap_handshake(c, true, "M1", sizeof c->m1);
        n = sizeof c->m1;
    }
    if (c->m3_due) {
        memcpy(out + n, c->m3, sizeof c->m3);
        c->m3_due = false;
        tap_handshake(c, true, "M3", sizeof c->m3);
        n += sizeof c->m3;
    }
    if (c->engine != NULL)
        n += rx_engine_output(c->engine, out + n, cap - n);
    return n;
}

void rx_connection_clock(struct rx_connection *c, int64_t ms)
{
    c->now_ms = ms;
}

/* ---- the session ------------------------------------------------------------------------ */

enum rx_error rx_connection_ping(struct rx_connection *c, const uint8_t token[static 8])
{
    if (c->phase != PHASE_SESSION || c->closed)
        return RX_E_BAD_STATE;
    return rx_engine_ping(c->engine, token);
}

void rx_connection_close(struct rx_connection *c)
{
    if (c->phase != PHASE_SESSION || c->closed)
        return;
    c->closed = true;
    struct rx_command *command;
    while ((command = TAILQ_FIRST(&c->commands)) != NULL)
        command_detach(command);
    /* Nothing may follow CLOSE, so what channels still have to send goes with them. */
    struct rx_channel *channel;
    while ((channel = rx_engine_channel_at(c->engine, 0)) != NULL &&
           rx_engine_release(c->engine, channel, NULL, 0) == RX_OK)
        rx_channel_free(channel);
    (void)rx_engine_close(c->engine, NULL, 0);
}
