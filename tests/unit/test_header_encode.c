/* proto/header.c, the way out: known headers byte by byte, random ones there and back, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/header.h"
#include "tests/duel/session.h"
#include "tests/unit/guard.h"

#define ID_TEXT "\"000102030405060708090a0b0c0d0e0f\""
#define RUSAGE                                                                                     \
    "\"rusage\":{\"utime_us\":1,\"stime_us\":2,\"maxrss_kib\":3,\"minflt\":4,\"majflt\":5,"        \
    "\"inblock\":6,\"oublock\":7,\"nvcsw\":8,\"nivcsw\":9}"

static enum rx_error encode(enum rx_type type, const struct rx_header *h, uint8_t *out, size_t *n)
{
    return rx_header_encode(type, h, out, RX_HEADER_MAX, n);
}

static void set(char *member, const char *text)
{
    memcpy(member, text, strlen(text) + 1);
}

/* The structure becomes just this text, and this text becomes just the structure. */
static void expect_both_ways(enum rx_type type, const struct rx_header *h, const char *text)
{
    uint8_t out[RX_HEADER_MAX + 1];
    size_t n = 0, length = strlen(text);
    assert_int_equal(encode(type, h, out, &n), RX_OK);
    out[n] = '\0';
    assert_string_equal((const char *)out, text);
    struct rx_header back;
    memset(&back, 0x55, sizeof back);
    assert_int_equal(rx_header_decode(type, guard_copy(text, length), length, &back), RX_OK);
    assert_memory_equal(&back, h, sizeof back);
}

static void put_id(uint8_t *id)
{
    for (size_t i = 0; i < RX_COMMAND_ID_SIZE; i++)
        id[i] = (uint8_t)i;
}

/* ---- every name once -------------------------------------------------------------------- */

static void test_welcome(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_WELCOME, &h);
    set(h.welcome.server, "lab01");
    set(h.welcome.version, "rexec/1");
    h.welcome.time_us = 0;
    expect_both_ways(RX_WELCOME, &h,
                     "{\"server\":\"lab01\",\"version\":\"rexec/1\",\"time_us\":0}");
    h.welcome.commands = 1;
    h.welcome.linger_ms = 0;
    h.welcome.keepalive_ms = RX_INTEGER_MAX;
    h.welcome.features.count = 2;
    set(h.welcome.features.names[0], "a");
    set(h.welcome.features.names[1], "b-\xc3\xa9");
    expect_both_ways(RX_WELCOME, &h,
                     "{\"server\":\"lab01\",\"version\":\"rexec/1\",\"time_us\":0,\"commands\":1,"
                     "\"linger_ms\":0,\"keepalive_ms\":9007199254740991,"
                     "\"features\":[\"a\",\"b-\xc3\xa9\"]}");
}

static void test_notices(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_CLOSE, &h);
    expect_both_ways(RX_CLOSE, &h, "");
    set(h.notice.text, "done");
    expect_both_ways(RX_CLOSE, &h, "{\"reason\":\"done\"}");

    rx_header_init(RX_ERROR, &h);
    h.notice.code = 3;
    set(h.notice.name, "bad_message");
    expect_both_ways(RX_ERROR, &h, "{\"code\":3,\"name\":\"bad_message\",\"text\":\"\"}");
    set(h.notice.text, "a \"b\"\\\n");
    expect_both_ways(RX_ERROR, &h,
                     "{\"code\":3,\"name\":\"bad_message\",\"text\":\"a \\\"b\\\"\\\\\\n\"}");
    h.notice.grace_ms = 5;
    expect_both_ways(RX_GOAWAY, &h,
                     "{\"code\":3,\"name\":\"bad_message\",\"text\":\"a \\\"b\\\"\\\\\\n\","
                     "\"grace_ms\":5}");
    h.notice.grace_ms = RX_ABSENT;
    h.notice.n = 7;
    expect_both_ways(RX_REFUSED, &h,
                     "{\"code\":3,\"name\":\"bad_message\",\"text\":\"a \\\"b\\\"\\\\\\n\","
                     "\"n\":7}");
}

