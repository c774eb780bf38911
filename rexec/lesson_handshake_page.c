#include "rexec/lesson_handshake_page.h"

#include <stdlib.h>
#include <string.h>

#include "rexec/lesson_handshake_render.h"

enum {
    COLUMNS = 78,
    HEX_LINE = 16, /* bytes of a field in one line */
    NAME_AT = 6,
    HEX_AT = 20,
    REMARK_AT = HEX_AT + 2 * HEX_LINE + 2,
};

static const unsigned lane_at[3] = {4, 38, 72};

static const char style[] =
    ":root{--ink:#1d2329;--dim:#5b6672;--paper:#fbfbf9;--card:#fff;--rule:#d9dde1;--blue:#1f5fa8;"
    "--red:#b3261e;--redbg:#fdecea;--green:#1b6e3c;--greenbg:#e8f5ec}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e7ea;--dim:#9aa5b1;--paper:#15191d;"
    "--card:#1d2329;--rule:#38414a;--blue:#7fb3f0;--red:#ff9d94;--redbg:#3a1f1d;--green:#86d3a3;"
    "--greenbg:#1b3325}}"
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}"
    "body{margin:0;background:var(--paper);color:var(--ink);"
    "font:16px/1.6 system-ui,\"Noto Sans\",\"Noto Sans CJK SC\",\"PingFang SC\","
    "\"Microsoft YaHei\",sans-serif}"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}"
    "h1{font-size:1.8rem;line-height:1.25;margin:.5rem 0}"
    "h2{font-size:1.35rem;line-height:1.3;margin:3.2rem 0 .8rem;padding-bottom:.3rem;"
    "border-bottom:2px solid var(--ink)}"
    "h3{font-size:1.1rem;line-height:1.35;margin:2.2rem 0 .4rem}"
    ".below{color:var(--dim)}p{margin:.6rem 0;max-width:46rem}"
    "code,.hex{font-family:ui-monospace,\"DejaVu Sans Mono\",Menlo,Consolas,monospace;"
    "font-size:.84em}"
    ".box{background:var(--card);border:1px solid var(--rule);border-radius:6px;margin:.7rem 0;"
    "padding:.5rem .75rem}"
    ".d01{margin-right:20%}.d12{margin-left:20%}"
    ".who{display:flex;align-items:center;gap:.5rem;font-size:.9rem;font-weight:600}"
    ".line{flex:1;display:flex;align-items:center;gap:.4rem;color:var(--blue);font-weight:400;"
    "text-align:center}"
    ".line:before,.line:after{content:\"\";flex:1;min-width:.4rem;border-top:2px solid}"
    ".line:after{order:1}.line i{font-style:normal;font-size:.8rem}"
    ".right i{order:2;margin-left:-.45rem}.left i{order:-1;margin-right:-.45rem}"
    ".works{background:none;border-style:dashed}.works .who{color:var(--dim)}"
    ".f{display:grid;grid-template-columns:7.5rem 1fr 15rem;gap:0 .9rem;padding:.25rem 0;"
    "border-top:1px solid var(--rule);font-size:.9rem;line-height:1.45}"
    ".who+.f{margin-top:.4rem}.f .hex{overflow-wrap:anywhere;white-space:pre-wrap;font-size:.8rem;padding-top:.1rem}"
    ".f .why{color:var(--dim)}"
    ".end{border-left:4px solid;border-radius:4px;padding:.5rem .75rem;margin:.8rem 0;"
    "max-width:46rem}.end b{margin-right:.4rem}"
    ".end.fine{border-color:var(--rule)}"
    ".end.in{border-color:var(--red);background:var(--redbg)}.end.in b{color:var(--red)}"
    ".end.stop{border-color:var(--green);background:var(--greenbg)}.end.stop b{color:var(--green)}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem;line-height:1.45;margin:1rem 0}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;"
    "border-bottom:1px solid var(--rule)}td:nth-child(-n+3){white-space:nowrap}"
    "td:nth-child(3){color:var(--green)}"
    "@media(max-width:640px){.d01{margin-right:8%}.d12{margin-left:8%}"
    ".f{grid-template-columns:1fr}.f .name{font-weight:600}"
    "thead{display:none}tr{display:block;border-bottom:1px solid var(--rule);padding:.4rem 0}"
    "td{display:block;border:0;padding:0}td:nth-child(-n+3){white-space:normal;"
    "display:inline-block;margin-right:.7rem}}";

