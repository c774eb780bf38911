/* The way to the server: its addresses, one after the other. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "rexec/driver_internal.h"

enum { FULL_MS = 20 };

static void on_connected(struct rx_driver *d)
{
    d->connected = true;
    if (d->config.tap != NULL)
        d->config.tap->opened(d->config.tap->user, d->address_text);
    d->heard = false;
    d->failure.trouble = RX_TROUBLE_NONE; /* what other addresses said is of no account now */
    (void)event_assign(&d->write_event, d->config.base, d->fd, EV_WRITE | EV_PERSIST,
                       driver_writable, d);
    (void)event_assign(&d->read_event, d->config.base, d->fd, EV_READ | EV_PERSIST, driver_readable,
                       d);
    (void)event_add(&d->read_event, NULL);
    (void)event_add(&d->deadline, &d->handshake_time);
    rx_driver_flush(d);
}

/* This address is no good: the next one, or the end. */
static void connect_failed(struct rx_driver *d, int error)
{
    rx_failure_connect(&d->failure, d->address_text, error);
    d->at++;
    driver_go_on(d, driver_start(d));
}

static void on_connect(evutil_socket_t fd, short what, void *user)
{
    struct rx_driver *d = user;
    int error = ETIMEDOUT;
    socklen_t len = sizeof error;
    if ((what & EV_TIMEOUT) == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0) {
        on_connected(d);
        return;
    }
    (void)close(d->fd);
    d->fd = -1;
    connect_failed(d, error);
}

/* Begins to connect to the address at d->at: 0, EINPROGRESS, or why it is not possible. */
static int start_connecting(struct rx_driver *d)
{
    const struct rx_address *address = &d->addresses.list[d->at];
    rx_address_text(address, d->address_text);
    d->fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0)
        return errno;
    static const int on = 1;
    if (address->storage.ss_family != AF_UNIX) {
        /* Without them the connection works all the same. */
        (void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(d->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    int error = rx_address_bind(d->fd, address->storage.ss_family, d->config.bind_address,
                                d->config.bind_interface);
    if (error == 0 && connect(d->fd, (const struct sockaddr *)&address->storage, address->len) == 0)
        return 0;
    error = error == 0 ? errno : error;
    if (error == EINPROGRESS)
        return error;
    (void)close(d->fd);
    d->fd = -1;
    return error;
}

static void tell_why(struct rx_driver *d, int error)
{
    const char *from = d->config.bind_address;
    from = from != NULL ? from : d->config.bind_interface;
    if (from == NULL || error != EADDRNOTAVAIL) {
        rx_failure_connect(&d->failure, d->address_text, error);
        return;
    }
    rx_failure_set(&d->failure, RX_TROUBLE_ROUTE, "cannot connect to %s from %s: %s",
                   d->address_text, from, strerror(error));
    rx_failure_todo(&d->failure, "check that this machine has that address (-b, -B)");
}

int driver_start(struct rx_driver *d)
{
    int error = EINVAL;
    for (; d->at < d->addresses.count; d->at++) {
        error = start_connecting(d);
        if (error == 0 || error == EINPROGRESS || error == EAGAIN)
            break;
        tell_why(d, error);
    }
    return error;
}

void driver_go_on(struct rx_driver *d, int begun)
{
    struct timeval time = driver_milliseconds(d->config.connect_ms);
    switch (begun) {
    case 0:
        on_connected(d);
        break;
    case EINPROGRESS:
        (void)event_assign(&d->write_event, d->config.base, d->fd, EV_WRITE, on_connect, d);
        (void)event_add(&d->write_event, &time);
        break;
    case EAGAIN: /* a local server that has not taken those before us yet */
        if (driver_now_ms() - d->begun_ms < (int64_t)d->config.connect_ms) {
            time = driver_milliseconds(FULL_MS);
            (void)event_add(&d->retry, &time);
            break;
        }
        tell_why(d, begun);
        driver_lost(d, RX_OK);
        break;
    default:
        driver_lost(d, RX_OK);
        break;
    }
}
