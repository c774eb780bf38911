/*
 * What net and monitor say to each other, over a SOCK_SEQPACKET pair: one datagram is one message
 * of an exact length with an exact number of descriptors. The list is rexecd/ipc.def. Both ends are
 * the same binary, so structures go as they are; what comes from net is untrusted all the same.
 *
 * A session's life, as the monitor sees it: M1 -> M2 (or DROP); M3 -> KEYS (or DROP); REQUEST ->
 * START, START_NO_STDIN, START_PTY, RESUME or ANSWER. CLOSED when the connection is gone. If
 * sessions are traced, TRACE comes before KEYS, and TRACE_LOST says that the file could not be
 * written.
 *
 * A command's life: START. Its main process is dead: ENDED, with the EXIT header as it stands. Then
 * net waits for the ends of stdout and stderr; if they do not come within the drain time it says
 * DRAINED, and the monitor answers EXIT_NOW with the header that names the holders. Either way net
 * says FINISHED when all is there that the client is to have. It holds that for the client, without
 * a connection too, until the client has acknowledged it (GONE), or until the monitor
 * says FORGET. RESUME binds the command to another connection; NOT_RESUMED says why it could not.
 */
#ifndef REXEC_REXECD_IPC_H
#define REXEC_REXECD_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/grant.h"
#include "auth/handshake.h"
#include "proto/message.h"

enum {
    /* A request as it came: head, header, words, trailer. Fits a socket's default send buffer. */
    IPC_REQUEST_MAX = RX_MESSAGE_HEAD + RX_HEADER_MAX + RX_WORDS_MAX + RX_REQUEST_TRAILER,
    IPC_NAME_MAX = 128,
    IPC_FDS_MAX = 3,
    IPC_FD = 3, /* where a re-executed role finds its end */
};

enum ipc_type {
    IPC_NOTHING = 0,
#define X(NAME, from, fixed, tail, fds, states) IPC_##NAME,
#include "rexecd/ipc.def"
#undef X
};

enum ipc_side { IPC_FROM_NET, IPC_FROM_MONITOR };

/* States of a session at the monitor, as bits. */
enum ipc_state {
    IPC_STATE_NONE = 1 << 0,
    IPC_STATE_CHALLENGED = 1 << 1,
    IPC_STATE_PROVEN = 1 << 2,
    IPC_STATE_WHOLE = 1 << 3,
    IPC_STATE_COMMAND = 1 << 4,
};

struct ipc_m1 {
    struct rx_source peer;
    uint32_t waited_us; /* since it was accepted, if sessions are traced: for the trace only */
    uint16_t port;      /* host order */
    uint8_t m1[RX_M1_SIZE];
};

struct ipc_m2 {
    uint8_t last; /* send it and close: no version or suite in common */
    uint8_t m2[RX_M2_SIZE];
};

struct ipc_m3 {
    uint8_t m3[RX_M3_SIZE];
};

/* The file for the session's trace: net may write so many bytes to it. */
struct ipc_trace {
    uint32_t most;
};

struct ipc_trace_lost {
    uint32_t error; /* errno */
};

/* The tail is WELCOME's header. The request key stays with the monitor. */
struct ipc_keys {
    uint8_t version, suite;
    uint8_t c2s[RX_KEY_SIZE], s2c[RX_KEY_SIZE];
    uint8_t id[RX_SESSION_ID_SIZE];
};

/* A command runs: fds are stdin (unless NO_STDIN), stdout, stderr, non-blocking; of START_PTY they
 * are the terminal's master, twice: for stdin and stdout. The tail is STARTED's header. */
struct ipc_start {
    uint64_t command;
    uint64_t output_limit; /* bytes of stdout and stderr together; 0: none */
    uint32_t stream;
    uint32_t drain_ms;
};

/* DRAINED, OVER_LIMIT, GONE, FORGET; ENDED and EXIT_NOW with EXIT's header as tail. */
struct ipc_command {
    uint64_t command;
};

/* This many bytes went through the command's streams; `kept` of them the client has not
 * acknowledged. */
