#include "tests/duel/session.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

uint64_t dice_next(struct dice *d)
{
    d->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = d->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t dice_below(struct dice *d, uint64_t n)
{
    return dice_next(d) % n;
}

void dice_fill(struct dice *d, void *out, size_t n)
{
    uint8_t *p = out;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)dice_next(d);
}

static void must(enum rx_error error, const char *what)
{
    if (error != RX_OK) {
        (void)fprintf(stderr, "session: %s: %s\n", what, rx_error_name(error));
        abort();
    }
}

/* ---- handshake -------------------------------------------------------------------------- */

void handshake_prepare(struct handshake_pair *p, struct dice *d, enum rx_suite suite)
{
    memset(p, 0, sizeof *p);
    if (sodium_init() < 0)
        abort();
    uint8_t random[RX_KEY_SIZE];
    dice_fill(d, p->psk, sizeof p->psk);
    (void)snprintf(p->server_name, sizeof p->server_name, "lab%02u", (unsigned)dice_below(d, 100));
    must(rx_grant_keys_derive(p->psk, p->server_name, &p->grant), "derive");
    dice_fill(d, random, sizeof random);
    must(rx_key_pair_make(random, &p->client_pair), "client pair");
    dice_fill(d, random, sizeof random);
    must(rx_key_pair_make(random, &p->server_pair), "server pair");
    dice_fill(d, p->nonce, sizeof p->nonce);
    dice_fill(d, p->challenge, sizeof p->challenge);
    p->client_offer = (struct rx_offer){RX_VERSION, RX_VERSION, (uint8_t)suite};
    p->server_offer = (struct rx_offer){RX_VERSION, RX_VERSION, RX_SUITES_ALL};
}

enum rx_error handshake_m1(struct handshake_pair *p)
{
    return rx_client_handshake_begin(&p->client, &p->client_offer, &p->grant, p->nonce,
                                     &p->client_pair, p->m1);
}

enum rx_error handshake_m2(struct handshake_pair *p)
{
    uint8_t kid[RX_KID_SIZE];
    enum rx_error error = rx_server_handshake_begin(&p->server, &p->server_offer, p->m1, kid);
    if (error != RX_OK)
        return error;
    bool genuine = memcmp(kid, p->grant.kid, sizeof kid) == 0;
    struct rx_grant_keys keys = p->grant;
    static const uint8_t decoy_secret[RX_KEY_SIZE] = {0xdc};
    if (!genuine)
        must(rx_decoy_keys_derive(decoy_secret, kid, &keys), "decoy");
    return rx_server_handshake_answer(&p->server, &keys, genuine, p->challenge, &p->server_pair,
                                      p->m2);
}

enum rx_error handshake_m3(struct handshake_pair *p)
{
    return rx_client_handshake_finish(&p->client, p->m2, p->m3, &p->client_keys, NULL);
}

enum rx_error handshake_end(struct handshake_pair *p)
{
    return rx_server_handshake_finish(&p->server, p->m3, &p->server_keys);
}

void handshake_run(struct handshake_pair *p, struct dice *d, enum rx_suite suite)
{
    handshake_prepare(p, d, suite);
    must(handshake_m1(p), "M1");
    must(handshake_m2(p), "M2");
    must(handshake_m3(p), "M3");
    must(handshake_end(p), "end");
}

/* ---- ends ------------------------------------------------------------------------------- */

enum rx_error end_try_open(struct end *end, enum rx_role role, const struct rx_session_keys *keys,
                           const struct rx_engine_config *config)
{
    bool client = role == RX_CLIENT;
    memset(end, 0, sizeof *end);
    end->role = role;
    enum rx_error error = rx_sealer_init(&end->out, keys->suite, client ? keys->c2s : keys->s2c);
    if (error == RX_OK)
        error = rx_sealer_init(&end->in, keys->suite, client ? keys->s2c : keys->c2s);
    if (error == RX_OK)
        error = rx_request_key_init(&end->request_key, keys->request);
    if (error != RX_OK)
        return error;
    struct rx_mac mac = rx_request_key_mac(&end->request_key);
    rx_request_chain_init(&end->monitor, &mac);
    struct rx_engine_config c = config != NULL ? *config : (struct rx_engine_config){0};
    c.role = role;
    c.seal = rx_sealer_seal(&end->out);
    c.open = rx_sealer_seal(&end->in);
    if (client)
        c.mac = mac;
    end->engine = rx_engine_new(&c);
    return end->engine != NULL ? RX_OK : RX_E_NO_MEMORY;
}

