/* rexecd/monitor_resume.c: who takes a command up again, in which state, and what is said to whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "rexecd/monitor.h"
#include "tests/unit/resume_world.h"

/* ---- RESUME ----------------------------------------------------------------------------- */

static void test_resume_running(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    char out[32] = "";
    trio_start(t, 1, "read x; echo \"got $x\"; exit 3", &r);
    client_close(&t->a, IPC_HOW_RESET);
    assert_true(world_silent(&t->w, 50));
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    resume(t, &t->b, 7);
    bound(t, &t->b, 7, RX_RESUMED, &r, &h);
    assert_int_equal(h.reply.n, RX_ABSENT);
    client_signal(&t->b, 7, "CONT", 1); /* it is on this stream now */
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    assert_int_equal(t->w.in.session, 2);
    assert_int_equal(write(r.fds[0], "it\n", 3), 3);
    (void)world_read(&t->w, r.fds[1], out, sizeof out);
    assert_string_equal(out, "got it\n");
    assert_true(world_ended(&t->w, &r, &h));
    assert_int_equal(h.exit.code, 3);
    assert_string_equal(h.exit.by, "self");
    trio_finished(t, &r, 7);
    about(t, IPC_GONE, &r);
    assert_int_equal(monitor_commands(t->w.monitor), 0);
    assert_non_null(strstr(audited(t), "\"resumed\":1"));
    resume(t, &t->b, 9);
    refused(t, &t->b, 9, RX_E_DATA_LOST);
}

/* From a connection that the server believes in; what that says afterwards is of no account. */
static void test_resume_from_a_live_connection(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    trio_start(t, 1, "exec sleep 30", &r);
    taken_up(t, &t->b, 1, &r);
    client_signal(&t->a, 1, "KILL", 1);
    client_close(&t->a, IPC_HOW_CLOSE);
    assert_true(world_silent(&t->w, 100));
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    client_signal(&t->b, 1, "TERM", 1);
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    assert_true(world_ended(&t->w, &r, &h));
    assert_string_equal(h.exit.signal, "TERM");
    trio_finished(t, &r, 0);
}

/* On the connection that has it, too: a new stream of the same. */
static void test_resume_on_the_same_connection(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    trio_start(t, 1, "exec sleep 30", &r);
    taken_up(t, &t->a, 3, &r);
    taken_up(t, &t->a, 5, &r);
    client_close(&t->a, IPC_HOW_CLOSE);
    forgotten(t, &r);
    running_close(&r);
    assert_true(world_idle(&t->w));
}

/* Dead, and its output not at its end; then kept, again and again, until it is acknowledged. */
static void test_resume_ended_and_kept(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    trio_start(t, 1, "exit 3", &r);
    assert_true(world_ended(&t->w, &r, &h));
    taken_up(t, &t->b, 1, &r);
    trio_finished(t, &r, 10);
    assert_int_equal(monitor_commands(t->w.monitor), 0);
    taken_up(t, &t->a, 3, &r);
    client_close(&t->a, IPC_HOW_FIN);
    assert_true(world_silent(&t->w, 50));
    taken_up(t, &t->b, 3, &r);
    about(t, IPC_GONE, &r);
    resume(t, &t->b, 5);
    refused(t, &t->b, 5, RX_E_DATA_LOST);
    /* An id that nobody ever used. */
    (void)shell_header(t);
    resume(t, &t->b, 7);
    refused(t, &t->b, 7, RX_E_UNKNOWN_COMMAND);
}

static void test_signal_numbers_survive(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    char out[8] = "";
    trio_start(t, 1, "trap 'echo hup' HUP; echo up; while :; do sleep 0.05; done", &r);
    while (read(r.fds[1], out, 3) <= 0)
        world_turn(&t->w);
    client_signal(&t->a, 1, "HUP", 4);
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    while (read(r.fds[1], out, 4) <= 0)
        world_turn(&t->w);
    client_close(&t->a, IPC_HOW_RESET);
    resume(t, &t->b, 1);
    bound(t, &t->b, 1, RX_RESUMED, &r, &h);
    assert_int_equal(h.reply.n, 4);
    client_signal(&t->b, 1, "KILL", 4); /* done, it says, and is not sent again */
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    assert_int_equal(h.reply.n, 4);
    assert_true(world_silent(&t->w, 50));
    client_signal(&t->b, 1, "KILL", 5);
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    assert_true(world_ended(&t->w, &r, &h));
    assert_int_equal(world_read(&t->w, r.fds[1], out, sizeof out), 0); /* one HUP there was */
    trio_finished(t, &r, 0);
}

