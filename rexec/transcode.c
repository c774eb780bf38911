#include "rexec/transcode.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    PIECE = 1024,  /* bytes decoded at once */
    KEEP_MAX = 32, /* longest incomplete character, with what leads up to it */
    MIDDLE = 8192, /* UTF-8 between the two steps */
};

struct transcode {
    iconv_t decode; /* to UTF-8 */
    iconv_t encode; /* from UTF-8 */
    bool encodes;   /* the target is not UTF-8 itself */
    size_t unit;    /* bytes to skip where it does not decode */
    size_t kept;
    char keep[KEEP_MAX];
};

static bool named(const char *name, const char *prefix)
{
    return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static size_t unit_of(const char *name)
{
    if (named(name, "UTF-16") || named(name, "UTF16") || named(name, "UCS-2") ||
        named(name, "UCS2"))
        return 2;
    if (named(name, "UTF-32") || named(name, "UTF32") || named(name, "UCS-4") ||
        named(name, "UCS4"))
        return 4;
    return 1;
}

static bool valid(iconv_t cd)
{
    return (intptr_t)cd != -1;
}

struct transcode *transcode_new(const char *from, const char *to)
{
    struct transcode *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->unit = unit_of(from);
    t->encodes = strcasecmp(to, "UTF-8") != 0 && strcasecmp(to, "UTF8") != 0;
    t->decode = iconv_open("UTF-8", from);
    if (!valid(t->decode)) {
        free(t);
        return NULL;
    }
    if (t->encodes) {
        t->encode = iconv_open(to, "UTF-8");
        if (!valid(t->encode)) {
            (void)iconv_close(t->decode);
            free(t);
            return NULL;
        }
    }
    return t;
}

void transcode_free(struct transcode *t)
{
    if (t == NULL)
        return;
    (void)iconv_close(t->decode);
    if (t->encodes)
        (void)iconv_close(t->encode);
    free(t);
}

/* Whole UTF-8 characters to the target. */
static bool encode(struct transcode *t, char *p, size_t n, struct buffer *out)
{
    if (!t->encodes)
        return buffer_add(out, p, n);
    while (n > 0) {
        char *to = buffer_room(out, n * 4 + 16);
        if (to == NULL)
            return false;
        size_t room = out->cap - out->n;
        size_t result = iconv(t->encode, &p, &n, &to, &room);
        out->n = (size_t)(to - out->bytes);
        if (result != (size_t)-1 || errno == E2BIG)
            continue;
        /* The target has no such character. */
        do {
            p++;
            n--;
        } while (n > 0 && ((unsigned char)*p & 0xc0) == 0x80);
        char question[] = "?";
        char *q = question;
        size_t one = 1;
        to = buffer_room(out, 16);
        if (to == NULL)
            return false;
        room = out->cap - out->n;
        (void)iconv(t->encode, &q, &one, &to, &room);
        out->n = (size_t)(to - out->bytes);
    }
    return true;
}

static bool put_replacement(struct transcode *t, struct buffer *out)
{
    char mark[] = "\xef\xbf\xbd"; /* U+FFFD */
    return encode(t, mark, sizeof mark - 1, out);
}

/* Decodes what stands in `piece`; what is incomplete at its end is kept. */
static bool decode(struct transcode *t, char *piece, size_t n, struct buffer *out)
{
    char middle[MIDDLE];
    t->kept = 0;
    while (n > 0) {
        char *to = middle;
        size_t room = sizeof middle;
        size_t result = iconv(t->decode, &piece, &n, &to, &room);
        int error = result == (size_t)-1 ? errno : 0;
        if (!encode(t, middle, (size_t)(to - middle), out))
            return false;
        if (error == EINVAL && n <= sizeof t->keep) {
            memcpy(t->keep, piece, n);
            t->kept = n;
            return true;
        }
        if (error == EILSEQ || error == EINVAL) {
            size_t skip = n < t->unit ? n : t->unit;
            piece += skip;
            n -= skip;
            if (!put_replacement(t, out))
                return false;
        }
    }
    return true;
}

bool transcode_put(struct transcode *t, const void *bytes, size_t n, struct buffer *out)
{
    const char *p = bytes;
    while (n > 0) {
        char piece[KEEP_MAX + PIECE];
        size_t take = n < PIECE ? n : PIECE;
        size_t kept = t->kept;
        memcpy(piece, t->keep, kept);
        memcpy(piece + kept, p, take);
        p += take;
        n -= take;
        if (!decode(t, piece, kept + take, out))
            return false;
    }
    return true;
}

/* What the target keeps back for what might follow (a character that could be combined with the
 * next), and the way back to its first state. */
static bool end_encoding(struct transcode *t, struct buffer *out)
{
    if (!t->encodes)
        return true;
    char *to = buffer_room(out, 64);
    if (to == NULL)
        return false;
    size_t room = out->cap - out->n;
    (void)iconv(t->encode, NULL, NULL, &to, &room);
    out->n = (size_t)(to - out->bytes);
    return true;
}

bool transcode_end(struct transcode *t, struct buffer *out)
{
    char middle[64];
    char *to = middle;
    size_t room = sizeof middle;
    (void)iconv(t->decode, NULL, NULL, &to, &room);
    if (!encode(t, middle, (size_t)(to - middle), out))
        return false;
    bool cut = t->kept > 0;
    t->kept = 0;
    return (!cut || put_replacement(t, out)) && end_encoding(t, out);
}
