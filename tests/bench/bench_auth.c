/* Handshakes a second, the cost of a bad M3, and sealing against libsodium alone. */

#include <sodium.h>
#include <string.h>

#include "tests/bench/measure.h"
#include "tests/duel/session.h"

/* ---- handshakes ------------------------------------------------------------------------- */

struct shake {
    struct handshake_pair p;
    struct dice d;
};

static void require(enum rx_error error, enum rx_error wanted)
{
    if (error != wanted) {
        (void)fprintf(stderr, "bench: %s\n", rx_error_name(error));
        exit(1);
    }
}

static void fresh_pair(struct rx_key_pair *pair, struct dice *d)
{
    uint8_t random[RX_KEY_SIZE];
    dice_fill(d, random, sizeof random);
    require(rx_key_pair_make(random, pair), RX_OK);
}

/* The server's whole work: a key pair, M2, M3, the session's keys. M1 and M3 are the client's, made
 * by its own step, so a step here is both; the server's share is measured by leaving the client
 * out. */
static void both_ends(void *context)
{
    struct shake *s = context;
    if (s->p.client_offer.suites != RX_SUITE_HMAC_SHA256) {
        fresh_pair(&s->p.client_pair, &s->d);
        fresh_pair(&s->p.server_pair, &s->d);
    }
    require(handshake_m1(&s->p), RX_OK);
    require(handshake_m2(&s->p), RX_OK);
    require(handshake_m3(&s->p), RX_OK);
    require(handshake_end(&s->p), RX_OK);
}

/* The server alone, against one recorded client: same challenge and key pair, so that M3 fits. */
static void server_end(void *context)
{
    struct shake *s = context;
    struct rx_key_pair spare;
    if (s->p.client_offer.suites != RX_SUITE_HMAC_SHA256)
        fresh_pair(&spare, &s->d); /* what a server pays for its own key pair */
    require(handshake_m2(&s->p), RX_OK);
    require(handshake_end(&s->p), RX_OK);
}

static struct rx_server_handshake answered;

static void bad_m3(void *context)
{
    struct shake *s = context;
    s->p.server = answered;
    require(handshake_end(&s->p), RX_E_RESPONSE_WRONG);
}

static void handshakes(enum rx_suite suite)
{
    struct shake s = {.d = {1}};
    char name[128];
    handshake_run(&s.p, &s.d, suite);
    (void)snprintf(name, sizeof name, "handshakes, both ends, %s", rx_suite_name(suite));
    figure(name, 1e9 / measure(both_ends, &s), "1/s per core", "");
    require(handshake_m1(&s.p), RX_OK);
    require(handshake_m2(&s.p), RX_OK);
    require(handshake_m3(&s.p), RX_OK);
    (void)snprintf(name, sizeof name, "handshakes, server, %s", rx_suite_name(suite));
    figure(name, 1e9 / measure(server_end, &s), "1/s per core", ">= 5000");
    require(handshake_m2(&s.p), RX_OK);
    answered = s.p.server;
    s.p.m3[RX_M3_SIZE - 1] ^= 1;
    (void)snprintf(name, sizeof name, "a bad M3 turned away, %s", rx_suite_name(suite));
    figure(name, measure(bad_m3, &s) / 1e3, "us", "<= 5");
}

/* ---- sealing ---------------------------------------------------------------------------- */

struct sealing {
    enum rx_suite suite;
    size_t n;
    struct rx_sealer sealer;
    uint8_t key[RX_KEY_SIZE];
    crypto_aead_aes256gcm_state aes;
    crypto_auth_hmacsha256_state hmac;
    uint64_t counter;
    uint8_t in[RX_RECORD_MAX];
    uint8_t out[RX_RECORD_LENGTH + RX_RECORD_MAX];
};

static struct sealing sealing;

static void ours(void *context)
{
    struct sealing *s = context;
    struct rx_seal seal = rx_sealer_seal(&s->sealer);
    size_t written;
    require(rx_record_seal(&seal, s->in, s->n, s->out, &written), RX_OK);
}

