/*
 * Listening sockets from what people write: `ADDRESS:PORT`, `[IPV6]:PORT`, `*:PORT` (every address
 * of both families), with host and service names, or `unix:PATH`.
 */
#ifndef REXEC_REXECD_LISTEN_H
#define REXEC_REXECD_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

enum {
    LISTEN_NAME_MAX = 127, /* of a printable name, without the final NUL */
    LISTEN_MAX = 64,
    LISTEN_ERROR_MAX = 256,
};

struct listen_socket {
    int fd;       /* non-blocking, close-on-exec */
    dev_t device; /* of a path's socket: which it is, should another be put in its place */
    ino_t inode;
    char name[LISTEN_NAME_MAX + 1]; /* "127.0.0.1:7512", "[::1]:7512", "unix:/run/x" */
};

struct listen_sockets {
    struct listen_socket sockets[LISTEN_MAX];
    size_t count;
};

/*
 * Opens all sockets that one specification names, and adds them. With port 0 the system picks one;
 * `name` has it. 0, or -1 with a line for people in `error`; sockets added before stay.
 */
int listen_open(struct listen_sockets *all, const char *specification,
                char error[static LISTEN_ERROR_MAX]);

/* Closes them, and unlinks the paths of unix: sockets that are still these. */
void listen_close(struct listen_sockets *all);

#endif
