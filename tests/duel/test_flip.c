/*
 * A record that was altered on its way ends the session: every bit of the records of recorded
 * sessions flipped, every byte dropped, doubled, swapped with its neighbour; every record dropped,
 * doubled, swapped with the next, cut short, replayed from another session, reflected to its
 * sender. The receiver hears what came whole before the first altered byte, and nothing else.
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
#include "tests/duel/play.h"
#include "tests/duel/suites.h"
#include "tests/unit/scale.h"

static size_t records_altered, alterations;

/* ---- what a receiver makes of an altered stream ----------------------------------------- */

/* One direction of a session, and how far its records reach. */
struct victim {
    const struct recording *rec;
    enum rx_role role; /* of the receiver */
    const struct tape *stream;
};

static struct victim victim_of(const struct recording *rec, enum rx_role role)
{
    enum rx_role sender = role == RX_CLIENT ? RX_SERVER : RX_CLIENT;
    return (struct victim){rec, role, &rec->all[sender]};
}

/* How many records end at or before `at`. */
static size_t records_before(const struct tape *stream, size_t at)
{
    size_t count = 0;
    for (size_t end = 0, n; (n = tape_record(stream, end)) > 0 && end + n <= at; end += n)
        count++;
    return count;
}

static size_t first_difference(const struct tape *a, const struct tape *b)
{
    size_t least = a->n < b->n ? a->n : b->n;
    size_t i = 0;
    while (i < least && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

/* Bytes that make up for a length field that was made larger, or for a record that was cut: not
 * what would have been there. */
static enum rx_next fill_up(struct player *p, const struct victim *v, size_t at)
{
    static uint8_t filling[RX_OUTPUT_MIN];
    const struct listener l = player_listener(p);
    filling[0] = at < v->stream->n ? (uint8_t)~v->stream->bytes[at] : 0;
    return deliver(p->end.engine, filling, sizeof filling, &l);
}

/* Whether the first altered record says a length that no record has. */
static bool length_is_wrong(const struct victim *v, const struct tape *altered, size_t good)
{
    size_t at = 0;
    for (size_t i = 0; i < good; i++)
        at += tape_record(v->stream, at);
    if (altered->n < at + RX_RECORD_LENGTH)
        return false;
    size_t tag = v->rec->keys.suite == RX_SUITE_HMAC_SHA256 ? 32 : 16;
    size_t length = rx_get32(altered->bytes + at);
    return length < 8 + tag || length > 262144;
}

/* The engine stays as it failed, whatever is tried with it. */
static void expect_dead(struct player *p, const struct tape *more)
{
    struct rx_engine *e = p->end.engine;
    enum rx_error error = rx_engine_error(e);
    size_t events = p->events;
    const struct listener l = player_listener(p);
    bool told = (p->types >> RX_ERROR & 1) != 0; /* the session ended before the altered byte */
    assert_true(told ? error == RX_E_PEER_ERROR
                     : error == RX_E_BAD_SEAL || error == RX_E_BAD_LENGTH);
    assert_int_equal(rx_engine_state(e), RX_SESSION_FAILED);
    assert_int_equal(deliver(e, more->bytes, more->n, &l), RX_NEXT_ERROR);
    if (error == RX_E_BAD_SEAL) { /* the keys are gone, too */
        static const uint8_t none[RX_KEY_SIZE];
        assert_int_equal(p->end.in.failed, error);
        assert_memory_equal(p->end.in.secret, none, sizeof none);
    }
    uint8_t *room;
    assert_int_equal(rx_engine_room(e, &room), 0);
    assert_int_equal(rx_engine_error(e), error);
    assert_int_equal(rx_engine_eof(e), error);
    assert_int_equal(p->events, events);
    struct rx_channel *none = NULL;
    enum rx_error said = p->end.role == RX_SERVER
                             ? end_welcome(&p->end)
                             : rx_engine_request(e, RX_LIST, NULL, 0, NULL, 0, &none);
    assert_int_equal(said, error);
    assert_int_equal(rx_engine_ping(e, (const uint8_t *)"anybody?"), error);
}

/*
 * Gives `altered` instead of the victim's stream. The batches before the first altered byte come as
 * they did, with the receiver's own steps between; the rest in one piece: the last one too.
 */
static void expect_refused(const struct victim *v, const struct tape *altered)
{
    static struct tape sent;
    struct replay r;
    size_t place = first_difference(v->stream, altered);
    size_t good = records_before(v->stream, place);
    replay_begin(&r, v->rec, v->role, &sent);
    const struct listener l = player_listener(r.player);
    const struct tape *batch = replay_until_delivery(&r);
    size_t whole = place < v->stream->n ? place : v->stream->n - 1;
    size_t at = 0;
    for (; at + batch->n <= whole; batch = replay_until_delivery(&r)) {
        assert_int_equal(deliver(r.player->end.engine, batch->bytes, batch->n, &l), RX_NEXT_MORE);
        at += batch->n;
    }
    enum rx_next next = deliver(r.player->end.engine, altered->bytes + at, altered->n - at, &l);
    if (length_is_wrong(v, altered, good) && (r.player->types >> RX_ERROR & 1) == 0)
        assert_int_equal(rx_engine_error(r.player->end.engine), RX_E_BAD_LENGTH);
    if (next == RX_NEXT_MORE) {
        /* Something is missing: the end of the connection is an error, and so is any filling. */
        bool cut_between = altered->n == place && records_before(altered, place) == good &&
                           rx_engine_eof(r.player->end.engine) == RX_OK;
        if (!cut_between)
            assert_int_equal(rx_engine_eof(r.player->end.engine), RX_E_CLOSED_EARLY);
        next = fill_up(r.player, v, altered->n);
    }
    if (next != RX_NEXT_ERROR || r.player->events != good) {
        fail_msg("%s, %s, %s: altered at byte %zu: %zu events instead of %zu, %s",
                 v->rec->play->name, rx_suite_name(v->rec->keys.suite),
                 v->role == RX_CLIENT ? "client" : "server", place, r.player->events, good,
                 rx_error_name(rx_engine_error(r.player->end.engine)));
    }
    expect_dead(r.player, v->stream);
    replay_end(&r);
    alterations++;
}

/* ---- altering --------------------------------------------------------------------------- */

/* The stream with `n` bytes at `at` replaced by `m` others. Valid until the next call. */
static const struct tape *spliced(const struct tape *stream, size_t at, size_t n, const void *bytes,
                                  size_t m)
{
    static struct tape altered;
    altered.n = 0;
    tape_append(&altered, stream->bytes, at);
    tape_append(&altered, bytes, m);
    tape_append(&altered, stream->bytes + at + n, stream->n - at - n);
    return &altered;
}

static void alter_bits(const struct victim *v, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t flipped = (uint8_t)(v->stream->bytes[i] ^ 1U << bit);
            expect_refused(v, spliced(v->stream, i, 1, &flipped, 1));
        }
    }
}

