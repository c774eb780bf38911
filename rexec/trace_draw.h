/*
 * A trace as a picture, and as JSON lines with each call's records. Pure.
 */
#ifndef REXEC_TRACE_DRAW_H
#define REXEC_TRACE_DRAW_H

#include "rexec/draw.h"
#include "rexec/trace_read.h"

/* At most `most` calls of each way of a connection; what is left out is said. */
void trace_picture(const struct trace *t, bool chinese, size_t most, struct draw_picture *p);

/* One line for each read and write: when, how much, and which bytes of which record are in it.
 * False: no memory. */
bool trace_lines(const struct trace *t, struct buffer *out);

#endif
