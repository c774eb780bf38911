/*
 * The client's key file. docs/PROTOCOL.md, "Files".
 */
#ifndef REXEC_AUTH_KEY_H
#define REXEC_AUTH_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "auth/fields.h"
#include "auth/secret.h"

enum {
    RX_KEY_FILE_MAX = 4096, /* longest that is read */
    RX_KEY_TEXT_MAX = 512,  /* longest that is printed, with the final NUL */
    RX_COMMENT_MAX = 128,
};

struct rx_key {
    uint8_t psk[RX_KEY_SIZE];
    char comment[RX_COMMENT_MAX + 1]; /* empty: none */
};

/*
 * Parses a key file's text of n bytes. RX_OK; RX_E_BAD_FILE with *error set and *key wiped. The
 * caller wipes the text, and the key with rx_key_wipe.
 */
enum rx_error rx_key_parse(const char *text, size_t n, struct rx_key *key,
                           struct rx_file_error *error);

/*
 * Prints the file's text, NUL-terminated; its length to *n. RX_E_NO_SPACE if cap is too small
 * (RX_KEY_TEXT_MAX always does), RX_E_BAD_FILE for a key that could not be read again; `out` is
 * wiped then. The psk comes last: a file that was cut short anywhere is refused.
 */
enum rx_error rx_key_print(const struct rx_key *key, char *out, size_t cap, size_t *n);

/* Overwrites the key with zeros. */
void rx_key_wipe(struct rx_key *key);

#endif