static void fill_exec(struct rx_exec *e)
{
    put_id(e->id);
    e->run = RX_RUN_SUBSYSTEM;
    set(e->user, "root");
    e->age_ms = 1;
    e->timeout_ms = 2;
    e->linger_ms = 3;
    e->drain_ms = 4;
    e->detach = true;
    set(e->label, "night job");
    e->input = RX_INPUT_NONE;
    e->pty.wanted = true;
    set(e->pty.term, "xterm");
    e->pty.rows = 24;
    e->pty.cols = 80;
    e->pty.width = 640;
    e->pty.height = 65535;
    e->pty.modes.count = 2;
    set(e->pty.modes.modes[0].name, "echo");
    e->pty.modes.modes[0].value = 0;
    set(e->pty.modes.modes[1].name, "vintr");
    e->pty.modes.modes[1].value = UINT32_MAX;
    e->limits = (struct rx_limits){1, 2, 3, 4, 5, 6, 0};
}

static void test_exec(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    put_id(h.exec.id);
    expect_both_ways(RX_EXEC, &h, "{\"id\":" ID_TEXT "}");
    fill_exec(&h.exec);
    expect_both_ways(
        RX_EXEC, &h,
        "{\"id\":" ID_TEXT ",\"run\":\"subsystem\",\"user\":\"root\",\"age_ms\":1,"
        "\"timeout_ms\":2,\"linger_ms\":3,\"drain_ms\":4,\"detach\":true,"
        "\"label\":\"night job\",\"stdin\":\"none\",\"pty\":{\"term\":\"xterm\",\"rows\":24,"
        "\"cols\":80,\"width\":640,\"height\":65535,"
        "\"modes\":{\"echo\":0,\"vintr\":4294967295}},\"limits\":{\"cpu_ms\":1,\"memory\":2,"
        "\"output\":3,\"files\":4,\"processes\":5,\"file_size\":6,\"core\":0}}");
    static const char *const runs[] = {"", ",\"run\":\"exec\"", ",\"run\":\"login\""};
    static const int numbers[] = {RX_RUN_SHELL, RX_RUN_EXEC, RX_RUN_LOGIN};
    for (size_t i = 0; i < 3; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "{\"id\":" ID_TEXT "%s}", runs[i]);
        rx_header_init(RX_EXEC, &h);
        put_id(h.exec.id);
        h.exec.run = numbers[i];
        expect_both_ways(RX_EXEC, &h, text);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const enum rx_type targets[] = {RX_RESUME, RX_FORGET, RX_ATTACH};
    struct rx_header h;
    for (size_t i = 0; i < 3; i++) {
        rx_header_init(targets[i], &h);
        put_id(h.target.id);
        expect_both_ways(targets[i], &h, "{\"id\":" ID_TEXT "}");
    }
    h.target.steal = true;
    expect_both_ways(RX_ATTACH, &h, "{\"id\":" ID_TEXT ",\"steal\":true}");

    rx_header_init(RX_LIST, &h);
    expect_both_ways(RX_LIST, &h, "");
    h.target.has_id = true;
    put_id(h.target.id);
    expect_both_ways(RX_LIST, &h, "{\"id\":" ID_TEXT "}");

    rx_header_init(RX_SIGNAL, &h);
    set(h.signal.signal, "USR1");
    h.signal.n = 3;
    expect_both_ways(RX_SIGNAL, &h, "{\"signal\":\"USR1\",\"n\":3}");
    h.signal.n = RX_ABSENT;
    h.signal.has_id = true;
    put_id(h.signal.id);
    expect_both_ways(RX_SIGNAL, &h, "{\"signal\":\"USR1\",\"id\":" ID_TEXT "}");

    rx_header_init(RX_RESIZE, &h);
    h.size = (struct rx_size){1, 2, 3, 0};
    expect_both_ways(RX_RESIZE, &h, "{\"rows\":1,\"cols\":2,\"width\":3,\"height\":0}");
    rx_header_init(RX_DETACH, &h);
    expect_both_ways(RX_DETACH, &h, "");
    h.detach.linger_ms = 3600000;
    expect_both_ways(RX_DETACH, &h, "{\"linger_ms\":3600000}");
}

