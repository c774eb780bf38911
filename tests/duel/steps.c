#include "tests/duel/steps.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char server_name[] = "lab01";

void steps_begin(struct steps *s, enum rx_suite suite)
{
    struct dice d = {.state = 1};
    memset(s, 0, sizeof *s);
    s->suite = suite;
    handshake_prepare(&s->p, &d, suite);
    dice_fill(&d, s->random, sizeof s->random);
    s->pool = rx_pool_new(1);
    if (s->pool == NULL)
        abort();
    memset(&s->p.grant, STEPS_UNTOUCHED, sizeof s->p.grant);
    memset(&s->p.client_pair, STEPS_UNTOUCHED, sizeof s->p.client_pair);
    memset(&s->p.server_pair, STEPS_UNTOUCHED, sizeof s->p.server_pair);
    memset(&s->p.client_keys, STEPS_UNTOUCHED, sizeof s->p.client_keys);
    memset(&s->p.server_keys, STEPS_UNTOUCHED, sizeof s->p.server_keys);
    memset(s->p.m2, STEPS_UNTOUCHED, sizeof s->p.m2);
    memset(s->p.m3, STEPS_UNTOUCHED, sizeof s->p.m3);
    memset(&s->decoy, STEPS_UNTOUCHED, sizeof s->decoy);
}

void steps_end(struct steps *s)
{
    rx_pool_free(s->pool);
    sodium_memzero(s, sizeof *s);
}

static enum rx_error server_pair(struct steps *s)
{
    enum rx_error error = rx_pool_add(s->pool, s->random);
    if (error == RX_OK && !rx_pool_take(s->pool, &s->p.server_pair))
        abort();
    return error;
}

static enum rx_error m2(struct steps *s)
{
    uint8_t kid[RX_KID_SIZE];
    enum rx_error error = rx_server_handshake_begin(&s->p.server, &s->p.server_offer, s->p.m1, kid);
    if (error != RX_OK)
        return error;
    return rx_server_handshake_answer(&s->p.server, &s->p.grant, true, s->p.challenge,
                                      &s->p.server_pair, s->p.m2);
}

static enum rx_error request_key(struct rx_request_key *key, struct rx_request_chain *chain,
                                 const struct rx_session_keys *keys)
{
    enum rx_error error = rx_request_key_init(key, keys->request);
    struct rx_mac mac = rx_request_key_mac(key);
    rx_request_chain_init(chain, &mac);
    return error;
}

static enum rx_error seal(struct steps *s)
{
    size_t n;
    struct rx_seal out = rx_sealer_seal(&s->out);
    return rx_record_seal(&out, s->request, STEPS_PAYLOAD, s->record, &n);
}

static enum rx_error open_record(struct steps *s)
{
    struct rx_seal in = rx_sealer_seal(&s->in);
    return in.ops->open(in.context, s->record, s->record + RX_RECORD_LENGTH,
                        STEPS_PAYLOAD + in.ops->tag_size);
}

static enum rx_error run_handshake(struct steps *s, enum step step)
{
    switch (step) {
    case STEP_DERIVE:
        return rx_grant_keys_derive(s->p.psk, server_name, &s->p.grant);
    case STEP_DECOY:
        return rx_decoy_keys_derive(s->p.psk, s->p.grant.kid, &s->decoy);
    case STEP_CLIENT_PAIR:
        return rx_key_pair_make(s->random, &s->p.client_pair);
    case STEP_SERVER_PAIR:
        return server_pair(s);
    case STEP_M1:
        return handshake_m1(&s->p);
    case STEP_M2:
        return m2(s);
    case STEP_M3:
        return handshake_m3(&s->p);
    default:
        return handshake_end(&s->p);
    }
}

enum rx_error steps_run(struct steps *s, enum step step)
{
    switch (step) {
    case STEP_OUT:
        return rx_sealer_init(&s->out, s->suite, s->p.client_keys.c2s);
    case STEP_IN:
        return rx_sealer_init(&s->in, s->suite, s->p.server_keys.c2s);
    case STEP_CLIENT_KEY:
        return request_key(&s->client_key, &s->client_chain, &s->p.client_keys);
    case STEP_MONITOR_KEY:
        return request_key(&s->monitor_key, &s->monitor_chain, &s->p.server_keys);
    case STEP_SIGN:
        return rx_request_sign(&s->client_chain, s->request, STEPS_PAYLOAD);
    case STEP_SEAL_REKEYED:
        s->out.counter = s->in.counter = RX_EPOCH_RECORDS;
        return seal(s);
    case STEP_SEAL:
        return seal(s);
    case STEP_OPEN:
    case STEP_OPEN_REKEYED:
        return open_record(s);
    case STEP_CHECK:
        return rx_request_check(&s->monitor_chain, s->request, sizeof s->request);
    default:
        return run_handshake(s, step);
    }
}
