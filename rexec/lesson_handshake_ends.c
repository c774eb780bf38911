#include "rexec/lesson_handshake_ends.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/bytes.h"
#include "proto/words.h"

/* ---- keys ------------------------------------------------------------------------------- */

static bool broken(struct net *net, const char *what)
{
    if (net->error == 0) {
        net->error = ENOMEM;
        net->what = what;
    }
    return false;
}

bool cast_make(struct cast *cast, struct net *net)
{
    *cast = (struct cast){.net = net};
    randombytes_buf(cast->psk, sizeof cast->psk);
    randombytes_buf(cast->decoy_secret, sizeof cast->decoy_secret);
    return (rx_grant_keys_derive(cast->psk, "lab01", &cast->lab01) == RX_OK &&
            rx_grant_keys_derive(cast->psk, "lab02", &cast->lab02) == RX_OK) ||
           broken(net, "keys");
}

void cast_wipe(struct cast *cast)
{
    sodium_memzero(cast, sizeof *cast);
}

/* ---- alice ------------------------------------------------------------------------------ */

static enum rx_error ask(struct alice *a)
{
    struct rx_header header;
    uint8_t words[64];
    size_t n = 0;
    rx_header_init(RX_EXEC, &header);
    randombytes_buf(header.exec.id, sizeof header.exec.id);
    enum rx_error error = rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, "date", 4);
    if (error == RX_OK)
        error = rx_connection_exec(a->connection, &header.exec, words, n, NULL, &a->command);
    if (error == RX_OK)
        rx_command_finish(a->command);
    return error;
}

static void alice_end(struct alice *a)
{
    rx_command_free(a->command);
    rx_connection_free(a->connection);
    free(a->buffer);
    *a = (struct alice){0};
}

static bool alice_begin(struct alice *a, const struct rx_grant_keys *keys)
{
    uint8_t random[RX_CONNECTION_RANDOM];
    const struct rx_connection_config config = {.keys = keys};
    randombytes_buf(random, sizeof random);
    a->buffer = malloc(RX_CONNECTION_OUTPUT_MIN);
    a->connection = rx_connection_new(&config, random, &a->error);
    sodium_memzero(random, sizeof random);
    if (a->buffer == NULL || a->connection == NULL || ask(a) != RX_OK ||
        rx_connection_output(a->connection, a->buffer, RX_CONNECTION_OUTPUT_MIN) != RX_M1_SIZE)
        return false;
    memcpy(a->m1, a->buffer, RX_M1_SIZE);
    return true;
}

/* Gives the library n bytes that came; what it wants to send then is in the buffer. */
static size_t alice_takes(struct alice *a, uint8_t *bytes, size_t n)
{
    struct rx_client_event event;
    enum rx_next next;
    rx_connection_feed(a->connection, bytes, n);
    while ((next = rx_connection_next(a->connection, 0, &event)) == RX_NEXT_EVENT)
        a->welcomed = a->welcomed || event.what == RX_ON_WELCOME;
    if (next == RX_NEXT_ERROR) {
        a->error = rx_connection_error(a->connection);
        return 0;
    }
    return rx_connection_output(a->connection, a->buffer, RX_CONNECTION_OUTPUT_MIN);
}

/* M3, and where her records begin. */
static bool alice_answers(struct alice *a, size_t n)
{
    size_t at = RX_M3_SIZE;
    for (size_t i = 0; i < ALICE_RECORDS; i++) {
        if (n < at + RX_RECORD_LENGTH)
            return false;
        a->record[i] = a->buffer + at;
        a->record_len[i] = RX_RECORD_LENGTH + rx_get32(a->buffer + at);
        at += a->record_len[i];
    }
    a->m3 = a->buffer;
    return at == n && at <= GUARD_MESSAGE;
}

/* ---- lab01 ------------------------------------------------------------------------------ */

static void guard_refuses(struct talk *talk, enum rx_error error)
{
    talk->guard.error = error;
    (void)shutdown(talk->far.server, SHUT_RDWR);
}

