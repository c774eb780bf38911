/* proto/error.c, and the table of errors in docs/PROTOCOL.md. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/unit/doc_table.h"

struct entry {
    unsigned code;
    const char *name, *upper, *text;
};

static const struct entry list[] = {
#define X(number, NAME, name, text) {RX_E_##NAME, #name, #NAME, (text)},
#include "proto/error.def"
#undef X
};

enum { COUNT = sizeof list / sizeof list[0] };

static void test_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = i + 1; j < COUNT; j++) {
            assert_int_not_equal(list[i].code, list[j].code);
            assert_string_not_equal(list[i].name, list[j].name);
        }
    }
}

/* A name is a word for programs, the same in both cases. */
static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const char *name = list[i].name, *upper = list[i].upper;
        size_t n = strlen(name);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), n);
        assert_int_equal(strlen(upper), n);
        for (size_t at = 0; at < n; at++)
            assert_int_equal(upper[at], name[at] == '_' ? '_' : name[at] - 'a' + 'A');
    }
}

/* The engine puts name and text into a header as they are: 512 bytes hold it, nothing escapes. */
static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const char *text = list[i].text;
        size_t n = strlen(text);
        assert_true(n > 0 && n + strlen(list[i].name) + 64 < 512);
        assert_int_not_equal(text[n - 1], '.');
        for (size_t at = 0; at < n; at++)
            assert_true(text[at] >= ' ' && text[at] <= '~' && text[at] != '"' && text[at] != '\\');
    }
}

static void test_look_up(void **state)
{
    (void)state;
    assert_int_equal(RX_OK, 0);
    assert_string_equal(rx_error_name(0), "ok");
    assert_string_equal(rx_error_text(0), "no error");
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(rx_error_name(list[i].code), list[i].name);
        assert_string_equal(rx_error_text(list[i].code), list[i].text);
        assert_int_equal(rx_error_by_name(list[i].name), list[i].code);
    }
}

static const struct entry *entry_of(unsigned code)
{
    for (size_t i = 0; i < COUNT; i++)
        if (list[i].code == code)
            return &list[i];
    return NULL;
}

static void test_unknown(void **state)
{
    (void)state;
    for (unsigned code = 1; code < 70000; code++) {
        if (entry_of(code) != NULL)
            continue;
        assert_string_equal(rx_error_name(code), "unknown");
        assert_string_equal(rx_error_text(code), "an error that this version does not know");
    }
    assert_string_equal(rx_error_name(UINT_MAX), "unknown");
    static const char *const names[] = {"",          "ok",          "unknown",    "BAD_LENGTH",
                                        "bad_lengt", "bad_length ", "bad_lengthx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(rx_error_by_name(names[i]), RX_OK);
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        unsigned low, high;
        enum rx_error_class class;
    } ranges[] = {
        {0, 0, RX_CLASS_UNKNOWN},      {1, 63, RX_CLASS_SESSION},
        {64, 127, RX_CLASS_REFUSAL},   {128, 255, RX_CLASS_LOCAL},
        {256, 1000, RX_CLASS_UNKNOWN}, {UINT_MAX - 1, UINT_MAX - 1, RX_CLASS_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        for (unsigned code = ranges[i].low; code <= ranges[i].high; code++)
            assert_int_equal(rx_error_class(code), ranges[i].class);
}

static const char *class_name(unsigned code)
{
    return code < 64 ? "session" : code < 128 ? "refusal" : "local";
}

static void test_document(void **state)
{
    (void)state;
    struct doc_table table;
    doc_table_read(&table, "errors");
    assert_int_equal(table.cells, 4);
    for (size_t i = 0; i < COUNT && i < table.rows; i++) {
        char code[16];
        (void)snprintf(code, sizeof code, "%u", list[i].code);
        assert_string_equal(table.cell[i][0], code);
        assert_string_equal(table.cell[i][1], list[i].name);
        assert_string_equal(table.cell[i][2], class_name(list[i].code));
        assert_string_equal(table.cell[i][3], list[i].text);
    }
    assert_int_equal(table.rows, COUNT);
    doc_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unique),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_texts),    cmocka_unit_test(test_look_up),
        cmocka_unit_test(test_unknown),  cmocka_unit_test(test_classes),
        cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
