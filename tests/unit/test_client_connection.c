/* rexec/connection.c, rexec/command.c: a client without I/O against a server end in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rexec/connection.h"
#include "tests/duel/session.h"

enum { WIRE_MAX = 2 * RX_CONNECTION_OUTPUT_MIN, NOW = 1 };

/* The client's side of a session, and what came of it. */
struct client {
    struct rx_connection *c;
    struct rx_command *command;
    bool ready, welcome, started, exited, refused;
    int64_t code;
    uint64_t counts[RX_WHICH_COUNT];
    char output[256];
    size_t output_len;
    enum rx_error error;
};

/* What the server sends, from a first run, to be sent again in other pieces. */
static uint8_t recorded[WIRE_MAX];
static size_t recorded_len;

static const char text[] = "hello from the other side\n";
static const uint8_t words[] = {1, 0, 0, 0, 4, 't', 'r', 'u', 'e'};

static void prepare(struct handshake_pair *p, struct dice *d)
{
    *d = (struct dice){7};
    handshake_prepare(p, d, RX_SUITE_CHACHA20POLY1305);
}

static void client_open(struct client *client, const struct handshake_pair *p, struct dice *d)
{
    uint8_t random[RX_CONNECTION_RANDOM];
    struct rx_connection_config config = {.keys = &p->grant, .suites = RX_SUITE_CHACHA20POLY1305};
    enum rx_error error;
    *client = (struct client){0};
    dice_fill(d, random, sizeof random);
    client->c = rx_connection_new(&config, random, &error);
    assert_non_null(client->c);
    assert_int_equal(error, RX_OK);
    assert_false(rx_connection_ready(client->c));
    assert_null(rx_connection_welcome(client->c));
    assert_null(rx_connection_suite(client->c));
}

static void ask(struct client *client)
{
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    h.exec.id[0] = 1;
    assert_int_equal(
        rx_connection_exec(client->c, &h.exec, words, sizeof words, client, &client->command),
        RX_OK);
    assert_ptr_equal(rx_command_user(client->command), client);
    rx_command_finish(client->command);
}

static void client_close(struct client *client)
{
    rx_connection_free(client->c);
    rx_command_free(client->command);
}

static void on_event(struct client *client, const struct rx_client_event *event)
{
    const uint8_t *bytes;
    switch (event->what) {
    case RX_ON_READY:
        assert_false(client->ready);
        client->ready = true;
        break;
    case RX_ON_WELCOME:
        assert_true(client->ready);
        client->welcome = true;
        assert_string_equal(rx_connection_welcome(client->c)->server, "lab01");
        break;
    case RX_ON_STARTED:
        assert_true(client->welcome);
        client->started = true;
        break;
    case RX_ON_DATA:
        for (size_t n; (n = rx_command_peek(event->command, event->which, &bytes)) > 0;) {
            assert_true(client->output_len + n <= sizeof client->output);
            memcpy(client->output + client->output_len, bytes, n);
            client->output_len += n;
            rx_command_consume(event->command, event->which, n);
        }
        break;
    case RX_ON_EXIT:
        client->exited = true;
        client->code = event->header->exit.code;
        memcpy(client->counts, event->counts, sizeof client->counts);
        break;
    case RX_ON_REFUSED:
        client->refused = true;
        break;
    default:
        break;
    }
}

/* Gives bytes to the client, in a buffer of its own, as it writes to them. */
static void give(struct client *client, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    rx_connection_feed(client->c, copy, n);
    struct rx_client_event event;
    enum rx_next next;
    while ((next = rx_connection_next(client->c, NOW, &event)) == RX_NEXT_EVENT)
        on_event(client, &event);
    if (next == RX_NEXT_ERROR) {
        client->error = rx_connection_error(client->c);
        assert_int_not_equal(client->error, RX_OK);
        assert_int_equal(rx_connection_eof(client->c), client->error);
    }
    free(copy);
}

static void record(const uint8_t *bytes, size_t n)
{
    assert_true(recorded_len + n <= sizeof recorded);
    memcpy(recorded + recorded_len, bytes, n);
    recorded_len += n;
}

