/*
 * Random walks through the states of several streams at once: an engine acts, right or wrong, and a
 * peer with the keys sends it what it likes. The rules of tests/duel/station.h foretell each step:
 * what the peer sends wrongly ends the session, what the engine's own side asks for wrongly is
 * refused there and leaves no trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/bytes.h"
#include "tests/duel/station.h"
#include "tests/unit/scale.h"

enum { LANES = 7 }; /* stream numbers are below this */

struct lane {
    enum spot spot;
    struct rx_channel *channel;
    uint64_t received[RX_WHICH_COUNT];
    bool ended[RX_WHICH_COUNT];
};

struct walker {
    struct dice d;
    enum rx_role role;
    enum rx_session_state session;
    struct end end;
    struct forger peer;
    struct lane lanes[LANES]; /* by stream number; 0 is the session */
    uint32_t last;            /* the highest number used */
    unsigned pings;           /* its own, not answered */
    unsigned owed;            /* the peer's, that cannot be answered behind CLOSE */
    size_t events;
    uint8_t heard_type;
};

static size_t walks, steps, wrong_steps;

static struct place place_of(const struct walker *w, uint32_t stream)
{
    struct place place = {w->role, w->session, SPOT_SESSION, w->pings > 0};
    if (stream > w->last) {
        place.spot = SPOT_IDLE;
    } else if (stream > 0 && stream < LANES) {
        place.spot = w->lanes[stream].spot;
    }
    return place;
}

/* Where a stream stands behind a message. */
static void follow(struct walker *w, uint32_t stream, uint8_t type, const struct rule *rule)
{
    struct lane *lane = &w->lanes[stream];
    if (stream == 0 || rule->to == STATE_NONE)
        return;
    switch (rule->to) {
    case RX_STREAM_ASKED:
        lane->spot = type == RX_EXEC     ? SPOT_ASKED_EXEC
                     : type == RX_RESUME ? SPOT_ASKED_RESUME
                                         : SPOT_ASKED_ATTACH;
        break;
    case RX_STREAM_ASKING:
        lane->spot = type == RX_LIST     ? SPOT_ASKING_LIST
                     : type == RX_FORGET ? SPOT_ASKING_FORGET
                                         : SPOT_ASKING_SIGNAL;
        break;
    case RX_STREAM_RUNNING:
        lane->spot = SPOT_RUNNING;
        break;
    case RX_STREAM_EXITED:
        lane->spot = SPOT_EXITED;
        break;
    default:
        lane->spot = SPOT_CLOSED;
        lane->channel = NULL;
        break;
    }
}

/* All numbers up to `stream` are used now; those left out are closed. */
static void use_numbers(struct walker *w, uint32_t stream)
{
    while (w->last < stream)
        w->lanes[++w->last].spot = SPOT_SKIPPED;
}

/* ---- what the peer says ----------------------------------------------------------------- */

static void hear(void *context, const struct rx_event *event)
{
    struct walker *w = context;
    w->events++;
    w->heard_type = event->message.type;
    if (event->message.stream > 0)
        w->lanes[event->message.stream].channel = event->channel;
}

/* A body that is right where it is looked at; false where LAST has made every one wrong. */
static bool fill_body(struct walker *w, struct forged *m, uint8_t body[static 64])
{
    const struct lane *lane = &w->lanes[m->stream];
    memset(body, 0, 64);
    m->body = body;
    m->body_len = shape_of(m->type)->body_min;
    if (m->type == RX_ACK) {
        body[0] = w->role == RX_SERVER ? RX_WHICH_STDOUT : RX_WHICH_STDIN;
        rx_put32(body + 4, 1U << 20);
    } else if (m->type == RX_EXIT) {
        rx_put64(body + 8, lane->received[1]);
        rx_put64(body + 16, lane->received[2]);
    } else if (m->type == RX_STARTED || m->type == RX_RESUMED || m->type == RX_RESUME) {
        rx_put32(body + 24, 1U << 20);
    } else if (rx_is_data(m->type)) {
        size_t which = m->type - RX_STDIN;
        rx_put64(body, lane->received[which]);
        m->body_len = 8 + 1 + dice_below(&w->d, 3);
        unsigned looked_at = SPOTS_RUNNING | SPOTS_ASKED;
        return !lane->ended[which] || ((unsigned)lane->spot & looked_at) == 0;
    }
    return true;
}

