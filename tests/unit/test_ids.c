/* rexecd/ids.c, rexecd/quota.c: which commands there were, and how many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rexecd/ids.h"
#include "rexecd/quota.h"

enum { REMEMBERED = 16, MANY = 5000 };

static const uint8_t mine[RX_KID_SIZE] = {1}, other[RX_KID_SIZE] = {1, 2};

static const uint8_t *id_of(unsigned n)
{
    static uint8_t id[RX_COMMAND_ID_SIZE];
    memset(id, 0, sizeof id);
    id[0] = (uint8_t)n;
    id[9] = (uint8_t)(n >> 8);
    return id;
}

static void test_ids(void **state)
{
    (void)state;
    struct ids *ids = ids_new(REMEMBERED, 1000);
    assert_non_null(ids);
    assert_int_equal(ids_horizon(ids), 1000);
    assert_int_equal(ids_find(ids, id_of(1), mine), IDS_UNKNOWN);
    assert_int_equal(ids_add(ids, id_of(1), mine, 1001), 0);
    assert_int_equal(ids_find(ids, id_of(1), mine), IDS_OWN);
    assert_int_equal(ids_find(ids, id_of(1), other), IDS_FOREIGN);
    assert_int_equal(ids_find(ids, id_of(2), mine), IDS_UNKNOWN);
    assert_int_equal(ids_find(ids, id_of(1 + 256), mine), IDS_UNKNOWN); /* ninth byte */
    ids_remove(ids, id_of(2));
    ids_end(ids, id_of(2));
    ids_remove(ids, id_of(1));
    assert_int_equal(ids_find(ids, id_of(1), mine), IDS_UNKNOWN);
    assert_int_equal(ids_horizon(ids), 1000);
    /* One that has ended is not unknown, whatever is tried. */
    assert_int_equal(ids_add(ids, id_of(3), mine, 1002), 0);
    ids_end(ids, id_of(3));
    ids_end(ids, id_of(3));
    ids_remove(ids, id_of(3));
    assert_int_equal(ids_find(ids, id_of(3), mine), IDS_OWN);
    ids_free(ids);
    ids_free(NULL);
}

/* Ids that somebody has chosen, alike in whatever may be made of their bytes without a secret, do
 * not meet in one place, and another server has other places. */
static void test_chosen(void **state)
{
    (void)state;
    enum { IDS = 1024, PLACES = 4096 };
    struct ids *ids[2] = {ids_new(REMEMBERED, 0), ids_new(REMEMBERED, 0)};
    static bool taken[PLACES];
    size_t places = 0, same = 0;
    assert_non_null(ids[0]);
    assert_non_null(ids[1]);
    for (unsigned n = 0; n < IDS; n++) {
        uint8_t id[RX_COMMAND_ID_SIZE] = {0};
        id[0] = id[8] = (uint8_t)n; /* both halves alike */
        id[1] = id[9] = (uint8_t)(n >> 8);
        size_t place = ids_hash(ids[0], id) % PLACES;
        places += !taken[place];
        taken[place] = true;
        same += place == ids_hash(ids[1], id) % PLACES;
        assert_true(ids_hash(ids[0], id) == ids_hash(ids[0], id));
    }
    assert_true(places > IDS / 2);
    assert_true(same < IDS / 2);
    ids_free(ids[0]);
    ids_free(ids[1]);
}

/* The longest ended are forgotten first, those that run never; the horizon is the latest beginning
 * that was forgotten. */
static void test_horizon(void **state)
{
    (void)state;
    struct ids *ids = ids_new(REMEMBERED, 0);
    assert_non_null(ids);
    assert_int_equal(ids_add(ids, id_of(0), mine, 1), 0); /* runs all the time */
    for (unsigned n = 1; n <= MANY; n++) {
        assert_int_equal(ids_find(ids, id_of(n), mine), IDS_UNKNOWN);
        assert_int_equal(ids_add(ids, id_of(n), mine, 1 + n), 0);
        ids_end(ids, id_of(n));
        if (n > REMEMBERED) {
            assert_int_equal(ids_find(ids, id_of(n - REMEMBERED), mine), IDS_UNKNOWN);
            assert_int_equal(ids_horizon(ids), 1 + n - REMEMBERED);
            assert_int_equal(ids_find(ids, id_of(n - REMEMBERED + 1), mine), IDS_OWN);
        } else {
            assert_int_equal(ids_horizon(ids), 0);
        }
    }
    assert_int_equal(ids_find(ids, id_of(0), mine), IDS_OWN);
    ids_free(ids);
}

/* One that began late and ended early is forgotten early: the horizon does not go back behind it.
 */
static void test_horizon_never_falls(void **state)
{
    (void)state;
    struct ids *ids = ids_new(1, 0);
    assert_non_null(ids);
    assert_int_equal(ids_add(ids, id_of(1), mine, 10), 0);
    assert_int_equal(ids_add(ids, id_of(2), mine, 20), 0);
    ids_end(ids, id_of(2));
    ids_end(ids, id_of(1)); /* forgets 2, that began at 20 */
    assert_int_equal(ids_horizon(ids), 20);
    assert_int_equal(ids_add(ids, id_of(3), mine, 30), 0);
    ids_end(ids, id_of(3)); /* forgets 1, that began at 10 */
    assert_int_equal(ids_horizon(ids), 20);
    ids_free(ids);
}

/* Ids that share their places with others, as there are more of them, are told apart all the same.
 */
static void test_collisions(void **state)
{
    (void)state;
    struct ids *ids = ids_new(REMEMBERED, 0);
    uint8_t id[RX_COMMAND_ID_SIZE] = {0};
    assert_non_null(ids);
    for (unsigned n = 0; n < MANY; n++) {
        id[7] = id[15] = (uint8_t)n;
        id[6] = (uint8_t)(n >> 8);
        assert_int_equal(ids_find(ids, id, mine), IDS_UNKNOWN);
        assert_int_equal(ids_add(ids, id, n % 2 == 0 ? mine : other, n), 0);
    }
    for (unsigned n = 0; n < MANY; n++) {
        id[7] = id[15] = (uint8_t)n;
        id[6] = (uint8_t)(n >> 8);
        assert_int_equal(ids_find(ids, id, mine), n % 2 == 0 ? IDS_OWN : IDS_FOREIGN);
        ids_end(ids, id);
    }
    ids_free(ids);
}

static void test_quota(void **state)
{
    (void)state;
    struct quota *quota = quota_new();
    assert_non_null(quota);
    assert_true(quota_take(quota, mine, 2));
    assert_true(quota_take(quota, mine, 2));
    assert_false(quota_take(quota, mine, 2));
    assert_false(quota_take(quota, mine, 1)); /* the grant has changed */
    assert_true(quota_take(quota, other, 2)); /* another's */
    assert_true(quota_take(quota, mine, 3));
    assert_true(quota_take(quota, mine, 0)); /* no limit */
    for (int i = 0; i < 3; i++)
        quota_give(quota, mine);
    assert_true(quota_take(quota, mine, 2));
    assert_false(quota_take(quota, mine, 2));
    quota_give(quota, mine);
    quota_give(quota, mine);
    quota_give(quota, mine); /* nothing to give */
    assert_true(quota_take(quota, mine, 1));
    assert_false(quota_take(quota, mine, 1));
    quota_free(quota);
    quota_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_horizon),    cmocka_unit_test(test_horizon_never_falls),
        cmocka_unit_test(test_collisions), cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
