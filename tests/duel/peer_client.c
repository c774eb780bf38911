#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/words.h"
#include "tests/duel/peer.h"

enum { WORDS_MAX = 1024, PINGS = 3 };

/* One command, and what came of it. */
struct run {
    struct rx_channel *channel; /* NULL: its stream is closed */
    const uint8_t *input;       /* for stdin; it is ended behind them */
    size_t input_len, input_at;
    uint8_t *output[2]; /* stdout, stderr */
    size_t output_len[2], output_cap[2];
    bool started, exited, refused;
    int64_t done; /* number of the SIGNAL that was done */
    struct rx_exit exit;
    uint64_t counts[RX_WHICH_COUNT];
    struct rx_notice notice;
};

struct client {
    struct wire *wire;
    struct rx_engine *engine;
    const char *wrong; /* the first thing that went wrong */
    bool welcomed, listed;
    char server[RX_NAME_MAX + 1];
    uint64_t pongs;
};

static void check(struct client *c, bool good, const char *what)
{
    if (!good && c->wrong == NULL)
        c->wrong = what;
}

/* ---- events ----------------------------------------------------------------------------- */

static void append(struct run *run, unsigned which, const uint8_t *bytes, size_t n)
{
    size_t need = run->output_len[which] + n;
    if (need > run->output_cap[which]) {
        uint8_t *p = realloc(run->output[which], need * 2);
        if (p == NULL)
            abort();
        run->output[which] = p;
        run->output_cap[which] = need * 2;
    }
    memcpy(run->output[which] + run->output_len[which], bytes, n);
    run->output_len[which] = need;
}

static void take_data(struct client *c, const struct rx_event *event, struct run *run)
{
    const uint8_t *bytes;
    size_t n;
    while ((n = rx_engine_peek(c->engine, event->channel, event->which, &bytes)) > 0) {
        append(run, event->which == RX_WHICH_STDOUT ? 0 : 1, bytes, n);
        rx_engine_consume(c->engine, event->channel, event->which, n);
    }
}

static void take_exit(const struct rx_event *event, const struct rx_header *h, struct run *run)
{
    run->exited = true;
    run->exit = h->exit;
    for (size_t i = 0; i < RX_WHICH_COUNT; i++)
        run->counts[i] = rx_get64(event->message.body + 8 * i);
}

static void take_stream_event(struct client *c, const struct rx_event *event,
                              const struct rx_header *h)
{
    struct run *run = rx_channel_user(event->channel);
    switch (event->message.type) {
    case RX_STARTED:
        run->started = true;
        break;
    case RX_STDOUT:
    case RX_STDERR:
        take_data(c, event, run);
        break;
    case RX_EXIT:
        take_exit(event, h, run);
        break;
    case RX_DONE:
        run->done = h->reply.n;
        break;
    case RX_REFUSED:
        check(c, (event->message.flags & RX_FLAG_LAST) != 0, "a request was refused");
        run->refused = true;
        run->notice = h->notice;
        run->channel = NULL;
        break;
    case RX_LISTED:
        c->listed = (event->message.flags & RX_FLAG_LAST) != 0;
        if (c->listed)
            run->channel = NULL;
        break;
    default:
        break;
    }
}

static void take_event(struct client *c, const struct rx_event *event)
{
    const struct rx_message *m = &event->message;
    struct rx_header h;
    enum rx_error error = RX_OK;
    rx_header_init(m->type, &h);
    if (m->kind->header_max > 0)
        error = rx_message_check(m, &h);
    if (error != RX_OK) {
        wire_fail(c->wire, error);
        return;
    }
    if (event->channel != NULL) {
        take_stream_event(c, event, &h);
    } else if (m->type == RX_WELCOME) {
        c->welcomed = true;
        memcpy(c->server, h.welcome.server, sizeof c->server);
    } else if (m->type == RX_PONG) {
        check(c, rx_get64(m->body) == c->pongs, "PONG: not the PING's bytes");
        c->pongs++;
    } else if (m->type == RX_PING) {
        check(c, rx_engine_pong(c->engine, m->body, 0) == RX_OK, "PONG");
    } else if (m->type == RX_ERROR) {
        static char text[RX_TEXT_MAX + 1];
        memcpy(text, h.notice.text, sizeof text);
        check(c, false, text);
    }
}

/* ---- moving ----------------------------------------------------------------------------- */

/* Gives stdin what it takes. */
static void pump(struct client *c)
{
    struct rx_channel *channel;
    for (size_t i = 0; (channel = rx_engine_channel_at(c->engine, i)) != NULL; i++) {
        struct run *run = rx_channel_user(channel);
        if (run == NULL || run->input == NULL || run->exited)
            continue;
        run->input_at +=
            rx_engine_write(c->engine, channel, RX_WHICH_STDIN, run->input + run->input_at,
                            run->input_len - run->input_at);
        if (run->input_at == run->input_len) {
            rx_engine_finish(c->engine, channel, RX_WHICH_STDIN);
            run->input = NULL;
        }
    }
}