static bool guard_greets(struct talk *talk)
{
    static const struct rx_offer offer = {RX_VERSION, RX_VERSION, RX_SUITES_SEALED};
    struct guard *g = &talk->guard;
    const struct cast *cast = talk->cast;
    uint8_t m1[RX_M1_SIZE], kid[RX_KID_SIZE], random[RX_KEY_SIZE], challenge[RX_KEY_SIZE];
    struct rx_grant_keys decoy = {0};
    struct rx_key_pair pair = {0};
    if (!net_receive(cast->net, talk->far.server, m1, sizeof m1))
        return false;
    randombytes_buf(random, sizeof random);
    randombytes_buf(challenge, sizeof challenge);
    enum rx_error error = rx_server_handshake_begin(&g->handshake, &offer, m1, kid);
    if (error == RX_OK)
        error = rx_decoy_keys_derive(cast->decoy_secret, kid, &decoy);
    if (error == RX_OK)
        error = rx_key_pair_make(random, &pair);
    if (error == RX_OK) {
        bool genuine = memcmp(kid, cast->lab01.kid, sizeof kid) == 0;
        error = rx_server_handshake_answer(&g->handshake, genuine ? &cast->lab01 : &decoy, genuine,
                                           challenge, &pair, g->m2);
        g->answered =
            error == RX_OK || error == RX_E_NO_COMMON_VERSION || error == RX_E_NO_COMMON_SUITE;
    }
    rx_key_pair_wipe(&pair);
    sodium_memzero(&decoy, sizeof decoy);
    sodium_memzero(random, sizeof random);
    if (g->answered && !net_send(cast->net, talk->far.server, g->m2, sizeof g->m2))
        return false;
    if (error != RX_OK)
        guard_refuses(talk, error);
    return g->answered;
}

static bool guard_checks(struct talk *talk)
{
    struct guard *g = &talk->guard;
    uint8_t m3[RX_M3_SIZE];
    if (!net_receive(talk->cast->net, talk->far.server, m3, sizeof m3))
        return false;
    enum rx_error error = rx_server_handshake_finish(&g->handshake, m3, &g->keys);
    if (error == RX_OK)
        error = rx_sealer_init(&g->in, g->keys.suite, g->keys.c2s);
    if (error == RX_OK)
        error = rx_sealer_init(&g->out, g->keys.suite, g->keys.s2c);
    if (error != RX_OK)
        guard_refuses(talk, error);
    return error == RX_OK;
}

/* ---- the way between them --------------------------------------------------------------- */

bool talk_begin(struct talk *talk, struct cast *cast, const struct rx_grant_keys *keys)
{
    *talk = (struct talk){.cast = cast, .near = {-1, -1}, .far = {-1, -1}};
    if (keys != NULL && !alice_begin(&talk->alice, keys)) {
        talk_end(talk);
        return broken(cast->net, "alice");
    }
    if ((keys == NULL || net_connect(cast->net, &talk->near)) && net_connect(cast->net, &talk->far))
        return true;
    talk_end(talk);
    return false;
}

void talk_end(struct talk *talk)
{
    net_disconnect(&talk->near);
    net_disconnect(&talk->far);
    alice_end(&talk->alice);
    rx_server_handshake_wipe(&talk->guard.handshake);
    rx_session_keys_wipe(&talk->guard.keys);
    rx_sealer_wipe(&talk->guard.in);
    rx_sealer_wipe(&talk->guard.out);
}

/* Alice sends n bytes as far as Mallory. */
static bool alice_sends(struct talk *talk, const uint8_t *bytes, size_t n)
{
    uint8_t seen[GUARD_MESSAGE];
    struct net *net = talk->cast->net;
    return n <= sizeof seen && net_send(net, talk->near.client, bytes, n) &&
           net_receive(net, talk->near.server, seen, n);
}

bool talk_m1(struct talk *talk, const uint8_t *m1)
{
    bool with_alice = talk->alice.connection != NULL;
    return (!with_alice || alice_sends(talk, talk->alice.m1, RX_M1_SIZE)) &&
           net_send(talk->cast->net, talk->far.client, m1, RX_M1_SIZE) && guard_greets(talk);
}

