/*
 * Runs a server so that none of its processes' CPU time is lost: those that its own parents do not
 * wait for (sshd's unprivileged half) become children of this process, which waits for all.
 *
 *   bench_keeper WORD...
 *
 * SIGTERM and SIGINT are passed on to the server; ends when no process is left, 10 s after the
 * server at the latest, with the server's status.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t server;

static void on_signal(int number)
{
    if (server > 0)
        (void)kill(server, number);
}

static void on_alarm(int number)
{
    (void)number;
    _exit(1);
}

int main(int argc, char **argv)
{
    pid_t pid, ended;
    int status, result = 1;
    const struct sigaction pass_on = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const struct sigaction give_up = {.sa_handler = on_alarm};
    if (argc < 2)
        return 2;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        perror("PR_SET_CHILD_SUBREAPER");
        return 1;
    }
    (void)sigaction(SIGTERM, &pass_on, NULL);
    (void)sigaction(SIGINT, &pass_on, NULL);
    (void)sigaction(SIGALRM, &give_up, NULL);
    errno = posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ);
    if (errno != 0) {
        perror(argv[1]);
        return 1;
    }
    server = pid;
    while ((ended = wait(&status)) > 0 || errno == EINTR) {
        if (ended != pid)
            continue;
        server = 0;
        result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        (void)alarm(10);
    }
    return result;
}