static void test_replies(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_STARTED, &h);
    expect_both_ways(RX_STARTED, &h, "");
    h.reply.pid = 4711;
    h.reply.start_us = 12;
    set(h.reply.user, "joe");
    h.reply.already = true;
    expect_both_ways(RX_STARTED, &h,
                     "{\"pid\":4711,\"start_us\":12,\"user\":\"joe\",\"already\":true}");
    rx_header_init(RX_RESUMED, &h);
    h.reply.pid = 1;
    h.reply.start_us = 2;
    h.reply.n = 0;
    expect_both_ways(RX_RESUMED, &h, "{\"pid\":1,\"start_us\":2,\"n\":0}");
    rx_header_init(RX_DONE, &h);
    expect_both_ways(RX_DONE, &h, "");
    h.reply.n = 9;
    expect_both_ways(RX_DONE, &h, "{\"n\":9}");
}

static void fill_exit(struct rx_exit *e)
{
    set(e->signal, "SEGV");
    e->core = true;
    set(e->by, "limit");
    set(e->detail, "memory");
    e->start_us = 1;
    e->end_us = 2;
    e->rusage = (struct rx_rusage){1, 2, 3, 4, 5, 6, 7, 8, 9};
    e->holders.count = 2;
    e->holders.pids[0] = 1;
    e->holders.pids[1] = RX_INTEGER_MAX;
}

static void test_exit_and_listed(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_EXIT, &h);
    h.exit.code = 0;
    expect_both_ways(RX_EXIT, &h, "{\"code\":0}");
    h.exit.holders.count = 1; /* behind an object that is left out */
    h.exit.holders.pids[0] = 7;
    expect_both_ways(RX_EXIT, &h, "{\"code\":0,\"holders\":[7]}");
    rx_header_init(RX_EXIT, &h);
    fill_exit(&h.exit);
    expect_both_ways(RX_EXIT, &h,
                     "{\"signal\":\"SEGV\",\"core\":true,\"by\":\"limit\",\"detail\":\"memory\","
                     "\"start_us\":1,\"end_us\":2," RUSAGE ",\"holders\":[1,9007199254740991]}");
    rx_header_init(RX_LISTED, &h);
    expect_both_ways(RX_LISTED, &h, "");
    h.listed.has_id = true;
    put_id(h.listed.id);
    set(h.listed.state, "running");
    h.listed.exit.start_us = 1;
    expect_both_ways(RX_LISTED, &h, "{\"id\":" ID_TEXT ",\"state\":\"running\",\"start_us\":1}");
    set(h.listed.state, "exited");
    memset(h.listed.state + 6, 0, 2);
    set(h.listed.label, "l");
    set(h.listed.user, "u");
    h.listed.attached = true;
    fill_exit(&h.listed.exit);
    expect_both_ways(RX_LISTED, &h,
                     "{\"id\":" ID_TEXT ",\"state\":\"exited\",\"label\":\"l\",\"user\":\"u\","
                     "\"attached\":true,\"signal\":\"SEGV\",\"core\":true,\"by\":\"limit\","
                     "\"detail\":\"memory\",\"start_us\":1,\"end_us\":2," RUSAGE
                     ",\"holders\":[1,9007199254740991]}");
}

/* ---- random ones ------------------------------------------------------------------------ */