/* ---- EXEC again ------------------------------------------------------------------------- */

/* The process is on its way: START goes to the new stream, and the old one is told. */
static void test_exec_again_starting(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    (void)shell_header(t);
    exec_id(t, &t->a, 1, "exec sleep 30", RX_ABSENT);
    client_signal(&t->a, 1, "CONT", 1); /* its answer would have come behind START */
    exec_id(t, &t->b, 5, "something else", 10);
    refused(t, &t->a, 1, RX_E_TAKEN_OVER);
    assert_true(world_started(&t->w, &r));
    assert_int_equal(t->w.in.session, 2);
    assert_int_equal(((const struct ipc_start *)t->w.in.fixed)->stream, 5);
    assert_true(r.started.reply.already);
    assert_true(world_silent(&t->w, 50)); /* the early answer went with the old stream */
    client_signal(&t->b, 5, "KILL", 1);   /* the client says it again: it was done */
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    client_signal(&t->b, 5, "KILL", 2);
    assert_true(world_answer(&t->w, RX_DONE, false, &h));
    assert_true(world_ended(&t->w, &r, &h));
    trio_finished(t, &r, 0);
}

/* Its connection was lost before it ran: net gets it all the same. */
static void test_exec_again_after_a_lost_start(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    (void)shell_header(t);
    exec_id(t, &t->a, 1, "exec sleep 30", RX_ABSENT);
    client_close(&t->a, IPC_HOW_RESET);
    assert_true(world_started(&t->w, &r));
    assert_int_equal(t->w.in.session, 1);
    exec_id(t, &t->b, 1, "true", 10);
    bound(t, &t->b, 1, RX_STARTED, &r, &h);
    assert_true(h.reply.already);
    client_close(&t->b, IPC_HOW_CLOSE);
    forgotten(t, &r);
    running_close(&r);
    assert_true(world_idle(&t->w));
}

static void test_exec_again_running_ended_kept_acknowledged(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h = {0};
    trio_start(t, 1, "read x; exit 3", &r);
    exec_id(t, &t->b, 1, "true", 10);
    bound(t, &t->b, 1, RX_STARTED, &r, &h);
    assert_true(h.reply.already);
    assert_string_equal(h.reply.user, r.started.reply.user);
    (void)close(r.fds[0]);
    r.fds[0] = -1;
    assert_true(world_ended(&t->w, &r, &h));
    exec_id(t, &t->b, 2, "true", 10);
    bound(t, &t->b, 2, RX_STARTED, &r, &h);
    trio_finished(t, &r, 0);
    exec_id(t, &t->b, 3, "true", 10);
    bound(t, &t->b, 3, RX_STARTED, &r, &h);
    exec_id(t, &t->b, 4, "true", RX_ABSENT); /* as if for the first time */
    refused(t, &t->b, 4, RX_E_DUPLICATE_ID);
    about(t, IPC_GONE, &r);
    exec_id(t, &t->b, 5, "true", 10);
    refused(t, &t->b, 5, RX_E_DATA_LOST);
    assert_int_equal(monitor_commands(t->w.monitor), 0);
}

