/* Listeners: who connects, and what happens when there are no descriptors left to accept with. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "rexecd/net_internal.h"

enum {
    ACCEPTS_A_TURN = 64,
    PAUSE_MS = 200, /* without descriptors: accept() would only fail again */
};

struct listener {
    struct listener *next;
    struct net *net;
    struct event *readable;
    struct event *retry;
    int fd;
    bool paused;
};

static void pause_accepting(struct listener *l)
{
    const struct timeval later = {.tv_usec = PAUSE_MS * 1000};
    l->paused = true;
    (void)event_del(l->readable);
    (void)event_add(l->retry, &later);
}

static void go_on(struct listener *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    (void)event_del(l->retry);
    (void)event_add(l->readable, NULL);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    go_on(context);
}

/* Who it is, as the policy names them. */
static void describe_peer(const struct sockaddr_storage *from, struct rx_source *peer,
                          uint16_t *port)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *peer = (struct rx_source){.family = RX_FAMILY_UNIX};
    *port = 0;
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;
        peer->family = RX_FAMILY_IPV4;
        peer->bits = 32;
        memcpy(peer->address, &in->sin_addr, 4);
        *port = rx_get16((const uint8_t *)&in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)from;
        *port = rx_get16((const uint8_t *)&in->sin6_port);
        peer->family = RX_FAMILY_IPV6;
        peer->bits = 128;
        memcpy(peer->address, &in->sin6_addr, 16);
        if (memcmp(peer->address, mapped, sizeof mapped) == 0) {
            peer->family = RX_FAMILY_IPV4;
            peer->bits = 32;
            memcpy(peer->address, (const uint8_t *)&in->sin6_addr + 12, 4);
            memset(peer->address + 4, 0, 12);
        }
    }
}

/* Errors of one connection that died while it waited; the next may be well. */
static bool passes(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM ||
           error == ENETDOWN || error == ENETUNREACH || error == EHOSTUNREACH;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct listener *l = context;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int client = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (passes(errno))
                continue;
            if (errno != EAGAIN)
                pause_accepting(l);
            return;
        }
        if (l->net->fds_used >= l->net->fds_for_clients && !connection_evict(l->net)) {
            (void)close(client);
            continue;
        }
        struct rx_source peer;
        uint16_t port;
        describe_peer(&from, &peer, &port);
        if (peer.family != RX_FAMILY_UNIX) {
            int on = 1;
            (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        connection_accept(l->net, client, &peer, port);
    }
}

static void listener_free(struct listener *l)
{
    if (l->readable != NULL)
        event_free(l->readable);
    if (l->retry != NULL)
        event_free(l->retry);
    (void)close(l->fd);
    free(l);
}

int listener_add(struct net *net, int fd)
{
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        (void)close(fd);
        return -1;
    }
    l->net = net;
    l->fd = fd;
    l->readable = event_new(net->base, fd, EV_READ | EV_PERSIST, on_readable, l);
    l->retry = event_new(net->base, -1, 0, on_retry, l);
    if (l->readable == NULL || l->retry == NULL) {
        listener_free(l);
        return -1;
    }
    l->next = net->listeners;
    net->listeners = l;
    return 0;
}

int listeners_start(struct net *net)
{
    for (struct listener *l = net->listeners; l != NULL; l = l->next)
        if (event_add(l->readable, NULL) < 0)
            return -1;
    return 0;
}

void listeners_resume(struct net *net)
{
    for (struct listener *l = net->listeners; l != NULL; l = l->next)
        go_on(l);
}

void listeners_free(struct net *net)
{
    struct listener *l;
    while ((l = net->listeners) != NULL) {
        net->listeners = l->next;
        listener_free(l);
    }
}
