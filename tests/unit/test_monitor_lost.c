/* rexecd/monitor_resume.c: how long commands and results wait for a client whose connection was
 * lost, and how many of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rexecd/monitor.h"
#include "tests/unit/resume_world.h"

/* ---- how long, and how much ------------------------------------------------------------- */

/* Lost in this way, it is ended for this reason, unasked. */
static void lost(const char *const settings[], enum ipc_how how, int64_t linger, const char *by)
{
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    struct rx_header x = shell_header(t);
    const char *const words[] = {"exec sleep 30", NULL};
    char expected[32] = "";
    x.exec.linger_ms = linger;
    client_exec(&t->a, 1, &x, words);
    assert_true(world_started(&t->w, &r));
    client_close(&t->a, how);
    forgotten(t, &r);
    resume(t, &t->b, 1); /* too late */
    refused(t, &t->b, 1, RX_E_DATA_LOST);
    running_close(&r);
    assert_true(world_idle(&t->w));
    (void)snprintf(expected, sizeof expected, "\"by\":\"%s\"", by);
    assert_non_null(strstr(audited(t), expected));
    close_trio(t);
}

/* Lost in this way, it waits, and is taken up again. */
static void waits(const char *const settings[], enum ipc_how how, int64_t linger)
{
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    struct rx_header x = shell_header(t);
    const char *const words[] = {"exec sleep 30", NULL};
    x.exec.linger_ms = linger;
    client_exec(&t->a, 1, &x, words);
    assert_true(world_started(&t->w, &r));
    client_close(&t->a, how);
    assert_true(world_silent(&t->w, 300));
    taken_up(t, &t->b, 1, &r);
    assert_true(world_silent(&t->w, 200)); /* and is not ended later, as somebody has it */
    running_close(&r);
    close_trio(t);
}

static void test_lost_policies(void **state)
{
    static const char *const quick[] = {"linger", "0.05", "fin_grace", "600", NULL};
    static const char *const fin[] = {"linger", "600", "fin_grace", "0.05", NULL};
    static const char *const none[] = {"linger", "0", NULL};
    static const char *const capped[] = {"linger_max", "0.05", NULL};
    static const char *const patient[] = {PATIENT, NULL};
    static const enum ipc_how broken[] = {IPC_HOW_RESET, IPC_HOW_SILENCE, IPC_HOW_ERROR};
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        lost(quick, broken[i], RX_ABSENT, "lost");
        waits(fin, broken[i], RX_ABSENT);
    }
    lost(quick, IPC_HOW_FIN, RX_ABSENT, "lost"); /* never longer than the linger */
    lost(fin, IPC_HOW_FIN, RX_ABSENT, "lost");
    lost(none, IPC_HOW_RESET, RX_ABSENT, "lost");
    lost(patient, IPC_HOW_CLOSE, RX_ABSENT, "closed");
    lost(patient, IPC_HOW_RESET, 0, "lost");
    waits(quick, IPC_HOW_RESET, 600000);
    lost(capped, IPC_HOW_RESET, RX_INTEGER_MAX, "lost");
    lost(capped, IPC_HOW_RESET, RX_ABSENT, "lost");
}

/* DETACH of the client's stream, and the answer that must come. */
static void away(struct trio *t, struct client *c, uint32_t stream, int64_t ms, enum rx_type type)
{
    struct rx_header h;
    rx_header_init(RX_DETACH, &h);
    h.detach.linger_ms = ms;
    client_sign(c, RX_DETACH, stream, &h, NULL, 0);
    client_send(c);
    assert_true(world_answer(&t->w, type, false, &h));
    assert_int_equal(t->w.in.session, c->session);
}

/* Who said that he may be away is waited for as long as he said, or as may be; until he says that
 * he is back, or is. */
static void test_away(void **state)
{
    static const char *const settings[] = {"linger", "0.05", "fin_grace", "0.05", NULL};
    static const char *const capped[] = {"linger", "0.05", "linger_max", "0.1", NULL};
    (void)state;
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    trio_start(t, 1, "exec sleep 30", &r);
    away(t, &t->a, 1, RX_ABSENT, RX_REFUSED);
    away(t, &t->a, 1, 600000, RX_DONE);
    client_close(&t->a, IPC_HOW_SILENCE);
    assert_true(world_silent(&t->w, 300));
    taken_up(t, &t->b, 1, &r);
    client_close(&t->b, IPC_HOW_SILENCE); /* was back, and is lost like anybody */
    forgotten(t, &r);
    running_close(&r);
    close_trio(t);
    for (int i = 0; i < 3; i++) {
        t = open_trio(NULL, i == 2 ? capped : settings);
        trio_start(t, 1, "exec sleep 30", &r);
        away(t, &t->a, 1, RX_INTEGER_MAX, RX_DONE);
        if (i == 0)
            away(t, &t->a, 1, 0, RX_DONE);
        client_close(&t->a,
                     i == 1 ? IPC_HOW_FIN : IPC_HOW_RESET); /* FIN: he is not away, but gone */
        forgotten(t, &r);
        running_close(&r);
        close_trio(t);
    }
}

/* A result waits as long as a command: FIN does not make that shorter. */
static void test_result_waits_for_linger(void **state)
{
    static const char *const settings[] = {"linger", "0.4", "fin_grace", "0.01", NULL};
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    (void)state;
    start_kept(t, 1, 5, &r);
    client_close(&t->a, IPC_HOW_FIN);
    assert_true(world_silent(&t->w, 150));
    taken_up(t, &t->b, 1, &r);
    assert_true(world_silent(&t->w, 500)); /* who has it may take his time */
    client_close(&t->b, IPC_HOW_FIN);
    forgotten(t, &r);
    close_trio(t);
}

