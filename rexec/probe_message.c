/* Checks of messages in a session: what does not belong there ends it. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/words.h"
#include "rexec/probe_session.h"

static const uint8_t zeros[128];

/* ---- which messages there are ----------------------------------------------------------- */

static void server_only(struct probe *p)
{
    const struct rx_kind *kind;
    for (size_t i = 0; (kind = rx_kind_at(i)) != NULL && probe_good(p); i++) {
        struct session s;
        char what[64];
        if (kind->directions != RX_S2C)
            continue;
        (void)snprintf(what, sizeof what, "%s from a client", kind->name);
        uint32_t stream = kind->states == RX_STREAM_SESSION ? 0 : 1;
        if (session_prove(p, &s)) {
            if (stream != 0)
                session_add_exec(&s, stream, "cat", NULL);
            session_add(&s, kind->number, 0, stream, NULL, zeros, kind->body_min);
            (void)session_must_stop(&s, 0, what);
        }
        session_end(&s);
    }
}

struct form {
    uint8_t type, flags;
    uint32_t stream;
    const char *header;
    size_t body;
    const char *what;
};

static void try_forms(struct probe *p, const struct form *forms, size_t count)
{
    for (size_t i = 0; i < count && probe_good(p); i++) {
        const struct form *f = &forms[i];
        struct session s;
        if (session_prove(p, &s)) {
            session_add(&s, f->type, f->flags, f->stream, f->header, zeros, f->body);
            (void)session_must_stop(&s, 0, f->what);
        }
        session_end(&s);
    }
}

static void message_form(struct probe *p)
{
    static const struct form forms[] = {
        {0, 0, 0, NULL, 0, "a message of type 0"},
        {7, 0, 0, NULL, 0, "a message of type 7"},
        {15, 0, 1, NULL, 0, "a message of type 15"},
        {24, 0, 1, NULL, 0, "a message of type 24"},
        {53, 0, 1, NULL, 0, "a message of type 53"},
        {255, 0, 0, NULL, 0, "a message of type 255"},
        {RX_PING, 1, 0, NULL, 8, "PING with LAST"},
        {RX_PING, 0x80, 0, NULL, 8, "PING with a flag that does not exist"},
        {RX_PING, 0, 0, NULL, 7, "PING of 7 bytes"},
        {RX_PING, 0, 0, NULL, 9, "PING of 9 bytes"},
        {RX_PING, 0, 1, NULL, 8, "PING on a stream"},
        {RX_PING, 0, 0, "{}", 8, "PING with a header"},
        {RX_STDIN, 0, 0, NULL, 9, "STDIN without a stream"},
        {RX_EXIT_ACK, 0, 1, NULL, 1, "EXIT_ACK with a body"},
        {RX_CLOSE, 0, 0, NULL, 1, "CLOSE with a body"},
    };
    try_forms(p, forms, sizeof forms / sizeof forms[0]);
    /* A header that is longer than the message it is in. */
    for (unsigned i = 0; i < 2 && probe_good(p); i++) {
        struct session s;
        uint8_t payload[RX_MESSAGE_HEAD + 8] = {0};
        rx_message_head(payload, RX_PING, 0, i == 0 ? 9 : UINT16_MAX, 0);
        if (session_prove(p, &s)) {
            session_add_payload(&s, payload, sizeof payload);
            (void)session_must_stop(&s, 0, "a header longer than its message");
        }
        session_end(&s);
    }
    struct session s;
    if (!probe_good(p))
        return;
    if (session_prove(p, &s)) {
        session_add_exec(&s, 0, "true", NULL);
        (void)session_must_stop(&s, 0, "EXEC without a stream");
    }
    session_end(&s);
}

static void lower_stream(struct probe *p)
{
    struct session s;
    if (session_prove(p, &s)) {
        session_add_exec(&s, 2, "cat", NULL);
        session_add_exec(&s, 1, "true", NULL);
        (void)session_must_stop(&s, 1, "a stream lower than one used before");
    }
    session_end(&s);
}

