#include "proto/json_out.h"

#include <string.h>

static void put(struct json_out *out, const void *bytes, size_t n)
{
    if (out->n <= out->cap && n <= out->cap - out->n)
        memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
}

static void put_byte(struct json_out *out, char c)
{
    put(out, &c, 1);
}

static void begin_value(struct json_out *out)
{
    if (out->comma)
        put_byte(out, ',');
    out->comma = true;
}

void json_open(struct json_out *out, char bracket)
{
    begin_value(out);
    put_byte(out, bracket);
    out->comma = false;
}

void json_close(struct json_out *out, char bracket)
{
    put_byte(out, bracket);
    out->comma = true;
}

void json_number(struct json_out *out, int64_t value)
{
    char digits[20]; /* of the largest, with its sign */
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--at] = '-';
    begin_value(out);
    put(out, digits + at, sizeof digits - at);
}

void json_true_value(struct json_out *out)
{
    begin_value(out);
    put(out, "true", 4);
}

/* Bytes of the UTF-8 character that begins here, 0 if it is none. */
static size_t character_size(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t size = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || size > n)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Longer than it must be, a surrogate, beyond the last. */
    bool over = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool none = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return over || none ? 0 : size;
}

static void put_escape(struct json_out *out, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = c != '\0' ? strchr(plain, c) : NULL;
    if (found != NULL) {
        const char short_form[] = {'\\', names[found - plain]};
        put(out, short_form, sizeof short_form);
        return;
    }
    const char long_form[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    put(out, long_form, sizeof long_form);
}

bool json_string_of(struct json_out *out, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    begin_value(out);
    put_byte(out, '"');
    size_t done = 0, at = 0; /* between the two: as it is */
    while (at < n) {
        size_t size = character_size(p + at, n - at);
        if (size == 0)
            return false;
        if (p[at] < 0x20 || p[at] == '"' || p[at] == '\\') {
            put(out, p + done, at - done);
            put_escape(out, p[at]);
            done = at + size;
        }
        at += size;
    }
    put(out, p + done, n - done);
    put_byte(out, '"');
    return true;
}

bool json_name(struct json_out *out, const char *name)
{
    bool good = json_string_of(out, name, strlen(name));
    put_byte(out, ':');
    out->comma = false;
    return good;
}
