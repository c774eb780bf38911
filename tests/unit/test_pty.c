/* rexecd/pty.c, and rexecd/spawn.c where a command has a terminal: whose it is, what it is like,
 * who hears of its keys, and its end. */
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
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "rexecd/pty.h"
#include "rexecd/spawn.h"

static struct user somebody(void)
{
    struct user user;
    enum user_result found =
        geteuid() == 0 ? user_find("nobody", &user) : user_by_id(geteuid(), &user);
    assert_int_equal(found, USER_FOUND);
    return user;
}

/* A terminal with ECHO off, ^X for INT, and 24 lines of 80. */
static struct rx_pty asked(void)
{
    struct rx_pty pty = {.wanted = true, .rows = 24, .cols = 80, .width = 640, .height = RX_ABSENT};
    (void)strcpy(pty.term, "xterm");
    pty.modes.count = 2;
    (void)strcpy(pty.modes.modes[0].name, "echo");
    pty.modes.modes[0].value = 0;
    (void)strcpy(pty.modes.modes[1].name, "vintr");
    pty.modes.modes[1].value = 'X' & 31;
    return pty;
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

/* ---- the terminal itself ---------------------------------------------------------------- */

static void test_new(void **state)
{
    (void)state;
    const struct rx_pty wanted = asked();
    struct user user = somebody();
    struct termios t;
    struct winsize size;
    struct stat st, named;
    size_t before = open_fds();
    struct pty *pty = pty_new(&wanted, &user, geteuid() == 0);
    assert_non_null(pty);
    assert_int_equal(fstat(pty->slave, &st), 0);
    assert_int_equal(stat(pty->name, &named), 0);
    assert_int_equal(st.st_rdev, named.st_rdev);
    assert_int_equal(st.st_uid, user.uid);
    const struct group *tty = getgrnam("tty");
    if (geteuid() == 0 && tty != NULL)
        assert_int_equal(st.st_gid, tty->gr_gid);
    /* Others may write to it as tty does, and nobody may read it. */
    bool ttys = tty != NULL && st.st_gid == tty->gr_gid;
    assert_int_equal(st.st_mode & 0777, ttys ? 0620 : 0600);
    assert_int_equal(tcgetattr(pty->slave, &t), 0);
    assert_int_equal(t.c_lflag & ECHO, 0);
    assert_int_equal(t.c_lflag & ICANON, ICANON);
    assert_int_equal(t.c_cc[VINTR], 'X' & 31);
    assert_int_equal(ioctl(pty->slave, TIOCGWINSZ, &size), 0);
    assert_int_equal(size.ws_row, 24);
    assert_int_equal(size.ws_col, 80);
    assert_int_equal(size.ws_xpixel, 640);
    assert_int_equal(size.ws_ypixel, 0);
    assert_int_equal(fcntl(pty->master, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(pty->slave, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(pty->master, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(pty->slave, F_GETFL) & O_NONBLOCK, 0);
    pid_t session = 0;
    assert_int_not_equal(ioctl(pty->master, TIOCGSID, &session), 0); /* nobody's */
    pty_free(pty);
    user_free(&user);
    pty_free(NULL);
    assert_int_equal(open_fds(), before);
}

/* Without descriptors: no terminal, nothing left. */
static void test_no_descriptors(void **state)
{
    (void)state;
    const struct rx_pty wanted = asked();
    struct user user = somebody();
    struct rlimit files, few;
    (void)getgrnam("tty"); /* opens what it keeps */
    size_t before = open_fds();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = files;
    bool made = false;
    for (rlim_t free_fds = 0; free_fds < 16 && !made; free_fds++) {
        int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
        assert_true(lowest > 0);
        (void)close(lowest);
        few.rlim_cur = (rlim_t)lowest + free_fds;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        struct pty *pty = pty_new(&wanted, &user, false);
        int error = errno;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (pty == NULL)
            assert_true(error == EMFILE || error == EINVAL); /* fcntl calls it that */
        made = pty != NULL;
        pty_free(pty);
        assert_int_equal(open_fds(), before);
    }
    assert_true(made);
    user_free(&user);
}

/* ---- with a command --------------------------------------------------------------------- */

struct running {
    struct spawn s;
    char out[4096];
    size_t n;
};

static char *copy(const char *text)
{
    char *out = strdup(text);
    if (out == NULL)
        abort();
    return out;
}

static void begin(struct running *r, const char *line)
{
    const struct rx_pty wanted = asked();
    const struct environment_policy policy = {.terminal = "T", .term = wanted.term};
    struct environment_name which;
    struct spawn_failure f = {0};
    struct spawn_plan *plan = calloc(1, sizeof *plan);
    *r = (struct running){0};
    if (plan == NULL)
        abort();
    plan->cgroup = -1;
    plan->user = somebody();
    plan->become = geteuid() == 0;
    assert_int_equal(
        environment_build(&plan->environment, &policy, &plan->user, "x 1", NULL, NULL, 0, &which),
        ENVIRONMENT_OK);
    plan->argv = calloc(4, sizeof *plan->argv + 1024);
    if (plan->argv == NULL)
        abort();
    char *text = (char *)(plan->argv + 4);
    const char *const words[] = {"sh", "-c", line};
    for (size_t i = 0; i < 3; i++) {
        plan->argv[i] = text;
        text += snprintf(text, 1000, "%s", words[i]) + 1;
    }
    plan->file = copy("sh");
    plan->pty = pty_new(&wanted, &plan->user, plan->become);
    assert_non_null(plan->pty);
    assert_int_equal(spawn_begin(plan, &r->s, &f), 0);
    enum spawn_answer answer;
    while ((answer = spawn_check(&r->s, &f)) == SPAWN_PENDING) {
        struct pollfd p = {.fd = r->s.status, .events = POLLIN};
        assert_true(poll(&p, 1, 10000) > 0);
    }
    assert_int_equal(answer, SPAWN_STARTED);
    spawn_end(&r->s);
    assert_int_equal(r->s.fds[2], -1);
    assert_true(r->s.fds[0] > 2 && r->s.fds[1] > 2 && r->s.terminal > 2);
}

/* Reads until the text has come; NULL: to the end, which is EIO. */
static void read_until(struct running *r, const char *text)
{
    while (text == NULL || strstr(r->out, text) == NULL) {
        struct pollfd p = {.fd = r->s.fds[1], .events = POLLIN};
        assert_true(poll(&p, 1, 20000) > 0);
        ssize_t n = read(r->s.fds[1], r->out + r->n, sizeof r->out - 1 - r->n);
        if (n < 0 && errno == EIO && text == NULL)
            return;
        assert_true(n > 0);
        r->n += (size_t)n;
        r->out[r->n] = '\0';
    }
}

static void type(struct running *r, const char *text)
{
    assert_int_equal(write(r->s.fds[0], text, strlen(text)), (int)strlen(text));
}

/* The status, when it has ended. */
static int end(struct running *r)
{
    int status;
    assert_int_equal(waitpid(r->s.pid, &status, 0), r->s.pid);
    (void)close(r->s.fds[0]);
    (void)close(r->s.fds[1]);
    if (r->s.terminal >= 0)
        (void)close(r->s.terminal);
    return status;
}

static void test_command(void **state)
{
    (void)state;
    struct running r;
    size_t before = open_fds();
    begin(
        &r,
        "for i in 0 1 2; do test -t $i || echo none; done; stty size; echo \"$TERM $SSH_TTY\" >&2;"
        "for i in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && echo \"open $i\"; done; echo who; ps -o pid= -o sid= -o pgid= -o tpgid= -p $$;"
        "read line; echo \"got $line\" > /dev/tty; exit 5");
    type(&r, "hello\n");
    read_until(&r, NULL);
    assert_int_equal(end(&r), 5 << 8);
    assert_non_null(strstr(r.out, "24 80\r\n"));
    assert_non_null(strstr(r.out, "xterm T\r\n"));
    assert_null(strstr(r.out, "open"));
    assert_non_null(strstr(r.out, "got hello\r\n"));
    assert_null(strstr(r.out, "none"));
    assert_null(strstr(r.out, "\r\nhello")); /* no echo */
    /* The leader of its session, and in the foreground. */
    const char *line = strstr(strstr(r.out, "who"), "\r\n") + 2;
    for (int i = 0; i < 4; i++) {
        char *rest;
        assert_int_equal(strtol(line, &rest, 10), r.s.pid);
        line = rest;
    }
    assert_int_equal(open_fds(), before);
}

static void test_resize(void **state)
{
    (void)state;
    struct running r;
    begin(&r, "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done");
    read_until(&r, "ready");
    assert_int_equal(pty_resize(r.s.terminal, 50, 132, 0, 0), 0);
    read_until(&r, "50 132");
    read_until(&r, NULL);
    assert_int_equal(end(&r), 3 << 8);
    assert_int_equal(pty_resize(-1, 1, 1, 1, 1), -1);
}

/* Keys: the one for INT is as it was asked for. */
static void test_keys(void **state)
{
    (void)state;
    struct running r;
    begin(&r, "echo ready; exec sleep 600");
    read_until(&r, "ready");
    type(&r, "\x18");
    read_until(&r, NULL);
    assert_int_equal(end(&r), SIGINT);
}

/* A signal of the keyboard's goes to the foreground, and to nobody else. */
static void test_signal(void **state)
{
    (void)state;
    struct running r;
    begin(&r,
          "set -m; trap '' INT; (trap - INT; exec sleep 600) & echo \"back $!\"; "
          "(trap - INT; echo ready; exec sleep 600); echo \"fore $?\"; kill -0 %1 && echo lives;"
          "kill -KILL %1");
    read_until(&r, "ready");
    assert_int_equal(pty_signal(r.s.terminal, SIGTERM), -1);
    assert_int_equal(errno, EINVAL);
    /* The shell gives the terminal to the job before it says ready, or hardly later. */
    for (int i = 0; strstr(r.out, "fore") == NULL && i < 2000; i++) {
        struct pollfd p = {.fd = r.s.fds[1], .events = POLLIN};
        assert_int_equal(pty_signal(r.s.terminal, SIGINT), 0);
        if (poll(&p, 1, 10) > 0)
            break;
    }
    read_until(&r, NULL);
    (void)end(&r);
    assert_non_null(strstr(r.out, "fore 130"));
    assert_non_null(strstr(r.out, "lives"));
}

/* When the last master is closed, the kernel hangs up. */
static void test_hangup(void **state)
{
    (void)state;
    struct running r;
    begin(&r, "echo ready; exec sleep 600");
    read_until(&r, "ready");
    (void)close(r.s.fds[0]);
    (void)close(r.s.fds[1]);
    int status;
    assert_int_equal(waitpid(r.s.pid, &status, WNOHANG), 0); /* one is left */
    (void)close(r.s.terminal);
    assert_int_equal(waitpid(r.s.pid, &status, 0), r.s.pid);
    assert_int_equal(status, SIGHUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),     cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_command), cmocka_unit_test(test_resize),
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_signal),
        cmocka_unit_test(test_hangup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
