/*
 * Boxes and their axis as SVG: what a picture of its own and a page share.
 */
#ifndef REXEC_DRAW_VECTOR_H
#define REXEC_DRAW_VECTOR_H

#include "rexec/draw.h"

enum {
    VECTOR_CELL = 8, /* pixels of a column */
    VECTOR_LINE = 20,
};

/* The style sheet's rules for what is drawn here, with a light and a dark dress. */
extern const char vector_style[];

/* Draws a panel's boxes, `width` columns wide, from `*y` on, and adds their height to *y. With out
 * NULL it only measures. False: no memory. */
bool vector_boxes(const struct draw_panel *panel, size_t width, size_t *y, struct buffer *out);

#endif
