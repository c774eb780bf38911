/* rexec lesson sticky: TCP keeps no message boundaries; see it, and see it put right. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/draw_print.h"
#include "rexec/lesson.h"
#include "rexec/lesson_scene.h"
#include "rexec/report.h"

enum {
    COUNT = 6,
    SIZE = 300000,
    DELAY_MS = 60,
    SEND_BUFFER = 32768, /* of the large send, so that it has to wait, too */
    LARGE_BUFFER = 65536,
    ROOMY_BUFFER = 4096,
    SMALL_BUFFER = 10, /* cuts a character that takes three bytes */
};

static unsigned or_else(unsigned asked, unsigned otherwise)
{
    return asked != 0 ? asked : otherwise;
}

/* The first n of some words that a client might send, over and over; an empty one among them if
 * asked for. */
static void words(struct scene *s, size_t n, bool empty)
{
    static const char *const list[] = {"ls -l", "pwd", "你好", "date", "whoami", "df -h /"};
    for (size_t i = 0; i < n && i < SCENE_PIECES_MAX; i++) {
        const char *word = empty && i == 2 ? "" : list[i % (sizeof list / sizeof list[0])];
        s->messages[i] = (struct exchange_piece){word, strlen(word)};
        s->message_count++;
    }
}

/* How it ended, under the table. */
static void verdict(struct lesson *l, const struct scene *s)
{
    bool right = s->right == s->message_count && s->got == s->message_count;
    draw_say(
        &l->picture, false, right ? DRAW_RIGHT : DRAW_WRONG,
        T("Messages: %zu; send() calls: %zu; recv() calls: %zu. The receiver has %zu, and %zu of "
          "them right.",
          "%zu 条消息，%zu 次 send()，%zu 次 recv()：接收程序得到 %zu 条，其中 %zu 条正确。"),
        s->message_count, s->exchange.sends.count, s->exchange.receives.count, s->got, s->right);
}

static bool play(struct lesson *l, struct scene *s)
{
    bool done = scene_run(l, s);
    if (done)
        verdict(l, s);
    return done;
}

/* ---- what goes wrong -------------------------------------------------------------------- */

static bool merge(struct lesson *l)
{
    struct scene s = {.name = "merge"};
    words(&s, or_else(l->o->lesson.count, COUNT), false);
    s.exchange.no_delay = true; /* what sticks here does so without Nagle */
    s.exchange.first_receive_ms = or_else(l->o->lesson.delay_ms, DELAY_MS);
    s.exchange.buffer = or_else(l->o->lesson.buffer, ROOMY_BUFFER);
    draw_panel(&l->picture, T("Many small sends, one receive", "多次小发送，一次接收"));
    draw_say(&l->picture, true, DRAW_PLAIN,
             T("The client calls send() once for each message. The server reads %u ms later. "
               "Between them TCP has a stream of bytes, and nothing in it says where one message "
               "ends.",
               "客户端每条消息调用一次 send()，服务器 %u 毫秒后才读。TCP "
               "传的是字节流，里面没有任何东西说明一条消息到哪里结束。"),
             s.exchange.first_receive_ms);
    bool done = play(l, &s);
    if (s.exchange.sends.count < 2 || s.exchange.receives.count != 1)
        draw_retitle(&l->picture, T("Small sends, a late receiver", "小发送，迟到的接收"));
    scene_clear(&s);
    return done;
}

