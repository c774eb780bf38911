#include "rexec/lesson_handshake_net.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 20 }; /* for bytes that were sent already */

static bool failed(struct net *net, const char *what, int error)
{
    if (net->error == 0) {
        net->error = error;
        net->what = what;
    }
    return false;
}

bool net_open(struct net *net)
{
    *net = (struct net){.listener = -1};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    net->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (net->listener < 0)
        return failed(net, "socket", errno);
    if (bind(net->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(net->listener, 8) != 0 ||
        getsockname(net->listener, (struct sockaddr *)&at, &length) != 0) {
        (void)failed(net, "listen", errno);
        net_close(net);
        return false;
    }
    net->port = ntohs(at.sin_port);
    return true;
}

void net_close(struct net *net)
{
    if (net->listener >= 0)
        (void)close(net->listener);
    net->listener = -1;
}

static void be_patient(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* Somebody else on this machine may have found the port, and been first. */
static bool are_ends_of_one(const struct net_pair *pair)
{
    struct sockaddr_in ours = {0}, theirs = {0};
    socklen_t length = sizeof ours;
    if (getsockname(pair->client, (struct sockaddr *)&ours, &length) != 0)
        return false;
    length = sizeof theirs;
    return getpeername(pair->server, (struct sockaddr *)&theirs, &length) == 0 &&
           ours.sin_port == theirs.sin_port && ours.sin_addr.s_addr == theirs.sin_addr.s_addr;
}

bool net_connect(struct net *net, struct net_pair *pair)
{
    *pair = (struct net_pair){-1, -1};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(net->port)};
    if (net->error != 0)
        return false;
    pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Nobody has to accept for this to succeed: the backlog does. */
    if (pair->client < 0 || connect(pair->client, (struct sockaddr *)&to, sizeof to) != 0)
        (void)failed(net, "connect", errno);
    while (net->error == 0) {
        pair->server = accept4(net->listener, NULL, NULL, SOCK_CLOEXEC);
        if (pair->server < 0) {
            (void)failed(net, "accept", errno);
        } else if (are_ends_of_one(pair)) {
            break;
        } else {
            (void)close(pair->server);
            pair->server = -1;
        }
    }
    if (net->error != 0) {
        net_disconnect(pair);
        return false;
    }
    be_patient(pair->client);
    be_patient(pair->server);
    return true;
}

void net_disconnect(struct net_pair *pair)
{
    if (pair->client >= 0)
        (void)close(pair->client);
    if (pair->server >= 0)
        (void)close(pair->server);
    *pair = (struct net_pair){-1, -1};
}

bool net_send(struct net *net, int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (net->error == 0 && n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return failed(net, "send", errno);
        p += sent;
        n -= (size_t)sent;
    }
    return net->error == 0;
}

bool net_receive(struct net *net, int fd, void *bytes, size_t n)
{
    char *p = bytes;
    while (net->error == 0 && n > 0) {
        ssize_t got = recv(fd, p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return failed(net, "recv", got < 0 ? errno : ECONNRESET);
        p += got;
        n -= (size_t)got;
    }
    return net->error == 0;
}

bool net_closed(struct net *net, int fd)
{
    char byte;
    ssize_t got;
    do {
        got = net->error == 0 ? recv(fd, &byte, 1, 0) : -1;
    } while (got < 0 && errno == EINTR && net->error == 0);
    /* What was sent and not read makes a close into a reset. */
    return got == 0 || (got < 0 && errno == ECONNRESET);
}
