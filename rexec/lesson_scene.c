#include "rexec/lesson_scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rexec/draw_print.h"

enum {
    HEX_MAX = 1024,
    NS_PER_MS = 1000000,
    SHOWN_MAX = 100, /* calls of each kind, and answers: a small buffer makes a great many */
};

/* ---- --json ----------------------------------------------------------------------------- */

static void write_event(struct lesson *l, const struct scene *s, const char *what,
                        const struct exchange_call *call, const void *bytes)
{
    if (!l->o->json)
        return;
    const unsigned char *p = bytes;
    bool done = draw_print(&l->json,
                           "{\"scene\":\"%s\",\"what\":\"%s\",\"at\":%" PRIu64
                           ",\"bytes\":%zu,\"whole\":%zu,\"ns\":%" PRId64,
                           s->name, what, call->at, call->n, call->whole, call->ns);
    if (done && bytes != NULL && call->n <= HEX_MAX) {
        done = draw_print(&l->json, ",\"hex\":\"");
        for (size_t i = 0; i < call->n && done; i++)
            done = draw_print(&l->json, "%02x", p[i]);
        done = done && draw_print(&l->json, "\"");
    }
    if (!done || !draw_print(&l->json, "}\n"))
        l->picture.failed = true;
}

/* ---- boxes ------------------------------------------------------------------------------ */

static void say_shown(struct lesson *l, const char *call, size_t count)
{
    if (count > SHOWN_MAX)
        draw_say(&l->picture, false, DRAW_PLAIN,
                 T("Of %zu calls of %s, the first %d are shown.", "共 %zu 次 %s，只画出前 %d 次。"),
                 count, call, (int)SHOWN_MAX);
}

static void draw_calls(struct lesson *l, struct scene *s)
{
    const struct exchange *x = &s->exchange;
    struct draw_picture *p = &l->picture;
    size_t row = draw_row(p, "send()");
    for (size_t i = 0; i < x->sends.count; i++) {
        const struct exchange_call *c = &x->sends.list[i];
        write_event(l, s, "send", c, NULL);
        if (i >= SHOWN_MAX)
            continue;
        if (c->n == 0)
            draw_box(p, row, DRAW_SEND, c->at, c->at, "0");
        else
            draw_box(p, row, DRAW_SEND, c->at, c->at + c->n, "%zu", c->n);
    }
    row = draw_row(p, "recv()");
    const char *bytes = x->received.bytes;
    for (size_t i = 0; i < x->receives.count; i++) {
        const struct exchange_call *c = &x->receives.list[i];
        write_event(l, s, "recv", c, bytes);
        bytes = bytes != NULL ? bytes + c->n : NULL;
        if (i >= SHOWN_MAX)
            continue;
        draw_box(p, row, DRAW_RECEIVE, c->at, c->at + c->n, "%zu +%" PRId64 "ms", c->n,
                 c->ns / NS_PER_MS);
        if (c->whole > c->n)
            draw_box(p, row, DRAW_LOST, c->at + c->n, c->at + c->whole, "%s", T("lost", "丢失"));
    }
    say_shown(l, "send()", x->sends.count);
    say_shown(l, "recv()", x->receives.count);
}

/* What was meant, in its own row: where that does not follow from the sends. */
static void draw_messages(struct lesson *l, struct scene *s)
{
    char text[DRAW_LABEL_MAX];
    size_t row = draw_row(&l->picture, T("messages", "消息"));
    uint64_t at = 0;
    for (size_t i = 0; i < s->message_count; i++) {
        const struct exchange_piece *m = &s->messages[i];
        const struct exchange_piece *sent = &s->exchange.pieces[i];
        struct exchange_call call = {.at = at, .n = m->n, .whole = sent->n};
        write_event(l, s, "message", &call, m->bytes);
        draw_bytes(&l->picture, m->bytes, m->n, 24, text);
        draw_box(&l->picture, row, DRAW_MESSAGE, at, at + sent->n, "%s",
                 m->n == 0 ? T("empty", "空") : text);
        at += sent->n;
    }
}

/* ---- what the receiver makes of it ------------------------------------------------------ */

static void answer_text(struct lesson *l, const void *bytes, size_t n, char out[DRAW_LABEL_MAX])
{
    char text[DRAW_LABEL_MAX];
    if (n == 0) {
        (void)snprintf(out, DRAW_LABEL_MAX, "%s", T("(an empty message)", "(空消息)"));
        return;
    }
    draw_bytes(&l->picture, bytes, n, n > 32 ? 20 : 32, text);
    (void)snprintf(out, DRAW_LABEL_MAX,
                   n > 32 ? T("%.200s  (%zu bytes)", "%.200s  (%zu 字节)") : "%.200s", text, n);
}

