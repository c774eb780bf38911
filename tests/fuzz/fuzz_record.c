/*
 * proto/record.c: the same bytes give the same records, whatever pieces they come in and wherever
 * they are read to, and what is held never exceeds twice what came.
 *
 * The first byte seeds the pieces, the second says how they are fed; the rest is the stream.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/record.h"
#include "tests/duel/session.h"
#include "tests/duel/toy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { HELD_AT_LEAST = 4096 };

/* What came of a stream. */
struct result {
    uint64_t hash, records;
    enum rx_error error; /* RX_OK: it wants more */
    size_t held;         /* of a record that is not complete */
};

struct reading {
    struct rx_record_reader reader;
    struct toy_seal toy;
    struct rx_seal seal;
    struct result result;
};

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_record.c:%d: does not hold\n", line);
    abort();
}

static void check_held(const struct rx_record_reader *reader)
{
    must(reader->held_len <= reader->held_cap);
    must(reader->held_len <= RX_RECORD_LENGTH + RX_RECORD_MAX);
    must(reader->held_cap <= 2 * reader->held_len + HELD_AT_LEAST);
    must(rx_record_partial(reader) == (reader->held_len > 0 && !reader->taken));
}

static void begin(struct reading *r, uint8_t how)
{
    *r = (struct reading){.toy = {.plain = true}};
    r->seal = (how & 8) != 0   ? toy_seal_bare(&r->toy)
              : (how & 4) != 0 ? toy_seal_long(&r->toy)
                               : toy_seal(&r->toy);
}

/* Takes all that a piece gives; false after an error. */
static bool take(struct reading *r, uint8_t *input, size_t n)
{
    uint8_t *payload = NULL;
    size_t len = 0;
    for (;;) {
        switch (
            rx_record_next(&r->reader, &r->seal, &input, &n, &payload, &len, &r->result.error)) {
        case RX_READ_RECORD:
            must(len >= RX_PAYLOAD_MIN && len <= RX_RECORD_MAX - r->seal.ops->tag_size);
            for (size_t i = 0; i < len; i++)
                r->result.hash = (r->result.hash ^ payload[i]) * UINT64_C(0x100000001b3);
            r->result.hash += len;
            r->result.records++;
            continue;
        case RX_READ_MORE:
            must(n == 0);
            check_held(&r->reader);
            return true;
        case RX_READ_ERROR:
            must(r->result.error == RX_E_BAD_LENGTH);
            return false;
        }
    }
}

/* Feeds a piece from memory of just its size. */
static bool feed(struct reading *r, const uint8_t *data, size_t n)
{
    uint8_t *input = malloc(n > 0 ? n : 1);
    must(input != NULL);
    memcpy(input, data, n);
    bool good = take(r, input, n);
    free(input);
    return good;
}

/* Reads into the reader's own room, as far as it goes; how much. */
static size_t fill(struct reading *r, const uint8_t *data, size_t n)
{
    uint8_t *room = NULL;
    size_t space = rx_record_room(&r->reader, &room);
    check_held(&r->reader);
    must((space > 0) == (r->reader.held_len >= RX_RECORD_LENGTH && !r->reader.taken));
    space = space < n ? space : n;
    if (space > 0)
        memcpy(room, data, space);
    rx_record_filled(&r->reader, space);
    return space;
}

static struct result end(struct reading *r)
{
    r->result.held = rx_record_partial(&r->reader) ? r->reader.held_len : 0;
    if (r->result.error != RX_OK)
        r->result.held = 0;
    rx_record_reader_clear(&r->reader);
    return r->result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct dice d = {.state = data[0]};
    uint8_t how = data[1];
    data += 2;
    n -= 2;
    struct reading whole, pieces;
    begin(&whole, how);
    begin(&pieces, how);
    (void)feed(&whole, data, n);
    uint64_t most = (how & 1) != 0 ? 8 : 2 * n + 1;
    size_t at = 0;
    bool good = true;
    while (at < n && good) {
        size_t piece = dice_below(&d, most + 1);
        piece = piece < n - at ? piece : n - at;
        size_t filled = (how & 2) != 0 ? fill(&pieces, data + at, piece) : 0;
        if (filled > 0) {
            at += filled;
            good = take(&pieces, NULL, 0);
        } else {
            good = feed(&pieces, data + at, piece);
            at += piece;
        }
    }
    struct result a = end(&whole), b = end(&pieces);
    must(a.hash == b.hash && a.records == b.records && a.error == b.error && a.held == b.held);
    must(whole.toy.counter == a.records);
    return 0;
}
