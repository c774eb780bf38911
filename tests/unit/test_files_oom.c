/* Each allocation of auth/grants.c fails once; key and grant files need none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/grants.h"
#include "auth/key.h"
#include "tests/unit/grant_same.h"
#include "tests/unit/oom.h"

enum { COUNT = 40 }; /* grows the table more than once */

static const uint8_t decoy_secret[RX_KEY_SIZE] = {1};
static const struct rx_source nowhere = {.family = RX_FAMILY_UNIX};

static struct rx_grant grant_number(unsigned i)
{
    struct rx_grant grant = {.server = "s", .keys = {{1}, {2}, {3}, {4}}};
    grant.keys.kid[1] = (uint8_t)i;
    grant.keys.mix[1] = (uint8_t)i;
    return grant;
}

/* The first `count` are there and the rest are not. */
static void expect_table(const struct rx_grants *grants, unsigned count)
{
    assert_int_equal(rx_grants_count(grants), count);
    for (unsigned i = 0; i < COUNT; i++) {
        struct rx_grant grant = grant_number(i);
        struct rx_grant_keys keys;
        const struct rx_grant *found;
        assert_int_equal(
            rx_grants_look_up(grants, decoy_secret, grant.keys.kid, 0, &nowhere, &keys, &found),
            RX_OK);
        assert_ptr_equal(found, rx_grants_at(grants, i));
        assert_int_equal(found != NULL, i < count);
        if (found != NULL)
            assert_true(grant_same(found, &grant));
    }
}

/* Fills a table; what fails once succeeds when asked again. How often it failed. */
static unsigned fill(void)
{
    unsigned failures = 0;
    struct rx_grants *grants = rx_grants_new();
    if (grants == NULL) {
        failures++;
        grants = rx_grants_new();
    }
    assert_non_null(grants);
    for (unsigned i = 0; i < COUNT; i++) {
        struct rx_grant grant = grant_number(i);
        enum rx_error error = rx_grants_add(grants, &grant);
        if (error != RX_OK) {
            assert_int_equal(error, RX_E_NO_MEMORY);
            failures++;
            expect_table(grants, i);
            assert_int_equal(rx_grants_add(grants, &grant), RX_OK);
        }
    }
    expect_table(grants, COUNT);
    rx_grants_free(grants);
    return failures;
}

static void test_every_allocation(void **state)
{
    (void)state;
    oom_off();
    assert_int_equal(fill(), 0);
    size_t allocations = oom_count();
    assert_true(allocations >= 5);
    for (size_t n = 1; n <= allocations; n++) {
        oom_fail_at(n);
        unsigned failures = fill();
        assert_true(oom_failed());
        oom_off();
        assert_int_equal(failures, 1);
    }
}

/* A table whose growth failed is freed like any other. */
static void test_freed_after_failure(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        struct rx_grants *grants = rx_grants_new();
        struct rx_grant grant = grant_number(0);
        assert_non_null(grants);
        oom_fail_at(n);
        assert_int_equal(rx_grants_add(grants, &grant), RX_E_NO_MEMORY);
        oom_off();
        assert_null(rx_grants_at(grants, 0));
        rx_grants_free(grants);
    }
}

static void test_files_need_no_memory(void **state)
{
    (void)state;
    struct rx_grant grant = grant_number(1);
    struct rx_key key = {.psk = {1}, .comment = "c"};
    struct rx_file_error error;
    char text[RX_GRANT_TEXT_MAX];
    size_t n;
    oom_fail_at(1);
    enum rx_error results[] = {
        rx_grant_print(&grant, text, sizeof text, &n),
        rx_grant_parse(text, n, &grant, &error),
        rx_key_print(&key, text, sizeof text, &n),
        rx_key_parse(text, n, &key, &error),
    };
    size_t allocations = oom_count();
    oom_off();
    assert_int_equal(allocations, 0);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        assert_int_equal(results[i], RX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_freed_after_failure),
        cmocka_unit_test(test_files_need_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
