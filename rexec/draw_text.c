/* A picture on a terminal: boxes of line-drawing characters. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/draw.h"
#include "rexec/draw_layout.h"
#include "rexec/draw_print.h"
#include "rexec/draw_width.h"

/* ---- a canvas --------------------------------------------------------------------------- */

/* From the middle of a cell, lines may go in four directions. */
enum { UP = 1, DOWN = 2, LEFT = 4, RIGHT = 8 };

/* Lines of cells: what goes through each, or the text that begins in it. */
struct cell {
    unsigned char lines;
    bool covered;     /* by text that began before */
    const char *text; /* begins here; allocated */
    char *owned;
};

struct canvas {
    struct cell *cells;
    size_t width, height;
};

static struct cell *at(const struct canvas *c, size_t x, size_t y)
{
    return &c->cells[y * c->width + x];
}

static const char *line_character(unsigned lines, bool ascii)
{
    static const char *const drawn[] = {" ", "│", "│", "│", "─", "┘", "┐", "┤",
                                        "─", "└", "┌", "├", "─", "┴", "┬", "┼"};
    static const char plain[] = " |||-++"
                                "+-+++-+++";
    static const char *const one[] = {" ", "|", "-", "+"};
    if (!ascii)
        return drawn[lines];
    return one[plain[lines] == ' ' ? 0 : plain[lines] == '|' ? 1 : plain[lines] == '-' ? 2 : 3];
}

/* Writes a text into cells [x, x + columns), if nothing else stands there. */
static bool write_text(const struct canvas *c, size_t x, size_t y, const char *text, size_t columns)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return false;
    at(c, x, y)->text = at(c, x, y)->owned = copy;
    for (size_t i = 1; i < columns; i++)
        at(c, x + i, y)->covered = true;
    return true;
}

static void outline(const struct canvas *c, const struct draw_part *part, size_t y)
{
    for (size_t x = part->from; x <= part->to; x++) {
        unsigned lines = (x > part->from ? LEFT : 0U) | (x < part->to ? RIGHT : 0U);
        at(c, x, y)->lines |= (unsigned char)lines;
        at(c, x, y + 2)->lines |= (unsigned char)lines;
    }
    for (unsigned side = 0; side < 2; side++) {
        size_t x = side == 0 ? part->from : part->to;
        if (side == 0 ? !part->begins : !part->ends)
            continue;
        at(c, x, y)->lines |= DOWN;
        at(c, x, y + 1)->lines |= UP | DOWN;
        at(c, x, y + 2)->lines |= UP;
    }
}

/* ---- a band ----------------------------------------------------------------------------- */

struct page {
    const struct draw_panel *panel;
    const struct draw_layout *layout;
    const struct draw_style *style;
    struct buffer *out;
    size_t margin; /* columns of the rows' names */
};

static bool draw_part_of(const struct page *page, const struct canvas *c, size_t band, size_t box)
{
    struct draw_part part;
    if (!draw_part(page->layout, band, box, &part))
        return true;
    const struct draw_box *b = &page->panel->boxes[box];
    size_t y = 2 * b->row, room = part.to - part.from - 1;
    outline(c, &part, y);
    char label[DRAW_LABEL_MAX];
    draw_fit(b->label, room, page->style->ascii, label);
    size_t width = draw_width(label);
    if (width == 0)
        return true;
    return write_text(c, part.from + 1 + (room - width) / 2, y + 1, label, width);
}

static bool print_cells(const struct page *page, const struct canvas *c, size_t y)
{
    size_t end = c->width;
    while (end > 0 && at(c, end - 1, y)->lines == 0 && at(c, end - 1, y)->text == NULL &&
           !at(c, end - 1, y)->covered)
        end--;
    for (size_t x = 0; x < end; x++) {
        const struct cell *cell = at(c, x, y);
        if (cell->covered)
            continue;
        const char *text = cell->text;
        if (text == NULL)
            text = line_character(cell->lines, page->style->ascii);
        if (!draw_print(page->out, "%s", text))
            return false;
    }
    return draw_print(page->out, "\n");
}

/* The bytes' numbers below the boxes, where there is room for them. */
static bool print_axis(const struct page *page, size_t band)
{
    const struct draw_span *b = &page->layout->bands[band];
    size_t begin = page->layout->stops[b->first].cell, column = 0;
    bool done = draw_print(page->out, "%*s", (int)page->margin, "");
    for (size_t i = b->first; i <= b->last && done; i++) {
        const struct draw_stop *stop = &page->layout->stops[i];
        size_t x = stop->cell - begin;
        char number[24];
        int n = snprintf(number, sizeof number, "%llu", (unsigned long long)stop->at);
        size_t room = page->style->width - page->margin;
        if (n > 0 && x + (size_t)n > room)
            x = room - (size_t)n; /* the last one ends where the page does */
        if (stop->sub > 0 || n <= 0 || x < column)
            continue;
        done = draw_print(page->out, "%*s%s", (int)(x - column), "", number);
        column = x + (size_t)n + 1;
        done = done && draw_print(page->out, " ");
    }
    while (page->out->n > 0 && page->out->bytes[page->out->n - 1] == ' ')
        page->out->n--;
    return done && draw_print(page->out, "\n");
}

