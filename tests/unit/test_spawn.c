/* rexecd/spawn.c: what a child has and has not, exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rexecd/spawn.h"
#include "tests/unit/spawn_world.h"

enum { PARALLEL = 1000, AT_ONCE = 100, EARLY = 100 };

/* This program is its own child: what it finds of itself goes to stdout (report_self). */
static char self[512];

static const char keyring[] = "rexec-test-parent";

/* Whether the session keyring is the one that the parent has joined. */
static bool is_parents_keyring(void)
{
    char text[256];
    long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof text);
    return n > 0 && strstr(text, keyring) != NULL;
}

/* ---- the child's side ------------------------------------------------------------------- */

static void report_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int own = dirfd(dir);
    const struct dirent *entry;
    bool seen[16] = {false};
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name); // NOLINT(cert-err34-c): the kernel's
        if (entry->d_name[0] != '.' && fd != own)
            seen[fd < 15 ? fd : 15] = true;
    }
    (void)closedir(dir);
    (void)printf("fds");
    for (int i = 0; i < 16; i++)
        if (seen[i])
            (void)printf(" %d", i);
    (void)printf("\n");
    for (int i = 0; i < 3; i++)
        (void)printf("flags %d %d\n", i, (fcntl(i, F_GETFL) & O_NONBLOCK) != 0);
}

static void report_status(void)
{
    static const char *const wanted[] = {
        "Uid:",    "Gid:",    "Groups:", "SigPnd:", "ShdPnd:", "SigBlk:",
        "SigIgn:", "CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "NoNewPrivs:"};
    char line[4096];
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                (void)printf("%s", line);
    if (file != NULL)
        (void)fclose(file);
}

static int report_self(char *const environment[])
{
    char directory[512];
    int death = -1;
    struct rlimit files = {0}, core = {0};
    report_fds();
    report_status();
    (void)prctl(PR_GET_PDEATHSIG, &death);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    (void)getrlimit(RLIMIT_CORE, &core);
    mode_t mask = umask(0);
    (void)printf("leader %d %d\n", getsid(0) == getpid(), getpgid(0) == getpid());
    (void)printf("keys %d\numask %03o\ndeath %d\n", is_parents_keyring(), (unsigned)mask, death);
    (void)printf("files %llu %llu\n", (unsigned long long)files.rlim_cur,
                 (unsigned long long)files.rlim_max);
    (void)printf("core %llu\n", (unsigned long long)core.rlim_cur);
    (void)printf("cwd %s\n", getcwd(directory, sizeof directory));
    for (size_t i = 0; environment[i] != NULL; i++)
        (void)printf("env %s\n", environment[i]);
    return 0;
}

/* What it must have said, from the data base of users and not from spawn.c. */
static void expected_report(const struct user *user, const struct rlimit *files,
                            const struct rlimit *core, char *out, size_t cap)
{
    FILE *to = fmemopen(out, cap, "w");
    assert_non_null(to);
    struct stat st;
    const bool root = user->uid == 0;
    (void)fprintf(to, "fds 0 1 2\nflags 0 0\nflags 1 0\nflags 2 0\n");
    (void)fprintf(to, "Uid:\t%u\t%u\t%u\t%u\n", user->uid, user->uid, user->uid, user->uid);
    (void)fprintf(to, "Gid:\t%u\t%u\t%u\t%u\nGroups:\t", user->gid, user->gid, user->gid,
                  user->gid);
    (void)fprintf(to, "@GROUPS\n");
    static const char *const none[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "CapInh"};
    for (size_t i = 0; i < 5; i++)
        (void)fprintf(to, "%s:\t0000000000000000\n", none[i]);
    (void)fprintf(to, root ? "@CAPS\n" : "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
    (void)fprintf(to, "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nleader 1 1\n");
    /* An ordinary user's commands have that user's keys. */
    (void)fprintf(to, "keys %d\numask 022\n", geteuid() != 0 && is_parents_keyring());
    (void)fprintf(to, "death %d\nfiles %llu %llu\ncore %llu\n", SIGKILL,
                  (unsigned long long)files->rlim_cur, (unsigned long long)files->rlim_max,
                  (unsigned long long)core->rlim_cur);
    bool home = stat(user->home, &st) == 0;
    (void)fprintf(to, "cwd %s\nenv HOME=%s\nenv USER=%s\nenv LOGNAME=%s\n", home ? user->home : "/",
                  user->home, user->name, user->name);
    (void)fprintf(to, "env SHELL=%s\nenv PATH=%s\nenv REXEC_CONNECTION=x 1\n", user->shell,
                  root ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                       : "/usr/local/bin:/usr/bin:/bin");
    (void)fclose(to);
}

static int by_number(const void *a, const void *b)
{
    const gid_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Compares line by line; groups as a set, root's capabilities as "some". */
static void expect_report(const struct user *user, char *got, char *expected)
{
    char *g_rest, *e_rest;
    char *g = strtok_r(got, "\n", &g_rest), *e = strtok_r(expected, "\n", &e_rest);
    for (; e != NULL; e = strtok_r(NULL, "\n", &e_rest), g = strtok_r(NULL, "\n", &g_rest)) {
        assert_non_null(g);
        if (strstr(e, "@GROUPS") != NULL) {
            gid_t *sorted = calloc(user->group_count, sizeof *sorted);
            assert_non_null(sorted);
            memcpy(sorted, user->groups, user->group_count * sizeof *sorted);
            qsort(sorted, user->group_count, sizeof *sorted, by_number);
            char *at = g + strlen("Groups:\t");
            for (size_t i = 0; i < user->group_count; i++)
                assert_int_equal(strtoul(at, &at, 10), sorted[i]);
            assert_int_equal(strspn(at, " "), strlen(at));
            free(sorted);
        } else if (strcmp(e, "@CAPS") == 0) {
            (void)strtok_r(NULL, "\n", &g_rest); /* two lines */
        } else {
            assert_string_equal(g, e);
        }
    }
    assert_null(g);
}

/* A child that has not executed yet shares this memory. */
static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    handled = number;
}

/* A parent that has all that must not pass on. */
static void dirty_parent(void)
{
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGUSR1);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &mask, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGUSR2, SIG_IGN);
    (void)signal(SIGHUP, on_signal);
    (void)umask(077);
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, keyring);
    (void)setenv("REXEC_SECRET", "x", 1);
    (void)setenv("LD_PRELOAD_NOT", "x", 1);
    /* Without close-on-exec, low and high. */
    for (int i = 0; i < 20; i++)
        (void)open("/dev/null", O_RDWR); // NOLINT(android-cloexec-open)
    (void)dup2(0, 900);
    struct rlimit core;
    (void)getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &core);
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static struct rlimit first_files, first_core;

