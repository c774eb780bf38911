/* A picture as one SVG file. */
#include <stdio.h>

#include "rexec/draw.h"
#include "rexec/draw_print.h"
#include "rexec/draw_vector.h"
#include "rexec/draw_width.h"

enum { COLUMNS = 120, MARGIN = 24 };

/* Where it goes, and how far down the page it is. With out NULL it is measured. */
struct sheet {
    struct buffer *out;
    size_t y;
};

static bool line(struct sheet *s, const char *class, size_t x, const char *text, size_t n)
{
    char copy[1024];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)n, text);
    s->y += VECTOR_LINE;
    return s->out == NULL ||
           (draw_print(s->out, "<text class='%s' x='%zu' y='%zu'>", class, x, s->y - 5) &&
            draw_print_xml(s->out, copy) && draw_print(s->out, "</text>\n"));
}

/* The text in as many lines as it needs. */
static bool paragraph(struct sheet *s, const char *class, const char *text, enum draw_mark mark)
{
    size_t indent = mark == DRAW_PLAIN ? 0 : 2 * VECTOR_CELL;
    if (mark != DRAW_PLAIN) {
        if (!line(s, mark == DRAW_RIGHT ? "p good" : "p bad", 0, mark == DRAW_RIGHT ? "✓" : "✗", 3))
            return false;
        s->y -= VECTOR_LINE;
    }
    bool done = true;
    for (size_t n; done && (n = draw_line_length(text, COLUMNS)) > 0;) {
        done = line(s, class, indent, text, n);
        text += n;
        text += *text == ' ';
    }
    return done;
}

static bool lines(struct sheet *s, const struct draw_panel *panel, bool before)
{
    bool done = true;
    for (size_t i = 0; i < panel->line_count && done; i++) {
        const struct draw_line *l = &panel->lines[i];
        if (l->before == before)
            done = paragraph(s, "p", l->text, l->mark);
    }
    return done;
}

/* What was sent in one column, what was made of it in the other. */
static bool pair(struct sheet *s, const char *class, const char *left, const char *right,
                 enum draw_mark mark)
{
    char text[DRAW_LABEL_MAX];
    bool done = true;
    if (mark != DRAW_PLAIN)
        done = line(s, mark == DRAW_RIGHT ? "p good" : "p bad", 2 * VECTOR_CELL,
                    mark == DRAW_RIGHT ? "✓" : "✗", 3);
    s->y -= mark != DRAW_PLAIN ? VECTOR_LINE : 0;
    draw_fit(left, 44, false, text);
    done = done && line(s, class, 4 * VECTOR_CELL, text, sizeof text);
    s->y -= VECTOR_LINE;
    draw_fit(right, COLUMNS - 54, false, text);
    return done && line(s, class, 50 * VECTOR_CELL, text, sizeof text);
}

static bool table(struct sheet *s, const struct draw_panel *panel)
{
    if (panel->sent_head == NULL)
        return true;
    bool done = pair(s, "n", panel->sent_head, panel->got_head, DRAW_PLAIN);
    for (size_t i = 0; i < panel->answer_count && done; i++) {
        const struct draw_answer *a = &panel->answers[i];
        done = pair(s, "m", a->sent, a->got, a->right ? DRAW_RIGHT : DRAW_WRONG);
    }
    return done;
}

static bool draw(const struct draw_picture *p, struct sheet *s)
{
    s->y = VECTOR_LINE;
    bool done =
        paragraph(s, "t", p->title, DRAW_PLAIN) && paragraph(s, "n", p->subtitle, DRAW_PLAIN);
    for (size_t i = 0; i < p->panel_count && done; i++) {
        const struct draw_panel *panel = &p->panels[i];
        s->y += VECTOR_LINE;
        done = paragraph(s, "h", panel->title, DRAW_PLAIN) && lines(s, panel, true);
        s->y += 6;
        done = done && vector_boxes(panel, COLUMNS, &s->y, s->out) && table(s, panel) &&
               lines(s, panel, false);
    }
    return done;
}

bool draw_svg(const struct draw_picture *p, struct buffer *out)
{
    struct sheet measured = {.out = NULL};
    if (!draw(p, &measured))
        return false;
    size_t width = COLUMNS * VECTOR_CELL + 2 * MARGIN, height = measured.y + 2 * MARGIN;
    struct sheet sheet = {.out = out};
    return draw_print(out,
                      "<svg xmlns='http://www.w3.org/2000/svg' xml:lang='%s' width='%zu' "
                      "height='%zu' viewBox='0 0 %zu %zu' "
                      "style='max-width:100%%;height:auto'>\n<style>%s"
                      ".t{font:600 22px system-ui,sans-serif;fill:var(--ink)}"
                      ".h{font:600 16px system-ui,sans-serif;fill:var(--ink)}"
                      ".p{font:14px system-ui,'Noto Sans CJK SC',sans-serif;fill:var(--ink)}"
                      ".good{fill:var(--good)}.bad{fill:var(--bad)}</style>\n"
                      "<rect width='100%%' height='100%%' style='fill:var(--page)'/>\n"
                      "<g transform='translate(%d %d)'>\n",
                      p->language, width, height, width, height, vector_style, MARGIN, MARGIN) &&
           draw(p, &sheet) && draw_print(out, "</g>\n</svg>\n");
}