static void early_exit_ack(struct probe *p)
{
    struct session s;
    struct said said;
    if (session_prove(p, &s)) {
        session_add_exec(&s, 1, "cat", NULL);
        session_send(&s);
        if (session_await(&s, RX_STARTED, &said)) {
            session_add(&s, RX_EXIT_ACK, 0, 1, NULL, NULL, 0);
            (void)session_must_stop(&s, 0, "EXIT_ACK for a command that runs");
        }
    }
    session_end(&s);
}

static void message_state(struct probe *p)
{
    static const struct form forms[] = {
        {RX_STDIN, 0, 1, NULL, 9, "STDIN for no command"},
        {RX_ACK, 0, 1, NULL, 16, "ACK for no command"},
        {RX_EXIT_ACK, 0, 1, NULL, 0, "EXIT_ACK for no command"},
        {RX_DETACH, 0, 1, "{}", 0, "DETACH for no command"},
        {RX_RESIZE, 0, 1, "{\"rows\":1,\"cols\":1,\"width\":1,\"height\":1}", 0,
         "RESIZE for no command"},
    };
    try_forms(p, forms, sizeof forms / sizeof forms[0]);
    if (probe_good(p))
        lower_stream(p);
    if (probe_good(p))
        early_exit_ack(p);
}

static void after_close(struct probe *p)
{
    struct session s;
    if (session_prove(p, &s)) {
        session_add(&s, RX_CLOSE, 0, 0, NULL, NULL, 0);
        session_add_exec(&s, 1, "true", NULL);
        (void)session_must_stop(&s, 1, "a command behind CLOSE");
    }
    session_end(&s);
}

/* ---- headers ---------------------------------------------------------------------------- */

/* EXEC of `true`, whose header is `text` with %s for a fresh id: it must end the session. n: its
 * length where it has bytes that are no text; 0 else. */
static void bad_header(struct probe *p, const char *text, size_t n, const char *what)
{
    struct session s;
    uint8_t random[16], body[16];
    char id[33], header[RX_HEADER_MAX];
    size_t body_len = 0, length;
    if (!probe_good(p))
        return;
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2hex(id, sizeof id, random, sizeof random);
    const char *mark = n == 0 ? strstr(text, "%s") : NULL;
    if (mark != NULL) {
        int made =
            snprintf(header, sizeof header, "%.*s%s%s", (int)(mark - text), text, id, mark + 2);
        length = made > 0 ? (size_t)made : 0;
    } else {
        length = n > 0 ? n : strlen(text);
        memcpy(header, text, length);
    }
    (void)rx_words_add(body, sizeof body, &body_len, RX_WORD_ARGUMENT, "true", 4);
    if (session_prove(p, &s)) {
        session_add_request(&s, RX_EXEC, 1, header, length, body, body_len, NULL);
        (void)session_must_stop(&s, 1, what);
    }
    session_end(&s);
}

static void json_duplicate(struct probe *p)
{
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"run\":\"exec\"}", 0, "a name twice");
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"x\":1,\"x\":2}", 0,
               "a name twice that nobody knows");
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"x\":{\"y\":1,\"y\":2}}", 0,
               "a name twice, further inside");
}

static void json_nul(struct probe *p)
{
    static const char raw[] =
        "{\"id\":\"00112233445566778899aabbccddeeff\",\"run\":\"exec\",\"label\":\"a\0b\"}";
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"label\":\"a\\u0000b\"}", 0,
               "a NUL in a string");
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"x\":[\"\\u0000\"]}", 0,
               "a NUL in a string that nobody knows");
    bad_header(p, raw, sizeof raw - 1, "a bare NUL in a string");
}

static void json_depth(struct probe *p)
{
    char deep[RX_HEADER_MAX];
    bad_header(p, "{\"id\":\"%s\",\"run\":\"exec\",\"x\":[[[[[[[[1]]]]]]]]}", 0,
               "9 levels of nesting");
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    memcpy(deep, "{\"x\":", 5);
    bad_header(p, deep, 0, "4,000 levels of nesting");
}

