/*
 * The server of bench_prove in two processes: one at the network, which seals and opens, and one
 * that has the keys and runs the command, once for each client that has proven itself. No parsing,
 * no other user, no limits, one client after another.
 *
 *   bench_prover WORD...     runs until stdin ends; says its port
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/local.h"
#include "tests/bench/prove.h"

/* Key pairs are made ahead, as rexecd makes them. */
static void fresh_pair(uint8_t secret[static KEY], uint8_t public[static KEY])
{
    randombytes_buf(secret, KEY);
    (void)crypto_scalarmult_base(public, secret);
}

static bool is_proven(const uint8_t m1[static M1], const uint8_t m2[static M2],
                      const uint8_t m3[static M3])
{
    uint8_t proof[KEY];
    prove_mac(prove_client, m1, M1, m2, M2, proof);
    return sodium_memcmp(proof, m3 + M3_PROOF, sizeof proof) == 0;
}

static _Noreturn void keep_keys(char **words)
{
    uint8_t secret[KEY], public[KEY], m1[M1], m2[M2], m3[M3], request[REQUEST];
    const uint8_t answer[ANSWER] = {0};
    struct prove_session s;
    fresh_pair(secret, public);
    while (read_all(STDIN_FILENO, m1, sizeof m1)) {
        randombytes_buf(m2, sizeof m2);
        memcpy(m2 + M2_PUBLIC, public, sizeof public);
        prove_mac(prove_server, m1, sizeof m1, m2, M2_PROOF, m2 + M2_PROOF);
        write_all(STDOUT_FILENO, m2, sizeof m2);
        must(read_all(STDIN_FILENO, m3, sizeof m3) && is_proven(m1, m2, m3) &&
                 prove_keys(&s, secret, m1 + M1_PUBLIC, m1, m2),
             "M3");
        write_all(STDOUT_FILENO, &s, sizeof s);
        must(read_all(STDIN_FILENO, request, sizeof request), "request");
        struct job job = start(words);
        finish(&job);
        write_all(STDOUT_FILENO, answer, sizeof answer);
        fresh_pair(secret, public);
    }
    _exit(0);
}

static void serve_one(int client, int to, int from)
{
    uint8_t m1[M1], m2[M2], m3[M3], sealed[ANSWER + TAG], plain[ANSWER];
    struct prove_session s;
    if (!read_all(client, m1, sizeof m1))
        return;
    write_all(to, m1, sizeof m1);
    must(read_all(from, m2, sizeof m2), "M2");
    write_all(client, m2, sizeof m2);
    must(read_all(client, m3, sizeof m3), "M3");
    write_all(to, m3, sizeof m3);
    must(read_all(from, &s, sizeof s) && read_all(client, sealed, REQUEST + TAG) &&
             prove_open(&s, 0, sealed, REQUEST, plain),
         "request");
    write_all(to, plain, REQUEST);
    must(read_all(from, plain, ANSWER), "answer");
    prove_seal(&s, 1, plain, ANSWER, sealed);
    write_all(client, sealed, sizeof sealed);
}

int main(int argc, char **argv)
{
    int to, from;
    uint16_t port = 0;
    if (argc < 2 || sodium_init() < 0)
        return 2;
    begin_between(keep_keys, argv + 1, &to, &from);
    struct pollfd ends[2] = {{.fd = listen_somewhere(&port), .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
    (void)printf("%u\n", (unsigned)port);
    (void)fflush(stdout);
    while (poll(ends, 2, -1) > 0 && ends[1].revents == 0) {
        int client = accept_from(ends[0].fd);
        serve_one(client, to, from);
        (void)close(client);
    }
    return 0;
}
