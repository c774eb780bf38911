/* rexec/draw*.c: where boxes stand, how wide text is, what is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rexec/draw.h"
#include "rexec/draw_layout.h"
#include "rexec/draw_print.h"
#include "rexec/draw_width.h"

/* ---- width ------------------------------------------------------------------------------ */

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(draw_width(""), 0);
    assert_int_equal(draw_width("abc"), 3);
    assert_int_equal(draw_width("你好"), 4);
    assert_int_equal(draw_width("粘包 (TCP)，"), 12);
    assert_int_equal(draw_width("e\xcc\x81"), 1); /* a combining accent */
    assert_int_equal(draw_width("…✓"), 2);
    assert_int_equal(draw_width("\xff"), 1); /* not UTF-8: a byte is a column */
    assert_int_equal(draw_point_width(0x1f600), 2);
}

static void test_fit(void **state)
{
    static const struct {
        const char *text;
        size_t columns;
        bool ascii;
        const char *expected;
    } rows[] = {
        {"abcdef", 6, false, "abcdef"}, {"abcdef", 5, false, "abcd…"}, {"abcdef", 5, true, "ab..."},
        {"你好吗", 6, false, "你好吗"}, {"你好吗", 5, false, "你好…"}, {"你好吗", 4, false, "你…"},
        {"你好吗", 2, false, "…"},      {"abc", 0, false, ""},         {"abcdef", 2, true, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[DRAW_LABEL_MAX];
        draw_fit(rows[i].text, rows[i].columns, rows[i].ascii, out);
        if (rows[i].ascii && rows[i].columns < 3)
            assert_true(draw_width(out) <= rows[i].columns);
        else
            assert_string_equal(out, rows[i].expected);
    }
    char large[3 * DRAW_LABEL_MAX], out[DRAW_LABEL_MAX];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    draw_fit(large, sizeof large, false, out);
    assert_true(strlen(out) < DRAW_LABEL_MAX);
    assert_string_equal(out + strlen(out) - 3, "…");
}

/* The lines of a text, each no wider than it may be, put together again. */
static void check_lines(const char *text, size_t columns)
{
    char line[512];
    struct buffer all = {0};
    const char *whole = text;
    size_t n;
    while ((n = draw_line_length(text, columns)) > 0) {
        memcpy(line, text, n);
        line[n] = '\0';
        assert_true(draw_width(line) <= columns || n <= 4);
        text += n;
        bool space = *text == ' '; /* it stays behind, at the end of the line */
        assert_true(draw_print(&all, "%s%s", line, space ? " " : ""));
        text += space;
    }
    assert_int_equal(all.n, strlen(whole));
    assert_memory_equal(all.bytes, whole, all.n);
    buffer_clear(&all);
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t columns = 2; columns < 40; columns++) {
        check_lines("one two three, fourfivesixseveneight nine", columns);
        check_lines("每条消息调用一次 send()，服务器 60 毫秒后才读。", columns);
    }
    assert_int_equal(draw_line_length("one two", 5), 3);
    assert_int_equal(draw_line_length("你好，吗", 4),
                     strlen("你")); /* no line begins with a comma */
    assert_int_equal(draw_line_length("", 5), 0);
}

/* ---- layout ----------------------------------------------------------------------------- */

/* The same numbers in each run. */
static unsigned random_below(unsigned n)
{
    static uint32_t seed = 7;
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % n;
}

/* A row of boxes that follow each other up to `total`, some of them empty. */
static void random_row(struct draw_picture *p, uint64_t total, bool empties)
{
    size_t row = draw_row(p, "row");
    for (uint64_t at = 0; at < total;) {
        uint64_t n = random_below((unsigned)(total / 3 + 1)) + (empties ? 0 : 1);
        n = n < total - at ? n : total - at;
        draw_box(p, row, DRAW_SEND, at, at + n, "%.*s", (int)random_below(12), "abcdefghijkl");
        at += n;
    }
}

/* The parts of a box follow each other, band by band, and its label has room in one, if bands are
 * wide enough for it. */
static void check_box(const struct draw_panel *panel, const struct draw_layout *l, size_t box)
{
    const struct draw_box *b = &panel->boxes[box];
    const struct draw_span *s = &l->spans[box];
    assert_int_equal(l->stops[s->first].at, b->from);
    assert_int_equal(l->stops[s->last].at, b->to);
    assert_true(s->first < s->last);
    assert_true(l->stops[s->last].cell - l->stops[s->first].cell > draw_width(b->label));
    struct draw_part part;
    size_t parts = 0, begins = 0, ends = 0, cells = 0;
    for (size_t band = 0; band < l->band_count; band++) {
        if (!draw_part(l, band, box, &part))
            continue;
        parts++;
        begins += part.begins;
        ends += part.ends;
        assert_true(part.from < part.to);
        cells += part.to - part.from;
    }
    assert_true(parts > 0);
    assert_int_equal(begins, 1);
    assert_int_equal(ends, 1);
    assert_int_equal(cells, l->stops[s->last].cell - l->stops[s->first].cell);
}

static void check_layout(const struct draw_panel *panel, size_t width)
{
    struct draw_layout l;
    assert_true(draw_lay_out(panel, width, &l));
    for (size_t i = 1; i < l.stop_count; i++) {
        const struct draw_stop *a = &l.stops[i - 1], *b = &l.stops[i];
        assert_true(a->at < b->at || (a->at == b->at && a->sub < b->sub));
        assert_true(a->cell + 2 <= b->cell);
    }
    assert_int_equal(l.bands[0].first, 0);
    assert_int_equal(l.bands[l.band_count - 1].last, l.stop_count - 1);
    for (size_t i = 0; i < l.band_count; i++) {
        const struct draw_span *b = &l.bands[i];
        assert_true(l.stops[b->last].cell - l.stops[b->first].cell <= width);
        if (i > 0)
            assert_int_equal(b->first, l.bands[i - 1].last);
    }
    for (size_t i = 0; i < panel->box_count; i++)
        check_box(panel, &l, i);
    draw_layout_clear(&l);
}