/* Up to max bytes of UTF-8, at least min. */
static void random_text(struct dice *d, char *out, size_t min, size_t max)
{
    static const char *const characters[] = {
        "a", "Z", "\"", "\\", "\n", "\x01", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    size_t n = min + dice_below(d, (dice_below(d, 4) == 0 ? max : min + 3) - min + 1), at = 0;
    n = n > max ? max : n;
    while (at < n) {
        const char *c = characters[dice_below(d, 10)];
        size_t width = strlen(c) <= n - at ? strlen(c) : 1;
        memcpy(out + at, width == strlen(c) ? c : "b", width);
        at += width;
    }
}

static int64_t random_integer(struct dice *d, int64_t min, int64_t max)
{
    switch (dice_below(d, 4)) {
    case 0:
        return RX_ABSENT;
    case 1:
        return min;
    case 2:
        return max;
    default:
        return min + (int64_t)dice_below(d, (uint64_t)(max - min));
    }
}

static void random_exit(struct dice *d, struct rx_exit *e)
{
    if (dice_below(d, 2) == 0)
        e->code = (int64_t)dice_below(d, 256);
    else
        random_text(d, e->signal, 1, RX_SIGNAL_NAME_MAX);
    e->core = dice_below(d, 2) != 0;
    random_text(d, e->by, 0, RX_SIGNAL_NAME_MAX);
    random_text(d, e->detail, 0, 300);
    e->start_us = (int64_t)dice_below(d, 1U << 31);
    e->end_us = random_integer(d, 0, RX_INTEGER_MAX);
    e->rusage.maxrss_kib = random_integer(d, 0, RX_INTEGER_MAX);
    e->rusage.nivcsw = random_integer(d, 0, RX_INTEGER_MAX);
    e->holders.count = dice_below(d, RX_HOLDERS_MAX + 1);
    for (size_t i = 0; i < e->holders.count; i++)
        e->holders.pids[i] = 1 + (int64_t)dice_below(d, 1U << 31);
}

static void random_exec(struct dice *d, struct rx_exec *e)
{
    dice_fill(d, e->id, sizeof e->id);
    e->run = (int)dice_below(d, 4);
    random_text(d, e->user, 0, RX_HEADER_USER_MAX);
    e->age_ms = random_integer(d, 0, RX_INTEGER_MAX);
    e->timeout_ms = random_integer(d, 1, RX_INTEGER_MAX);
    e->detach = dice_below(d, 2) != 0;
    random_text(d, e->label, 0, RX_LABEL_MAX);
    e->input = (int)dice_below(d, 2);
    e->pty.wanted = dice_below(d, 2) != 0;
    if (e->pty.wanted) {
        random_text(d, e->pty.term, 1, RX_LABEL_MAX);
        e->pty.rows = (int64_t)dice_below(d, 65536);
        e->pty.cols = (int64_t)dice_below(d, 65536);
        e->pty.width = random_integer(d, 0, 65535);
        e->pty.modes.count = dice_below(d, RX_MODES_MAX + 1);
        for (size_t i = 0; i < e->pty.modes.count; i++) {
            (void)snprintf(e->pty.modes.modes[i].name, sizeof e->pty.modes.modes[i].name, "m%zu",
                           i);
            e->pty.modes.modes[i].value = (int64_t)dice_below(d, (uint64_t)1 << 32);
        }
    }
    e->limits.memory = random_integer(d, 1, RX_INTEGER_MAX);
    e->limits.core = random_integer(d, 0, RX_INTEGER_MAX);
}

static void random_header(struct dice *d, enum rx_type type, struct rx_header *h)
{
    rx_header_init(type, h);
    switch (type) {
    case RX_WELCOME:
        random_text(d, h->welcome.server, 1, RX_NAME_MAX);
        random_text(d, h->welcome.version, 1, RX_LABEL_MAX);
        h->welcome.time_us = (int64_t)dice_below(d, RX_INTEGER_MAX);
        h->welcome.commands = random_integer(d, 0, RX_INTEGER_MAX);
        h->welcome.features.count = dice_below(d, RX_FEATURES_MAX + 1);
        for (size_t i = 0; i < h->welcome.features.count; i++)
            random_text(d, h->welcome.features.names[i], 1, RX_FEATURE_MAX);
        break;
    case RX_REFUSED:
        h->notice.code = 1 + (int64_t)dice_below(d, 65535);
        random_text(d, h->notice.name, 1, RX_LABEL_MAX);
        random_text(d, h->notice.text, 0, 100);
        h->notice.n = random_integer(d, 0, RX_INTEGER_MAX);
        break;
    case RX_EXEC:
        random_exec(d, &h->exec);
        break;
    case RX_EXIT:
        random_exit(d, &h->exit);
        break;
    default:
        h->listed.has_id = true;
        dice_fill(d, h->listed.id, sizeof h->listed.id);
        random_text(d, h->listed.label, 0, RX_LABEL_MAX);
        random_exit(d, &h->listed.exit);
        set(h->listed.state, "exited");
        break;
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_WELCOME, RX_REFUSED, RX_EXEC, RX_EXIT, RX_LISTED};
    struct dice d = {.state = 1};
    for (unsigned round = 0; round < 3000; round++) {
        enum rx_type type = types[round % 5];
        static struct rx_header h, back;
        uint8_t out[2 * RX_HEADER_MAX];
        size_t n;
        random_header(&d, type, &h);
        assert_int_equal(rx_header_encode(type, &h, out, sizeof out, &n), RX_OK);
        assert_int_equal(rx_header_decode(type, guard_copy(out, n), n, &back), RX_OK);
        assert_memory_equal(&back, &h, sizeof h);
    }
}

/* In a buffer that is too small by any number of bytes: said, and nothing beyond it written. */
static void test_no_space(void **state)
{
    (void)state;
    struct rx_header h;
    uint8_t out[RX_HEADER_MAX];
    size_t whole;
    rx_header_init(RX_EXEC, &h);
    fill_exec(&h.exec);
    assert_int_equal(encode(RX_EXEC, &h, out, &whole), RX_OK);
    for (size_t cap = 0; cap <= whole; cap++) {
        uint8_t *small = guard_copy("", 0) - cap;
        size_t n = 77;
        enum rx_error error = rx_header_encode(RX_EXEC, &h, small, cap, &n);
        assert_int_equal(error, cap == whole ? RX_OK : RX_E_NO_SPACE);
        assert_int_equal(n, cap == whole ? whole : 0);
    }
    assert_memory_equal(guard_copy("", 0) - whole, out, whole);
}

/* ---- refusals --------------------------------------------------------------------------- */

static void expect_refused(enum rx_type type, const struct rx_header *h)
{
    uint8_t out[RX_HEADER_MAX];
    size_t n;
    assert_int_equal(encode(type, h, out, &n), RX_E_BAD_HEADER);
}

static void test_required(void **state)
{
    (void)state;
    static const enum rx_type types[] = {RX_WELCOME, RX_GOAWAY, RX_ERROR, RX_REFUSED,
                                         RX_SIGNAL,  RX_RESIZE, RX_EXIT};
    struct rx_header h;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        rx_header_init(types[i], &h);
        expect_refused(types[i], &h);
    }
    rx_header_init(RX_WELCOME, &h);
    set(h.welcome.server, "s");
    set(h.welcome.version, "v");
    expect_refused(RX_WELCOME, &h);
    rx_header_init(RX_EXEC, &h);
    h.exec.pty.wanted = true;
    expect_refused(RX_EXEC, &h);
    rx_header_init(RX_SIGNAL, &h);
    set(h.signal.signal, "HUP");
    expect_refused(RX_SIGNAL, &h);
    h.signal.n = 1;
    h.signal.has_id = true;
    expect_refused(RX_SIGNAL, &h);
    rx_header_init(RX_EXIT, &h);
    h.exit.code = 1;
    set(h.exit.signal, "HUP");
    expect_refused(RX_EXIT, &h);
    rx_header_init(RX_LISTED, &h);
    set(h.listed.state, "running");
    expect_refused(RX_LISTED, &h);
    h.listed.has_id = true;
    expect_refused(RX_LISTED, &h);
    h.listed.exit.start_us = 1;
    set(h.listed.state, "gone");
    expect_refused(RX_LISTED, &h);
}

