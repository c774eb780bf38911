/* rexecd/monitor_exec.c: EXEC in its forms, what is refused, at most once, many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pwd.h>
#include <unistd.h>

#include "rexecd/monitor.h"
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

/* ---- forms ------------------------------------------------------------------------------ */

static void test_shell(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0};
    char out[256] = "", err[256] = "";
    client_shell(&p->c, 1, "read x; echo \"got $x\"; echo oops >&2; exit 3");
    assert_true(world_started(&p->w, &r));
    assert_true(r.started.reply.pid > 0);
    assert_true(r.started.reply.start_us > 0);
    assert_int_equal(write(r.fds[0], "line\n", 5), 5);
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    (void)world_read(&p->w, r.fds[2], err, sizeof err);
    assert_string_equal(out, "got line\n");
    assert_string_equal(err, "oops\n");
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.code, 3);
    assert_string_equal(h.exit.by, "self");
    assert_true(h.exit.end_us >= h.exit.start_us);
    assert_true(h.exit.rusage.maxrss_kib > 0);
    client_finished(&p->c, &r);
    assert_int_equal(monitor_commands(p->w.monitor), 0);
}

/* Words as they are: no shell, every byte but NUL. */
static void test_exec(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_EXEC);
    char every[256] = "", out[1024] = "";
    for (int i = 1; i < 256; i++)
        every[i - 1] = (char)(unsigned char)i;
    every[255] = '\0';
    const char *const words[] = {"printf", "%s|", "-n", "", "$HOME `id`", every, NULL};
    x.exec.input = RX_INPUT_NONE;
    client_exec(&p->c, 1, &x, words);
    assert_true(world_started(&p->w, &r));
    assert_int_equal(r.fds[0], -1);
    size_t n = world_read(&p->w, r.fds[1], out, sizeof out);
    assert_int_equal(n, 3 + 1 + 11 + 255 + 1);
    assert_memory_equal(out, "-n||$HOME `id`|", 15);
    assert_memory_equal(out + 15, every, 255);
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.code, 0);
    client_finished(&p->c, &r);
}

static void test_login(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_LOGIN);
    char out[4096] = "";
    client_exec(&p->c, 1, &x, NULL);
    assert_true(world_started(&p->w, &r));
    static const char script[] = "echo \"zero=$0\"; exit 7\n";
    assert_int_equal(write(r.fds[0], script, strlen(script)), (int)strlen(script));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_non_null(strstr(out, "zero=-"));
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.code, 7);
    client_finished(&p->c, &r);
}

static void test_directory(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    uint8_t body[128];
    char out[128] = "";
    size_t n = 0;
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "pwd", 3), RX_OK);
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_DIRECTORY, "/usr", 4), RX_OK);
    client_sign(&p->c, RX_EXEC, 1, &x, body, n);
    client_send(&p->c);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_string_equal(out, "/usr\n");
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
}

/* ---- refusals --------------------------------------------------------------------------- */

static void test_not_started(void **state)
{
    struct pair *p = *state;
    struct world *w = &p->w;
    struct rx_header x = client_exec_header(&p->c, RX_RUN_EXEC);
    const char *const missing[] = {"/no/such/command", NULL};
    const char *const nowhere[] = {"rexec-no-such-command", NULL};
    const char *const directory[] = {"/usr", NULL};
    const char *const not_executable[] = {"/etc/passwd", NULL};
    client_exec(&p->c, 1, &x, missing);
    assert_true(world_refused(w, RX_E_COMMAND_NOT_FOUND));
    client_exec(&p->c, 2, &x, nowhere); /* the id was never started: it may come again */
    assert_true(world_refused(w, RX_E_COMMAND_NOT_FOUND));
    client_exec(&p->c, 3, &x, directory);
    assert_true(world_refused(w, RX_E_CANNOT_EXECUTE));
    client_exec(&p->c, 4, &x, not_executable);
    assert_true(world_refused(w, RX_E_CANNOT_EXECUTE));
    uint8_t body[256];
    size_t n = 0;
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "id", 2), RX_OK);
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_DIRECTORY, "/nowhere", 8), RX_OK);
    client_sign(&p->c, RX_EXEC, 5, &x, body, n);
    client_send(&p->c);
    assert_true(world_refused(w, RX_E_NO_SUCH_DIRECTORY));
    assert_true(world_idle(w));
}

