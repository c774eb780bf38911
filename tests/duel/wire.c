#include "tests/duel/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "auth/grants.h"

enum { INPUT_SIZE = 64 * 1024, QUEUE_ENOUGH = 1024 * 1024 };

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void wire_open(struct wire *w, int fd)
{
    *w = (struct wire){.fd = fd, .deadline = now_ms() + (int64_t)WIRE_SECONDS * 1000};
    w->input = malloc(INPUT_SIZE);
    w->output = malloc(RX_OUTPUT_MIN);
    int flags = fcntl(fd, F_GETFL);
    if (sodium_init() < 0 || w->input == NULL || w->output == NULL || flags < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        abort();
}

void wire_close(struct wire *w)
{
    if (w->end.engine != NULL)
        end_close(&w->end);
    free(w->input);
    free(w->output);
    (void)close(w->fd);
}

/* ---- bytes ------------------------------------------------------------------------------ */

/* Waits for any of the events: those that are there, 0 when time is up. */
static int wait_for(const struct wire *w, int events)
{
    struct pollfd p = {.fd = w->fd, .events = (short)events};
    for (;;) {
        int64_t left = w->deadline - now_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n > 0)
            return p.revents;
        if (n == 0 || errno != EINTR)
            return 0;
    }
}

static bool transient(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static bool read_exactly(const struct wire *w, uint8_t *bytes, size_t n)
{
    while (n > 0) {
        if (wait_for(w, POLLIN) == 0)
            return false;
        ssize_t got = read(w->fd, bytes, n);
        if (got == 0 || (got < 0 && !transient()))
            return false;
        if (got > 0) {
            bytes += got;
            n -= (size_t)got;
        }
    }
    return true;
}

static bool write_all(const struct wire *w, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        if (wait_for(w, POLLOUT) == 0)
            return false;
        ssize_t put = send(w->fd, bytes, n, MSG_NOSIGNAL);
        if (put < 0 && !transient())
            return false;
        if (put > 0) {
            bytes += put;
            n -= (size_t)put;
        }
    }
    return true;
}

/* ---- the handshake ---------------------------------------------------------------------- */

static const char *open_end(struct wire *w, enum rx_role role, struct rx_session_keys *keys)
{
    enum rx_error error = end_try_open(&w->end, role, keys, NULL);
    w->suite = keys->suite;
    rx_session_keys_wipe(keys);
    return error == RX_OK ? NULL : rx_error_text(error);
}

