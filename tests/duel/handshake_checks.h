/*
 * What must hold once a handshake has been refused. For cmocka programs: include cmocka.h first.
 */
#ifndef REXEC_TESTS_DUEL_HANDSHAKE_CHECKS_H
#define REXEC_TESTS_DUEL_HANDSHAKE_CHECKS_H

#include <stdint.h>
#include <string.h>

#include "tests/duel/session.h"

enum { UNTOUCHED = 0xa5 };

/* No byte of a key: as the caller left them, or wiped. */
static inline void expect_no_keys(const struct rx_session_keys *keys)
{
    const uint8_t *bytes = (const uint8_t *)keys;
    assert_true(bytes[0] == 0 || bytes[0] == UNTOUCHED);
    for (size_t i = 1; i < sizeof *keys; i++)
        assert_int_equal(bytes[i], bytes[0]);
}

static inline void expect_untouched(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(bytes[i], UNTOUCHED);
}

/* The client's machine is over and empty, and stays so whatever comes. */
static inline void expect_client_over(struct rx_client_handshake *h,
                                      const uint8_t m2[static RX_M2_SIZE])
{
    struct rx_client_handshake over;
    memset(&over, 0, sizeof over);
    over.step = RX_STEP_OVER;
    assert_memory_equal(h, &over, sizeof over);
    struct rx_session_keys keys;
    uint8_t m3[RX_M3_SIZE];
    uint8_t version = UNTOUCHED;
    memset(&keys, UNTOUCHED, sizeof keys);
    memset(m3, UNTOUCHED, sizeof m3);
    assert_int_equal(rx_client_handshake_finish(h, m2, m3, &keys, &version), RX_E_MISUSE);
    assert_memory_equal(h, &over, sizeof over);
    expect_no_keys(&keys);
    expect_untouched(m3, sizeof m3);
    assert_int_equal(version, UNTOUCHED);
}

static inline void expect_server_over(struct rx_server_handshake *h, const struct rx_grant_keys *k,
                                      const struct rx_key_pair *pair,
                                      const uint8_t m3[static RX_M3_SIZE])
{
    struct rx_server_handshake over;
    memset(&over, 0, sizeof over);
    over.step = RX_STEP_OVER;
    assert_memory_equal(h, &over, sizeof over);
    struct rx_session_keys keys;
    uint8_t m2[RX_M2_SIZE];
    static const uint8_t challenge[RX_KEY_SIZE] = {1};
    memset(&keys, UNTOUCHED, sizeof keys);
    memset(m2, UNTOUCHED, sizeof m2);
    assert_int_equal(rx_server_handshake_finish(h, m3, &keys), RX_E_MISUSE);
    assert_int_equal(rx_server_handshake_answer(h, k, true, challenge, pair, m2), RX_E_MISUSE);
    assert_memory_equal(h, &over, sizeof over);
    expect_no_keys(&keys);
    expect_untouched(m2, sizeof m2);
}

/* Gives the client an M2 that it must refuse with this error. */
static inline void client_refuses(struct handshake_pair *p, const uint8_t m2[static RX_M2_SIZE],
                                  enum rx_error error)
{
    memset(&p->client_keys, UNTOUCHED, sizeof p->client_keys);
    memset(p->m3, UNTOUCHED, sizeof p->m3);
    assert_int_equal(rx_client_handshake_finish(&p->client, m2, p->m3, &p->client_keys, NULL),
                     error);
    expect_no_keys(&p->client_keys);
    expect_untouched(p->m3, sizeof p->m3);
    expect_client_over(&p->client, m2);
}

/* Gives the server an M3 that it must refuse with this error. */
static inline void server_refuses(struct handshake_pair *p, const uint8_t m3[static RX_M3_SIZE],
                                  enum rx_error error)
{
    memset(&p->server_keys, UNTOUCHED, sizeof p->server_keys);
    assert_int_equal(rx_server_handshake_finish(&p->server, m3, &p->server_keys), error);
    expect_no_keys(&p->server_keys);
    expect_server_over(&p->server, &p->grant, &p->server_pair, m3);
}

/* M1 and M2 as they should be: the client waits for M2, the server for M3. */
static inline void run_to_m2(struct handshake_pair *p, struct dice *d, enum rx_suite suite)
{
    handshake_prepare(p, d, suite);
    assert_int_equal(handshake_m1(p), RX_OK);
    assert_int_equal(handshake_m2(p), RX_OK);
}

#endif
