/* rexecd/spawn.c: every way in which a child may not come to be, and what it is given. */
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
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/cgroup.h"
#include "rexecd/null.h"
#include "rexecd/spawn.h"
#include "tests/unit/spawn_world.h"

static struct rlimit first_files;

static void fails(struct spawn_plan *plan, enum spawn_step step, int error)
{
    struct spawn s;
    struct spawn_failure f = {0};
    int status;
    char out[16];
    size_t before = open_fds() - (plan->cgroup >= 0 ? 1 : 0);
    assert_int_equal(spawn_begin(plan, &s, &f), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_FAILED);
    assert_int_equal(f.step, step);
    assert_int_equal(f.error, error);
    spawn_end(&s);
    read_all(s.fds[1], out, sizeof out);
    assert_string_equal(out, "");
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_int_equal(open_fds(), before);
}

static char like_path[] = "/tmp/rexec-test-spawn.XXXXXX";

/* A directory with a cgroup.procs that leads to this file. */
static int like_a_cgroup(const char *file)
{
    assert_non_null(mkdtemp(like_path));
    int fd = open(like_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(symlinkat(file, fd, "cgroup.procs"), 0);
    return fd;
}

static void remove_like_a_cgroup(void)
{
    char file[sizeof like_path + 16];
    (void)snprintf(file, sizeof file, "%s/cgroup.procs", like_path);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(like_path), 0);
}

/* Where there are cgroups it is in its own from the beginning. */
static void test_made_in_its_cgroup(void **state)
{
    (void)state;
    const char *const words[] = {"cat", "/proc/self/cgroup", NULL};
    struct cgroups *cgroups = cgroups_open();
    if (cgroups == NULL)
        skip();
    struct spawn s;
    struct spawn_failure f;
    char out[4096];
    int status;
    struct spawn_plan *plan = new_plan(NULL, words);
    uint64_t which = 0;
    char name[64];
    plan->cgroup = cgroups_take(cgroups, &which);
    assert_true(plan->cgroup >= 0);
    (void)snprintf(name, sizeof name, "/command-%" PRIu64 "\n", which);
    assert_int_equal(spawn_begin(plan, &s, &f), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    spawn_end(&s);
    read_all(s.fds[1], out, sizeof out);
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_non_null(strstr(out, name));
    cgroups_give(cgroups, which, true);
    cgroups_close(cgroups);
}

/* Becoming another user opens a process to that user's eyes on some systems; the memory is ours. */
static void test_not_to_be_looked_into(void **state)
{
    (void)state;
    const char *const words[] = {"true", NULL};
    struct spawn s;
    struct spawn_failure f;
    int status;
    if (geteuid() != 0)
        skip();
    int before = prctl(PR_GET_DUMPABLE);
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
    assert_int_equal(spawn_begin(new_plan(NULL, words), &s, &f), 0);
    assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0); /* the child's own word */
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
    spawn_end(&s);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0); /* and ours */
    close_all(&s);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_int_equal(prctl(PR_SET_DUMPABLE, before), 0);
}

static void test_failures(void **state)
{
    (void)state;
    const char *const missing[] = {"/no/such/file", NULL};
    const char *const nowhere[] = {"rexec-no-such-command", NULL};
    const char *const directory[] = {"/usr", NULL};
    const char *const data[] = {"/etc/passwd", NULL};
    const char *const good[] = {"true", NULL};
    fails(new_plan(NULL, missing), SPAWN_STEP_EXECUTE, ENOENT);
    fails(new_plan(NULL, nowhere), SPAWN_STEP_EXECUTE, ENOENT);
    fails(new_plan(NULL, directory), SPAWN_STEP_EXECUTE, EACCES);
    fails(new_plan(somebody(), data), SPAWN_STEP_EXECUTE, EACCES);
    struct spawn_plan *plan = new_plan(NULL, good);
    plan->directory = copy("/no/such/directory");
    fails(plan, SPAWN_STEP_DIRECTORY, ENOENT);
    plan = new_plan(NULL, good);
    plan->directory = copy("/etc/passwd");
    fails(plan, SPAWN_STEP_DIRECTORY, ENOTDIR);
    /* Without a home directory it starts in /, and what is relative to home is not there. */
    static char no_home[] = "/no/such/home";
    plan = new_plan(NULL, good);
    plan->user.home = no_home;
    plan->directory = copy("etc");
    fails(plan, SPAWN_STEP_DIRECTORY, ENOENT);
    const char *const where[] = {"pwd", NULL};
    char out[64];
    plan = new_plan(NULL, where);
    plan->user.home = no_home;
    (void)run(plan, out, sizeof out);
    assert_string_equal(out, "/\n");
    plan = new_plan(NULL, good);
    plan->cgroup = like_a_cgroup("/dev/full");
    fails(plan, SPAWN_STEP_CGROUP, ENOSPC);
    remove_like_a_cgroup();
    plan = new_plan(NULL, good);
    plan->cgroup = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fails(plan, SPAWN_STEP_CGROUP, ENOENT);
    static char large[3 * 1024 * 1024];
    memset(large, 'x', sizeof large - 1);
    const char *const long_words[] = {"true", large, NULL};
    fails(new_plan(NULL, long_words), SPAWN_STEP_EXECUTE, E2BIG);
    if (geteuid() == 0) {
        /* The directory of another user, as that other user may see it. */
        plan = new_plan(somebody(), good);
        plan->directory = copy("/root");
        struct stat st;
        if (stat("/root", &st) == 0 && (st.st_mode & 0001) == 0)
            fails(plan, SPAWN_STEP_DIRECTORY, EACCES);
        else
            spawn_plan_free(plan);
    } else {
        plan = new_plan(NULL, good);
        plan->become = true; /* it may not */
        fails(plan, SPAWN_STEP_USER, EPERM);
    }
}

