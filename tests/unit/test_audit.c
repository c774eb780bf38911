/* rexecd/audit.c and log.c: whatever bytes are in it, one record is one well-formed line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/words.h"
#include "rexecd/audit.h"
#include "rexecd/log.h"
#include "tests/duel/session.h"

/* The line as an object: printable ASCII, one newline, at its end. */
static json_t *parse_line(char *line)
{
    assert_non_null(line);
    size_t n = strlen(line);
    assert_true(n > 2);
    for (size_t i = 0; i + 1 < n; i++)
        assert_in_range((unsigned char)line[i], 0x20, 0x7e);
    assert_int_equal(line[n - 1], '\n');
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(object);
    assert_true(json_is_object(object));
    free(line);
    return object;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static struct rx_exit an_exit(void)
{
    struct rx_exit x = {.code = 3, .start_us = 1700000000000001, .end_us = 1700000001000002};
    (void)snprintf(x.by, sizeof x.by, "%s", "self");
    return x;
}

static struct audit_command a_command(const uint8_t *words, size_t n)
{
    return (struct audit_command){
        .who = {.principal = "alice",
                .peer = {.family = RX_FAMILY_IPV4, .address = {192, 0, 2, 7}, .bits = 32},
                .port = 99},
        .run = "exec",
        .user = "bob",
        .words = words,
        .words_len = n,
        .pid = 42,
        .bytes = {1, 2, 3},
    };
}

static void test_command(void **state)
{
    (void)state;
    uint8_t words[256];
    size_t n = 0;
    struct rx_exit x = an_exit();
    assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, "a b", 3), RX_OK);
    assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_ENVIRONMENT, "X=y", 3), RX_OK);
    assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_DIRECTORY, "/tmp", 4), RX_OK);
    assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, "", 0), RX_OK);
    struct audit_command r = a_command(words, n);
    r.exit = &x;
    json_t *o = parse_line(audit_command_line(&r, 1700000002000003));
    assert_string_equal(text_of(o, "time"), "2023-11-14T22:13:22.000003Z");
    assert_string_equal(text_of(o, "record"), "command");
    assert_string_equal(text_of(o, "from"), "192.0.2.7");
    assert_string_equal(text_of(o, "directory"), "/tmp");
    assert_string_equal(text_of(o, "by"), "self");
    assert_int_equal(json_integer_value(json_object_get(o, "code")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "stderr")), 3);
    const json_t *list = json_object_get(o, "words");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "a b");
    assert_null(json_object_get(o, "words_base64"));
    json_decref(o);
}

/* Every byte, in every field that a client or an administrator fills. */
static void test_every_byte(void **state)
{
    (void)state;
    struct rx_exit x = an_exit();
    for (unsigned byte = 1; byte < 256; byte++) {
        const char text[] = {'a', (char)(unsigned char)byte, '"', '\\', '\0'};
        uint8_t words[256];
        size_t n = 0;
        (void)rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, text, 4);
        (void)rx_words_add(words, sizeof words, &n, RX_WORD_DIRECTORY, text, 4);
        struct audit_command r = a_command(words, n);
        memcpy(x.detail, text, sizeof text);
        memcpy(x.by, text, sizeof text);
        r.exit = &x;
        r.who.principal = r.run = r.user = r.forced = r.refused = r.text = text;
        json_t *o = parse_line(audit_command_line(&r, 0));
        char expected[16];
        (void)snprintf(expected, sizeof expected, byte < 0x80 ? "a%c\"\\" : "a\xef\xbf\xbd\"\\",
                       (int)byte);
        const char *const fields[] = {"principal", "run",    "user", "forced",   "refused",
                                      "text",      "detail", "by",   "directory"};
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            assert_string_equal(text_of(o, fields[i]), expected);
        const json_t *base64 = json_object_get(o, "words_base64");
        assert_int_equal(base64 != NULL, byte >= 0x80);
        if (base64 != NULL) {
            uint8_t back[16];
            size_t len;
            const char *encoded = json_string_value(json_array_get(base64, 0));
            assert_int_equal(sodium_base642bin(back, sizeof back, encoded, strlen(encoded), NULL,
                                               &len, NULL, sodium_base64_VARIANT_ORIGINAL),
                             0);
            assert_int_equal(len, 4);
            assert_memory_equal(back, text, 4);
        }
        json_decref(o);
        struct audit_session s = {.who = r.who, .suite = text, .how = text, .error = text};
        o = parse_line(audit_session_line(&s, 0));
        assert_string_equal(text_of(o, "how"), expected);
        json_decref(o);
    }
}

/* Random bytes are UTF-8 or are replaced; jansson, which refuses what is not, is the judge. */
static void test_random(void **state)
{
    (void)state;
    struct dice d = {.state = 5};
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[24], words[64];
        size_t len = (size_t)dice_below(&d, sizeof bytes), n = 0;
        dice_fill(&d, bytes, sizeof bytes);
        for (size_t i = 0; i < len; i++) {
            static const uint8_t likely[] = {0xc2, 0xe0, 0xa0, 0xed, 0x9f, 0xf0,
                                             0x90, 0xf4, 0x8f, 0x80, 0xbf, 0xef};
            if (dice_below(&d, 2) == 0)
                bytes[i] = likely[dice_below(&d, sizeof likely)];
            if (bytes[i] == 0)
                bytes[i] = 1;
        }
        assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, bytes, len),
                         RX_OK);
        struct audit_command r = a_command(words, n);
        json_t *o = parse_line(audit_command_line(&r, 0));
        json_t *same = json_stringn((const char *)bytes, len);
        assert_int_equal(json_object_get(o, "words_base64") == NULL, same != NULL);
        json_decref(same);
        json_decref(o);
    }
}

