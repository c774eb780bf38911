/*
 * proto/header.c: every name of every header, from a table written after sections 7 and 8 of
 * docs/PROTOCOL.md: each wrong type, both bounds, required or not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/header.h"
#include "tests/unit/guard.h"

enum { TEXT_ROOM = 16384, LONG_MAX_BYTES = 4096 };

enum kind { INTEGER, BOOLEAN, TEXT, ID, CHOICE, OBJECT, TEXTS, INTEGERS, NAMED_INTEGERS };

struct name {
    enum rx_type type;
    const char *within; /* the object that it is in, or NULL */
    const char *name;
    enum kind kind;
    int64_t low, high; /* of the value, of a text's bytes, of a list's members */
    bool required;
    const char *choices; /* separated by spaces */
};

#define MOST RX_INTEGER_MAX
#define SIZE(type, within, name, required)                                                         \
    {                                                                                              \
        type, within, name, INTEGER, 0, 65535, required, NULL                                      \
    }
#define COUNT(type, name)                                                                          \
    {                                                                                              \
        type, NULL, name, INTEGER, 0, MOST, false, NULL                                            \
    }
#define LIMIT(name, low)                                                                           \
    {                                                                                              \
        RX_EXEC, "limits", name, INTEGER, low, MOST, false, NULL                                   \
    }
#define YES_NO(type, name)                                                                         \
    {                                                                                              \
        type, NULL, name, BOOLEAN, 0, 0, false, NULL                                               \
    }
#define STRING(type, name, low, high, required)                                                    \
    {                                                                                              \
        type, NULL, name, TEXT, low, high, required, NULL                                          \
    }
#define NOTICE(type)                                                                               \
    {type, NULL, "code", INTEGER, 1, 65535, true, NULL}, STRING(type, "name", 1, 64, true),        \
        STRING(type, "text", 0, 512, true)
#define IDENTITY(type, required)                                                                   \
    {                                                                                              \
        type, NULL, "id", ID, 0, 0, required, NULL                                                 \
    }
#define USAGE(type, name)                                                                          \
    {                                                                                              \
        type, "rusage", name, INTEGER, 0, MOST, false, NULL                                        \
    }
#define EXIT(type)                                                                                 \
    {type, NULL, "code", INTEGER, 0, 255, false, NULL}, STRING(type, "signal", 1, 16, false),      \
        YES_NO(type, "core"), STRING(type, "by", 1, 16, false),                                    \
        STRING(type, "detail", 0, 512, false), COUNT(type, "end_us"),                              \
        {type, NULL, "rusage", OBJECT, 0, 0, false, NULL}, USAGE(type, "utime_us"),                \
        USAGE(type, "stime_us"), USAGE(type, "maxrss_kib"), USAGE(type, "minflt"),                 \
        USAGE(type, "majflt"), USAGE(type, "inblock"), USAGE(type, "oublock"),                     \
        USAGE(type, "nvcsw"), USAGE(type, "nivcsw"),                                               \
    {                                                                                              \
        type, NULL, "holders", INTEGERS, 1, MOST, false, NULL                                      \
    }

