#include "tests/bench/local.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct job start(char **words)
{
    posix_spawn_file_actions_t actions;
    struct job job;
    int ends[2];
    must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    must(posix_spawnp(&job.pid, words[0], &actions, NULL, words, environ) == 0, words[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    job.out = ends[0];
    return job;
}

void finish(struct job *job)
{
    char bytes[4096];
    int status;
    while (read(job->out, bytes, sizeof bytes) > 0)
        ;
    (void)close(job->out);
    must(waitpid(job->pid, &status, 0) == job->pid && status == 0, "waitpid");
    job->pid = 0;
}

int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 16) == 0 &&
             getsockname(listener, (struct sockaddr *)&at, &len) == 0,
         "listen");
    *port = ntohs(at.sin_port);
    return listener;
}

int accept_from(int listener)
{
    int on = 1, fd = accept(listener, NULL, NULL);
    must(fd >= 0, "accept");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

void write_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        must(done > 0, "write");
        at += done;
        n -= (size_t)done;
    }
}

bool read_all(int fd, void *bytes, size_t n)
{
    uint8_t *at = bytes;
    while (n > 0) {
        ssize_t done = read(fd, at, n);
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

void begin_between(void (*what)(char **), char **words, int *to, int *from)
{
    int in[2], out[2];
    must(pipe(in) == 0 && pipe(out) == 0, "pipe");
    if (fork() == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        for (int fd = 3; fd < 16; fd++)
            (void)close(fd);
        what(words);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *to = in[1];
    *from = out[0];
}
