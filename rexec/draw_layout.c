#include "rexec/draw_layout.h"

#include <stdlib.h>

#include "rexec/draw_width.h"

/* ---- stops ------------------------------------------------------------------------------ */

static int compare_stops(const void *a, const void *b)
{
    const struct draw_stop *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->sub == y->sub ? 0 : x->sub < y->sub ? -1 : 1;
}

/* How many empty boxes stand in the box's row at its byte, before it. */
static size_t empties_before(const struct draw_panel *panel, size_t box)
{
    const struct draw_box *b = &panel->boxes[box];
    size_t n = 0;
    for (size_t i = box; i-- > 0;) {
        const struct draw_box *other = &panel->boxes[i];
        if (other->row == b->row && other->from == other->to && other->from == b->from)
            n++;
        if (other->row == b->row && other->to < b->from)
            break; /* boxes of a row are in order */
    }
    return n;
}

static size_t find(const struct draw_layout *l, uint64_t at, size_t sub)
{
    struct draw_stop key = {.at = at, .sub = sub};
    const struct draw_stop *s =
        bsearch(&key, l->stops, l->stop_count, sizeof *l->stops, compare_stops);
    return s != NULL ? (size_t)(s - l->stops) : 0;
}

/* The last stop at the same byte as stop i. */
static size_t last_at(const struct draw_layout *l, size_t i)
{
    while (i + 1 < l->stop_count && l->stops[i + 1].at == l->stops[i].at)
        i++;
    return i;
}

static void find_stops(const struct draw_panel *panel, struct draw_layout *l)
{
    size_t n = 0;
    for (size_t i = 0; i < panel->box_count; i++) {
        const struct draw_box *b = &panel->boxes[i];
        size_t sub = b->from == b->to ? empties_before(panel, i) : 0;
        l->stops[n++] = (struct draw_stop){.at = b->from, .sub = sub};
        l->stops[n++] = (struct draw_stop){.at = b->to, .sub = b->from == b->to ? sub + 1 : 0};
    }
    qsort(l->stops, n, sizeof *l->stops, compare_stops);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || compare_stops(&l->stops[l->stop_count - 1], &l->stops[i]) != 0)
            l->stops[l->stop_count++] = l->stops[i];
    }
    for (size_t i = 0; i < panel->box_count; i++) {
        const struct draw_box *b = &panel->boxes[i];
        struct draw_span *span = &l->spans[i];
        if (b->from == b->to) {
            span->first = find(l, b->from, empties_before(panel, i));
            span->last = span->first + 1;
        } else {
            span->first = last_at(l, find(l, b->from, 0));
            span->last = find(l, b->to, 0);
        }
    }
}

/* ---- cells ------------------------------------------------------------------------------ */

struct by_end {
    size_t last, box;
};

static int compare_ends(const void *a, const void *b)
{
    const struct by_end *x = a, *y = b;
    return x->last == y->last ? 0 : x->last < y->last ? -1 : 1;
}

/* Makes the stops of a span at least `need` cells apart, the room given to all between them. What
 * was far enough apart stays so, as no stop moves less than one before it. */
static void stretch(struct draw_layout *l, const struct draw_span *span, size_t need)
{
    size_t have = l->stops[span->last].cell - l->stops[span->first].cell;
    if (have >= need)
        return;
    size_t more = need - have, parts = span->last - span->first;
    for (size_t i = 1; i <= parts; i++)
        l->stops[span->first + i].cell += more * i / parts;
}

static bool place(const struct draw_panel *panel, size_t width, struct draw_layout *l)
{
    struct by_end *ends = calloc(panel->box_count + 1, sizeof *ends);
    if (ends == NULL)
        return false;
    for (size_t i = 0; i < panel->box_count; i++)
        ends[i] = (struct by_end){l->spans[i].last, i};
    qsort(ends, panel->box_count, sizeof *ends, compare_ends);
    uint64_t total = l->stops[l->stop_count - 1].at - l->stops[0].at;
    double half = (double)width / 2;
    size_t next = 0;
    for (size_t i = 0; i < l->stop_count; i++) {
        if (i > 0) {
            /* Half of a band goes by size, so that much looks like more than little. */
            uint64_t n = l->stops[i].at - l->stops[i - 1].at;
            size_t share = total > 0 ? (size_t)((double)n / (double)total * half) : 0;
            l->stops[i].cell = l->stops[i - 1].cell + (share > 2 ? share : 2);
        }
        for (; next < panel->box_count && ends[next].last == i; next++) {
            size_t need = draw_width(panel->boxes[ends[next].box].label) + 1;
            stretch(l, &l->spans[ends[next].box], need < width ? need : width);
        }
    }
    free(ends);
    return true;
}

/* Room that is left is shared out, up to half as much again: boxes are easier to look at then. */
static void fill(size_t width, struct draw_layout *l)
{
    size_t have = l->stops[l->stop_count - 1].cell;
    size_t want = have + have / 2 < width ? have + have / 2 : width;
    for (size_t i = 0; i < l->stop_count && have < want; i++)
        l->stops[i].cell = l->stops[i].cell * want / have;
}

static void fold(size_t width, struct draw_layout *l)
{
    size_t first = 0;
    while (first + 1 < l->stop_count) {
        size_t last = first + 1;
        while (last + 1 < l->stop_count && l->stops[last + 1].cell - l->stops[first].cell <= width)
            last++;
        l->bands[l->band_count++] = (struct draw_span){first, last};
        first = last;
    }
}

bool draw_lay_out(const struct draw_panel *panel, size_t width, struct draw_layout *layout)
{
    *layout = (struct draw_layout){.span_count = panel->box_count};
    if (panel->box_count == 0)
        return true;
    layout->stops = calloc(2 * panel->box_count, sizeof *layout->stops);
    layout->spans = calloc(panel->box_count, sizeof *layout->spans);
    layout->bands = calloc(2 * panel->box_count, sizeof *layout->bands);
    if (layout->stops == NULL || layout->spans == NULL || layout->bands == NULL)
        return false;
    find_stops(panel, layout);
    if (!place(panel, width, layout))
        return false;
    fill(width, layout);
    fold(width, layout);
    return true;
}

bool draw_part(const struct draw_layout *l, size_t band, size_t box, struct draw_part *part)
{
    const struct draw_span *b = &l->bands[band], *s = &l->spans[box];
    size_t first = s->first > b->first ? s->first : b->first;
    size_t last = s->last < b->last ? s->last : b->last;
    if (first >= last)
        return false;
    size_t begin = l->stops[b->first].cell;
    *part = (struct draw_part){
        .from = l->stops[first].cell - begin,
        .to = l->stops[last].cell - begin,
        .begins = first == s->first,
        .ends = last == s->last,
    };
    return true;
}

void draw_layout_clear(struct draw_layout *layout)
{
    free(layout->stops);
    free(layout->spans);
    free(layout->bands);
    *layout = (struct draw_layout){0};
}
