/*
 * Makes bytes that somebody else chose fit to be shown: one line, and nothing in it that a terminal
 * acts on.
 */
#ifndef REXEC_ESCAPE_H
#define REXEC_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies `text` of n bytes to out (cap bytes, at least 1; NUL-terminated, cut off where full).
 * Printable ASCII and valid UTF-8 stay; control characters (C0, DEL, C1), marks that change the
 * direction of writing or cannot be seen, line separators and bytes that are not UTF-8 become \xNN,
 * a backslash \\. Returns the length of what is in out.
 */
size_t rx_escape(const char *text, size_t n, char *out, size_t cap);

/* Bytes of the UTF-8 character at p (of n bytes left), 1 to 4; 0 if it is not valid. *point gets
 * the code point. */
size_t rx_utf8_next(const unsigned char *p, size_t n, unsigned *point);

/* Whether all n bytes are valid UTF-8. */
bool rx_utf8_valid(const void *bytes, size_t n);

#endif
