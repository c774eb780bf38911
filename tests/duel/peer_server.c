#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/words.h"
#include "tests/duel/peer.h"

enum toy_kind { TOY_TEXT, TOY_CAT, TOY_BIG, TOY_WAIT };

/* One command. TOY_TEXT writes what it was given at its start. */
struct toy {
    enum toy_kind kind;
    struct rx_channel *channel;
    uint8_t id[RX_COMMAND_ID_SIZE];
    uint8_t *text;
    size_t text_len;
    const char *errors; /* for stderr */
    uint64_t made, total;
    int code;
    int64_t signals; /* the highest number done */
    int64_t start_us;
    bool over; /* EXIT was said */
};

struct server {
    struct wire *wire;
    struct rx_engine *engine;
    const char *wrong; /* the first thing that went wrong */
    bool closed;
};

static int64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* What our own calls return is right, or this program is wrong. */
static void must(struct server *s, enum rx_error error)
{
    if (error != RX_OK && s->wrong == NULL)
        s->wrong = rx_error_text(error);
}

/* ---- saying things ---------------------------------------------------------------------- */

static size_t encode(struct server *s, enum rx_type type, const struct rx_header *h,
                     uint8_t bytes[static RX_HEADER_MAX])
{
    size_t n = 0;
    must(s, rx_header_encode(type, h, bytes, RX_HEADER_MAX, &n));
    return n;
}

/* DONE (why is RX_OK) or REFUSED; n as in SIGNAL, or RX_ABSENT. */
static void answer(struct server *s, struct rx_channel *channel, bool last, enum rx_error why,
                   int64_t n)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    enum rx_type type = why == RX_OK ? RX_DONE : RX_REFUSED;
    if (why == RX_OK) {
        rx_header_init(RX_DONE, &h);
        h.reply.n = n;
    } else {
        rx_header_error(&h, why, NULL);
        h.notice.n = n;
    }
    size_t len = encode(s, type, &h, bytes);
    must(s, rx_engine_answer(s->engine, type, channel, last, bytes, len, NULL, 0));
}

static void say_welcome(struct server *s, const char *name)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    rx_header_init(RX_WELCOME, &h);
    memcpy(h.welcome.server, name, strlen(name) + 1);
    memcpy(h.welcome.version, "toy", sizeof "toy");
    h.welcome.time_us = now_us();
    size_t n = encode(s, RX_WELCOME, &h, bytes);
    must(s, rx_engine_welcome(s->engine, bytes, n));
}

/* By a signal of the client's, or by itself with its code. */
static void say_exit(struct server *s, struct toy *toy, const char *signal)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    rx_header_init(RX_EXIT, &h);
    if (signal != NULL) {
        memcpy(h.exit.signal, signal, strlen(signal) + 1);
    } else {
        h.exit.code = toy->code;
    }
    const char *by = signal != NULL ? "client" : "self";
    memcpy(h.exit.by, by, strlen(by) + 1);
    h.exit.start_us = toy->start_us;
    h.exit.end_us = now_us();
    size_t n = encode(s, RX_EXIT, &h, bytes);
    must(s, rx_engine_exit(s->engine, toy->channel, bytes, n));
    toy->over = true;
}

/* ---- a command's life ------------------------------------------------------------------- */

static void forget(struct rx_channel *channel)
{
    struct toy *toy = rx_channel_user(channel);
    if (toy == NULL)
        return;
    rx_channel_set_user(channel, NULL);
    free(toy->text);
    free(toy);
}

static struct toy *find(const struct server *s, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct rx_channel *channel;
    for (size_t i = 0; (channel = rx_engine_channel_at(s->engine, i)) != NULL; i++) {
        struct toy *toy = rx_channel_user(channel);
        if (toy != NULL && memcmp(toy->id, id, RX_COMMAND_ID_SIZE) == 0)
            return toy;
    }
    return NULL;
}

