/* rexecd/sandbox.c: what a taken-over net process can still do. Each attempt is made in a child of
 * its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rexecd/sandbox.h"

enum { DONE = 42, REFUSED = 43 };

static int sockets[2], listener;

/* ---- what must go ----------------------------------------------------------------------- */

static bool serves(void)
{
    char byte = 'x';
    struct timespec now;
    void *p = malloc(1 << 20);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free(p);
    return write(sockets[0], &byte, 1) == 1 && read(sockets[1], &byte, 1) == 1 &&
           accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) < 0 && errno == EAGAIN &&
           clock_gettime(CLOCK_REALTIME, &now) == 0 && map != MAP_FAILED &&
           fcntl(sockets[0], F_GETFL) >= 0;
}

/* ---- what must not ---------------------------------------------------------------------- */

static bool opens(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool creates(void)
{
    return open("/tmp/rexec-test-sandbox", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0;
}

static bool looks(void)
{
    struct stat st;
    return stat("/etc/passwd", &st) == 0;
}

static bool executes(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    return execve("/bin/true", argv, argv + 1) == 0;
}

static bool forks(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0;
}

static bool makes_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool connects(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)};
    return connect(sockets[0], (const struct sockaddr *)&to, sizeof to) == 0;
}

static bool binds(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET};
    return bind(listener, (const struct sockaddr *)&to, sizeof to) == 0;
}

static bool traces(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool signals(void)
{
    return kill(getppid(), 0) == 0;
}

static bool reads_memory(void)
{
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) >= 0;
}

static bool becomes_root(void)
{
    return setuid(0) == 0;
}

static bool maps_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

static bool mounts(void)
{
    return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL) == 0;
}

static bool leaves(void)
{
    return chroot("/") == 0;
}

static bool moves_fds(void)
{
    return fcntl(sockets[0], F_SETOWN, getppid()) == 0;
}

/* A listener is the monitor's, too, and the next net's. */
static bool stops_listening(void)
{
    return shutdown(listener, SHUT_RD) == 0;
}

static bool changes_listener(void)
{
    int on = 1;
    return setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

static bool blocks_listener(void)
{
    return fcntl(listener, F_SETFL, 0) == 0;
}

/* Either may connect a socket that is not (MSG_FASTOPEN). */
static bool sends_to(void)
{
    return send(sockets[0], "x", 1, MSG_NOSIGNAL) == 1;
}

static bool passes_fd(void)
{
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return sendmsg(sockets[0], &message, MSG_NOSIGNAL) == 1;
}

/* What becomes of an attempt in a sandboxed child: DONE, REFUSED, or the signal that killed it. */
static int attempt(bool (*act)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (sandbox_net(0) < 0)
            _exit(1);
        _exit(act() ? DONE : REFUSED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_serves(void **state)
{
    (void)state;
    assert_int_equal(attempt(serves), DONE);
}

static void test_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool (*act)(void);
    } attempts[] = {
        {"open", opens},
        {"create", creates},
        {"stat", looks},
        {"execve", executes},
        {"fork", forks},
        {"socket", makes_socket},
        {"connect", connects},
        {"bind", binds},
        {"ptrace", traces},
        {"kill", signals},
        {"read memory", reads_memory},
        {"setuid", becomes_root},
        {"map code", maps_code},
        {"mount", mounts},
        {"chroot", leaves},
        {"fcntl", moves_fds},
        {"stop listening", stops_listening},
        {"change a listener", changes_listener},
        {"block a listener", blocks_listener},
        {"sendto", sends_to},
        {"sendmsg", passes_fd},
    };
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        int result = attempt(attempts[i].act);
        if (result != REFUSED && result != -SIGSYS)
            fail_msg("%s: %d", attempts[i].name, result);
    }
}

/* ---- Landlock alone --------------------------------------------------------------------- */

static bool without_seccomp;

/* In the library's place, so that what stands behind the list of system calls can be seen. */
int seccomp_load(scmp_filter_ctx ctx)
{
    int (*load)(scmp_filter_ctx);
    if (without_seccomp)
        return 0;
    *(void **)&load = dlsym(RTLD_NEXT, "seccomp_load");
    return load != NULL ? load(ctx) : -ENOSYS;
}

static bool refuses_files(void)
{
    return !opens() && errno == EACCES && !creates() && errno == EACCES;
}

static bool refuses_tcp(void)
{
    struct sockaddr_in to = {0};
    socklen_t len = sizeof to;
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return getsockname(listener, (struct sockaddr *)&to, &len) == 0 &&
           connect(one, (const struct sockaddr *)&to, len) < 0 && errno == EACCES && !binds() &&
           bind(one, (const struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET},
                sizeof to) < 0 &&
           errno == EACCES;
}

static bool refuses_signals(void)
{
    return !signals() && errno == EPERM;
}

/* Each kernel as much as it has. */
static void test_landlock(void **state)
{
    (void)state;
    static const struct {
        long abi;
        bool (*act)(void);
    } attempts[] = {{1, refuses_files}, {4, refuses_tcp}, {6, refuses_signals}};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        skip();
    without_seccomp = true;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        if (abi >= attempts[i].abi)
            assert_int_equal(attempt(attempts[i].act), DONE);
    without_seccomp = false;
}

/* ---- users and directories -------------------------------------------------------------- */

/* As root: into the directory, and never back. */
static void test_become(void **state)
{
    (void)state;
    int status;
    if (geteuid() != 0)
        skip();
    char directory[] = "/tmp/rexec-test-sandbox.XXXXXX";
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(priv_sandbox_directory(directory), -1); /* its parent belongs to everybody */
    pid_t pid = fork();
    if (pid == 0) {
        /* Groups of root's, which must not stay. */
        const gid_t groups[] = {0, 4};
        bool good = setgroups(2, groups) == 0 &&
                    priv_sandbox_become(65534, 65534, directory) == 0 && getuid() == 65534 &&
                    geteuid() == 65534 && getgid() == 65534 && getgroups(0, NULL) == 0 &&
                    access("/etc/passwd", F_OK) < 0 && open("/x", O_CREAT | O_WRONLY, 0600) < 0 &&
                    setuid(0) < 0 && prctl(PR_CAPBSET_DROP, 0) < 0;
        _exit(good ? DONE : REFUSED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), DONE);
    assert_int_equal(priv_sandbox_become(0, 65534, directory), -1);
    assert_int_equal(priv_sandbox_become(65534, 0, directory), -1);
    (void)rmdir(directory);
}

static void test_directory(void **state)
{
    (void)state;
    struct stat st;
    if (geteuid() != 0)
        skip();
    assert_int_equal(priv_sandbox_directory("relative"), -1);
    assert_int_equal(priv_sandbox_directory("/run/rexec-test/"), -1);
    assert_int_equal(priv_sandbox_directory("/run/rexec-test/empty"), 0);
    assert_int_equal(priv_sandbox_directory("/run/rexec-test/empty"), 0);
    assert_int_equal(stat("/run/rexec-test/empty", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(chmod("/run/rexec-test/empty", 0777), 0);
    assert_int_equal(priv_sandbox_directory("/run/rexec-test/empty"), -1);
    (void)rmdir("/run/rexec-test/empty");
    (void)rmdir("/run/rexec-test");
}

int main(void)
{
    const struct sockaddr_in here = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 || listener < 0 ||
        bind(listener, (const struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 1) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves),    cmocka_unit_test(test_nothing_else),
        cmocka_unit_test(test_landlock),  cmocka_unit_test(test_become),
        cmocka_unit_test(test_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