/* The server's side of one command, from its request to its end. */
static void serve(struct end *server, uint8_t *bytes, size_t n)
{
    struct rx_event event;
    size_t execs = 0;
    size_t ends = 0;
    rx_engine_feed(server->engine, bytes, n);
    while (rx_engine_next(server->engine, &event) == RX_NEXT_EVENT) {
        if (event.message.type == RX_EXEC) {
            execs++;
            assert_int_equal(event.message.body_len, sizeof words);
            assert_memory_equal(event.message.body, words, sizeof words);
            struct rx_channel *channel = event.channel;
            assert_int_equal(end_started(server, channel), RX_OK);
            assert_int_equal(
                rx_engine_write(server->engine, channel, RX_WHICH_STDOUT, text, sizeof text - 1),
                sizeof text - 1);
            assert_int_equal(end_exit(server, channel, 7), RX_OK);
        } else if (event.message.type == RX_STDIN) {
            ends += (event.message.flags & RX_FLAG_LAST) != 0;
        }
    }
    assert_int_equal(execs, 1);
    assert_int_equal(ends, 1);
}

/* A whole session; what the server sends is recorded. */
static int run_whole(void **state)
{
    (void)state;
    static uint8_t out[RX_CONNECTION_OUTPUT_MIN];
    struct handshake_pair p;
    struct dice d;
    struct client client;
    struct end server;
    recorded_len = 0;
    prepare(&p, &d);
    client_open(&client, &p, &d);
    ask(&client);

    assert_true(rx_connection_pending(client.c));
    assert_int_equal(rx_connection_output(client.c, out, sizeof out), RX_M1_SIZE);
    assert_false(rx_connection_pending(client.c));
    memcpy(p.m1, out, RX_M1_SIZE);
    assert_int_equal(handshake_m2(&p), RX_OK);
    record(p.m2, sizeof p.m2);
    give(&client, p.m2, sizeof p.m2);
    assert_true(client.ready && !client.welcome);
    assert_string_equal(rx_connection_suite(client.c), "chacha20poly1305");

    /* M3, the request and the end of stdin are one piece. */
    size_t n = rx_connection_output(client.c, out, sizeof out);
    assert_true(n > RX_M3_SIZE);
    memcpy(p.m3, out, RX_M3_SIZE);
    assert_int_equal(handshake_end(&p), RX_OK);
    end_open(&server, RX_SERVER, &p.server_keys, NULL);
    assert_int_equal(end_welcome(&server), RX_OK);
    serve(&server, out + RX_M3_SIZE, n - RX_M3_SIZE);
    n = rx_engine_output(server.engine, out, sizeof out);
    record(out, n);
    end_close(&server);
    client_close(&client);
    return 0;
}

static void expect_all(const struct client *client)
{
    assert_int_equal(client->error, RX_OK);
    assert_true(client->welcome && client->started && client->exited && !client->refused);
    assert_int_equal(client->code, 7);
    assert_int_equal(client->output_len, sizeof text - 1);
    assert_memory_equal(client->output, text, sizeof text - 1);
    assert_int_equal(client->counts[RX_WHICH_STDOUT], sizeof text - 1);
    assert_int_equal(rx_connection_eof(client->c), RX_OK);
}

/* A client that is in the same state as the one of the first run was. */
static void reopen(struct client *client)
{
    static uint8_t out[RX_CONNECTION_OUTPUT_MIN];
    struct handshake_pair p;
    struct dice d;
    prepare(&p, &d);
    client_open(client, &p, &d);
    ask(client);
    assert_int_equal(rx_connection_output(client->c, out, sizeof out), RX_M1_SIZE);
}

static void test_pieces(void **state)
{
    (void)state;
    for (size_t size = 1; size <= recorded_len; size++) {
        struct client client;
        reopen(&client);
        for (size_t at = 0; at < recorded_len; at += size)
            give(&client, recorded + at, recorded_len - at < size ? recorded_len - at : size);
        expect_all(&client);
        client_close(&client);
    }
}

/* Through rx_connection_room, as a vectored read does it. */
static void test_room(void **state)
{
    (void)state;
    struct client client;
    reopen(&client);
    for (size_t at = 0; at < recorded_len;) {
        uint8_t *room;
        size_t n = rx_connection_room(client.c, &room);
        if (n > recorded_len - at)
            n = recorded_len - at;
        if (n > 0) {
            memcpy(room, recorded + at, n);
            rx_connection_filled(client.c, n);
            at += n;
        }
        size_t behind = recorded_len - at < 7 ? recorded_len - at : 7;
        give(&client, recorded + at, behind);
        at += behind;
    }
    expect_all(&client);
    client_close(&client);
}

static void test_early_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < recorded_len; n++) {
        struct client client;
        reopen(&client);
        give(&client, recorded, n);
        assert_false(client.exited);
        assert_int_equal(client.error, RX_OK);
        if (!client.welcome)
            assert_int_equal(rx_connection_eof(client.c), RX_E_CLOSED_EARLY);
        client_close(&client);
    }
}

