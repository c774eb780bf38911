/*
 * Proven clients of a rexecd on loopback:
 *   bench_sessions idle PORT KEY NAME USER COUNT
 *       opens COUNT sessions, prints "ready SECONDS", and holds them until stdin ends
 *   bench_sessions shake PORT KEY NAME USER SECONDS J
 *       handshakes up to WELCOME, J at a time: prints how many and the seconds
 *   bench_sessions commands PORT KEY NAME USER M N
 *       one connection: M commands `cat` run and wait, then `true` N times, one after another:
 *       prints the seconds of each
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/link.h"

enum { AT_ONCE_MAX = 64, EVENTS = 256 };

static void watch(int epoll, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    link_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

/* ---- idle sessions ---------------------------------------------------------------------- */

static void idle(const struct link_target *target, size_t count)
{
    struct bench_link *links = calloc(count, sizeof *links);
    static struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    size_t lost = 0;
    link_must(links != NULL && epoll >= 0, "epoll_create1");
    double begin = link_now();
    for (size_t i = 0; i < count; i++) {
        link_open(&links[i], target);
        link_await_welcome(&links[i]);
        watch(epoll, links[i].fd, &links[i]);
    }
    (void)printf("ready %.6f\n", link_now() - begin);
    (void)fflush(stdout);
    watch(epoll, STDIN_FILENO, NULL);
    for (bool held = true; held;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct bench_link *link = events[i].data.ptr;
            if (link == NULL)
                held = false;
            else if (!link_turn(link)) /* else: a PING, answered */
                lost++;
        }
    }
    for (size_t i = 0; i < count; i++)
        link_close(&links[i]);
    free(links);
    link_must(lost == 0, "sessions were lost");
}

/* ---- handshakes ------------------------------------------------------------------------- */

static void shake(const struct link_target *target, double seconds, size_t at_once)
{
    static struct bench_link links[AT_ONCE_MAX];
    static struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned long done = 0;
    link_must(epoll >= 0 && at_once > 0 && at_once <= AT_ONCE_MAX, "epoll_create1");
    double begin = link_now();
    for (size_t i = 0; i < at_once; i++) {
        link_open(&links[i], target);
        watch(epoll, links[i].fd, &links[i]);
    }
    double took;
    while ((took = link_now() - begin) < seconds) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct bench_link *link = events[i].data.ptr;
            link_must(link_turn(link), "closed before WELCOME");
            if (!link->welcomed)
                continue;
            done++;
            link_close(link);
            link_open(link, target);
            watch(epoll, link->fd, link);
        }
    }
    (void)printf("%lu %.9f\n", done, took);
    for (size_t i = 0; i < at_once; i++)
        link_close(&links[i]);
}

/* ---- commands on one connection ------------------------------------------------------------ */

struct shop {
    struct rx_command *wanted;
    size_t started;
    bool over;
};

static void on_event(struct bench_link *link, const struct rx_client_event *event)
{
    struct shop *shop = link->user;
    if (event->what == RX_ON_STARTED) {
        shop->started++;
    } else if (event->what == RX_ON_DATA) {
        (void)link_drain(event->command, event->which);
    } else if (event->what == RX_ON_EXIT && event->command == shop->wanted) {
        link_must(event->header->exit.code == 0, "true");
        shop->over = true;
    }
}

static void commands(const struct link_target *target, size_t waiting, size_t n)
{
    struct shop shop = {0};
    struct bench_link link = {.event = on_event, .user = &shop};
    struct rx_command **others = calloc(waiting + 1, sizeof *others);
    link_must(others != NULL, "calloc");
    link_open(&link, target);
    link_await_welcome(&link);
    for (size_t i = 0; i < waiting; i++) {
        others[i] = link_exec(&link, "exec cat", true, NULL);
        link_flush(&link);
        while (shop.started <= i)
            link_must(link_turn(&link), "closed");
    }
    for (size_t i = 0; i < n; i++) {
        double begin = link_now();
        shop.over = false;
        shop.wanted = link_exec(&link, "true", false, NULL);
        link_flush(&link);
        while (!shop.over)
            link_must(link_turn(&link), "closed");
        (void)printf("%.9f\n", link_now() - begin);
        rx_command_free(shop.wanted);
    }
    for (size_t i = 0; i < waiting; i++)
        rx_command_free(others[i]);
    link_close(&link);
    free(others);
}

static size_t number(const char *text)
{
    return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    struct link_target target;
    struct rlimit files;
    link_must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    files.rlim_cur = files.rlim_max;
    link_must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
    if (argc >= 7)
        link_target_read(&target, argv[2], argv[3], argv[4], argv[5]);
    if (argc == 7 && strcmp(argv[1], "idle") == 0) {
        target.spread = true;
        idle(&target, number(argv[6]));
    } else if (argc == 8 && strcmp(argv[1], "shake") == 0)
        shake(&target, strtod(argv[6], NULL), number(argv[7]));
    else if (argc == 8 && strcmp(argv[1], "commands") == 0)
        commands(&target, number(argv[6]), number(argv[7]));
    else
        return 2;
    return 0;
}
