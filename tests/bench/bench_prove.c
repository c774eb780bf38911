/*
 * A small C program that proves itself, has the server prove itself, and asks for one command, all
 * of it sealed: bench_prove PORT. The server is bench_prover, on loopback. Nothing is parsed, read
 * from files or looked up: no client that does rexec's handshake costs less from its start.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint8_t secret[KEY], m1[M1], m2[M2], proof[KEY], last[M3 + REQUEST + TAG] = {0};
    uint8_t sealed[ANSWER + TAG], answer[ANSWER];
    const uint8_t request[REQUEST] = {0};
    struct prove_session s;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2)
        return 2;
    at.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    /* First: the server takes it while the key pair is made. */
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0 || sodium_init() < 0)
        return 1;
    randombytes_buf(m1, sizeof m1);
    randombytes_buf(secret, sizeof secret);
    (void)crypto_scalarmult_base(m1 + M1_PUBLIC, secret);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        write(fd, m1, sizeof m1) != (ssize_t)sizeof m1 || !take(fd, m2, sizeof m2))
        return 1;
    prove_mac(prove_server, m1, sizeof m1, m2, M2_PROOF, proof);
    if (sodium_memcmp(proof, m2 + M2_PROOF, sizeof proof) != 0 ||
        !prove_keys(&s, secret, m2 + M2_PUBLIC, m1, m2))
        return 1;
    prove_mac(prove_client, m1, sizeof m1, m2, sizeof m2, last + M3_PROOF);
    prove_seal(&s, 0, request, sizeof request, last + M3);
    return write(fd, last, sizeof last) == (ssize_t)sizeof last &&
                   take(fd, sealed, sizeof sealed) && prove_open(&s, 1, sealed, ANSWER, answer)
               ? 0
               : 1;
}
