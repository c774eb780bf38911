#include "tests/bench/link.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "auth/key.h"
#include "proto/words.h"

enum { IN_SIZE = 1 << 20, OUT_SIZE = 1 << 20 };

_Static_assert((int)OUT_SIZE >= (int)RX_CONNECTION_OUTPUT_MIN, "room for any output");

/* One turn at a time: all connections share them. */
static uint8_t in[IN_SIZE], out[OUT_SIZE];

void link_fail(const char *what)
{
    perror(what);
    exit(1);
}

double link_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void link_target_read(struct link_target *target, const char *port, const char *key_file,
                      const char *server_name, const char *user)
{
    char text[RX_KEY_FILE_MAX];
    struct rx_file_error error;
    struct rx_key key;
    link_must(sodium_init() >= 0, "sodium_init");
    FILE *file = fopen(key_file, "re");
    link_must(file != NULL, key_file);
    size_t n = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    link_must(rx_key_parse(text, n, &key, &error) == RX_OK &&
                  rx_grant_keys_derive(key.psk, server_name, &target->keys) == RX_OK,
              key_file);
    rx_key_wipe(&key);
    target->port = (uint16_t)strtoul(port, NULL, 10);
    target->user = user;
    target->spread = false;
}

/* Another address of loopback each time. */
static void bind_elsewhere(int fd)
{
    static uint32_t turn;
    const int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + turn++ % 64);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    link_must(bind(fd, (struct sockaddr *)&from, sizeof from) == 0, "bind");
}

void link_open(struct bench_link *link, const struct link_target *target)
{
    const int on = 1;
    const struct rx_connection_config config = {.keys = &target->keys};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(target->port)};
    uint8_t random[RX_CONNECTION_RANDOM];
    enum rx_error error;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link->target = target;
    link->welcomed = false;
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    link_must(link->fd >= 0, "socket");
    if (target->spread)
        bind_elsewhere(link->fd);
    link_must(connect(link->fd, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    randombytes_buf(random, sizeof random);
    link->connection = rx_connection_new(&config, random, &error);
    link_must(link->connection != NULL, "rx_connection_new");
    link_flush(link);
}

void link_flush(struct bench_link *link)
{
    size_t n;
    while ((n = rx_connection_output(link->connection, out, sizeof out)) > 0) {
        const uint8_t *at = out;
        while (n > 0) {
            ssize_t done = send(link->fd, at, n, MSG_NOSIGNAL);
            link_must(done > 0, "send");
            at += done;
            n -= (size_t)done;
        }
    }
}

static void clock_reading(struct rx_connection *c, uint64_t *wall)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    rx_connection_clock(c, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
    (void)clock_gettime(CLOCK_REALTIME, &t);
    *wall = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool link_turn(struct bench_link *link)
{
    struct rx_client_event event;
    enum rx_next next;
    uint64_t wall;
    ssize_t n = read(link->fd, in, sizeof in);
    if (n <= 0) {
        (void)close(link->fd);
        link->fd = -1;
        return false;
    }
    clock_reading(link->connection, &wall);
    rx_connection_feed(link->connection, in, (size_t)n);
    while ((next = rx_connection_next(link->connection, wall, &event)) == RX_NEXT_EVENT) {
        if (event.what == RX_ON_WELCOME)
            link->welcomed = true;
        else if (event.what == RX_ON_REFUSED)
            link_fail(event.header->notice.text);
        if (link->event != NULL)
            link->event(link, &event);
    }
    if (next == RX_NEXT_ERROR)
        link_fail(rx_error_text(rx_connection_error(link->connection)));
    link_flush(link);
    return true;
}

void link_await_welcome(struct bench_link *link)
{
    while (!link->welcomed)
        link_must(link_turn(link), "closed before WELCOME");
}

void link_close(struct bench_link *link)
{
    if (link->fd >= 0) {
        rx_connection_close(link->connection);
        link_flush(link);
        (void)close(link->fd);
    }
    rx_connection_free(link->connection);
}

struct rx_command *link_exec(struct bench_link *link, const char *text, bool input, void *user)
{
    uint8_t words[4096];
    size_t n = 0;
    struct rx_header header;
    struct rx_command *command;
    rx_header_init(RX_EXEC, &header);
    randombytes_buf(header.exec.id, sizeof header.exec.id);
    header.exec.run = RX_RUN_SHELL;
    link_must(strlen(link->target->user) < sizeof header.exec.user, "the user's name");
    memcpy(header.exec.user, link->target->user, strlen(link->target->user) + 1);
    if (!input)
        header.exec.input = RX_INPUT_NONE;
    link_must(rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, text, strlen(text)) == RX_OK,
              "rx_words_add");
    link_must(rx_connection_exec(link->connection, &header.exec, words, n, user, &command) == RX_OK,
              "rx_connection_exec");
    return command;
}

void link_write(struct rx_command *command, const void *bytes, size_t n)
{
    uint8_t *room;
    link_must(rx_command_room(command, n, &room) >= n, "rx_command_room");
    memcpy(room, bytes, n);
    rx_command_written(command, n);
}

size_t link_drain(struct rx_command *command, enum rx_which which)
{
    const uint8_t *bytes;
    size_t n, all = 0;
    while ((n = rx_command_peek(command, which, &bytes)) > 0) {
        rx_command_consume(command, which, n);
        all += n;
    }
    return all;
}
