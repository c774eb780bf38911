/* rexecd/link.c: messages that come, that go, and that have to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/link.h"

enum { MESSAGES = 300, TAIL = 100 * 1024 };

static struct event_base *base;
static struct link *link_here;
static struct ipc_reader *reader;
static int there;
static unsigned came, ends;
static int end_error;
static bool free_inside;
static uint8_t tail[TAIL];

static void on_message(void *context, struct ipc_message *message)
{
    assert_ptr_equal(context, &base);
    assert_int_equal(message->type, IPC_REQUEST);
    came++;
    if (free_inside) {
        link_free(link_here);
        link_here = NULL;
    }
}

static void on_ended(void *context, int error)
{
    assert_ptr_equal(context, &base);
    ends++;
    end_error = error;
    if (free_inside) {
        link_free(link_here);
        link_here = NULL;
    }
}

static int setup(void **state)
{
    int fds[2];
    (void)state;
    came = ends = 0;
    end_error = -1;
    free_inside = false;
    base = event_base_new();
    reader = ipc_reader_new();
    if (base == NULL || reader == NULL || ipc_pair(fds) < 0)
        return -1;
    there = fds[1];
    link_here = link_new(base, fds[0], IPC_FROM_NET, on_message, on_ended, &base);
    return link_here == NULL;
}

static int teardown(void **state)
{
    (void)state;
    link_free(link_here);
    link_free(NULL);
    event_base_free(base);
    ipc_reader_free(reader);
    if (there >= 0)
        (void)close(there);
    return 0;
}

static void turn(void)
{
    assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
}

static void expect_closed(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_receives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ipc_send(there, IPC_REQUEST, 1, NULL, "abc", 3, NULL), 0);
    turn();
    assert_int_equal(came, 3);
    assert_int_equal(ends, 0);
}

/* Who has much to say does not keep the others from theirs. */
static void test_takes_turns(void **state)
{
    (void)state;
    unsigned sent = 0;
    while (ipc_send(there, IPC_REQUEST, 1, NULL, "abc", 3, NULL) == 0)
        sent++;
    assert_true(sent > 64);
    assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
    assert_true(came > 0 && came <= 64);
    while (came < sent)
        turn();
}

static void test_ends(void **state)
{
    (void)state;
    (void)close(there);
    there = -1;
    turn();
    assert_int_equal(ends, 1);
    assert_int_equal(end_error, 0);
    turn();
    assert_int_equal(ends, 1);
}

static void test_broken_rules(void **state)
{
    (void)state;
    assert_int_equal(ipc_send(there, IPC_DROP, 1, NULL, NULL, 0, NULL), 0); /* the monitor's */
    assert_int_equal(ipc_send(there, IPC_REQUEST, 1, NULL, "abc", 3, NULL), 0);
    turn();
    turn();
    assert_int_equal(ends, 1);
    assert_int_equal(end_error, EPROTO);
    assert_int_equal(came, 0); /* nothing more is believed */
}

static void test_freed_inside(void **state)
{
    (void)state;
    free_inside = true;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ipc_send(there, IPC_REQUEST, 1, NULL, "abc", 3, NULL), 0);
    turn();
    assert_int_equal(came, 1);
    assert_null(link_here);
}

static void test_freed_at_end(void **state)
{
    (void)state;
    free_inside = true;
    (void)close(there);
    there = -1;
    turn();
    assert_int_equal(ends, 1);
    assert_null(link_here);
}

/* A pipe's ends for a START_NO_STDIN; the link is to close both. */
static void send_fds(uint32_t session, int fds[2])
{
    struct ipc_start start = {.command = session};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(link_send(link_here, IPC_START_NO_STDIN, session, &start, NULL, 0, fds), 0);
}

/* More than the socket takes: it waits, in order, with its descriptors, and all of it comes. */
static void test_queue(void **state)
{
    (void)state;
    struct ipc_answer a = {.type = 1};
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        memset(tail, (int)i, sizeof tail);
        a.stream = i;
        if (i % 50 == 0) {
            int fds[2];
            send_fds(i, fds);
        } else {
            assert_int_equal(link_send(link_here, IPC_ANSWER, i, &a, tail, i * 7 % TAIL, NULL), 0);
        }
    }
    assert_true(link_queued(link_here) > 0);
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        struct ipc_message m;
        enum ipc_result got;
        while ((got = ipc_receive(there, reader, IPC_FROM_MONITOR, &m)) == IPC_AGAIN)
            turn();
        assert_int_equal(got, IPC_GOT);
        assert_int_equal(m.session, i);
        assert_int_equal(m.fd_count, i % 50 == 0 ? 2 : 0);
        if (i % 50 == 0) {
            assert_int_equal(write(m.fds[1], "x", 1), 1);
            assert_int_equal(read(m.fds[0], tail, 1), 1);
            ipc_close_fds(&m);
            continue;
        }
        const struct ipc_answer *answer = m.fixed;
        assert_int_equal(answer->stream, i);
        assert_int_equal(m.tail_len, i * 7 % TAIL);
        for (size_t k = 0; k < m.tail_len; k++)
            assert_int_equal(m.tail[k], (uint8_t)i);
    }
    turn();
    assert_int_equal(link_queued(link_here), 0);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
}