const char *wire_client_handshake(struct wire *w, const uint8_t psk[static RX_KEY_SIZE],
                                  const char *server_name, unsigned suites)
{
    struct rx_offer offer = {RX_VERSION, RX_VERSION, (uint8_t)(suites & rx_suites_here())};
    struct rx_grant_keys grant;
    struct rx_key_pair pair;
    struct rx_client_handshake h;
    struct rx_session_keys keys;
    uint8_t random[2][RX_KEY_SIZE];
    uint8_t m1[RX_M1_SIZE];
    uint8_t m2[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    randombytes_buf(random, sizeof random);
    enum rx_error error = rx_grant_keys_derive(psk, server_name, &grant);
    if (error == RX_OK)
        error = rx_key_pair_make(random[0], &pair);
    if (error == RX_OK)
        error = rx_client_handshake_begin(&h, &offer, &grant, random[1], &pair, m1);
    if (error != RX_OK)
        return rx_error_text(error);
    if (!write_all(w, m1, sizeof m1) || !read_exactly(w, m2, sizeof m2))
        return "the server gave no M2";
    error = rx_client_handshake_finish(&h, m2, m3, &keys, NULL);
    if (error != RX_OK)
        return rx_error_text(error);
    if (!write_all(w, m3, sizeof m3))
        return "the server did not take M3";
    return open_end(w, RX_CLIENT, &keys);
}

/* The keys to go on with, as any server finds them; *found: they are the grant's. */
static enum rx_error look_up(const struct rx_grant *grant, const uint8_t kid[static RX_KID_SIZE],
                             struct rx_grant_keys *keys, bool *genuine)
{
    uint8_t decoy_secret[RX_KEY_SIZE];
    const struct rx_source peer = {.family = RX_FAMILY_UNIX};
    const struct rx_grant *found = NULL;
    struct rx_grants *grants = rx_grants_new();
    if (grants == NULL)
        return RX_E_NO_MEMORY;
    randombytes_buf(decoy_secret, sizeof decoy_secret);
    enum rx_error error = rx_grants_add(grants, grant);
    if (error == RX_OK)
        error = rx_grants_look_up(grants, decoy_secret, kid, time(NULL), &peer, keys, &found);
    *genuine = found != NULL;
    rx_grants_free(grants);
    return error;
}

const char *wire_server_handshake(struct wire *w, const struct rx_grant *grant, bool readable)
{
    struct rx_offer offer = {RX_VERSION, RX_VERSION, readable ? RX_SUITES_ALL : RX_SUITES_SEALED};
    struct rx_grant_keys keys;
    struct rx_key_pair pair;
    struct rx_server_handshake h;
    struct rx_session_keys session;
    uint8_t random[2][RX_KEY_SIZE];
    uint8_t kid[RX_KID_SIZE];
    uint8_t m1[RX_M1_SIZE];
    uint8_t m2[RX_M2_SIZE];
    uint8_t m3[RX_M3_SIZE];
    bool genuine = false;
    randombytes_buf(random, sizeof random);
    if (!read_exactly(w, m1, sizeof m1))
        return "the client gave no M1";
    enum rx_error error = rx_server_handshake_begin(&h, &offer, m1, kid);
    if (error == RX_OK)
        error = look_up(grant, kid, &keys, &genuine);
    if (error == RX_OK)
        error = rx_key_pair_make(random[0], &pair);
    if (error != RX_OK)
        return rx_error_text(error);
    error = rx_server_handshake_answer(&h, &keys, genuine, random[1], &pair, m2);
    bool answered =
        error == RX_OK || error == RX_E_NO_COMMON_VERSION || error == RX_E_NO_COMMON_SUITE;
    if (answered && !write_all(w, m2, sizeof m2))
        return "the client did not take M2";
    if (error != RX_OK)
        return rx_error_text(error);
    if (!read_exactly(w, m3, sizeof m3))
        return "the client gave no M3";
    error = rx_server_handshake_finish(&h, m3, &session);
    if (error != RX_OK)
        return rx_error_text(error);
    const char *wrong = open_end(w, RX_SERVER, &session);
    if (wrong == NULL && w->suite == RX_SUITE_HMAC_SHA256 && !grant->readable) {
        wire_fail(w, RX_E_SUITE_NOT_PERMITTED);
        return rx_error_text(RX_E_SUITE_NOT_PERMITTED);
    }
    return wrong;
}

/* ---- the session ------------------------------------------------------------------------ */

static void refill(struct wire *w)
{
    if (w->output_at == w->output_len) {
        w->output_at = 0;
        w->output_len = rx_engine_output(w->end.engine, w->output, RX_OUTPUT_MIN);
    }
    if (w->deaf)
        w->output_at = w->output_len;
}

static const char *send_some(struct wire *w)
{
    ssize_t n = send(w->fd, w->output + w->output_at, w->output_len - w->output_at, MSG_NOSIGNAL);
    if (n > 0) {
        w->output_at += (size_t)n;
    } else if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        w->deaf = true; /* but what it sent before that still counts */
    } else if (n < 0 && !transient()) {
        return "the connection cannot be written to";
    }
    return NULL;
}

/* Straight into a record that has come in part, and what is behind it into the buffer. */
static const char *receive_some(struct wire *w)
{
    uint8_t *room = NULL;
    size_t n = rx_engine_room(w->end.engine, &room);
    struct iovec pieces[2] = {{room, n}, {w->input, INPUT_SIZE}};
    ssize_t got = n > 0 ? readv(w->fd, pieces, 2) : read(w->fd, w->input, INPUT_SIZE);
    if (got < 0 && transient())
        return NULL;
    if (got < 0 && errno != ECONNRESET)
        return "the connection cannot be read";
    if (got <= 0) {
        w->ended = true;
        return rx_engine_eof(w->end.engine) == RX_E_CLOSED_EARLY ? rx_error_text(RX_E_CLOSED_EARLY)
                                                                 : NULL;
    }
    size_t filled = (size_t)got < n ? (size_t)got : n;
    if (filled > 0)
        rx_engine_filled(w->end.engine, filled);
    rx_engine_feed(w->end.engine, w->input, (size_t)got - filled);
    return NULL;
}

const char *wire_move(struct wire *w)
{
    refill(w);
    bool sending = w->output_at < w->output_len;
    bool reading = rx_engine_queued(w->end.engine) < QUEUE_ENOUGH || !sending;
    int ready = wait_for(w, (reading ? POLLIN : 0) | (sending ? POLLOUT : 0));
    if (ready == 0)
        return "nothing more came in time";
    const char *wrong = NULL;
    if (sending && (ready & (POLLOUT | POLLERR | POLLHUP)) != 0)
        wrong = send_some(w);
    if (wrong == NULL && (ready & (POLLIN | POLLERR | POLLHUP)) != 0)
        wrong = receive_some(w);
    return wrong;
}

void wire_flush(struct wire *w)
{
    for (refill(w); w->output_at < w->output_len; refill(w)) {
        if (wait_for(w, POLLOUT) == 0 || send_some(w) != NULL)
            return;
    }
}

void wire_fail(struct wire *w, enum rx_error error)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n = 0;
    rx_header_error(&h, error, NULL);
    if (rx_header_encode(RX_ERROR, &h, bytes, sizeof bytes, &n) != RX_OK)
        abort();
    rx_engine_fail(w->end.engine, error, bytes, n);
}
