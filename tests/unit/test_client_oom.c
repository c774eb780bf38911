/*
 * Each allocation of the client fails once, in a session with a command from its first message to
 * its last: what was not all there is never taken for the whole, what failed says so, and nothing
 * crashes or leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "rexec/buffer.h"
#include "rexec/connection.h"
#include "rexec/result.h"
#include "rexec/transcode.h"
#include "tests/duel/session.h"
#include "tests/unit/oom.h"

enum { LONG = 100 * 1000, WIRE = 2 * RX_CONNECTION_OUTPUT_MIN };

static uint8_t text[LONG], input[LONG], wire[WIRE];
static const uint8_t words[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};

static size_t armed_at, counted;

/* Only the client's calls count: the server is in the same process. */
static void arm(bool on)
{
    if (on) {
        oom_calls = counted;
        oom_failing = armed_at;
    } else {
        counted = oom_calls;
        oom_off();
    }
}

struct story {
    struct handshake_pair p;
    struct dice d;
    struct rx_connection *c;
    struct rx_command *command;
    struct end server;
    bool serves;
    struct rx_channel *channel;
    size_t got, taken;  /* bytes of stdout at the client, of stdin at the server */
    size_t given, sent; /* bytes of stdin from the client, of stdout from the server */
    bool wrong, exited, exit_sent, finished;
    enum rx_error error; /* what the client said went wrong */
};

static void take_data(struct story *s, const struct rx_client_event *event)
{
    const uint8_t *bytes;
    for (size_t n; (n = rx_command_peek(event->command, event->which, &bytes)) > 0;) {
        s->wrong |= s->got + n > LONG || memcmp(bytes, text + s->got, n) != 0;
        s->got += n;
        rx_command_consume(event->command, event->which, n);
    }
}

static void to_client(struct story *s, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = __real_malloc(n + 1);
    struct rx_client_event event;
    enum rx_next next;
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    arm(true);
    rx_connection_feed(s->c, copy, n);
    while ((next = rx_connection_next(s->c, 1, &event)) == RX_NEXT_EVENT) {
        if (event.what == RX_ON_DATA)
            take_data(s, &event);
        s->exited |= event.what == RX_ON_EXIT;
    }
    if (next == RX_NEXT_ERROR)
        s->error = rx_connection_error(s->c);
    arm(false);
    s->wrong |= next == RX_NEXT_ERROR && s->error == RX_OK;
    free(copy);
}

static void give_input(struct story *s)
{
    uint8_t *room = NULL;
    arm(true);
    size_t n = rx_command_room(s->command, 5000, &room);
    if (n > LONG - s->given)
        n = LONG - s->given;
    if (n > 0) {
        memcpy(room, input + s->given, n);
        s->given += n;
        rx_command_written(s->command, n);
    }
    if (s->given == LONG && !s->finished) {
        rx_command_finish(s->command);
        s->finished = true;
    }
    arm(false);
}

static void serve(struct story *s)
{
    struct rx_event event;
    const uint8_t *bytes;
    while (rx_engine_next(s->server.engine, &event) == RX_NEXT_EVENT) {
        if (event.message.type != RX_EXEC)
            continue;
        s->channel = event.channel;
        assert_int_equal(end_started(&s->server, s->channel), RX_OK);
    }
    if (s->channel == NULL || s->exit_sent)
        return;
    for (size_t n;
         (n = rx_engine_peek(s->server.engine, s->channel, RX_WHICH_STDIN, &bytes)) > 0;) {
        s->wrong |= memcmp(bytes, input + s->taken, n) != 0;
        s->taken += n;
        rx_engine_consume(s->server.engine, s->channel, RX_WHICH_STDIN, n);
    }
    s->sent += rx_engine_write(s->server.engine, s->channel, RX_WHICH_STDOUT, text + s->sent,
                               LONG - s->sent);
    if (s->sent == LONG && s->taken == LONG) {
        assert_int_equal(end_exit(&s->server, s->channel, 0), RX_OK);
        s->exit_sent = true;
    }
}