/* One id more than are remembered: what is not there may have run. */
static void test_exec_again_forgotten(void **state)
{
    static const char *const settings[] = {PATIENT, "remember", "16", NULL};
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0}, kept = {0};
    uint8_t first[RX_COMMAND_ID_SIZE], second[RX_COMMAND_ID_SIZE];
    (void)state;
    start_kept(t, 1, 5, &kept);
    memcpy(first, t->id, sizeof first);
    start_kept(t, 2, 5, &r);
    about(t, IPC_GONE, &r);
    memcpy(second, t->id, sizeof second);
    for (uint32_t i = 0; i < 16; i++) {
        start_kept(t, i + 3, 5, &r);
        about(t, IPC_GONE, &r);
    }
    memcpy(t->id, second, sizeof second);
    exec_id(t, &t->b, 1, "true", 10);
    refused(t, &t->b, 1, RX_E_FATE_UNKNOWN);
    resume(t, &t->b, 2);
    refused(t, &t->b, 2, RX_E_UNKNOWN_COMMAND);
    /* The id is forgotten, the result is not: it is not started again either way. */
    memcpy(t->id, first, sizeof first);
    exec_id(t, &t->b, 3, "true", RX_ABSENT);
    refused(t, &t->b, 3, RX_E_DUPLICATE_ID);
    taken_up(t, &t->b, 4, &kept);
    close_trio(t);
}

/* ---- when net cannot -------------------------------------------------------------------- */

static void test_not_resumed(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    trio_start(t, 1, "exec sleep 30", &r);
    taken_up(t, &t->b, 1, &r);
    not_resumed(t, &r, &t->b, 1, RX_E_DATA_LOST);
    refused(t, &t->b, 1, RX_E_DATA_LOST);
    taken_up(t, &t->b, 2, &r);
    not_resumed(t, &r, &t->b, 2, RX_E_NO_MEMORY);
    refused(t, &t->b, 2, RX_E_NO_RESOURCES);
    taken_up(t, &t->b, 3, &r); /* it is there still */
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    running_close(&r);
}

/* And waits no longer than one that was lost. */
static void test_not_resumed_waits(void **state)
{
    static const char *const settings[] = {"linger", "0.05", NULL};
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    (void)state;
    trio_start(t, 1, "exec sleep 30", &r);
    taken_up(t, &t->b, 1, &r);
    not_resumed(t, &r, &t->b, 1, RX_E_DATA_LOST);
    refused(t, &t->b, 1, RX_E_DATA_LOST);
    forgotten(t, &r);
    running_close(&r);
    assert_true(world_idle(&t->w));
    close_trio(t);
}

/* The connection that it was for is gone, and a third has it by the time net says so. */
static void test_not_resumed_too_late(void **state)
{
    static const char *const settings[] = {"linger", "0.1", NULL};
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0};
    struct client third;
    (void)state;
    assert_true(client_open(&third, &t->w, 4));
    trio_start(t, 1, "exec sleep 30", &r);
    taken_up(t, &t->b, 1, &r);
    client_close(&t->b, IPC_HOW_RESET);
    taken_up(t, &third, 1, &r);
    not_resumed(t, &r, &t->b, 1, RX_E_CLOSED_EARLY);
    assert_true(world_silent(&t->w, 300)); /* neither refused to the third, nor ended */
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    running_close(&r);
    close_trio(t);
}

/* It was acknowledged on the old connection while RESUME was on its way: the new one is told. */
static void test_gone_crosses_resume(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    start_kept(t, 1, 5, &r);
    taken_up(t, &t->b, 1, &r);
    about(t, IPC_GONE, &r);
    not_resumed(t, &r, &t->b, 1, RX_E_DATA_LOST);
    refused(t, &t->b, 1, RX_E_DATA_LOST);
    assert_true(world_silent(&t->w, 30));
}

/* ---- who, and within which limits ------------------------------------------------------- */

static void test_another_client(void **state)
{
    struct trio *t = *state;
    struct running r = {0};
    struct rx_header h;
    trio_start(t, 1, "exec sleep 30", &r);
    client_close(&t->a, IPC_HOW_RESET);
    resume(t, &t->other, 1);
    refused(t, &t->other, 1, RX_E_UNKNOWN_COMMAND);
    exec_id(t, &t->other, 2, "true", RX_ABSENT);
    refused(t, &t->other, 2, RX_E_DUPLICATE_ID);
    exec_id(t, &t->other, 3, "true", 10);
    refused(t, &t->other, 3, RX_E_DUPLICATE_ID);
    rx_header_init(RX_SIGNAL, &h);
    (void)snprintf(h.signal.signal, sizeof h.signal.signal, "%s", "KILL");
    h.signal.has_id = true;
    memcpy(h.signal.id, t->id, sizeof h.signal.id);
    client_sign(&t->other, RX_SIGNAL, 4, &h, NULL, 0);
    client_send(&t->other);
    refused(t, &t->other, 4, RX_E_UNKNOWN_COMMAND);
    assert_int_equal(monitor_commands(t->w.monitor), 1);
    taken_up(t, &t->b, 1, &r); /* it was not touched */
    running_close(&r);
}

