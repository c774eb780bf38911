/*
 * tests/fuzz/rexec.dict, the fuzzers' words, is what the lists of proto/ give: message numbers,
 * header names and their choices, errors. `test_dict write` writes it anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/header_fields.h"
#include "proto/message.h"

#define DICT REXEC_SOURCE_DIR "/tests/fuzz/rexec.dict"

enum { DICT_MAX = 64 * 1024 };

struct text {
    char bytes[DICT_MAX];
    size_t n;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, list);
    va_end(list);
    assert_true(n > 0 && (size_t)n < sizeof t->bytes - t->n);
    t->n += (size_t)n;
}

/* A line, unless it is there already. */
static void say_once(struct text *t, const char *line)
{
    if (strstr(t->bytes, line) == NULL)
        say(t, "%s", line);
}

/* A name with what stands around it in a header; a value of its kind. */
/* As deep as the tables nest. NOLINTNEXTLINE(misc-no-recursion) */
static void say_fields(struct text *t, const struct field *f)
{
    static const char *const values[] = {
        [FIELD_INTEGER] = "1",
        [FIELD_BOOLEAN] = "true",
        [FIELD_TEXT] = "\\\"a\\\"",
        [FIELD_ID] = "\\\"0123456789abcdef0123456789abcdef\\\"",
        [FIELD_CHOICE] = "",
        [FIELD_OBJECT] = "{}",
        [FIELD_FEATURES] = "[\\\"a\\\"]",
        [FIELD_HOLDERS] = "[1]",
        [FIELD_MODES] = "{\\\"echo\\\":1}",
    };
    char line[256];
    for (; f->name != NULL; f++) {
        const char *const *choice = f->choices;
        do {
            (void)snprintf(line, sizeof line, "\"\\\"%s\\\":%s%s%s\"\n", f->name,
                           choice != NULL ? "\\\"" : values[f->kind], choice != NULL ? *choice : "",
                           choice != NULL ? "\\\"" : "");
            say_once(t, line);
        } while (choice != NULL && *++choice != NULL);
        if (f->kind == FIELD_OBJECT)
            say_fields(t, f->fields);
    }
}

static void make(struct text *t)
{
    t->n = 0;
    say(t, "# Words for the fuzzers. Made by tests/unit/test_dict.c: `test_dict write`.\n");
    say(t, "\n# types of messages, with flags and length of header\n");
    for (size_t i = 0; rx_kind_at(i) != NULL; i++)
        say(t, "%s=\"\\x%02x\\x00\\x00\\x00\"\n", rx_kind_at(i)->name, rx_kind_at(i)->number);
    say(t, "\n# names of headers\n");
    for (size_t i = 0; rx_kind_at(i) != NULL; i++)
        say_fields(t, header_fields((enum rx_type)rx_kind_at(i)->number));
    say(t, "\n# errors\n");
    for (unsigned code = 1; code < 256; code++)
        if (rx_error_by_name(rx_error_name(code)) == code)
            say(t, "\"\\\"code\\\":%u,\\\"name\\\":\\\"%s\\\",\\\"text\\\":\\\"\\\"\"\n", code,
                rx_error_name(code));
    say(t, "\n# JSON, words, windows\n");
    static const char *const rest[] = {"{}",
                                       "\\\"\\\"",
                                       "\\\\u0000",
                                       "\\\\ud83d\\\\ude00",
                                       "[[[[[[[[",
                                       "9007199254740991",
                                       "null",
                                       "1.5e3",
                                       "\\x01\\x00\\x00\\x00\\x01a",
                                       "\\x02\\x00\\x00\\x00\\x03A=1",
                                       "\\x03\\x00\\x00\\x00\\x01/",
                                       "\\x80\\x00\\x00\\x00\\x00",
                                       "\\x00\\x01\\x00\\x00",
                                       "\\x00\\x04\\x00\\x00",
                                       "\\x00\\x03\\xfc\\x00",
                                       "\\x01\\x00\\x00\\x00",
                                       "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        say(t, "\"%s\"\n", rest[i]);
}

static void test_current(void **state)
{
    (void)state;
    static struct text made, found;
    make(&made);
    FILE *file = fopen(DICT, "r");
    assert_non_null(file);
    found.n = fread(found.bytes, 1, sizeof found.bytes - 1, file);
    assert_int_equal(fclose(file), 0);
    if (strcmp(found.bytes, made.bytes) != 0)
        fail_msg("%s is out of date: run `test_dict write`", DICT);
}

static int write_it(void)
{
    static struct text made;
    make(&made);
    FILE *file = fopen(DICT, "w");
    if (file == NULL)
        return 1;
    size_t n = fwrite(made.bytes, 1, made.n, file);
    return fclose(file) != 0 || n != made.n;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_current)};
    if (argc == 2 && strcmp(argv[1], "write") == 0)
        return write_it();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
