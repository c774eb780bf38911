/* rexecd/tree.c, rexecd/holders.c, rexecd/cgroup.c: the processes that belong to a command. */
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
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/cgroup.h"
#include "rexecd/holders.h"
#include "rexecd/tree.h"

enum { ROUNDS = 8, LIVES_S = 60 };

/* Every process of these tests writes its pid here when it has become what it is to be. */
static int report[2];

static int setup(void **state)
{
    (void)state;
    return pipe2(report, O_CLOEXEC);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(report[0]);
    (void)close(report[1]);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return 0;
}

static _Noreturn void live(void)
{
    pid_t self = getpid();
    (void)!write(report[1], &self, sizeof self);
    (void)alarm(LIVES_S); /* should the test die */
    for (;;)
        (void)pause();
}

static pid_t reported(void)
{
    pid_t pid = 0;
    struct pollfd p = {.fd = report[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_int_equal(read(report[0], &pid, sizeof pid), sizeof pid);
    return pid;
}

/* A main process in a session of its own, with children: how many there are is `generations`, each
 * the child of the one before; `leave`: the last leaves the group and the session. */
static pid_t family(int generations, bool leave, pid_t *last)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        (void)signal(SIGTERM, SIG_IGN);
        while (--generations > 0 && fork() == 0)
            if (generations == 1 && leave)
                (void)setsid();
        live();
    }
    for (int i = 0; i < generations; i++) {
        pid_t who = reported();
        if (who != pid)
            *last = who;
    }
    return pid;
}

/* Killed, and nothing else was the reason. The test is who orphans come to, but only when the last
 * of the processes between has died, which has been killed and may take its time. */