/* The new connection's limit holds for what still runs, not for results. */
static void test_limits_of_the_new_connection(void **state)
{
    static const char *const settings[] = {PATIENT, "max_commands", "1", NULL};
    struct trio *t = open_trio(NULL, settings);
    struct running r = {0}, busy = {0};
    uint8_t id[RX_COMMAND_ID_SIZE];
    struct rx_header h = {0};
    (void)state;
    trio_start(t, 1, "read x", &r);
    memcpy(id, t->id, sizeof id);
    client_close(&t->a, IPC_HOW_RESET);
    client_shell(&t->b, 1, "exec sleep 30");
    assert_true(world_started(&t->w, &busy));
    resume(t, &t->b, 2);
    refused(t, &t->b, 2, RX_E_LIMIT_REACHED);
    exec_id(t, &t->b, 3, "true", 10);
    refused(t, &t->b, 3, RX_E_LIMIT_REACHED);
    (void)close(r.fds[0]);
    r.fds[0] = -1;
    assert_true(world_ended(&t->w, &r, &h));
    trio_finished(t, &r, 5);
    memcpy(t->id, id, sizeof id);
    taken_up(t, &t->b, 4, &r);
    running_close(&busy);
    close_trio(t);
}

/* One place in the grant's quota, taken and given back once, however often it moved. */
static void test_quota_is_given_back(void **state)
{
    static const char *const settings[] = {PATIENT, NULL};
    struct rx_grant grant;
    uint8_t psk[RX_KEY_SIZE];
    memset(psk, 7, sizeof psk);
    world_grant(NULL, psk, &grant);
    grant.max_commands = 1;
    struct trio *t = open_trio(&grant, settings);
    struct running r = {0};
    struct rx_header h = {0};
    (void)state;
    trio_start(t, 1, "read x", &r);
    client_close(&t->a, IPC_HOW_RESET);
    client_shell(&t->b, 1, "true");
    refused(t, &t->b, 1, RX_E_LIMIT_REACHED);
    taken_up(t, &t->b, 2, &r);
    client_shell(&t->b, 3, "true");
    refused(t, &t->b, 3, RX_E_LIMIT_REACHED);
    (void)close(r.fds[0]);
    r.fds[0] = -1;
    assert_true(world_ended(&t->w, &r, &h));
    trio_finished(t, &r, 5);
    about(t, IPC_GONE, &r);
    client_shell(&t->b, 4, "exec sleep 30");
    assert_true(world_started(&t->w, &r));
    client_shell(&t->b, 5, "true");
    refused(t, &t->b, 5, RX_E_LIMIT_REACHED);
    running_close(&r);
    close_trio(t);
}

int main(void)
{
#define OWN(test) cmocka_unit_test_setup_teardown(test, no_setup, teardown)
#define SHARED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SHARED(test_resume_running),
        SHARED(test_resume_from_a_live_connection),
        SHARED(test_resume_on_the_same_connection),
        SHARED(test_resume_ended_and_kept),
        SHARED(test_signal_numbers_survive),
        SHARED(test_exec_again_starting),
        SHARED(test_exec_again_after_a_lost_start),
        SHARED(test_exec_again_running_ended_kept_acknowledged),
        OWN(test_exec_again_forgotten),
        SHARED(test_not_resumed),
        OWN(test_not_resumed_waits),
        OWN(test_not_resumed_too_late),
        SHARED(test_gone_crosses_resume),
        SHARED(test_another_client),
        OWN(test_limits_of_the_new_connection),
        OWN(test_quota_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
