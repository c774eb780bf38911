/*
 * A connection to rexecd for the benchmarks: rexec/connection.h on a blocking socket, without an
 * event loop, so that nothing is measured but the connection. What fails ends the program.
 */
#ifndef REXEC_TESTS_BENCH_LINK_H
#define REXEC_TESTS_BENCH_LINK_H

#include <stdbool.h>

#include "auth/secret.h"
#include "rexec/connection.h"

/* Where all connections of a program go. */
struct link_target {
    uint16_t port; /* of 127.0.0.1 */
    struct rx_grant_keys keys;
    const char *user; /* whom commands run as; "": the server's choice */
    /* Come from 64 addresses: thousands of connections from one take so many of its ports that
     * whoever connects next waits for the kernel to find a free one. */
    bool spread;
};

struct bench_link {
    const struct link_target *target;
    int fd; /* -1: the server has closed it */
    bool welcomed;
    struct rx_connection *connection;
    void (*event)(struct bench_link *link, const struct rx_client_event *event);
    void *user;
};

/* Ends the program with a line on stderr. */
_Noreturn void link_fail(const char *what);

/* The same if it is not so. */
static inline void link_must(bool well, const char *what)
{
    if (!well)
        link_fail(what);
}

/* Seconds of a clock that only rises. */
double link_now(void);

/* Reads the key file and derives the keys for a server's name. Calls sodium_init. */
void link_target_read(struct link_target *target, const char *port, const char *key_file,
                      const char *server_name, const char *user);

/* Connects and sends M1. `event` may be NULL. */
void link_open(struct bench_link *link, const struct link_target *target);

/* Sends what there is to send. */
void link_flush(struct bench_link *link);

/* One read, which blocks, and all that follows from it, sending too. False: the server has closed
 * the connection. */
bool link_turn(struct bench_link *link);

/* Turns until WELCOME has come. */
void link_await_welcome(struct bench_link *link);

/* Says CLOSE, and closes; commands must have been freed. */
void link_close(struct bench_link *link);

/* Asks for a shell command; its stdin stays open if `input`. `user` is the command's. Not flushed.
 */
struct rx_command *link_exec(struct bench_link *link, const char *text, bool input, void *user);

/* Writes n <= 4096 bytes to the command's stdin. Not flushed. */
void link_write(struct rx_command *command, const void *bytes, size_t n);

/* Uses up all of a stream that is here; how many bytes. */
size_t link_drain(struct rx_command *command, enum rx_which which);

#endif
