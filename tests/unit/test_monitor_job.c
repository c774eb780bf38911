/* rexecd/monitor_job.c and monitor_request.c: how commands end, and are ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>

#include "rexecd/monitor.h"
#include "rexecd/signal_names.h"
#include "tests/unit/monitor_world.h"

struct pair {
    struct world w;
    struct client c;
};

static struct pair *open_pair(const struct rx_grant *grant, const char *const settings[])
{
    static struct pair p;
    world_open(&p.w, grant, settings);
    if (!client_open(&p.c, &p.w, 1))
        abort();
    return &p;
}

static int setup(void **state)
{
    *state = open_pair(NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    world_close(&p->w);
    return 0;
}

/* Runs a line to its end: what it printed, and how it ended. */
static void run(struct pair *p, uint32_t stream, const char *line, char *out, size_t cap,
                struct rx_header *end)
{
    struct running r = {0};
    client_shell(&p->c, stream, line);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, cap);
    assert_true(world_ended(&p->w, &r, end));
    client_finished(&p->c, &r);
}

/* ---- how commands end ------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
    struct pair *p = *state;
    char out[16] = "", line[32] = "";
    struct rx_header h = {0};
    for (int code = 0; code < 256; code++) {
        (void)snprintf(line, sizeof line, "exit %d", code);
        run(p, (uint32_t)code + 1, line, out, sizeof out, &h);
        assert_int_equal(h.exit.code, code);
        assert_string_equal(h.exit.signal, "");
    }
}

static bool stops_or_is_ignored(int number)
{
    return number == SIGCHLD || number == SIGCONT || number == SIGSTOP || number == SIGTSTP ||
           number == SIGTTIN || number == SIGTTOU || number == SIGURG || number == SIGWINCH ||
           number == 32 || number == 33; /* the C library's own */
}

static void test_signals(void **state)
{
    struct pair *p = *state;
    char out[16] = "", line[48] = "", name[RX_SIGNAL_NAME_MAX + 1] = "";
    struct rx_header h = {0};
    for (int number = 1; number <= 64; number++) {
        if (stops_or_is_ignored(number))
            continue;
        (void)snprintf(line, sizeof line, "exec sh -c 'kill -%d $$'", number);
        run(p, (uint32_t)number, line, out, sizeof out, &h);
        signal_name(number, name);
        assert_string_equal(h.exit.signal, name);
        assert_int_equal(h.exit.code, RX_ABSENT);
        assert_string_equal(h.exit.by, "self");
    }
}

/* What the client sends reaches the group, and is named as the one that ended it. */
static void test_signal_request(void **state)
{
    struct pair *p = *state;
    struct world *w = &p->w;
    struct running r = {0};
    struct rx_header h = {0};
    char out[64] = "";
    client_shell(&p->c, 1, "trap 'echo hup' HUP; echo ready; sleep 30 & wait; wait");
    assert_true(world_started(w, &r));
    while (read(r.fds[1], out, sizeof out) <= 0)
        world_turn(w);
    client_signal(&p->c, 1, "NOSUCH", 1);
    assert_true(world_answer(w, RX_REFUSED, false, &h));
    assert_int_equal(h.notice.code, RX_E_UNKNOWN_SIGNAL);
    assert_int_equal(h.notice.n, 1);
    client_signal(&p->c, 1, "CONT", 1);
    assert_true(world_answer(w, RX_DONE, false, &h));
    assert_int_equal(h.reply.n, 1);
    client_signal(&p->c, 1, "KILL", 1); /* n is not above the last one: done already */
    assert_true(world_answer(w, RX_DONE, false, &h));
    client_signal(&p->c, 1, "TERM", 2);
    assert_true(world_answer(w, RX_DONE, false, &h));
    assert_int_equal(h.reply.n, 2);
    (void)world_read(w, r.fds[1], out, sizeof out);
    assert_true(world_ended(w, &r, &h));
    assert_string_equal(h.exit.signal, "TERM");
    assert_string_equal(h.exit.by, "client");
    /* Dead already, but not over. */
    client_signal(&p->c, 1, "TERM", 3);
    assert_true(world_answer(w, RX_REFUSED, false, &h));
    assert_int_equal(h.notice.code, RX_E_ALREADY_ENDED);
    client_finished(&p->c, &r);
    /* Over: its stream is closed, and has no answer. */
    client_signal(&p->c, 1, "TERM", 4);
    assert_true(world_silent(w, 20));
}

