#include "proto/header_plain.h"

#include <string.h>

enum { DIGITS_MAX = 16 }; /* of RX_INTEGER_MAX */

/* What is still to be read. */
struct plain {
    const uint8_t *p, *end;
};

static bool take(struct plain *in, uint8_t c)
{
    if (in->p == in->end || *in->p != c)
        return false;
    in->p++;
    return true;
}

/* A string's bytes, where they stand. */
static bool take_string(struct plain *in, const char **text, size_t *n)
{
    if (!take(in, '"'))
        return false;
    const uint8_t *begin = in->p;
    while (in->p < in->end && *in->p != '"') {
        if (*in->p < 0x20 || *in->p >= 0x80 || *in->p == '\\')
            return false;
        in->p++;
    }
    *text = (const char *)begin;
    *n = (size_t)(in->p - begin);
    return take(in, '"');
}

static bool take_integer(struct plain *in, int64_t min, int64_t max, int64_t *out)
{
    const uint8_t *begin = in->p;
    int64_t v = 0;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9' && in->p - begin < DIGITS_MAX)
        v = v * 10 + (*in->p++ - '0');
    if (in->p == begin || (*begin == '0' && in->p - begin > 1) || v < min || v > max)
        return false;
    *out = v;
    return true;
}

static bool take_true(struct plain *in, bool *out)
{
    static const char word[] = {'t', 'r', 'u', 'e'};
    if ((size_t)(in->end - in->p) < sizeof word || memcmp(in->p, word, sizeof word) != 0)
        return false;
    in->p += sizeof word;
    *out = true;
    return true;
}

static bool take_text(struct plain *in, size_t min, size_t max, char *out)
{
    const char *text;
    size_t n;
    if (!take_string(in, &text, &n) || n < min || n > max)
        return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

static bool take_id(struct plain *in, uint8_t out[static RX_COMMAND_ID_SIZE])
{
    const char *text;
    size_t n;
    return take_string(in, &text, &n) && header_id_of(text, n, out);
}

static bool take_choice(struct plain *in, const char *const *choices, int *out)
{
    const char *text;
    size_t n;
    return take_string(in, &text, &n) && header_choice_of(choices, text, n, out);
}

/* Objects are entered as deep as the tables nest, which is two levels.
 * NOLINTBEGIN(misc-no-recursion) */

static bool take_object(struct plain *in, const struct field *f, struct rx_header *h);

static bool take_value(struct plain *in, const struct field *f, struct rx_header *h)
{
    void *m = (char *)h + f->offset;
    switch (f->kind) {
    case FIELD_INTEGER:
        return take_integer(in, f->min, f->max, m);
    case FIELD_BOOLEAN:
        return take_true(in, m);
    case FIELD_TEXT:
        return take_text(in, (size_t)f->min, (size_t)f->max, m);
    case FIELD_ID:
        return take_id(in, m);
    case FIELD_CHOICE:
        return take_choice(in, f->choices, m);
    case FIELD_OBJECT:
        return take_object(in, f->fields, h);
    case FIELD_FEATURES:
    case FIELD_HOLDERS:
    case FIELD_MODES:
        break;
    }
    return false;
}

/* The field of that name, or NULL: those before it must be ones that may be absent. As the table is
 * only gone through once, nothing comes twice. */
static const struct field *find(const struct field *f, const char *name, size_t n)
{
    while (f->name != NULL && !header_is_name(f->name, name, n)) {
        if (f->required)
            return NULL;
        f++;
    }
    return f->name != NULL ? f : NULL;
}

static bool take_object(struct plain *in, const struct field *f, struct rx_header *h)
{
    const char *name;
    size_t n;
    if (!take(in, '{'))
        return false;
    if (!take(in, '}')) {
        do {
            if (!take_string(in, &name, &n) || !take(in, ':') || (f = find(f, name, n)) == NULL ||
                !take_value(in, f, h))
                return false;
            if (f->present != NO_FLAG)
                *((bool *)((char *)h + f->present)) = true;
            f++;
        } while (take(in, ','));
        if (!take(in, '}'))
            return false;
    }
    while (f->name != NULL && !f->required)
        f++;
    return f->name == NULL;
}

/* NOLINTEND(misc-no-recursion) */

bool header_decode_plain(const struct field *fields, const uint8_t *p, size_t n,
                         struct rx_header *h)
{
    struct plain in = {.p = p, .end = p + n};
    return take_object(&in, fields, h) && in.p == in.end;
}
