/*
 * The protocol's errors as values: numbers and names that go over the wire and into logs, and a
 * text for people. docs/PROTOCOL.md, "Errors".
 */
#ifndef REXEC_PROTO_ERROR_H
#define REXEC_PROTO_ERROR_H

#include <stdbool.h>

enum rx_error {
    RX_OK = 0,
#define X(number, NAME, name, text) RX_E_##NAME = (number),
#include "proto/error.def"
#undef X
};

/* What an error is about, by the range its number is in. */
enum rx_error_class {
    RX_CLASS_UNKNOWN,
    RX_CLASS_SESSION, /* 1-63: the session is over */
    RX_CLASS_REFUSAL, /* 64-127: one request is refused */
    RX_CLASS_LOCAL,   /* 128-255: never on the wire */
};

/* The stable name ("bad_length"); "ok" for 0, "unknown" for a number that has none. Static. */
const char *rx_error_name(unsigned code);

/* One clause for people, without a full stop; never NULL. Static. */
const char *rx_error_text(unsigned code);

/* The class of any number, known or not. */
enum rx_error_class rx_error_class(unsigned code);

/* The number that has this name, or 0. */
unsigned rx_error_by_name(const char *name);

#endif