static void count_data(struct walker *w, const struct forged *m)
{
    struct lane *lane = &w->lanes[m->stream];
    if (!rx_is_data(m->type) || ((unsigned)lane->spot & (SPOTS_RUNNING | SPOTS_ASKED)) == 0)
        return;
    lane->received[m->type - RX_STDIN] += m->body_len - 8;
    lane->ended[m->type - RX_STDIN] = (m->flags & RX_FLAG_LAST) != 0;
}

static void follow_session(struct walker *w, uint8_t type)
{
    if (type == RX_PONG) {
        w->pings--;
    } else if (type == RX_GOAWAY && w->session == RX_SESSION_OPEN) {
        w->session = RX_SESSION_GOING;
    } else if (type == RX_CLOSE) {
        w->session = RX_SESSION_CLOSING;
    } else if (type == RX_ERROR) {
        w->session = RX_SESSION_FAILED;
    } else if (type == RX_PING && w->role == RX_CLIENT && w->session == RX_SESSION_CLOSING) {
        w->owed++;
    } else if (type == RX_PING) {
        assert_int_equal(rx_engine_pong(w->end.engine, (const uint8_t *)"01234567", 0), RX_OK);
    }
    static struct tape sent;
    sent.n = 0;
    tape_output(&sent, w->end.engine);
}

/* Any type on any stream; mostly one that is right there. */
static struct forged some_message(struct walker *w)
{
    struct forged m = {0};
    uint64_t tries = dice_below(&w->d, 16) == 0 ? 1 : 50;
    for (uint64_t i = 0; i < tries; i++) {
        size_t count = 0;
        while (shape_at(count) != NULL)
            count++;
        m.type = shape_at(dice_below(&w->d, count))->type;
        m.flags = dice_below(&w->d, 4) == 0 ? RX_FLAG_LAST : 0;
        m.stream = m.type < 16 ? 0 : 1 + (uint32_t)dice_below(&w->d, LANES - 1);
        const struct place place = place_of(w, m.stream);
        if (place_allows(&place, m.type, m.flags) != NULL && m.type != RX_ERROR)
            break;
    }
    return m;
}

/* False at the end of the walk. */
static bool peer_says(struct walker *w)
{
    uint8_t body[64];
    struct forged m = some_message(w);
    const struct place place = place_of(w, m.stream);
    const struct rule *rule = place_allows(&place, m.type, m.flags);
    bool right = fill_body(w, &m, body) && rule != NULL;
    if (m.type == RX_PING && w->owed == RX_PINGS_MAX)
        right = false;
    size_t n;
    size_t events = w->events;
    const uint8_t *record = forge(&w->peer, &m, &n);
    const struct listener l = {hear, w};
    enum rx_next next = deliver(w->end.engine, record, n, &l);
    steps++;
    if (!right) {
        if (next != RX_NEXT_ERROR || w->events != events) {
            fail_msg("type %u, flags %u on stream %u (%s) should be refused", m.type, m.flags,
                     (unsigned)m.stream, spot_name(place.spot));
        }
        wrong_steps++;
        return false;
    }
    if (w->events != events + 1 || w->heard_type != m.type) {
        fail_msg("type %u, flags %u on stream %u (%s) should be heard: %s", m.type, m.flags,
                 (unsigned)m.stream, spot_name(place.spot),
                 rx_error_name(rx_engine_error(w->end.engine)));
    }
    if (m.stream > w->last)
        use_numbers(w, m.stream);
    count_data(w, &m);
    follow(w, m.stream, m.type, rule);
    follow_session(w, m.type);
    return w->session != RX_SESSION_FAILED;
}

/* ---- what the engine's own side asks for ------------------------------------------------ */

