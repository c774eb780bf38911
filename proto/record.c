#include "proto/record.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum { HELD_FIRST = 4096 }; /* first allocation for an incomplete record */

enum rx_error rx_record_seal(const struct rx_seal *seal, const uint8_t *payload, size_t n,
                             uint8_t *out, size_t *written)
{
    size_t tag = seal->ops->tag_size;
    if (n < RX_PAYLOAD_MIN || n > RX_RECORD_MAX - tag)
        return RX_E_BAD_LENGTH;
    rx_put32(out, (uint32_t)(n + tag));
    enum rx_error e = seal->ops->seal(seal->context, out, payload, n, out + RX_RECORD_LENGTH);
    if (e == RX_OK)
        *written = RX_RECORD_LENGTH + n + tag;
    return e;
}

static bool length_valid(const struct rx_seal *seal, size_t length)
{
    return length >= RX_PAYLOAD_MIN + seal->ops->tag_size && length <= RX_RECORD_MAX;
}

/*
 * Makes room for `need` bytes in all, and for `want` when it must allocate anyway. Callers want no
 * more than twice what has come: a peer that announces much and sends little costs little.
 */
static enum rx_error held_reserve(struct rx_record_reader *r, size_t need, size_t want)
{
    if (need <= r->held_cap)
        return RX_OK;
    if (want < HELD_FIRST)
        want = HELD_FIRST;
    uint8_t *p = realloc(r->held, want);
    if (p == NULL)
        return RX_E_NO_MEMORY;
    r->held = p;
    r->held_cap = want;
    return RX_OK;
}

static size_t at_most(size_t n, size_t max)
{
    return n < max ? n : max;
}

/* Moves input into the held record until it holds `total` bytes or the input is used up. */
static enum rx_error held_fill(struct rx_record_reader *r, uint8_t **input, size_t *n, size_t total)
{
    if (r->held_len >= total || *n == 0)
        return RX_OK;
    size_t take = at_most(*n, total - r->held_len);
    size_t need = r->held_len + take;
    enum rx_error e = held_reserve(r, need, at_most(2 * need, total));
    if (e != RX_OK)
        return e;
    memcpy(r->held + r->held_len, *input, take);
    r->held_len += take;
    *input += take;
    *n -= take;
    return RX_OK;
}

static enum rx_read open_record(const struct rx_seal *seal, uint8_t *record, size_t length,
                                uint8_t **payload, size_t *payload_len, enum rx_error *error)
{
    uint8_t *sealed = record + RX_RECORD_LENGTH;
    *error = seal->ops->open(seal->context, record, sealed, length);
    if (*error != RX_OK)
        return RX_READ_ERROR;
    *payload = sealed;
    *payload_len = length - seal->ops->tag_size;
    return RX_READ_RECORD;
}

static enum rx_read fail(enum rx_error *error, enum rx_error e)
{
    *error = e;
    return RX_READ_ERROR;
}

enum rx_read rx_record_next(struct rx_record_reader *r, const struct rx_seal *seal, uint8_t **input,
                            size_t *n, uint8_t **payload, size_t *payload_len, enum rx_error *error)
{
    if (r->taken)
        rx_record_reader_clear(r);

    if (r->held_len == 0 && *n >= RX_RECORD_LENGTH) {
        size_t length = rx_get32(*input);
        if (!length_valid(seal, length))
            return fail(error, RX_E_BAD_LENGTH);
        if (*n - RX_RECORD_LENGTH >= length) {
            uint8_t *record = *input;
            *input += RX_RECORD_LENGTH + length;
            *n -= RX_RECORD_LENGTH + length;
            return open_record(seal, record, length, payload, payload_len, error);
        }
    }

    /* The record straddles two inputs: hold it, its length field first. */
    enum rx_error e = held_fill(r, input, n, RX_RECORD_LENGTH);
    if (e != RX_OK)
        return fail(error, e);
    if (r->held_len < RX_RECORD_LENGTH)
        return RX_READ_MORE;
    size_t length = rx_get32(r->held);
    if (!length_valid(seal, length))
        return fail(error, RX_E_BAD_LENGTH);
    e = held_fill(r, input, n, RX_RECORD_LENGTH + length);
    if (e != RX_OK)
        return fail(error, e);
    if (r->held_len < RX_RECORD_LENGTH + length)
        return RX_READ_MORE;
    r->taken = true;
    return open_record(seal, r->held, length, payload, payload_len, error);
}

size_t rx_record_room(struct rx_record_reader *r, uint8_t **room)
{
    if (r->taken || r->held_len < RX_RECORD_LENGTH)
        return 0;
    size_t total = RX_RECORD_LENGTH + rx_get32(r->held);
    /* Half of what there is will do: growing at every call would copy it all each time. */
    size_t need = at_most(r->held_len + r->held_len / 2, total);
    if (r->held_len >= total || held_reserve(r, need, at_most(2 * r->held_len, total)) != RX_OK)
        return 0;
    *room = r->held + r->held_len;
    return at_most(r->held_cap, total) - r->held_len;
}

void rx_record_filled(struct rx_record_reader *r, size_t n)
{
    r->held_len += n;
}

bool rx_record_partial(const struct rx_record_reader *r)
{
    return r->held_len > 0 && !r->taken;
}

void rx_record_reader_clear(struct rx_record_reader *r)
{
    free(r->held);
    *r = (struct rx_record_reader){0};
}
