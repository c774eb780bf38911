#include "proto/header.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/header_fields.h"
#include "proto/header_plain.h"
#include "proto/words.h"

enum { NESTING_MAX = 8 };

/* ---- absent ----------------------------------------------------------------------------- */

static void *member(struct rx_header *h, const struct field *f)
{
    return (char *)h + f->offset;
}

/* Objects are entered as deep as the tables nest, which is two levels.
 * NOLINTBEGIN(misc-no-recursion) */

static void init_fields(struct rx_header *h, const struct field *f)
{
    for (; f->name != NULL; f++) {
        if (f->kind == FIELD_INTEGER)
            *(int64_t *)member(h, f) = RX_ABSENT;
        else if (f->kind == FIELD_OBJECT)
            init_fields(h, f->fields);
    }
}

void rx_header_seed(uint32_t random)
{
    json_object_seed(random != 0 ? random : 1); /* 0 stands for its own choice */
}

void rx_header_init(enum rx_type type, struct rx_header *h)
{
    memset(h, 0, sizeof *h);
    init_fields(h, header_fields(type));
    /* And what only other types have that share the member. */
    if (type == RX_ERROR || type == RX_GOAWAY || type == RX_REFUSED || type == RX_CLOSE)
        h->notice.grace_ms = h->notice.n = RX_ABSENT;
    else if (type == RX_STARTED || type == RX_RESUMED || type == RX_DONE)
        h->reply.pid = h->reply.start_us = h->reply.n = RX_ABSENT;
}

/* ---- decoding --------------------------------------------------------------------------- */

static bool decode_object(json_t *object, const struct field *f, struct rx_header *h);

static bool decode_integer(const json_t *v, int64_t min, int64_t max, int64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return false;
    *out = json_integer_value(v);
    return true;
}

static bool decode_text(const json_t *v, size_t min, size_t max, char *out)
{
    size_t n = json_string_length(v); /* 0 for what is not a string */
    if (!json_is_string(v) || n < min || n > max)
        return false;
    memcpy(out, json_string_value(v), n + 1);
    return true;
}

static bool decode_id(const json_t *v, uint8_t out[static RX_COMMAND_ID_SIZE])
{
    return json_is_string(v) && header_id_of(json_string_value(v), json_string_length(v), out);
}

static bool decode_choice(const json_t *v, const char *const *choices, int *out)
{
    return json_is_string(v) &&
           header_choice_of(choices, json_string_value(v), json_string_length(v), out);
}

static bool decode_features(const json_t *v, struct rx_features *out)
{
    if (!json_is_array(v) || json_array_size(v) > RX_FEATURES_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!decode_text(json_array_get(v, i), 1, RX_FEATURE_MAX, out->names[i]))
            return false;
    out->count = json_array_size(v);
    return true;
}

static bool decode_holders(const json_t *v, struct rx_holders *out)
{
    if (!json_is_array(v) || json_array_size(v) > RX_HOLDERS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!decode_integer(json_array_get(v, i), 1, RX_INTEGER_MAX, &out->pids[i]))
            return false;
    out->count = json_array_size(v);
    return true;
}

static bool decode_modes(json_t *v, struct rx_modes *out)
{
    if (!json_is_object(v) || json_object_size(v) > RX_MODES_MAX)
        return false;
    for (void *i = json_object_iter(v); i != NULL; i = json_object_iter_next(v, i)) {
        const char *name = json_object_iter_key(i);
        size_t n = strlen(name);
        if (n == 0 || n > RX_MODE_NAME_MAX ||
            !decode_integer(json_object_iter_value(i), 0, UINT32_MAX,
                            &out->modes[out->count].value))
            return false;
        memcpy(out->modes[out->count].name, name, n + 1);
        out->count++;
    }
    return true;
}

static bool decode_field(json_t *v, const struct field *f, struct rx_header *h)
{
    void *m = member(h, f);
    switch (f->kind) {
    case FIELD_INTEGER:
        return decode_integer(v, f->min, f->max, m);
    case FIELD_BOOLEAN:
        *(bool *)m = json_is_true(v);
        return json_is_boolean(v);
    case FIELD_TEXT:
        return decode_text(v, (size_t)f->min, (size_t)f->max, m);
    case FIELD_ID:
        return decode_id(v, m);
    case FIELD_CHOICE:
        return decode_choice(v, f->choices, m);
    case FIELD_OBJECT:
        return json_is_object(v) && decode_object(v, f->fields, h);
    case FIELD_FEATURES:
        return decode_features(v, m);
    case FIELD_HOLDERS:
        return decode_holders(v, m);
    case FIELD_MODES:
        return decode_modes(v, m);
    }
    return false;
}

static bool decode_object(json_t *object, const struct field *f, struct rx_header *h)
{
    for (; f->name != NULL; f++) {
        json_t *v = json_object_get(object, f->name);
        if (v == NULL) {
            if (f->required)
                return false;
            continue;
        }
        if (!decode_field(v, f, h))
            return false;
        if (f->present != NO_FLAG)
            *((bool *)((char *)h + f->present)) = true;
    }
    return true;
}

/* NOLINTEND(misc-no-recursion) */