/* The message is right if its receiver would find it so. */
static const struct rule *may_say(const struct walker *w, uint32_t stream, uint8_t type,
                                  uint8_t flags)
{
    struct place place = place_of(w, stream);
    place.role = w->role == RX_CLIENT ? RX_SERVER : RX_CLIENT;
    place.session = RX_SESSION_OPEN;
    return place_allows(&place, type, flags);
}

static enum rx_error server_answer(struct walker *w, struct lane *lane, uint8_t type, bool last)
{
    struct rx_engine *e = w->end.engine;
    if (type == RX_STARTED)
        return rx_engine_start(e, RX_STARTED, &lane->channel, NULL, NULL, 0);
    if (type == RX_EXIT)
        return end_exit(&w->end, lane->channel, 0);
    enum rx_error error = rx_engine_answer(e, type, lane->channel, last, NULL, 0, NULL, 0);
    bool runs = lane->spot == SPOT_RUNNING || lane->spot == SPOT_EXITED;
    if (type != RX_REFUSED || !last || !runs || error != RX_E_BAD_STATE)
        return error;
    /* The last word on a command that runs is that it goes elsewhere. */
    error = rx_engine_release(e, lane->channel, "{}", 2);
    if (error == RX_OK)
        rx_channel_free(lane->channel);
    return error;
}

static void server_says(struct walker *w)
{
    static const uint8_t types[] = {RX_STARTED, RX_REFUSED, RX_DONE, RX_LISTED, RX_EXIT};
    uint32_t stream = 1 + (uint32_t)dice_below(&w->d, LANES - 1);
    struct lane *lane = &w->lanes[stream];
    uint8_t type = types[dice_below(&w->d, sizeof types)];
    bool last = dice_below(&w->d, 2) == 0;
    if (lane->channel == NULL)
        return;
    if (type == RX_STARTED || type == RX_EXIT)
        last = false;
    const struct rule *rule = may_say(w, stream, type, last ? RX_FLAG_LAST : 0);
    enum rx_error error = server_answer(w, lane, type, last);
    if ((error == RX_OK) != (rule != NULL)) {
        fail_msg("the server's type %u, last %d at %s: %s", type, last, spot_name(lane->spot),
                 rx_error_name(error));
    }
    if (rule != NULL) {
        follow(w, stream, type, rule);
    } else {
        wrong_steps++;
    }
}

static void client_opens(struct walker *w)
{
    static const enum rx_type types[] = {RX_EXEC, RX_ATTACH, RX_LIST, RX_FORGET, RX_SIGNAL};
    enum rx_type type = types[dice_below(&w->d, sizeof types / sizeof types[0])];
    bool command = type == RX_EXEC || type == RX_ATTACH;
    struct rx_channel *channel = NULL;
    if (w->last + 1 == LANES)
        return;
    enum rx_error error = rx_engine_request(w->end.engine, type, "{}", 2, NULL, 0, &channel);
    if (w->session == RX_SESSION_CLOSING) {
        assert_int_equal(error, RX_E_BAD_STATE);
    } else if (w->session == RX_SESSION_GOING && command) {
        assert_int_equal(error, RX_E_SHUTTING_DOWN);
    } else {
        assert_int_equal(error, RX_OK);
        uint32_t stream = rx_channel_stream(channel);
        const struct rule *rule = may_say(w, stream, (uint8_t)type, 0);
        assert_int_equal(stream, w->last + 1);
        use_numbers(w, stream);
        follow(w, stream, (uint8_t)type, rule);
        w->lanes[stream].channel = channel;
    }
}

