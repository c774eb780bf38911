/*
 * A small C program that proves itself, has the server prove itself, and asks for commands, all of
 * it sealed. The server is bench_prover, on loopback. Nothing is parsed, read from files or looked
 * up; in the handshake as many blocks are hashed as rexec hashes.
 *
 *   bench_prove PORT        one command
 *   bench_prove PORT N      N, one after another: their seconds
 *   bench_prove PORT shake N
 *       N sessions, one after another, in which nothing is asked for
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/x25519_base.h"
#include "tests/bench/local.h"
#include "tests/bench/prove.h"

static bool take(int fd, uint8_t *bytes, size_t n)
{
    for (ssize_t got; n > 0; bytes += got, n -= (size_t)got) {
        got = read(fd, bytes, n);
        if (got <= 0)
            return false;
    }
    return true;
}

/* A request, and before it what else goes with it: M3 is `at` bytes, or there is none. */
static bool ask(const struct prove_session *s, int fd, uint64_t number, uint8_t *bytes, size_t at)
{
    uint8_t request[REQUEST] = {0};
    prove_sign(s, number, request, request + REQUEST_MAC);
    prove_seal(s, 0, number, request, sizeof request, bytes + at);
    size_t n = at + REQUEST + TAG;
    return write(fd, bytes, n) == (ssize_t)n;
}

static bool answered(const struct prove_session *s, int fd, uint64_t number)
{
    uint8_t sealed[ANSWER + TAG], answer[ANSWER];
    return take(fd, sealed, sizeof sealed) && prove_open(s, 1, number, sealed, ANSWER, answer);
}

/* Connected, proven to each other, with M3 made in `out` but not sent. */
static int open_session(uint16_t port, struct prove_session *s, uint8_t out[static M3])
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
    uint8_t secret[KEY], m1[M1], m2[M2], proof[KEY];
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    /* First: the server takes it while the key pair is made. */
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0 || sodium_init() < 0)
        return -1;
    randombytes_buf(m1, sizeof m1);
    randombytes_buf(secret, sizeof secret);
    if (rx_x25519_base(secret, m1 + M1_PUBLIC) != RX_OK ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        write(fd, m1, sizeof m1) != (ssize_t)sizeof m1 || !take(fd, m2, sizeof m2))
        return -1;
    prove_mac(prove_server, m1, sizeof m1, m2, M2_PROOF, proof);
    if (sodium_memcmp(proof, m2 + M2_PROOF, sizeof proof) != 0 ||
        !prove_keys(s, secret, m2 + M2_PUBLIC, m1, m2))
        return -1;
    prove_mac(prove_client, m1, sizeof m1, m2, sizeof m2, out + M3_PROOF);
    return fd;
}

/* So many handshakes, and nothing asked. */
static int shake(uint16_t port, uint64_t count)
{
    struct prove_session s;
    uint8_t m3[M3] = {0};
    for (uint64_t i = 0; i < count; i++) {
        int fd = open_session(port, &s, m3);
        if (fd < 0 || write(fd, m3, sizeof m3) != (ssize_t)sizeof m3)
            return 1;
        (void)close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t out[M3 + REQUEST + TAG] = {0};
    struct prove_session s;
    if (argc < 2)
        return 2;
    uint16_t port = (uint16_t)strtol(argv[1], NULL, 10);
    if (argc == 4 && strcmp(argv[2], "shake") == 0)
        return shake(port, strtoull(argv[3], NULL, 10));
    int fd = open_session(port, &s, out);
    if (fd < 0)
        return 1;
    uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 1;
    double begin = argc == 3 ? now() : 0;
    for (uint64_t number = 0; number < count; number++)
        if (!ask(&s, fd, number, out, number == 0 ? M3 : 0) || !answered(&s, fd, number))
            return 1;
    if (argc == 3)
        (void)printf("%.9f\n", now() - begin);
    return 0;
}
