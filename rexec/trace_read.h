/*
 * A trace file (proto/trace.h), read back: of `rexec --trace` or of rexecd.
 */
#ifndef REXEC_TRACE_READ_H
#define REXEC_TRACE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexec/failure.h"

enum { TRACE_NAME_MAX = 16, TRACE_TEXT_MAX = 128 };

/* One read or write. */
struct trace_call {
    uint64_t at;
    uint64_t n;
    int64_t ns;
};

struct trace_record {
    uint64_t at, n;
    char name[TRACE_NAME_MAX];
    uint32_t stream;
    uint64_t header, body;
    bool message; /* it has a stream, a header and a body */
    bool last;
};

/* One way of a connection, in the order of its bytes. */
struct trace_way {
    struct trace_call *calls;
    size_t call_count;
    struct trace_record *records;
    size_t record_count;
};

struct trace_connection {
    char address[TRACE_TEXT_MAX];
    struct trace_way in, out;
};

struct trace {
    bool server; /* it was written by rexecd */
    bool cut;    /* the session went on: the file may be no larger */
    char host[TRACE_TEXT_MAX], start[TRACE_TEXT_MAX];
    struct trace_connection *connections;
    size_t connection_count;
};

/* Reads a file. An incomplete last line is left out: the writer may have been killed. False, with
 * *failure. To be cleared either way. */
bool trace_read(const char *path, struct trace *t, struct rx_failure *failure);
void trace_clear(struct trace *t);

#endif