static void hygiene(const char *user)
{
    char got[8192], expected[8192];
    const char *const words[] = {self, "--report", NULL};
    struct spawn_plan *plan = new_plan(user, words);
    struct user who;
    assert_int_equal(user != NULL ? user_find(user, &who) : user_by_id(geteuid(), &who),
                     USER_FOUND);
    size_t before = open_fds();
    int status = run(plan, got, sizeof got);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(open_fds(), before);
    expected_report(&who, &first_files, &first_core, expected, sizeof expected);
    expect_report(&who, got, expected);
    user_free(&who);
}

static void test_hygiene(void **state)
{
    (void)state;
    hygiene(NULL);
    if (somebody() != NULL)
        hygiene(somebody());
}

/* The same, a thousand times, a hundred at once. */
static void test_parallel(void **state)
{
    (void)state;
    static struct spawn all[AT_ONCE];
    char got[8192], expected[8192], again[8192];
    const char *const words[] = {self, "--report", NULL};
    struct user who;
    assert_int_equal(somebody() != NULL ? user_find(somebody(), &who) : user_by_id(geteuid(), &who),
                     USER_FOUND);
    expected_report(&who, &first_files, &first_core, expected, sizeof expected);
    size_t before = open_fds();
    for (int round = 0; round < PARALLEL / AT_ONCE; round++) {
        struct spawn_failure f;
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(spawn_begin(new_plan(somebody(), words), &all[i], &f), 0);
        for (int i = 0; i < AT_ONCE; i++) {
            int status;
            assert_int_equal(wait_for(&all[i], &f), SPAWN_STARTED);
            spawn_end(&all[i]);
            read_all(all[i].fds[1], got, sizeof got);
            close_all(&all[i]);
            assert_int_equal(waitpid(all[i].pid, &status, 0), all[i].pid);
            assert_int_equal(status, 0);
            memcpy(again, expected, sizeof again);
            expect_report(&who, got, again);
        }
    }
    assert_int_equal(open_fds(), before);
    user_free(&who);
}

