/* Against a client: records and messages of a server that proved itself and then does as it likes.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"
#include "rexec/probe_serve.h"

/* ---- the first record ------------------------------------------------------------------- */

/* Somebody in the middle, or who only knows how to prove himself: no keys. */
static void welcome_other_keys(struct probe *p)
{
    struct session s;
    if (serve_shake(p, &s)) {
        uint8_t secret[RX_KEY_SIZE];
        randombytes_buf(secret, sizeof secret);
        if (rx_sealer_init(&s.out, s.keys.suite, secret) == RX_OK) {
            serve_add_welcome(&s);
            (void)serve_must_stop(&s, "a WELCOME under other keys");
        }
    }
    session_end(&s);
}

static void flip(struct session *s, size_t at)
{
    s->send.bytes[at] = (char)(s->send.bytes[at] ^ 1 << probe_pick(s->probe, 8));
}

static void welcome_altered(struct probe *p)
{
    struct session s;
    if (serve_shake(p, &s)) {
        serve_add_welcome(&s);
        flip(&s, RX_RECORD_LENGTH + probe_pick(p, (unsigned)s.send.n - RX_RECORD_LENGTH));
        (void)serve_must_stop(&s, "an altered WELCOME");
    }
    session_end(&s);
}

static void welcome_missing(struct probe *p)
{
    struct session s;
    if (serve_shake(p, &s)) /* the PING that follows is the first message */
        (void)serve_must_stop(&s, "a first message that is not WELCOME");
    session_end(&s);
}

static void welcome_twice(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        serve_add_welcome(&s);
        (void)serve_must_stop(&s, "a second WELCOME");
    }
    session_end(&s);
}

/* ---- records ---------------------------------------------------------------------------- */

static void length(struct probe *p, uint32_t n, const char *what)
{
    struct session s;
    if (serve_open(p, &s)) {
        uint8_t field[RX_RECORD_LENGTH];
        rx_put32(field, n);
        wire_send(&s.wire, field, sizeof field);
        (void)serve_must_stop(&s, what);
    }
    session_end(&s);
}

static void length_0(struct probe *p)
{
    length(p, 0, "a record of no bytes");
}

static void length_short(struct probe *p)
{
    length(p, 20, "a record too short for a message");
}

static void length_above(struct probe *p)
{
    length(p, RX_RECORD_MAX + 1, "a record longer than the longest");
}

static void length_huge(struct probe *p)
{
    length(p, UINT32_MAX, "a record of 4 GiB");
}

static void record_altered(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        session_add_ping(&s, "altered.");
        flip(&s, RX_RECORD_LENGTH + probe_pick(p, (unsigned)s.send.n - RX_RECORD_LENGTH));
        (void)serve_must_stop(&s, "an altered record");
    }
    session_end(&s);
}

static void record_doubled(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        session_add_ping(&s, "doubled.");
        wire_send(&s.wire, s.send.bytes, s.send.n);
        (void)serve_must_stop(&s, "a record sent twice");
    }
    session_end(&s);
}

static void record_missing(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        session_add_ping(&s, "not sent");
        s.send.n = 0;
        (void)serve_must_stop(&s, "a record left out");
    }
    session_end(&s);
}

static void record_reflected(struct probe *p)
{
    struct session s;
    if (serve_open(p, &s)) {
        (void)session_read(&s); /* the client's first record */
        if (s.welcome_len == 0) {
            (void)probe_skip(p, "the client sent no record");
        } else {
            session_add_ping(&s, "not sent");
            s.send.n = 0;
            wire_send(&s.wire, s.welcome, s.welcome_len);
            (void)serve_must_stop(&s, "its own record, sent back");
        }
    }
    session_end(&s);
}

/* ---- messages --------------------------------------------------------------------------- */

struct case_of_message {
    uint8_t type, flags;
    uint32_t stream;
    const char *header;
    size_t body;
    const char *what;
};

static void message(struct probe *p, const struct case_of_message *m)
{
    static const uint8_t zeros[64];
    struct session s;
    if (serve_open(p, &s)) {
        session_add(&s, m->type, m->flags, m->stream, m->header, zeros, m->body);
        (void)serve_must_stop(&s, m->what);
    }
    session_end(&s);
}

#define GOAWAY(more) "{\"code\":64,\"name\":\"shutting_down\",\"text\":\"x\"" more "}"