/* Asked for before the process executes: the answer comes behind START. */
static void test_signal_at_once(void **state)
{
    struct pair *p = *state;
    struct world *w = &p->w;
    struct running r = {0};
    struct rx_header h = {0};
    client_shell(&p->c, 1, "exec sleep 30");
    client_signal(&p->c, 1, "CONT", 1);
    client_signal(&p->c, 1, "NOSUCH", 2);
    assert_true(world_started(w, &r));
    assert_true(world_answer(w, RX_DONE, false, &h));
    assert_int_equal(h.reply.n, 1);
    assert_true(world_answer(w, RX_REFUSED, false, &h));
    assert_int_equal(h.notice.n, 2);
    client_signal(&p->c, 1, "KILL", 3);
    assert_true(world_answer(w, RX_DONE, false, &h));
    assert_true(world_ended(w, &r, &h));
    assert_string_equal(h.exit.signal, "KILL");
    client_finished(&p->c, &r);
}

/* More than can wait for START: such a client is not served. */
static void test_signal_flood(void **state)
{
    struct pair *p = *state;
    client_shell(&p->c, 1, "exec sleep 30");
    for (int64_t n = 1; n <= 17; n++)
        client_signal(&p->c, 1, "CONT", n);
    assert_true(world_expect(&p->w, IPC_FAIL));
    client_close(&p->c, IPC_HOW_ERROR);
    assert_true(world_idle(&p->w));
}

/* A SIGNAL that opens a stream comes on a new one, one without an id on the command's own; the
 * answers would close what they must not. */
static void test_signal_on_the_wrong_stream(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        struct running r = {0};
        struct rx_header h;
        client_shell(&p->c, 3, "sleep 30");
        assert_true(world_started(&p->w, &r));
        if (i == 0) {
            rx_header_init(RX_SIGNAL, &h);
            (void)snprintf(h.signal.signal, sizeof h.signal.signal, "%s", "TERM");
            h.signal.has_id = true;
            client_sign(&p->c, RX_SIGNAL, 3, &h, NULL, 0);
            client_send(&p->c);
        } else {
            client_signal(&p->c, 4, "TERM", 1);
        }
        assert_true(world_expect(&p->w, IPC_FAIL));
        running_close(&r);
        client_close(&p->c, IPC_HOW_ERROR);
        assert_true(world_idle(&p->w));
        while (world_next(&p->w, 0))
            ;
        assert_true(client_open(&p->c, &p->w, (uint32_t)i + 2));
    }
}

static void test_signal_by_id(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    const char *const words[] = {"exec sleep 30", NULL};
    client_exec(&p->c, 1, &x, words);
    assert_true(world_started(&p->w, &r));
    rx_header_init(RX_SIGNAL, &h);
    (void)snprintf(h.signal.signal, sizeof h.signal.signal, "%s", "INT");
    h.signal.has_id = true;
    memcpy(h.signal.id, x.exec.id, sizeof h.signal.id);
    client_sign(&p->c, RX_SIGNAL, 2, &h, NULL, 0);
    client_send(&p->c);
    assert_true(world_answer(&p->w, RX_DONE, true, &h));
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.signal, "INT");
    client_finished(&p->c, &r);
    /* An id that is nobody's. */
    rx_header_init(RX_SIGNAL, &h);
    (void)snprintf(h.signal.signal, sizeof h.signal.signal, "%s", "INT");
    h.signal.has_id = true;
    client_sign(&p->c, RX_SIGNAL, 3, &h, NULL, 0);
    client_send(&p->c);
    assert_true(world_refused(&p->w, RX_E_UNKNOWN_COMMAND));
}