/* Spelled as nobody here does it, so that jansson is asked, and its allocations fail, too. */
static enum rx_error spelled_welcome(struct story *s)
{
    static const char header[] = "{ \"server\": \"lab01\", \"version\": \"1\", \"time_us\": 1, "
                                 "\"features\": [\"a\", \"b\"], \"other\": {\"x\": null} }";
    return rx_engine_welcome(s->server.engine, header, sizeof header - 1);
}

/* What the client has to send, to the server: the handshake's part first. */
static size_t from_client(struct story *s)
{
    arm(true);
    size_t n = rx_connection_output(s->c, wire, sizeof wire);
    arm(false);
    size_t head = 0;
    if (n == 0)
        return 0;
    if (!s->serves && n == RX_M1_SIZE) {
        memcpy(s->p.m1, wire, RX_M1_SIZE);
        assert_int_equal(handshake_m2(&s->p), RX_OK);
        to_client(s, s->p.m2, sizeof s->p.m2);
        return n;
    }
    if (!s->serves) {
        head = RX_M3_SIZE;
        memcpy(s->p.m3, wire, RX_M3_SIZE);
        assert_int_equal(handshake_end(&s->p), RX_OK);
        end_open(&s->server, RX_SERVER, &s->p.server_keys, NULL);
        assert_int_equal(spelled_welcome(s), RX_OK);
        s->serves = true;
    }
    rx_engine_feed(s->server.engine, wire + head, n - head);
    serve(s);
    return n;
}

static enum rx_error begin(struct story *s)
{
    uint8_t random[RX_CONNECTION_RANDOM];
    enum rx_error error = RX_OK;
    struct rx_header h;
    s->d.state = 5;
    handshake_prepare(&s->p, &s->d, RX_SUITE_CHACHA20POLY1305);
    const struct rx_connection_config config = {.keys = &s->p.grant,
                                                .suites = RX_SUITE_CHACHA20POLY1305};
    dice_fill(&s->d, random, sizeof random);
    arm(true);
    s->c = rx_connection_new(&config, random, &error);
    arm(false);
    if (s->c == NULL)
        return error;
    rx_header_init(RX_EXEC, &h);
    h.exec.id[0] = 1;
    arm(true);
    error = rx_connection_exec(s->c, &h.exec, words, sizeof words, NULL, &s->command);
    arm(false);
    assert_int_equal(s->command == NULL, error != RX_OK);
    return error;
}

/* RX_OK: all of it came, and was right. */
static enum rx_error tell(size_t n)
{
    struct story s = {0};
    counted = 0;
    armed_at = n;
    enum rx_error error = begin(&s);
    for (unsigned quiet = 0; s.c != NULL && quiet < 3 && s.error == RX_OK && error == RX_OK;) {
        size_t moved = from_client(&s);
        size_t out = 0;
        while (s.serves && (out = rx_engine_output(s.server.engine, wire, sizeof wire)) > 0) {
            to_client(&s, wire, out);
            moved += out;
        }
        if (s.serves && !s.exited)
            give_input(&s);
        if (s.serves)
            serve(&s);
        quiet = moved > 0 ? 0 : quiet + 1;
    }
    bool whole = s.exited && s.got == LONG && s.taken == LONG;
    enum rx_error result = error != RX_OK ? error : s.error;
    if (s.wrong || (s.exited && s.got != LONG) || (result == RX_OK && !whole))
        fail_msg("allocation %zu: %s, %zu of %d bytes out, %zu in, %s", n,
                 s.wrong ? "wrong bytes" : "not whole", s.got, (int)LONG, s.taken,
                 rx_error_name(result));
    arm(true);
    if (s.exited)
        rx_command_free(s.command);
    if (s.c != NULL)
        rx_connection_close(s.c);
    rx_connection_free(s.c);
    if (!s.exited)
        rx_command_free(s.command);
    arm(false);
    if (s.serves)
        end_close(&s.server);
    return result;
}