/* A file that is there but may not be executed does not hide one further on in PATH. */
static void test_path(void **state)
{
    (void)state;
    char first[] = "/tmp/rexec-test-path.XXXXXX", file[64], out[64];
    assert_non_null(mkdtemp(first));
    assert_int_equal(chmod(first, 0755), 0);
    (void)snprintf(file, sizeof file, "%s/echo", first);
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    (void)close(fd);
    char path[128];
    (void)snprintf(path, sizeof path, "/nowhere:%s::/usr/bin:/bin", first);
    const struct environment_policy policy = {.path = path};
    struct environment_name which;
    const char *const words[] = {"echo", "found", NULL};
    struct spawn_plan *plan = new_plan(NULL, words);
    environment_free(&plan->environment);
    assert_int_equal(
        environment_build(&plan->environment, &policy, &plan->user, "x 1", NULL, NULL, 0, &which),
        ENVIRONMENT_OK);
    assert_int_equal(run(plan, out, sizeof out), 0);
    assert_string_equal(out, "found\n");
    (void)unlink(file);
    (void)rmdir(first);
}

static void test_limits(void **state)
{
    (void)state;
    const char *const words[] = {"sh", "-c", "ulimit -n; ulimit -t; ulimit -Ht", NULL};
    struct spawn_plan *plan = new_plan(NULL, words);
    char out[64];
    plan->limits[0].resource = RLIMIT_NOFILE;
    plan->limits[0].value = 33;
    plan->limits[1].resource = RLIMIT_CPU;
    plan->limits[1].value = 7;
    plan->limit_count = 2;
    assert_int_equal(run(plan, out, sizeof out), 0);
    assert_string_equal(out, "33\n7\n8\n");
    /* None is raised. */
    plan = new_plan(NULL, words);
    plan->limits[0].resource = RLIMIT_NOFILE;
    plan->limits[0].value = first_files.rlim_max + 1;
    plan->limit_count = 1;
    assert_int_equal(run(plan, out, sizeof out), 0);
    assert_int_equal(strtoull(out, NULL, 10), first_files.rlim_max);
}

/* In a /dev of its own, with nothing in it, or with a plain file: commands still read the device.
 * The exit status of the process that tried. */
static int without_null(bool plain)
{
    const char *const words[] = {"sh", "-c", "test -c /proc/self/fd/0 && cat", NULL};
    char out[64] = "?";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev", "tmpfs", 0, NULL) < 0)
        return 77;
    int fd = plain ? open("/dev/null", O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (plain && (write(fd, "not null", 8) != 8 || close(fd) < 0))
        return 78;
    return run(new_plan(NULL, words), out, sizeof out) == 0 && out[0] == '\0' ? 0 : 1;
}

static void test_null_is_gone(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root has mounts of its own */
    for (int plain = 0; plain < 2; plain++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(without_null(plain != 0));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* Killed on its way: it did not start, and nobody hangs. */
static void test_killed(void **state)
{
    (void)state;
    const char *const words[] = {"true", NULL};
    for (int i = 0; i < 200; i++) {
        struct spawn s;
        struct spawn_failure f = {0};
        int status;
        assert_int_equal(spawn_begin(new_plan(NULL, words), &s, &f), 0);
        (void)kill(s.pid, SIGKILL);
        if (wait_for(&s, &f) == SPAWN_FAILED)
            assert_int_equal(f.error, ECANCELED);
        spawn_end(&s);
        close_all(&s);
        assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    }
}

static void test_no_descriptors(void **state)
{
    (void)state;
    const char *const words[] = {"true", NULL};
    struct rlimit files, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    size_t before = open_fds();
    few = files;
    /* Every number of free descriptors that is too small, and the first that is not. */
    bool started = false;
    for (rlim_t free_fds = 0; free_fds < 16 && !started; free_fds++) {
        struct spawn s;
        struct spawn_failure f = {0};
        int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
        assert_true(lowest > 0);
        (void)close(lowest);
        few.rlim_cur = (rlim_t)lowest + free_fds;
        struct spawn_plan *plan = new_plan(NULL, words);
        plan->no_stdin = false;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int begun = spawn_begin(plan, &s, &f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        if (begun == 0) {
            int status;
            assert_int_equal(wait_for(&s, &f), SPAWN_STARTED);
            spawn_end(&s);
            close_all(&s);
            assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
            started = true;
        } else {
            assert_int_equal(f.step, SPAWN_STEP_PREPARE);
            assert_int_equal(f.error, EMFILE);
        }
        assert_int_equal(open_fds(), before);
    }
    assert_true(started);
}

int main(void)
{
    if (getrlimit(RLIMIT_NOFILE, &first_files) < 0)
        return 1;
    spawn_remember_limits();
    null_remember();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_null_is_gone),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_made_in_its_cgroup),
        cmocka_unit_test(test_not_to_be_looked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
