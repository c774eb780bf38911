/*
 * A trace: what a tap (proto/tap.h) sees of a connection, as JSON lines. Sizes, kinds and times,
 * and no byte of what was said.
 *
 *   {"trace":1,"side":"client","host":"lab01","start":"2026-11-20T12:00:00.123456Z"}
 *   {"connection":1,"ns":1200,"address":"192.0.2.1 port 7512"}
 *   {"record":"M1","dir":"out","at":0,"bytes":88}
 *   {"write":88,"at":0,"ns":1300}
 *   {"read":104,"at":0,"ns":2000}
 *   {"record":"EXEC","dir":"out","at":128,"bytes":211,"stream":1,"header":90,"body":40,"last":false}
 *   {"end":"limit"}
 *
 * `out` is away from the side that writes the trace. `at` counts the bytes of one direction of one
 * connection, `ns` nanoseconds since the start. The end is there only if the trace ends before the
 * session does, because the file may be no larger.
 *
 * The lines with numbers are made here; those with text in them by the programs, which know a JSON
 * library.
 */
#ifndef REXEC_PROTO_TRACE_H
#define REXEC_PROTO_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

enum { RX_TRACE_LINE_MAX = 256 }; /* of the lines made here, with their newline and a NUL */

/* How far one connection is. `out` is the direction of what its writer sends. */
struct rx_trace {
    enum rx_direction out;
    uint64_t moved[2], recorded[2]; /* bytes so far; of what is sent, [1] */
};

/* The line of one call that has written or read n bytes, `ns` after the start. Its length. */
size_t rx_trace_call(struct rx_trace *trace, bool out, size_t n, int64_t ns,
                     char line[static RX_TRACE_LINE_MAX]);

/* The line of what a tap's `record` is told of. Its length. */
size_t rx_trace_record(struct rx_trace *trace, bool out, const char *name, const uint8_t *payload,
                       size_t n, size_t size, char line[static RX_TRACE_LINE_MAX]);

/* The line of the end. Its length. */
size_t rx_trace_limit(char line[static RX_TRACE_LINE_MAX]);

#endif
