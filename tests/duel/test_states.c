/*
 * Every message in every state, from a peer that has the keys and keeps to nothing: only what
 * docs/PROTOCOL.md allows advances, all else ends the session, and nothing of it is done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/bytes.h"
#include "tests/duel/station.h"
#include "tests/duel/suites.h"
#include "tests/unit/scale.h"

static struct dice dice = {42};
static size_t allowed, refused;

/* ---- one message ------------------------------------------------------------------------ */

static void wrong(const struct station *s, const struct forged *m, const char *what)
{
    fail_msg("%s, session %s, stream %s: type %u, flags %u, header %zu, body %zu: %s (%s)",
             s->place.role == RX_CLIENT ? "client" : "server",
             rx_session_state_name(s->place.session), spot_name(s->place.spot), m->type, m->flags,
             m->header_len, m->body_len, what, rx_error_name(rx_engine_error(s->end.engine)));
}

/* A PING is heard whenever the session lives: what a refused message must not leave behind. */
static bool lives(struct station *s)
{
    size_t events = s->events;
    const struct forged ping = station_message(s, RX_PING, 0);
    enum rx_next next = station_tell(s, &ping);
    return next == RX_NEXT_MORE && s->events == events + 1;
}

static void expect_allowed(struct station *s, const struct forged *m, enum rx_stream_state to)
{
    struct rx_engine *e = s->end.engine;
    bool last_word = m->type == RX_ERROR;
    enum rx_next next = station_tell(s, m);
    if (next != (last_word ? RX_NEXT_ERROR : RX_NEXT_MORE) || s->events != 1 ||
        s->heard_type != m->type)
        wrong(s, m, "should be allowed");
    if (rx_engine_error(e) != (last_word ? RX_E_PEER_ERROR : RX_OK))
        wrong(s, m, "should leave no error");
    enum rx_stream_state before = spot_state(s->place.spot);
    if (to == STATE_NONE && before != RX_STREAM_SESSION && before != RX_STREAM_CLOSED)
        to = before;
    if (s->heard_state != to)
        wrong(s, m, "leads to the wrong state");
    bool hears = !last_word && (s->place.role == RX_CLIENT || m->type != RX_CLOSE) &&
                 rx_engine_state(e) != RX_SESSION_START;
    if (lives(s) != hears)
        wrong(s, m, "and then the session is not what it should be");
    allowed++;
}

/* Refused, for good, with one ERROR as the last word that names `why`; RX_OK: any reason. Behind
 * its CLOSE a client says nothing more. */
static void expect_refused(struct station *s, const struct forged *m, enum rx_error why)
{
    struct rx_engine *e = s->end.engine;
    bool failed_before = s->place.session == RX_SESSION_FAILED;
    bool silent =
        failed_before || (s->place.session == RX_SESSION_CLOSING && s->place.role == RX_CLIENT);
    enum rx_next next = station_tell(s, m);
    enum rx_error error = rx_engine_error(e);
    if (next != RX_NEXT_ERROR || s->events != 0)
        wrong(s, m, "should be refused");
    if (failed_before ? error != RX_E_INTERNAL : why != RX_OK && error != why)
        wrong(s, m, "refused for another reason");
    station_listen(s);
    if (silent ? s->said_count != 0
               : s->said_count != 1 || s->said_type != RX_ERROR || s->said_code != error)
        wrong(s, m, "refused with other last words");
    if (lives(s) || rx_engine_error(e) != error || rx_engine_state(e) != RX_SESSION_FAILED)
        wrong(s, m, "refused, but not for good");
    station_listen(s);
    if (s->said_count != 0)
        wrong(s, m, "refused, but it goes on talking");
    refused++;
}

/* bad_message for what a type can never be, bad_state or bad_stream for what is out of place. */
static bool never_right(const struct place *place, uint8_t type, uint8_t flags)
{
    const struct shape *shape = shape_of(type);
    enum rx_direction theirs = place->role == RX_CLIENT ? RX_S2C : RX_C2S;
    return shape == NULL || (shape->directions & theirs) == 0 ||
           (flags & ~(shape->last ? RX_FLAG_LAST : 0)) != 0 ||
           (type < 16) != (place->spot == SPOT_SESSION);
}