static void expect_killed(pid_t pid)
{
    int status = 0;
    pid_t reaped;
    while ((reaped = waitpid(pid, &status, 0)) < 0 && errno == ECHILD && kill(pid, 0) == 0)
        (void)poll(NULL, 0, 1);
    assert_int_equal(reaped, pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void end_of(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- tree ------------------------------------------------------------------------------- */

static void test_signal(void **state)
{
    (void)state;
    pid_t last = 0, pid = family(2, false, &last);
    assert_int_equal(tree_signal(pid, SIGUSR1), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGUSR1);
    assert_int_equal(waitpid(last, &status, 0), last); /* all of the group */
    assert_int_equal(WTERMSIG(status), SIGUSR1);
    assert_int_equal(tree_signal(pid, SIGUSR1), -1);
    assert_int_equal(errno, ESRCH);
}

/* All of it, also who has left the session but is a descendant; nobody else. */
static void test_kill(void **state)
{
    (void)state;
    pid_t last[2] = {0}, bystander_last = 0;
    pid_t pid = family(4, false, &last[0]), other = family(3, true, &last[1]);
    pid_t bystander = family(2, false, &bystander_last);
    struct tree_root roots[] = {{other, false}, {pid, false}};
    assert_true(tree_kill(roots, 2, ROUNDS) >= 7); /* some are hit again before they are gone */
    expect_killed(pid);
    expect_killed(other);
    expect_killed(last[0]);
    expect_killed(last[1]);
    assert_int_equal(kill(bystander, 0), 0);
    assert_int_equal(kill(bystander_last, 0), 0);
    assert_int_equal(waitpid(bystander, NULL, WNOHANG), 0);
    end_of(bystander);
    end_of(bystander_last);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* The main process is dead and reaped: its session and group still are the command's. */
static void test_kill_rest(void **state)
{
    (void)state;
    pid_t last = 0, pid = family(2, false, &last);
    end_of(pid);
    struct tree_root root = {pid, true};
    assert_true(tree_kill(&root, 1, ROUNDS) >= 1);
    expect_killed(last);
    root.pid = pid;
    assert_int_equal(tree_kill(&root, 1, ROUNDS), 0);
}

/* Without the descriptors that looking takes: whatever is lacking when, the group is killed. */
static void test_kill_without_descriptors(void **state)
{
    (void)state;
    enum { ENOUGH = 8, MOST = 64 };
    struct rlimit files, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    for (int left = 0; left <= ENOUGH; left++) {
        pid_t last = 0, pid = family(2, false, &last);
        struct tree_root root = {pid, false};
        int taken[MOST] = {0}, n = 0;
        few = (struct rlimit){.rlim_cur = MOST, .rlim_max = files.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        while (n < MOST && (taken[n] = dup(report[0])) >= 0)
            n++;
        assert_true(n > ENOUGH);
        for (int i = 0; i < left; i++)
            (void)close(taken[--n]);
        size_t hit = tree_kill(&root, 1, ROUNDS);
        while (n > 0)
            (void)close(taken[--n]);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        assert_true(hit >= 1);
        expect_killed(pid);
        expect_killed(last);
    }
}

/* "A kill hits only its own": a number that now is another's process is nobody's command. */
static void test_pid_reuse(void **state)
{
    (void)state;
    pid_t last = 0, pid = family(2, false, &last);
    struct tree_root root = {pid, true}; /* as if it had been reaped, and the number given away */
    assert_int_equal(tree_kill(&root, 1, ROUNDS), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_int_equal(kill(last, 0), 0);
    end_of(pid);
    end_of(last);
}

/* Never the caller, though it is of the command's session; and stopped ones are hit as well. */
static void test_not_self(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        pid_t child = fork();
        if (child == 0) {
            (void)kill(getpid(), SIGSTOP);
            live();
        }
        (void)waitpid(child, NULL, WUNTRACED);
        struct tree_root root = {getpid(), false};
        size_t n = tree_kill(&root, 1, ROUNDS);
        _exit(n >= 1 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(tree_kill(NULL, 0, ROUNDS), 0);
}

/* ---- holders ---------------------------------------------------------------------------- */

static uint64_t inode(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

/* A child that has these two open, and no other of the pipes. */
static pid_t holder(const int *keep, const int all[4])
{
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 4; i++)
            if (all[i] != *keep)
                (void)close(all[i]);
        live();
    }
    assert_int_equal(reported(), pid);
    return pid;
}

static struct rx_holders found;

/* One search for these. */
static void look_for(const uint64_t pipes[static 2])
{
    struct holders_search search = {.output.pipes = {pipes[0], pipes[1]}};
    holders_find(&search, 1);
    found = search.found;
}

static void test_holders(void **state)
{
    (void)state;
    int fds[4];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fds + 2, O_CLOEXEC), 0);
    const uint64_t pipes[2] = {inode(fds[0]), inode(fds[2])};
    const uint64_t first[2] = {pipes[0], 0}, second[2] = {0, pipes[1]}, none[2] = {0, 0};
    pid_t reader = holder(&fds[0], fds), writer = holder(&fds[1], fds),
          other = holder(&fds[3], fds);
    look_for(first); /* we have it open too, and are not meant */
    assert_int_equal(found.count, 1);
    assert_int_equal(found.pids[0], writer);
    look_for(second);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.pids[0], other);
    look_for(pipes);
    assert_int_equal(found.count, 2);
    look_for(none);
    assert_int_equal(found.count, 0);
    /* Several at once, and one among some processes only. */
    struct holders_search all[] = {
        {.output.pipes = {0, pipes[1]}}, {.output.pipes = {pipes[0], 0}}, {.output = {{0}, 0, 0}}};
    holders_find(all, 3);
    assert_int_equal(all[0].found.count, 1);
    assert_int_equal(all[0].found.pids[0], other);
    assert_int_equal(all[1].found.count, 1);
    assert_int_equal(all[1].found.pids[0], writer);
    assert_int_equal(all[2].found.count, 0);
    struct holders_search among = {.output.pipes = {pipes[0], pipes[1]}};
    holders_find_among((const pid_t[]){reader, other, getpid()}, 3, &among);
    assert_int_equal(among.found.count, 1);
    assert_int_equal(among.found.pids[0], other);
    end_of(writer);
    look_for(first);
    assert_int_equal(found.count, 0);
    end_of(reader);
    end_of(other);
    /* As many as can be told, and no more. */
    pid_t many[RX_HOLDERS_MAX + 2];
    for (size_t i = 0; i < RX_HOLDERS_MAX + 2; i++)
        many[i] = holder(&fds[1], fds);
    look_for(pipes);
    assert_int_equal(found.count, RX_HOLDERS_MAX);
    for (size_t i = 0; i < RX_HOLDERS_MAX + 2; i++)
        end_of(many[i]);
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
}

/* A child in a session of its own whose terminal this is, and that has nothing of it open but what
 * the path names. */
static pid_t at_terminal(const char *terminal, const char *path, int flags)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        int first = open(terminal, O_RDWR); /* which makes it the controlling one */
        int fd = open(path, flags);
        for (int other = 3; other < 1024; other++)
            if (other != fd && other != report[1])
                (void)close(other);
        if (first >= 0 && fd >= 0)
            live();
        _exit(1);
    }
    assert_int_equal(reported(), pid);
    return pid;
}

static void test_holders_of_a_terminal(void **state)
{
    (void)state;
    char name[64], strange[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), fds[4];
    int other = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    assert_true(master >= 0 && other >= 0);
    assert_int_equal(unlockpt(master) | unlockpt(other), 0);
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    assert_int_equal(ptsname_r(other, strange, sizeof strange), 0);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fds + 2, O_CLOEXEC), 0);
    const pid_t writer = at_terminal(name, name, O_WRONLY | O_NOCTTY),
                stranger = at_terminal(strange, strange, O_RDWR | O_NOCTTY);
    const struct holders_output its = {.device = st.st_dev, .terminal = st.st_ino};
    struct holders_search search = {.output = its, .session = writer};
    holders_find(&search, 1); /* we have its master */
    assert_int_equal(search.found.count, 1);
    assert_int_equal(search.found.pids[0], writer);
    end_of(writer);
    /* By the other name it is found in its own session only. */
    const pid_t named = at_terminal(name, "/dev/tty", O_RDWR), away = holder(&fds[1], fds),
                path = at_terminal(strange, name, O_PATH);
    struct holders_search all[] = {{.output = its, .session = named},
                                   {.output = its, .session = stranger},
                                   {.output.pipes = {0, inode(fds[1])}}};
    holders_find(all, 3);
    assert_int_equal(all[0].found.count, 1);
    assert_int_equal(all[0].found.pids[0], named);
    assert_int_equal(all[1].found.count, 0);
    assert_int_equal(all[2].found.count, 1);
    assert_int_equal(all[2].found.pids[0], away);
    end_of(named);
    end_of(away);
    end_of(path);
    end_of(stranger);
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
    (void)close(master);
    (void)close(other);
}