static const struct name names[] = {
    STRING(RX_WELCOME, "server", 1, 255, true),
    STRING(RX_WELCOME, "version", 1, 64, true),
    {RX_WELCOME, NULL, "time_us", INTEGER, 0, MOST, true, NULL},
    COUNT(RX_WELCOME, "commands"),
    COUNT(RX_WELCOME, "linger_ms"),
    COUNT(RX_WELCOME, "keepalive_ms"),
    {RX_WELCOME, NULL, "features", TEXTS, 1, 32, false, NULL},
    STRING(RX_CLOSE, "reason", 0, 512, false),
    NOTICE(RX_GOAWAY),
    COUNT(RX_GOAWAY, "grace_ms"),
    NOTICE(RX_ERROR),
    IDENTITY(RX_EXEC, true),
    {RX_EXEC, NULL, "run", CHOICE, 0, 0, false, "shell exec login subsystem"},
    STRING(RX_EXEC, "user", 1, 32, false),
    COUNT(RX_EXEC, "age_ms"),
    {RX_EXEC, NULL, "timeout_ms", INTEGER, 1, MOST, false, NULL},
    COUNT(RX_EXEC, "linger_ms"),
    COUNT(RX_EXEC, "drain_ms"),
    YES_NO(RX_EXEC, "detach"),
    STRING(RX_EXEC, "label", 1, 64, false),
    {RX_EXEC, NULL, "stdin", CHOICE, 0, 0, false, "stream none"},
    {RX_EXEC, NULL, "pty", OBJECT, 0, 0, false, NULL},
    {RX_EXEC, "pty", "term", TEXT, 1, 64, true, NULL},
    SIZE(RX_EXEC, "pty", "rows", true),
    SIZE(RX_EXEC, "pty", "cols", true),
    SIZE(RX_EXEC, "pty", "width", false),
    SIZE(RX_EXEC, "pty", "height", false),
    {RX_EXEC, "pty", "modes", NAMED_INTEGERS, 0, UINT32_MAX, false, NULL},
    {RX_EXEC, NULL, "limits", OBJECT, 0, 0, false, NULL},
    LIMIT("cpu_ms", 1),
    LIMIT("memory", 1),
    LIMIT("output", 1),
    LIMIT("files", 1),
    LIMIT("processes", 1),
    LIMIT("file_size", 1),
    LIMIT("core", 0),
    IDENTITY(RX_RESUME, true),
    IDENTITY(RX_ATTACH, true),
    YES_NO(RX_ATTACH, "steal"),
    STRING(RX_SIGNAL, "signal", 1, 16, true),
    {RX_SIGNAL, NULL, "n", INTEGER, 1, MOST, false, NULL},
    IDENTITY(RX_SIGNAL, false),
    COUNT(RX_DETACH, "linger_ms"),
    SIZE(RX_RESIZE, NULL, "rows", true),
    SIZE(RX_RESIZE, NULL, "cols", true),
    SIZE(RX_RESIZE, NULL, "width", true),
    SIZE(RX_RESIZE, NULL, "height", true),
    IDENTITY(RX_LIST, false),
    IDENTITY(RX_FORGET, true),
    COUNT(RX_STARTED, "pid"),
    COUNT(RX_STARTED, "start_us"),
    STRING(RX_STARTED, "user", 1, 32, false),
    YES_NO(RX_STARTED, "already"),
    COUNT(RX_RESUMED, "pid"),
    COUNT(RX_RESUMED, "start_us"),
    COUNT(RX_RESUMED, "n"),
    NOTICE(RX_REFUSED),
    COUNT(RX_REFUSED, "n"),
    COUNT(RX_DONE, "n"),
    IDENTITY(RX_LISTED, true), /* or nothing at all */
    {RX_LISTED, NULL, "state", CHOICE, 0, 0, true, "running exited"},
    {RX_LISTED, NULL, "start_us", INTEGER, 0, MOST, true, NULL},
    STRING(RX_LISTED, "label", 1, 64, false),
    YES_NO(RX_LISTED, "attached"),
    STRING(RX_LISTED, "user", 1, 32, false),
    EXIT(RX_LISTED),
    COUNT(RX_EXIT, "start_us"),
    EXIT(RX_EXIT),
};

enum { NAMES = sizeof names / sizeof names[0] };

#define SOME_ID "\"0123456789abcdef0123456789abcdef\""

