/*
 * Records: the frames that carry everything after the handshake (docs/PROTOCOL.md, "Records").
 * `u32 length | sealed payload | tag`. This module finds where records begin and end; how they are
 * sealed comes through struct rx_seal, so that proto/ stands without a cryptographic library.
 */
#ifndef REXEC_PROTO_RECORD_H
#define REXEC_PROTO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum {
    RX_RECORD_LENGTH = 4,       /* the length field */
    RX_RECORD_MAX = 256 * 1024, /* payload and tag: what the length field may say */
    RX_PAYLOAD_MIN = 8,         /* a message's fixed part */
    RX_TAG_MAX = 32,            /* of any suite */
    RX_PAYLOAD_MAX = RX_RECORD_MAX - RX_TAG_MAX, /* sendable under every suite */
};

/*
 * One direction's sealing or opening. It counts the records itself; each call uses up one count.
 * After an error it must go on failing.
 */
struct rx_seal_ops {
    /* Bytes of the tag, at most RX_TAG_MAX. */
    size_t tag_size;
    /*
     * Seals n bytes of payload to out, which gets n + tag_size bytes; `length` is the record's
     * length field, authenticated too. payload and out are the same or do not overlap.
     */
    enum rx_error (*seal)(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                          const uint8_t *payload, size_t n, uint8_t *out);
    /*
     * Opens n bytes (sealed payload and tag) in place: the payload is then the first n - tag_size
     * of them. RX_E_BAD_SEAL when it does not verify; the bytes are then worthless.
     */
    enum rx_error (*open)(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                          uint8_t *sealed, size_t n);
};

struct rx_seal {
    const struct rx_seal_ops *ops;
    void *context; /* the caller's; must outlive what uses it */
};

/*
 * Writes one record for a payload of n bytes to out, which has room for
 * RX_RECORD_LENGTH + n + tag_size. *written gets that number. RX_E_BAD_LENGTH if n is out of
 * bounds, else what sealing returns.
 */
enum rx_error rx_record_seal(const struct rx_seal *seal, const uint8_t *payload, size_t n,
                             uint8_t *out, size_t *written);

/* Cuts a byte stream into records, whatever pieces it comes in. Zero-initialised is empty. */
struct rx_record_reader {
    uint8_t *held;   /* an incomplete record: its length field and what came of it */
    size_t held_len; /* bytes in it */
    size_t held_cap; /* bytes allocated; grows with what has come, not with what was announced */
    bool taken;      /* held is complete and was handed out: drop it at the next call */
};

enum rx_read {
    RX_READ_RECORD, /* *payload, *payload_len are a record's opened payload */
    RX_READ_MORE,   /* all input is used up; the record is not complete yet */
    RX_READ_ERROR,  /* *error says which */
};

/*
 * Takes the next record out of *input (*n bytes, advanced by what was used) and opens it in place:
 * the input is written to. On RX_READ_RECORD the payload points into the input or into the reader,
 * and lives until the next call or until the caller reuses the input. A length out of bounds is an
 * error before anything is kept. After an error the caller must not go on.
 */
enum rx_read rx_record_next(struct rx_record_reader *reader, const struct rx_seal *seal,
                            uint8_t **input, size_t *n, uint8_t **payload, size_t *payload_len,
                            enum rx_error *error);

/*
 * Room for the rest of an incomplete record, so that a read can put it where it belongs: *room and
 * its size, or 0 when no record is incomplete (or none of its length is known). What is written
 * there is given in by rx_record_filled.
 */
size_t rx_record_room(struct rx_record_reader *reader, uint8_t **room);
void rx_record_filled(struct rx_record_reader *reader, size_t n);

/* Whether part of a record is held: an end of the connection here cuts it. */
bool rx_record_partial(const struct rx_record_reader *reader);

/* Frees what is held. */
void rx_record_reader_clear(struct rx_record_reader *reader);

#endif
