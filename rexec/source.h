/*
 * Our stdin on its way to a command: read only when poll says that something is there and the
 * command may be sent more.
 */
#ifndef REXEC_SOURCE_H
#define REXEC_SOURCE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "rexec/connection.h"
#include "rexec/tilde.h"

/* Zero-initialised before its first use. */
struct source {
    struct rx_command *command;
    int fd;
    bool started, ended;
    int error; /* errno: it cannot be read. The command was not told of an end that is none */
    struct event event;
    void (*moved)(void *user); /* something was read, or has failed */
    void *user;
    /* With a terminal: what is typed to us, and what is still to be sent for want of room. */
    struct tilde *tilde; /* or NULL */
    void (*escaped)(void *user, unsigned asked);
    bool (*away)(void *user);
    uint8_t typed[4096 + 1];
    size_t typed_at, typed_n;
};

/* Whether a descriptor gives anything at all: it is open, and not /dev/null. */
bool source_useful(int fd);

/* Before source_start: what is typed is looked through for escapes, and `escaped` gets what they
 * ask. When the terminal says that it may not be read, `away` says whether that is only for now:
 * source_resume tries again. */
void source_terminal(struct source *s, struct tilde *tilde,
                     void (*escaped)(void *user, unsigned asked), bool (*away)(void *user));

/* Begins to read for a command that can be sent to; what is there now is taken at once, and
 * `error` may be set at once. */
void source_start(struct source *s, struct event_base *base, struct rx_command *command, int fd,
                  void (*moved)(void *user), void *user);

/* There is room again. */
void source_resume(struct source *s);

void source_stop(struct source *s);

#endif