/* Values that make the header whole around the one that is tested. */
static const struct {
    enum rx_type type;
    const char *within, *name, *value;
    const char *but; /* left out when this one is tested */
} whole[] = {
    {RX_WELCOME, NULL, "server", "\"s\"", NULL},
    {RX_WELCOME, NULL, "version", "\"v\"", NULL},
    {RX_WELCOME, NULL, "time_us", "1", NULL},
    {RX_GOAWAY, NULL, "code", "65", NULL},
    {RX_GOAWAY, NULL, "name", "\"n\"", NULL},
    {RX_GOAWAY, NULL, "text", "\"t\"", NULL},
    {RX_ERROR, NULL, "code", "1", NULL},
    {RX_ERROR, NULL, "name", "\"n\"", NULL},
    {RX_ERROR, NULL, "text", "\"t\"", NULL},
    {RX_REFUSED, NULL, "code", "64", NULL},
    {RX_REFUSED, NULL, "name", "\"n\"", NULL},
    {RX_REFUSED, NULL, "text", "\"t\"", NULL},
    {RX_EXEC, NULL, "id", SOME_ID, NULL},
    {RX_EXEC, "pty", "term", "\"vt100\"", NULL},
    {RX_EXEC, "pty", "rows", "24", NULL},
    {RX_EXEC, "pty", "cols", "80", NULL},
    {RX_RESUME, NULL, "id", SOME_ID, NULL},
    {RX_ATTACH, NULL, "id", SOME_ID, NULL},
    {RX_FORGET, NULL, "id", SOME_ID, NULL},
    {RX_SIGNAL, NULL, "signal", "\"TERM\"", NULL},
    {RX_SIGNAL, NULL, "n", "1", "id"},
    {RX_RESIZE, NULL, "rows", "1", NULL},
    {RX_RESIZE, NULL, "cols", "1", NULL},
    {RX_RESIZE, NULL, "width", "1", NULL},
    {RX_RESIZE, NULL, "height", "1", NULL},
    {RX_LISTED, NULL, "id", SOME_ID, NULL},
    {RX_LISTED, NULL, "state", "\"exited\"", NULL},
    {RX_LISTED, NULL, "start_us", "1", NULL},
    {RX_LISTED, NULL, "code", "0", "signal"},
    {RX_EXIT, NULL, "code", "0", "signal"},
};

enum { WHOLE = sizeof whole / sizeof whole[0] };

/* ---- making headers --------------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct text {
    char bytes[TEXT_ROOM];
    size_t n;
};

static void say(struct text *t, const char *piece)
{
    size_t n = strlen(piece);
    assert_true(n < sizeof t->bytes - t->n);
    memcpy(t->bytes + t->n, piece, n + 1);
    t->n += n;
}

static void member(struct text *t, const char *name, const char *value)
{
    if (t->bytes[t->n - 1] != '{')
        say(t, ",");
    say(t, "\"");
    say(t, name);
    say(t, "\":");
    say(t, value);
}

/* The members of one object: the tested one, and what must stand beside it. */
static void members(struct text *t, const struct name *f, const char *within, const char *value)
{
    for (size_t i = 0; i < WHOLE; i++)
        if (whole[i].type == f->type && same(whole[i].within, within) &&
            !(same(within, f->within) && strcmp(whole[i].name, f->name) == 0) &&
            !(within == NULL && same(whole[i].but, f->name)))
            member(t, whole[i].name, whole[i].value);
    if (same(within, f->within) && value != NULL)
        member(t, f->name, value);
}

/* Decodes a header that is whole but for this value (NULL: left out). */
static enum rx_error decode_with(const struct name *f, const char *value)
{
    static struct text t, inner;
    t.n = inner.n = 0;
    say(&t, "{");
    members(&t, f, NULL, value);
    if (f->within != NULL) {
        say(&inner, "{");
        members(&inner, f, f->within, value);
        say(&inner, "}");
        member(&t, f->within, inner.bytes);
    }
    say(&t, "}");
    struct rx_header h;
    return rx_header_decode(f->type, guard_copy(t.bytes, t.n), t.n, &h);
}