static void test_layout_of_anything(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct draw_picture p = {.language = "en"};
        uint64_t total = random_below(5000) + 1;
        draw_panel(&p, "anything");
        random_row(&p, total, false);
        random_row(&p, total, true);
        random_row(&p, total, round % 2 == 0);
        assert_false(p.failed);
        check_layout(&p.panels[0], 16 + random_below(100));
        draw_clear(&p);
    }
}

/* An empty box has room of its own, and rows without one have a gap there. */
static void test_layout_of_empty_boxes(void **state)
{
    struct draw_picture p = {.language = "en"};
    struct draw_layout l;
    (void)state;
    draw_panel(&p, "");
    size_t sends = draw_row(&p, "a"), receives = draw_row(&p, "b");
    draw_box(&p, sends, DRAW_SEND, 0, 3, "x");
    draw_box(&p, sends, DRAW_SEND, 3, 3, "-");
    draw_box(&p, sends, DRAW_SEND, 3, 3, "-");
    draw_box(&p, sends, DRAW_SEND, 3, 5, "y");
    draw_box(&p, receives, DRAW_RECEIVE, 0, 3, "x");
    draw_box(&p, receives, DRAW_RECEIVE, 3, 5, "y");
    assert_true(draw_lay_out(&p.panels[0], 40, &l));
    assert_int_equal(l.stop_count, 5);
    assert_int_equal(l.spans[0].last, l.spans[1].first);
    assert_int_equal(l.spans[1].last, l.spans[2].first);
    assert_int_equal(l.spans[2].last, l.spans[3].first);
    assert_int_equal(l.spans[4].last, l.spans[1].first);
    assert_int_equal(l.spans[5].first, l.spans[2].last);
    draw_layout_clear(&l);
    draw_clear(&p);
}

/* ---- drawing ---------------------------------------------------------------------------- */

static void make_small(struct draw_picture *p)
{
    draw_title(p, "T", "S");
    draw_panel(p, "<P>");
    draw_say(p, true, DRAW_PLAIN, "before & %d", 1);
    size_t a = draw_row(p, "a"), b = draw_row(p, "bb");
    draw_box(p, a, DRAW_SEND, 0, 2, "one");
    draw_box(p, a, DRAW_SEND, 2, 5, "three");
    draw_box(p, b, DRAW_RECEIVE, 0, 5, "all");
    draw_table(p, "sent", "got");
    draw_answer(p, "x", "y\"", false);
    draw_say(p, false, DRAW_RIGHT, "after");
}

static void test_text(void **state)
{
    static const char expected[] = "T\nS\n\n<P>\nbefore & 1\n"
                                   "   ┌────────────┬───────────────────┐\n"
                                   "a  │    one     │       three       │\n"
                                   "   ├────────────┴───────────────────┤\n"
                                   "bb │              all               │\n"
                                   "   └────────────────────────────────┘\n"
                                   "   0            2                   5\n"
                                   "    sent  got\n"
                                   "  ✗ x     y\"\n"
                                   "✓ after\n";
    struct draw_picture p = {.language = "en"};
    struct draw_style style = {.width = 50};
    struct buffer out = {0};
    (void)state;
    make_small(&p);
    assert_true(draw_text(&p, &style, &out) && draw_print(&out, "%c", 0));
    assert_string_equal(out.bytes, expected);
    buffer_clear(&out);
    style.ascii = true;
    assert_true(draw_text(&p, &style, &out));
    for (size_t i = 0; i < out.n; i++)
        assert_true((unsigned char)out.bytes[i] < 0x80);
    buffer_clear(&out);
    draw_clear(&p);
}

/* What others say becomes no markup. */
static void test_markup(void **state)
{
    struct draw_picture p = {.language = "en"};
    struct buffer svg = {0}, html = {0};
    (void)state;
    make_small(&p);
    assert_true(draw_svg(&p, &svg) && draw_print(&svg, "%c", 0));
    assert_true(draw_html(&p, &html) && draw_print(&html, "%c", 0));
    assert_non_null(strstr(svg.bytes, "&lt;P&gt;"));
    assert_non_null(strstr(svg.bytes, "before &amp; 1"));
    assert_non_null(strstr(html.bytes, "<td class=\"wrong\">y&quot;</td>"));
    assert_null(strstr(html.bytes, "<P>"));
    buffer_clear(&svg);
    buffer_clear(&html);
    draw_clear(&p);
}

static void test_bytes(void **state)
{
    struct draw_picture p = {.language = "en"};
    char out[DRAW_LABEL_MAX];
    (void)state;
    draw_bytes(&p, "a\033[2J你", 8, 40, out);
    assert_string_equal(out, "a\\x1b[2J你");
    draw_bytes(&p, "\xe4\xbd", 2, 40, out);
    assert_string_equal(out, "\\xe4\\xbd");
    p.ascii = true;
    draw_bytes(&p, "a你", 4, 40, out);
    assert_string_equal(out, "a\\xe4\\xbd\\xa0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_layout_of_anything),
        cmocka_unit_test(test_layout_of_empty_boxes),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
