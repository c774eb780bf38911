/*
 * What no remote command can be faster than, measured as the others are:
 *   bench_limits spawn N J WORD...
 *       runs a command N times, J at once, its output taken: seconds
 *   bench_limits chain N WORD...
 *       the same one after another, for a client over loopback TCP: a process that passes bytes on,
 *       and another that runs the command at a byte and answers with one: seconds
 *   bench_limits serve WORD...
 *       those two processes for clients that connect (bench_ask), one after another, until stdin
 *       ends; says its port
 *   bench_limits aead SUITE [LIBRARY]
 *       stdin, sealed records over loopback TCP, opened, stdout; LIBRARY: sealed by that in place
 *       of libsodium
 *   bench_limits byte N [client]
 *       a byte to `cat` over loopback TCP and pipes and back, N times: seconds of each, sorted;
 *       client: from pipes of a process there
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/aead_load.h"
#include "tests/bench/local.h"

enum { JOBS_MAX = 64, CHUNK = 64 * 1024, TAG = 16, HEAD = 4, WARM = 50 };

/* ---- local commands --------------------------------------------------------------------- */

static void spawn_many(long n, long at_once, char **words)
{
    struct job jobs[JOBS_MAX] = {0};
    struct pollfd ends[JOBS_MAX];
    long begun = 0, done = 0;
    double begin = now();
    while (done < n) {
        for (long i = 0; i < at_once && begun < n; i++) {
            if (jobs[i].pid == 0) {
                jobs[i] = start(words);
                begun++;
            }
        }
        for (long i = 0; i < at_once; i++)
            ends[i] = (struct pollfd){.fd = jobs[i].pid != 0 ? jobs[i].out : -1, .events = POLLIN};
        must(poll(ends, (nfds_t)at_once, -1) > 0, "poll");
        for (long i = 0; i < at_once; i++) {
            if (jobs[i].pid != 0 && ends[i].revents != 0) {
                finish(&jobs[i]);
                done++;
            }
        }
    }
    (void)printf("%.9f\n", now() - begin);
}

/* ---- TCP on loopback -------------------------------------------------------------------- */

static void tcp_pair(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint16_t port = 0;
    int on = 1, listener = listen_somewhere(&port);
    at.sin_port = htons(port);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(ends[0], (struct sockaddr *)&at, sizeof at) == 0, "connect");
    (void)setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ends[1] = accept_from(listener);
    (void)close(listener);
}

/* ---- sealed records, and nothing else ----------------------------------------------------- */

static bool aes;
static crypto_aead_aes256gcm_state state;
static uint8_t key[32], nonce[12];
static const uint8_t no_length[HEAD];
static const struct rx_aead *other; /* than libsodium; NULL: that */
static void *seals, *opens;

static void seal(uint8_t *out, const uint8_t *in, size_t n)
{
    sodium_increment(nonce, sizeof nonce);
    if (other != NULL)
        must(other->seal(other, seals, nonce, no_length, in, n, out), "seal");
    else if (aes)
        (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, in, n, NULL, 0, NULL, nonce,
                                                    (const void *)&state);
    else
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, n, NULL, 0, NULL, nonce,
                                                        key);
}

static bool unseal(uint8_t *out, uint8_t *in, size_t n)
{
    sodium_increment(nonce, sizeof nonce);
    if (other != NULL) /* in place: it has no other way */
        return other->open(other, opens, nonce, no_length, in, n - TAG);
    if (aes)
        return crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, in, n, NULL, 0, nonce,
                                                     (const void *)&state) == 0;
    return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, n, NULL, 0, nonce, key) ==
           0;
}

static void send_sealed(int from, int to)
{
    static uint8_t plain[CHUNK], sealed[HEAD + CHUNK + TAG];
    ssize_t n;
    while ((n = read(from, plain, sizeof plain)) > 0) {
        uint32_t length = htonl((uint32_t)n + TAG);
        memcpy(sealed, &length, HEAD);
        seal(sealed + HEAD, plain, (size_t)n);
        write_all(to, sealed, HEAD + (size_t)n + TAG);
    }
}

static void receive_sealed(int from, int to)
{
    static uint8_t plain[CHUNK], sealed[CHUNK + TAG];
    uint32_t length;
    while (read_all(from, &length, sizeof length)) {
        size_t n = ntohl(length);
        must(n <= sizeof sealed && read_all(from, sealed, n) && unseal(plain, sealed, n), "record");
        write_all(to, other != NULL ? sealed : plain, n - TAG);
    }
}

static void load_other(const char *name)
{
    const struct rx_aead_library *l = rx_aead_libraries;
    while (l->name != NULL && strcmp(l->name, name) != 0)
        l++;
    must(l->name != NULL, name);
    void *library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    must(library != NULL && (other = l->take(dlsym, library)) != NULL, l->file);
    const enum rx_aead_cipher cipher = aes ? RX_AEAD_AES256GCM : RX_AEAD_CHACHA20POLY1305;
    seals = other->begin(other, cipher, true, key);
    opens = other->begin(other, cipher, false, key);
    must(seals != NULL && opens != NULL, l->file);
}