static void test_timeout(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    const char *const polite[] = {"exec sleep 30", NULL};
    const char *const stubborn[] = {"trap '' TERM; while :; do sleep 1; done", NULL};
    x.exec.timeout_ms = 100;
    client_exec(&p->c, 1, &x, polite);
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.signal, "TERM");
    assert_string_equal(h.exit.by, "timeout");
    assert_string_not_equal(h.exit.detail, "");
    client_finished(&p->c, &r);
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    x.exec.timeout_ms = 300;
    client_exec(&p->c, 2, &x, stubborn);
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.signal, "KILL");
    assert_string_equal(h.exit.by, "timeout");
    client_finished(&p->c, &r);
    assert_true(world_idle(&p->w));
}

static void test_limits(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    char out[256] = "";
    const char *const words[] = {"ulimit -n; ulimit -f; ulimit -c; ulimit -t", NULL};
    x.exec.limits.files = 17;
    x.exec.limits.file_size = 4096;
    x.exec.limits.core = 0;
    x.exec.limits.cpu_ms = 1500;
    client_exec(&p->c, 1, &x, words);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_true(strcmp(out, "17\n4\n0\n2\n") == 0 || strcmp(out, "17\n8\n0\n2\n") == 0);
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
    /* Bytes of output: net counts, the monitor ends. */
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    x.exec.limits.output = 1000;
    const char *const yes[] = {"exec sleep 30", NULL};
    client_exec(&p->c, 2, &x, yes);
    assert_true(world_next(&p->w, 5000));
    assert_int_equal(((const struct ipc_start *)p->w.in.fixed)->output_limit, 1000);
    const struct ipc_command which = {((const struct ipc_start *)p->w.in.fixed)->command};
    r.number = which.command;
    world_say(&p->w, IPC_OVER_LIMIT, 0, &which, NULL, 0);
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.by, "limit");
    assert_string_equal(h.exit.signal, "TERM");
    client_finished(&p->c, &r);
}

/* Who ended it is said as it was, also where a limit was set, or somebody was about to end it. */
static void test_by(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    const char *const sleeps[] = {"exec sleep 30", NULL};
    const char *const burns[] = {"while :; do :; done", NULL};
    x.exec.limits.cpu_ms = 20000;
    client_exec(&p->c, 1, &x, sleeps);
    assert_true(world_started(&p->w, &r));
    client_signal(&p->c, 1, "KILL", 1);
    assert_true(world_answer(&p->w, RX_DONE, false, &h));
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.by, "client");
    client_finished(&p->c, &r);
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    x.exec.limits.cpu_ms = 20000;
    client_exec(&p->c, 2, &x, sleeps);
    assert_true(world_started(&p->w, &r));
    assert_int_equal(kill((pid_t)r.started.reply.pid, SIGKILL), 0); /* somebody else */
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.by, "self");
    assert_string_equal(h.exit.detail, "");
    client_finished(&p->c, &r);
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    x.exec.limits.cpu_ms = 1000;
    client_exec(&p->c, 3, &x, burns);
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    assert_string_equal(h.exit.by, "limit");
    assert_string_not_equal(h.exit.detail, "");
    client_finished(&p->c, &r);
}

/* It is dead already, and the monitor has not looked. */
static void test_by_itself_before_the_stop(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0};
    siginfo_t dead = {0};
    client_shell(&p->c, 1, "read x; exit 3");
    assert_true(world_started(&p->w, &r));
    assert_int_equal(write(r.fds[0], "\n", 1), 1);
    assert_int_equal(waitid(P_PID, (id_t)r.started.reply.pid, &dead, WEXITED | WNOWAIT), 0);
    monitor_stop(p->w.monitor);
    assert_true(world_expect(&p->w, IPC_GOAWAY));
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.code, 3);
    assert_string_equal(h.exit.by, "self");
    client_finished(&p->c, &r);
}

