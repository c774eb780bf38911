/*
 * From the words of the command line to EXEC.
 */
#ifndef REXEC_COMMAND_LINE_H
#define REXEC_COMMAND_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/header.h"
#include "rexec/failure.h"
#include "rexec/options.h"

/* A command as it is asked for. */
struct request {
    struct rx_exec exec;
    uint8_t *words;
    size_t words_len;
};

/*
 * Fills in a request for the words (count of them) by what the options say: the argument vector
 * (--exec), one command line, or, without words, the login shell. exec.input is left as "none".
 * False, with *failure; to be cleared with request_clear either way.
 */
bool request_make(struct request *request, const struct options *o, const char *user,
                  char *const *words, size_t count, struct rx_failure *failure);

void request_clear(struct request *request);

#endif