static void test_environment(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_EXEC);
    uint8_t body[256];
    char out[1024] = "";
    size_t n = 0;
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "env", 3), RX_OK);
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ENVIRONMENT, "A=b c", 5), RX_OK);
    client_sign(&p->c, RX_EXEC, 1, &x, body, n);
    client_send(&p->c);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    size_t lines = 0;
    for (const char *at = out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 7);
    assert_non_null(strstr(out, "A=b c\n"));
    assert_non_null(strstr(out, "REXEC_CONNECTION=192.0.2.1 1234\n"));
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
    n = 0;
    x = client_exec_header(&p->c, RX_RUN_EXEC);
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, "env", 3), RX_OK);
    assert_int_equal(rx_words_add(body, sizeof body, &n, RX_WORD_ENVIRONMENT, "LD_PRELOAD=x", 12),
                     RX_OK);
    client_sign(&p->c, RX_EXEC, 2, &x, body, n);
    client_send(&p->c);
    assert_true(world_refused(&p->w, RX_E_NOT_PERMITTED));
}

static void test_policy(void **state)
{
    struct pair *p = *state;
    struct world *w = &p->w;
    const char *const id[] = {"id", NULL};
    struct rx_header x = client_exec_header(&p->c, RX_RUN_SHELL);
    (void)snprintf(x.exec.user, sizeof x.exec.user, "%s", "no-such-user");
    client_exec(&p->c, 1, &x, id);
    assert_true(world_refused(w, geteuid() == 0 ? RX_E_NO_SUCH_USER : RX_E_NOT_PERMITTED));
    x = client_exec_header(&p->c, RX_RUN_SUBSYSTEM);
    client_exec(&p->c, 2, &x, id);
    assert_true(world_refused(w, RX_E_NO_SUCH_SUBSYSTEM));
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    x.exec.detach = true;
    client_exec(&p->c, 3, &x, id);
    assert_true(world_refused(w, RX_E_NOT_SUPPORTED));
    struct rx_header h = {0};
    rx_header_init(RX_LIST, &h);
    client_sign(&p->c, RX_LIST, 4, &h, NULL, 0);
    client_send(&p->c);
    assert_true(world_refused(w, RX_E_NOT_SUPPORTED));
}

/* Whatever is asked for, the grant's command runs. */
static void test_forced(void **state)
{
    (void)state;
    struct rx_grant grant;
    uint8_t psk[RX_KEY_SIZE];
    memset(psk, 7, sizeof psk);
    world_grant(NULL, psk, &grant);
    (void)snprintf(grant.command, sizeof grant.command, "%s",
                   "echo forced; echo \"$REXEC_ORIGINAL_COMMAND\"");
    struct pair *p = open_pair(&grant, NULL);
    struct running r = {0};
    struct rx_header h = {0}, x;
    char out[128] = "";
    run(p, 1, "echo mine", out, sizeof out, &h);
    assert_string_equal(out, "forced\necho mine\n");
    x = client_exec_header(&p->c, RX_RUN_EXEC);
    const char *const words[] = {"/bin/cat", "/etc/passwd", NULL};
    client_exec(&p->c, 2, &x, words);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_string_equal(out, "forced\n/bin/cat /etc/passwd\n");
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
    x = client_exec_header(&p->c, RX_RUN_LOGIN);
    client_exec(&p->c, 3, &x, NULL);
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_string_equal(out, "forced\n\n");
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
    world_close(&p->w);
}

static void exec_subsystem(struct pair *p, uint32_t stream, const char *name)
{
    struct rx_header x = client_exec_header(&p->c, RX_RUN_SUBSYSTEM);
    const char *const words[] = {name, NULL};
    client_exec(&p->c, stream, &x, words);
}

