/*
 * However the bytes come, the same events come out: recorded sessions are given to one of their
 * ends again, cut at every place, byte by byte, in random pieces, and through rx_engine_room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/duel/play.h"
#include "tests/duel/suites.h"
#include "tests/unit/scale.h"

static size_t sessions, records;

/* How a batch is cut into pieces: the size of the piece that begins at `at` of `n` bytes, all
 * counted over the whole session. */
struct cutter {
    size_t (*piece)(struct cutter *c, size_t at);
    bool to_room;
    size_t a, b; /* the two places of cut_twice; the greatest piece of the others */
    struct dice d;
};

static size_t cut_twice(struct cutter *c, size_t at)
{
    return at < c->a ? c->a - at : at < c->b ? c->b - at : SIZE_MAX;
}

static size_t cut_evenly(struct cutter *c, size_t at)
{
    (void)at;
    return c->a;
}

/* Small and large pieces alike, to about c->a. */
static size_t cut_by_chance(struct cutter *c, size_t at)
{
    (void)at;
    size_t most = c->a >> dice_below(&c->d, 12);
    return 1 + dice_below(&c->d, most + 1);
}

static void deliver_in_pieces(struct player *p, const struct tape *batch, size_t begin,
                              struct cutter *c)
{
    const struct listener l = player_listener(p);
    for (size_t at = 0, n; at < batch->n; at += n) {
        n = c->piece(c, begin + at);
        if (n > batch->n - at)
            n = batch->n - at;
        if (c->to_room) {
            (void)deliver_to_room(p->end.engine, batch->bytes + at, n, &l);
        } else {
            (void)deliver(p->end.engine, batch->bytes + at, n, &l);
        }
    }
}

/* One end again, its input cut so; it must hear, get and say what it did then. */
static void replay_cut(const struct recording *rec, enum rx_role role, struct cutter *c)
{
    static struct tape sent;
    struct replay r;
    replay_begin(&r, rec, role, &sent);
    const struct tape *batch;
    size_t at = 0;
    while ((batch = replay_until_delivery(&r)) != NULL) {
        deliver_in_pieces(r.player, batch, at, c);
        at += batch->n;
    }
    player_drain(r.player);
    const struct player *then = rec->players[role];
    const struct tape *said = &rec->all[role];
    bool same = players_agree(r.player, then) && sent.n == said->n &&
                memcmp(sent.bytes, said->bytes, sent.n) == 0 &&
                rx_engine_error(r.player->end.engine) == rx_engine_error(then->end.engine);
    if (!same) {
        fail_msg("%s, %s: other events when cut at %zu, %zu%s", rec->play->name,
                 rx_suite_name(rec->keys.suite), c->a, c->b, c->to_room ? ", to room" : "");
    }
    sessions++;
    records += then->events;
    replay_end(&r);
}

static size_t received(const struct recording *rec, enum rx_role role)
{
    return rec->all[role == RX_CLIENT ? RX_SERVER : RX_CLIENT].n;
}

/* Calls `check` for both ends of a play under each suite. */
static void with_recordings(const struct play *play,
                            void (*check)(const struct recording *rec, enum rx_role role))
{
    struct dice d = {2026};
    for (enum rx_suite suite = suite_first(); suite != RX_SUITE_NONE; suite = suite_next(suite)) {
        struct recording rec;
        record_play(&rec, play, suite, &d);
        check(&rec, RX_CLIENT);
        check(&rec, RX_SERVER);
        recording_clear(&rec);
    }
}

static void check_everywhere(const struct recording *rec, enum rx_role role)
{
    static const size_t apart[] = {0, 1, 3};
    size_t total = received(rec, role);
    for (size_t at = 0; at < total; at += (SLOW_BUILD ? 7 : 1)) {
        for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
            for (int to_room = 0; to_room <= 1; to_room++) {
                struct cutter c = {cut_twice, to_room != 0, at, at + apart[i], {0}};
                replay_cut(rec, role, &c);
            }
        }
    }
}

static void check_evenly(const struct recording *rec, enum rx_role role)
{
    for (size_t piece = 1; piece <= 512; piece++) {
        for (int to_room = 0; to_room <= 1; to_room++) {
            struct cutter c = {cut_evenly, to_room != 0, piece, 0, {0}};
            replay_cut(rec, role, &c);
        }
    }
    struct cutter all = {cut_evenly, false, SIZE_MAX, 0, {0}};
    replay_cut(rec, role, &all);
}

static void check_by_chance(const struct recording *rec, enum rx_role role)
{
    size_t most = received(rec, role);
    for (size_t i = 0; i < SCALED(400); i++) {
        struct cutter c = {cut_by_chance, i % 2 == 0, most / 2, 0, {i}};
        replay_cut(rec, role, &c);
    }
}

static void check_bulk(const struct recording *rec, enum rx_role role)
{
    for (size_t i = 0; i < SCALED(60); i++) {
        struct cutter c = {cut_by_chance, i % 2 == 0, (size_t)1 << (8 + i % 12), 0, {i}};
        replay_cut(rec, role, &c);
    }
    struct cutter single = {cut_evenly, false, 1, 0, {0}};
    replay_cut(rec, role, &single);
}

/* ---- the tests -------------------------------------------------------------------------- */

static void check_types(const struct recording *rec, enum rx_role role)
{
    (void)role;
    uint64_t types = rec->players[RX_CLIENT]->types | rec->players[RX_SERVER]->types;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        if ((types >> rx_kind_at(i)->number & 1) == 0)
            fail_msg("the rich session has no %s", rx_kind_at(i)->name);
    }
}

static void test_all_types_are_there(void **state)
{
    (void)state;
    with_recordings(&play_rich, check_types);
}

static void test_cut_everywhere(void **state)
{
    (void)state;
    with_recordings(&play_rich, check_everywhere);
}

static void test_pieces_of_every_size(void **state)
{
    (void)state;
    with_recordings(&play_rich, check_evenly);
}

static void test_random_pieces(void **state)
{
    (void)state;
    with_recordings(&play_rich, check_by_chance);
}

static void test_large_messages(void **state)
{
    (void)state;
    with_recordings(&play_bulk, check_bulk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types_are_there),  cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_pieces_of_every_size), cmocka_unit_test(test_random_pieces),
        cmocka_unit_test(test_large_messages),
    };
    assert_true(sodium_init() >= 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("split: %zu sessions, %zu records\n", sessions, records);
    return failed;
}