/* name, what it tries, the message */
#define MESSAGES(X)                                                                                \
    X(client_only, "EXEC sent to a client", RX_EXEC, 0, 1, "{}", 8)                                \
    X(client_only_stdin, "STDIN sent to a client", RX_STDIN, 0, 1, NULL, 9)                        \
    X(type_unknown, "a message of no known type", 200, 0, 0, NULL, 0)                              \
    X(flags_unknown, "a flag that does not exist", RX_PING, 0x40, 0, NULL, 8)                      \
    X(ping_short, "PING of 7 bytes", RX_PING, 0, 0, NULL, 7)                                       \
    X(pong_unasked, "PONG without PING", RX_PONG, 0, 0, NULL, 16)                                  \
    X(started_unasked, "STARTED of nothing", RX_STARTED, 0, 4000000000, "{}", 32)                  \
    X(stdout_unasked, "output of nothing", RX_STDOUT, 0, 4000000000, NULL, 9)                      \
    X(exit_unasked, "the EXIT of nothing", RX_EXIT, 0, 4000000000, "{\"code\":0}", 24)             \
    X(json_duplicate, "a name twice in a header", RX_GOAWAY, 0, 0, GOAWAY(",\"x\":1,\"x\":2"), 0)  \
    X(json_nul, "a NUL in a header", RX_GOAWAY, 0, 0, GOAWAY(",\"x\":\"\\u0000\""), 0)             \
    X(json_depth, "9 levels of nesting", RX_GOAWAY, 0, 0, GOAWAY(",\"x\":[[[[[[[[1]]]]]]]]"), 0)   \
    X(json_form, "a header that is no object", RX_GOAWAY, 0, 0, "[1]", 0)

#define X(name, tries, ...)                                                                        \
    static void check_##name(struct probe *p)                                                      \
    {                                                                                              \
        static const struct case_of_message m = {__VA_ARGS__, tries};                              \
        message(p, &m);                                                                            \
    }
MESSAGES(X)
#undef X

/* ---- commands --------------------------------------------------------------------------- */

static void add_output(struct session *s, uint32_t stream, uint64_t offset, size_t n, uint8_t flags)
{
    static uint8_t body[RX_DATA_OFFSET + RX_DATA_MAX];
    rx_put64(body, offset);
    session_add(s, RX_STDOUT, flags, stream, NULL, body, RX_DATA_OFFSET + n);
}

static void add_exit(struct session *s, uint32_t stream, uint64_t out, const char *header)
{
    uint8_t body[24] = {0};
    rx_put64(body + 8, out);
    session_add(s, RX_EXIT, 0, stream, header, body, sizeof body);
}

static const char exit_0[] = "{\"code\":0,\"by\":\"self\"}";

enum wrong {
    OUTPUT_EARLY,
    OUTPUT_GAP,
    OUTPUT_TWICE,
    OUTPUT_BEHIND_END,
    OUTPUT_EMPTY,
    EXIT_EARLY,
    EXIT_COUNT_MORE,
    EXIT_COUNT_LESS,
    EXIT_BOTH,
    EXIT_TWICE,
    STARTED_TWICE,
    ACK_AHEAD,
};

static void add_wrong_output(struct session *s, uint32_t stream, enum wrong wrong)
{
    add_output(s, stream, 0, 3, wrong == OUTPUT_BEHIND_END ? RX_FLAG_LAST : 0);
    if (wrong == OUTPUT_EMPTY)
        add_output(s, stream, 3, 0, 0);
    else
        add_output(s, stream, wrong == OUTPUT_GAP ? 4 : wrong == OUTPUT_TWICE ? 0 : 3, 3, 0);
}

/* What comes behind STARTED (or, for two of them, in its place). */
static void add_wrong(struct session *s, uint32_t stream, enum wrong wrong)
{
    uint8_t ack[16] = {0};
    switch (wrong) {
    case OUTPUT_GAP:
    case OUTPUT_TWICE:
    case OUTPUT_BEHIND_END:
    case OUTPUT_EMPTY:
        add_wrong_output(s, stream, wrong);
        break;
    case OUTPUT_EARLY:
        add_output(s, stream, 0, 3, 0);
        break;
    case EXIT_EARLY:
    case EXIT_COUNT_MORE:
    case EXIT_COUNT_LESS:
        if (wrong != EXIT_EARLY)
            add_output(s, stream, 0, 3, 0);
        add_exit(s, stream,
                 wrong == EXIT_COUNT_MORE   ? 4
                 : wrong == EXIT_COUNT_LESS ? 2
                                            : 0,
                 exit_0);
        break;
    case EXIT_BOTH:
        add_exit(s, stream, 0, "{\"code\":0,\"signal\":\"KILL\"}");
        break;
    case EXIT_TWICE:
        add_exit(s, stream, 0, exit_0);
        add_exit(s, stream, 0, exit_0);
        break;
    case STARTED_TWICE:
        serve_add_started(s, stream);
        break;
    case ACK_AHEAD:
        rx_put32(ack + 4, 65536);
        rx_put64(ack + 8, UINT64_C(1) << 40);
        session_add(s, RX_ACK, 0, stream, NULL, ack, sizeof ack);
        break;
    }
}