static void try_message(const struct place *place, enum rx_suite suite, uint8_t type, uint8_t flags)
{
    struct station s;
    station_open(&s, place, suite, &dice);
    struct forged m = station_message(&s, type, flags);
    if (place->spot == SPOT_SESSION) {
        m.stream = 0;
    } else {
        m.stream = s.stream;
    }
    const struct rule *rule = place_allows(place, type, flags);
    bool never = never_right(place, type, flags);
    if (rule != NULL && !never) {
        expect_allowed(&s, &m, rule->to);
    } else {
        expect_refused(&s, &m, never ? RX_E_BAD_MESSAGE : RX_OK);
    }
    enum rx_error error = rx_engine_error(s.end.engine);
    if (rule == NULL && !never && place->session != RX_SESSION_FAILED)
        assert_true(error == RX_E_BAD_STATE || error == RX_E_BAD_STREAM);
    station_close(&s);
}

/* ---- all places ------------------------------------------------------------------------- */

static void at_every_place(void (*check)(const struct place *place, enum rx_suite suite))
{
    for (enum rx_suite suite = suite_first(); suite != RX_SUITE_NONE; suite = suite_next(suite)) {
        for (enum rx_role role = RX_CLIENT; role <= RX_SERVER; role++) {
            for (unsigned session = RX_SESSION_START; session <= RX_SESSION_FAILED; session++) {
                for (unsigned spot = SPOT_SESSION; spot < SPOT_END; spot <<= 1) {
                    for (int pinged = 0; pinged <= 1; pinged++) {
                        const struct place place = {role, session, spot, pinged != 0};
                        /* A server's engine cannot speak before WELCOME. */
                        if (place_exists(&place) &&
                            !(pinged && role == RX_SERVER && session == RX_SESSION_START))
                            check(&place, suite);
                    }
                }
            }
        }
    }
}

static void check_types(const struct place *place, enum rx_suite suite)
{
    for (size_t i = 0; shape_at(i) != NULL; i++) {
        for (unsigned flags = 0; flags <= RX_FLAG_LAST; flags++)
            try_message(place, suite, shape_at(i)->type, (uint8_t)flags);
    }
}

static void test_every_type_everywhere(void **state)
{
    (void)state;
    at_every_place(check_types);
}

static void check_unknown(const struct place *place, enum rx_suite suite)
{
    if (suite != RX_SUITE_CHACHA20POLY1305)
        return;
    for (unsigned type = 0; type < 256; type += place->session == RX_SESSION_OPEN ? 1 : 7) {
        if (shape_of((uint8_t)type) == NULL)
            try_message(place, suite, (uint8_t)type, 0);
    }
}

static void test_unknown_types(void **state)
{
    (void)state;
    at_every_place(check_unknown);
}

static void check_flags(const struct place *place, enum rx_suite suite)
{
    if (suite != RX_SUITE_CHACHA20POLY1305 || place->session != RX_SESSION_OPEN)
        return;
    for (size_t i = 0; shape_at(i) != NULL; i++) {
        for (unsigned flags = 2; flags < 256; flags += SLOW_BUILD ? 9 : 1) {
            if (place_allows(place, shape_at(i)->type, 0) != NULL)
                try_message(place, suite, shape_at(i)->type, (uint8_t)flags);
        }
    }
}

static void test_all_flags(void **state)
{
    (void)state;
    at_every_place(check_flags);
}

/* ---- sizes ------------------------------------------------------------------------------ */

static uint8_t many_bytes[RX_RECORD_MAX];

/* As `station_message`, but with so much header and body. What is right stays at the front. */
static struct forged resized(const struct station *s, uint8_t type, size_t header, size_t body)
{
    static uint8_t large[RX_RECORD_MAX];
    struct forged m = station_message(s, type, 0);
    memcpy(large, m.body, 64);
    m.header = many_bytes;
    m.header_len = header;
    m.body = large;
    m.body_len = body;
    return m;
}

