/*
 * How many columns text takes on a terminal. Pure: asks no locale; text is valid UTF-8.
 */
#ifndef REXEC_DRAW_WIDTH_H
#define REXEC_DRAW_WIDTH_H

#include <stdbool.h>
#include <stddef.h>

#include "rexec/draw.h"

/* Columns of one code point: 0 (combining), 1, or 2 (Chinese, Japanese, Korean, emoji). */
size_t draw_point_width(unsigned point);

/* Columns of a text. */
size_t draw_width(const char *text);

/* Copies as much of the text as fits into so many columns; what is left out is said by … (ASCII:
 * three dots). Never cuts a character. */
void draw_fit(const char *text, size_t columns, bool ascii, char out[static DRAW_LABEL_MAX]);

/* Bytes of the next line of a text that is broken into lines of at most `columns`: at spaces, and
 * between wide characters. At least one character; 0 at the end of the text. */
size_t draw_line_length(const char *text, size_t columns);

#endif
