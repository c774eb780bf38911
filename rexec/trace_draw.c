#include "rexec/trace_draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rexec/draw_print.h"

#define T(english, native) (chinese ? native : english)

enum { NS_PER_US = 1000 };

/* What stands in a record's box: EXEC 1: the stream; the bytes of its body. */
static void record_label(const struct trace_record *r, char out[static DRAW_LABEL_MAX])
{
    if (!r->message || r->stream == 0)
        (void)snprintf(out, DRAW_LABEL_MAX, "%s", r->name);
    else
        (void)snprintf(out, DRAW_LABEL_MAX, "%s #%" PRIu32 "%s", r->name, r->stream,
                       r->last ? "." : "");
}

/* How many calls a record is spread over, and how many records a call touches: what sticks and
 * what is cut. */
struct tally {
    size_t calls, records, sticky, cut;
};

static void count(const struct trace_way *way, size_t calls, struct tally *t)
{
    size_t r = 0;
    *t = (struct tally){.calls = calls};
    for (size_t i = 0; i < calls; i++) {
        uint64_t from = way->calls[i].at, to = from + way->calls[i].n;
        size_t begun = 0;
        while (r < way->record_count && way->records[r].at < to) {
            uint64_t end = way->records[r].at + way->records[r].n;
            begun++;
            if (end > to)
                break;
            r++;
        }
        t->sticky += begun > 1;
        if (r < way->record_count && way->records[r].at < to && way->records[r].at >= from)
            t->cut++;
    }
    t->records = r;
}

/* Who is at the other end. */
static const char *way_title(bool server, bool out, bool chinese)
{
    if (server)
        return out ? T("To the client", "发往客户端") : T("From the client", "来自客户端");
    return out ? T("To the server", "发往服务器") : T("From the server", "来自服务器");
}

static void draw_way(struct draw_picture *p, const struct trace *t, size_t i, bool out,
                     bool chinese, size_t most)
{
    const struct trace_connection *c = &t->connections[i];
    const struct trace_way *way = out ? &c->out : &c->in;
    size_t shown = way->call_count < most ? way->call_count : most;
    struct tally tally;
    count(way, shown, &tally);
    draw_panel(p, way_title(t->server, out, chinese));
    draw_say(p, true, DRAW_PLAIN, "%s", c->address);
    size_t calls = draw_row(p, out ? "write()" : "read()");
    uint64_t end = 0;
    for (size_t k = 0; k < shown; k++) {
        const struct trace_call *call = &way->calls[k];
        end = call->at + call->n;
        draw_box(p, calls, out ? DRAW_SEND : DRAW_RECEIVE, call->at, end,
                 "%" PRIu64 " +%" PRId64 ".%" PRId64 "ms", call->n, call->ns / (1000 * NS_PER_US),
                 call->ns / (100 * NS_PER_US) % 10);
    }
    size_t records = draw_row(p, T("records", "记录"));
    for (size_t k = 0; k < way->record_count && way->records[k].at < end; k++) {
        const struct trace_record *r = &way->records[k];
        uint64_t to = r->at + r->n;
        char label[DRAW_LABEL_MAX];
        record_label(r, label);
        draw_box(p, records, r->message ? DRAW_BODY : DRAW_HEAD, r->at, to < end ? to : end, "%s",
                 label);
    }
    draw_say(p, false, DRAW_PLAIN,
             T("Calls: %zu; records: %zu. Calls that carry more than one record: %zu; records that "
               "the end of a call cuts: %zu.",
               "%zu 次调用，%zu 条记录；不止一条记录的调用：%zu；被调用边界切断的记录：%zu。"),
             tally.calls, tally.records, tally.sticky, tally.cut);
    if (shown < way->call_count)
        draw_say(p, false, DRAW_PLAIN,
                 T("Of %zu calls, the first %zu are drawn (--count).",
                   "共 %zu 次调用，画出前 %zu 次（--count）。"),
                 way->call_count, shown);
}

/* 2026-11-20T12:00:00.123456Z, as people write it; what is not of that form, as it is. */
static void print_start(const char *start, char out[static TRACE_TEXT_MAX])
{
    (void)snprintf(out, TRACE_TEXT_MAX, "%s", start);
    if (strlen(start) < 20 || start[10] != 'T' || start[19] != '.')
        return;
    (void)snprintf(out, TRACE_TEXT_MAX, "%.10s %.8s UTC", start, start + 11);
}

void trace_picture(const struct trace *t, bool chinese, size_t most, struct draw_picture *p)
{
    char title[TRACE_TEXT_MAX + 16], start[TRACE_TEXT_MAX], under[TRACE_TEXT_MAX + 256];
    p->language = chinese ? "zh" : "en";
    print_start(t->start, start);
    (void)snprintf(title, sizeof title, "%s %s", t->server ? "rexecd" : "rexec", t->host);
    (void)snprintf(under, sizeof under, "%s%s%s", start, T(". ", "。"),
                   T("Each read and write of a real session, and below it the records: what stands "
                     "below each other is the same byte. #1 is a stream, a dot its last record.",
                     "一次真实会话的每个读和写，下面是记录；上下对齐的是同一个字节。#1 "
                     "是流的编号，点表示它的最后一条记录。"));
    draw_title(p, title, under);
    for (size_t i = 0; i < t->connection_count; i++) {
        draw_way(p, t, i, true, chinese, most);
        draw_way(p, t, i, false, chinese, most);
    }
    if (t->cut && t->connection_count > 0)
        draw_say(p, false, DRAW_WRONG,
                 T("The session went on, but its trace was not to be larger (trace_bytes).",
                   "会话还在继续，但跟踪文件已达到上限（trace_bytes）。"));
}

/* ---- JSON ------------------------------------------------------------------------------- */

static bool print_parts(const struct trace_way *way, const struct trace_call *call, size_t *next,
                        struct buffer *out)
{
    uint64_t end = call->at + call->n;
    const char *between = "";
    bool done = true;
    for (; *next < way->record_count && way->records[*next].at < end && done; (*next)++) {
        const struct trace_record *r = &way->records[*next];
        uint64_t from = r->at > call->at ? r->at : call->at;
        uint64_t to = r->at + r->n < end ? r->at + r->n : end;
        done = draw_print(out,
                          "%s{\"record\":%zu,\"name\":\"%s\",\"stream\":%" PRIu32
                          ",\"from\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"of\":%" PRIu64 "}",
                          between, *next + 1, r->name, r->stream, from - r->at, to - from, r->n);
        between = ",";
        if (r->at + r->n > end)
            return done; /* the next call has more of it */
    }
    return done;
}

static bool print_way(const struct trace_way *way, size_t connection, bool is_out,
                      struct buffer *out)
{
    size_t next = 0;
    bool done = true;
    for (size_t i = 0; i < way->call_count && done; i++) {
        const struct trace_call *c = &way->calls[i];
        done = draw_print(out,
                          "{\"connection\":%zu,\"call\":\"%s\",\"at\":%" PRIu64
                          ",\"bytes\":%" PRIu64 ",\"ns\":%" PRId64 ",\"records\":[",
                          connection + 1, is_out ? "write" : "read", c->at, c->n, c->ns) &&
               print_parts(way, c, &next, out) && draw_print(out, "]}\n");
    }
    return done;
}

bool trace_lines(const struct trace *t, struct buffer *out)
{
    bool done = true;
    for (size_t i = 0; i < t->connection_count && done; i++)
        done = print_way(&t->connections[i].out, i, true, out) &&
               print_way(&t->connections[i].in, i, false, out);
    return done;
}