/* ---- cgroups ---------------------------------------------------------------------------- */

/* Where they cannot be had nothing is done, and nobody minds. */
static void test_no_cgroups(void **state)
{
    (void)state;
    uint64_t which = 1;
    pid_t pid;
    assert_int_equal(cgroups_take(NULL, &which), -1);
    assert_int_equal(which, 0);
    assert_int_equal(cgroups_kill(NULL, 1), -1);
    assert_int_equal(cgroups_pids(NULL, 1, &pid, 1), 0);
    assert_false(cgroups_sweep(NULL));
    cgroups_prepare(NULL);
    cgroups_trim(NULL);
    cgroups_give(NULL, 1, true);
    cgroups_close(NULL);
}

static uint64_t take(struct cgroups *c)
{
    uint64_t which = 0;
    int directory = cgroups_take(c, &which);
    assert_true(directory >= 0);
    assert_int_not_equal(which, 0);
    assert_int_equal(close(directory), 0);
    return which;
}

/* Who has left its session, its group and its parents is still in its cgroup. */
static void test_cgroups(void **state)
{
    (void)state;
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    uint64_t which = 0, other = take(c);
    int directory = cgroups_take(c, &which);
    assert_true(directory >= 0);
    assert_int_not_equal(which, other);
    int procs = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    assert_true(procs >= 0);
    (void)close(directory);
    pid_t pid = fork();
    if (pid == 0) {
        if (write(procs, "0", 1) != 1)
            _exit(1);
        (void)setsid();
        if (fork() == 0) {
            (void)setsid();
            if (fork() != 0)
                _exit(0);
            live();
        }
        _exit(0);
    }
    pid_t stray = reported(), pids[4];
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(waitpid(-1, NULL, 0) > 0); /* the one between, which comes to us */
    (void)close(procs);
    assert_int_equal(cgroups_pids(c, which, pids, 4), 1);
    assert_int_equal(pids[0], stray);
    assert_int_equal(cgroups_pids(c, which, pids, 0), 0);
    assert_int_equal(cgroups_pids(c, other, pids, 4), 0);
    assert_int_equal(cgroups_pids(c, other + which, pids, 4), 0);
    assert_int_equal(cgroups_kill(c, other), 0); /* nobody is in it */
    assert_int_equal(kill(stray, 0), 0);
    cgroups_give(c, which, true);
    cgroups_give(c, other, true);
    assert_true(cgroups_sweep(c)); /* somebody is still in it */
    assert_int_equal(cgroups_kill(c, other + which), -1);
    if (cgroups_kill(c, which) < 0)
        (void)kill(stray, SIGKILL); /* a kernel without cgroup.kill */
    expect_killed(stray);
    for (int i = 0; i < 1000 && cgroups_sweep(c); i++)
        (void)usleep(5000);
    assert_false(cgroups_sweep(c));
    assert_int_equal(cgroups_kill(c, which), -1);
    cgroups_close(c);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* One that is as it was made is used again; one that may not be, is not there any more. */
static void test_cgroups_again(void **state)
{
    (void)state;
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    uint64_t first = take(c), second = take(c);
    assert_int_not_equal(first, second);
    cgroups_give(c, first, true);
    assert_int_equal(take(c), first);
    cgroups_give(c, first, false); /* its command may have changed it */
    assert_int_equal(cgroups_kill(c, first), -1);
    uint64_t third = take(c);
    assert_true(third != first && third != second);
    assert_int_equal(cgroups_kill(c, third), 0);
    cgroups_give(c, third, true); /* something was killed in it */
    assert_int_equal(cgroups_kill(c, third), -1);
    cgroups_give(c, second, true);
    cgroups_close(c);
}

/* Not while somebody is in it, nor frozen. */
static void test_cgroups_not_again(void **state)
{
    (void)state;
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    uint64_t which = 0;
    int directory = cgroups_take(c, &which);
    int freeze = openat(directory, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    assert_true(freeze >= 0);
    assert_int_equal(write(freeze, "1", 1), 1);
    cgroups_give(c, which, true);
    assert_int_equal(cgroups_kill(c, which), -1);
    (void)close(freeze);
    (void)close(directory);
    cgroups_close(c);
}

static void directory_path(int directory, char out[static PATH_MAX])
{
    char descriptor[32];
    (void)snprintf(descriptor, sizeof descriptor, "/proc/self/fd/%d", directory);
    ssize_t n = readlink(descriptor, out, PATH_MAX - 1);
    assert_true(n > 0);
    out[n] = '\0';
}

/* What was prepared is what is taken; it may have gone meanwhile, where somebody tidies up. */
static void test_cgroups_prepared(void **state)
{
    (void)state;
    char path[PATH_MAX];
    uint64_t which = 0;
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    cgroups_prepare(c);
    cgroups_prepare(c); /* is there */
    int directory = cgroups_take(c, &which);
    directory_path(directory, path);
    (void)close(directory);
    uint64_t other = take(c);
    assert_int_equal(other, which + 1); /* no third was made */
    cgroups_give(c, which, true);
    assert_int_equal(rmdir(path), 0);
    uint64_t another = take(c);
    assert_true(another > other);
    assert_int_equal(cgroups_kill(c, another), 0);
    cgroups_give(c, another, true);
    cgroups_give(c, other, true);
    assert_false(cgroups_sweep(c));
    cgroups_close(c);
    assert_int_equal(access(path, F_OK), -1);
    *strrchr(path, '/') = '\0'; /* nothing is left of it all */
    assert_int_equal(access(path, F_OK), -1);
}

enum { MANY = 40 }; /* more than are kept */

static void test_many_cgroups(void **state)
{
    (void)state;
    uint64_t all[MANY];
    struct cgroups *c = cgroups_open();
    if (c == NULL)
        skip();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++) {
            cgroups_prepare(c);
            all[i] = take(c);
            for (size_t j = 0; j < i; j++)
                assert_int_not_equal(all[j], all[i]);
        }
        for (size_t i = 0; i < MANY; i++)
            cgroups_give(c, all[i], true);
        assert_false(cgroups_sweep(c));
    }
    size_t there = 0;
    cgroups_trim(c);
    for (size_t i = 0; i < MANY; i++)
        there += cgroups_kill(c, all[i]) == 0;
    assert_int_equal(there, 1);
    cgroups_close(c);
}

#define TREE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_signal),
        TREE_TEST(test_kill),
        TREE_TEST(test_kill_rest),
        TREE_TEST(test_kill_without_descriptors),
        TREE_TEST(test_pid_reuse),
        TREE_TEST(test_not_self),
        TREE_TEST(test_nothing),
        TREE_TEST(test_holders),
        TREE_TEST(test_holders_of_a_terminal),
        TREE_TEST(test_no_cgroups),
        TREE_TEST(test_cgroups),
        TREE_TEST(test_cgroups_again),
        TREE_TEST(test_cgroups_not_again),
        TREE_TEST(test_cgroups_prepared),
        TREE_TEST(test_many_cgroups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