/* ---- pieces ----------------------------------------------------------------------------- */

static void put(struct page *page, struct buffer *to, const char *text)
{
    if (!buffer_add(to, text, strlen(text)))
        page->failed = true;
}

static void put_n(struct page *page, struct buffer *to, const char *text, size_t n)
{
    if (!buffer_add(to, text, n))
        page->failed = true;
}

static void repeat(struct page *page, const char *piece, size_t n)
{
    while (n-- > 0)
        put(page, &page->text, piece);
}

/* Spaces from column `from` to column `to`. */
static void indent(struct page *page, size_t from, size_t to)
{
    if (to > from)
        repeat(page, " ", to - from);
}

static void ink(struct page *page, const char *sequence)
{
    if (page->colour)
        put(page, &page->text, sequence);
}

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define GREEN "\033[1;32m"
#define BLUE "\033[34m"
#define PLAIN "\033[0m"

/* To the HTML, with what stands in backticks as code. */
static void html_text(struct page *page, const char *text)
{
    bool code = false;
    for (const char *p = text; *p != '\0'; p++) {
        const char *entity = render_entity(*p);
        if (*p == '`') {
            put(page, &page->html, code ? "</code>" : "<code>");
            code = !code;
        } else if (entity != NULL) {
            put(page, &page->html, entity);
        } else {
            put_n(page, &page->html, p, 1);
        }
    }
}

static void html_element(struct page *page, const char *open, const char *text, const char *close)
{
    put(page, &page->html, open);
    html_text(page, text);
    put(page, &page->html, close);
}

/* To the text: lines that begin at a column. `at` is where the first one already is. */
static void wrap(struct page *page, const char *text, size_t at, size_t column)
{
    while (*text != '\0') {
        size_t skip;
        size_t n = render_line(text, COLUMNS - column, &skip);
        indent(page, at, column);
        put_n(page, &page->text, text, n);
        put(page, &page->text, "\n");
        text += n + skip;
        at = 0;
    }
}

/* ---- titles and words ------------------------------------------------------------------- */

void page_title(struct page *page, const char *title, const char *below)
{
    put(page, &page->html,
        page->chinese ? "<!doctype html>\n<html lang=\"zh\">"
                      : "<!doctype html>\n<html lang=\"en\">");
    put(page, &page->html,
        "<meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\">");
    html_element(page, "<title>", title, "</title>\n<style>");
    put(page, &page->html, style);
    html_element(page, "</style>\n<main>\n<h1>", title, "</h1>\n");
    html_element(page, "<p class=\"below\">", below, "</p>\n");
    ink(page, BOLD);
    wrap(page, title, 0, 0);
    ink(page, PLAIN);
    put(page, &page->text, "\n");
    wrap(page, below, 0, 0);
}

void page_part(struct page *page, const char *title)
{
    html_element(page, "<h2>", title, "</h2>\n");
    put(page, &page->text, "\n\n");
    ink(page, BOLD);
    wrap(page, title, 0, 0);
    repeat(page, "=", render_width(title, strlen(title)));
    ink(page, PLAIN);
    put(page, &page->text, "\n");
}

void page_scene(struct page *page, const char *title)
{
    html_element(page, "<h3>", title, "</h3>\n");
    put(page, &page->text, "\n");
    ink(page, BOLD);
    wrap(page, title, 0, 0);
    repeat(page, "-", render_width(title, strlen(title)));
    ink(page, PLAIN);
    put(page, &page->text, "\n");
}

void page_say(struct page *page, const char *text)
{
    html_element(page, "<p>", text, "</p>\n");
    put(page, &page->text, "\n");
    wrap(page, text, 0, 0);
}

/* ---- messages --------------------------------------------------------------------------- */