static void expect(const struct name *f, const char *value, bool good)
{
    enum rx_error error = decode_with(f, value);
    if (error != (good ? RX_OK : RX_E_BAD_HEADER))
        fail_msg("%s: %s%s%s = %.200s: %s", rx_kind((uint8_t)f->type)->name,
                 f->within != NULL ? f->within : "", f->within != NULL ? "." : "", f->name,
                 value != NULL ? value : "(absent)", rx_error_name(error));
}

/* ---- values ----------------------------------------------------------------------------- */

static const char *number(int64_t n)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    return text;
}

/* n bytes between quotes, of characters of so many bytes each. */
static const char *string_of(size_t n, size_t width)
{
    static const char *const characters[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac",
                                             "\xf0\x9f\x98\x80"};
    static char text[LONG_MAX_BYTES + 3];
    assert_true(n <= LONG_MAX_BYTES);
    size_t at = 0;
    text[at++] = '"';
    while (at + width <= n + 1) {
        memcpy(text + at, characters[width], width);
        at += width;
    }
    while (at < n + 1)
        text[at++] = 'x';
    memcpy(text + at, "\"", 2);
    return text;
}

/* `[V,V]` or `{"k0":V,"k1":V}` with n members. */
static const char *list_of(size_t n, const char *value, bool named)
{
    static char text[TEXT_ROOM / 2];
    size_t at = 0;
    text[at++] = named ? '{' : '[';
    for (size_t i = 0; i < n; i++) {
        const char *comma = i > 0 ? "," : "";
        int length = named ? snprintf(text + at, sizeof text - at, "%s\"k%zu\":%s", comma, i, value)
                           : snprintf(text + at, sizeof text - at, "%s%s", comma, value);
        assert_true(length > 0 && (size_t)length < sizeof text - at - 2);
        at += (size_t)length;
    }
    text[at++] = named ? '}' : ']';
    text[at] = '\0';
    return text;
}