static void alter_bytes(const struct victim *v, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++) {
        const uint8_t *b = v->stream->bytes + i;
        uint8_t twice[2] = {b[0], b[0]};
        expect_refused(v, spliced(v->stream, i, 1, NULL, 0));
        expect_refused(v, spliced(v->stream, i, 1, twice, 2));
        if (i + 1 == v->stream->n || b[0] == b[1])
            continue;
        uint8_t swapped[2] = {b[1], b[0]};
        expect_refused(v, spliced(v->stream, i, 2, swapped, 2));
    }
}

static void swap_with_next(const struct victim *v, size_t at, size_t n)
{
    size_t m = tape_record(v->stream, at + n);
    if (m == 0)
        return;
    struct tape swapped = {0};
    tape_append(&swapped, v->stream->bytes + at + n, m);
    tape_append(&swapped, v->stream->bytes + at, n);
    expect_refused(v, spliced(v->stream, at, n + m, swapped.bytes, n + m));
    tape_clear(&swapped);
}

static void double_record(const struct victim *v, size_t at, size_t n)
{
    expect_refused(v, spliced(v->stream, at, 0, v->stream->bytes + at, n));
}

/* Cut at every length, the rest closing up; and the connection's end there. */
static void truncate_record(const struct victim *v, size_t at, size_t n)
{
    for (size_t cut = 1; cut < n; cut++) {
        expect_refused(v, spliced(v->stream, at + n - cut, cut, NULL, 0));
        expect_refused(v, spliced(v->stream, at + n - cut, v->stream->n - (at + n - cut), NULL, 0));
    }
    /* A shorter record that says so. */
    for (size_t cut = 1; cut < n - RX_RECORD_LENGTH; cut++) {
        struct tape shorter = {0};
        tape_append(&shorter, v->stream->bytes + at, n - cut);
        rx_put32(shorter.bytes, (uint32_t)(n - cut - RX_RECORD_LENGTH));
        expect_refused(v, spliced(v->stream, at, n, shorter.bytes, shorter.n));
        tape_clear(&shorter);
    }
}