static void test_session(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t i = 0; i < LONG; i++) {
        text[i] = (uint8_t)(i * 5 + i / 253);
        input[i] = (uint8_t)(i * 3 + i / 241);
    }
    assert_int_equal(tell(0), RX_OK);
    size_t all = counted;
    assert_true(all > 20);
    for (size_t n = 1; n <= all; n++) {
        enum rx_error error = tell(n);
        failures += error != RX_OK;
        /* jansson does not always say that it was memory. */
        if (error != RX_OK && error != RX_E_NO_MEMORY && error != RX_E_BAD_HEADER)
            fail_msg("allocation %zu: %s", n, rx_error_name(error));
    }
    printf("%zu allocations, %zu of them ended the session\n", all, failures);
    assert_true(failures > 10);
}

/* What could not be added is not half there, and can be added again. */
static void test_buffer(void **state)
{
    (void)state;
    struct buffer b = {0};
    size_t n = 0;
    for (int i = 0; i < 1000; i++) {
        oom_fail_at(1);
        bool added = buffer_add(&b, "0123456", 7);
        bool failed = oom_failed();
        oom_off();
        assert_int_equal(added, !failed);
        if (failed) {
            assert_int_equal(b.n, n);
            assert_true(buffer_add(&b, "0123456", 7));
        }
        n += 7;
        assert_int_equal(b.n, n);
        for (size_t at = 0; at < n; at += 7)
            assert_memory_equal(b.bytes + at, "0123456", 7);
    }
    buffer_drop(&b, n - 10);
    assert_int_equal(b.n, 10);
    assert_memory_equal(b.bytes, "4560123456", 10);
    buffer_drop(&b, 10);
    assert_int_equal(b.n, 0);
    buffer_clear(&b);
    assert_null(b.bytes);
}

static void test_transcode(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct buffer out = {0};
        oom_fail_at(n);
        struct transcode *t = transcode_new("GBK", "ISO-8859-1");
        bool good = t != NULL;
        for (int i = 0; i < 100 && good; i++)
            good = transcode_put(t,
                                 "abc\xd6\xd0\xff"
                                 "de",
                                 8, &out);
        good = good && transcode_put(t, "\xd6", 1, &out) && transcode_end(t, &out);
        bool failed = oom_failed();
        oom_off();
        assert_int_equal(good, !failed);
        transcode_free(t);
        buffer_clear(&out);
        if (!failed) {
            assert_true(n > 2);
            break;
        }
    }
}

/* A result is printed whole, or it is said that it is not. */
static void test_result(void **state)
{
    (void)state;
    struct result r = {.host = "h", .command = "\xff", .line = 7, .exited = true};
    struct buffer output = {.bytes = (char *)text, .n = sizeof text, .cap = sizeof text};
    r.exit.code = 3;
    r.exit.holders.count = 2;
    size_t lines = 0;
    for (size_t n = 2;; n++) {
        char path[] = "/tmp/rexec-test-oom.XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        (void)unlink(path);
        r.exited = n % 2 == 0; /* each of the two in turn fails somewhere else */
        oom_fail_at(n / 2);
        bool good = result_print(&r, &output, NULL, fd);
        int error = errno;
        bool failed = oom_failed();
        oom_off();
        off_t size = lseek(fd, 0, SEEK_END);
        (void)close(fd);
        assert_int_equal(good, !failed);
        if (failed)
            assert_int_equal(error, ENOMEM);
        lines += failed && size > 0;
        assert_true(size == 0 || size > (off_t)sizeof text); /* the output needs no memory */
        if (!failed && n % 2 == 0)                           /* the one that needs more */
            break;
    }
    assert_true(lines > 10); /* most are there all the same, and say what they are */
}

int main(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_transcode),
        cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