struct ipc_finished {
    uint64_t command;
    uint64_t bytes[3];
    uint64_t kept;
};

/* The session's client, who asked for it on `stream`, takes the command up again. The tail is the
 * answer's header (STARTED or RESUMED), then that of REFUSED for the connection that had it. */
struct ipc_resume {
    uint64_t command;
    uint32_t stream;
    uint16_t header_len;
    uint8_t answer;
};

/* It waits for its client as before. Where it was to go is said again: meanwhile it may be over, or
 * on its way to another connection. */
struct ipc_not_resumed {
    uint64_t command;
    uint32_t session, stream;
    uint16_t error; /* enum rx_error: data_lost, or why the connection could not take it */
};

/* REFUSED, DONE or LISTED; the tail is its header, then its body. */
struct ipc_answer {
    uint32_t stream;
    uint16_t header_len;
    uint8_t type, last;
};

/* How a connection ended. */
enum ipc_how {
    IPC_HOW_CLOSE,   /* the client said CLOSE */
    IPC_HOW_FIN,     /* it ended without */
    IPC_HOW_RESET,   /* it broke: reset, unreachable */
    IPC_HOW_SILENCE, /* nothing was heard for too long */
    IPC_HOW_ERROR,   /* one of the two sides failed the session; `error` says why */
    IPC_HOW_COUNT,
};

struct ipc_closed {
    uint8_t how;
    uint16_t error;          /* enum rx_error */
    uint64_t received, sent; /* bytes on the wire */
};

/* What net has to know of the configuration. */
struct ipc_setup {
    uint32_t handshake_ms;
    uint32_t max_connections, max_unproven;
    uint32_t max_commands; /* per connection */
    uint32_t keepalive_ms; /* 0: none */
    uint32_t window;
    uint32_t trace_bytes; /* of the largest file; 0: nothing is traced, and no file written */
};

/* A message as it came. */
struct ipc_message {
    enum ipc_type type;
    uint32_t session;
    void *fixed; /* its structure, aligned; the receiver's to wipe; lives until the next call */
    const uint8_t *tail;
    size_t tail_len;
    int fds[IPC_FDS_MAX]; /* the receiver's, close-on-exec; it must take or close them */
    size_t fd_count;
    bool fds_lost; /* this process had no descriptors left to receive the message's with: none came
                    */
};

/* The type's name ("REQUEST") for logs. Static. */
const char *ipc_type_name(enum ipc_type type);

/* States of the session in which net may send the type. */
unsigned ipc_type_states(enum ipc_type type);

/* Bytes of the type's structure, and descriptors that go with it. */
size_t ipc_type_fixed(enum ipc_type type);
size_t ipc_type_fds(enum ipc_type type);

/* A connected pair, close-on-exec, non-blocking. 0, or -1 with errno. */
int ipc_pair(int fds[2]);

/*
 * Sends one message: the type's structure (NULL if it has none), a tail, and as many fds as the
 * list says (they stay the caller's). SIGPIPE must be ignored. 0; -1 with errno EAGAIN when the
 * socket is full, or another error.
 */
int ipc_send(int fd, enum ipc_type type, uint32_t session, const void *fixed, const void *tail,
             size_t tail_len, const int *fds);

enum ipc_result {
    IPC_GOT,   /* *message is filled in */
    IPC_AGAIN, /* nothing is there */
    IPC_EOF,   /* the other side is gone */
    IPC_BAD,   /* not what the list allows from that side: fatal; its fds were closed */
    IPC_ERROR, /* errno says */
};

/* One reader per process: the buffer for one datagram. */
struct ipc_reader;
struct ipc_reader *ipc_reader_new(void); /* NULL: no memory */
void ipc_reader_free(struct ipc_reader *reader);

/* Receives one message from `side`. Lengths, descriptors and types are checked; states are the
 * caller's. */
enum ipc_result ipc_receive(int fd, struct ipc_reader *reader, enum ipc_side side,
                            struct ipc_message *message);

/* Closes the descriptors that came with a message and were not taken (taken ones are set to -1). */
void ipc_close_fds(struct ipc_message *message);

#endif
