/*
 * A client and a server with several commands at once, over a connection that is cut now and then:
 * random, but the same for the same seed. What must hold whatever happens: each command is started
 * once, every byte of its streams arrives once and in order, and its end is heard. Aborts, with a
 * word why, where it does not.
 */
#ifndef REXEC_TESTS_DUEL_WORLD_H
#define REXEC_TESTS_DUEL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world_options {
    uint64_t seed;
    unsigned commands;   /* at most WORLD_COMMANDS */
    size_t most;         /* bytes of a stream */
    unsigned cut_one_in; /* steps between two cuts, about; 0: no cut */
    /* Whether a call may have failed for want of memory since the last time this was asked; NULL:
     * none may. Such a call is made again, and an engine that failed is a cut. */
    bool (*starved)(void);
};

enum { WORLD_COMMANDS = 6 };

/* Runs until all commands are over; how often the connection was cut. */
unsigned world_run(const struct world_options *options);

#endif