static void command(struct probe *p, enum wrong wrong, const char *what)
{
    struct session s;
    uint32_t stream = 0;
    if (serve_command(p, &s, &stream, wrong == OUTPUT_EARLY || wrong == EXIT_EARLY)) {
        add_wrong(&s, stream, wrong);
        if (wrong == EXIT_TWICE)
            (void)serve_must_stop_or_end(&s, what);
        else
            (void)serve_must_stop(&s, what);
    }
    session_end(&s);
}

/* Less than what a client has to acknowledge. */
enum { WITHOUT_ACK = 130000, FIRST_WINDOW = 262144 };

/* Whoever makes room as fast as we send cannot be caught: what it has promised counts. */
static void output_window(struct probe *p)
{
    static const char token[8] = {'f', 'i', 'r', 's', 't', 'o', 'n', 'e'};
    struct session s;
    uint32_t stream = 0;
    uint64_t limit = FIRST_WINDOW;
    if (serve_command(p, &s, &stream, false)) {
        add_output(&s, stream, 0, WITHOUT_ACK, 0);
        session_add_ping(&s, token);
        session_send(&s);
        struct said said;
        do {
            said = session_read(&s);
            if (said.what == SAID_MESSAGE && said.type == RX_ACK && said.body_len == 16)
                limit = rx_get64(said.body + 8) + rx_get32(said.body + 4);
        } while (said.what == SAID_MESSAGE && said.type != RX_PONG);
        add_output(&s, stream, WITHOUT_ACK, RX_DATA_MAX, 0);
        if (said.what != SAID_MESSAGE)
            (void)probe_fail(p, "the client does not take output within the window");
        else if (limit >= WITHOUT_ACK + RX_DATA_MAX)
            (void)probe_skip(p, "the client makes more room at once");
        else
            (void)serve_must_stop(&s, "output beyond the window");
    }
    session_end(&s);
}

#define COMMANDS(X)                                                                                \
    X(output_early, OUTPUT_EARLY, "output before STARTED")                                         \
    X(output_gap, OUTPUT_GAP, "a byte of output left out")                                         \
    X(output_twice, OUTPUT_TWICE, "output sent twice")                                             \
    X(output_behind_end, OUTPUT_BEHIND_END, "output behind its end")                               \
    X(output_empty, OUTPUT_EMPTY, "output without a byte")                                         \
    X(exit_early, EXIT_EARLY, "EXIT before STARTED")                                               \
    X(exit_count_more, EXIT_COUNT_MORE, "EXIT that counts more output than came")                  \
    X(exit_count_less, EXIT_COUNT_LESS, "EXIT that counts less output than came")                  \
    X(exit_both, EXIT_BOTH, "EXIT with a status and a signal")                                     \
    X(exit_twice, EXIT_TWICE, "EXIT twice")                                                        \
    X(started_twice, STARTED_TWICE, "STARTED twice")                                               \
    X(ack_ahead, ACK_AHEAD, "ACK of what was not sent")

#define X(name, wrong, tries)                                                                      \
    static void check_##name(struct probe *p)                                                      \
    {                                                                                              \
        command(p, wrong, tries);                                                                  \
    }
COMMANDS(X)
#undef X

const struct probe_check probe_serve_records[] = {
    {"welcome_other_keys", "WELCOME under other keys", 0, welcome_other_keys},
    {"welcome_altered", "WELCOME changed on the way", 0, welcome_altered},
    {"welcome_missing", "no WELCOME", 0, welcome_missing},
    {"welcome_twice", "WELCOME twice", 0, welcome_twice},
    {"length_0", "a record of no bytes", 0, length_0},
    {"length_short", "a record too short for a message", 0, length_short},
    {"length_above", "a record longer than the longest", 0, length_above},
    {"length_huge", "a record of 4 GiB", 0, length_huge},
    {"record_altered", "a record changed on the way", 0, record_altered},
    {"record_doubled", "a record twice", 0, record_doubled},
    {"record_missing", "a record left out", 0, record_missing},
    {"record_reflected", "the client's record sent back", 0, record_reflected},
#define X(name, tries, ...) {#name, tries, 0, check_##name},
    MESSAGES(X)
#undef X
#define X(name, wrong, tries) {#name, tries, 0, check_##name},
        COMMANDS(X)
#undef X
            {"output_window", "output beyond the window", 0, output_window},
    {NULL, NULL, 0, NULL},
};
