/* C structures to JSON headers, by the tables. */
#include <string.h>

#include "proto/header.h"
#include "proto/header_fields.h"
#include "proto/json_out.h"

static const void *member_of(const struct rx_header *h, const struct field *f)
{
    return (const char *)h + f->offset;
}

static bool length_within(const char *text, size_t min, size_t max)
{
    size_t n = strnlen(text, max + 1);
    return n >= min && n <= max;
}

static bool put_text(struct json_out *out, const char *text, size_t min, size_t max)
{
    return length_within(text, min, max) && json_string_of(out, text, strlen(text));
}

static void put_id(struct json_out *out, const uint8_t *id)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * RX_COMMAND_ID_SIZE];
    for (size_t i = 0; i < RX_COMMAND_ID_SIZE; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    (void)json_string_of(out, text, sizeof text);
}

static bool put_integer(struct json_out *out, int64_t v, int64_t min, int64_t max)
{
    if (v < min || v > max)
        return false;
    json_number(out, v);
    return true;
}

static bool put_features(struct json_out *out, const struct rx_features *list)
{
    bool good = list->count <= RX_FEATURES_MAX;
    json_open(out, '[');
    for (size_t i = 0; good && i < list->count; i++)
        good = put_text(out, list->names[i], 1, RX_FEATURE_MAX);
    json_close(out, ']');
    return good;
}

static bool put_holders(struct json_out *out, const struct rx_holders *list)
{
    bool good = list->count <= RX_HOLDERS_MAX;
    json_open(out, '[');
    for (size_t i = 0; good && i < list->count; i++)
        good = put_integer(out, list->pids[i], 1, RX_INTEGER_MAX);
    json_close(out, ']');
    return good;
}

/* Whether the i-th name stood there before: an object has each once. */
static bool is_repeated(const struct rx_modes *list, size_t i)
{
    for (size_t before = 0; before < i; before++)
        if (strcmp(list->modes[before].name, list->modes[i].name) == 0)
            return true;
    return false;
}

static bool put_modes(struct json_out *out, const struct rx_modes *list)
{
    bool good = list->count <= RX_MODES_MAX;
    json_open(out, '{');
    for (size_t i = 0; good && i < list->count; i++) {
        const char *name = list->modes[i].name;
        good = length_within(name, 1, RX_MODE_NAME_MAX) && !is_repeated(list, i) &&
               json_name(out, name) && put_integer(out, list->modes[i].value, 0, UINT32_MAX);
    }
    json_close(out, '}');
    return good;
}

static bool put_choice(struct json_out *out, const char *const *choices, int at)
{
    for (int i = 0; choices[i] != NULL; i++)
        if (i == at)
            return json_string_of(out, choices[i], strlen(choices[i]));
    return false;
}

static bool field_absent(const struct rx_header *h, const struct field *f)
{
    const void *m = member_of(h, f);
    if (f->present != NO_FLAG && !*((const bool *)((const char *)h + f->present)))
        return true;
    switch (f->kind) {
    case FIELD_INTEGER:
        return *(const int64_t *)m == RX_ABSENT;
    case FIELD_BOOLEAN:
        return !*(const bool *)m;
    case FIELD_TEXT: /* one that is required and may be empty is never absent */
        return *(const char *)m == '\0' && (f->min > 0 || !f->required);
    case FIELD_CHOICE:
        return *(const int *)m == 0;
    case FIELD_FEATURES:
        return ((const struct rx_features *)m)->count == 0;
    case FIELD_HOLDERS:
        return ((const struct rx_holders *)m)->count == 0;
    case FIELD_MODES:
        return ((const struct rx_modes *)m)->count == 0;
    case FIELD_ID:
    case FIELD_OBJECT:
        break;
    }
    return false;
}

/* Objects are entered as deep as the tables nest, which is two levels.
 * NOLINTBEGIN(misc-no-recursion) */

static bool put_object(struct json_out *out, const struct rx_header *h, const struct field *f,
                       bool *any);

/* One without members is left out, unless its flag says that it is there. */
static bool put_sub_object(struct json_out *out, const struct rx_header *h, const struct field *f)
{
    const struct json_out before = *out;
    bool any = false;
    if (!json_name(out, f->name) || !put_object(out, h, f->fields, &any))
        return false;
    if (!any && f->present == NO_FLAG)
        *out = before;
    return true;
}

static bool put_value(struct json_out *out, const struct rx_header *h, const struct field *f)
{
    const void *m = member_of(h, f);
    switch (f->kind) {
    case FIELD_INTEGER:
        return put_integer(out, *(const int64_t *)m, f->min, f->max);
    case FIELD_BOOLEAN:
        json_true_value(out);
        return true;
    case FIELD_TEXT:
        return put_text(out, m, 0, (size_t)f->max);
    case FIELD_ID:
        put_id(out, m);
        return true;
    case FIELD_CHOICE:
        return put_choice(out, f->choices, *(const int *)m);
    case FIELD_FEATURES:
        return put_features(out, m);
    case FIELD_HOLDERS:
        return put_holders(out, m);
    case FIELD_MODES:
        return put_modes(out, m);
    case FIELD_OBJECT:
        break;
    }
    return false;
}

static bool put_object(struct json_out *out, const struct rx_header *h, const struct field *f,
                       bool *any)
{
    json_open(out, '{');
    size_t empty = out->n;
    for (; f->name != NULL; f++) {
        if (field_absent(h, f)) {
            if (f->required)
                return false;
        } else if (f->kind == FIELD_OBJECT) {
            if (!put_sub_object(out, h, f))
                return false;
        } else if (!json_name(out, f->name) || !put_value(out, h, f)) {
            return false;
        }
    }
    *any = out->n > empty;
    json_close(out, '}');
    return true;
}

/* NOLINTEND(misc-no-recursion) */

enum rx_error rx_header_encode(enum rx_type type, const struct rx_header *h, uint8_t *p, size_t cap,
                               size_t *n)
{
    struct json_out out = {.bytes = p, .cap = cap};
    bool any = false;
    *n = 0;
    if (!header_coherent(type, h) || !put_object(&out, h, header_fields(type), &any))
        return RX_E_BAD_HEADER;
    if (any && out.n > cap)
        return RX_E_NO_SPACE;
    *n = any ? out.n : 0;
    return RX_OK;
}
