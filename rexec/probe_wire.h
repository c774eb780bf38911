/*
 * A bare connection for probe: bytes out, bytes in, and how it ended. Every wait is bounded.
 */
#ifndef REXEC_PROBE_WIRE_H
#define REXEC_PROBE_WIRE_H

#include "rexec/probe.h"

enum wire_end {
    WIRE_OPEN,
    WIRE_CLOSED, /* orderly */
    WIRE_RESET,
    WIRE_SILENT, /* nothing came for as long as we wait */
};

struct wire {
    int fd;
    int patience; /* milliseconds */
    enum wire_end end;
};

/* Connects; false: the check has failed. To be closed either way. */
bool wire_open(struct probe *p, struct wire *w);

/* An accepted connection. */
void wire_adopt(struct probe *p, struct wire *w, int fd);

/* Sends all. A peer that has closed is no error: what it says to that is read afterwards. */
void wire_send(struct wire *w, const void *bytes, size_t n);

/* Nothing more will come from here. */
void wire_finish(struct wire *w);

/* Takes n bytes; fewer if the connection ends or goes silent before, which `end` then says. */
size_t wire_take(struct wire *w, void *bytes, size_t n);

/* Closed by the peer, one way or the other. */
static inline bool wire_over(const struct wire *w)
{
    return w->end == WIRE_CLOSED || w->end == WIRE_RESET;
}

/* Milliseconds of a clock that does not go back. */
int64_t wire_now(void);

void wire_close(struct wire *w);

/* Nothing may come any more but the end: else the check has failed, "... behind `what`". */
bool wire_must_close(struct probe *p, struct wire *w, const char *what);

#endif
