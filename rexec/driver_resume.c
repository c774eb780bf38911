/* Lost connections: whether to connect again, when, and how a silent server is noticed. */

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "rexec/driver_internal.h"
#include "rexec/explain.h"

enum {
    EARLY_TRIES = 3,      /* with a server that closes before it has said who it is */
    FIRST_DELAY_MS = 50,  /* before the second try; the first comes at once */
    LAST_DELAY_MS = 1000, /* between tries, at most: shorter than a server waits behind FIN */
    LIVED_MS = 1000,      /* a connection that lasted so long was a good one */
    ALIVE_MS = 5000,      /* while commands run */
    ALIVE_COUNT = 2,
};

/* ---- whether ---------------------------------------------------------------------------- */

/* What may befall any connection, and says nothing of the one to come. */
static bool passes(enum rx_error error)
{
    return error == RX_OK || error == RX_E_CLOSED_EARLY || error == RX_E_BAD_LENGTH ||
           error == RX_E_BAD_SEAL || error == RX_E_IDLE_TIMEOUT;
}

static bool may_try_again(const struct rx_driver *d, enum rx_error error)
{
    /* What the server found wrong may be the way's fault as well. */
    if (error == RX_E_PEER_ERROR && d->failure.code != RX_OK)
        error = (enum rx_error)d->failure.code;
    /* While a lost connection is sought, whoever else answers there in the handshake (a captive
     * portal, a server that is being set up) may be gone at the next try. */
    bool seeking = d->lost_ms >= 0 && d->proven && !rx_connection_ready(d->connection);
    /* Others may have taken the lost one's place, or it is still in it: until it is noticed. */
    seeking = seeking || (d->lost_ms >= 0 && error == RX_E_SESSION_LIMIT);
    if (!d->born || !(passes(error) || seeking))
        return false;
    /* A server that is being restarted, or is full for a moment. Nothing was asked for yet. */
    if (!d->proven)
        return d->connected && d->tries < EARLY_TRIES && error == RX_E_CLOSED_EARLY;
    bool in_time = d->lost_ms < 0 || driver_now_ms() - d->lost_ms < d->config.resume_ms;
    return d->config.resume_ms > 0 && in_time && rx_connection_busy(d->connection);
}

static void explain(struct rx_driver *d, enum rx_error error)
{
    struct rx_explain about = {
        .address = d->address_text,
        .server_name = d->server_name,
        .key_file = d->config.key_file,
        .connection = d->connection,
    };
    if (d->connected && d->failure.trouble == RX_TROUBLE_NONE)
        rx_explain_session(&about, error, &d->failure);
}

/* It was lost before, and that is what matters. */
static void explain_loss(struct rx_driver *d)
{
    const struct rx_failure last = d->failure;
    rx_failure_set(&d->failure, RX_TROUBLE_LOST,
                   "the connection was lost and cannot be had again: %s", last.what);
    rx_failure_todo(&d->failure,
                    "whether the command has ended is not known: look what it has done");
    d->failure.code = last.code;
}

/* ---- when ------------------------------------------------------------------------------- */

static int64_t delay_ms(const struct rx_driver *d)
{
    int64_t ms = FIRST_DELAY_MS;
    if (d->tries == 0)
        return d->proven ? 0 : FIRST_DELAY_MS;
    for (unsigned i = 1; i < d->tries && ms < LAST_DELAY_MS; i++)
        ms *= 2;
    if (ms > LAST_DELAY_MS)
        ms = LAST_DELAY_MS;
    /* A server that many have lost is not to be met by all of them at once. */
    return ms - ms / 4 + (int64_t)randombytes_uniform((uint32_t)(ms / 2 + 1));
}

void driver_lost(struct rx_driver *d, enum rx_error error)
{
    explain(d, error);
    int64_t now = driver_now_ms();
    bool good =
        d->connected && d->welcomed_ms >= 0 && (now - d->welcomed_ms >= LIVED_MS || d->progress);
    if (good) {
        d->lost_ms = -1;
        d->tries = 0;
    }
    if (!may_try_again(d, error)) {
        if (d->lost_ms >= 0 && d->proven)
            explain_loss(d);
        driver_end(d);
        return;
    }
    driver_disconnect(d);
    if (d->lost_ms < 0)
        d->lost_ms = now;
    else if (d->config.waiting != NULL)
        d->config.waiting(d->config.user, now - d->lost_ms, &d->failure);
    const struct timeval after = driver_milliseconds(delay_ms(d));
    (void)event_add(&d->retry, &after);
}

