/*
 * Patterns of names, as ssh has them: `*` stands for any bytes, `?` for one, everything else for
 * itself. The client chooses by them what to send of its environment, the server what to take.
 */
#ifndef REXEC_PROTO_PATTERN_H
#define REXEC_PROTO_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all n bytes of the name fit. Takes time proportional to the product of both lengths at
 * most. */
bool rx_pattern_matches(const char *pattern, const void *name, size_t n);

/* Whether it can fit one name only: itself. */
bool rx_pattern_is_literal(const char *pattern);

#endif