static void try_integer(const struct name *f)
{
    static const char *const wrong[] = {"1.0",
                                        "1.5",
                                        "1e1",
                                        "1E0",
                                        "10e-1",
                                        "-1.0",
                                        "\"1\"",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "9223372036854775808",
                                        "1e400",
                                        "9007199254740992",
                                        "-9007199254740992",
                                        "01",
                                        "+1",
                                        "0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect(f, wrong[i], false);
    expect(f, number(f->low), true);
    expect(f, number(f->high), true);
    expect(f, number(f->low + (f->high - f->low) / 2), true);
    expect(f, number(f->low - 1), false);
    expect(f, number(f->high + 1), false);
}

static void try_text(const struct name *f)
{
    for (size_t width = 1; width <= 4; width++) {
        for (int64_t n = f->low; n <= f->low + 4; n++)
            expect(f, string_of((size_t)n, width), true);
        expect(f, string_of((size_t)f->high, width), true);
        expect(f, string_of((size_t)f->high + 1, width), false);
        expect(f, string_of((size_t)f->high + 1000, width), false);
    }
    expect(f, "\"\"", f->low == 0);
    expect(f, "\"\\u0061\"", true);
    expect(f, "\"\\ud83d\\ude00\"", true);
    static const char *const wrong[] = {"\"a\\u0000\"", "\"\\ud83d\"", "\"a\nb\"", "\"\xff\"",
                                        "\"\xc3\"",     "\"\\x41\"",   "'a'",      "\"a"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect(f, wrong[i], false);
}

static void try_id(const struct name *f)
{
    static const struct {
        const char *value;
        bool good;
    } cases[] = {
        {"\"00000000000000000000000000000000\"", true},
        {"\"ffffffffffffffffffffffffffffffff\"", true},
        {"\"0123456789abcdef0123456789abcdef\"", true},
        {"\"0123456789abcdef0123456789abcde\"", false},
        {"\"0123456789abcdef0123456789abcdef0\"", false},
        {"\"0123456789ABCDEF0123456789abcdef\"", false},
        {"\"g0000000000000000000000000000000\"", false},
        {"\"0000000000000000000000000000000g\"", false},
        {"\"0000000000000000000000000000000 \"", false},
        {"\"0000000000000000000000000000000/\"", false},
        {"\"0000000000000000000000000000000:\"", false},
        {"\"0000000000000000000000000000000`\"", false},
        {"\"000000000000000000000000000000\xc3\xa9\"", false},
        {"\"\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(f, cases[i].value, cases[i].good);
}

static void try_choice(const struct name *f)
{
    const char *at = f->choices;
    while (*at != '\0') {
        char value[64];
        size_t n = strcspn(at, " ");
        (void)snprintf(value, sizeof value, "\"%.*s\"", (int)n, at);
        expect(f, value, true);
        (void)snprintf(value, sizeof value, "\"%.*sx\"", (int)n, at);
        expect(f, value, false);
        (void)snprintf(value, sizeof value, "\"%.*s\"", (int)n - 1, at);
        expect(f, value, false);
        (void)snprintf(value, sizeof value, "\"%c%.*s\"", *at - 'a' + 'A', (int)n - 1, at + 1);
        expect(f, value, false);
        at += n + strspn(at + n, " ");
    }
    expect(f, "\"\"", false);
    expect(f, "0", false);
}

static void try_lists(const struct name *f)
{
    bool named = f->kind == NAMED_INTEGERS;
    size_t most = f->kind == TEXTS ? 16 : named ? 72 : 32;
    bool texts = f->kind == TEXTS;
    const char *good = texts ? "\"a\"" : "1";
    expect(f, list_of(0, good, named), true);
    expect(f, list_of(1, good, named), true);
    expect(f, list_of(most, good, named), true);
    expect(f, list_of(most + 1, good, named), false);
    if (texts) {
        expect(f, list_of(1, string_of(32, 1), false), true);
        expect(f, list_of(1, string_of(33, 1), false), false);
        expect(f, list_of(1, "\"\"", false), false);
    } else {
        expect(f, list_of(1, number(f->low), named), true);
        expect(f, list_of(1, number(f->high), named), true);
        expect(f, list_of(1, number(f->low - 1), named), false);
        expect(f, list_of(1, number(f->high + 1), named), false);
    }
    static const char *const wrong[] = {"null", "true", "[]", "{}", "1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect(f, list_of(2, wrong[i], named), false);
    expect(f, list_of(1, texts ? "1" : "\"1\"", named), false);
    expect(f, named ? "{\"k\":1,\"k\":1}" : "[1,]", false);
    if (named) {
        expect(f, "{\"\":1}", false);
        expect(f, "{\"123456789012\":1}", true);
        expect(f, "{\"1234567890123\":1}", false);
    }
}

/* ---- tests ------------------------------------------------------------------------------ */

/* Values of each JSON type; those of the field's own are left out. */
static void test_wrong_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        const struct name *f = &names[i];
        bool list = f->kind == TEXTS || f->kind == INTEGERS;
        bool object = f->kind == OBJECT || f->kind == NAMED_INTEGERS;
        bool text = f->kind == TEXT || f->kind == ID || f->kind == CHOICE;
        expect(f, "null", false);
        expect(f, "1.5", false);
        if (f->kind != BOOLEAN) {
            expect(f, "true", false);
            expect(f, "false", false);
        }
        if (f->kind != INTEGER)
            expect(f, "1", false);
        if (!text)
            expect(f, "\"x\"", false);
        if (!list)
            expect(f, "[]", false);
        if (!object)
            expect(f, "{}", false);
        expect(f, "[null]", false);
        expect(f, "", false);
    }
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        const struct name *f = &names[i];
        switch (f->kind) {
        case INTEGER:
            try_integer(f);
            break;
        case BOOLEAN:
            expect(f, "true", true);
            expect(f, "false", true);
            expect(f, "True", false);
            expect(f, "0", false);
            break;
        case TEXT:
            try_text(f);
            break;
        case ID:
            try_id(f);
            break;
        case CHOICE:
            try_choice(f);
            break;
        case OBJECT:
            expect(f, "{\"unknown\":[]}", strcmp(f->name, "pty") != 0);
            break;
        case TEXTS:
        case INTEGERS:
        case NAMED_INTEGERS:
            try_lists(f);
            break;
        }
    }
}

static void test_required(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        /* Of these pairs one is always there. */
        bool pair =
            (names[i].type == RX_SIGNAL && names[i].name[0] != 's') ||
            ((names[i].type == RX_EXIT || names[i].type == RX_LISTED) && names[i].within == NULL &&
             (same(names[i].name, "code") || same(names[i].name, "signal")));
        expect(&names[i], NULL, !names[i].required && !pair);
    }
}

/* A name that another type knows means nothing here: whatever its value, it is ignored. */
static void test_names_of_other_types(void **state)
{
    (void)state;
    for (size_t type = 0; rx_kind_at(type) != NULL; type++) {
        for (size_t i = 0; i < NAMES; i++) {
            struct name stranger = names[i];
            bool known = names[i].within != NULL || rx_kind_at(type)->header_max == 0;
            for (size_t own = 0; own < NAMES; own++)
                known |= names[own].type == (enum rx_type)rx_kind_at(type)->number &&
                         same(names[own].name, stranger.name);
            if (known)
                continue;
            stranger.type = (enum rx_type)rx_kind_at(type)->number;
            stranger.kind = OBJECT;
            expect(&stranger, "null", true);
            expect(&stranger, "{\"x\":[1.5]}", true);
            expect(&stranger, "\"\"", true);
            expect(&stranger, "-1", true);
        }
    }
}

/* A pair of which exactly one must be there. */
static void test_either_or(void **state)
{
    (void)state;
    static const struct {
        enum rx_type type;
        const char *header;
        bool good;
    } cases[] = {
        {RX_SIGNAL, "{\"signal\":\"INT\",\"n\":1}", true},
        {RX_SIGNAL, "{\"signal\":\"INT\",\"id\":" SOME_ID "}", true},
        {RX_SIGNAL, "{\"signal\":\"INT\"}", false},
        {RX_SIGNAL, "{\"signal\":\"INT\",\"n\":1,\"id\":" SOME_ID "}", false},
        {RX_EXIT, "{\"code\":0}", true},
        {RX_EXIT, "{\"signal\":\"KILL\"}", true},
        {RX_EXIT, "{}", false},
        {RX_EXIT, "", false},
        {RX_EXIT, "{\"code\":0,\"signal\":\"KILL\"}", false},
        {RX_LISTED, "", true},
        {RX_LISTED, "{}", true},
        {RX_LISTED, "{\"id\":" SOME_ID "}", false},
        {RX_LISTED, "{\"state\":\"running\",\"start_us\":1}", false},
        {RX_LISTED, "{\"id\":" SOME_ID ",\"state\":\"running\",\"start_us\":1}", true},
        {RX_LISTED, "{\"id\":" SOME_ID ",\"state\":\"exited\",\"start_us\":1}", false},
        {RX_LISTED, "{\"id\":" SOME_ID ",\"state\":\"exited\",\"start_us\":1,\"code\":1}", true},
        {RX_LISTED,
         "{\"id\":" SOME_ID ",\"state\":\"exited\",\"start_us\":1,\"code\":1,\"signal\":\"HUP\"}",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_header h;
        size_t n = strlen(cases[i].header);
        enum rx_error error =
            rx_header_decode(cases[i].type, guard_copy(cases[i].header, n), n, &h);
        if (error != (cases[i].good ? RX_OK : RX_E_BAD_HEADER))
            fail_msg("%s: %s", cases[i].header, rx_error_name(error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_types), cmocka_unit_test(test_values),
        cmocka_unit_test(test_required),    cmocka_unit_test(test_names_of_other_types),
        cmocka_unit_test(test_either_or),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