/* By the shell of its user, as `NAME -c PATH`; a grant's command counts more. */
static void test_subsystem(void **state)
{
    (void)state;
    const char *const settings[] = {"subsystem", "where=/bin/pwd none=/no/such/file", NULL};
    struct pair *p = open_pair(NULL, settings);
    struct running r = {0};
    struct rx_header h = {0};
    char out[256] = "", expected[300];
    const struct passwd *me = getpwuid(geteuid());
    (void)snprintf(expected, sizeof expected, "%s\n", me->pw_dir);
    exec_subsystem(p, 1, "where");
    assert_true(world_started(&p->w, &r));
    (void)world_read(&p->w, r.fds[1], out, sizeof out);
    assert_string_equal(out, expected);
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
    exec_subsystem(p, 2, "none");
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    assert_int_equal(h.exit.code, 127); /* the shell's own word for it */
    client_finished(&p->c, &r);
    const char *const unknown[] = {"sftp", "wher", "where=", "WHERE", "/bin/pwd", ""};
    for (uint32_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        exec_subsystem(p, 3 + i, unknown[i]);
        assert_true(world_refused(&p->w, RX_E_NO_SUCH_SUBSYSTEM));
    }
    world_close(&p->w);
}

static void test_forced_subsystem(void **state)
{
    (void)state;
    struct rx_grant grant;
    uint8_t psk[RX_KEY_SIZE];
    memset(psk, 7, sizeof psk);
    world_grant(NULL, psk, &grant);
    (void)snprintf(grant.command, sizeof grant.command,
                   "echo forced; echo $REXEC_ORIGINAL_COMMAND");
    const char *const settings[] = {"subsystem", "where=/bin/pwd", NULL};
    struct pair *p = open_pair(&grant, settings);
    const char *const names[] = {"where", "unknown"};
    for (uint32_t i = 0; i < 2; i++) {
        struct running r = {0};
        struct rx_header h = {0};
        char out[64] = "", expected[64];
        exec_subsystem(p, i + 1, names[i]);
        assert_true(world_started(&p->w, &r));
        (void)world_read(&p->w, r.fds[1], out, sizeof out);
        (void)snprintf(expected, sizeof expected, "forced\n%s\n", names[i]);
        assert_string_equal(out, expected);
        assert_true(world_ended(&p->w, &r, &h));
        client_finished(&p->c, &r);
    }
    world_close(&p->w);
}

static void test_command_limits(void **state)
{
    (void)state;
    struct rx_grant grant;
    uint8_t psk[RX_KEY_SIZE];
    memset(psk, 7, sizeof psk);
    world_grant(NULL, psk, &grant);
    grant.max_commands = 3;
    const char *const settings[] = {"max_commands", "2", NULL};
    struct pair *p = open_pair(&grant, settings);
    struct client other;
    struct running r[3] = {0};
    struct rx_header h = {0};
    assert_true(client_open(&other, &p->w, 2));
    client_shell(&p->c, 1, "read x");
    assert_true(world_started(&p->w, &r[0]));
    client_shell(&p->c, 2, "read x");
    assert_true(world_started(&p->w, &r[1]));
    client_shell(&p->c, 3, "read x");
    assert_true(world_refused(&p->w, RX_E_LIMIT_REACHED)); /* of the connection */
    client_shell(&other, 1, "read x");
    assert_true(world_started(&p->w, &r[2]));
    client_shell(&other, 2, "read x");
    assert_true(world_refused(&p->w, RX_E_LIMIT_REACHED)); /* of the grant */
    (void)close(r[2].fds[0]);
    r[2].fds[0] = -1;
    assert_true(world_ended(&p->w, &r[2], &h));
    client_finished(&other, &r[2]);
    client_shell(&other, 3, "true");
    assert_true(world_started(&p->w, &r[2]));
    for (size_t i = 0; i < 3; i++)
        running_close(&r[i]);
    world_close(&p->w);
}

/* ---- at most once ----------------------------------------------------------------------- */