bool talk_see_m2(struct talk *talk)
{
    talk->m2_seen =
        talk->m2_seen || net_receive(talk->cast->net, talk->far.client, talk->m2, sizeof talk->m2);
    return talk->m2_seen;
}

/* Mallory sends n bytes as far as alice, who takes them. */
static bool to_alice(struct talk *talk, const uint8_t *bytes, size_t n, size_t *answer)
{
    uint8_t got[GUARD_MESSAGE];
    struct net *net = talk->cast->net;
    if (n > sizeof got || !net_send(net, talk->near.server, bytes, n) ||
        !net_receive(net, talk->near.client, got, n))
        return false;
    *answer = alice_takes(&talk->alice, got, n);
    return talk->alice.error == RX_OK;
}

bool talk_m2(struct talk *talk, const uint8_t *m2)
{
    size_t n;
    return talk_see_m2(talk) && to_alice(talk, m2, RX_M2_SIZE, &n) &&
           (alice_answers(&talk->alice, n) || broken(talk->cast->net, "alice"));
}

bool talk_m3(struct talk *talk, const uint8_t *m3)
{
    const struct alice *a = &talk->alice;
    size_t n = RX_M3_SIZE + a->record_len[0] + a->record_len[1];
    return (a->m3 == NULL || alice_sends(talk, a->m3, n)) &&
           net_send(talk->cast->net, talk->far.client, m3, RX_M3_SIZE) && guard_checks(talk);
}

enum rx_error talk_record(struct talk *talk, const uint8_t *record, size_t n,
                          uint8_t opened[static GUARD_MESSAGE], size_t *opened_len)
{
    uint8_t got[GUARD_MESSAGE];
    uint8_t *input = got, *payload = NULL;
    struct net *net = talk->cast->net;
    enum rx_error error = RX_E_CLOSED_EARLY;
    if (n > sizeof got || !net_send(net, talk->far.client, record, n) ||
        !net_receive(net, talk->far.server, got, n))
        return error;
    struct rx_record_reader reader = {0};
    struct rx_seal seal = rx_sealer_seal(&talk->guard.in);
    enum rx_read read = rx_record_next(&reader, &seal, &input, &n, &payload, opened_len, &error);
    if (read == RX_READ_RECORD) {
        memcpy(opened, payload, *opened_len);
        error = RX_OK;
    } else if (error != RX_OK) {
        guard_refuses(talk, error);
    }
    rx_record_reader_clear(&reader);
    return error;
}

bool talk_welcome(struct talk *talk)
{
    struct rx_header header;
    uint8_t message[RX_MESSAGE_HEAD + RX_HEADER_MAX];
    size_t n = 0, unused;
    rx_header_init(RX_WELCOME, &header);
    (void)snprintf(header.welcome.server, sizeof header.welcome.server, "lab01");
    (void)snprintf(header.welcome.version, sizeof header.welcome.version, "lesson");
    header.welcome.time_us = 1;
    struct rx_seal seal = rx_sealer_seal(&talk->guard.out);
    if (rx_header_encode(RX_WELCOME, &header, message + RX_MESSAGE_HEAD, 1024, &n) != RX_OK)
        return broken(talk->cast->net, "welcome");
    rx_message_head(message, RX_WELCOME, 0, n, 0);
    if (rx_record_seal(&seal, message, RX_MESSAGE_HEAD + n, talk->welcome, &talk->welcome_len) !=
        RX_OK)
        return broken(talk->cast->net, "welcome");
    uint8_t got[GUARD_MESSAGE];
    struct net *net = talk->cast->net;
    return net_send(net, talk->far.server, talk->welcome, talk->welcome_len) &&
           net_receive(net, talk->far.client, got, talk->welcome_len) &&
           to_alice(talk, got, talk->welcome_len, &unused) && talk->alice.welcomed;
}

bool talk_closed(struct talk *talk)
{
    return net_closed(talk->cast->net, talk->far.client);
}
