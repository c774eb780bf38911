#include "proto/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Numbers and names from the list of messages only: every line fits. */
__attribute__((format(printf, 2, 3))) static size_t print(char line[static RX_TRACE_LINE_MAX],
                                                          const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, RX_TRACE_LINE_MAX, format, list);
    va_end(list);
    return n > 0 && n < RX_TRACE_LINE_MAX ? (size_t)n : 0;
}

size_t rx_trace_call(struct rx_trace *trace, bool out, size_t n, int64_t ns,
                     char line[static RX_TRACE_LINE_MAX])
{
    uint64_t at = trace->moved[out];
    trace->moved[out] += n;
    return print(line, "{\"%s\":%zu,\"at\":%" PRIu64 ",\"ns\":%" PRId64 "}\n",
                 out ? "write" : "read", n, at, ns);
}

size_t rx_trace_record(struct rx_trace *trace, bool out, const char *name, const uint8_t *payload,
                       size_t n, size_t size, char line[static RX_TRACE_LINE_MAX])
{
    enum rx_direction in = trace->out == RX_C2S ? RX_S2C : RX_C2S;
    const char *way = out ? "out" : "in";
    struct rx_message m;
    uint64_t at = trace->recorded[out];
    trace->recorded[out] += size;
    if (name == NULL && rx_message_decode(payload, n, out ? trace->out : in, &m) == RX_OK)
        return print(line,
                     "{\"record\":\"%s\",\"dir\":\"%s\",\"at\":%" PRIu64
                     ",\"bytes\":%zu,\"stream\":%" PRIu32
                     ",\"header\":%zu,\"body\":%zu,\"last\":%s}\n",
                     m.kind->name, way, at, size, m.stream, m.header_len, m.body_len,
                     (m.flags & RX_FLAG_LAST) != 0 ? "true" : "false");
    return print(line, "{\"record\":\"%s\",\"dir\":\"%s\",\"at\":%" PRIu64 ",\"bytes\":%zu}\n",
                 name != NULL ? name : "?", way, at, size);
}

size_t rx_trace_limit(char line[static RX_TRACE_LINE_MAX])
{
    return print(line, "{\"end\":\"limit\"}\n");
}
