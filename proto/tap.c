#include "proto/tap.h"

static enum rx_error tapped_seal(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                                 const uint8_t *payload, size_t n, uint8_t *out)
{
    const struct rx_tapped *t = context;
    t->tap->record(t->tap->user, true, NULL, payload, n,
                   RX_RECORD_LENGTH + n + t->real.ops->tag_size);
    return t->real.ops->seal(t->real.context, length, payload, n, out);
}

static enum rx_error tapped_open(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                                 uint8_t *sealed, size_t n)
{
    const struct rx_tapped *t = context;
    enum rx_error error = t->real.ops->open(t->real.context, length, sealed, n);
    if (error == RX_OK)
        t->tap->record(t->tap->user, false, NULL, sealed, n - t->real.ops->tag_size,
                       RX_RECORD_LENGTH + n);
    return error;
}

struct rx_seal rx_tap_seal(struct rx_tapped *tapped, struct rx_seal real, const struct rx_tap *tap)
{
    if (tap == NULL)
        return real;
    *tapped = (struct rx_tapped){
        .ops = {.tag_size = real.ops->tag_size, .seal = tapped_seal, .open = tapped_open},
        .real = real,
        .tap = tap,
    };
    return (struct rx_seal){.ops = &tapped->ops, .context = tapped};
}
