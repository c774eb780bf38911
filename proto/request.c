#include "proto/request.h"

#include "proto/bytes.h"

enum { SEQUENCE_SIZE = 8 };

void rx_request_chain_init(struct rx_request_chain *chain, const struct rx_mac *mac)
{
    *chain = (struct rx_request_chain){.mac = *mac, .next = 1};
}

enum rx_error rx_request_sign(struct rx_request_chain *chain, uint8_t *message, size_t n)
{
    if (chain->failed != RX_OK)
        return chain->failed;
    if (chain->next == UINT64_MAX)
        return chain->failed = RX_E_COUNTER_EXHAUSTED;
    rx_put64(message + n, chain->next);
    enum rx_error e = chain->mac.sign(chain->mac.context, message, n + SEQUENCE_SIZE,
                                      message + n + SEQUENCE_SIZE);
    if (e != RX_OK)
        return chain->failed = e;
    chain->next++;
    return RX_OK;
}

enum rx_error rx_request_check(struct rx_request_chain *chain, const uint8_t *message, size_t n)
{
    if (chain->failed != RX_OK)
        return chain->failed;
    if (n < RX_MESSAGE_HEAD + RX_REQUEST_TRAILER)
        return chain->failed = RX_E_REQUEST_REJECTED;
    size_t signed_len = n - RX_MAC_SIZE;
    enum rx_error e =
        chain->mac.verify(chain->mac.context, message, signed_len, message + signed_len);
    if (e != RX_OK)
        return chain->failed = e;
    if (rx_get64(message + signed_len - SEQUENCE_SIZE) != chain->next || chain->next == UINT64_MAX)
        return chain->failed = RX_E_REQUEST_REJECTED;
    chain->next++;
    return RX_OK;
}