static bool split(struct lesson *l)
{
    struct scene s = {.name = "split"};
    size_t n = or_else(l->o->lesson.size, SIZE);
    char *large = malloc(n);
    if (large == NULL) {
        rx_failure_set(&l->failure, RX_TROUBLE_SYSTEM, "out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++)
        large[i] = (char)('A' + i % 26);
    s.messages[0] = (struct exchange_piece){large, n};
    s.message_count = 1;
    s.exchange.buffer = or_else(l->o->lesson.buffer, LARGE_BUFFER);
    s.exchange.send_buffer = or_else(l->o->lesson.send_buffer, SEND_BUFFER);
    draw_panel(&l->picture, T("One large send, many receives", "一次大发送，多次接收"));
    bool done = play(l, &s);
    draw_say(&l->picture, true, DRAW_PLAIN,
             T("One message of %zu bytes. send() takes what there is room for (SO_SNDBUF was set "
               "to %zu; Linux made it %zu), and says how much that was; recv() gives what has "
               "come, at most %zu bytes.",
               "一条 %zu 字节的消息。send() 只拿走缓冲区放得下的（SO_SNDBUF 设为 %zu，Linux "
               "实际给了 %zu），并返回拿走了多少；recv() 给出已经到达的字节，最多 %zu 字节。"),
             n, s.exchange.send_buffer, s.exchange.made_buffer, s.exchange.buffer);
    if (s.exchange.receives.count < 2)
        draw_retitle(&l->picture, T("One send, one receive", "一次发送，一次接收"));
    scene_clear(&s);
    free(large);
    return done;
}

/* Whether a recv() got more than one message, and whether one ended within a message. */
static void look_at_cuts(const struct exchange *x, bool *sticks, bool *cuts)
{
    size_t m = 0;
    *sticks = *cuts = false;
    for (size_t r = 0; r < x->receives.count; r++) {
        uint64_t from = x->receives.list[r].at, to = from + x->receives.list[r].n;
        while (m < x->sends.count && x->sends.list[m].at + x->sends.list[m].n <= from)
            m++;
        uint64_t end = m < x->sends.count ? x->sends.list[m].at + x->sends.list[m].n : to;
        *sticks = *sticks || to > end;
        while (end < to && m + 1 < x->sends.count) {
            m++;
            end = x->sends.list[m].at + x->sends.list[m].n;
        }
        *cuts = *cuts || end > to;
    }
}

static bool slow(struct lesson *l)
{
    struct scene s = {.name = "slow"};
    words(&s, or_else(l->o->lesson.count, COUNT), false);
    unsigned delay = or_else(l->o->lesson.delay_ms, DELAY_MS);
    s.exchange.no_delay = true;
    s.exchange.send_gap_ms = delay / 4;
    s.exchange.first_receive_ms = s.exchange.receive_gap_ms = delay;
    s.exchange.buffer = or_else(l->o->lesson.buffer, SMALL_BUFFER);
    draw_panel(&l->picture,
               s.exchange.buffer <= 2 * SMALL_BUFFER
                   ? T("A slow receiver with a small buffer", "缓冲区小、读得慢的接收程序")
                   : T("A slow receiver", "读得慢的接收程序"));
    bool done = play(l, &s), sticks, cuts;
    look_at_cuts(&s.exchange, &sticks, &cuts);
    const char *what = "";
    if (sticks && cuts)
        what = T(" Now they stick together and are cut apart at once; a cut does not spare a "
                 "character of several bytes.",
                 "这下粘包和拆包同时发生，切口也不会避开多字节的汉字。");
    else if (sticks)
        what = T(" They stick together; a smaller buffer would cut them, too.",
                 "它们粘在了一起；缓冲区再小些还会被切开。");
    else if (cuts)
        what = T(" They are cut apart; a cut does not spare a character of several bytes.",
                 "它们被切开了，切口也不会避开多字节的汉字。");
    draw_say(&l->picture, true, DRAW_PLAIN,
             T("A message every %u ms; a recv() of at most %zu bytes every %u ms.%s",
               "每 %u 毫秒发一条消息；接收方用最多 %zu 字节的缓冲区，每 %u 毫秒 recv() 一次。%s"),
             s.exchange.send_gap_ms, s.exchange.buffer, s.exchange.receive_gap_ms, what);
    scene_clear(&s);
    return done;
}

/* How long the slowest byte was on its way. */
static int64_t slowest_ms(const struct exchange *x)
{
    int64_t worst = 0;
    size_t r = 0;
    for (size_t i = 0; i < x->sends.count; i++) {
        const struct exchange_call *sent = &x->sends.list[i];
        while (r + 1 < x->receives.count &&
               x->receives.list[r].at + x->receives.list[r].n < sent->at + sent->n)
            r++;
        int64_t took = r < x->receives.count ? x->receives.list[r].ns - sent->ns : 0;
        worst = took > worst ? took : worst;
    }
    return worst / 1000000;
}

static bool nagle(struct lesson *l, bool on)
{
    struct scene s = {.name = on ? "nagle-on" : "nagle-off"};
    words(&s, or_else(l->o->lesson.count, COUNT), false);
    s.exchange.no_delay = !on;
    s.exchange.late_acks = true;
    s.exchange.send_gap_ms = 3;
    s.exchange.buffer = or_else(l->o->lesson.buffer, ROOMY_BUFFER);
    draw_panel(&l->picture, on ? T("Nagle on (as sockets are)", "Nagle 算法打开（默认）")
                               : T("Nagle off (TCP_NODELAY)", "Nagle 算法关闭（TCP_NODELAY）"));
    if (on)
        draw_say(&l->picture, true, DRAW_PLAIN, "%s",
                 T("A message every 3 ms, and a receiver that is always quick, but whose kernel "
                   "acknowledges late. Nagle's algorithm keeps small segments back while one is "
                   "not acknowledged: the sender itself glues.",
                   "每 3 毫秒一条消息；接收程序总是马上读，但它的内核延迟确认。Nagle "
                   "算法在还有数据未被确认时攒着小段不发：粘包发生在发送方。"));
    else
        draw_say(&l->picture, true, DRAW_PLAIN, "%s",
                 T("The same, with each segment sent at once. It often looks as if messages were "
                   "kept apart now. Nothing promises it: see the slow receiver.",
                   "同样的条件，但每段立即发出。看上去消息分开了，但没有任何保证：请看上面读得慢"
                   "的接收程序。"));
    bool done = play(l, &s);
    if (done)
        draw_say(&l->picture, false, DRAW_PLAIN,
                 T("The slowest message was on its way for %" PRId64 " ms.",
                   "最慢的一条消息在路上用了 %" PRId64 " 毫秒。"),
                 slowest_ms(&s.exchange));
    scene_clear(&s);
    return done;
}

static bool empty(struct lesson *l)
{
    struct scene s = {.name = "empty"};
    words(&s, 4, true);
    s.exchange.send_gap_ms = 3;
    s.exchange.no_delay = true;
    s.exchange.buffer = or_else(l->o->lesson.buffer, ROOMY_BUFFER);
    draw_panel(&l->picture, T("An empty message", "空消息"));
    draw_say(&l->picture, true, DRAW_PLAIN, "%s",
             T("The third message is empty. send() of 0 bytes returns 0, and nothing goes out. "
               "When recv() returns 0, that is no empty message: it is the end of the connection.",
               "第三条消息是空的。send() 0 字节返回 0，什么也没有发出去。recv() 返回 0 "
               "也不是空消息，而是连接结束。"));
    bool done = play(l, &s);
    scene_clear(&s);
    return done;
}

/* ---- and what puts it right ------------------------------------------------------------- */

static bool cure(struct lesson *l, enum framing framing)
{
    bool header = framing == FRAMING_HEADER;
    struct scene s = {
        .name = header ? "cure-header" : "cure-length", .framed = true, .framing = framing};
    words(&s, or_else(l->o->lesson.count, header ? 3 : COUNT), true);
    unsigned delay = or_else(l->o->lesson.delay_ms, DELAY_MS);
    s.exchange.no_delay = true;
    s.exchange.first_receive_ms = delay;
    s.exchange.receive_gap_ms = delay / 4;
    s.exchange.buffer = or_else(l->o->lesson.buffer, header ? 40 : SMALL_BUFFER + 1);
    draw_panel(&l->picture, header ? T("Second cure: length of the header, JSON header, payload",
                                       "办法二：定长的头部长度、JSON 头部、内容")
                                   : T("First cure: the length first", "办法一：先发长度"));
    if (header)
        draw_say(&l->picture, true, DRAW_PLAIN, "%s",
                 T("4 bytes say how long the header is, the header says what the payload is and "
                   "how long. The payload may be anything; more can be said later without a new "
                   "format.",
                   "先用 4 个字节说明头部多长，JSON "
                   "头部再说明内容是什么、有多长。内容可以是任意字节，以后要多说点什么也不用改格式"
                   "。"));
    else
        draw_say(&l->picture, true, DRAW_PLAIN,
                 T("4 bytes before each message say how long it is. The receiver, no better than "
                   "before (%zu bytes at a time), collects until it has so many.",
                   "每条消息前用 4 个字节说明它多长。接收程序和刚才一样（每次最多 %zu "
                   "字节），但它攒够这么多字节才算一条。"),
                 s.exchange.buffer);
    bool done = play(l, &s);
    scene_clear(&s);
    return done;
}

static bool datagrams(struct lesson *l)
{
    struct scene s = {.name = "udp"};
    words(&s, or_else(l->o->lesson.count, COUNT), true);
    s.exchange.datagrams = true;
    s.exchange.first_receive_ms = or_else(l->o->lesson.delay_ms, DELAY_MS);
    s.exchange.buffer = or_else(l->o->lesson.buffer, 5);
    draw_panel(&l->picture, T("Beside it: UDP", "对比：UDP"));
    draw_say(&l->picture, true, DRAW_PLAIN,
             T("One send(), one datagram, one recv(): they never stick, and an empty one is one. "
               "But with a buffer of %zu bytes, the rest of a longer datagram is gone (and on a "
               "real network, any of them may be).",
               "一次 send() 是一个数据报，一次 recv() "
               "取一个：从不粘包，空的也算一个。但缓冲区只有 %zu "
               "字节，更长的数据报剩下的部分就丢了（在真实网络上，整个丢掉也可能）。"),
             s.exchange.buffer);
    bool done = play(l, &s);
    scene_clear(&s);
    return done;
}

static bool teach(struct lesson *l)
{
    return merge(l) && split(l) && slow(l) && nagle(l, true) && nagle(l, false) && empty(l) &&
           cure(l, FRAMING_LENGTH) && cure(l, FRAMING_HEADER) && datagrams(l);
}

int lesson_sticky(const struct options *o)
{
    struct lesson lesson = {.o = o}, *l = &lesson;
    draw_taste(o, &l->taste);
    l->picture.language = l->taste.chinese ? "zh" : "en";
    l->picture.ascii = l->taste.style.ascii;
    draw_title(&l->picture, T("Sticky packets", "粘包"),
               T("Boxes are calls and messages; what stands below each other is the same byte (the "
                 "numbers count bytes). All of it happened just now, over 127.0.0.1.",
                 "方框是调用和消息；上下对齐的是同一个字节（数字是字节位置）。这一切刚刚在 "
                 "127.0.0.1 上真实发生。"));
    int status = EXIT_REXEC;
    if (!teach(l))
        report_failure(NULL, &l->failure);
    else if (draw_show(&l->picture, &l->taste, o) &&
             (!o->json || print_all(l->json.bytes, l->json.n)))
        status = 0;
    buffer_clear(&l->json);
    draw_clear(&l->picture);
    return status;
}
