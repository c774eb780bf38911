/*
 * JSON (RFC 8259) written straight into a caller's buffer, without spaces: what headers are made
 * of. What does not fit is counted and not written. Reading is in proto/header.c.
 */
#ifndef REXEC_PROTO_JSON_OUT_H
#define REXEC_PROTO_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_out {
    uint8_t *bytes;
    size_t cap;
    size_t n;   /* that it takes; more than cap: it is cut */
    bool comma; /* before the next value */
};

/* "{" or "[", and the other end. */
void json_open(struct json_out *out, char bracket);
void json_close(struct json_out *out, char bracket);

/* A member's name; its value comes next. False: as of a string. */
bool json_name(struct json_out *out, const char *name);

void json_number(struct json_out *out, int64_t value);
void json_true_value(struct json_out *out);

/* A string of n bytes, escaped where it must be. False: not UTF-8 (RFC 3629), and what was written
 * is to be thrown away. */
bool json_string_of(struct json_out *out, const char *text, size_t n);

#endif