void page_lanes(struct page *page, const char *client, const char *mallory, const char *server)
{
    const char *const names[] = {client, mallory, server};
    size_t at = 0;
    page->ended = false;
    put(page, &page->text, "\n");
    for (size_t i = 0; i < 3; i++) {
        size_t width = render_width(names[i], strlen(names[i]));
        size_t begin = lane_at[i] >= width / 2 ? lane_at[i] - width / 2 : 0;
        if (begin + width > COLUMNS)
            begin = COLUMNS - width;
        page->lanes[i] = names[i];
        if (width == 0)
            continue;
        indent(page, at, begin);
        put(page, &page->text, names[i]);
        at = begin + width;
    }
    put(page, &page->text, "\n");
}

/* A line's part from one column up to, not including, another, with the lanes in it. */
static void lanes_between(struct page *page, size_t from, size_t to)
{
    for (size_t at = from; at < to; at++) {
        bool lane = false;
        for (size_t i = 0; i < 3; i++)
            lane = lane || (lane_at[i] == at && page->lanes[i][0] != '\0');
        put(page, &page->text, lane ? "|" : " ");
    }
}

static void text_arrow(struct page *page, enum lane from, enum lane to, const char *label)
{
    enum lane left = from < to ? from : to, right = from < to ? to : from;
    size_t begin = lane_at[left] + 1, end = lane_at[right];
    size_t room = end - begin, width = render_width(label, strlen(label)) + 2;
    size_t dashes = room > width + 2 ? room - width - 1 : 1; /* and the arrow's head */
    if (page->ended)
        put(page, &page->text, "\n");
    page->ended = false;
    lanes_between(page, 0, begin);
    ink(page, BLUE);
    put(page, &page->text, from < to ? "" : "<");
    repeat(page, "-", dashes / 2);
    put(page, &page->text, " ");
    put(page, &page->text, label);
    put(page, &page->text, " ");
    repeat(page, "-", dashes - dashes / 2);
    put(page, &page->text, from < to ? ">" : "");
    ink(page, PLAIN);
    lanes_between(page, end, lane_at[SERVER] + 1);
    put(page, &page->text, "\n");
}

static void text_field(struct page *page, const struct field *field, const char *bytes)
{
    const char *remark = field->remark != NULL ? field->remark : "";
    size_t name = strlen(field->name), left = strlen(bytes);
    indent(page, 0, NAME_AT);
    put(page, &page->text, field->name);
    size_t at = NAME_AT + render_width(field->name, name);
    do {
        size_t n = left < 2 * HEX_LINE ? left : 2 * HEX_LINE, skip;
        if (at >= HEX_AT)
            at = HEX_AT - 1;
        indent(page, at, HEX_AT);
        put_n(page, &page->text, bytes, n);
        bytes += n;
        left -= n;
        if (*remark != '\0') {
            indent(page, HEX_AT + n, REMARK_AT);
            size_t line = render_line(remark, COLUMNS - REMARK_AT, &skip);
            put_n(page, &page->text, remark, line);
            remark += line + skip;
        }
        put(page, &page->text, "\n");
        at = 0;
    } while (left > 0);
    wrap(page, remark, 0, REMARK_AT);
}

static void put_field(struct page *page, const struct field *field)
{
    char *bytes = malloc(2 * field->n + 3);
    if (bytes == NULL) {
        page->failed = true;
        return;
    }
    if (field->text && ((const char *)field->bytes)[0] == '{') { /* has quotes of its own */
        memcpy(bytes, field->bytes, field->n);
        bytes[field->n] = '\0';
    } else if (field->text) {
        bytes[0] = '"';
        memcpy(bytes + 1, field->bytes, field->n);
        memcpy(bytes + 1 + field->n, "\"", 2);
    } else {
        render_hex(field->bytes, field->n, bytes);
    }
    text_field(page, field, bytes);
    html_element(page, "<div class=\"f\"><span class=\"name\">", field->name, "</span>");
    html_element(page, "<span class=\"hex\">", bytes, "</span>");
    html_element(page, "<span class=\"why\">", field->remark != NULL ? field->remark : "",
                 "</span></div>\n");
    free(bytes);
}