static bool draw_band(const struct page *page, size_t band)
{
    const struct draw_span *b = &page->layout->bands[band];
    const struct draw_stop *stops = page->layout->stops;
    struct canvas c = {
        .width = stops[b->last].cell - stops[b->first].cell + 1,
        .height = 2 * page->panel->row_count + 1,
    };
    c.cells = calloc(c.width * c.height, sizeof *c.cells);
    bool done = c.cells != NULL;
    for (size_t i = 0; i < page->panel->box_count && done; i++)
        done = draw_part_of(page, &c, band, i);
    for (size_t y = 0; y < c.height && done; y++) {
        const char *name = y % 2 == 1 ? page->panel->rows[y / 2] : "";
        done = draw_print(page->out, "%s%*s", name, (int)(page->margin - draw_width(name)), "") &&
               print_cells(page, &c, y);
    }
    for (size_t i = 0; c.cells != NULL && i < c.width * c.height; i++)
        free(c.cells[i].owned);
    free(c.cells);
    return done && print_axis(page, band);
}

static bool draw_boxes(struct page *page)
{
    struct draw_layout layout;
    for (size_t i = 0; i < page->panel->row_count; i++) {
        size_t width = draw_width(page->panel->rows[i]) + 1;
        page->margin = width > page->margin ? width : page->margin;
    }
    size_t room = page->style->width > page->margin + 10 ? page->style->width - page->margin : 10;
    bool done = draw_lay_out(page->panel, room - 1, &layout);
    page->layout = &layout;
    for (size_t i = 0; i < layout.band_count && done; i++)
        done = draw_band(page, i);
    page->layout = NULL;
    draw_layout_clear(&layout);
    return done;
}

/* ---- words ------------------------------------------------------------------------------ */

static const char *mark(const struct draw_style *style, enum draw_mark mark)
{
    if (mark == DRAW_PLAIN)
        return "";
    if (style->ascii)
        return mark == DRAW_RIGHT ? "[ok] " : "[!!] ";
    if (!style->colour)
        return mark == DRAW_RIGHT ? "✓ " : "✗ ";
    return mark == DRAW_RIGHT ? "\033[32m✓\033[0m " : "\033[31m✗\033[0m ";
}

static size_t mark_width(const struct draw_style *style, enum draw_mark mark)
{
    return mark == DRAW_PLAIN ? 0 : style->ascii ? 5 : 2;
}

static bool print_line(const struct draw_style *style, const struct draw_line *line,
                       struct buffer *out)
{
    size_t indent = mark_width(style, line->mark);
    const char *text = line->text;
    bool done = draw_print(out, "%s", mark(style, line->mark));
    for (size_t n; done && (n = draw_line_length(text, style->width - indent)) > 0;) {
        done = draw_print(out, "%.*s\n", (int)n, text);
        text += n;
        text += *text == ' ';
        if (*text != '\0')
            done = done && draw_print(out, "%*s", (int)indent, "");
    }
    return done;
}

static bool print_lines(const struct page *page, bool before)
{
    bool done = true;
    for (size_t i = 0; i < page->panel->line_count && done; i++) {
        if (page->panel->lines[i].before == before)
            done = print_line(page->style, &page->panel->lines[i], page->out);
    }
    return done;
}

static bool print_answers(const struct page *page)
{
    const struct draw_panel *panel = page->panel;
    if (panel->sent_head == NULL)
        return true;
    size_t most = page->style->width / 2, width = draw_width(panel->sent_head);
    for (size_t i = 0; i < panel->answer_count; i++) {
        size_t w = draw_width(panel->answers[i].sent);
        width = w > width ? w : width;
    }
    width = width < most ? width : most;
    size_t other = page->style->width > width + 9 ? page->style->width - width - 9 : 8;
    size_t blank = mark_width(page->style, DRAW_RIGHT);
    const char *head = panel->got_head;
    size_t n = draw_line_length(head, other);
    bool done = draw_print(page->out, "  %*s%s%*s  %.*s\n", (int)blank, "", panel->sent_head,
                           (int)(width - draw_width(panel->sent_head)), "", (int)n, head);
    for (head += n; done && *head != '\0'; head += n) {
        head += *head == ' ';
        n = draw_line_length(head, other);
        done = draw_print(page->out, "%*s%.*s\n", (int)(blank + width + 4), "", (int)n, head);
    }
    for (size_t i = 0; i < panel->answer_count && done; i++) {
        const struct draw_answer *a = &panel->answers[i];
        char sent[DRAW_LABEL_MAX], got[DRAW_LABEL_MAX];
        draw_fit(a->sent, width, page->style->ascii, sent);
        draw_fit(a->got, other, page->style->ascii, got);
        done = draw_print(page->out, "  %s%s%*s  %s\n",
                          mark(page->style, a->right ? DRAW_RIGHT : DRAW_WRONG), sent,
                          (int)(width - draw_width(sent)), "", got);
    }
    return done;
}

bool draw_text(const struct draw_picture *p, const struct draw_style *style, struct buffer *out)
{
    bool done = p->title == NULL || draw_print(out, "%s\n", p->title);
    struct draw_line subtitle = {.text = p->subtitle};
    if (done && p->subtitle != NULL)
        done = print_line(style, &subtitle, out);
    for (size_t i = 0; i < p->panel_count && done; i++) {
        struct page page = {.panel = &p->panels[i], .style = style, .out = out};
        struct draw_line title = {.text = p->panels[i].title};
        done = draw_print(out, style->colour ? "\n\033[1m" : "\n") &&
               print_line(style, &title, out) && draw_print(out, style->colour ? "\033[0m" : "") &&
               print_lines(&page, true) && draw_boxes(&page) && print_answers(&page) &&
               print_lines(&page, false);
    }
    return done;
}
