#include "rexec/draw_width.h"

#include <string.h>

#include "rexec/escape.h"

/* East Asian Width W and F (Unicode TR 11), the blocks that matter here. */
static const struct {
    unsigned from, to;
} wide[] = {
    {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},   {0x4e00, 0x9fff},
    {0xa000, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

size_t draw_point_width(unsigned point)
{
    if ((point >= 0x300 && point <= 0x36f) || (point >= 0x200b && point <= 0x200f) ||
        (point >= 0xfe00 && point <= 0xfe0f))
        return 0;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (point >= wide[i].from && point <= wide[i].to)
            return 2;
    }
    return 1;
}

/* The character at `text`: its bytes and columns. What is not UTF-8 is taken byte by byte. */
static size_t next(const char *text, size_t left, size_t *columns, unsigned *point)
{
    size_t n = rx_utf8_next((const unsigned char *)text, left, point);
    if (n == 0) {
        *point = '?';
        n = 1;
    }
    *columns = draw_point_width(*point);
    return n;
}

size_t draw_width(const char *text)
{
    size_t width = 0, left = strlen(text), columns;
    unsigned point;
    while (left > 0) {
        size_t n = next(text, left, &columns, &point);
        width += columns;
        text += n;
        left -= n;
    }
    return width;
}

void draw_fit(const char *text, size_t columns, bool ascii, char out[static DRAW_LABEL_MAX])
{
    const char *more = ascii ? "..." : "…";
    size_t more_width = ascii ? 3 : 1, left = strlen(text);
    size_t cap = DRAW_LABEL_MAX - 4; /* the dots fit behind it */
    if (draw_width(text) <= columns && left <= cap) {
        memcpy(out, text, left + 1);
        return;
    }
    size_t width = 0, at = 0, w;
    unsigned point;
    while (left > at) {
        size_t n = next(text + at, left - at, &w, &point);
        if (width + w + more_width > columns || at + n > cap)
            break;
        width += w;
        at += n;
    }
    memcpy(out, text, at);
    out[at] = '\0';
    if (columns >= more_width)
        memcpy(out + at, more, strlen(more) + 1);
}

size_t draw_line_length(const char *text, size_t columns)
{
    size_t at = 0, width = 0, fits = 0, left = strlen(text), w;
    unsigned point;
    while (at < left) {
        size_t n = next(text + at, left - at, &w, &point);
        /* A line must not begin with one of these. */
        bool closes = point == 0xff0c || point == 0x3002 || point == 0xff1b || point == 0xff1a ||
                      point == 0x3001 || point == 0xff09;
        if (at > 0 && (point == ' ' || (w == 2 && !closes)))
            fits = at;
        if (width + w > columns && at > 0)
            return fits > 0 ? fits : at;
        width += w;
        at += n;
        if (w == 2 && at < left && (unsigned char)text[at] < 0x80 && text[at] != ' ')
            fits = at;
    }
    return at;
}
