/*
 * Headers as rx_header_encode writes them, but for lists and for text that is escaped or not ASCII,
 * read without a tree and without an allocation: nearly every header is one. What is written in any
 * other way is left to whoever knows all of JSON.
 */
#ifndef REXEC_PROTO_HEADER_PLAIN_H
#define REXEC_PROTO_HEADER_PLAIN_H

#include "proto/header_fields.h"

/*
 * Decodes n bytes by the table `fields` into *h, which rx_header_init has set. True: they are one
 * object whose members are all of the table, in its order, without spaces, signs, fractions,
 * escapes and lists, in ASCII, each within its bounds and none that is required absent. False: they
 * are something else, good or not, and *h holds nothing of use.
 */
bool header_decode_plain(const struct field *fields, const uint8_t *p, size_t n,
                         struct rx_header *h);

#endif