/* One step; false when something is wrong or over. */
static bool move(struct client *c)
{
    struct rx_event event;
    enum rx_next next = RX_NEXT_MORE;
    if (c->wrong != NULL)
        return false;
    pump(c);
    const char *wrong = wire_move(c->wire);
    while (c->wrong == NULL && (next = rx_engine_next(c->engine, &event)) == RX_NEXT_EVENT)
        take_event(c, &event);
    if (next == RX_NEXT_ERROR)
        check(c, false, rx_error_text(rx_engine_error(c->engine)));
    check(c, wrong == NULL, wrong);
    return c->wrong == NULL && !c->wire->ended;
}

/* ---- requests --------------------------------------------------------------------------- */

struct words {
    uint8_t bytes[WORDS_MAX];
    size_t n;
};

static void add_word(struct words *words, enum rx_word_kind kind, const void *bytes, size_t n)
{
    if (rx_words_add(words->bytes, sizeof words->bytes, &words->n, kind, bytes, n) != RX_OK)
        abort();
}

static void exec_words(struct client *c, struct run *run, const struct words *words)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n = 0;
    memset(run, 0, sizeof *run);
    rx_header_init(RX_EXEC, &h);
    randombytes_buf(h.exec.id, sizeof h.exec.id);
    h.exec.run = RX_RUN_EXEC;
    enum rx_error error = rx_header_encode(RX_EXEC, &h, bytes, sizeof bytes, &n);
    if (error == RX_OK) {
        error =
            rx_engine_request(c->engine, RX_EXEC, bytes, n, words->bytes, words->n, &run->channel);
    }
    check(c, error == RX_OK, rx_error_text(error));
    if (error == RX_OK)
        rx_channel_set_user(run->channel, run);
}

/* Of one or two words. */
static void exec(struct client *c, struct run *run, const char *name, const char *argument)
{
    struct words words = {.n = 0};
    add_word(&words, RX_WORD_ARGUMENT, name, strlen(name));
    if (argument != NULL)
        add_word(&words, RX_WORD_ARGUMENT, argument, strlen(argument));
    exec_words(c, run, &words);
}

/* Waits for EXIT, compares what came, and acknowledges it. Behind it the run is empty. */
static void finish(struct client *c, struct run *run, int code, const uint8_t *out, size_t out_len,
                   const char *err)
{
    while (!run->exited && !run->refused && move(c)) {
    }
    check(c, run->exited, "a command was refused, or did not end");
    if (c->wrong != NULL)
        return;
    check(c, run->started, "EXIT without STARTED");
    check(c, run->exit.code == code, "wrong exit code");
    check(c, run->output_len[0] == out_len, "wrong length of stdout");
    check(c, c->wrong != NULL || out_len == 0 || memcmp(run->output[0], out, out_len) == 0,
          "wrong bytes in stdout");
    check(c, run->output_len[1] == strlen(err), "wrong length of stderr");
    check(c, c->wrong != NULL || *err == '\0' || memcmp(run->output[1], err, strlen(err)) == 0,
          "wrong bytes in stderr");
    check(c, rx_engine_exit_ack(c->engine, run->channel) == RX_OK, "EXIT_ACK");
    run->channel = NULL;
}

static void drop(struct run *run)
{
    free(run->output[0]);
    free(run->output[1]);
}

/* ---- the scenario ----------------------------------------------------------------------- */

static void small_commands(struct client *c)
{
    struct run run;
    struct words words = {.n = 0};
    add_word(&words, RX_WORD_ARGUMENT, "echo", 4);
    add_word(&words, RX_WORD_ARGUMENT, "hello", 5);
    add_word(&words, RX_WORD_ARGUMENT, "", 0);
    add_word(&words, RX_WORD_ARGUMENT, "world", 5);
    /* It goes out behind M3, and its stdin is ended before WELCOME has come. */
    exec_words(c, &run, &words);
    run.input = (const uint8_t *)"";
    finish(c, &run, 0, (const uint8_t *)"hello  world\n", 13, "");
    check(c, c->welcomed, "no WELCOME");
    drop(&run);

    exec(c, &run, "both", NULL);
    finish(c, &run, 3, (const uint8_t *)"out\n", 4, "err\n");
    drop(&run);
}

static uint8_t *pattern(size_t n)
{
    uint8_t *bytes = malloc(n);
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        bytes[i] = peer_byte(i);
    return bytes;
}