static bool exit_coherent(const struct rx_exit *exit)
{
    return (exit->code == RX_ABSENT) != (exit->signal[0] == '\0');
}

/* A command that is listed has an id, a state and a start; "none" has nothing of it. */
static bool listed_coherent(const struct rx_listed *l)
{
    if (!l->has_id)
        return l->state[0] == '\0' && l->exit.start_us == RX_ABSENT;
    if (l->exit.start_us == RX_ABSENT)
        return false;
    if (strcmp(l->state, "exited") == 0)
        return exit_coherent(&l->exit);
    return strcmp(l->state, "running") == 0;
}

bool header_coherent(enum rx_type type, const struct rx_header *h)
{
    if (type == RX_EXIT)
        return exit_coherent(&h->exit);
    if (type == RX_LISTED)
        return listed_coherent(&h->listed);
    if (type == RX_SIGNAL)
        return h->signal.has_id == (h->signal.n == RX_ABSENT);
    return true;
}

/* jansson nests as deep as it is asked to; count first. Brackets in strings do not count. */
static bool nesting_within(const uint8_t *p, size_t n, unsigned max)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (p[i] == '\\')
                i++;
            else if (p[i] == '"')
                in_string = false;
        } else if (p[i] == '"') {
            in_string = true;
        } else if (p[i] == '{' || p[i] == '[') {
            if (++depth > max)
                return false;
        } else if ((p[i] == '}' || p[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

enum rx_error rx_header_decode(enum rx_type type, const uint8_t *p, size_t n, struct rx_header *h)
{
    const struct field *fields = header_fields(type);
    rx_header_init(type, h);
    if (n == 0) {
        p = (const uint8_t *)"{}";
        n = 2;
    }
    if (header_decode_plain(fields, p, n, h))
        return header_coherent(type, h) ? RX_OK : RX_E_BAD_HEADER;
    rx_header_init(type, h); /* jansson would set the same members again; nothing rests on that */
    /* jansson overlooks a NUL behind a number; JSON has none anywhere. */
    if (memchr(p, '\0', n) != NULL || !nesting_within(p, n, NESTING_MAX))
        return RX_E_BAD_HEADER;
    json_error_t error = {.line = 0}; /* jansson sets no code where memory fails it early */
    json_t *root = json_loadb((const char *)p, n, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? RX_E_NO_MEMORY
                                                                   : RX_E_BAD_HEADER;
    bool good = json_is_object(root) && decode_object(root, fields, h) && header_coherent(type, h);
    json_decref(root);
    return good ? RX_OK : RX_E_BAD_HEADER;
}

/* ---- errors and whole messages ---------------------------------------------------------- */

enum { ENCODED_TEXT_MAX = 800 }; /* leaves room for the other names in 1,024 bytes of header */

/* Bytes that a byte of text takes in JSON. */
static size_t encoded_size(unsigned char c)
{
    if (c == '"' || c == '\\')
        return 2;
    return c < 0x20 ? sizeof "\\u0000" - 1 : 1;
}

/*
 * Copies what fits, but never a part of a UTF-8 character. `max` counts as the bytes are;
 * escaped, they must not make the header too long for its message.
 */
static void copy_text(char *to, size_t max, const char *text)
{
    size_t n = 0, encoded = 0;
    while (n < max && text[n] != '\0') {
        encoded += encoded_size((unsigned char)text[n]);
        if (encoded > ENCODED_TEXT_MAX)
            break;
        n++;
    }
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(to, text, n);
    to[n] = '\0';
}

void rx_header_error(struct rx_header *h, enum rx_error error, const char *text)
{
    rx_header_init(RX_ERROR, h);
    h->notice.code = error;
    copy_text(h->notice.name, sizeof h->notice.name - 1, rx_error_name(error));
    copy_text(h->notice.text, sizeof h->notice.text - 1,
              text != NULL ? text : rx_error_text(error));
}

static bool words_fit(const struct rx_exec *exec, const struct rx_word_counts *counts)
{
    switch (exec->run) {
    case RX_RUN_EXEC:
        return counts->arguments >= 1;
    case RX_RUN_LOGIN:
        return counts->arguments == 0;
    default:
        return counts->arguments == 1;
    }
}

/* The first argument; its length 0 if there is none. */
static size_t first_argument_len(const struct rx_message *m)
{
    size_t at = 0;
    struct rx_word word;
    while (rx_words_next(m->body, m->body_len, &at, &word))
        if (word.kind == RX_WORD_ARGUMENT)
            return word.len;
    return 0;
}

enum rx_error rx_message_check(const struct rx_message *m, struct rx_header *h)
{
    enum rx_error error = rx_header_decode(m->type, m->header, m->header_len, h);
    if (error != RX_OK || (m->type != RX_EXEC && m->type != RX_LISTED))
        return error;
    struct rx_word_counts counts;
    error = rx_words_check(m->body, m->body_len, &counts);
    if (error != RX_OK || m->type != RX_EXEC)
        return error;
    if (!words_fit(&h->exec, &counts))
        return RX_E_BAD_BODY;
    if (h->exec.run == RX_RUN_EXEC && first_argument_len(m) == 0)
        return RX_E_BAD_BODY;
    return RX_OK;
}