static void test_stdin(void **state)
{
    (void)state;
    const char *const words[] = {"cat", NULL};
    struct spawn_plan *plan = new_plan(NULL, words);
    struct spawn s;
    struct spawn_failure f;
    char out[64];
    int status;
    plan->no_stdin = false;
    assert_int_equal(spawn_begin(plan, &s, &f), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    spawn_end(&s);
    for (int i = 0; i < 3; i++) {
        assert_true((fcntl(s.fds[i], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(s.fds[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    assert_int_equal(write(s.fds[0], "abc", 3), 3);
    (void)close(s.fds[0]);
    s.fds[0] = -1;
    read_all(s.fds[1], out, sizeof out);
    assert_string_equal(out, "abc");
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
}

/* What was made ahead is used, is as good as what is made then, and nothing of it stays. */
static void test_prepared(void **state)
{
    (void)state;
    char got[8192], expected[8192];
    const char *const words[] = {self, "--report", NULL};
    struct user who;
    struct spawn s;
    struct spawn_failure f;
    int status;
    assert_int_equal(user_by_id(geteuid(), &who), USER_FOUND);
    size_t before = open_fds();
    spawn_prepare();
    size_t prepared = open_fds();
    assert_int_equal(prepared, before + 9); /* four pipes, and /dev/null */
    spawn_prepare();
    assert_int_equal(open_fds(), prepared);
    assert_int_equal(spawn_begin(new_plan(NULL, words), &s, &f), 0);
    assert_int_equal(open_fds(), before + 5); /* ours of three of them, and stdin's */
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    spawn_end(&s);
    for (int i = 1; i < 3; i++) {
        struct stat st;
        assert_int_equal(fstat(s.fds[i], &st), 0);
        assert_int_equal(s.output.pipes[i - 1], st.st_ino);
        assert_true((fcntl(s.fds[i], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(s.fds[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    read_all(s.fds[1], got, sizeof got);
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    expected_report(&who, &first_files, &first_core, expected, sizeof expected);
    expect_report(&who, got, expected);
    test_stdin(state); /* takes the one of stdin */
    assert_int_equal(open_fds(), before);
    spawn_prepare();
    spawn_unprepare();
    assert_int_equal(open_fds(), before);
    user_free(&who);
}

/* A signal that comes before the child has executed is the command's all the same. */
static void test_early_signal(void **state)
{
    (void)state;
    const char *const words[] = {"sleep", "600", NULL};
    handled = 0;
    for (int i = 0; i < EARLY; i++) {
        struct spawn s;
        struct spawn_failure f;
        int status;
        assert_int_equal(spawn_begin(new_plan(NULL, words), &s, &f), 0);
        assert_int_equal(kill(s.pid, SIGHUP), 0);
        assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
        spawn_end(&s);
        close_all(&s);
        assert_int_equal(handled, 0); /* or the command sleeps */
        assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
    }
}

static bool is_dead(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* The same while it is held up within execve: a lease lets nobody open the file before its holder
 * agrees. */
static void test_signal_on_the_way(void **state)
{
    (void)state;
    char file[] = "/tmp/rexec-spawn-XXXXXX";
    const struct timespec moment = {.tv_nsec = 1000000};
    struct spawn s;
    struct spawn_failure f;
    int status, writing = mkstemp(file);
    assert_true(writing >= 0);
    assert_true(fchmod(writing, 0755) == 0 && write(writing, "#!/bin/true\n", 12) == 12);
    (void)close(writing);
    int lease = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(lease >= 0);
    /* SIGURG, which does nothing, says that it is wanted back. */
    if (fcntl(lease, F_SETSIG, SIGURG) < 0 || fcntl(lease, F_SETLEASE, F_WRLCK) < 0) {
        (void)unlink(file);
        skip();
    }
    const char *const words[] = {file, NULL};
    handled = 0;
    assert_int_equal(spawn_begin(new_plan(NULL, words), &s, &f), 0);
    while (fcntl(lease, F_GETLEASE) == F_WRLCK)
        (void)nanosleep(&moment, NULL);
    assert_int_equal(kill(s.pid, SIGHUP), 0);
    while (handled == 0 && !is_dead(s.pid))
        (void)nanosleep(&moment, NULL);
    assert_int_equal(fcntl(lease, F_SETLEASE, F_UNLCK), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    spawn_end(&s);
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_int_equal(handled, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
    (void)close(lease);
    (void)unlink(file);
}

int main(int argc, char *argv[], char *environment[])
{
    if (argc > 1 && strcmp(argv[1], "--report") == 0)
        return report_self(environment);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0 || getrlimit(RLIMIT_NOFILE, &first_files) < 0 ||
        getrlimit(RLIMIT_CORE, &first_core) < 0)
        return 1;
    spawn_remember_limits();
    dirty_parent();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hygiene),      cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_stdin),        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_early_signal), cmocka_unit_test(test_signal_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