/* The descriptors are the link's at once, whatever becomes of the message. */
static void test_descriptors(void **state)
{
    (void)state;
    int now[2], waiting[2], late[2];
    send_fds(1, now);
    expect_closed(now[0]);
    expect_closed(now[1]);
    const struct ipc_answer a = {.type = 1};
    while (link_queued(link_here) == 0)
        assert_int_equal(link_send(link_here, IPC_ANSWER, 1, &a, tail, sizeof tail, NULL), 0);
    send_fds(2, waiting);
    assert_true(fcntl(waiting[0], F_GETFD) >= 0); /* it waits */
    link_free(link_here);
    link_here = NULL;
    expect_closed(waiting[0]);
    expect_closed(waiting[1]);
    (void)close(there);
    assert_int_equal(teardown(NULL), 0);
    assert_int_equal(setup(NULL), 0);
    struct ipc_start start = {0};
    assert_int_equal(pipe2(late, O_CLOEXEC), 0);
    (void)close(there);
    there = -1;
    assert_int_equal(link_send(link_here, IPC_START_NO_STDIN, 1, &start, NULL, 0, late), -1);
    assert_int_equal(errno, EPIPE);
    expect_closed(late[0]);
    expect_closed(late[1]);
}

/* The other side goes while something waits. */
static void test_gone_with_queue(void **state)
{
    (void)state;
    const struct ipc_answer a = {.type = 1};
    while (link_queued(link_here) == 0)
        assert_int_equal(link_send(link_here, IPC_ANSWER, 1, &a, tail, sizeof tail, NULL), 0);
    (void)close(there);
    there = -1;
    turn();
    turn();
    assert_int_equal(ends, 1);
}

/* However far behind the monitor is, it hears what is over; of the rest there is a most. */
static void test_words_that_must_go(void **state)
{
    (void)state;
    static uint8_t words[IPC_REQUEST_MAX];
    const struct ipc_closed closed = {.how = IPC_HOW_FIN};
    const struct ipc_command which = {.command = 1};
    link_free(link_here);
    (void)close(there);
    int fds[2];
    assert_int_equal(ipc_pair(fds), 0);
    there = fds[1];
    link_here = link_new(base, fds[0], IPC_FROM_MONITOR, on_message, on_ended, &base);
    assert_non_null(link_here);
    while (link_send(link_here, IPC_REQUEST, 1, NULL, words, sizeof words, NULL) == 0)
        assert_true(link_queued(link_here) < 400 * 1024 * 1024U);
    assert_int_equal(errno, ENOBUFS);
    assert_int_equal(link_send(link_here, IPC_CLOSED, 1, &closed, NULL, 0, NULL), 0);
    assert_int_equal(link_send(link_here, IPC_GONE, 0, &which, NULL, 0, NULL), 0);
    assert_int_equal(link_send(link_here, IPC_DRAINED, 0, &which, NULL, 0, NULL), 0);
    assert_int_equal(link_send(link_here, IPC_REQUEST, 1, NULL, words, 1, NULL), -1);
}

static unsigned drains;

static void on_drained(void *context)
{
    assert_ptr_equal(context, &base);
    assert_true(link_queued(link_here) <= LINK_LOW);
    drains++;
}

/* Who was made to wait is told once when there is room again, and not when there always was. */
static void test_drained(void **state)
{
    (void)state;
    struct ipc_message m;
    const struct ipc_answer a = {.type = 1};
    drains = 0;
    link_when_drained(link_here, on_drained);
    for (int round = 1; round <= 3; round++) {
        while (link_queued(link_here) <= LINK_HIGH)
            assert_int_equal(link_send(link_here, IPC_ANSWER, 1, &a, tail, sizeof tail, NULL), 0);
        turn();
        assert_int_equal(drains, round - 1);
        while (link_queued(link_here) > 0) {
            (void)ipc_receive(there, reader, IPC_FROM_MONITOR, &m);
            turn();
        }
        assert_int_equal(drains, round);
        while (ipc_receive(there, reader, IPC_FROM_MONITOR, &m) == IPC_GOT)
            ;
    }
    assert_int_equal(link_send(link_here, IPC_ANSWER, 1, &a, tail, 1, NULL), 0);
    turn();
    assert_int_equal(drains, 3);
}

/* In a process of its own, whose user may not have more descriptors under way than it may open. */
static int send_too_many_references(void)
{
    const struct rlimit few = {40, 40};
    struct ipc_message m;
    int fds[2];
    if ((geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
                            setresuid(65534, 65534, 65534) < 0)) ||
        setrlimit(RLIMIT_NOFILE, &few) < 0)
        return 2;
    unsigned sent = 0, got = 0;
    for (; sent < 12 || (sent < 30 && link_queued(link_here) == 0); sent++) {
        struct ipc_start start = {.command = sent};
        if (pipe2(fds, O_CLOEXEC) < 0 ||
            link_send(link_here, IPC_START_NO_STDIN, 1, &start, NULL, 0, fds) < 0)
            return 3;
    }
    if (link_queued(link_here) == 0)
        return 4;
    for (int i = 0; i < 10; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    while (got < sent && ends == 0) {
        if (ipc_receive(there, reader, IPC_FROM_MONITOR, &m) == IPC_GOT) {
            got += ((const struct ipc_start *)m.fixed)->command == got;
            ipc_close_fds(&m);
        } else {
            (void)event_base_loop(base, EVLOOP_ONCE);
        }
    }
    return ends == 0 && got == sent && link_queued(link_here) == 0 ? 0 : 5;
}

/* The kernel is full, and not the socket: that passes. */
static void test_too_many_references(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        (void)event_reinit(base);
        _exit(send_too_many_references());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define LINK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(test_receives),
        LINK_TEST(test_takes_turns),
        LINK_TEST(test_ends),
        LINK_TEST(test_broken_rules),
        LINK_TEST(test_freed_inside),
        LINK_TEST(test_freed_at_end),
        LINK_TEST(test_queue),
        LINK_TEST(test_descriptors),
        LINK_TEST(test_gone_with_queue),
        LINK_TEST(test_words_that_must_go),
        LINK_TEST(test_drained),
        LINK_TEST(test_too_many_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