static void try_size(const struct place *place, enum rx_suite suite, const struct shape *shape,
                     size_t header, size_t body)
{
    size_t trailer = rx_is_request(shape->type) ? RX_REQUEST_TRAILER : 0;
    if (header > UINT16_MAX || RX_MESSAGE_HEAD + header + body + trailer > RX_PAYLOAD_MAX)
        return;
    struct station s;
    station_open(&s, place, suite, &dice);
    struct forged m = resized(&s, shape->type, header, body);
    const struct rule *rule = place_allows(place, shape->type, 0);
    bool data = rx_is_data(shape->type), used = spot_state(place->spot) != RX_STREAM_CLOSED &&
                                                spot_state(place->spot) != RX_STREAM_EXITED;
    /* The first window of stdin counts until STARTED says another. */
    size_t window = place->spot == SPOT_ASKED_EXEC ? 65536 : 262144;
    if (header > shape->header_max || body < shape->body_min || body > shape->body_max) {
        expect_refused(&s, &m, RX_E_BAD_MESSAGE);
    } else if (data && body == 8) {
        expect_refused(&s, &m, RX_E_BAD_BODY); /* no bytes and no LAST */
    } else if (data && used && body - 8 > window) {
        expect_refused(&s, &m, RX_E_WINDOW_EXCEEDED);
    } else {
        expect_allowed(&s, &m, rule->to);
    }
    station_close(&s);
}

static void check_sizes(const struct place *place, enum rx_suite suite)
{
    if (place->session != RX_SESSION_OPEN)
        return;
    for (size_t i = 0; shape_at(i) != NULL; i++) {
        const struct shape *shape = shape_at(i);
        if (place_allows(place, shape->type, 0) == NULL)
            continue;
        const size_t bodies[] = {0,
                                 shape->body_min - 1,
                                 shape->body_min,
                                 shape->body_min + 1,
                                 shape->body_max - 1,
                                 shape->body_max,
                                 shape->body_max + 1,
                                 65536 + 8,
                                 65536 + 9,
                                 RX_RECORD_MAX / 2,
                                 RX_PAYLOAD_MAX - 8};
        const size_t headers[] = {0,    1,         shape->header_max, (size_t)shape->header_max + 1,
                                  4097, UINT16_MAX};
        for (size_t j = 0; j < sizeof bodies / sizeof bodies[0]; j++) {
            if (bodies[j] < RX_RECORD_MAX)
                try_size(place, suite, shape, 0, bodies[j]);
        }
        for (size_t j = 0; j < sizeof headers / sizeof headers[0]; j++)
            try_size(place, suite, shape, headers[j], shape->body_min);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    at_every_place(check_sizes);
}

/* A header length that reaches beyond the message, into and over the trailer. */
static void test_header_beyond_the_end(void **state)
{
    (void)state;
    const struct place place = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
    for (uint16_t header = 1; header <= 100; header++) {
        struct station s;
        station_open(&s, &place, RX_SUITE_CHACHA20POLY1305, &dice);
        struct rx_seal seal = rx_sealer_seal(&s.peer.out);
        uint8_t payload[RX_MESSAGE_HEAD + RX_REQUEST_TRAILER] = {0};
        uint8_t record[200];
        rx_message_head(payload, RX_LIST, 0, header, 9);
        size_t n;
        assert_int_equal(rx_record_seal(&seal, payload, sizeof payload, record, &n), RX_OK);
        struct rx_event event;
        rx_engine_feed(s.end.engine, record, n);
        assert_int_equal(rx_engine_next(s.end.engine, &event), RX_NEXT_ERROR);
        assert_int_equal(rx_engine_error(s.end.engine), RX_E_BAD_MESSAGE);
        station_close(&s);
    }
}

/* ---- stream numbers --------------------------------------------------------------------- */

static void check_stream_zero(const struct place *place, enum rx_suite suite)
{
    if (place->session != RX_SESSION_OPEN)
        return;
    for (size_t i = 0; shape_at(i) != NULL; i++) {
        struct station s;
        station_open(&s, place, suite, &dice);
        struct forged m = station_message(&s, shape_at(i)->type, 0);
        m.stream = m.type < 16 ? s.stream : 0;
        expect_refused(&s, &m, RX_E_BAD_MESSAGE);
        station_close(&s);
    }
}

static void test_stream_where_none_belongs(void **state)
{
    (void)state;
    at_every_place(check_stream_zero);
}

/* A number may be used once, and none below it after it. */
static void test_numbers_only_rise(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {1, 2, 5, 6, 1000, UINT32_MAX - 1, UINT32_MAX};
    static const uint8_t openers[] = {RX_EXEC, RX_RESUME, RX_ATTACH, RX_LIST, RX_FORGET};
    const size_t count = sizeof numbers / sizeof numbers[0];
    const size_t kinds = sizeof openers;
    const struct place place = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
    for (size_t i = 0; i < count * count * kinds * kinds; i++) {
        struct station s;
        station_open(&s, &place, RX_SUITE_AES256GCM, &dice);
        uint32_t first = numbers[i % count];
        uint32_t second = numbers[i / count % count];
        size_t types = i / count / count;
        struct forged m = station_message(&s, openers[types % kinds], 0);
        m.stream = first;
        assert_int_equal(station_tell(&s, &m), RX_NEXT_MORE);
        s.events = 0;
        struct forged n = station_message(&s, openers[types / kinds], 0);
        n.stream = second;
        if (second > first) {
            assert_int_equal(station_tell(&s, &n), RX_NEXT_MORE);
        } else {
            expect_refused(&s, &n, RX_OK);
        }
        station_close(&s);
    }
}

/* ---- limits ----------------------------------------------------------------------------- */

static void test_pings_that_are_not_answered(void **state)
{
    (void)state;
    for (enum rx_role role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct station s;
        const struct place place = {role, RX_SESSION_OPEN, SPOT_SESSION, false};
        station_open(&s, &place, RX_SUITE_AES256GCM, &dice);
        const struct forged ping = station_message(&s, RX_PING, 0);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 16; i++)
                assert_int_equal(station_tell(&s, &ping), RX_NEXT_MORE);
            for (int i = 0; i < 16 && round < 2; i++) {
                assert_int_equal(rx_engine_pong(s.end.engine, (const uint8_t *)"01234567", 0),
                                 RX_OK);
            }
            if (round < 2)
                station_listen(&s);
        }
        s.events = 0;
        expect_refused(&s, &ping, RX_E_FLOOD);
        station_close(&s);
    }
}

