#include "rexec/draw_vector.h"

#include <stdio.h>

#include "rexec/draw_layout.h"
#include "rexec/draw_print.h"
#include "rexec/draw_width.h"

enum { BOX_HEIGHT = 26, ROW_HEIGHT = 30, AXIS_HEIGHT = 20, BAND_GAP = 12 };

const char vector_style[] =
    ":root{--page:#fff;--ink:#1b2430;--soft:#5b6775;--line:#c9d1d9;--good:#12703a;--bad:#b3261e;"
    "--c0:#e7e9ee;--c1:#cfe3fb;--c2:#fde3bd;--c3:#d9cff5;--c4:#cdeccf;--c5:#f6cfcb}"
    "@media(prefers-color-scheme:dark){:root{--page:#12161c;--ink:#e6e9ee;--soft:#9aa6b4;"
    "--line:#3a4450;--good:#6fcf8e;--bad:#ff8a80;--c0:#353c47;--c1:#1e4976;--c2:#6b4a12;"
    "--c3:#4a3b7c;--c4:#1f5a2c;--c5:#6e2a25}}"
    ".m{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'Noto Sans Mono CJK SC',monospace;"
    "fill:var(--ink)}"
    ".n{font:12px system-ui,'Noto Sans CJK SC',sans-serif;fill:var(--soft)}"
    ".a{font:10px ui-monospace,Menlo,Consolas,monospace;fill:var(--soft)}"
    ".b{stroke:var(--soft);stroke-width:1}"
    ".k0{fill:var(--c0)}.k1{fill:var(--c1)}.k2{fill:var(--c2)}.k3{fill:var(--c3)}"
    ".k4{fill:var(--c4)}.k5{fill:var(--c5);stroke-dasharray:4 3}";

struct place {
    const struct draw_panel *panel;
    const struct draw_layout *layout;
    size_t left, y; /* of the band */
    struct buffer *out;
};

/* A box that goes on in another band is open on that side: its edge is not drawn. */
static bool box(const struct place *p, size_t band, size_t i)
{
    struct draw_part part;
    if (!draw_part(p->layout, band, i, &part))
        return true;
    const struct draw_box *b = &p->panel->boxes[i];
    size_t x = p->left + part.from * VECTOR_CELL, y = p->y + b->row * ROW_HEIGHT;
    size_t width = (part.to - part.from) * VECTOR_CELL;
    bool done;
    if (part.begins && part.ends) {
        done = draw_print(
            p->out, "<rect class='b k%d' x='%zu.5' y='%zu.5' width='%zu' height='%d' rx='3'/>\n",
            (int)b->kind, x + 1, y, width - 2, BOX_HEIGHT);
    } else {
        done = draw_print(p->out,
                          "<path class='k%d' d='M%zu.5 %zu.5h%zuv%dh-%zuz'/>"
                          "<path class='b' fill='none' d='M%zu.5 %zu.5h%zu%s%dh-%zu%s'/>\n",
                          (int)b->kind, x + 1, y, width - 2, BOX_HEIGHT, width - 2, x + 1, y,
                          width - 2, part.ends ? "v" : "m0 ", BOX_HEIGHT, width - 2,
                          part.begins ? "z" : "");
    }
    char label[DRAW_LABEL_MAX];
    draw_fit(b->label, part.to - part.from - 1, false, label);
    return done &&
           draw_print(p->out, "<text class='m' text-anchor='middle' x='%zu' y='%zu'>",
                      x + width / 2, y + 18) &&
           draw_print_xml(p->out, label) && draw_print(p->out, "</text>\n");
}

static bool axis(const struct place *p, size_t band)
{
    const struct draw_span *b = &p->layout->bands[band];
    const struct draw_stop *stops = p->layout->stops;
    size_t begin = stops[b->first].cell, free_from = 0;
    size_t y = p->y + p->panel->row_count * ROW_HEIGHT;
    bool done = true;
    for (size_t i = b->first; i <= b->last && done; i++) {
        size_t x = p->left + (stops[i].cell - begin) * VECTOR_CELL;
        char number[24];
        int n = snprintf(number, sizeof number, "%llu", (unsigned long long)stops[i].at);
        size_t half = (size_t)n * 3 + 4;
        if (stops[i].sub > 0 || x < free_from + half)
            continue;
        done =
            draw_print(p->out, "<text class='a' text-anchor='middle' x='%zu' y='%zu'>%s</text>\n",
                       x, y + 9, number);
        free_from = x + half;
    }
    return done;
}

static bool draw_band(const struct place *p, size_t band)
{
    bool done = true;
    for (size_t i = 0; i < p->panel->row_count && done; i++) {
        done = draw_print(p->out, "<text class='n' x='0' y='%zu'>", p->y + i * ROW_HEIGHT + 17) &&
               draw_print_xml(p->out, p->panel->rows[i]) && draw_print(p->out, "</text>\n");
    }
    for (size_t i = 0; i < p->panel->box_count && done; i++)
        done = box(p, band, i);
    return done && axis(p, band);
}

bool vector_boxes(const struct draw_panel *panel, size_t width, size_t *y, struct buffer *out)
{
    struct draw_layout layout;
    size_t margin = 0;
    for (size_t i = 0; i < panel->row_count; i++) {
        size_t w = draw_width(panel->rows[i]);
        margin = w > margin ? w : margin;
    }
    margin += 1;
    struct place p = {.panel = panel, .layout = &layout, .out = out, .y = *y};
    p.left = margin * VECTOR_CELL;
    bool done = draw_lay_out(panel, width > margin + 12 ? width - margin - 3 : 10, &layout);
    for (size_t i = 0; i < layout.band_count && done; i++) {
        if (out != NULL)
            done = draw_band(&p, i);
        p.y += panel->row_count * ROW_HEIGHT + AXIS_HEIGHT + BAND_GAP;
    }
    *y = p.y;
    draw_layout_clear(&layout);
    return done;
}
