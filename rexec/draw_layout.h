/*
 * Where the boxes of a panel stand. All rows share one axis. It is not to scale: it is stretched
 * where a label needs room, and in every row alike, so that what stands below each other is the
 * same byte. An axis that is too long is folded into bands. Pure.
 */
#ifndef REXEC_DRAW_LAYOUT_H
#define REXEC_DRAW_LAYOUT_H

#include "rexec/draw.h"

/* A place where some box begins or ends. */
struct draw_stop {
    uint64_t at;
    size_t sub;  /* of several at one byte: empty boxes stand between them */
    size_t cell; /* from the axis' begin, unfolded */
};

/* The stops between which a box stands. */
struct draw_span {
    size_t first, last;
};

struct draw_layout {
    struct draw_stop *stops; /* in order */
    size_t stop_count;
    struct draw_span *spans; /* of each of the panel's boxes */
    size_t span_count;
    struct draw_span *bands; /* of stops; one ends at the stop where the next begins */
    size_t band_count;
};

/* Lays a panel out in bands of at most `width` cells (at least 8) between their first and their
 * last stop. A box's two edges take a cell each; the label stands between. False: no memory. To be
 * cleared either way. */
bool draw_lay_out(const struct draw_panel *panel, size_t width, struct draw_layout *layout);

/* The part of a box that is in a band, in cells from the band's begin; false: none. */
struct draw_part {
    size_t from, to;
    bool begins, ends; /* here; or it comes from the band before, goes on in the next */
};
bool draw_part(const struct draw_layout *layout, size_t band, size_t box, struct draw_part *part);

void draw_layout_clear(struct draw_layout *layout);

#endif
