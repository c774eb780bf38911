/*
 * Requests prove themselves one by one (docs/PROTOCOL.md, "Requests and their proof"): behind the
 * body stand a sequence number and a MAC under a key that the process which opens the records does
 * not have. This layer needs nothing of the engine: the monitor checks with it alone.
 */
#ifndef REXEC_PROTO_REQUEST_H
#define REXEC_PROTO_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/message.h"

enum { RX_MAC_SIZE = 32 };

/* HMAC-SHA256 under a key that the context holds; comes from auth/. */
struct rx_mac {
    /* The MAC of n bytes. RX_E_CRYPTO_FAILED. */
    enum rx_error (*sign)(void *context, const uint8_t *bytes, size_t n,
                          uint8_t mac[static RX_MAC_SIZE]);
    /* Compares in constant time. RX_E_REQUEST_REJECTED, RX_E_CRYPTO_FAILED. */
    enum rx_error (*verify)(void *context, const uint8_t *bytes, size_t n,
                            const uint8_t mac[static RX_MAC_SIZE]);
    void *context; /* the caller's; must outlive what uses it */
};

/* One side of a session: which request comes next. */
struct rx_request_chain {
    struct rx_mac mac;
    uint64_t next;        /* sequence number of the next request, from 1 */
    enum rx_error failed; /* sticky */
};

void rx_request_chain_init(struct rx_request_chain *chain, const struct rx_mac *mac);

/*
 * Proves the request of n bytes at `message` (head, header, body; without trailer): writes the
 * trailer of RX_REQUEST_TRAILER bytes behind it and counts. RX_E_CRYPTO_FAILED,
 * RX_E_COUNTER_EXHAUSTED.
 */
enum rx_error rx_request_sign(struct rx_request_chain *chain, uint8_t *message, size_t n);

/*
 * Checks the request of n bytes (with its trailer) and counts it. RX_E_REQUEST_REJECTED for a
 * length that cannot be, a wrong MAC, or any sequence number but the next; that and every other
 * error is final for the chain. Nothing of the request but its trailer is looked at.
 */
enum rx_error rx_request_check(struct rx_request_chain *chain, const uint8_t *message, size_t n);

#endif