/* A command as long as the protocol allows is cut, and says so. */
static void test_long(void **state)
{
    (void)state;
    static uint8_t words[RX_WORDS_MAX];
    size_t n = 0;
    while (rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, "", 0) == RX_OK)
        ;
    struct audit_command r = a_command(words, n);
    json_t *o = parse_line(audit_command_line(&r, 0));
    assert_true(json_array_size(json_object_get(o, "words")) <= AUDIT_WORDS_MAX);
    assert_non_null(json_object_get(o, "words_bytes"));
    json_decref(o);
    n = 0;
    static uint8_t large[100000];
    memset(large, 0xff, sizeof large);
    assert_int_equal(rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, large, sizeof large),
                     RX_OK);
    r = a_command(words, n);
    char *line = audit_command_line(&r, 0);
    assert_true(strlen(line) < 12 * AUDIT_WORDS_MAX);
    o = parse_line(line);
    assert_int_equal(json_integer_value(json_object_get(o, "words_bytes")), sizeof large);
    json_decref(o);
}

static void test_file(void **state)
{
    (void)state;
    char path[64], moved[80], text[4096];
    struct stat st;
    (void)snprintf(path, sizeof path, "/tmp/rexec-test-audit.%d", (int)getpid());
    (void)snprintf(moved, sizeof moved, "%s.1", path);
    struct audit *audit = audit_open(path);
    assert_non_null(audit);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct audit_session s = {.who = {.principal = "a"}, .how = "close"};
    audit_session(audit, &s);
    assert_int_equal(rename(path, moved), 0);
    audit_session(audit, &s);
    assert_int_equal(audit_reopen(audit), 0);
    audit_session(audit, &s);
    audit_close(audit);
    const char *const files[] = {moved, path};
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "re");
        assert_non_null(file);
        size_t lines = 0;
        while (fgets(text, sizeof text, file) != NULL) {
            json_decref(parse_line(strdup(text)));
            lines++;
        }
        assert_int_equal(lines, 2 - i);
        (void)fclose(file);
        (void)unlink(files[i]);
    }
    assert_null(audit_open("none"));
    assert_int_equal(errno, 0);
    assert_null(audit_open("/no/such/directory/file"));
    assert_int_not_equal(errno, 0);
    audit_session(NULL, &s);
}

/* A disk that is full cuts a record short; the next one is whole again, on a line of its own. */
static void test_torn(void **state)
{
    (void)state;
    char path[64], text[4096];
    struct rlimit before, small;
    struct stat st;
    struct audit_session s = {.who = {.principal = "a"}, .how = "close"};
    (void)snprintf(path, sizeof path, "/tmp/rexec-test-torn.%d", (int)getpid());
    struct audit *audit = audit_open(path);
    assert_non_null(audit);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    log_open("rexecd", LOG_LEVEL_ERROR, false);
    small = before;
    small.rlim_cur = 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    audit_session(audit, &s); /* cut */
    audit_session(audit, &s); /* lost */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 20);
    audit_session(audit, &s);
    audit_session(audit, &s);
    audit_close(audit);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_int_equal(strlen(text), 21);
    for (int i = 0; i < 2; i++) {
        assert_non_null(fgets(text, sizeof text, file));
        json_decref(parse_line(strdup(text)));
    }
    assert_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    (void)unlink(path);
}

/* Lines for people: the same promise. */
static void test_log(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    log_open("rexecd", LOG_LEVEL_INFO, false);
    for (unsigned byte = 1; byte < 256; byte++) {
        char line[64];
        log_info("a%cb", (int)byte);
        ssize_t n = read(fds[0], line, sizeof line);
        assert_true(n >= 11 && n <= 15);
        assert_memory_equal(line, "rexecd: a", 9);
        assert_memory_equal(line + n - 2, "b\n", 2);
        for (ssize_t i = 0; i < n - 1; i++)
            assert_in_range((unsigned char)line[i], 0x20, 0x7e);
    }
    static char large[3 * LOG_LINE_MAX], out[8 * LOG_LINE_MAX];
    for (int byte = 'x'; byte <= 255; byte += 255 - 'x') {
        memset(large, byte, sizeof large - 1);
        log_info("%s", large);
        ssize_t n = read(fds[0], out, sizeof out);
        assert_true(n > LOG_LINE_MAX / 2 && n <= LOG_LINE_MAX + 8);
        assert_memory_equal(out + n - 4, "...\n", 4);
        assert_null(memchr(out, '\n', (size_t)n - 1));
    }
    log_debug("not this");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], out, sizeof out), 0);
    (void)close(fds[0]);
}

static void test_escape(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(log_escape("a\n\\", 3, out, sizeof out), 7);
    assert_string_equal(out, "a\\x0a\\\\");
    /* Cut between characters, never within. */
    for (size_t cap = 1; cap < sizeof out; cap++) {
        size_t n = log_escape("\n\n\n", 3, out, cap);
        assert_int_equal(n, (cap - 1) / 4 * 4 < 12 ? (cap - 1) / 4 * 4 : 12);
        assert_int_equal(out[n], '\0');
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_long),
        cmocka_unit_test(test_file),    cmocka_unit_test(test_log),
        cmocka_unit_test(test_escape),  cmocka_unit_test(test_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