static void much_output(struct client *c)
{
    enum { ALONE = 1000000, BESIDE = 500000, INPUT = 300000 };
    struct run big;
    struct run cat;
    uint8_t *bytes = pattern(ALONE);
    uint8_t *input = pattern(INPUT);
    for (size_t i = 0; i < INPUT; i++)
        input[i] = (uint8_t)(input[i] ^ (i >> 8));
    exec(c, &big, "big", "1000000");
    finish(c, &big, 0, bytes, ALONE, "");
    drop(&big);

    exec(c, &cat, "cat", NULL);
    exec(c, &big, "big", "500000");
    cat.input = input;
    cat.input_len = INPUT;
    finish(c, &cat, 0, input, INPUT, "");
    check(c, cat.counts[RX_WHICH_STDIN] == INPUT, "EXIT: wrong count of stdin");
    finish(c, &big, 0, bytes, BESIDE, "");
    drop(&cat);
    drop(&big);
    free(bytes);
    free(input);
}

static void send_signal(struct client *c, struct run *run, const char *name, int64_t n)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t len = 0;
    rx_header_init(RX_SIGNAL, &h);
    memcpy(h.signal.signal, name, strlen(name) + 1);
    h.signal.n = n;
    enum rx_error error = rx_header_encode(RX_SIGNAL, &h, bytes, sizeof bytes, &len);
    if (error == RX_OK && run->channel != NULL)
        error = rx_engine_request(c->engine, RX_SIGNAL, bytes, len, NULL, 0, &run->channel);
    check(c, error == RX_OK, rx_error_text(error));
}

static void ended_by_signal(struct client *c)
{
    struct run run;
    exec(c, &run, "wait", NULL);
    send_signal(c, &run, "TERM", 1);
    /* DONE comes before EXIT, or behind it. */
    while (run.done != 1 && move(c)) {
    }
    finish(c, &run, (int)RX_ABSENT, NULL, 0, "");
    check(c, strcmp(run.exit.signal, "TERM") == 0, "EXIT: not by TERM");
    check(c, strcmp(run.exit.by, "client") == 0, "EXIT: not by the client");
    drop(&run);
}

static void all_bytes(struct client *c)
{
    struct run run;
    struct words words = {.n = 0};
    uint8_t every[255];
    for (size_t i = 0; i < sizeof every; i++)
        every[i] = (uint8_t)(i + 1);
    add_word(&words, RX_WORD_ARGUMENT, "words", 5);
    add_word(&words, RX_WORD_ARGUMENT, every, sizeof every);
    add_word(&words, RX_WORD_ARGUMENT, "", 0);
    add_word(&words, RX_WORD_ENVIRONMENT, "NAME=value=\xff", 12);
    add_word(&words, RX_WORD_ENVIRONMENT, "EMPTY=", 6);
    add_word(&words, RX_WORD_DIRECTORY, "/tmp/\xc3\x28", 7);
    exec_words(c, &run, &words);
    finish(c, &run, 0, words.bytes, words.n, "");
    drop(&run);
}

static void refusals(struct client *c)
{
    struct run run;
    exec(c, &run, "no-such-command", "at all");
    while (!run.refused && !run.exited && move(c)) {
    }
    check(c,
          run.refused && run.notice.code == RX_E_COMMAND_NOT_FOUND &&
              strcmp(run.notice.name, "command_not_found") == 0,
          "an unknown command was not refused as such");
    drop(&run);

    memset(&run, 0, sizeof run);
    enum rx_error error =
        c->wrong == NULL ? rx_engine_request(c->engine, RX_LIST, NULL, 0, NULL, 0, &run.channel)
                         : RX_E_MISUSE;
    check(c, error == RX_OK, "LIST");
    if (error == RX_OK)
        rx_channel_set_user(run.channel, &run);
    while (!run.refused && !c->listed && move(c)) {
    }
    check(c, c->listed || (run.refused && run.notice.code == RX_E_NOT_SUPPORTED),
          "LIST: neither listed nor refused as not supported");
}

static void pings(struct client *c)
{
    uint8_t token[8];
    for (uint64_t i = 0; i < PINGS && c->wrong == NULL; i++) {
        rx_put64(token, i);
        check(c, rx_engine_ping(c->engine, token) == RX_OK, "PING");
    }
    while (c->pongs < PINGS && move(c)) {
    }
    check(c, c->pongs == PINGS, "not every PING was answered");
}

const char *peer_visit(struct wire *w, const uint8_t psk[static RX_KEY_SIZE],
                       const char *server_name, unsigned suites, char *server)
{
    const char *wrong = wire_client_handshake(w, psk, server_name, suites);
    if (wrong != NULL)
        return wrong;
    struct client c = {.wire = w, .engine = w->end.engine};
    small_commands(&c);
    much_output(&c);
    ended_by_signal(&c);
    all_bytes(&c);
    pings(&c);
    refusals(&c);
    static const char reason[] = "{\"reason\":\"done\"}";
    if (c.wrong == NULL)
        check(&c, rx_engine_close(c.engine, reason, sizeof reason - 1) == RX_OK, "CLOSE");
    while (move(&c)) {
    }
    if (c.wrong != NULL)
        wire_flush(w);
    check(&c, c.wrong != NULL || w->ended, "the server did not close");
    memcpy(server, c.server, sizeof c.server);
    return c.wrong;
}