/* A new connection takes over what the old one had. */
static bool replace_connection(struct rx_driver *d)
{
    struct rx_failure failure;
    struct rx_connection *fresh = driver_make_connection(d, &failure);
    if (fresh == NULL) {
        d->failure = failure;
        return false;
    }
    enum rx_error error = rx_connection_move(fresh, d->connection);
    rx_connection_free(d->connection);
    d->connection = fresh;
    if (error == RX_OK)
        return true;
    rx_failure_set(&d->failure, RX_TROUBLE_SYSTEM, "out of memory");
    rx_failure_todo(&d->failure, "close other programs");
    return false;
}

static void on_retry(evutil_socket_t fd, short what, void *user)
{
    struct rx_driver *d = user;
    (void)fd;
    (void)what;
    if (d->lost_ms >= 0) {
        d->tries++;
        d->at = 0;
        d->welcomed_ms = -1;
        if (!replace_connection(d)) {
            driver_end(d);
            return;
        }
    }
    driver_go_on(d, driver_start(d));
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
    struct rx_driver *d = user;
    (void)fd;
    (void)what;
    if (!d->connected) {
        driver_end(d); /* there never was an address that could be tried */
        return;
    }
    rx_failure_set(&d->failure, RX_TROUBLE_TIMEOUT, "no answer from %s in the handshake",
                   d->address_text);
    rx_failure_todo(&d->failure, "check that rexecd listens on that port and is not overloaded");
    driver_lost(d, RX_E_IDLE_TIMEOUT);
}

/* ---- a server that says nothing ----------------------------------------------------------- */

static int64_t alive_ms(const struct rx_driver *d)
{
    return d->config.alive_ms != 0 ? d->config.alive_ms : ALIVE_MS;
}

static void arm_alive(struct rx_driver *d)
{
    const struct timeval after = driver_milliseconds(alive_ms(d));
    if (d->config.alive_ms != RX_ALIVE_NEVER)
        (void)event_add(&d->alive, &after);
}

static void on_alive(evutil_socket_t fd, short what, void *user)
{
    static const uint8_t token[8] = "alive";
    struct rx_driver *d = user;
    unsigned most = d->config.alive_count != 0 ? d->config.alive_count : ALIVE_COUNT;
    (void)fd;
    (void)what;
    bool wanted = d->config.alive_ms != 0 || rx_connection_busy(d->connection);
    if (d->heard || !wanted) {
        d->unanswered = 0;
    } else if (d->unanswered >= most) {
        rx_failure_set(&d->failure, RX_TROUBLE_LOST,
                       "the server at %s has not answered for %lld seconds", d->address_text,
                       (long long)(alive_ms(d) * (most + 1) / 1000));
        rx_failure_todo(&d->failure, "check the network and the server; ServerAliveInterval and "
                                     "ServerAliveCountMax say how long to wait");
        driver_lost(d, RX_E_IDLE_TIMEOUT);
        return;
    } else {
        d->unanswered++;
        (void)rx_connection_ping(d->connection, token); /* too many unanswered: counted, too */
        rx_driver_flush(d);
    }
    d->heard = false;
    arm_alive(d);
}

/* Of a name's addresses, the one that led to the server comes first from now on: others may be
 * slow to fail, or other servers, that know nothing of our commands. */
static void prefer_address(struct rx_driver *d)
{
    const struct rx_address here = d->addresses.list[d->at];
    memmove(&d->addresses.list[1], &d->addresses.list[0], d->at * sizeof here);
    d->addresses.list[0] = here;
    d->at = 0;
}

void driver_welcomed(struct rx_driver *d)
{
    (void)event_del(&d->deadline);
    prefer_address(d);
    d->welcomed_ms = driver_now_ms();
    d->progress = false;
    d->unanswered = 0;
    arm_alive(d);
}

void driver_resume_init(struct rx_driver *d)
{
    d->lost_ms = d->welcomed_ms = -1;
    d->begun_ms = driver_now_ms();
    (void)event_assign(&d->deadline, d->config.base, -1, 0, on_deadline, d);
    (void)event_assign(&d->retry, d->config.base, -1, 0, on_retry, d);
    (void)event_assign(&d->alive, d->config.base, -1, 0, on_alive, d);
}
