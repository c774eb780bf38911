#include "rexec/background.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready = -1; /* the child's end of a pipe to the parent */

/* The child ended before its command ran: ends like it. */
static void end_as(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

bool background_start(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        (void)close(fds[0]);
        (void)close(fds[1]);
        errno = error;
        return false;
    }
    if (child == 0) {
        (void)close(fds[0]);
        ready = fds[1];
        return true;
    }
    (void)close(fds[1]);
    char byte;
    ssize_t n;
    do {
        n = read(fds[0], &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    end_as(child);
    return false;
}

void background_ready(void)
{
    if (ready < 0)
        return;
    (void)setsid(); /* the terminal's signals and its end are none of our business any more */
    while (write(ready, "", 1) < 0 && errno == EINTR) {
    }
    (void)close(ready);
    ready = -1;
}