/* Ended while nobody is there: from then on the result waits, for as long again. */
static void test_ends_while_lost(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    trio_start(t, 1, "read x; exit 3", &r);
    client_close(&t->a, IPC_HOW_RESET);
    (void)close(r.fds[0]);
    r.fds[0] = -1;
    assert_true(world_ended(&t->w, &r, &h));
    assert_string_equal(h.exit.by, "self");
    trio_finished(t, &r, 5);
    assert_int_equal(monitor_commands(t->w.monitor), 0);
    taken_up(t, &t->b, 1, &r);
}

/* The oldest result goes first, and only so many as must. */
static void bounded(const char *const settings[])
{
    struct trio *t = open_trio(NULL, settings);
    struct running r[4] = {0};
    uint8_t ids[4][RX_COMMAND_ID_SIZE];
    for (uint32_t i = 0; i < 4; i++) {
        start_kept(t, i + 1, 100, &r[i]);
        memcpy(ids[i], t->id, sizeof ids[i]);
        if (i >= 2)
            forgotten(t, &r[i - 2]);
    }
    client_close(&t->a, IPC_HOW_RESET);
    for (uint32_t i = 0; i < 4; i++) {
        memcpy(t->id, ids[i], sizeof t->id);
        if (i >= 2) {
            taken_up(t, &t->b, i + 1, &r[i]);
        } else {
            resume(t, &t->b, i + 1);
            refused(t, &t->b, i + 1, RX_E_DATA_LOST);
        }
    }
    /* What is acknowledged makes room. */
    about(t, IPC_GONE, &r[2]);
    client_close(&t->other, IPC_HOW_FIN);
    exec_id(t, &t->b, 10, "true", 1);
    struct rx_header h = {0};
    bound(t, &t->b, 10, RX_STARTED, &r[3], &h);
    (void)shell_header(t);
    exec_id(t, &t->b, 11, "true", RX_ABSENT);
    assert_true(world_started(&t->w, &r[0]));
    assert_true(world_ended(&t->w, &r[0], &h));
    trio_finished(t, &r[0], 100);
    assert_true(world_silent(&t->w, 30));
    close_trio(t);
}

static void test_kept_results_are_bounded(void **state)
{
    static const char *const number[] = {PATIENT, "keep_results", "2", NULL};
    static const char *const bytes[] = {PATIENT, "keep_bytes", "299", NULL};
    (void)state;
    bounded(number);
    bounded(bytes);
}

/* Net lets go of one whose client is away: nobody can come back for it. */
static void test_gone_while_lost(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    trio_start(t, 1, "exec sleep 30", &r);
    client_close(&t->a, IPC_HOW_RESET);
    about(t, IPC_GONE, &r);
    running_close(&r);
    assert_true(world_idle(&t->w));
    assert_non_null(strstr(audited(t), "\"by\":\"lost\""));
}

/* Net dies: what waited for a client ends with it, and so does what was kept. */
static void test_net_dies(void **state)
{
    struct trio *t = *state;
    struct running r[3] = {0};
    trio_start(t, 1, "exec sleep 30", &r[0]);
    client_close(&t->a, IPC_HOW_RESET);
    exec_id(t, &t->b, 1, "true", 1);
    struct rx_header h = {0};
    bound(t, &t->b, 1, RX_STARTED, &r[0], &h);
    client_close(&t->b, IPC_HOW_RESET);
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    assert_int_equal(shutdown(t->w.net, SHUT_RDWR), 0);
    int64_t deadline = world_ms() + WORLD_SECONDS * INT64_C(1000);
    while (monitor_commands(t->w.monitor) > 0 && world_ms() < deadline) {
        world_turn(&t->w);
        (void)usleep(1000);
    }
    assert_int_equal(monitor_commands(t->w.monitor), 0);
    assert_int_equal(monitor_sessions(t->w.monitor), 0);
    assert_non_null(strstr(audited(t), "\"by\":\"lost\""));
    running_close(&r[0]);
}

/* A stopping server takes nothing up again; what waited is ended, and says why. */
static void test_shutdown_while_lost(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    /* It ends when it is let. */
    trio_start(t, 1, "trap 'read x; exit 7' TERM; echo up; while :; do sleep 0.05; done", &r);
    char out[8] = "";
    while (read(r.fds[1], out, sizeof out) <= 0)
        world_turn(&t->w);
    client_close(&t->a, IPC_HOW_RESET);
    world_turn(&t->w);
    monitor_stop(t->w.monitor);
    assert_true(world_expect(&t->w, IPC_GOAWAY));
    resume(t, &t->b, 1);
    refused(t, &t->b, 1, RX_E_SHUTTING_DOWN);
    exec_id(t, &t->b, 2, "true", 10);
    refused(t, &t->b, 2, RX_E_SHUTTING_DOWN);
    assert_int_equal(write(r.fds[0], "\n", 1), 1);
    assert_true(world_ended(&t->w, &r, &h));
    assert_int_equal(h.exit.code, 7);
    assert_string_equal(h.exit.by, "shutdown");
    trio_finished(t, &r, 0);
    assert_int_equal(monitor_commands(t->w.monitor), 0);
}

int main(void)
{
#define OWN(test) cmocka_unit_test_setup_teardown(test, no_setup, teardown)
#define SHARED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        OWN(test_lost_policies),          OWN(test_result_waits_for_linger),
        SHARED(test_ends_while_lost),     OWN(test_kept_results_are_bounded),
        SHARED(test_gone_while_lost),     SHARED(test_net_dies),
        SHARED(test_shutdown_while_lost), OWN(test_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
