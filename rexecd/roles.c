#include "rexecd/roles.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "rexecd/ipc.h"
#include "rexecd/null.h"

static _Noreturn void give_up(const char *what)
{
    ssize_t written = write(STDERR_FILENO, what, strlen(what));
    (void)written;
    _exit(1);
}

/* In the child. The monitor has no threads, so that all calls are allowed here. */
static _Noreturn void become(char *const argv[], int fd)
{
    char *const environment[] = {NULL};
    sigset_t none;
    (void)setpgid(0, 0);
    /* Out of the way of 0 to 3, whatever it was; dup2 clears close-on-exec. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, IPC_FD + 1);
    int null = null_open(O_RDWR);
    int spare = null >= 0 ? fcntl(null, F_DUPFD_CLOEXEC, IPC_FD + 1) : -1;
    if (high < 0 || spare < 0 || dup2(spare, STDIN_FILENO) < 0 || dup2(spare, STDOUT_FILENO) < 0 ||
        dup2(high, IPC_FD) < 0 || close_range(IPC_FD + 1, ~0U, 0) < 0)
        give_up("rexecd: a role cannot be set up\n");
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve("/proc/self/exe", argv, environment);
    give_up("rexecd: /proc/self/exe cannot be executed: is /proc there?\n");
}

pid_t role_start(char *const argv[], int fd)
{
    pid_t pid = fork();
    if (pid == 0)
        become(argv, fd);
    return pid;
}
