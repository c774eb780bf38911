#include "rexecd/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, HOST_MAX = 255, SERVICE_MAX = 63 };

static const char unix_prefix[] = "unix:";

static int say(char error[static LISTEN_ERROR_MAX], const char *specification, const char *what)
{
    (void)snprintf(error, LISTEN_ERROR_MAX, "%.100s: %s", specification, what);
    return -1;
}

/* Takes one socket in; the caller's when it fails. */
static int add(struct listen_sockets *all, int fd, const char *name)
{
    if (all->count >= LISTEN_MAX) {
        errno = ENOSPC;
        return -1;
    }
    struct listen_socket *s = &all->sockets[all->count++];
    s->fd = fd;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    return 0;
}

/* ---- unix ------------------------------------------------------------------------------- */

/* Whether a socket's path is left over from a server that is no more, and was removed. */
static bool remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool stale =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale && unlink(address->sun_path) == 0;
}

static int open_unix(struct listen_sockets *all, const char *specification,
                     char error[static LISTEN_ERROR_MAX])
{
    const char *path = specification + strlen(unix_prefix);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path)
        return say(error, specification, "a socket's path has 1 to 107 bytes");
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return say(error, specification, strerror(errno));
    /* Who may talk is decided by keys, not by the file's mode. */
    mode_t before = umask(0111);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    int why = errno;
    if (bound < 0 && why == EADDRINUSE && remove_stale(&address)) {
        bound = bind(fd, (struct sockaddr *)&address, sizeof address);
        why = errno;
    }
    (void)umask(before);
    if (bound == 0 && listen(fd, BACKLOG) == 0 && add(all, fd, specification) == 0) {
        struct stat st;
        if (lstat(path, &st) == 0) {
            all->sockets[all->count - 1].device = st.st_dev;
            all->sockets[all->count - 1].inode = st.st_ino;
        }
        return 0;
    }
    if (bound == 0)
        why = errno;
    (void)close(fd);
    return say(error, specification,
               why == EADDRINUSE ? "another server, or a file, is there already" : strerror(why));
}

/* ---- internet --------------------------------------------------------------------------- */

/* HOST:SERVICE, [HOST]:SERVICE. */
static bool split(const char *specification, char host[static HOST_MAX + 1],
                  char service[static SERVICE_MAX + 1])
{
    const char *begin = specification, *end, *colon;
    if (begin[0] == '[') {
        begin++;
        end = strchr(begin, ']');
        if (end == NULL || end[1] != ':')
            return false;
        colon = end + 1;
    } else {
        colon = strrchr(begin, ':');
        end = colon;
        /* An IPv6 address without brackets would lose its end. */
        if (colon == NULL || memchr(begin, ':', (size_t)(colon - begin)) != NULL)
            return false;
    }
    size_t host_len = (size_t)(end - begin), service_len = strlen(colon + 1);
    if (host_len > HOST_MAX || service_len > SERVICE_MAX || service_len == 0)
        return false;
    memcpy(host, begin, host_len);
    host[host_len] = '\0';
    memcpy(service, colon + 1, service_len + 1);
    /* Some libraries take a number that is too large modulo 65536. */
    if (strspn(service, "0123456789") == service_len)
        return service_len <= 5 && strtoul(service, NULL, 10) <= UINT16_MAX;
    return true;
}

static void print_name(int fd, char name[static LISTEN_NAME_MAX + 1])
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char host[INET6_ADDRSTRLEN + 17] = "?", port[8] = "?";
    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                          NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(name, LISTEN_NAME_MAX + 1, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
}

/* One address. The caller says what is wrong from errno. */
static int open_address(struct listen_sockets *all, const struct addrinfo *a)
{
    const int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0)
        return -1;
    int wrong = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Each family has its own socket, whatever the system's default. */
    if (wrong == 0 && a->ai_family == AF_INET6)
        wrong = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (wrong == 0)
        wrong = bind(fd, a->ai_addr, a->ai_addrlen);
    if (wrong == 0)
        wrong = listen(fd, BACKLOG);
    if (wrong == 0) {
        char name[LISTEN_NAME_MAX + 1];
        print_name(fd, name);
        wrong = add(all, fd, name);
    }
    if (wrong != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return wrong;
}

/* With `*:0` the second family should get the port that the first was given. The port is in the
 * same place for both. */
static void same_port(const struct listen_socket *first, struct addrinfo *a)
{
    struct sockaddr_in6 got = {0};
    struct sockaddr_in6 *to = (void *)a->ai_addr;
    socklen_t len = sizeof got;
    _Static_assert(offsetof(struct sockaddr_in6, sin6_port) ==
                       offsetof(struct sockaddr_in, sin_port),
                   "one place for the port");
    if (getsockname(first->fd, (struct sockaddr *)&got, &len) == 0 && to->sin6_port == 0)
        to->sin6_port = got.sin6_port;
}

static int open_internet(struct listen_sockets *all, const char *specification,
                         char error[static LISTEN_ERROR_MAX])
{
    char host[HOST_MAX + 1], service[SERVICE_MAX + 1];
    if (!split(specification, host, service))
        return say(error, specification, "give ADDRESS:PORT, [IPV6]:PORT, *:PORT or unix:PATH");
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int wrong = getaddrinfo(any ? NULL : host, service, &hints, &found);
    if (wrong != 0)
        return say(error, specification,
                   wrong == EAI_SYSTEM ? strerror(errno) : gai_strerror(wrong));
    size_t before = all->count;
    int failed = 0;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (all->count > before)
            same_port(&all->sockets[before], a);
        if (open_address(all, a) == 0)
            continue;
        /* A machine without IPv6 (or IPv4) serves `*` on the one it has. */
        if (any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
            continue;
        failed = errno;
        break;
    }
    freeaddrinfo(found);
    if (failed == 0 && all->count > before)
        return 0;
    if (failed == EADDRINUSE)
        return say(error, specification,
                   "another server is there already: stop it, or choose another port");
    if (failed == EACCES)
        return say(error, specification, "ports below 1024 need root: choose another");
    if (failed == EADDRNOTAVAIL)
        return say(error, specification,
                   "this machine has no such address: ip address lists those it has");
    return say(error, specification, failed != 0 ? strerror(failed) : "no address to listen at");
}

int listen_open(struct listen_sockets *all, const char *specification,
                char error[static LISTEN_ERROR_MAX])
{
    if (strncmp(specification, unix_prefix, strlen(unix_prefix)) == 0)
        return open_unix(all, specification, error);
    return open_internet(all, specification, error);
}

/* Another server may have been given the path meanwhile. */
static bool is_ours(const struct listen_socket *s)
{
    struct stat st;
    return strncmp(s->name, unix_prefix, strlen(unix_prefix)) == 0 &&
           lstat(s->name + strlen(unix_prefix), &st) == 0 && st.st_dev == s->device &&
           st.st_ino == s->inode;
}

void listen_close(struct listen_sockets *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct listen_socket *s = &all->sockets[i];
        if (is_ours(s))
            (void)unlink(s->name + strlen(unix_prefix));
        (void)close(s->fd);
    }
    all->count = 0;
}