/* What `echo` writes; there is room for it, as each word was behind 5 bytes of the body. */
static void echo_words(struct toy *toy, const struct rx_message *m)
{
    struct rx_word word;
    size_t at = 0;
    size_t argument = 0;
    while (rx_words_next(m->body, m->body_len, &at, &word)) {
        if (word.kind != RX_WORD_ARGUMENT || argument++ == 0)
            continue;
        if (argument > 2)
            toy->text[toy->text_len++] = ' ';
        memcpy(toy->text + toy->text_len, word.bytes, word.len);
        toy->text_len += word.len;
    }
    toy->text[toy->text_len++] = '\n';
}

/* A decimal number of at most 15 digits. */
static bool number(const struct rx_word *word, uint64_t *n)
{
    *n = 0;
    for (size_t i = 0; i < word->len; i++) {
        if (word->bytes[i] < '0' || word->bytes[i] > '9')
            return false;
        *n = *n * 10 + (uint64_t)(word->bytes[i] - '0');
    }
    return word->len > 0 && word->len <= 15;
}

/* The i-th word of the argument vector; of length 0 behind the last. */
static struct rx_word argument_at(const struct rx_message *m, size_t i)
{
    struct rx_word word;
    size_t at = 0;
    while (rx_words_next(m->body, m->body_len, &at, &word)) {
        if (word.kind == RX_WORD_ARGUMENT && i-- == 0)
            return word;
    }
    return (struct rx_word){0};
}

static bool word_is(const struct rx_word *word, const char *text)
{
    return word->len == strlen(text) && memcmp(word->bytes, text, word->len) == 0;
}

/* Sets the command up; false if there is none of this name. toy->text has the body's size. */
static bool set_up(struct toy *toy, const struct rx_message *m)
{
    struct rx_word name = argument_at(m, 0);
    struct rx_word first = argument_at(m, 1);
    if (word_is(&name, "echo")) {
        echo_words(toy, m);
    } else if (word_is(&name, "both")) {
        memcpy(toy->text, "out\n", 4);
        toy->text_len = 4;
        toy->errors = "err\n";
        toy->code = 3;
    } else if (word_is(&name, "words")) {
        memcpy(toy->text, m->body, m->body_len);
        toy->text_len = m->body_len;
    } else if (word_is(&name, "big") && number(&first, &toy->total)) {
        toy->kind = TOY_BIG;
    } else if (word_is(&name, "cat")) {
        toy->kind = TOY_CAT;
    } else if (word_is(&name, "wait")) {
        toy->kind = TOY_WAIT;
    } else {
        return false;
    }
    return true;
}

static void start(struct server *s, const struct rx_event *event, const struct rx_exec *exec)
{
    struct rx_channel *channel = event->channel;
    if (exec->age_ms != RX_ABSENT) {
        /* What ran on another connection is unknown here. */
        answer(s, channel, true, RX_E_FATE_UNKNOWN, RX_ABSENT);
        return;
    }
    if (find(s, exec->id) != NULL) {
        answer(s, channel, true, RX_E_DUPLICATE_ID, RX_ABSENT);
        return;
    }
    struct toy *toy = calloc(1, sizeof *toy);
    if (toy == NULL)
        abort();
    toy->text = malloc(event->message.body_len + 1);
    if (toy->text == NULL)
        abort();
    toy->channel = channel;
    toy->start_us = now_us();
    memcpy(toy->id, exec->id, sizeof toy->id);
    rx_channel_set_user(channel, toy);
    if (exec->run != RX_RUN_EXEC || exec->pty.wanted || !set_up(toy, &event->message)) {
        forget(channel);
        answer(s, channel, true, RX_E_COMMAND_NOT_FOUND, RX_ABSENT);
        return;
    }
    must(s, rx_engine_start(s->engine, RX_STARTED, &channel, NULL, NULL, 0));
}

static bool known_signal(const char *name)
{
    static const char *const known[] = {"HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0)
            return true;
    }
    return false;
}

