/*
 * The client's end of a connection, without any I/O: the handshake, the sealing of records and the
 * engine behind one object. Bytes that came are put in, events are taken out, bytes to send are
 * taken out; randomness and time come from the caller. Nothing that a server says is believed
 * before its first record, WELCOME, has opened.
 *
 * Commands may be asked for at any time, also before the server has said anything: they go out
 * right behind M3, in the same piece of output, so the first one costs one round trip.
 *
 * A loop around it:
 *   input:  n = read(fd, buf);  rx_connection_feed(c, buf, n);
 *           while (rx_connection_next(c, now, &event) == RX_NEXT_EVENT) act on event;
 *   output: n = rx_connection_output(c, buf, cap);  write(fd, buf, n);
 *
 * Not thread-safe: one thread at a time for a connection and its commands.
 */
#ifndef REXEC_CONNECTION_H
#define REXEC_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/handshake.h"
#include "proto/engine.h"
#include "proto/header.h"
#include "proto/tap.h"

struct rx_connection;
struct rx_command;

enum {
    RX_CONNECTION_RANDOM = 64, /* bytes of randomness that a connection takes */
    /* Output buffers must have at least this size. */
    RX_CONNECTION_OUTPUT_MIN = RX_OUTPUT_MIN + RX_M3_SIZE,
};

struct rx_connection_config {
    const struct rx_grant_keys *keys; /* of the client's key for the server's name; copied */
    unsigned suites;                  /* bits of enum rx_suite to offer; 0: all that are sealed */
    uint32_t window;                  /* promised to each stdout and stderr; 0: the default */
    /* Told of each change of state, if not NULL: stream 0 is the session itself. */
    void (*trace)(void *context, uint32_t stream, const char *from, const char *to);
    void *trace_context;
    const struct rx_tap *tap; /* told of each record, if not NULL; outlives the connection */
    /* Given the session's keys, to be written down for somebody to read it with, if not NULL. */
    void (*keylog)(void *context, const uint8_t nonce_c[static RX_KEY_SIZE],
                   const struct rx_session_keys *keys);
    void *keylog_context;
    const struct rx_haste *haste; /* for large flows, if not NULL; outlives the connection */
};

/* ---- events ----------------------------------------------------------------------------- */

enum rx_happening {
    RX_ON_READY,      /* keys are there; what is asked for now goes out with M3 */
    RX_ON_WELCOME,    /* the server is proven: header.welcome */
    RX_ON_STARTED,    /* a command runs: header.reply */
    RX_ON_RESUMED,    /* it goes on, on another connection: header.reply */
    RX_ON_DATA,       /* bytes, or the end, of `which`: rx_command_peek */
    RX_ON_ROOM,       /* more stdin may be written */
    RX_ON_EXIT,       /* a command is over, its counts are right: header.exit, counts */
    RX_ON_REFUSED,    /* a command is refused, and over: header.notice */
    RX_ON_SIGNALED,   /* a SIGNAL was passed on (header.reply) ... */
    RX_ON_UNSIGNALED, /* ... or refused (header.notice) */
    RX_ON_RESIZED,    /* a RESIZE was answered, one way or the other */
    RX_ON_PONG,       /* the answer to a PING: token, clock */
    RX_ON_GOAWAY,     /* the server ends soon: header.notice */
    RX_ON_ERROR,      /* the server ended the session: header.notice; RX_NEXT_ERROR follows */
};

/* Pointers live until the next call on the connection. */
struct rx_client_event {
    enum rx_happening what;
    struct rx_command *command;      /* NULL: the session's */
    enum rx_which which;             /* RX_ON_DATA */
    const struct rx_header *header;  /* decoded and checked */
    uint64_t counts[RX_WHICH_COUNT]; /* RX_ON_EXIT: bytes of stdin taken, of stdout, of stderr */
    uint8_t token[8];                /* RX_ON_PONG: the PING's */
    uint64_t clock; /* RX_ON_PONG: nanoseconds since 1970, 0: the server has none */
};

/* ---- life ------------------------------------------------------------------------------- */

/*
 * A new connection, with M1 ready to be sent. `random` is fresh; the caller wipes its own. NULL:
 * *error says RX_E_NO_MEMORY, RX_E_MISUSE (suites that cannot be offered), RX_E_ZERO_VALUE or
 * RX_E_CRYPTO_FAILED. sodium_init must have been called.
 */
struct rx_connection *rx_connection_new(const struct rx_connection_config *config,
                                        const uint8_t random[static RX_CONNECTION_RANDOM],
                                        enum rx_error *error);

/* Wipes all keys and frees; NULL is fine. Its commands stay the callers', as ones that are over. */
void rx_connection_free(struct rx_connection *c);

/* The first fatal error, RX_OK while there is none. */
enum rx_error rx_connection_error(const struct rx_connection *c);

/* Whether M2 has come and its proof stands; requests are sent from then on. */
bool rx_connection_ready(const struct rx_connection *c);

/* What WELCOME said; NULL before it has come. Lives as long as the connection. */
const struct rx_welcome *rx_connection_welcome(const struct rx_connection *c);

/* The suite's name, NULL before it is ready. Static. */
const char *rx_connection_suite(const struct rx_connection *c);

/* The session's id, zero before it is ready. */
const uint8_t *rx_connection_session_id(const struct rx_connection *c);

/* After RX_E_NO_COMMON_VERSION: the server's highest version. */
unsigned rx_connection_server_version(const struct rx_connection *c);

/* ---- bytes ------------------------------------------------------------------------------ */

/* As rx_engine_room and rx_engine_filled: where the next bytes belong, to be read there without a
 * copy; then what is behind them is fed. */