static void test_pongs_that_nobody_asked_for(void **state)
{
    (void)state;
    for (enum rx_role role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct station s;
        const struct place place = {role, RX_SESSION_OPEN, SPOT_SESSION, true};
        station_open(&s, &place, RX_SUITE_AES256GCM, &dice);
        const struct forged pong = station_message(&s, RX_PONG, 0);
        assert_int_equal(station_tell(&s, &pong), RX_NEXT_MORE);
        s.events = 0;
        expect_refused(&s, &pong, RX_E_BAD_STATE);
        station_close(&s);
    }
}

static void test_more_channels_than_allowed(void **state)
{
    (void)state;
    struct station s;
    const struct place place = {RX_SERVER, RX_SESSION_OPEN, SPOT_IDLE, false};
    station_open(&s, &place, RX_SUITE_AES256GCM, &dice);
    struct forged exec = station_message(&s, RX_EXEC, 0);
    for (exec.stream = 1; exec.stream <= RX_CHANNELS_DEFAULT; exec.stream++)
        assert_int_equal(station_tell(&s, &exec), RX_NEXT_MORE);
    s.events = 0;
    expect_refused(&s, &exec, RX_E_FLOOD);
    station_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_everywhere),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_all_flags),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_header_beyond_the_end),
        cmocka_unit_test(test_stream_where_none_belongs),
        cmocka_unit_test(test_numbers_only_rise),
        cmocka_unit_test(test_pings_that_are_not_answered),
        cmocka_unit_test(test_pongs_that_nobody_asked_for),
        cmocka_unit_test(test_more_channels_than_allowed),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("states: %zu messages allowed, %zu refused\n", allowed, refused);
    return failed;
}
