#include "rexec/lesson_handshake_render.h"

#include <string.h>

/* Bytes of the character that begins here, and its columns. */
static size_t character(const char *text, size_t *columns)
{
    unsigned char c = (unsigned char)text[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    /* Of three bytes there are, in this lesson, Chinese characters and their punctuation, and the
     * arrows and dashes of U+20xx to U+2exx, which take one column. */
    *columns = n == 3 && c != 0xe2 ? 2 : 1;
    return n;
}

size_t render_width(const char *text, size_t n)
{
    size_t width = 0;
    for (size_t at = 0; at < n;) {
        size_t columns;
        at += character(text + at, &columns);
        width += columns;
    }
    return width;
}

/* Punctuation that must not begin a line. */
static bool closes(const char *text)
{
    static const char *const marks[] = {"，", "。", "、", "；", "：", "）", "」", "！", "？", "”"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (strncmp(text, marks[i], strlen(marks[i])) == 0)
            return true;
    }
    return false;
}

/* Whether a line may end in front of what stands at `at`, `before` being the width of the character
 * in front of it. */
static bool may_break(const char *at, size_t before)
{
    size_t columns;
    if (*at == ' ' || *at == '\0')
        return true;
    (void)character(at, &columns);
    return (columns == 2 || before == 2) && !closes(at);
}

size_t render_line(const char *text, size_t columns, size_t *skip)
{
    size_t at = 0, width = 0, good = 0;
    while (text[at] != '\0') {
        size_t one;
        size_t n = character(text + at, &one);
        if (width + one > columns && at > 0)
            break;
        at += n;
        width += one;
        if (may_break(text + at, one))
            good = at;
    }
    if (text[at] != '\0' && good > 0)
        at = good;
    for (*skip = 0; text[at + *skip] == ' ';)
        ++*skip;
    return at;
}

void render_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

const char *render_entity(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    default:
        return NULL;
    }
}
