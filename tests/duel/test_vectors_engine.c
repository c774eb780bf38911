/* tests/vectors: the frozen sessions, said and heard by two engines, byte by byte the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "tests/unit/vectors.h"

static struct rx_channel *channel_of(const struct rx_engine *e, uint32_t stream)
{
    struct rx_channel *channel = NULL;
    for (size_t i = 0; (channel = rx_engine_channel_at(e, i)) != NULL; i++) {
        if (rx_channel_stream(channel) == stream)
            return channel;
    }
    return NULL;
}

static enum rx_error say_data(struct rx_engine *e, struct rx_channel *channel,
                              const struct rx_message *m)
{
    enum rx_which which = m->type - RX_STDIN;
    size_t n = m->body_len - RX_DATA_OFFSET;
    assert_int_equal(rx_engine_write(e, channel, which, m->body + RX_DATA_OFFSET, n), n);
    if ((m->flags & RX_FLAG_LAST) != 0)
        rx_engine_finish(e, channel, which);
    return RX_OK;
}

/* Has the engine say this message, by its own means. */
static enum rx_error say(struct rx_engine *e, const struct rx_message *m)
{
    struct rx_channel *channel = m->stream != 0 ? channel_of(e, m->stream) : NULL;
    if (rx_is_request(m->type)) {
        enum rx_error error =
            rx_engine_request(e, m->type, m->header, m->header_len, m->body, m->body_len, &channel);
        assert_true(error != RX_OK || rx_channel_stream(channel) == m->stream);
        return error;
    }
    if (m->stream != 0)
        assert_non_null(channel);
    switch (m->type) {
    case RX_WELCOME:
        return RX_OK; /* said already */
    case RX_PING:
        return rx_engine_ping(e, m->body);
    case RX_PONG:
        return rx_engine_pong(e, m->body, rx_get64(m->body + 8));
    case RX_CLOSE:
        return rx_engine_close(e, m->header, m->header_len);
    case RX_GOAWAY:
        return rx_engine_goaway(e, m->header, m->header_len);
    case RX_STARTED:
        return rx_engine_start(e, RX_STARTED, &channel, NULL, m->header, m->header_len);
    case RX_REFUSED:
    case RX_DONE:
    case RX_LISTED:
        return rx_engine_answer(e, m->type, channel, (m->flags & RX_FLAG_LAST) != 0, m->header,
                                m->header_len, m->body, m->body_len);
    case RX_EXIT:
        return rx_engine_exit(e, channel, m->header, m->header_len);
    case RX_EXIT_ACK:
        return rx_engine_exit_ack(e, channel);
    case RX_ACK:
        rx_engine_ack(e, channel, m->body[0]);
        return RX_OK;
    case RX_STDIN:
    case RX_STDOUT:
    case RX_STDERR:
        return say_data(e, channel, m);
    default:
        fail_msg("no way to say %s", m->kind->name);
        return RX_E_INTERNAL;
    }
}

/* A server says WELCOME when the handshake is over, though the first requests may be there when it
 * leaves. */
static void welcome(struct rx_engine *e, const json_t *records)
{
    struct vector_record r;
    size_t i = 0;
    do {
        r = vectors_record(records, i++);
    } while (r.object != NULL && r.message[0] != RX_WELCOME);
    assert_non_null(r.object);
    assert_int_equal(
        rx_engine_welcome(e, r.message + RX_MESSAGE_HEAD, r.message_len - RX_MESSAGE_HEAD), RX_OK);
}

/* The record comes, as one event, and what it carries is used up. */
static void hear(struct end *end, struct vector_record r)
{
    struct rx_event event;
    rx_engine_feed(end->engine, r.record, r.record_len);
    if (rx_engine_next(end->engine, &event) != RX_NEXT_EVENT) {
        fail_msg("message of type %u: %s", r.message[0],
                 rx_error_name(rx_engine_error(end->engine)));
    }
    vector_expect(r.object, "message", event.message.raw, event.message.raw_len);
    const uint8_t *bytes;
    if (rx_is_data(event.message.type)) {
        size_t n = rx_engine_peek(end->engine, event.channel, event.which, &bytes);
        assert_int_equal(n, event.message.body_len - RX_DATA_OFFSET);
        rx_engine_consume(end->engine, event.channel, event.which, n);
    }
    assert_int_equal(rx_engine_next(end->engine, &event), RX_NEXT_MORE);
}

static void test_session(void **state)
{
    vectors_need(*state);
    json_t *root = vectors_load(*state);
    struct handshake_pair p;
    vectors_handshake(root, &p);
    struct session s;
    end_open(&s.client, RX_CLIENT, &p.client_keys, NULL);
    end_open(&s.server, RX_SERVER, &p.server_keys, NULL);

    const json_t *records = json_object_get(root, "records");
    welcome(s.server.engine, records);
    for (size_t i = 0; i < json_array_size(records); i++) {
        struct vector_record r = vectors_record(records, i);
        struct end *from = r.c2s ? &s.client : &s.server;
        struct rx_message m;
        assert_int_equal(rx_message_decode(r.message, r.message_len, r.c2s ? RX_C2S : RX_S2C, &m),
                         RX_OK);
        assert_int_equal(say(from->engine, &m), RX_OK);
        static uint8_t output[RX_OUTPUT_MIN];
        size_t n = rx_engine_output(from->engine, output, sizeof output);
        vector_expect(r.object, "record", output, n);
        hear(r.c2s ? &s.server : &s.client, r);
    }
    assert_int_equal(rx_engine_state(s.client.engine), RX_SESSION_CLOSING);
    assert_int_equal(rx_engine_state(s.server.engine), RX_SESSION_CLOSING);
    assert_null(rx_engine_channel_at(s.client.engine, 0));
    assert_null(rx_engine_channel_at(s.server.engine, 0));
    session_close(&s);
    json_decref(root);
}

int main(void)
{
    static char aes[] = "aes256gcm";
    static char chacha[] = "chacha20poly1305";
    static char hmac[] = "hmac-sha256";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_session, aes),
        cmocka_unit_test_prestate(test_session, chacha),
        cmocka_unit_test_prestate(test_session, hmac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
