#include "rexec/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char unix_prefix[] = "unix:";

static bool find_unix(const char *path, struct rx_addresses *found, struct rx_failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path) {
        rx_failure_set(failure, RX_TROUBLE_NAME, "the path of a socket has 1 to %zu bytes",
                       sizeof address.sun_path - 1);
        rx_failure_todo(failure, length == 0 ? "give it behind unix:" : "use a shorter path");
        return false;
    }
    memcpy(address.sun_path, path, length + 1);
    found->count = 1;
    found->list[0].len = sizeof address;
    memcpy(&found->list[0].storage, &address, sizeof address);
    return true;
}

/* A port from 1 to 65535, or 0 if it is not a number. */
static unsigned port_number(const char *port)
{
    unsigned value = 0;
    for (const char *p = port; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || value > 65535)
            return 0;
        value = value * 10 + (unsigned)(*p - '0');
    }
    return value <= 65535 ? value : 0;
}

/* An address that is written out needs no name service, and none of its files. */
static bool find_numeric(const char *host, unsigned port, int family, struct rx_addresses *found)
{
    struct rx_address *a = &found->list[0];
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (family != AF_INET6 && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&a->storage, &v4, sizeof v4);
        a->len = sizeof v4;
    } else if (family != AF_INET && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(&a->storage, &v6, sizeof v6);
        a->len = sizeof v6;
    } else {
        return false;
    }
    found->count = 1;
    return true;
}

/* HOST:PORT, as other programs have it. */
static const char *port_behind(const char *host)
{
    const char *colon = strchr(host, ':');
    return colon != NULL && colon > host && port_number(colon + 1) != 0 ? colon + 1 : NULL;
}

static bool is_numeric(const char *host)
{
    struct rx_addresses nowhere;
    return find_numeric(host, 1, AF_UNSPEC, &nowhere);
}

static void look_up_failed(int error, const char *host, const char *port,
                           struct rx_failure *failure)
{
    const char *behind = port_behind(host);
    if (error == EAI_SERVICE) {
        rx_failure_set(failure, RX_TROUBLE_NAME, "there is no port or service %s", port);
        rx_failure_todo(failure, "give a number from 1 to 65535 with -p");
    } else if (is_numeric(host)) {
        bool six = strchr(host, ':') != NULL;
        rx_failure_set(failure, RX_TROUBLE_NAME, "%s is no IPv%c address", host, six ? '4' : '6');
        rx_failure_todo(failure, "leave -%c out", six ? '4' : '6');
    } else if (behind != NULL) {
        rx_failure_set(failure, RX_TROUBLE_NAME, "host %s not found", host);
        rx_failure_todo(failure, "give the port by itself: -p %s", behind);
    } else if (error == EAI_AGAIN) {
        rx_failure_set(failure, RX_TROUBLE_NAME, "cannot look up %s now: %s", host,
                       gai_strerror(error));
        rx_failure_todo(failure, "check your network, or try again");
    } else {
        rx_failure_set(failure, RX_TROUBLE_NAME, "host %s not found: %s", host,
                       error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
        rx_failure_todo(failure, "check the name, or set hostname in the configuration");
    }
}

static bool find_name(const char *host, const char *port, int family, struct rx_addresses *found,
                      struct rx_failure *failure)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, port, &hints, &list);
    if (error != 0) {
        look_up_failed(error, host, port, failure);
        return false;
    }
    for (struct addrinfo *a = list; a != NULL && found->count < RX_ADDRESSES_MAX; a = a->ai_next) {
        struct rx_address *to = &found->list[found->count];
        if (a->ai_addrlen > sizeof to->storage)
            continue;
        memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
        found->count++;
    }
    freeaddrinfo(list);
    return true;
}

bool rx_address_find(const char *host, const char *port, int family, struct rx_addresses *found,
                     struct rx_failure *failure)
{
    found->count = 0;
    if (strncmp(host, unix_prefix, sizeof unix_prefix - 1) == 0)
        return find_unix(host + sizeof unix_prefix - 1, found, failure);
    char bare[INET6_ADDRSTRLEN + 1];
    size_t length = strlen(host);
    if (host[0] == '[' && host[length - 1] == ']' && length - 2 < sizeof bare) {
        memcpy(bare, host + 1, length - 2);
        bare[length - 2] = '\0';
        host = bare;
    }
    unsigned number = port_number(port);
    if (number == 0 && port[strspn(port, "0123456789")] == '\0') {
        look_up_failed(EAI_SERVICE, host, port, failure); /* the library would take 16 bits of it */
        return false;
    }
    if (number != 0 && find_numeric(host, number, family, found))
        return true;
    return find_name(host, port, family, found, failure);
}

static int bind_to(int fd, const struct sockaddr *address, socklen_t len)
{
    return bind(fd, address, len) == 0 ? 0 : errno;
}

/* The first address of this family that the interface has and other machines can answer. */
static int bind_interface(int fd, int family, const char *interface)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return errno;
    int error = EADDRNOTAVAIL;
    for (const struct ifaddrs *a = list; a != NULL && error != 0; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != family ||
            strcmp(a->ifa_name, interface) != 0)
            continue;
        const struct sockaddr_in6 *six = (const void *)a->ifa_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
            continue;
        error =
            bind_to(fd, a->ifa_addr, family == AF_INET6 ? sizeof *six : sizeof(struct sockaddr_in));
    }
    freeifaddrs(list);
    return error;
}

int rx_address_bind(int fd, int family, const char *address, const char *interface)
{
    if (family == AF_UNIX || (address == NULL && interface == NULL))
        return 0;
    if (address == NULL)
        return bind_interface(fd, family, interface);
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(address, NULL, &hints, &list) != 0)
        return EADDRNOTAVAIL;
    int error = bind_to(fd, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return error;
}

void rx_address_text(const struct rx_address *address, char text[static RX_ADDRESS_TEXT])
{
    if (address->storage.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)&address->storage;
        (void)snprintf(text, RX_ADDRESS_TEXT, "%s%s", unix_prefix, un->sun_path);
        return;
    }
    char host[64];
    char port[8];
    if (getnameinfo((const struct sockaddr *)&address->storage, address->len, host, sizeof host,
                    port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(text, RX_ADDRESS_TEXT, "an unknown address");
    } else {
        (void)snprintf(text, RX_ADDRESS_TEXT, "%s port %s", host, port);
    }
}
