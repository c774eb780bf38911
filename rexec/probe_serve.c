#include "rexec/probe_serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/handshake_layout.h"
#include "proto/bytes.h"
#include "rexec/report.h"

bool serve_listen(struct probe *p, const char *port, char text[static RX_ADDRESS_TEXT])
{
    const char *bound = settings_get(&p->options->settings, SETTING_BIND_ADDRESS);
    struct rx_failure failure;
    struct rx_addresses found;
    /* 0, which is no port to connect to, lets the system choose. */
    bool any = strcmp(port, "0") == 0;
    if (!rx_address_find(bound != NULL ? bound : "127.0.0.1", any ? "1" : port, p->options->family,
                         &found, &failure)) {
        report_failure(NULL, &failure);
        return false;
    }
    struct rx_address *a = &found.list[0];
    if (any && a->storage.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->storage)->sin_port = 0;
    if (any && a->storage.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->storage)->sin6_port = 0;
    int on = 1, fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a->storage, a->len) != 0 ||
        listen(fd, 16) != 0 || getsockname(fd, (struct sockaddr *)&a->storage, &a->len) != 0) {
        char what[RX_ADDRESS_TEXT + 64];
        rx_address_text(a, text);
        (void)snprintf(what, sizeof what, "cannot listen on %s: %s", text, strerror(errno));
        report(NULL, what, "give another port, or another address with -b");
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    rx_address_text(a, text);
    p->listener = fd;
    return true;
}

/* How long we wait for a client to come: who starts it by hand needs some time. */
enum { COMES_WITHIN = 6 };

bool serve_accept(struct probe *p, struct session *s)
{
    uint8_t random[RX_KEY_SIZE];
    *s = (struct session){.probe = p, .wire = {.fd = -1}, .grant = p->keys, .serves = true};
    randombytes_buf(random, sizeof random);
    bool pair = rx_key_pair_make(random, &s->pair) == RX_OK;
    sodium_memzero(random, sizeof random);
    struct pollfd one = {.fd = p->listener, .events = POLLIN};
    int n;
    do
        n = poll(&one, 1, COMES_WITHIN * p->patience);
    while (n < 0 && errno == EINTR);
    int fd = n > 0 && pair ? accept4(p->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fd < 0)
        return probe_skip(p, "no client came");
    wire_adopt(p, &s->wire, fd);
    if (wire_take(&s->wire, s->m1, sizeof s->m1) < sizeof s->m1 || !handshake_is(s->m1, TYPE_M1))
        return probe_skip(p, "the client sent no M1");
    if (memcmp(s->m1 + M1_KID, p->keys.kid, RX_KID_SIZE) != 0)
        return probe_skip(p, "the client has another key, or calls us by another name than %s",
                          p->server_name);
    serve_make_m2(s);
    return true;
}

void serve_make_m2(struct session *s)
{
    unsigned offered = s->m1[M1_SUITES] & rx_suites_here();
    enum rx_suite suite = RX_SUITE_NONE;
    if ((offered & RX_SUITE_AES256GCM) != 0)
        suite = RX_SUITE_AES256GCM;
    else if ((offered & RX_SUITE_CHACHA20POLY1305) != 0)
        suite = RX_SUITE_CHACHA20POLY1305;
    else if ((offered & RX_SUITE_HMAC_SHA256) != 0)
        suite = RX_SUITE_HMAC_SHA256;
    handshake_header(s->m2, TYPE_M2, RX_VERSION, (uint8_t)suite);
    randombytes_buf(s->m2 + M2_CHALLENGE, RX_KEY_SIZE);
    memset(s->m2 + M2_EPHEMERAL, 0, RX_KEY_SIZE);
    if ((suite & RX_SUITES_SEALED) != 0)
        memcpy(s->m2 + M2_EPHEMERAL, s->pair.public, RX_KEY_SIZE);
    serve_prove(s);
}

void serve_prove(struct session *s)
{
    if (handshake_proof(s->grant.server_auth, s->m1, s->m2, s->m2 + M2_PROOF) != RX_OK)
        (void)probe_skip(s->probe, "no proof could be made");
}

bool serve_must_refuse(struct session *s, const char *what)
{
    uint8_t byte;
    wire_send(&s->wire, s->m2, sizeof s->m2);
    if (wire_take(&s->wire, &byte, 1) > 0)
        return probe_fail(s->probe, "the client went on behind %s", what);
    return wire_over(&s->wire) ||
           probe_fail(s->probe, "the client neither went on nor closed behind %s", what);
}

bool serve_shake(struct probe *p, struct session *s)
{
    uint8_t right[RX_HASH_SIZE];
    if (!serve_accept(p, s))
        return false;
    wire_send(&s->wire, s->m2, sizeof s->m2);
    if (wire_take(&s->wire, s->m3, sizeof s->m3) < sizeof s->m3)
        return probe_skip(p, "the client sent no M3");
    if (handshake_response(p->keys.client_auth, s->m1, s->m2, s->m3, right) != RX_OK ||
        sodium_memcmp(right, s->m3 + M3_RESPONSE, sizeof right) != 0)
        return probe_skip(p, "the client's response is wrong");
    session_derive(s);
    memcpy(p->earlier, s->m2, sizeof p->earlier);
    p->has_earlier = true;
    return true;
}

void serve_add_welcome(struct session *s)
{
    session_add(s, RX_WELCOME, 0, 0,
                "{\"server\":\"probe\",\"version\":\"1\",\"time_us\":1700000000000000}", NULL, 0);
}

bool serve_open(struct probe *p, struct session *s)
{
    if (!serve_shake(p, s))
        return false;
    serve_add_welcome(s);
    session_send(s);
    return true;
}

void serve_add_started(struct session *s, uint32_t stream)
{
    uint8_t body[RX_OFFSETS_SIZE] = {0};
    rx_put32(body + 24, 65536);
    session_add(s, RX_STARTED, 0, stream, "{\"pid\":1}", body, sizeof body);
}

bool serve_command(struct probe *p, struct session *s, uint32_t *stream, bool quiet)
{
    struct said said;
    if (!serve_open(p, s))
        return false;
    if (!session_await(s, RX_EXEC, &said))
        return probe_skip(p, "the client asked for no command");
    *stream = said.stream;
    if (!quiet)
        serve_add_started(s, *stream);
    return true;
}

static bool must_stop(struct session *s, const char *what, bool may_end)
{
    static const char token[8] = {'b', 'e', 'h', 'i', 'n', 'd', 'i', 't'};
    session_add_ping(s, token);
    session_send(s);
    for (int i = 0; i < 4096; i++) {
        struct said said = session_read(s);
        if (said.what == SAID_CLOSED)
            return true;
        if (said.what != SAID_MESSAGE)
            return probe_fail(s->probe, "the client did not close behind %s", what);
        if (said.type == RX_ERROR)
            return true;
        if (said.type == RX_PONG && said.body_len >= 8 && memcmp(said.body, token, 8) == 0)
            return probe_fail(s->probe, "the client went on behind %s", what);
        if (may_end && said.type == RX_CLOSE)
            return true;
        if (!may_end && (said.type == RX_EXIT_ACK || said.type == RX_CLOSE))
            return probe_fail(s->probe, "the client was content with %s", what);
    }
    return probe_fail(s->probe, "the client does not come to an end behind %s", what);
}

bool serve_must_stop(struct session *s, const char *what)
{
    return must_stop(s, what, false);
}

bool serve_must_stop_or_end(struct session *s, const char *what)
{
    return must_stop(s, what, true);
}
