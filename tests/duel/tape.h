/*
 * Bytes as they went over a connection, cut into records or not, and the ways in which they come to
 * an engine.
 */
#ifndef REXEC_TESTS_DUEL_TAPE_H
#define REXEC_TESTS_DUEL_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/engine.h"

/* Bytes that grow at the end; zero-initialised is empty. Aborts without memory. */
struct tape {
    uint8_t *bytes;
    size_t n, cap;
};

void tape_append(struct tape *tape, const void *bytes, size_t n);
/* Appends all that the engine has to send. */
void tape_output(struct tape *tape, struct rx_engine *e);
void tape_clear(struct tape *tape);

/* Bytes of the record that begins at `at`, with its length field; 0 if none begins there. */
size_t tape_record(const struct tape *tape, size_t at);

/* Who is told of the events. */
struct listener {
    void (*heard)(void *context, const struct rx_event *event);
    void *context;
};

/*
 * Gives bytes to an engine and its events to the listener: in one piece, from a copy that is freed
 * afterwards, so that the sanitizer sees whoever still points there. What rx_engine_next said last.
 */
enum rx_next deliver(struct rx_engine *e, const void *bytes, size_t n, const struct listener *to);

/* The same through rx_engine_room, as far as there is room, and the rest behind it. */
enum rx_next deliver_to_room(struct rx_engine *e, const void *bytes, size_t n,
                             const struct listener *to);

#endif