/* Whether it can be delivered: what there is to answer. */
static enum rx_error judge(const struct toy *toy, const struct rx_signal *signal)
{
    if (toy == NULL)
        return RX_E_UNKNOWN_COMMAND;
    if (toy->over)
        return RX_E_ALREADY_ENDED;
    return known_signal(signal->signal) ? RX_OK : RX_E_UNKNOWN_SIGNAL;
}

static void take_signal(struct server *s, struct rx_channel *channel,
                        const struct rx_signal *signal)
{
    bool alone = rx_channel_state(channel) == RX_STREAM_ASKING;
    if (alone != signal->has_id) {
        wire_fail(s->wire, RX_E_BAD_HEADER);
        return;
    }
    struct toy *toy = alone ? find(s, signal->id) : rx_channel_user(channel);
    if (!alone && toy != NULL && signal->n <= toy->signals) {
        answer(s, channel, false, RX_OK, signal->n); /* it was done before */
        return;
    }
    enum rx_error why = judge(toy, signal);
    answer(s, channel, alone, why, signal->n);
    if (toy == NULL || why != RX_OK)
        return;
    if (!alone)
        toy->signals = signal->n;
    say_exit(s, toy, signal->signal);
}

/* ---- events ----------------------------------------------------------------------------- */

static void take_request(struct server *s, const struct rx_event *event)
{
    const struct rx_message *m = &event->message;
    struct rx_header h;
    enum rx_error error = rx_request_check(&s->wire->end.monitor, m->raw, m->raw_len);
    if (error == RX_OK && event->channel == NULL)
        return; /* its stream is closed; the number counted */
    if (error == RX_OK)
        error = rx_message_check(m, &h);
    if (error != RX_OK) {
        wire_fail(s->wire, error);
        return;
    }
    switch (m->type) {
    case RX_EXEC:
        start(s, event, &h.exec);
        break;
    case RX_SIGNAL:
        take_signal(s, event->channel, &h.signal);
        break;
    case RX_RESIZE:
        answer(s, event->channel, false, RX_E_NO_TERMINAL, RX_ABSENT);
        break;
    case RX_DETACH:
        answer(s, event->channel, false, RX_E_NOT_SUPPORTED, RX_ABSENT);
        break;
    case RX_LIST:
        answer(s, event->channel, true, RX_E_NOT_SUPPORTED, RX_ABSENT);
        break;
    default: /* RESUME, ATTACH, FORGET */
        answer(s, event->channel, true, RX_E_UNKNOWN_COMMAND, RX_ABSENT);
        break;
    }
}

static void take_event(struct server *s, const struct rx_event *event)
{
    const struct rx_message *m = &event->message;
    struct rx_header h;
    if (rx_is_request(m->type)) {
        take_request(s, event);
        return;
    }
    enum rx_error error =
        event->channel != NULL || m->stream == 0 ? rx_message_check(m, &h) : RX_OK;
    if (error != RX_OK) {
        wire_fail(s->wire, error);
    } else if (m->type == RX_PING) {
        must(s, rx_engine_pong(s->engine, m->body, (uint64_t)now_us() * 1000));
    } else if (m->type == RX_CLOSE) {
        s->closed = true;
    } else if (m->type == RX_ERROR) {
        s->wrong = "the client ended the session with an error";
    } else if (m->type == RX_EXIT_ACK && event->channel != NULL) {
        forget(event->channel);
    }
}

/* ---- output ----------------------------------------------------------------------------- */

/* Makes some of the pattern, if there is room; true when it is complete. */
static bool step_big(struct server *s, struct toy *toy)
{
    uint8_t *room;
    uint64_t left;
    size_t n;
    while ((left = toy->total - toy->made) > 0 &&
           (n = rx_engine_write_room(toy->channel, RX_WHICH_STDOUT,
                                     left < RX_DATA_MAX ? (size_t)left : RX_DATA_MAX, &room)) > 0) {
        if (n > left)
            n = (size_t)left;
        for (size_t i = 0; i < n; i++)
            room[i] = peer_byte(toy->made + i);
        rx_engine_written(s->engine, toy->channel, RX_WHICH_STDOUT, n);
        toy->made += n;
    }
    return left == 0;
}

