/*
 * The suites one after another: those that this machine has.
 *
 *   for (enum rx_suite s = suite_first(); s != RX_SUITE_NONE; s = suite_next(s))
 */
#ifndef REXEC_TESTS_DUEL_SUITES_H
#define REXEC_TESTS_DUEL_SUITES_H

#include "auth/seal.h"

static inline enum rx_suite suite_from(unsigned bit)
{
    while (bit <= RX_SUITE_HMAC_SHA256 && (rx_suites_here() & bit) == 0)
        bit <<= 1;
    return bit <= RX_SUITE_HMAC_SHA256 ? (enum rx_suite)bit : RX_SUITE_NONE;
}

static inline enum rx_suite suite_first(void)
{
    return suite_from(RX_SUITE_AES256GCM);
}

static inline enum rx_suite suite_next(enum rx_suite s)
{
    return suite_from((unsigned)s << 1);
}

#endif
