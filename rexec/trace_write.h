/*
 * --trace FILE: a connection's reads and writes, its records and messages, as JSON lines
 * (proto/trace.h).
 */
#ifndef REXEC_TRACE_WRITE_H
#define REXEC_TRACE_WRITE_H

#include "proto/tap.h"
#include "rexec/failure.h"

struct trace_writer;

/* Begins a file, which only its owner can read; NULL, with *failure. */
struct trace_writer *trace_open(const char *path, const char *host, struct rx_failure *failure);

/* What writes to it; as long as the writer lives. */
const struct rx_tap *trace_tap(const struct trace_writer *w);

/* Ends the file and frees the writer; NULL is fine. False: not all could be written, with errno. */
bool trace_close(struct trace_writer *w);

#endif