static void client_says(struct walker *w)
{
    static const enum rx_type types[] = {RX_SIGNAL, RX_RESIZE, RX_DETACH, RX_EXIT_ACK};
    enum rx_type type = types[dice_below(&w->d, sizeof types / sizeof types[0])];
    uint32_t stream = 1 + (uint32_t)dice_below(&w->d, LANES - 1);
    struct lane *lane = &w->lanes[stream];
    if (dice_below(&w->d, 2) == 0) {
        client_opens(w);
        return;
    }
    if (lane->channel == NULL)
        return;
    const struct rule *rule = may_say(w, stream, (uint8_t)type, 0);
    if (w->session == RX_SESSION_CLOSING)
        rule = NULL;
    enum rx_error error = type == RX_EXIT_ACK ? rx_engine_exit_ack(w->end.engine, lane->channel)
                                              : rx_engine_request(w->end.engine, type, "{}", 2,
                                                                  NULL, 0, &lane->channel);
    if ((error == RX_OK) != (rule != NULL)) {
        fail_msg("the client's type %u at %s: %s", (unsigned)type, spot_name(lane->spot),
                 rx_error_name(error));
    }
    if (rule != NULL) {
        follow(w, stream, (uint8_t)type, rule);
    } else {
        wrong_steps++;
    }
}

static void engine_says(struct walker *w)
{
    static struct tape sent;
    steps++;
    switch (dice_below(&w->d, 60)) {
    case 0:
        if (rx_engine_ping(w->end.engine, (const uint8_t *)"76543210") == RX_OK)
            w->pings++;
        break;
    case 1:
        if (w->role == RX_CLIENT && rx_engine_close(w->end.engine, NULL, 0) == RX_OK)
            w->session = RX_SESSION_CLOSING;
        break;
    default:
        if (w->role == RX_CLIENT) {
            client_says(w);
        } else {
            server_says(w);
        }
        break;
    }
    sent.n = 0;
    tape_output(&sent, w->end.engine); /* and so EXIT has left */
    assert_int_equal(rx_engine_error(w->end.engine), RX_OK);
}

/* ---- walks ------------------------------------------------------------------------------ */

static void check_lanes(const struct walker *w)
{
    size_t bound = 0;
    for (uint32_t i = 1; i < LANES; i++) {
        const struct lane *lane = &w->lanes[i];
        if (i > w->last || lane->channel == NULL)
            continue;
        assert_int_equal(rx_channel_state(lane->channel), spot_state(lane->spot));
        assert_int_equal(rx_channel_stream(lane->channel), i);
        assert_ptr_equal(rx_engine_channel_at(w->end.engine, bound++), lane->channel);
    }
    assert_null(rx_engine_channel_at(w->end.engine, bound));
    assert_int_equal(rx_engine_state(w->end.engine), w->session);
}

static void walk(enum rx_role role, uint64_t seed)
{
    static struct walker w;
    static const struct forged welcome = {.type = RX_WELCOME};
    w = (struct walker){.d = {seed}, .role = role, .session = RX_SESSION_OPEN};
    struct rx_session_keys keys = random_keys(&w.d, RX_SUITE_CHACHA20POLY1305);
    end_open(&w.end, role, &keys, NULL);
    forger_open(&w.peer, role == RX_CLIENT ? RX_SERVER : RX_CLIENT, &keys);
    if (role == RX_SERVER) {
        assert_int_equal(end_welcome(&w.end), RX_OK);
    } else {
        size_t n;
        const uint8_t *record = forge(&w.peer, &welcome, &n);
        const struct listener l = {hear, &w};
        assert_int_equal(deliver(w.end.engine, record, n, &l), RX_NEXT_MORE);
    }
    bool goes_on = true;
    for (int i = 0; i < 60 && goes_on; i++) {
        if (dice_below(&w.d, 2) == 0) {
            goes_on = peer_says(&w);
        } else {
            engine_says(&w);
        }
        if (goes_on)
            check_lanes(&w);
    }
    end_close(&w.end);
    walks++;
}

static void test_walks_of_a_server(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SCALED(150000); seed++)
        walk(RX_SERVER, seed);
}

static void test_walks_of_a_client(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SCALED(150000); seed++)
        walk(RX_CLIENT, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walks_of_a_server),
        cmocka_unit_test(test_walks_of_a_client),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("walk: %zu sessions, %zu steps, %zu of them wrong\n", walks, steps, wrong_steps);
    return failed;
}
