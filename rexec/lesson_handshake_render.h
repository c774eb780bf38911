/*
 * Text for the page: widths and lines of a terminal, characters of HTML, bytes as hex digits.
 */
#ifndef REXEC_LESSON_HANDSHAKE_RENDER_H
#define REXEC_LESSON_HANDSHAKE_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Columns that n bytes of valid UTF-8 take; Chinese characters take two. */
size_t render_width(const char *text, size_t n);

/*
 * Where to end a line of at most `columns`: how many bytes of the text belong to it. *skip gets how
 * many spaces behind them belong to no line. At least one character, at most all.
 */
size_t render_line(const char *text, size_t columns, size_t *skip);

/* n bytes as hex digits, NUL-terminated: out has 2 * n + 1 bytes. */
void render_hex(const uint8_t *bytes, size_t n, char *out);

/* The escape of a character in HTML, or NULL if it stands for itself. */
const char *render_entity(char c);

#endif