void page_send(struct page *page, enum lane from, enum lane to, const char *label,
               const struct field *fields, size_t count)
{
    enum lane left = from < to ? from : to, right = from < to ? to : from;
    char open[] = "<div class=\"box d00\"><div class=\"who\"><span>";
    open[17] = (char)('0' + left);
    open[18] = (char)('0' + right);
    html_element(page, open, page->lanes[left], "</span>");
    put(page, &page->html,
        from < to ? "<span class=\"line right\"><i>\u25b6</i><span>"
                  : "<span class=\"line left\"><i>\u25c0</i><span>");
    html_element(page, "", label, "</span></span>");
    html_element(page, "<span>", page->lanes[right], "</span></div>\n");
    text_arrow(page, from, to, label);
    for (size_t i = 0; i < count; i++)
        put_field(page, &fields[i]);
    put(page, &page->html, "</div>\n");
}

void page_values(struct page *page, enum lane who, const char *label, const struct field *fields,
                 size_t count)
{
    html_element(page, "<div class=\"box works\"><div class=\"who\"><span>", page->lanes[who], " ");
    html_element(page, "", label, "</span></div>\n");
    indent(page, 0, 2);
    put(page, &page->text, "* ");
    put(page, &page->text, page->lanes[who]);
    put(page, &page->text, " ");
    wrap(page, label, 5 + render_width(page->lanes[who], strlen(page->lanes[who])), 4);
    for (size_t i = 0; i < count; i++)
        put_field(page, &fields[i]);
    put(page, &page->html, "</div>\n");
}

void page_outcome(struct page *page, enum outcome outcome, const char *error, const char *text)
{
    static const char *const classes[] = {"fine", "in", "stop"};
    static const char *const colours[] = {BOLD, RED, GREEN};
    const char *const words[] = {
        WORDS(page, "AS MEANT", "正常"),
        WORDS(page, "GOT IN", "攻击成功"),
        WORDS(page, "STOPPED", "攻击失败"),
    };
    put(page, &page->html, "<div class=\"end ");
    put(page, &page->html, classes[outcome]);
    html_element(page, "\"><b>", words[outcome], "</b>");
    put(page, &page->text, "\n  => ");
    ink(page, colours[outcome]);
    put(page, &page->text, words[outcome]);
    if (error != NULL) {
        html_element(page, "<b><code>", error, "</code></b>");
        put(page, &page->text, ": ");
        put(page, &page->text, error);
    }
    ink(page, PLAIN);
    put(page, &page->text, "\n");
    html_element(page, "<br>", text, "</div>\n");
    wrap(page, text, 0, 5);
    page->ended = true;
}

/* ---- tables ----------------------------------------------------------------------------- */

static void text_row(struct page *page, const char *const cells[4])
{
    static const size_t columns[] = {0, 16, 25, 41};
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        indent(page, at, columns[i]);
        put(page, &page->text, cells[i]);
        at = columns[i] + render_width(cells[i], strlen(cells[i]));
    }
    wrap(page, cells[3], at, columns[3]);
}

static void html_row(struct page *page, const char *const cells[4], const char *open,
                     const char *close)
{
    put(page, &page->html, "<tr>");
    for (size_t i = 0; i < 4; i++)
        html_element(page, open, cells[i], close);
    put(page, &page->html, "</tr>\n");
}

void page_table(struct page *page, const char *const head[4])
{
    put(page, &page->html, "<table><thead>");
    html_row(page, head, "<th>", "</th>");
    put(page, &page->html, "</thead><tbody>\n");
    put(page, &page->text, "\n");
    ink(page, BOLD);
    text_row(page, head);
    ink(page, PLAIN);
}

void page_row(struct page *page, const char *const cells[4])
{
    html_row(page, cells, "<td>", "</td>");
    text_row(page, cells);
}

void page_table_end(struct page *page)
{
    put(page, &page->html, "</tbody></table>\n");
}

/* ---- the end ---------------------------------------------------------------------------- */

void page_end(struct page *page)
{
    put(page, &page->html, "</main>\n</html>\n");
}

void page_clear(struct page *page)
{
    buffer_clear(&page->text);
    buffer_clear(&page->html);
}
