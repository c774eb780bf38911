/*
 * Loopback TCP for the lesson: one thread plays everybody, so each step waits for the bytes that
 * were sent in the step before.
 */
#ifndef REXEC_LESSON_HANDSHAKE_NET_H
#define REXEC_LESSON_HANDSHAKE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One listening socket, and whether anything of the system has failed so far. */
struct net {
    int listener;
    uint16_t port;
    int error;        /* errno of the first call that failed; sticky */
    const char *what; /* which call */
};

/* Two ends of one connection. */
struct net_pair {
    int client, server;
};

/* False, with net->error. */
bool net_open(struct net *net);
void net_close(struct net *net);

/* A new connection to the listener, both ends. False, with net->error. */
bool net_connect(struct net *net, struct net_pair *pair);
void net_disconnect(struct net_pair *pair);

/* All n bytes; false, with net->error. */
bool net_send(struct net *net, int fd, const void *bytes, size_t n);

/* Waits for exactly n bytes. False, with net->error; the end of the connection is one. */
bool net_receive(struct net *net, int fd, void *bytes, size_t n);

/* Whether the other side has closed without a word more. */
bool net_closed(struct net *net, int fd);

#endif