/* A grandchild that holds stdout: who it is, is in the answer. */
static void test_holders(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0};
    char out[64] = "";
    client_shell(&p->c, 1, "sleep 30 & echo $!");
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.holders.count, 0);
    ssize_t n = read(r.fds[1], out, sizeof out - 1);
    assert_true(n > 0);
    out[n] = '\0';
    const struct ipc_command which = {.command = r.number};
    world_say(&p->w, IPC_DRAINED, 0, &which, NULL, 0);
    assert_true(world_expect(&p->w, IPC_EXIT_NOW));
    assert_int_equal(rx_header_decode(RX_EXIT, p->w.in.tail, p->w.in.tail_len, &h), RX_OK);
    assert_int_equal(h.exit.code, 0);
    assert_int_equal(h.exit.holders.count, 1);
    assert_int_equal(h.exit.holders.pids[0], atoi(out)); // NOLINT(cert-err34-c)
    /* Looking for them costs time: once. */
    world_say(&p->w, IPC_DRAINED, 0, &which, NULL, 0);
    assert_true(world_silent(&p->w, 100));
    client_finished(&p->c, &r);
    assert_int_equal(monitor_commands(p->w.monitor), 0);
    assert_int_equal(kill((pid_t)h.exit.holders.pids[0], SIGKILL),
                     0); /* it lives: nobody ended it */
}

/* ---- the client goes -------------------------------------------------------------------- */

/* Whether a process is there and not a zombie. */
static bool lives(pid_t pid)
{
    char path[64], text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    (void)fclose(file);
    const char *state = strrchr(text, ')');
    return state != NULL && state[2] != 'Z' && state[2] != 'X';
}

static void client_goes(enum ipc_how how, const char *line, const char *cgroups)
{
    const char *const settings[] = {"cgroups", cgroups, NULL};
    struct pair *p = open_pair(NULL, settings);
    struct running r = {0};
    char out[256] = "";
    pid_t pids[4] = {0};
    client_shell(&p->c, 1, line);
    assert_true(world_started(&p->w, &r));
    size_t n = 0;
    out[0] = '\0';
    while (strstr(out, "end") == NULL) {
        world_turn(&p->w);
        ssize_t got = read(r.fds[1], out + n, sizeof out - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        out[n] = '\0';
    }
    int count = 0;
    char *rest = out;
    for (pid_t pid; count < 3 && (pid = (pid_t)strtol(rest, &rest, 10)) > 0; count++)
        pids[count] = pid;
    assert_true(count >= 1);
    for (int i = 0; i < count; i++)
        assert_true(lives(pids[i]));
    running_close(&r);
    client_close(&p->c, how);
    assert_true(world_idle(&p->w));
    for (int i = 0; i < 50; i++) {
        world_turn(&p->w);
        (void)usleep(2000);
    }
    for (int i = 0; i < count; i++)
        assert_false(lives(pids[i]));
    world_close(&p->w);
}

static void test_client_gone(void **state)
{
    (void)state;
    static const char tree[] =
        "trap '' TERM HUP PIPE; sleep 30 & a=$!; setsid sleep 30 & b=$!; echo $$ $a $b end; wait; "
        "while :; do sleep 1; done";
    const enum ipc_how hows[] = {IPC_HOW_CLOSE, IPC_HOW_FIN, IPC_HOW_RESET, IPC_HOW_SILENCE};
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        client_goes(hows[i], tree, "no");
        client_goes(hows[i], tree, "yes");
    }
}

/* One that left session, group and parents, where cgroups can be had. */
static void test_client_gone_daemon(void **state)
{
    (void)state;
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    cgroups_close(c);
    client_goes(IPC_HOW_FIN,
                "(setsid sh -c 'trap \"\" TERM; (sleep 30; :) & echo $! end; exit 0' &) ; sleep 30",
                "yes");
}

/* A command that is starting when its client goes. */
static void test_client_gone_at_once(void **state)
{
    struct pair *p = *state;
    for (uint32_t i = 0; i < 20; i++) {
        client_shell(&p->c, i + 1, "exec sleep 30");
        client_shell(&p->c, i + 1001, "exec nosuchcommand");
        client_close(&p->c, i % 2 == 0 ? IPC_HOW_CLOSE : IPC_HOW_RESET);
        assert_true(world_idle(&p->w));
        while (world_next(&p->w, 0))
            ;
        assert_true(client_open(&p->c, &p->w, i + 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exit_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_on_the_wrong_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal_by_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_itself_before_the_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holders, setup, teardown),
        cmocka_unit_test(test_client_gone),
        cmocka_unit_test(test_client_gone_daemon),
        cmocka_unit_test_setup_teardown(test_client_gone_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