static void test_flipped(void **state)
{
    (void)state;
    for (size_t at = 0; at < recorded_len; at++) {
        struct client client;
        reopen(&client);
        recorded[at] ^= 0x10;
        give(&client, recorded, recorded_len);
        recorded[at] ^= 0x10;
        assert_false(client.exited);
        if (at < RX_M2_SIZE)
            assert_false(client.ready || client.welcome);
        client_close(&client);
    }
}

static void test_stranger(void **state)
{
    (void)state;
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    for (size_t n = 1; n < sizeof http; n++) {
        struct client client;
        reopen(&client);
        give(&client, (const uint8_t *)http, n);
        assert_int_equal(client.error, RX_E_NOT_REXEC);
        client_close(&client);
    }
}

static void test_wrong_key(void **state)
{
    (void)state;
    struct client client;
    struct handshake_pair p;
    struct dice d;
    prepare(&p, &d);
    p.grant.server_auth[0] ^= 1;
    client_open(&client, &p, &d);
    give(&client, recorded, recorded_len);
    assert_int_equal(client.error, RX_E_PROOF_WRONG);
    assert_false(rx_connection_ready(client.c));
    /* A command waits for the connection that this one is moved to. */
    struct rx_command *command;
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    assert_int_equal(rx_connection_exec(client.c, &h.exec, words, sizeof words, NULL, &command),
                     RX_OK);
    assert_false(rx_command_asked(command));
    assert_int_equal(rx_command_signal(command, "TERM"), RX_OK);
    rx_command_free(command);
    client_close(&client);
}

static void test_order_of_calls(void **state)
{
    (void)state;
    static const uint8_t token[8];
    struct client client;
    uint8_t *room;
    reopen(&client);
    assert_int_equal(rx_connection_ping(client.c, token), RX_E_BAD_STATE);
    assert_int_equal(rx_command_signal(client.command, "A_NAME_TOO_LONG_"), RX_OK); /* waits */
    assert_int_equal(rx_command_signal(client.command, "A_NAME_TOO_LONG__"), RX_E_BAD_HEADER);
    assert_int_equal(rx_command_room(client.command, 10, &room), 0);
    rx_connection_close(client.c); /* nobody to say it to */
    give(&client, recorded, recorded_len);
    expect_all(&client);
    assert_int_equal(rx_command_signal(client.command, "INT"), RX_E_BAD_STATE);
    rx_connection_close(client.c);
    rx_connection_close(client.c);
    assert_int_equal(rx_connection_ping(client.c, token), RX_E_BAD_STATE);
    struct rx_command *other;
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    assert_int_equal(rx_connection_exec(client.c, &h.exec, words, sizeof words, NULL, &other),
                     RX_E_BAD_STATE);
    client_close(&client);
}

/* What nobody waits for any more is dropped, and the session goes on. */
static void test_command_given_up(void **state)
{
    (void)state;
    struct client client;
    reopen(&client);
    give(&client, recorded, RX_M2_SIZE);
    rx_command_free(client.command);
    client.command = NULL;
    give(&client, recorded + RX_M2_SIZE, recorded_len - RX_M2_SIZE);
    assert_true(client.welcome && !client.exited && client.output_len == 0);
    assert_int_equal(client.error, RX_OK);
    client_close(&client);
}

static void test_configuration(void **state)
{
    (void)state;
    static const uint8_t zero[RX_CONNECTION_RANDOM];
    struct handshake_pair p;
    struct dice d;
    prepare(&p, &d);
    struct rx_connection_config config = {.keys = &p.grant};
    enum rx_error error;
    assert_null(rx_connection_new(&config, zero, &error));
    assert_int_equal(error, RX_E_ZERO_VALUE);
    config.suites = RX_SUITES_ALL; /* the readable one must be offered alone */
    uint8_t random[RX_CONNECTION_RANDOM];
    dice_fill(&d, random, sizeof random);
    assert_null(rx_connection_new(&config, random, &error));
    assert_int_equal(error, RX_E_MISUSE);
    config.suites = RX_SUITE_HMAC_SHA256;
    struct rx_connection *c = rx_connection_new(&config, random, &error);
    assert_non_null(c);
    rx_connection_free(c);
    rx_connection_free(NULL);
    rx_command_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),         cmocka_unit_test(test_room),
        cmocka_unit_test(test_early_end),      cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_stranger),       cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_order_of_calls), cmocka_unit_test(test_command_given_up),
        cmocka_unit_test(test_configuration),
    };
    return cmocka_run_group_tests(tests, run_whole, NULL);
}