void end_open(struct end *end, enum rx_role role, const struct rx_session_keys *keys,
              const struct rx_engine_config *config)
{
    must(end_try_open(end, role, keys, config), "open");
}

void end_close(struct end *end)
{
    rx_engine_free(end->engine);
    rx_sealer_wipe(&end->out);
    rx_sealer_wipe(&end->in);
    rx_request_key_wipe(&end->request_key);
    end->engine = NULL;
}

bool end_spells;

enum rx_error end_encode(enum rx_type type, const struct rx_header *h,
                         uint8_t bytes[static RX_HEADER_MAX], size_t *n)
{
    size_t space = end_spells ? 1 : 0;
    enum rx_error error = rx_header_encode(type, h, bytes + space, RX_HEADER_MAX - space, n);
    if (error != RX_OK || *n == 0)
        return error;
    if (end_spells)
        bytes[0] = ' ';
    *n += space;
    return RX_OK;
}

enum rx_error end_welcome(struct end *end)
{
    struct rx_header h;
    rx_header_init(RX_WELCOME, &h);
    memcpy(h.welcome.server, "lab01", sizeof "lab01");
    memcpy(h.welcome.version, "1", sizeof "1");
    h.welcome.time_us = 1;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    enum rx_error error = end_encode(RX_WELCOME, &h, bytes, &n);
    return error == RX_OK ? rx_engine_welcome(end->engine, bytes, n) : error;
}

enum rx_error end_exec(struct end *end, uint64_t number, struct rx_channel **channel)
{
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    rx_put64(h.exec.id + 8, number);
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    enum rx_error error = end_encode(RX_EXEC, &h, bytes, &n);
    if (error != RX_OK)
        return error;
    static const uint8_t words[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};
    return rx_engine_request(end->engine, RX_EXEC, bytes, n, words, sizeof words, channel);
}

enum rx_error end_started(struct end *end, struct rx_channel *channel)
{
    return rx_engine_start(end->engine, RX_STARTED, &channel, NULL, NULL, 0);
}

enum rx_error end_exit(struct end *end, struct rx_channel *channel, int code)
{
    struct rx_header h;
    rx_header_init(RX_EXIT, &h);
    h.exit.code = code;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    enum rx_error error = end_encode(RX_EXIT, &h, bytes, &n);
    return error == RX_OK ? rx_engine_exit(end->engine, channel, bytes, n) : error;
}

enum rx_error end_refuse(struct end *end, struct rx_channel *channel, bool last, enum rx_error why)
{
    struct rx_header h;
    rx_header_error(&h, why, NULL);
    uint8_t bytes[RX_HEADER_MAX];
    size_t n;
    enum rx_error error = end_encode(RX_REFUSED, &h, bytes, &n);
    return error == RX_OK
               ? rx_engine_answer(end->engine, RX_REFUSED, channel, last, bytes, n, NULL, 0)
               : error;
}

/* ---- sessions --------------------------------------------------------------------------- */

void session_open(struct session *s, struct dice *d, enum rx_suite suite,
                  const struct rx_engine_config *client, const struct rx_engine_config *server)
{
    struct handshake_pair p;
    handshake_run(&p, d, suite);
    end_open(&s->client, RX_CLIENT, &p.client_keys, client);
    end_open(&s->server, RX_SERVER, &p.server_keys, server);
    must(end_welcome(&s->server), "welcome");
}

void session_close(struct session *s)
{
    end_close(&s->client);
    end_close(&s->server);
}
