/*
 * From what the user calls a host to addresses to connect to.
 */
#ifndef REXEC_ADDRESS_H
#define REXEC_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

#include "rexec/failure.h"

enum {
    RX_ADDRESSES_MAX = 16, /* more of one name are not tried */
    RX_ADDRESS_TEXT = 192, /* longest text of one, with the final NUL */
};

struct rx_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

struct rx_addresses {
    size_t count;
    struct rx_address list[RX_ADDRESSES_MAX];
};

/*
 * Looks up `host`: a name, an IPv4 or IPv6 address (in brackets or not), or `unix:PATH`; port is a
 * number or a service's name; family is AF_UNSPEC, AF_INET or AF_INET6. Blocks as long as the name
 * service does. False, with *failure.
 */
bool rx_address_find(const char *host, const char *port, int family, struct rx_addresses *found,
                     struct rx_failure *failure);

/*
 * Binds a socket of this family to an address of this machine, or to one of an interface; NULL:
 * whatever the system chooses. 0, or why not (an errno; EADDRNOTAVAIL: there is none of this
 * family).
 */
int rx_address_bind(int fd, int family, const char *address, const char *interface);

/* "192.0.2.1 port 7512", or "unix:PATH". */
void rx_address_text(const struct rx_address *address, char text[static RX_ADDRESS_TEXT]);

#endif
