#include "rexec/escape.h"

#include <string.h>

size_t rx_utf8_next(const unsigned char *p, size_t n, unsigned *point)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0)
        return 0;
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (len > n || (p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4)
        return 0;
    unsigned v = len == 1 ? p[0] : p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3fU);
    }
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *point = v;
    return len;
}

bool rx_utf8_valid(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    unsigned point;
    for (size_t at = 0; at < n;) {
        size_t len = rx_utf8_next(p + at, n - at, &point);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

/* Unicode, 3.9 (controls), 23.2 (separators, bidirectional marks, what is not seen at all), 23.9
 * (tags). U+200C and U+200D stay: words and emojis need them. */
static bool harmless(unsigned point)
{
    static const struct {
        unsigned first, last;
    } harmful[] = {
        {0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200b},   {0x200e, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < sizeof harmful / sizeof harmful[0]; i++) {
        if (point >= harmful[i].first && point <= harmful[i].last)
            return false;
    }
    return true;
}

size_t rx_escape(const char *text, size_t n, char *out, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)text;
    size_t used = 0;
    for (size_t at = 0; at < n;) {
        unsigned point = 0;
        char piece[4 * 4];
        size_t size = 0;
        size_t len = rx_utf8_next(p + at, n - at, &point);
        if (len > 0 && point == '\\') {
            piece[size++] = '\\';
            piece[size++] = '\\';
        } else if (len > 0 && harmless(point)) {
            memcpy(piece, p + at, len);
            size = len;
        } else {
            if (len == 0)
                len = 1;
            for (size_t i = 0; i < len; i++) {
                piece[size++] = '\\';
                piece[size++] = 'x';
                piece[size++] = digits[p[at + i] >> 4];
                piece[size++] = digits[p[at + i] & 15];
            }
        }
        if (cap - used <= size)
            break;
        memcpy(out + used, piece, size);
        used += size;
        at += len;
    }
    out[used] = '\0';
    return used;
}
