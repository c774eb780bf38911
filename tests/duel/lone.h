/*
 * One engine alone; the test is its other side, message by message, by hand: what no engine of ours
 * would ever send can be said, and each message that comes out can be looked at. Sealed with
 * tests/duel/toy.h. Aborts where the engine breaks the layout of records or messages.
 */
#ifndef REXEC_TESTS_DUEL_LONE_H
#define REXEC_TESTS_DUEL_LONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/engine.h"
#include "tests/duel/toy.h"

struct lone {
    enum rx_role role; /* the engine's */
    struct rx_engine *engine;
    struct toy_seal engine_out, engine_in, peer_out, peer_in;
    struct toy_mac mac;
    struct rx_event event; /* of what was said last */
    uint64_t sequence;     /* of the next request that is said to a server */
    uint32_t stream;       /* the highest that was used */
    uint8_t *said;         /* the record that was fed last */
    uint8_t *heard;        /* sealed output, as far as it was opened */
    size_t heard_len, heard_at;
};

/* In START; config may be NULL, its role, seals and mac are filled in here. */
void lone_begin(struct lone *l, enum rx_role role, const struct rx_engine_config *config);
/* In OPEN: WELCOME has gone or come. */
void lone_open(struct lone *l, enum rx_role role, const struct rx_engine_config *config);
void lone_close(struct lone *l);

/* ---- saying ----------------------------------------------------------------------------- */

/*
 * Feeds one message from the other side and takes its event to l->event: RX_OK, or the engine's
 * error. Requests get their trailer here. header is a text, or NULL.
 */
enum rx_error lone_say(struct lone *l, unsigned type, unsigned flags, uint32_t stream,
                       const char *header, const void *body, size_t n);
/* The same for a payload as it is. */
enum rx_error lone_say_payload(struct lone *l, const uint8_t *payload, size_t n);
/* STDIN, STDOUT or STDERR; bytes may be NULL: any. */
enum rx_error lone_say_data(struct lone *l, unsigned type, unsigned flags, uint32_t stream,
                            uint64_t offset, const void *bytes, size_t n);
enum rx_error lone_say_ack(struct lone *l, uint32_t stream, unsigned which, uint64_t offset,
                           uint32_t window);
/* STARTED, RESUMED, or RESUME. */
enum rx_error lone_say_offsets(struct lone *l, unsigned type, uint32_t stream,
                               const struct rx_offsets *offsets);
enum rx_error lone_say_exit(struct lone *l, uint32_t stream, uint64_t in, uint64_t out,
                            uint64_t err);

/* Ends the last event: what was not consumed is kept. RX_OK, or the engine's error. */
enum rx_error lone_settle(struct lone *l);

/* ---- hearing ---------------------------------------------------------------------------- */

/* The next message that the engine sends; false if it sends none. *m lives until the next call. */
bool lone_hear(struct lone *l, struct rx_message *m);
/* Whether the next message is of this type and on this stream. */
bool lone_hears(struct lone *l, unsigned type, uint32_t stream);
/* Takes all that the engine sends; how many messages that were. */
size_t lone_hear_all(struct lone *l);

/* ---- commands --------------------------------------------------------------------------- */

/* A new stream in `asked`, opened by EXEC; the request has been heard. */
struct rx_channel *lone_asked(struct lone *l);
/* A new stream in `running`; the answer has been heard. */
struct rx_channel *lone_running(struct lone *l);

#endif
