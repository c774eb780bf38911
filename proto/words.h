/*
 * Words: a command's argument vector, environment and working directory as raw bytes, in the body
 * of EXEC and LISTED (docs/PROTOCOL.md, "EXEC"). They are never JSON: a file name need not be
 * UTF-8.
 */
#ifndef REXEC_PROTO_WORDS_H
#define REXEC_PROTO_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum rx_word_kind {
    RX_WORD_ARGUMENT = 1,
    RX_WORD_ENVIRONMENT = 2,
    RX_WORD_DIRECTORY = 3,
    RX_WORD_OPTIONAL = 128, /* from here on: ignored by who does not know it */
    RX_WORD_WANTED = 129,   /* environment that may be dropped */
};

enum { RX_WORD_HEAD = 5 }; /* kind, length */

/* How many of each a valid list has. */
struct rx_word_counts {
    size_t arguments, environment, directories;
};

/*
 * Checks a whole list: known kinds, lengths that end exactly with the body, no NUL in a word,
 * NAME=VALUE with a NAME, one directory at most and not empty. Counts into *counts. RX_E_BAD_BODY.
 */
enum rx_error rx_words_check(const uint8_t *body, size_t n, struct rx_word_counts *counts);

/* One word; the bytes are in the body and not NUL-terminated. */
struct rx_word {
    uint8_t kind;
    const uint8_t *bytes;
    size_t len;
};

/* The next word of a list that was checked, from *at (0 to begin); false at its end. */
bool rx_words_next(const uint8_t *body, size_t n, size_t *at, struct rx_word *word);

/*
 * Appends a word to a list of *n bytes in a buffer of `cap`. RX_E_NO_SPACE; RX_E_BAD_BODY if the
 * word itself would be refused (a NUL in it, an environment word without a NAME).
 */
enum rx_error rx_words_add(uint8_t *buffer, size_t cap, size_t *n, enum rx_word_kind kind,
                           const void *bytes, size_t len);

#endif
