/*
 * Formatted text at the end of a buffer.
 */
#ifndef REXEC_DRAW_PRINT_H
#define REXEC_DRAW_PRINT_H

#include "rexec/buffer.h"

/* False: no memory. */
bool draw_print(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A text with what XML and HTML take for markup written as entities. */
bool draw_print_xml(struct buffer *out, const char *text);

#endif