/* A record from elsewhere in the place of this one, and before it. */
static void insert_record(const struct victim *v, size_t at, size_t n, const struct tape *from,
                          size_t from_at)
{
    size_t m = tape_record(from, from_at);
    if (m == 0)
        return;
    expect_refused(v, spliced(v->stream, at, n, from->bytes + from_at, m));
    expect_refused(v, spliced(v->stream, at, 0, from->bytes + from_at, m));
}

/* ---- over all records ------------------------------------------------------------------- */

/* The second recording of the same play has other keys. */
static void alter_records(const struct victim *v, const struct recording *other)
{
    const struct tape *elsewhere = &other->all[v->role == RX_CLIENT ? RX_SERVER : RX_CLIENT];
    const struct tape *own = &v->rec->all[v->role];
    size_t mirror = 0;
    size_t foreign = 0;
    for (size_t at = 0, n; (n = tape_record(v->stream, at)) > 0; at += n) {
        if (at + n < v->stream->n) /* one that nobody waits for may be missing at the end */
            expect_refused(v, spliced(v->stream, at, n, NULL, 0));
        double_record(v, at, n);
        swap_with_next(v, at, n);
        truncate_record(v, at, n);
        insert_record(v, at, n, elsewhere, foreign);
        insert_record(v, at, n, own, mirror);
        insert_record(v, at, n, own, 0);
        insert_record(v, at, n, v->stream, 0);
        foreign += tape_record(elsewhere, foreign);
        mirror += tape_record(own, mirror);
    }
}

static void alter_all_bits(const struct victim *v, size_t every)
{
    size_t i = 0;
    for (size_t at = 0, n; (n = tape_record(v->stream, at)) > 0; at += n) {
        if (i++ % every != 0)
            continue;
        alter_bits(v, at, n);
        alter_bytes(v, at, n);
        records_altered++;
    }
}

static void with_recordings(const struct play *play, struct dice *d,
                            void (*check)(const struct victim *v, const struct recording *other))
{
    for (enum rx_suite suite = suite_first(); suite != RX_SUITE_NONE; suite = suite_next(suite)) {
        struct recording rec;
        struct recording other;
        record_play(&rec, play, suite, d);
        record_play(&other, play, suite, d);
        const struct victim client = victim_of(&rec, RX_CLIENT);
        const struct victim server = victim_of(&rec, RX_SERVER);
        check(&client, &other);
        check(&server, &other);
        recording_clear(&rec);
        recording_clear(&other);
    }
}

/* ---- the tests -------------------------------------------------------------------------- */

static void check_bits(const struct victim *v, const struct recording *other)
{
    (void)other;
    alter_all_bits(v, SLOW_BUILD ? 2 : 1);
}

static void test_bits_and_bytes(void **state)
{
    (void)state;
    struct dice d = {7};
    for (size_t i = 0; i < (SLOW_BUILD ? 4 : 12); i++) {
        with_recordings(&play_command, &d, check_bits);
        with_recordings(&play_questions, &d, check_bits);
    }
    with_recordings(&play_return, &d, check_bits);
}

static void test_records(void **state)
{
    (void)state;
    struct dice d = {8};
    with_recordings(&play_command, &d, alter_records);
    with_recordings(&play_questions, &d, alter_records);
    with_recordings(&play_return, &d, alter_records);
    if (!SLOW_BUILD)
        with_recordings(&play_rich, &d, alter_records);
}

/* The whole of one session's bytes given to another receiver of the same grant and play. */
static void check_replay(const struct victim *v, const struct recording *other)
{
    const struct victim fresh = victim_of(other, v->role);
    expect_refused(&fresh, v->stream);
    const struct victim reflected = victim_of(v->rec, v->role);
    expect_refused(&reflected, &v->rec->all[v->role]);
}

static void test_whole_sessions(void **state)
{
    (void)state;
    struct dice d = {9};
    with_recordings(&play_command, &d, check_replay);
    with_recordings(&play_questions, &d, check_replay);
    with_recordings(&play_rich, &d, check_replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_and_bytes),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_whole_sessions),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("flip: %zu records with every bit and byte altered, %zu sessions\n", records_altered,
           alterations);
    return failed;
}