/* For each integer: one below and one above its range. -1 is "absent", where 0 is allowed. */
static void expect_range(enum rx_type type, struct rx_header *h, int64_t *member, int64_t min,
                         int64_t max)
{
    uint8_t out[RX_HEADER_MAX];
    size_t n;
    const int64_t bad[] = {min == 0 ? -2 : min - 1, max + 1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        *member = bad[i];
        expect_refused(type, h);
    }
    *member = min;
    assert_int_equal(encode(type, h, out, &n), RX_OK);
    *member = max;
    assert_int_equal(encode(type, h, out, &n), RX_OK);
}

static void test_ranges(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    fill_exec(&h.exec);
    expect_range(RX_EXEC, &h, &h.exec.age_ms, 0, RX_INTEGER_MAX);
    expect_range(RX_EXEC, &h, &h.exec.timeout_ms, 1, RX_INTEGER_MAX);
    expect_range(RX_EXEC, &h, &h.exec.pty.rows, 0, 65535);
    expect_range(RX_EXEC, &h, &h.exec.pty.width, 0, 65535);
    expect_range(RX_EXEC, &h, &h.exec.limits.memory, 1, RX_INTEGER_MAX);
    expect_range(RX_EXEC, &h, &h.exec.limits.core, 0, RX_INTEGER_MAX);
    h.exec.pty.modes.modes[0].value = RX_ABSENT; /* means nothing in a list */
    expect_refused(RX_EXEC, &h);
    expect_range(RX_EXEC, &h, &h.exec.pty.modes.modes[0].value, 0, UINT32_MAX);
    rx_header_init(RX_EXIT, &h);
    expect_range(RX_EXIT, &h, &h.exit.code, 0, 255);
    h.exit.holders.count = 1;
    expect_range(RX_EXIT, &h, &h.exit.holders.pids[0], 1, RX_INTEGER_MAX);
    h.exit.holders.pids[0] = 0;
    expect_refused(RX_EXIT, &h);
}