/* Takes of stdin what finds room in stdout. */
static bool step_cat(struct server *s, struct toy *toy)
{
    const uint8_t *bytes;
    size_t n;
    size_t taken = 1;
    while (taken > 0 && (n = rx_engine_peek(s->engine, toy->channel, RX_WHICH_STDIN, &bytes)) > 0) {
        taken = rx_engine_write(s->engine, toy->channel, RX_WHICH_STDOUT, bytes, n);
        rx_engine_consume(s->engine, toy->channel, RX_WHICH_STDIN, taken);
    }
    return rx_in_done(rx_channel_in(toy->channel, RX_WHICH_STDIN));
}

/* Whatever the client sends, nobody reads it. */
static void drain(struct server *s, struct toy *toy)
{
    const uint8_t *bytes;
    size_t n;
    while ((n = rx_engine_peek(s->engine, toy->channel, RX_WHICH_STDIN, &bytes)) > 0)
        rx_engine_consume(s->engine, toy->channel, RX_WHICH_STDIN, n);
}

static bool step_text(struct server *s, struct toy *toy)
{
    if (toy->errors != NULL) {
        size_t n = strlen(toy->errors);
        toy->errors += rx_engine_write(s->engine, toy->channel, RX_WHICH_STDERR, toy->errors, n);
    }
    toy->made += rx_engine_write(s->engine, toy->channel, RX_WHICH_STDOUT, toy->text + toy->made,
                                 toy->text_len - toy->made);
    return toy->made == toy->text_len && (toy->errors == NULL || *toy->errors == '\0');
}

static void step(struct server *s, struct toy *toy)
{
    bool complete = false;
    if (toy->kind != TOY_CAT || toy->over)
        drain(s, toy);
    if (toy->over)
        return;
    switch (toy->kind) {
    case TOY_TEXT:
        complete = step_text(s, toy);
        break;
    case TOY_CAT:
        complete = step_cat(s, toy);
        break;
    case TOY_BIG:
        complete = step_big(s, toy);
        break;
    case TOY_WAIT:
        break;
    }
    if (complete)
        say_exit(s, toy, NULL);
}

static void step_all(struct server *s)
{
    struct rx_channel *channel;
    for (size_t i = 0; (channel = rx_engine_channel_at(s->engine, i)) != NULL; i++) {
        if (rx_channel_user(channel) != NULL)
            step(s, rx_channel_user(channel));
    }
}

static void forget_all(struct server *s)
{
    struct rx_channel *channel;
    for (size_t i = 0; (channel = rx_engine_channel_at(s->engine, i)) != NULL; i++)
        forget(channel);
}

/* ---- the session ------------------------------------------------------------------------ */

static void take_events(struct server *s)
{
    struct rx_event event;
    enum rx_next next = RX_NEXT_MORE;
    while (s->wrong == NULL && (next = rx_engine_next(s->engine, &event)) == RX_NEXT_EVENT) {
        take_event(s, &event);
        /* Before the next event, so that data need not be kept. */
        step_all(s);
    }
    if (next == RX_NEXT_ERROR && s->wrong == NULL)
        s->wrong = rx_error_text(rx_engine_error(s->engine));
}

const char *peer_serve(struct wire *w, const struct rx_grant *grant, bool readable)
{
    const char *wrong = wire_server_handshake(w, grant, readable);
    struct server s = {.wire = w, .engine = w->end.engine, .wrong = wrong};
    if (s.engine == NULL)
        return wrong != NULL ? wrong : "no memory";
    if (s.wrong == NULL)
        say_welcome(&s, grant->server);
    while (s.wrong == NULL && !s.closed) {
        step_all(&s);
        wrong = wire_move(w);
        take_events(&s);
        if (s.wrong == NULL)
            s.wrong = wrong;
        if (s.wrong == NULL && w->ended && !s.closed)
            s.wrong = "the client was lost";
    }
    if (!s.closed)
        wire_flush(w);
    forget_all(&s);
    return s.closed ? NULL : s.wrong;
}
