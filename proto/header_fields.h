/*
 * What each header may hold, as tables. proto/header.c, header_plain.c and header_encode.c go by
 * them; nobody else but the fuzzers' dictionary looks in here.
 */
#ifndef REXEC_PROTO_HEADER_FIELDS_H
#define REXEC_PROTO_HEADER_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/header.h"

enum field_kind {
    FIELD_INTEGER,  /* int64_t from min to max */
    FIELD_BOOLEAN,  /* bool */
    FIELD_TEXT,     /* char[max + 1], min to max bytes */
    FIELD_ID,       /* uint8_t[16] as 32 lower-case hex digits */
    FIELD_CHOICE,   /* int: the place in `choices` */
    FIELD_OBJECT,   /* `fields` */
    FIELD_FEATURES, /* struct rx_features */
    FIELD_HOLDERS,  /* struct rx_holders */
    FIELD_MODES,    /* struct rx_modes */
};

enum { NO_FLAG = -1 };

struct field {
    const char *name; /* NULL ends a table */
    enum field_kind kind;
    bool required;
    size_t offset; /* of the member in struct rx_header */
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
    const struct field *fields;
    ptrdiff_t present; /* offset of a bool that says whether it is there, or NO_FLAG */
};

/* The fields of a type's header, up to one without a name; for a type without any, that alone. */
const struct field *header_fields(enum rx_type type);

/* 16 bytes of 32 lower-case hex digits; false: n bytes of text are not those. */
bool header_id_of(const char *text, size_t n, uint8_t out[static RX_COMMAND_ID_SIZE]);

/* Where n bytes of text, with no NUL among them, stand in `choices`; false: nowhere. */
bool header_choice_of(const char *const *choices, const char *text, size_t n, int *out);

/* Whether n bytes of text, with no NUL among them, are this name. */
bool header_is_name(const char *name, const char *text, size_t n);

/* What no table can say: members that go together, or not. */
bool header_coherent(enum rx_type type, const struct rx_header *h);

#endif
