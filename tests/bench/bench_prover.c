/*
 * The server of bench_prove in two processes: one at the network, which seals and opens and reads
 * what the command writes, and one that has the keys, runs the commands of a client that has proven
 * itself and waits for them. No parsing, no policy, no log, one client after another.
 *
 *   bench_prover [-u USER] WORD...
 *       runs until stdin ends; says its port. Commands are started as the user and in a cgroup, as
 *       rexecd does it, or as nobody else and in none
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/x25519_base.h"
#include "rexecd/spawn.h"
#include "tests/bench/local.h"
#include "tests/bench/prove.h"
#include "tests/bench/spawning.h"

enum { PIPES = 2 }; /* stdout, stderr */

/* ---- between the two: a datagram each ----------------------------------------------------- */

static void tell(int fd, const void *bytes, size_t n)
{
    must(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n, "send");
}

static bool hear(int fd, void *bytes, size_t n)
{
    return recv(fd, bytes, n, 0) == (ssize_t)n;
}

/* The pipes, of which the sender keeps nothing. */
static void pass(int fd, const int pipes[PIPES])
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PIPES * sizeof *pipes)] = {0};
    uint8_t byte = 0;
    struct iovec at = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &at, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(PIPES * sizeof *pipes);
    memcpy(CMSG_DATA(c), pipes, PIPES * sizeof *pipes);
    must(sendmsg(fd, &m, MSG_NOSIGNAL) == 1, "sendmsg");
    for (int i = 0; i < PIPES; i++)
        (void)close(pipes[i]);
}

static void take(int fd, int pipes[PIPES])
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PIPES * sizeof *pipes)];
    uint8_t byte;
    struct iovec at = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &at, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    must(recvmsg(fd, &m, MSG_CMSG_CLOEXEC) == 1, "recvmsg");
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    must(c != NULL && c->cmsg_len == CMSG_LEN(PIPES * sizeof *pipes), "pipes");
    memcpy(pipes, CMSG_DATA(c), PIPES * sizeof *pipes);
}

/* ---- with the keys ------------------------------------------------------------------------ */

/* Key pairs are made ahead, as rexecd makes them. */
static void fresh_pair(uint8_t secret[static KEY], uint8_t public[static KEY])
{
    randombytes_buf(secret, KEY);
    must(rx_x25519_base(secret, public) == RX_OK, "key pair");
}

static bool is_proven(const uint8_t m1[static M1], const uint8_t m2[static M2],
                      const uint8_t m3[static M3])
{
    uint8_t proof[KEY];
    prove_mac(prove_client, m1, M1, m2, M2, proof);
    return sodium_memcmp(proof, m3 + M3_PROOF, sizeof proof) == 0;
}

static const uint8_t answer[ANSWER];

/* Passed on before it executes, the pipes would wake the other process where the command is to be.
 */
static void run(struct spawning *g, int net, char **words)
{
    struct spawned s;
    spawning_start(g, words, &s);
    pass(net, s.process.fds + 1);
    spawning_wait(&s);
    tell(net, answer, sizeof answer);
    spawning_over(g, &s);
}

/* As whom: NULL for nobody else. */
static _Noreturn void keep_keys(int net, const char *user, char **words)
{
    struct spawning g;
    uint8_t secret[KEY], public[KEY], m1[M1], m2[M2], m3[M3], request[REQUEST], mac[KEY];
    struct prove_session s;
    spawning_open(&g, user);
    tell(net, "", 1); /* that all is well */
    fresh_pair(secret, public);
    while (hear(net, m1, sizeof m1)) {
        randombytes_buf(m2, sizeof m2);
        memcpy(m2 + M2_PUBLIC, public, sizeof public);
        prove_mac(prove_server, m1, sizeof m1, m2, M2_PROOF, m2 + M2_PROOF);
        tell(net, m2, sizeof m2);
        must(hear(net, m3, sizeof m3) && is_proven(m1, m2, m3) &&
                 prove_keys(&s, secret, m1 + M1_PUBLIC, m1, m2),
             "M3");
        tell(net, &s, sizeof s);
        /* Until one comes that is none: the client is gone. */
        for (uint64_t number = 0; hear(net, request, sizeof request); number++) {
            prove_sign(&s, number, request, mac);
            must(sodium_memcmp(mac, request + REQUEST_MAC, sizeof mac) == 0, "request");
            run(&g, net, words);
        }
        fresh_pair(secret, public);
    }
    spawning_close(&g);
    _exit(0);
}

/* ---- at the network ----------------------------------------------------------------------- */

/* Reads both to their end. */
static void drain(const int pipes[PIPES])
{
    struct pollfd ends[PIPES];
    uint8_t bytes[4096];
    for (int i = 0; i < PIPES; i++)
        ends[i] = (struct pollfd){.fd = pipes[i], .events = POLLIN};
    for (int open = PIPES; open > 0;) {
        must(poll(ends, PIPES, -1) > 0, "poll");
        for (int i = 0; i < PIPES; i++) {
            if (ends[i].revents == 0 || read(ends[i].fd, bytes, sizeof bytes) > 0)
                continue;
            (void)close(ends[i].fd);
            ends[i].fd = -1;
            open--;
        }
    }
}

static void serve_requests(int client, int keys, const struct prove_session *s)
{
    uint8_t sealed[ANSWER + TAG], plain[ANSWER];
    for (uint64_t number = 0; read_all(client, sealed, REQUEST + TAG); number++) {
        int pipes[PIPES];
        must(prove_open(s, 0, number, sealed, REQUEST, plain), "request");
        tell(keys, plain, REQUEST);
        take(keys, pipes);
        drain(pipes);
        must(hear(keys, plain, ANSWER), "answer");
        prove_seal(s, 1, number, plain, ANSWER, sealed);
        write_all(client, sealed, sizeof sealed);
    }
}

static void serve_one(int client, int keys)
{
    uint8_t m1[M1], m2[M2], m3[M3];
    struct prove_session s;
    if (!read_all(client, m1, sizeof m1))
        return;
    tell(keys, m1, sizeof m1);
    must(hear(keys, m2, sizeof m2), "M2");
    write_all(client, m2, sizeof m2);
    must(read_all(client, m3, sizeof m3), "M3");
    tell(keys, m3, sizeof m3);
    must(hear(keys, &s, sizeof s), "keys");
    serve_requests(client, keys, &s);
    tell(keys, "", 1); /* no request: the end */
}

int main(int argc, char **argv)
{
    int pair[2], option;
    uint16_t port = 0;
    const char *user = NULL;
    char ready;
    while ((option = getopt(argc, argv, "+u:")) == 'u')
        user = optarg;
    if (option != -1 || optind >= argc || sodium_init() < 0)
        return 2;
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    pid_t keeper = fork();
    must(keeper >= 0, "fork");
    if (keeper == 0) {
        (void)close(pair[0]);
        keep_keys(pair[1], user, argv + optind);
    }
    (void)close(pair[1]);
    if (!hear(pair[0], &ready, sizeof ready)) /* it has said why */
        return 1;
    struct pollfd ends[2] = {{.fd = listen_somewhere(&port), .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
    (void)printf("%u\n", (unsigned)port);
    (void)fflush(stdout);
    while (poll(ends, 2, -1) > 0 && ends[1].revents == 0) {
        int client = accept_from(ends[0].fd);
        serve_one(client, pair[0]);
        (void)close(client);
    }
    (void)close(pair[0]);
    must(waitpid(keeper, NULL, 0) == keeper, "waitpid");
    return 0;
}
