/*
 * A picture of bytes: panels, each with rows of boxes on one byte axis, words before and behind,
 * and a table of what was sent beside what was made of it. This module builds it; draw_layout.h
 * says where boxes stand, draw_text.c, draw_svg.c and draw_html.c draw it.
 *
 * Out of memory is remembered in the picture, so that a builder looks once, at the end.
 */
#ifndef REXEC_DRAW_H
#define REXEC_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexec/buffer.h"

enum {
    DRAW_ROWS_MAX = 6,
    DRAW_LABEL_MAX = 256, /* bytes of a label or an answer, with its NUL */
};

enum draw_kind {
    DRAW_MESSAGE, /* what was meant */
    DRAW_SEND,    /* a write */
    DRAW_RECEIVE, /* a read */
    DRAW_HEAD,    /* of a frame */
    DRAW_BODY,    /* of a frame */
    DRAW_LOST,    /* sent, and nobody gets it */
    DRAW_KINDS
};

enum draw_mark { DRAW_PLAIN, DRAW_RIGHT, DRAW_WRONG };

/* Bytes [from, to) of the axis; an empty box has a place of its own between two bytes. */
struct draw_box {
    size_t row;
    uint64_t from, to;
    enum draw_kind kind;
    char *label;
};

/* One line of the table. */
struct draw_answer {
    char *sent, *got;
    bool right;
};

struct draw_line {
    char *text;
    enum draw_mark mark;
    bool before; /* the boxes; or behind them */
};

struct draw_panel {
    char *title;
    struct draw_line *lines;
    size_t line_count;
    char *rows[DRAW_ROWS_MAX];
    size_t row_count;
    struct draw_box *boxes;
    size_t box_count;
    char *sent_head, *got_head; /* of the table */
    struct draw_answer *answers;
    size_t answer_count;
};

struct draw_picture {
    char *title, *subtitle;
    const char *language; /* "en", "zh"; static */
    bool ascii;           /* labels of ASCII only */
    bool failed;          /* out of memory: what is there is not all */
    struct draw_panel *panels;
    size_t panel_count;
};

/* Zero-initialised is empty, apart from language. Everything that is added goes to the last panel.
 */
void draw_title(struct draw_picture *p, const char *title, const char *subtitle);
void draw_panel(struct draw_picture *p, const char *title);
void draw_retitle(struct draw_picture *p, const char *title); /* the last panel */
void draw_say(struct draw_picture *p, bool before, enum draw_mark mark, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A new row; its number. */
size_t draw_row(struct draw_picture *p, const char *name);
void draw_box(struct draw_picture *p, size_t row, enum draw_kind kind, uint64_t from, uint64_t to,
              const char *format, ...) __attribute__((format(printf, 6, 7)));

void draw_table(struct draw_picture *p, const char *sent_head, const char *got_head);
void draw_answer(struct draw_picture *p, const char *sent, const char *got, bool right);

/* n bytes that somebody sent, fit to be shown: out is at most `columns` wide, and says … if there
 * was more. */
void draw_bytes(const struct draw_picture *p, const void *bytes, size_t n, size_t columns,
                char out[static DRAW_LABEL_MAX]);

void draw_clear(struct draw_picture *p);

/* ---- drawing ---------------------------------------------------------------------------- */

struct draw_style {
    size_t width; /* columns of all */
    bool ascii, colour;
};

/* Each appends to *out; false: no memory. */
bool draw_text(const struct draw_picture *p, const struct draw_style *style, struct buffer *out);
bool draw_svg(const struct draw_picture *p, struct buffer *out);
bool draw_html(const struct draw_picture *p, struct buffer *out);

#endif
