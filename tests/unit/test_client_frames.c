/* rexec/lesson_frame.c: the two cures; rexec/trace_*.c: a trace, written, read, taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "rexec/draw_print.h"
#include "rexec/lesson_frame.h"
#include "rexec/trace_draw.h"
#include "rexec/trace_write.h"

/* ---- frames ----------------------------------------------------------------------------- */

static const char *const messages[] = {"ls -l", "", "a\nb", "{\"size\":3}", "你好"};
enum { MESSAGES = sizeof messages / sizeof messages[0] };

/* All messages come out, whatever size the pieces have. */
static void test_every_split(void **state)
{
    (void)state;
    for (enum framing framing = FRAMING_LENGTH; framing <= FRAMING_HEADER; framing++) {
        struct buffer wire = {0};
        for (size_t i = 0; i < MESSAGES; i++)
            assert_true(frame_add(framing, messages[i], strlen(messages[i]), &wire));
        for (size_t piece = 1; piece <= wire.n; piece++) {
            struct frame_reader r = {.framing = framing};
            struct frame f;
            size_t got = 0, bytes = 0;
            for (size_t at = 0; at < wire.n; at += piece) {
                size_t n = wire.n - at < piece ? wire.n - at : piece;
                assert_true(frame_feed(&r, wire.bytes + at, n));
                enum frame_next next;
                while ((next = frame_next(&r, &f)) == FRAME_WHOLE) {
                    assert_true(got < MESSAGES);
                    assert_int_equal(f.n, strlen(messages[got]));
                    assert_memory_equal(f.body, messages[got], f.n);
                    bytes += f.head + f.n;
                    got++;
                }
                assert_int_equal(next, FRAME_MORE);
            }
            assert_int_equal(got, MESSAGES);
            assert_int_equal(bytes, wire.n);
            frame_clear(&r);
        }
        buffer_clear(&wire);
    }
}

static void test_bad_frames(void **state)
{
    static const struct {
        enum framing framing;
        size_t n;
        const char *bytes;
    } rows[] = {
        {FRAMING_LENGTH, 4, "\xff\xff\xff\xff"},
        {FRAMING_LENGTH, 4, "\0\x10\0\x01"},
        {FRAMING_HEADER, 4, "\0\0\x10\x01"},
        {FRAMING_HEADER, 6, "\0\0\0\x02{}"},
        {FRAMING_HEADER, 6, "\0\0\0\x02[]"},
        {FRAMING_HEADER, 4, "\0\0\0\0"},
        {FRAMING_HEADER, 15, "\0\0\0\x0b{\"size\":-1}"},
        {FRAMING_HEADER, 16, "\0\0\0\x0c{\"size\":\"1\"}"},
        {FRAMING_HEADER, 20, "\0\0\0\x10{\"size\":1048577}"},
        {FRAMING_HEADER, 23, "\0\0\0\x13{\"size\":1,\"size\":2}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frame_reader r = {.framing = rows[i].framing};
        struct frame f;
        assert_true(frame_feed(&r, rows[i].bytes, rows[i].n));
        assert_int_equal(frame_next(&r, &f), FRAME_BAD);
        assert_true(frame_feed(&r, "\0\0\0\0", 4));
        assert_int_equal(frame_next(&r, &f), FRAME_BAD); /* for ever */
        frame_clear(&r);
    }
}

/* ---- traces ----------------------------------------------------------------------------- */

static const char head[] = "{\"trace\":1,\"host\":\"h\",\"start\":\"now\"}\n";
static const char connection[] = "{\"connection\":1,\"ns\":1,\"address\":\"a\"}\n";

static bool read_text(const char *const *lines, size_t n, struct trace *t)
{
    char path[] = "/tmp/rexec-trace-XXXXXX";
    struct rx_failure failure;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(write(fd, lines[i], strlen(lines[i])), strlen(lines[i]));
    close(fd);
    bool good = trace_read(path, t, &failure);
    assert_int_equal(unlink(path), 0);
    return good;
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "nonsense\n",
        "[]\n",
        "{}\n",
        "{\"write\":1}\n",
        "{\"write\":1,\"at\":1,\"ns\":1}\n", /* a gap */
        "{\"write\":-1,\"at\":0,\"ns\":1}\n",
        ("{\"write\":9223372036854775807,\"at\":0,\"ns\":1}\n"
         "{\"write\":1,\"at\":9223372036854775807,\"ns\":1}\n"),
        "{\"write\":1,\"at\":0,\"ns\":1.5}\n",
        "{\"record\":\"X\",\"dir\":\"out\",\"at\":0,\"bytes\":0}\n",
        "{\"record\":\"X\",\"dir\":\"up\",\"at\":0,\"bytes\":1}\n",
        "{\"record\":1,\"dir\":\"in\",\"at\":0,\"bytes\":1}\n",
    };
    struct trace t;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(read_text((const char *const[]){head, connection, bad[i]}, 3, &t));
        trace_clear(&t);
    }
    assert_false(read_text((const char *const[]){"{\"trace\":2}\n"}, 1, &t));
    trace_clear(&t);
    assert_false(read_text(NULL, 0, &t));
    trace_clear(&t);
    assert_false(
        read_text((const char *const[]){head, "{\"write\":1,\"at\":0,\"ns\":1}\n"}, 2, &t));
    trace_clear(&t);
    /* Half a line at the end: the writer was killed. */
    assert_true(read_text((const char *const[]){head, connection, "{\"wri"}, 3, &t));
    assert_int_equal(t.connection_count, 1);
    trace_clear(&t);
}

