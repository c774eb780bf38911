#include "rexec/driver.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "proto/header.h"
#include "rexec/driver_internal.h"
#include "rexec/explain.h"

int64_t driver_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct timeval driver_milliseconds(int64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static uint64_t clock_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* ---- the end ---------------------------------------------------------------------------- */

void driver_disconnect(struct rx_driver *d)
{
    if (event_initialized(&d->read_event))
        (void)event_del(&d->read_event);
    if (event_initialized(&d->write_event))
        (void)event_del(&d->write_event);
    (void)event_del(&d->deadline);
    (void)event_del(&d->alive);
    (void)event_del(&d->retry);
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = -1;
    d->connected = false;
    d->deaf = false;
    driver_drop_held(d);
}

void driver_end(struct rx_driver *d)
{
    if (d->over)
        return;
    if (!d->born) {
        event_active(&d->deadline, EV_TIMEOUT, 1); /* said from the event loop */
        return;
    }
    d->over = true;
    driver_disconnect(d);
    d->config.ended(d->config.user, &d->failure);
}

/* ---- output ----------------------------------------------------------------------------- */

/* Sends n bytes; returns how many were taken. */
static size_t push(struct rx_driver *d, const uint8_t *bytes, size_t n)
{
    ssize_t sent;
    do {
        sent = send(d->fd, bytes, n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        if (d->config.tap != NULL)
            d->config.tap->moved(d->config.tap->user, true, (size_t)sent);
        return (size_t)sent;
    }
    if (errno == EAGAIN)
        return 0;
    d->deaf = true;
    return n;
}

void driver_drop_held(struct rx_driver *d)
{
    free(d->held);
    d->held = NULL;
    d->held_at = d->held_len = 0;
}

/* Keeps what the socket did not take until it does. */
static void hold(struct rx_driver *d, const uint8_t *bytes, size_t n)
{
    d->held = malloc(n);
    if (d->held == NULL) {
        /* Sealed records cannot be made again: the session cannot go on. */
        d->deaf = true;
        rx_failure_set(&d->failure, RX_TROUBLE_SYSTEM, "out of memory");
        rx_failure_todo(&d->failure, "close other programs");
        (void)shutdown(d->fd, SHUT_RDWR); /* which ends it at the next read */
        return;
    }
    memcpy(d->held, bytes, n);
    d->held_len = n;
    (void)event_add(&d->write_event, NULL);
}

/* False if some of what was held is still there. */
static bool push_held(struct rx_driver *d)
{
    if (d->held == NULL)
        return true;
    d->held_at += push(d, d->held + d->held_at, d->held_len - d->held_at);
    if (d->held_at < d->held_len)
        return false;
    driver_drop_held(d);
    (void)event_del(&d->write_event);
    return true;
}

void rx_driver_flush(struct rx_driver *d)
{
    if (d->taking || !d->connected || d->fd < 0 || !push_held(d))
        return;
    while (d->held == NULL && rx_connection_pending(d->connection)) {
        size_t n = rx_connection_output(d->connection, d->scratch, sizeof d->scratch);
        if (n == 0)
            return;
        size_t sent = d->deaf ? n : push(d, d->scratch, n);
        if (sent < n)
            hold(d, d->scratch + sent, n - sent);
    }
}

/* ---- input ------------------------------------------------------------------------------ */

/* Takes all events out of what was put in; false if the session is over. */
static bool take_events(struct rx_driver *d)
{
    struct rx_client_event event;
    enum rx_next next;
    d->taking = true;
    rx_connection_clock(d->connection, driver_now_ms());
    while ((next = rx_connection_next(d->connection, clock_now(), &event)) == RX_NEXT_EVENT) {
        if (event.what == RX_ON_READY)
            d->proven = true;
        if (event.what == RX_ON_WELCOME)
            driver_welcomed(d);
        if (event.what == RX_ON_DATA || event.what == RX_ON_ROOM || event.what == RX_ON_EXIT)
            d->progress = true;
        if (event.what == RX_ON_ERROR)
            rx_failure_notice(&d->failure, RX_TROUBLE_PROTOCOL, &event.header->notice);
        d->config.event(d->config.user, &event);
    }
    d->taking = false;
    if (d->closing) {
        rx_driver_close(d);
        return false;
    }
    rx_driver_flush(d);
    if (next == RX_NEXT_MORE)
        return true;
    driver_lost(d, rx_connection_error(d->connection));
    return false;
}

void driver_readable(evutil_socket_t fd, short what, void *user)
{
    struct rx_driver *d = user;
    (void)what;
    uint8_t *room = NULL;
    size_t wanted = rx_connection_room(d->connection, &room);
    struct iovec to[2] = {
        {.iov_base = room, .iov_len = wanted},
        {.iov_base = d->scratch, .iov_len = sizeof d->scratch},
    };
    ssize_t n = wanted > 0 ? readv(fd, to, 2) : read(fd, d->scratch, sizeof d->scratch);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        driver_lost(d, rx_connection_eof(d->connection));
        return;
    }
    d->heard = true;
    size_t got = (size_t)n;
    if (d->config.tap != NULL)
        d->config.tap->moved(d->config.tap->user, false, got);
    size_t behind = 0;
    if (wanted > 0)
        rx_connection_filled(d->connection, got < wanted ? got : wanted);
    if (got > wanted)
        behind = got - wanted;
    rx_connection_feed(d->connection, d->scratch, behind);
    (void)take_events(d);
}

void driver_writable(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    rx_driver_flush(user);
}

/* ---- life ------------------------------------------------------------------------------- */

struct rx_connection *driver_make_connection(struct rx_driver *d, struct rx_failure *failure)
{
    struct rx_connection_config config = {
        .keys = &d->keys,
        .suites = d->config.suites,
        .window = d->config.window,
        .trace = d->config.trace,
        .trace_context = d->config.user,
        .tap = d->config.tap,
        .keylog = d->config.keylog,
        .keylog_context = d->config.user,
        .haste = d->config.haste,
    };
    struct rx_connection *c = NULL;
    enum rx_error error = RX_OK;
    if (d->config.psk != NULL)
        error = rx_grant_keys_derive(d->config.psk, d->config.server_name, &d->keys);
    if (error == RX_OK) {
        uint8_t random[RX_CONNECTION_RANDOM];
        randombytes_buf(random, sizeof random);
        c = rx_connection_new(&config, random, &error);
        sodium_memzero(random, sizeof random);
    }
    if (c != NULL)
        rx_connection_clock(c, driver_now_ms());
    if (c == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s", rx_error_text(error));
        rx_failure_todo(failure, error == RX_E_BAD_NAME
                                     ? "name the server with -o HostKeyAlias=NAME"
                                     : "check this machine's memory and libsodium");
    }
    return c;
}

struct rx_driver *rx_driver_new(const struct rx_driver_config *config, struct rx_failure *failure)
{
    struct rx_driver *d = malloc(sizeof *d);
    if (d == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "out of memory");
        return NULL;
    }
    memset(d, 0, offsetof(struct rx_driver, scratch)); /* leaves its pages alone until needed */
    d->config = *config;
    d->fd = -1;
    driver_resume_init(d);
    if (d->config.connect_ms == 0)
        d->config.connect_ms = RX_CONNECT_SECONDS * 1000;
    d->handshake_time = driver_milliseconds(
        d->config.handshake_ms != 0 ? d->config.handshake_ms : RX_HANDSHAKE_SECONDS * 1000);
    const char *port = d->config.port != NULL ? d->config.port : "7512";
    if (!rx_address_find(d->config.host, port, d->config.family, &d->addresses, failure)) {
        free(d);
        return NULL;
    }
    /* While that goes over the network, there is time to derive keys. */
    int begun = driver_start(d);
    if (sodium_init() >= 0) {
        rx_header_seed(randombytes_random());
        d->connection = driver_make_connection(d, failure);
    } else {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s", rx_error_text(RX_E_CRYPTO_FAILED));
    }
    if (d->connection == NULL) {
        if (d->fd >= 0)
            (void)close(d->fd);
        sodium_memzero(&d->keys, sizeof d->keys);
        free(d);
        return NULL;
    }
    (void)rx_server_name_fold(config->server_name, strlen(config->server_name), d->server_name);
    d->config.host = d->config.port = d->config.server_name = NULL;
    d->config.psk = NULL;
    driver_go_on(d, begun);
    d->born = true;
    return d;
}

struct rx_connection *rx_driver_connection(struct rx_driver *d)
{
    return d->connection;
}

const char *rx_driver_address(const struct rx_driver *d)
{
    return d->address_text;
}

void rx_driver_close(struct rx_driver *d)
{
    if (d->over)
        return;
    if (d->taking) {
        d->closing = true; /* behind the events that have come */
        return;
    }
    d->over = true;
    if (d->connected) {
        rx_connection_close(d->connection);
        rx_driver_flush(d);
    }
    driver_disconnect(d);
}

void rx_driver_free(struct rx_driver *d)
{
    if (d == NULL)
        return;
    d->over = true;
    driver_disconnect(d);
    rx_connection_free(d->connection);
    sodium_memzero(&d->keys, sizeof d->keys);
    free(d);
}
