/* rexec lesson handshake: how a client proves itself, and how that goes wrong, live. */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rexec/lesson.h"
#include "rexec/lesson_handshake.h"
#include "rexec/report.h"
#include "rexec/transcode.h"

struct wishes {
    bool chinese;
    const char *html;
};

/* The language of messages, as the locale's variables name it. */
static bool locale_is_chinese(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strncmp(value, "zh", 2) == 0;
    }
    return false;
}

/* ---- the lesson ------------------------------------------------------------------------- */

static void tell(struct stage *stage)
{
    struct page *page = stage->page;
    page_title(
        page, WORDS(page, "How a client proves itself", "客户端如何证明自己"),
        WORDS(
            page,
            "Every message below went over a TCP connection on loopback in this run, and "
            "every verdict is what the code at the other end said. All keys were made for "
            "it and are forgotten now. Alice is the client, Mallory the attacker.",
            "下面的每条消息都是本次运行中经由本机回环 TCP "
            "连接传输的，每个结论都出自对端的代码。所有密钥都是为此临时生成的，用后即弃。alice 是客户端，mallory 是攻击者。"));
    page_part(page, WORDS(page, "Toys, and how they break", "玩具协议，以及怎样攻破"));
    toy_password(stage);
    toy_challenge(stage);
    toy_relay(stage);
    toy_repeated_challenge(stage);
    toy_reflection(stage);
    toy_change(stage);
    page_part(page, WORDS(page, "The handshake of rexec, under the same attacks",
                          "rexec 的握手，面对同样的攻击"));
    ours_handshake(stage);
    ours_replay(stage);
    ours_reflection(stage);
    ours_relay(stage);
    ours_pretender(stage);
    ours_change(stage);
    ours_fields(stage);
    char sum[256];
    if (page->chinese) {
        (void)snprintf(sum, sizeof sum,
                       "对玩具协议的攻击成功 %u 次；对 rexec 的攻击被阻止 %u 次。协议全文见 "
                       "docs/PROTOCOL.md。",
                       stage->toys_broken, stage->stopped);
    } else {
        (void)snprintf(sum, sizeof sum,
                       "Attacks on the toys that succeeded: %u. Attacks on rexec that were "
                       "stopped: %u. The whole protocol is in docs/PROTOCOL.md.",
                       stage->toys_broken, stage->stopped);
    }
    page_part(page, WORDS(page, "The sum", "小结"));
    page_say(page, sum);
    page_end(page);
}

/* ---- where it goes ---------------------------------------------------------------------- */

/* The text in the encoding of the locale, where that is known and another one. */
static bool print_text(const struct buffer *text)
{
    struct buffer other = {0};
    if (setlocale(LC_CTYPE, "") == NULL)
        return print_all(text->bytes, text->n);
    const char *codeset = nl_langinfo(CODESET);
    /* The C locale says ASCII, whatever the terminal can do. */
    if (strcmp(codeset, "UTF-8") == 0 || strncmp(codeset, "ANSI", 4) == 0)
        return print_all(text->bytes, text->n);
    struct transcode *t = transcode_new("UTF-8", codeset);
    bool done = t != NULL && transcode_put(t, text->bytes, text->n, &other) &&
                transcode_end(t, &other) && print_all(other.bytes, other.n);
    transcode_free(t);
    buffer_clear(&other);
    return done;
}

static bool write_html(const char *path, const struct buffer *html)
{
    if (strcmp(path, "-") == 0)
        return print_all(html->bytes, html->n);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    bool done = fd >= 0 && write_all(fd, html->bytes, html->n);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && done) {
        done = false;
        error = errno;
    }
    if (!done) {
        char what[512];
        (void)snprintf(what, sizeof what, "cannot write %.256s: %s", path, strerror(error));
        report(NULL, what, "name another file with --html");
    }
    return done;
}

static bool trouble(const struct stage *stage)
{
    if (stage->net->error != 0) {
        char what[256];
        (void)snprintf(what, sizeof what, "the lesson could not be played: %s: %s",
                       stage->net->what, strerror(stage->net->error));
        report(NULL, what, "it needs TCP on 127.0.0.1");
    } else if (stage->page->failed) {
        report(NULL, "out of memory", NULL);
    } else {
        return false;
    }
    return true;
}

/* All of it, once the options are read. The program's exit status. */
static int teach(const struct wishes *wishes)
{
    if (sodium_init() < 0) {
        report(NULL, rx_error_text(RX_E_CRYPTO_FAILED), "check libsodium and /dev/urandom");
        return EXIT_REXEC;
    }
    const char *plain = getenv("NO_COLOR");
    struct page page = {.chinese = wishes->chinese,
                        .colour = isatty(STDOUT_FILENO) && (plain == NULL || plain[0] == '\0')};
    struct net net;
    struct stage stage = {.page = &page, .net = &net};
    if (net_open(&net))
        tell(&stage);
    net_close(&net);
    bool only_html = wishes->html != NULL && strcmp(wishes->html, "-") == 0;
    bool done = !trouble(&stage) && (only_html || print_text(&page.text)) &&
                (wishes->html == NULL || write_html(wishes->html, &page.html));
    page_clear(&page);
    if (done && stage.surprise) {
        report(NULL, "an attack ended otherwise than it should", "please report this as a bug");
        done = false;
    }
    return done ? 0 : EXIT_REXEC;
}

/* What this lesson has nothing for is not left out in silence. */
static bool asks_for_more(const struct options *o)
{
    bool parameters = o->lesson.count != 0 || o->lesson.size != 0 || o->lesson.delay_ms != 0 ||
                      o->lesson.buffer != 0 || o->lesson.send_buffer != 0;
    if (o->svg == NULL && !o->json && o->columns == 0 && !parameters)
        return false;
    report(NULL,
           "the lesson of the handshake is text and a page: of the options it takes --html "
           "and --lang",
           "leave out the others");
    return true;
}

int lesson_handshake(const struct options *o)
{
    if (asks_for_more(o))
        return EXIT_REXEC;
    struct wishes wishes = {.chinese = locale_is_chinese(), .html = o->html};
    if (o->language != NULL)
        wishes.chinese = o->language[0] == 'z';
    return teach(&wishes);
}