/* Written through the tap, and what each call had in it. */
static void test_there_and_back(void **state)
{
    static const char expected[] =
        "{\"connection\":1,\"call\":\"write\",\"at\":0,\"bytes\":100,\"records\":["
        "{\"record\":1,\"name\":\"M1\",\"stream\":0,\"from\":0,\"bytes\":88,\"of\":88},"
        "{\"record\":2,\"name\":\"M3\",\"stream\":0,\"from\":0,\"bytes\":12,\"of\":40}]}\n"
        "{\"connection\":1,\"call\":\"write\",\"at\":100,\"bytes\":28,\"records\":["
        "{\"record\":2,\"name\":\"M3\",\"stream\":0,\"from\":12,\"bytes\":28,\"of\":40}]}\n"
        "{\"connection\":1,\"call\":\"read\",\"at\":0,\"bytes\":32,\"records\":["
        "{\"record\":1,\"name\":\"STDOUT\",\"stream\":7,\"from\":0,\"bytes\":32,\"of\":40}]}\n"
        "{\"connection\":1,\"call\":\"read\",\"at\":32,\"bytes\":8,\"records\":["
        "{\"record\":1,\"name\":\"STDOUT\",\"stream\":7,\"from\":32,\"bytes\":8,\"of\":40}]}\n";
    char path[] = "/tmp/rexec-trace-XXXXXX";
    struct rx_failure failure;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    struct trace_writer *w = trace_open(path, "ho\"st\n", &failure);
    assert_non_null(w);
    const struct rx_tap *tap = trace_tap(w);
    tap->opened(tap->user, "addr");
    tap->record(tap->user, true, "M1", NULL, 0, 88);
    tap->record(tap->user, true, "M3", NULL, 0, 40);
    tap->moved(tap->user, true, 100);
    tap->moved(tap->user, true, 28);
    uint8_t payload[20] = {0};
    rx_message_head(payload, RX_STDOUT, RX_FLAG_LAST, 0, 7);
    tap->moved(tap->user, false, 32);
    tap->moved(tap->user, false, 8);
    tap->record(tap->user, false, NULL, payload, sizeof payload, 40);
    assert_true(trace_close(w));

    struct trace t;
    assert_true(trace_read(path, &t, &failure));
    assert_int_equal(unlink(path), 0);
    assert_string_equal(t.host, "ho\"st\\x0a");
    assert_false(t.server || t.cut);
    assert_string_equal(t.connections[0].address, "addr");
    const struct trace_record *r = &t.connections[0].in.records[0];
    assert_true(r->message && r->last && r->stream == 7 && r->body == 12 && r->header == 0);
    for (size_t i = 0; i < 2; i++)
        t.connections[0].out.calls[i].ns = t.connections[0].in.calls[i].ns = 0;
    struct buffer out = {0};
    assert_true(trace_lines(&t, &out) && draw_print(&out, "%c", 0));
    char *ns; /* times differ from run to run */
    while ((ns = strstr(out.bytes, "\"ns\":0,")) != NULL)
        memmove(ns, ns + 7, strlen(ns + 7) + 1);
    assert_string_equal(out.bytes, expected);
    buffer_clear(&out);
    trace_clear(&t);
}

/* The title of each panel of a trace's picture; `cut`: the last line says that it is. */
static void picture(const char *const *lines, size_t n, bool chinese, char titles[static 256],
                    bool cut)
{
    struct draw_picture p = {0};
    struct trace t;
    titles[0] = '\0';
    assert_true(read_text(lines, n, &t));
    trace_picture(&t, chinese, 10, &p);
    for (size_t i = 0; i < p.panel_count; i++) {
        size_t at = strlen(titles);
        (void)snprintf(titles + at, 256 - at, "%s|", p.panels[i].title);
    }
    const struct draw_panel *panel = &p.panels[p.panel_count - 1];
    assert_int_equal(strstr(panel->lines[panel->line_count - 1].text, "trace_bytes") != NULL, cut);
    draw_clear(&p);
    trace_clear(&t);
}

/* A server's trace: who is at the other end, and whether it was cut off. */
static void test_of_a_server(void **state)
{
    static const char server[] =
        "{\"trace\":1,\"side\":\"server\",\"host\":\"lab01\",\"start\":\"then\"}\n";
    static const char stranger[] =
        "{\"trace\":1,\"side\":\"x\",\"host\":\"lab01\",\"start\":\"then\"}\n";
    static const char end[] = "{\"end\":\"limit\"}\n", call[] = "{\"read\":1,\"at\":0,\"ns\":1}\n";
    char titles[256];
    struct trace t;
    (void)state;
    picture((const char *const[]){server, connection, call}, 3, false, titles, false);
    assert_string_equal(titles, "To the client|From the client|");
    picture((const char *const[]){server, connection, call, end}, 4, true, titles, true);
    assert_string_equal(titles, "发往客户端|来自客户端|");
    picture((const char *const[]){head, connection, call}, 3, false, titles, false);
    assert_string_equal(titles, "To the server|From the server|");
    assert_true(read_text((const char *const[]){server, end}, 2, &t) && t.cut && t.server);
    trace_clear(&t);
    assert_false(read_text((const char *const[]){server, connection, end, call}, 4, &t));
    trace_clear(&t);
    assert_false(read_text((const char *const[]){stranger, connection}, 2, &t));
    trace_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split), cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_bad_lines),   cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_of_a_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