static void exec_again(struct pair *p, uint32_t stream, const struct rx_header *first, int64_t age)
{
    struct rx_header x = *first;
    const char *const words[] = {"true", NULL};
    x.exec.age_ms = age;
    client_exec(&p->c, stream, &x, words);
}

static void test_ids(void **state)
{
    struct pair *p = *state;
    struct running r = {0};
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_SHELL);
    exec_again(p, 1, &x, RX_ABSENT);
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    exec_again(p, 2, &x, RX_ABSENT); /* while it is known to run */
    assert_true(world_refused(&p->w, RX_E_DUPLICATE_ID));
    client_finished(&p->c, &r);
    exec_again(p, 3, &x, RX_ABSENT); /* and when it is over */
    assert_true(world_refused(&p->w, RX_E_DUPLICATE_ID));
    exec_again(p, 4, &x, 5); /* acknowledged: nothing is left of it */
    assert_true(world_refused(&p->w, RX_E_DATA_LOST));
    /* Unknown, and first sent before the server began. */
    x = client_exec_header(&p->c, RX_RUN_SHELL);
    exec_again(p, 5, &x, 3600 * 1000);
    assert_true(world_refused(&p->w, RX_E_FATE_UNKNOWN));
    exec_again(p, 6, &x, RX_INTEGER_MAX);
    assert_true(world_refused(&p->w, RX_E_FATE_UNKNOWN));
    /* Unknown, and first sent since: it cannot have run. */
    exec_again(p, 7, &x, 0);
    assert_true(world_started(&p->w, &r));
    assert_true(world_ended(&p->w, &r, &h));
    client_finished(&p->c, &r);
}

/* What was dropped from memory moves the horizon. */
static void test_horizon(void **state)
{
    (void)state;
    char out[16] = "";
    struct rx_header h = {0}, x;
    struct client later;
    const char *const settings[] = {"remember", "16", NULL};
    struct pair *p = open_pair(NULL, settings);
    (void)usleep(20000);
    assert_true(client_open(&later, &p->w, 2)); /* its M2 is older than all that is forgotten */
    for (uint32_t i = 0; i < 18; i++)
        run(p, i + 1, "true", out, sizeof out, &h);
    x = client_exec_header(&later, RX_RUN_SHELL);
    x.exec.age_ms = 0;
    const char *const words[] = {"true", NULL};
    client_exec(&later, 1, &x, words);
    assert_true(world_refused(&p->w, RX_E_FATE_UNKNOWN));
    world_close(&p->w);
}

/* ---- many ------------------------------------------------------------------------------- */

static void test_many(void **state)
{
    (void)state;
    enum { ROUNDS = 20, AT_ONCE = 50 };
    const char *const settings[] = {"audit", "none", NULL};
    struct pair *p = open_pair(NULL, settings);
    struct rx_header h = {0}, x = client_exec_header(&p->c, RX_RUN_EXEC);
    const char *const words[] = {"true", NULL};
    uint32_t stream = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++) {
            x = client_exec_header(&p->c, RX_RUN_EXEC);
            client_exec(&p->c, ++stream, &x, words);
        }
        size_t started = 0, ended = 0;
        while (ended < AT_ONCE) {
            assert_true(world_next(&p->w, 20000));
            if (p->w.in.type == IPC_START) {
                started++;
                continue;
            }
            assert_int_equal(p->w.in.type, IPC_ENDED);
            assert_int_equal(rx_header_decode(RX_EXIT, p->w.in.tail, p->w.in.tail_len, &h), RX_OK);
            assert_int_equal(h.exit.code, 0);
            const struct ipc_finished finished = {
                .command = ((const struct ipc_command *)p->w.in.fixed)->command};
            world_say(&p->w, IPC_FINISHED, 0, &finished, NULL, 0);
            ended++;
        }
        assert_int_equal(started, AT_ONCE);
    }
    assert_true(world_idle(&p->w));
    world_close(&p->w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_login, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_subsystem),
        cmocka_unit_test(test_forced_subsystem),
        cmocka_unit_test(test_command_limits),
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
        cmocka_unit_test(test_horizon),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
