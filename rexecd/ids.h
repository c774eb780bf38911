/*
 * The ids of commands: those that run, and as many of those that have ended as fit. With them
 * stands or falls "at most once" (docs/PROTOCOL.md, section 11).
 */
#ifndef REXEC_REXECD_IDS_H
#define REXEC_REXECD_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "proto/header.h"

struct ids;

enum ids_answer {
    IDS_UNKNOWN,
    IDS_OWN,     /* this client's */
    IDS_FOREIGN, /* another client's */
};

/* A table that remembers `remembered` ended ids; `now` (microseconds of a clock that only rises) is
 * its first horizon. NULL: no memory. */
struct ids *ids_new(size_t remembered, int64_t now);
void ids_free(struct ids *ids);

enum ids_answer ids_find(const struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE],
                         const uint8_t kid[static RX_KID_SIZE]);

/* Of an id, under a key that nobody knows: clients choose their ids, and one whose all fell into
 * the same place of a table would make everybody's look-ups slow. */
uint64_t ids_hash(const struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE]);

/* A command begins at `now`. 0, or -1 without memory. The id must be unknown. */
int ids_add(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE],
            const uint8_t kid[static RX_KID_SIZE], int64_t now);

/* It was never started after all: the id is unknown again. */
void ids_remove(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE]);

/* It has ended: it may be forgotten, when others need the room. */
void ids_end(struct ids *ids, const uint8_t id[static RX_COMMAND_ID_SIZE]);

/* Commands that began at this time or before may have been forgotten. */
int64_t ids_horizon(const struct ids *ids);

#endif