size_t rx_connection_room(struct rx_connection *c, uint8_t **room);
void rx_connection_filled(struct rx_connection *c, size_t n);

/* As rx_engine_feed: the buffer is written to, and stays until rx_connection_next has said
 * RX_NEXT_MORE or RX_NEXT_ERROR. */
void rx_connection_feed(struct rx_connection *c, uint8_t *bytes, size_t n);

/* The next event. `now` is the time in nanoseconds since 1970, for the answer to a PING; 0: none.
 */
enum rx_next rx_connection_next(struct rx_connection *c, uint64_t now,
                                struct rx_client_event *event);

/* The time in milliseconds, of a clock that only rises and goes on while the machine sleeps
 * (CLOCK_BOOTTIME): to be said before bytes are fed and before commands are asked for. Without it
 * no command can be taken up again that the server has not said it started. */
void rx_connection_clock(struct rx_connection *c, int64_t ms);

/* The connection has ended: RX_OK between two records, RX_E_CLOSED_EARLY in the middle of one or
 * before WELCOME, or the connection's error. */
enum rx_error rx_connection_eof(const struct rx_connection *c);

/* Whether rx_connection_output would write anything. */
bool rx_connection_pending(const struct rx_connection *c);

/* Bytes to send, in order, all; cap is at least RX_CONNECTION_OUTPUT_MIN. 0: nothing. */
size_t rx_connection_output(struct rx_connection *c, uint8_t *out, size_t cap);

/* ---- the session ------------------------------------------------------------------------ */

/* Sends a PING. RX_E_BAD_STATE before it is ready, RX_E_FLOOD with RX_PINGS_MAX unanswered. */
enum rx_error rx_connection_ping(struct rx_connection *c, const uint8_t token[static 8]);

/* Says CLOSE: nothing is wanted any more. All commands are over for this side; what was received of
 * them and not consumed is dropped. Nothing happens before it is ready, or the second time. */
void rx_connection_close(struct rx_connection *c);

/*
 * Moves the commands of a connection that was lost to a new one with the same server under the same
 * key, that is not ready yet. When it is, they are taken up again: those that the server has said
 * it started with RESUME, the others with the same EXEC, which starts none twice. Bytes go on where
 * they were; signals without an answer are sent again. What has happened to a command meanwhile
 * comes as RX_ON_STARTED, RX_ON_RESUMED, RX_ON_EXIT or RX_ON_REFUSED. RX_E_NO_MEMORY: some were
 * not moved, and are over.
 */
enum rx_error rx_connection_move(struct rx_connection *to, struct rx_connection *from);

/* Whether there are commands that the server may still say something of. */
bool rx_connection_busy(const struct rx_connection *c);

/* ---- commands --------------------------------------------------------------------------- */

/*
 * Asks for a command. exec->id is random; `words` (n bytes, rx_words_add) are copied if they have
 * to wait: for the session, or on a connection that has failed for the one that it is moved to.
 * *command is the caller's, to be freed with rx_command_free. RX_E_BAD_HEADER (a name that is not
 * UTF-8, too long), RX_E_BAD_MESSAGE (words too long), RX_E_LIMIT_REACHED, RX_E_FLOOD,
 * RX_E_SHUTTING_DOWN, RX_E_NO_MEMORY, RX_E_BAD_STATE behind CLOSE; *command is NULL then.
 */
enum rx_error rx_connection_exec(struct rx_connection *c, const struct rx_exec *exec,
                                 const void *words, size_t n, void *user,
                                 struct rx_command **command);

void *rx_command_user(const struct rx_command *command);

/* Whether the server has said that the command was started. */
bool rx_command_started(const struct rx_command *command);

/* Whether it was asked for, on any connection, so that it may have been. */
bool rx_command_asked(const struct rx_command *command);

/* Received bytes of stdout or stderr: *bytes and how many in one piece; 0: none now. */
size_t rx_command_peek(const struct rx_command *command, enum rx_which which,
                       const uint8_t **bytes);

/* n of the bytes that peek gave were used; the server may send as many more. */
void rx_command_consume(struct rx_command *command, enum rx_which which, size_t n);

/* Whether the command has ended this stream, and all of it was consumed. EXIT ends both. */
bool rx_command_ended(const struct rx_command *command, enum rx_which which);

/* Room for stdin, to read a descriptor into, never more than can be sent now; 0: wait for
 * RX_ON_READY or RX_ON_ROOM. rx_command_written counts what was put there. */
size_t rx_command_room(struct rx_command *command, size_t want, uint8_t **room);
void rx_command_written(struct rx_command *command, size_t n);

/* Ends stdin behind what was written. May be called at once. */
void rx_command_finish(struct rx_command *command);

/* Sends a signal ("INT") to the command, now or when it can be. RX_E_BAD_STATE for one that is
 * over, RX_E_FLOOD with too many that the server has not answered. */
enum rx_error rx_command_signal(struct rx_command *command, const char *name);

/* The size of the command's terminal is another now. As rx_command_signal. */
enum rx_error rx_command_resize(struct rx_command *command, const struct rx_size *size);

/* We may not answer the server for a while: should it take us for gone, the command waits for us as
 * long as the server lets any wait, instead of what EXEC asked for. Or (`away` is false) no longer.
 * RX_E_BAD_STATE for one that has no connection now, and where the server says no limit. */
enum rx_error rx_command_away(struct rx_command *command, bool away);

/*
 * Frees a command; NULL is fine. One that has ended is acknowledged, so that the server forgets it;
 * one that still runs goes on until the connection is closed, and what comes of it is dropped.
 */
void rx_command_free(struct rx_command *command);

#endif