/* A server's process and a client's, between the pipes that this was given. */
static void aead_loop(const char *suite, const char *library)
{
    int tcp[2];
    aes = strcmp(suite, "aes256gcm") == 0;
    must(sodium_init() >= 0 && (!aes || crypto_aead_aes256gcm_is_available()), suite);
    (void)crypto_aead_aes256gcm_beforenm(&state, key);
    if (library != NULL)
        load_other(library);
    tcp_pair(tcp);
    if (fork() == 0) {
        (void)close(tcp[1]);
        (void)close(STDOUT_FILENO);
        send_sealed(STDIN_FILENO, tcp[0]);
        _exit(0);
    }
    (void)close(tcp[0]);
    (void)close(STDIN_FILENO);
    receive_sealed(tcp[1], STDOUT_FILENO);
}

/* ---- one byte --------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Passes single bytes on between a socket and a pair of pipes until one of them ends. */
static _Noreturn void relay(int tcp, int from, int to)
{
    uint8_t byte;
    struct pollfd ends[2] = {{.fd = tcp, .events = POLLIN}, {.fd = from, .events = POLLIN}};
    for (;;) {
        (void)poll(ends, 2, -1);
        if (ends[0].revents != 0) {
            if (read(tcp, &byte, 1) != 1)
                _exit(0);
            write_all(to, &byte, 1);
        }
        if (ends[1].revents != 0) {
            if (read(from, &byte, 1) != 1)
                _exit(0);
            write_all(tcp, &byte, 1);
        }
    }
}

static _Noreturn void cat(char **words)
{
    (void)words;
    (void)execlp("cat", "cat", (char *)NULL);
    _exit(1);
}

/* Runs the command for each byte. */
static _Noreturn void run_at_bytes(char **words)
{
    uint8_t byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        struct job job = start(words);
        finish(&job);
        write_all(STDOUT_FILENO, &byte, 1);
    }
    _exit(0);
}

/* A server in two processes: one passes bytes on, the other does what they are for. */
static void serve(const int tcp[2], void (*what)(char **), char **words)
{
    int to, from;
    begin_between(what, words, &to, &from);
    if (fork() == 0) {
        (void)close(tcp[0]);
        relay(tcp[1], from, to);
    }
    (void)close(to);
    (void)close(from);
    (void)close(tcp[1]);
}

/* Between pipes of a client process, or straight into the socket. */
static void one_byte(long n, bool client)
{
    int tcp[2], in[2], out[2];
    double *times = calloc((size_t)n, sizeof *times);
    uint8_t byte = 'x';
    must(times != NULL, "calloc");
    tcp_pair(tcp);
    serve(tcp, cat, NULL);
    int to = tcp[0], from = tcp[0];
    if (client) {
        must(pipe(in) == 0 && pipe(out) == 0, "pipe");
        if (fork() == 0) {
            (void)close(in[1]);
            (void)close(out[0]);
            relay(tcp[0], in[0], out[1]);
        }
        to = in[1];
        from = out[0];
    }
    for (long i = -WARM; i < n; i++) {
        double begin = now();
        write_all(to, &byte, 1);
        must(read_all(from, &byte, 1), "read");
        if (i >= 0)
            times[i] = now() - begin;
    }
    qsort(times, (size_t)n, sizeof *times, by_value);
    for (long i = 0; i < n; i++)
        (void)printf("%.9f\n", times[i]);
    free(times);
    exit(0); /* the others end with their pipes */
}

static void chain(long n, char **words)
{
    int tcp[2];
    uint8_t byte = 'x';
    tcp_pair(tcp);
    serve(tcp, run_at_bytes, words);
    double begin = now();
    for (long i = 0; i < n; i++) {
        write_all(tcp[0], &byte, 1);
        must(read_all(tcp[0], &byte, 1), "read");
    }
    (void)printf("%.9f\n", now() - begin);
}

/* Each client has one byte to say, and gets one when the command has ended. */
static void serve_clients(char **words)
{
    int to, from;
    uint16_t port = 0;
    begin_between(run_at_bytes, words, &to, &from);
    struct pollfd ends[2] = {{.fd = listen_somewhere(&port), .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
    (void)printf("%u\n", (unsigned)port);
    (void)fflush(stdout);
    while (poll(ends, 2, -1) > 0 && ends[1].revents == 0) {
        uint8_t byte;
        int client = accept_from(ends[0].fd);
        if (read_all(client, &byte, 1)) {
            write_all(to, &byte, 1);
            must(read_all(from, &byte, 1), "read");
            write_all(client, &byte, 1);
        }
        (void)close(client);
    }
}

static long number(const char *text)
{
    return strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "spawn") == 0 && number(argv[3]) <= JOBS_MAX)
        spawn_many(number(argv[2]), number(argv[3]), argv + 4);
    else if (argc > 3 && strcmp(argv[1], "chain") == 0)
        chain(number(argv[2]), argv + 3);
    else if (argc > 2 && strcmp(argv[1], "serve") == 0)
        serve_clients(argv + 2);
    else if ((argc == 3 || argc == 4) && strcmp(argv[1], "aead") == 0)
        aead_loop(argv[2], argv[3]);
    else if ((argc == 3 || argc == 4) && strcmp(argv[1], "byte") == 0)
        one_byte(number(argv[2]), argc == 4);
    else
        return 2;
    return 0;
}
