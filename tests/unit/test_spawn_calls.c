/* rexecd/link.c and rexecd/spawn.c without memory or descriptors: each call fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rexecd/link.h"
#include "rexecd/spawn.h"
#include "tests/unit/calls.h"

enum { TAIL = 100 * 1024 };

static unsigned ends;

static void on_message(void *context, struct ipc_message *message)
{
    (void)context;
    (void)message;
}

static void on_ended(void *context, int error)
{
    (void)context;
    (void)error;
    ends++;
}

/* Descriptors that are open. */
static size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += __real_fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_link_new(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        int fds[2];
        struct event_base *base = event_base_new();
        assert_non_null(base);
        assert_int_equal(ipc_pair(fds), 0);
        calls_at(n, 0);
        struct link *link = link_new(base, fds[0], IPC_FROM_NET, on_message, on_ended, NULL);
        bool failed = call_failed != NULL;
        calls_off();
        assert_int_equal(link == NULL, failed);
        if (failed) {
            assert_true(fcntl(fds[0], F_GETFD) >= 0); /* stays the caller's */
            (void)close(fds[0]);
        }
        link_free(link);
        (void)close(fds[1]);
        event_base_free(base);
        if (!failed) {
            assert_true(n >= 4);
            break;
        }
    }
}

/* A message that cannot be sent, nor wait, is not half there: its descriptors are closed once. */
static void test_link_send(void **state)
{
    (void)state;
    static const uint8_t tail[TAIL];
    size_t before = open_fds();
    for (size_t n = 1; n <= 4; n++) {
        int fds[2], pipes[2], other[2];
        struct event_base *base = event_base_new();
        const struct ipc_answer a = {.type = 1};
        const struct ipc_start start = {0};
        assert_int_equal(ipc_pair(fds), 0);
        struct link *link = link_new(base, fds[0], IPC_FROM_NET, on_message, on_ended, NULL);
        assert_non_null(link);
        /* Full, but nothing waits yet. */
        while (ipc_send(fds[0], IPC_ANSWER, 1, &a, tail, sizeof tail, NULL) == 0)
            ;
        while (ipc_send(fds[0], IPC_DROP, 1, NULL, NULL, 0, NULL) == 0)
            ;
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        calls_at(n, 0);
        int sent = link_send(link, IPC_START_NO_STDIN, 1, &start, NULL, 0, pipes);
        bool lost = call_failed != NULL && strcmp(call_failed, "event_add") == 0;
        calls_off();
        assert_int_equal(sent, lost ? -1 : 0);
        assert_int_equal(link_queued(link) > 0, !lost);
        assert_int_equal(fcntl(pipes[0], F_GETFD) >= 0, !lost);
        /* If they were closed, their numbers are somebody else's now. */
        assert_int_equal(pipe2(other, O_CLOEXEC), 0);
        link_free(link);
        assert_true(fcntl(other[0], F_GETFD) >= 0);
        assert_true(fcntl(other[1], F_GETFD) >= 0);
        (void)close(other[0]);
        (void)close(other[1]);
        (void)close(fds[1]);
        event_base_free(base);
        assert_int_equal(open_fds(), before);
        if (n == 4)
            assert_int_equal(sent, 0);
    }
}

/* ---- spawn ------------------------------------------------------------------------------ */

static struct spawn_plan *new_plan(bool no_stdin)
{
    struct spawn_plan *plan = calloc(1, sizeof *plan);
    const struct environment_policy policy = {0};
    struct environment_name which;
    assert_non_null(plan);
    plan->cgroup = -1;
    assert_int_equal(user_by_id(geteuid(), &plan->user), USER_FOUND);
    assert_int_equal(
        environment_build(&plan->environment, &policy, &plan->user, "x 1", NULL, NULL, 0, &which),
        ENVIRONMENT_OK);
    plan->argv = calloc(2, sizeof *plan->argv + sizeof "true");
    plan->file = strdup("true");
    assert_non_null(plan->argv);
    assert_non_null(plan->file);
    plan->argv[0] = memcpy((char *)(plan->argv + 2), "true", sizeof "true");
    plan->no_stdin = no_stdin;
    return plan;
}

/* All of a child that could be started: it ends with 0. */
static void expect_child(struct spawn *s)
{
    struct spawn_failure f;
    enum spawn_answer answer;
    int status;
    while ((answer = spawn_check(s, &f)) == SPAWN_PENDING)
        (void)usleep(200);
    assert_int_equal(answer, SPAWN_STARTED);
    spawn_end(s);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 3; i++)
        if (s->fds[i] >= 0)
            (void)close(s->fds[i]);
}

static void spawn_each(bool no_stdin, unsigned flavour)
{
    size_t before = open_fds();
    for (size_t n = 1;; n++) {
        struct spawn s;
        struct spawn_failure f = {0};
        struct spawn_plan *plan = new_plan(no_stdin);
        calls_at(n, flavour);
        int begun = spawn_begin(plan, &s, &f);
        const char *failed = call_failed;
        calls_off();
        if (begun == 0) {
            assert_null(failed);
            expect_child(&s);
            assert_true(n >= 5);
            assert_int_equal(open_fds(), before);
            return;
        }
        assert_non_null(failed);
        assert_int_equal(f.step, SPAWN_STEP_PREPARE);
        assert_true(f.error == EMFILE || f.error == ENFILE || f.error == ENOMEM ||
                    f.error == EAGAIN);
        assert_int_equal(s.pid, -1);
        assert_int_equal(open_fds(), before);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child came of it */
    }
}

static void test_spawn(void **state)
{
    (void)state;
    /* First of all, so that the stack is not there yet. */
    spawn_each(false, 0);
    spawn_each(true, 0);
    spawn_each(false, 1);
    spawn_each(true, 1);
}

/* A status that cannot be read now is read later. */
static void test_spawn_check(void **state)
{
    (void)state;
    for (unsigned flavour = 0; flavour < 2; flavour++) {
        struct spawn s;
        struct spawn_failure f;
        assert_int_equal(spawn_begin(new_plan(true), &s, &f), 0);
        calls_at(1, flavour); /* EINTR: at once again; EAGAIN: pending */
        enum spawn_answer answer = spawn_check(&s, &f);
        calls_off();
        assert_true(answer == SPAWN_PENDING || (flavour == 0 && answer == SPAWN_STARTED));
        expect_child(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spawn),
        cmocka_unit_test(test_spawn_check),
        cmocka_unit_test(test_link_new),
        cmocka_unit_test(test_link_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
