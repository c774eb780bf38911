/*
 * Where one stream of a command's output goes: a descriptor of ours, or memory. A descriptor is
 * never made non-blocking, as others share it: what would block is either written through a second
 * opening of the same file, or in pieces that poll has promised room for.
 */
#ifndef REXEC_SINK_H
#define REXEC_SINK_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "rexec/buffer.h"
#include "rexec/connection.h"
#include "rexec/transcode.h"

enum sink_state {
    SINK_IDLE,    /* all that came has been written */
    SINK_WAITING, /* the descriptor takes no more now; `ready` is called when it does */
    SINK_BROKEN,  /* nobody reads it any more; what comes is dropped */
    SINK_FAILED,  /* it cannot be written (`error`), or no memory; what comes is dropped */
};

/* Bytes of one stream that are kept in memory at most. */
enum { SINK_MEMORY_MAX = 1 << 30 };

struct sink {
    struct event_base *base;
    struct rx_command *command;
    enum rx_which which;
    int fd;                      /* -1: memory */
    struct transcode *transcode; /* or NULL */
    struct buffer held;          /* decoded and not written yet; or all, if memory */
    size_t most;                 /* that memory may hold: SINK_MEMORY_MAX */
    void (*ready)(void *user);
    void *user;
    enum sink_state state;
    int error;      /* errno */
    bool finishing; /* sink_finish was called, and the decoder's rest is not out yet */
    bool finished;  /* it is */
    bool ending;    /* sink_end was called, and something is to be written before */
    bool ended;
    /* How the descriptor is written to; known from the first time on. */
    int kind;
    int own; /* a second opening, or -1 */
    struct event event;
    bool waits;
};

/* Makes a sink for a command's stdout or stderr. fd stays the caller's; so does transcode until
 * sink_clear. */
void sink_init(struct sink *s, struct event_base *base, enum rx_which which, int fd,
               struct transcode *transcode, void (*ready)(void *user), void *user);

/* Moves what is there, and says how it stands. */
enum sink_state sink_pump(struct sink *s);

/* Nothing more will come: once all has been moved, what is left of an incomplete character is, too.
 * To be followed by sink_pump until it is not SINK_WAITING. */
void sink_finish(struct sink *s);

/* The command has ended this stream while it goes on: once all has been written, the decoder's
 * rest, too, whoever reads our descriptor is told. To be followed by sink_pump like sink_finish. */
void sink_end(struct sink *s);

/* What is wrong with one that has failed (a clause). Static, or the C library's. */
const char *sink_error_text(const struct sink *s);

void sink_clear(struct sink *s);

#endif
