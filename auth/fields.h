/*
 * The text form of key and grant files: `name = value` lines behind a first line that names the
 * kind and its version (docs/PROTOCOL.md, "Files"). Reads a caller's buffer and keeps nothing.
 */
#ifndef REXEC_AUTH_FIELDS_H
#define REXEC_AUTH_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum { RX_LINE_MAX = 1024 }; /* longest line, without its LF */

/* Why a file was refused, for people: "grant.txt:7: unknown name" is the caller's to put together.
 */
struct rx_file_error {
    unsigned line;    /* from 1; 0: the file as a whole */
    const char *what; /* static */
};

/* ---- lines ------------------------------------------------------------------------------ */

/* A reader over text of n bytes. The pointers in it and from it are into the text. */
struct rx_fields {
    const char *text;
    size_t n, at;
    unsigned line;
};

/* A line's two sides, without the spaces around them; not NUL-terminated. */
struct rx_field {
    const char *name, *value;
    size_t name_len, value_len;
    unsigned line;
};

/*
 * Begins: refuses a text longer than max, with NUL, CR or invalid UTF-8 in it, with a line that is
 * too long or a last one that does not end, or whose first line that counts is not `kind`
 * ("rexec-key 1"). False, with *error set.
 */
bool rx_fields_begin(struct rx_fields *fields, const char *text, size_t n, size_t max,
                     const char *kind, struct rx_file_error *error);

/* The next line that counts: 1 and *field; 0 at the end; -1 with *error set. */
int rx_fields_next(struct rx_fields *fields, struct rx_field *field, struct rx_file_error *error);

/* Whether the field has this name. */
bool rx_field_is(const struct rx_field *field, const char *name);

/* ---- values ----------------------------------------------------------------------------- */

/* The value as exactly n bytes in hex (2n digits, either case), without a branch or table look-up
 * on them. False if it is not; `out` is zero then. */
bool rx_field_hex(const struct rx_field *field, uint8_t *out, size_t n);

/* Copies the value, NUL-terminated; false if it is empty, longer than max, or has control
 * characters. out has max + 1 bytes. */
bool rx_field_text(const struct rx_field *field, char *out, size_t max);

/* `yes` or `no`. */
bool rx_field_yes_no(const struct rx_field *field, bool *out);

/* A decimal number without sign or leading zeros, from min to max. */
bool rx_field_number(const struct rx_field *field, uint64_t min, uint64_t max, uint64_t *out);

/* `YYYY-MM-DDTHH:MM:SSZ`, years 1970 to 9999, as seconds since 1970 UTC; no leap seconds. */
bool rx_field_time(const struct rx_field *field, int64_t *out);

/* ---- printing --------------------------------------------------------------------------- */

/* Text as it grows in a buffer that never overflows. The first failure stays, and ends the growth.
 */
struct rx_text {
    char *out;
    size_t cap, n; /* n < cap: there is always room for a final NUL */
    enum rx_error failed;
};

/* Each appends: bytes, a string, bytes in hex (without a branch or table look-up on them), a
 * decimal number, a time as rx_field_time reads it. RX_E_NO_SPACE; RX_E_BAD_FILE for a time out of
 * range. */
void rx_text_bytes(struct rx_text *text, const char *bytes, size_t n);
void rx_text_string(struct rx_text *text, const char *string);
void rx_text_hex(struct rx_text *text, const uint8_t *bytes, size_t n);
void rx_text_number(struct rx_text *text, uint64_t number);
void rx_text_time(struct rx_text *text, int64_t time);

/* What was to be printed has no form that could be read: RX_E_BAD_FILE. */
void rx_text_refuse(struct rx_text *text);

/* ---- whole files ------------------------------------------------------------------------ */

/* One name in a kind of file, and what it stands for in that file's struct. */
struct rx_field_rule {
    const char *name;
    const char *missing; /* said when the file has no such line; NULL: it need not */
    /* Reads the value into the struct: NULL, or why it is refused (static). */
    const char *(*read)(const struct rx_field *field, void *file);
    /* Appends the value, or nothing if the struct has none. */
    void (*print)(const void *file, struct rx_text *text);
};

/* A kind of file. Its rules stand in the order in which they are printed. */
struct rx_file_kind {
    const char *first_line; /* "rexec-key 1" */
    size_t max;             /* longest that is read */
    const struct rx_field_rule *rules;
    size_t rule_count; /* at most 32 */
};

/*
 * Reads a file's text of n bytes into its struct, zeroed by the caller: each name at most once,
 * none that is unknown, all that are required. False, with *error set and the struct as far as it
 * was read.
 */
bool rx_file_read(const struct rx_file_kind *kind, const char *text, size_t n, void *file,
                  struct rx_file_error *error);

/*
 * Prints the struct's file, NUL-terminated; its length to *n. Each value is read back into
 * `scratch`, a zeroed struct of the same type that the caller wipes, so that nothing is printed
 * that would be refused or read as something else: RX_E_BAD_FILE. RX_E_NO_SPACE if cap is too
 * small. On error `out` is wiped and *n is 0.
 */
enum rx_error rx_file_print(const struct rx_file_kind *kind, const void *file, void *scratch,
                            char *out, size_t cap, size_t *n);

#endif
