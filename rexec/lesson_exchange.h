/*
 * Messages from one socket to another over loopback, and what became of each call. Nothing is
 * simulated: what is noted is what the kernel said.
 */
#ifndef REXEC_LESSON_EXCHANGE_H
#define REXEC_LESSON_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexec/buffer.h"
#include "rexec/failure.h"

/* What one send() gets, at most: a large one may need several. */
struct exchange_piece {
    const void *bytes;
    size_t n;
};

/* One call of send() or recv(). */
struct exchange_call {
    uint64_t at;  /* the first byte's place in all that was sent */
    size_t n;     /* what the call returned */
    size_t whole; /* send: what it was given; recv: how long the datagram was */
    int64_t ns;   /* since the first send */
};

struct exchange_calls {
    struct exchange_call *list;
    size_t count;
};

struct exchange {
    bool datagrams; /* UDP, else TCP */
    bool no_delay;  /* TCP_NODELAY: Nagle off */
    bool late_acks; /* the receiver's kernel takes its time to acknowledge */
    unsigned send_gap_ms, first_receive_ms, receive_gap_ms;
    size_t buffer;      /* the receiver's, for recv() */
    size_t send_buffer; /* SO_SNDBUF; 0: the system's */
    size_t made_buffer; /* what the kernel made of it */
    const struct exchange_piece *pieces;
    size_t piece_count;

    struct exchange_calls sends, receives; /* without the recv() that tells the end */
    struct buffer received;                /* all of it, in order */
    bool ended;                            /* TCP: recv() returned 0 */
};

/* Runs it to its end; false, with *failure. To be cleared either way. */
bool exchange_run(struct exchange *x, struct rx_failure *failure);
void exchange_clear(struct exchange *x);

#endif