/* The next thing that the receiver takes for a message. */
static void answer(struct lesson *l, struct scene *s, uint64_t at, const void *bytes, size_t n)
{
    char sent[DRAW_LABEL_MAX], got[DRAW_LABEL_MAX];
    const struct exchange_piece *m = s->got < s->message_count ? &s->messages[s->got] : NULL;
    bool right = m != NULL && m->n == n && (n == 0 || memcmp(m->bytes, bytes, n) == 0);
    if (m != NULL)
        answer_text(l, m->bytes, m->n, sent);
    else
        (void)snprintf(sent, sizeof sent, "%s", T("(nothing)", "(无)"));
    answer_text(l, bytes, n, got);
    if (s->got < SHOWN_MAX)
        draw_answer(&l->picture, sent, got, right);
    struct exchange_call call = {.at = at, .n = n, .whole = n};
    write_event(l, s, right ? "right" : "wrong", &call, bytes);
    s->right += right;
    s->got++;
}

/* What was sent and never came to be a message. */
static void missing(struct lesson *l, const struct scene *s)
{
    char sent[DRAW_LABEL_MAX];
    for (size_t i = s->got; i < s->message_count; i++) {
        answer_text(l, s->messages[i].bytes, s->messages[i].n, sent);
        draw_answer(&l->picture, sent, T("(never came)", "(没有收到)"), false);
        struct exchange_call call = {.whole = s->messages[i].n};
        write_event(l, s, "missing", &call, NULL);
    }
}

/* The naive receiver: what one recv() returns is one message. */
static void judge_naive(struct lesson *l, struct scene *s)
{
    const char *bytes = s->exchange.received.bytes;
    for (size_t i = 0; i < s->exchange.receives.count; i++) {
        const struct exchange_call *c = &s->exchange.receives.list[i];
        answer(l, s, c->at, bytes, c->n);
        bytes = bytes != NULL ? bytes + c->n : NULL;
    }
    missing(l, s);
}

/* The receiver that knows frames is given the same pieces as they came. */
static bool judge_framed(struct lesson *l, struct scene *s)
{
    struct frame_reader reader = {.framing = s->framing};
    size_t row = draw_row(&l->picture, T("frames", "帧"));
    const char *bytes = s->exchange.received.bytes;
    char text[DRAW_LABEL_MAX];
    uint64_t at = 0;
    bool done = true;
    for (size_t i = 0; i < s->exchange.receives.count && done; i++) {
        const struct exchange_call *c = &s->exchange.receives.list[i];
        struct frame f;
        done = frame_feed(&reader, bytes, c->n);
        bytes += c->n;
        while (done && frame_next(&reader, &f) == FRAME_WHOLE) {
            if (s->framing == FRAMING_HEADER)
                draw_box(&l->picture, row, DRAW_HEAD, at, at + f.head, "%zu %.*s", f.header_n,
                         (int)f.header_n, f.header);
            else
                draw_box(&l->picture, row, DRAW_HEAD, at, at + f.head, "%zu", f.n);
            at += f.head;
            draw_bytes(&l->picture, f.body, f.n, 24, text);
            draw_box(&l->picture, row, DRAW_BODY, at, at + f.n, "%s",
                     f.n == 0 ? T("empty", "空") : text);
            answer(l, s, at, f.body, f.n);
            at += f.n;
        }
    }
    frame_clear(&reader);
    missing(l, s);
    return done;
}

/* ---- all -------------------------------------------------------------------------------- */

/* What is sent: the messages as they are, or in frames. */
static bool prepare(struct scene *s)
{
    s->exchange.pieces = s->messages;
    s->exchange.piece_count = s->message_count;
    if (!s->framed)
        return true;
    size_t ends[SCENE_PIECES_MAX];
    for (size_t i = 0; i < s->message_count; i++) {
        if (!frame_add(s->framing, s->messages[i].bytes, s->messages[i].n, &s->wire))
            return false;
        ends[i] = s->wire.n;
    }
    for (size_t i = 0, begin = 0; i < s->message_count; begin = ends[i++])
        s->frames[i] = (struct exchange_piece){s->wire.bytes + begin, ends[i] - begin};
    s->exchange.pieces = s->frames;
    return true;
}

bool scene_run(struct lesson *l, struct scene *s)
{
    bool done = prepare(s);
    if (!done)
        rx_failure_set(&l->failure, RX_TROUBLE_SYSTEM, "out of memory");
    if (!done || !exchange_run(&s->exchange, &l->failure))
        return false;
    draw_messages(l, s);
    draw_calls(l, s);
    draw_table(&l->picture, T("sent", "发出的消息"),
               s->framed ? T("the receiver of frames has", "按帧接收的程序得到")
                         : T("the naive receiver has", "天真的接收程序得到"));
    if (!s->framed) {
        judge_naive(l, s);
        return true;
    }
    l->picture.failed = !judge_framed(l, s) || l->picture.failed;
    return true;
}

void scene_clear(struct scene *s)
{
    exchange_clear(&s->exchange);
    buffer_clear(&s->wire);
}