static void json_form(struct probe *p)
{
    static const char *const texts[] = {
        "[\"%s\"]",
        "\"%s\"",
        "{}",
        "{\"id\":\"%s\",\"run\":\"exec\"",
        "{\"id\":\"%s\",\"run\":\"exec\"} x",
        "{\"id\":\"%s\",\"run\":\"exec\"}{}",
        "{\"id\":\"%s\",\"run\":\"exec\",}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"label\":\"\xff\xfe\"}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"label\":\"\\ud800\"}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"x\":NaN}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bad_header(p, texts[i], 0, "a header that is no object of JSON");
    static const char *const values[] = {
        "{\"id\":17,\"run\":\"exec\"}",
        "{\"id\":\"0011\",\"run\":\"exec\"}",
        "{\"id\":\"%s\",\"run\":\"what\"}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"label\":null}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"detach\":1}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"timeout_ms\":1.5}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"timeout_ms\":-1}",
        "{\"id\":\"%s\",\"run\":\"exec\",\"timeout_ms\":9007199254740992}",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        bad_header(p, values[i], 0, "a value that a header cannot have");
}

static void words(struct probe *p)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *what;
    } lists[] = {
        {"", 0, "EXEC without a word"},
        {"\1\0\0\0\0", 5, "EXEC of an empty word"},
        {"\1\0\0\0\5true", 9, "a word longer than the message"},
        {"\1\xff\xff\xff\xfftrue", 9, "a word of 2^32 - 1 bytes"},
        {"\1\0\0\0\4true\1\0", 11, "half a word"},
        {"\1\0\0\0\4tr\0e", 9, "a NUL in a word"},
        {"\0\0\0\0\4true", 9, "a word of kind 0"},
        {"\1\0\0\0\4true\4\0\0\0\1x", 15, "a word of kind 4"},
        {"\1\0\0\0\4true\2\0\0\0\2=x", 16, "a variable without a name"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && probe_good(p); i++) {
        struct session s;
        char id[33], header[96];
        uint8_t random[16];
        randombytes_buf(random, sizeof random);
        (void)sodium_bin2hex(id, sizeof id, random, sizeof random);
        (void)snprintf(header, sizeof header, "{\"id\":\"%s\",\"run\":\"exec\"}", id);
        if (session_prove(p, &s)) {
            session_add(&s, RX_EXEC, 0, 1, header, lists[i].bytes, lists[i].n);
            (void)session_must_stop(&s, 1, lists[i].what);
        }
        session_end(&s);
    }
}

/* ---- commands --------------------------------------------------------------------------- */

/* Waits for what becomes of a stream; 0: the connection ended. */
static uint8_t fate(struct session *s, uint32_t stream, struct said *said)
{
    for (int i = 0; i < 4096; i++) {
        *said = session_read(s);
        if (said->what != SAID_MESSAGE)
            return 0;
        if (said->stream == stream && (said->type == RX_STARTED || said->type == RX_REFUSED))
            return said->type;
    }
    return 0;
}

/* A session with `cat` running on stream 1. False: the check is skipped. */
static bool run_cat(struct probe *p, struct session *s)
{
    struct said said;
    if (!session_prove(p, s))
        return false;
    session_add_exec(s, 1, "cat", NULL);
    session_send(s);
    return fate(s, 1, &said) == RX_STARTED || probe_skip(p, "the server does not run cat");
}

static void command(struct probe *p)
{
    struct session s;
    struct said said;
    if (session_prove(p, &s)) {
        session_add_exec(&s, 1, "true", NULL);
        session_send(&s);
        uint8_t what = fate(&s, 1, &said);
        if (what == RX_REFUSED)
            (void)probe_skip(p, "the server does not run true");
        else if (what == 0)
            (void)probe_fail(p, "EXEC has no answer");
        else if (!session_await(&s, RX_EXIT, &said) || said.body_len != 24)
            (void)probe_fail(p, "a command that was started has no EXIT");
    }
    session_end(&s);
}

static void duplicate_id(struct probe *p)
{
    struct session s;
    struct said said;
    uint8_t random[16];
    char id[33];
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2hex(id, sizeof id, random, sizeof random);
    if (session_prove(p, &s)) {
        session_add_exec(&s, 1, "cat", id);
        session_send(&s);
        if (fate(&s, 1, &said) != RX_STARTED) {
            (void)probe_skip(p, "the server does not run cat");
        } else {
            session_add_exec(&s, 2, "cat", id);
            session_send(&s);
            if (fate(&s, 2, &said) == RX_STARTED)
                (void)probe_fail(p, "one id was run twice");
        }
    }
    session_end(&s);
}

/* ---- byte streams ----------------------------------------------------------------------- */

static void add_stdin(struct session *s, uint64_t offset, size_t n, uint8_t flags)
{
    static uint8_t body[RX_DATA_OFFSET + 65537];
    rx_put64(body, offset);
    session_add(s, RX_STDIN, flags, 1, NULL, body, RX_DATA_OFFSET + n);
}

static void window(struct probe *p)
{
    struct session s;
    if (session_prove(p, &s)) {
        session_add_exec(&s, 1, "cat", NULL);
        add_stdin(&s, 0, 65537, 0);
        (void)session_must_stop(&s, 0, "a byte beyond stdin's window");
    }
    session_end(&s);
}

static void offset(struct probe *p)
{
    static const struct {
        uint64_t first, second;
        size_t n;
        uint8_t first_flags;
        const char *what;
    } cases[] = {
        {1, 0, 0, 0, "stdin that begins at 1"},
        {0, 0, 3, 0, "stdin's bytes once more"},
        {0, 4, 3, 0, "a byte of stdin left out"},
        {0, UINT64_MAX, 3, 0, "an offset of 2^64 - 1"},
        {0, 3, 3, RX_FLAG_LAST, "stdin behind its end"},
        {0, 3, 0, 0, "stdin without a byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && probe_good(p); i++) {
        struct session s;
        if (run_cat(p, &s)) {
            add_stdin(&s, cases[i].first, i < 5 ? 3 : 0, cases[i].first_flags);
            if (cases[i].n > 0)
                add_stdin(&s, cases[i].second, cases[i].n, 0);
            (void)session_must_stop(&s, 0, cases[i].what);
        }
        session_end(&s);
    }
}

static void ack(struct probe *p)
{
    static const struct {
        uint8_t which, pad;
        uint32_t window;
        uint64_t offset;
        const char *what;
    } cases[] = {
        {1, 0, 262144, 1, "ACK of what was not sent"},
        {1, 0, 262144, UINT64_MAX, "ACK of 2^64 - 1 bytes"},
        {1, 0, 16777217, 0, "a window above the greatest"},
        {1, 0, 1, 0, "a window taken back"},
        {1, 1, 262144, 0, "ACK with a byte that is not zero"},
        {0, 0, 262144, 0, "ACK of stdin by its sender"},
        {3, 0, 262144, 0, "ACK of stream 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && probe_good(p); i++) {
        struct session s;
        uint8_t body[16] = {cases[i].which, cases[i].pad};
        rx_put32(body + 4, cases[i].window);
        rx_put64(body + 8, cases[i].offset);
        if (run_cat(p, &s)) {
            session_add(&s, RX_ACK, 0, 1, NULL, body, sizeof body);
            (void)session_must_stop(&s, 0, cases[i].what);
        }
        session_end(&s);
    }
}

const struct probe_check probe_message_checks[] = {
    {"server_only", "messages that only a server sends", PROBE_NEEDS_KEY, server_only},
    {"message_form", "messages that cannot be", PROBE_NEEDS_KEY, message_form},
    {"message_state", "messages out of place", PROBE_NEEDS_KEY, message_state},
    {"after_close", "a command behind CLOSE", PROBE_NEEDS_KEY, after_close},
    {"json_duplicate", "a name twice in a header", PROBE_NEEDS_KEY, json_duplicate},
    {"json_nul", "NUL in a header", PROBE_NEEDS_KEY, json_nul},
    {"json_depth", "deep nesting in a header", PROBE_NEEDS_KEY, json_depth},
    {"json_form", "headers that are no JSON, or not these", PROBE_NEEDS_KEY, json_form},
    {"words", "a command's words that cannot be", PROBE_NEEDS_KEY, words},
    {"command", "a right command: STARTED and EXIT", PROBE_NEEDS_KEY, command},
    {"duplicate_id", "one command's id twice", PROBE_NEEDS_KEY, duplicate_id},
    {"window", "more stdin than the window", PROBE_NEEDS_KEY, window},
    {"offset", "stdin's offsets", PROBE_NEEDS_KEY, offset},
    {"ack", "acknowledgements that cannot be", PROBE_NEEDS_KEY, ack},
    {NULL, NULL, 0, NULL},
};
