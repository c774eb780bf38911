/*
 * Clients that prove nothing, against a rexecd on loopback:
 *   bench_flood bad PORT RATE SECONDS
 *       so many handshakes a second, each with a wrong response
 *   bench_flood half PORT COUNT RATE SECONDS
 *       keeps COUNT connections open that never finish M1; those that the server ends are made
 *       again, at most RATE a second
 *
 * RATE 0: as fast as 64 at a time go. The result is one line: how many were begun, refused (the
 * server ended them, as it must), wrong (it did something else), how many were open at the end and
 * at most, and the seconds that it took. They come from many addresses of 127.0.0.0/8, as a flood
 * would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { M1_SIZE = 88, M2_SIZE = 104, M3_SIZE = 40, FDS_MAX = 32768, UNPACED = 64, PACED = 2048 };

struct flood {
    int epoll;
    in_port_t port;
    bool half;
    double rate, begin;
    uint64_t begun, refused, wrong;
    unsigned open, most_open, limit;
    uint8_t got[FDS_MAX]; /* bytes of M2 that came on each descriptor */
    uint8_t suite[FDS_MAX];
};

static struct flood flood;

static void must(bool well, const char *what)
{
    if (well)
        return;
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void end(struct flood *f, int fd)
{
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no TIME_WAIT */
    (void)close(fd);
    f->open--;
}

static void send_m1(const struct flood *f, int fd)
{
    uint8_t m1[M1_SIZE] = {'r', 'e', 'x', 'c', 1, 1, 1, 3};
    must(getrandom(m1 + 8, sizeof m1 - 8, 0) == (ssize_t)sizeof m1 - 8, "getrandom");
    size_t n = f->half ? M1_SIZE / 2 : M1_SIZE;
    (void)send(fd, m1, n, MSG_NOSIGNAL);
}

static void begin(struct flood *f)
{
    const int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(f->begun % 250));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = f->port;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && fd < FDS_MAX, "socket");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    must(bind(fd, (struct sockaddr *)&from, sizeof from) == 0, "bind");
    f->got[fd] = 0;
    f->suite[fd] = 0;
    f->begun++;
    f->open++;
    if (f->open > f->most_open)
        f->most_open = f->open;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        f->wrong++;
        end(f, fd);
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    must(epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void send_wrong_m3(const struct flood *f, int fd)
{
    uint8_t m3[M3_SIZE] = {'r', 'e', 'x', 'c', 3, 1, f->suite[fd], 0};
    must(getrandom(m3 + 8, sizeof m3 - 8, 0) == (ssize_t)sizeof m3 - 8, "getrandom");
    (void)send(fd, m3, sizeof m3, MSG_NOSIGNAL);
}

static void on_readable(struct flood *f, int fd)
{
    uint8_t bytes[256];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* a half-open one is never answered; the other must have seen M2 */
        if (f->half || f->got[fd] == M2_SIZE)
            f->refused++;
        else
            f->wrong++;
        end(f, fd);
        return;
    }
    if (f->half || (size_t)f->got[fd] + (size_t)n > M2_SIZE) {
        f->wrong++;
        end(f, fd);
        return;
    }
    if (f->got[fd] <= 6 && f->got[fd] + n > 6)
        f->suite[fd] = bytes[6 - f->got[fd]];
    f->got[fd] = (uint8_t)(f->got[fd] + n);
    if (f->got[fd] == M2_SIZE)
        send_wrong_m3(f, fd);
}

static void on_event(struct flood *f, const struct epoll_event *event)
{
    int fd = event->data.fd;
    if ((event->events & EPOLLOUT) == 0) {
        on_readable(f, fd);
        return;
    }
    if ((event->events & (EPOLLERR | EPOLLHUP)) != 0) {
        f->wrong++;
        end(f, fd);
        return;
    }
    struct epoll_event next = {.events = EPOLLIN, .data.fd = fd};
    must(epoll_ctl(f->epoll, EPOLL_CTL_MOD, fd, &next) == 0, "epoll_ctl");
    send_m1(f, fd);
}

/* How many may have been begun by now. */
static uint64_t allowed(const struct flood *f, double t)
{
    return f->rate > 0 ? (uint64_t)((t - f->begin) * f->rate) + 1 : UINT64_MAX;
}

static void run(struct flood *f, double seconds)
{
    static struct epoll_event events[512];
    double t;
    f->begin = now();
    while ((t = now()) - f->begin < seconds) {
        unsigned burst = 0;
        while (f->open < f->limit && f->begun < allowed(f, t) && burst++ < 64)
            begin(f);
        int n = epoll_wait(f->epoll, events, 512, f->rate > 0 ? 1 : 100);
        for (int i = 0; i < n; i++)
            on_event(f, &events[i]);
    }
    (void)printf("%llu %llu %llu %u %u %.6f\n", (unsigned long long)f->begun,
                 (unsigned long long)f->refused, (unsigned long long)f->wrong, f->open,
                 f->most_open, now() - f->begin);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    files.rlim_cur = files.rlim_max < FDS_MAX ? files.rlim_max : FDS_MAX;
    must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
    flood.epoll = epoll_create1(EPOLL_CLOEXEC);
    must(flood.epoll >= 0, "epoll_create1");
    flood.port = argc > 2 ? htons((uint16_t)strtoul(argv[2], NULL, 10)) : 0;
    if (argc == 5 && strcmp(argv[1], "bad") == 0) {
        flood.rate = strtod(argv[3], NULL);
        flood.limit = flood.rate > 0 ? PACED : UNPACED;
    } else if (argc == 6 && strcmp(argv[1], "half") == 0) {
        flood.half = true;
        flood.limit = (unsigned)strtoul(argv[3], NULL, 10);
        flood.rate = strtod(argv[4], NULL);
        must(flood.limit + 64 < files.rlim_cur, "RLIMIT_NOFILE");
    } else {
        (void)fprintf(stderr,
                      "usage: bench_flood bad PORT RATE SECONDS | half PORT COUNT RATE SECONDS\n");
        return 2;
    }
    run(&flood, strtod(argv[argc - 1], NULL));
    return 0;
}