static void test_lists(void **state)
{
    (void)state;
    struct rx_header h;
    rx_header_init(RX_EXIT, &h);
    fill_exit(&h.exit);
    h.exit.holders.count = RX_HOLDERS_MAX + 1;
    expect_refused(RX_EXIT, &h);
    rx_header_init(RX_EXEC, &h);
    fill_exec(&h.exec);
    h.exec.pty.modes.count = RX_MODES_MAX + 1;
    expect_refused(RX_EXEC, &h);
    h.exec.pty.modes.count = 2;
    set(h.exec.pty.modes.modes[1].name, "echo"); /* twice */
    expect_refused(RX_EXEC, &h);
    set(h.exec.pty.modes.modes[1].name, "");
    expect_refused(RX_EXEC, &h);
    memset(h.exec.pty.modes.modes[1].name, 'x', sizeof h.exec.pty.modes.modes[1].name);
    expect_refused(RX_EXEC, &h);
    rx_header_init(RX_WELCOME, &h);
    set(h.welcome.server, "s");
    set(h.welcome.version, "v");
    h.welcome.time_us = 1;
    h.welcome.features.count = 1;
    expect_refused(RX_WELCOME, &h); /* an empty name */
    memset(h.welcome.features.names[0], 'x', sizeof h.welcome.features.names[0]);
    expect_refused(RX_WELCOME, &h);
    set(h.welcome.features.names[0], "\xff");
    expect_refused(RX_WELCOME, &h);
    set(h.welcome.features.names[0], "x");
    h.welcome.features.count = RX_FEATURES_MAX + 1;
    expect_refused(RX_WELCOME, &h);
}

static void test_choices(void **state)
{
    (void)state;
    static const int bad[] = {-1, 4, 5, 100, INT32_MIN, INT32_MAX};
    struct rx_header h;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rx_header_init(RX_EXEC, &h);
        h.exec.run = bad[i];
        expect_refused(RX_EXEC, &h);
        h.exec.run = RX_RUN_SHELL;
        h.exec.input = bad[i];
        expect_refused(RX_EXEC, &h);
    }
    h.exec.input = 2;
    expect_refused(RX_EXEC, &h);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "a\x80", "\xc3", "\xed\xa0\x80", "\xf5\x80\x80\x80"};
    struct rx_header h;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rx_header_init(RX_CLOSE, &h);
        set(h.notice.text, bad[i]);
        expect_refused(RX_CLOSE, &h);
        rx_header_init(RX_EXEC, &h);
        set(h.exec.label, bad[i]);
        expect_refused(RX_EXEC, &h);
        fill_exec(&h.exec);
        set(h.exec.pty.term, bad[i]);
        expect_refused(RX_EXEC, &h);
        set(h.exec.pty.term, "t");
        set(h.exec.pty.modes.modes[1].name, bad[i]);
        expect_refused(RX_EXEC, &h);
    }
    rx_header_init(RX_CLOSE, &h);
    memset(h.notice.text, 'x', sizeof h.notice.text); /* without its NUL */
    expect_refused(RX_CLOSE, &h);
    rx_header_init(RX_EXEC, &h);
    memset(h.exec.user, 'x', sizeof h.exec.user);
    expect_refused(RX_EXEC, &h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome),     cmocka_unit_test(test_notices),
        cmocka_unit_test(test_exec),        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_replies),     cmocka_unit_test(test_exit_and_listed),
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_required),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_lists),       cmocka_unit_test(test_choices),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