/* The same bytes with libsodium alone: a nonce, four bytes of associated data, one call. */
static void bare(void *context)
{
    struct sealing *s = context;
    uint8_t nonce[12] = {0};
    memcpy(nonce + 4, &s->counter, 8);
    s->counter++;
    uint8_t *c = s->out + 4, *tag = c + s->n;
    switch (s->suite) {
    case RX_SUITE_AES256GCM:
        (void)crypto_aead_aes256gcm_encrypt_detached_afternm(c, tag, NULL, s->in, s->n, s->out, 4,
                                                             NULL, nonce, &s->aes);
        break;
    case RX_SUITE_CHACHA20POLY1305:
        (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(c, tag, NULL, s->in, s->n, s->out,
                                                                 4, NULL, nonce, s->key);
        break;
    default: {
        crypto_auth_hmacsha256_state state = s->hmac;
        memcpy(c, s->in, s->n);
        (void)crypto_auth_hmacsha256_update(&state, nonce, 12);
        (void)crypto_auth_hmacsha256_update(&state, c, s->n);
        (void)crypto_auth_hmacsha256_final(&state, tag);
    }
    }
}

/* Opening needs records in their order: seals one and opens it again, and counts the opening only.
 */
static double opening_ns(struct sealing *s, const uint8_t *secret)
{
    struct rx_sealer opener;
    double ns[ROUNDS];
    require(rx_sealer_init(&s->sealer, s->suite, secret), RX_OK);
    require(rx_sealer_init(&opener, s->suite, secret), RX_OK);
    struct rx_seal open = rx_sealer_seal(&opener);
    for (size_t r = 0; r < ROUNDS; r++) {
        int64_t spent = 0;
        uint64_t calls = 0;
        while (spent < SLICE_NS) {
            ours(s);
            int64_t start = cpu_ns();
            require(open.ops->open(open.context, s->out, s->out + RX_RECORD_LENGTH,
                                   s->n + open.ops->tag_size),
                    RX_OK);
            spent += cpu_ns() - start;
            calls++;
        }
        ns[r] = (double)spent / (double)calls;
    }
    return median(ns, ROUNDS);
}

static void seals(enum rx_suite suite, size_t n)
{
    static const uint8_t secret[RX_KEY_SIZE] = {7};
    struct sealing *s = &sealing;
    char name[128];
    s->suite = suite;
    s->n = n;
    require(rx_sealer_init(&s->sealer, suite, secret), RX_OK);
    (void)crypto_aead_aes256gcm_beforenm(&s->aes, secret);
    (void)crypto_auth_hmacsha256_init(&s->hmac, secret, sizeof secret);
    double ns_bare, ns_ours;
    double ratio = measure_pair(bare, s, ours, s, &ns_bare, &ns_ours);
    const char *suite_name = rx_suite_name(suite);
    (void)snprintf(name, sizeof name, "seal %zu KiB, %s", n / 1024, suite_name);
    figure(name, (double)n / ns_ours, "GB/s", "");
    (void)snprintf(name, sizeof name, "seal %zu KiB, %s, of libsodium alone", n / 1024, suite_name);
    figure(name, 1 / ratio, "x", n >= (size_t)16 * 1024 ? ">= 0.95" : "");
    (void)snprintf(name, sizeof name, "open %zu KiB, %s", n / 1024, suite_name);
    figure(name, (double)n / opening_ns(s, secret), "GB/s", "");
}

int main(void)
{
    static const enum rx_suite suites[] = {RX_SUITE_AES256GCM, RX_SUITE_CHACHA20POLY1305,
                                           RX_SUITE_HMAC_SHA256};
    /* The largest payload of a record stands for 256 KiB. */
    static const size_t sizes[] = {1024, 16384, 65536, RX_PAYLOAD_MAX};
    if (sodium_init() < 0)
        return 1;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if ((rx_suites_here() & suites[i]) == 0)
            continue;
        handshakes(suites[i]);
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            seals(suites[i], sizes[k]);
    }
    return 0;
}
