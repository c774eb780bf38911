/* Client against server, the connection cut at random places, again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/duel/world.h"

static void test_cut_at_random(void **state)
{
    (void)state;
    unsigned cuts = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        const struct world_options options = {
            .seed = seed, .commands = WORLD_COMMANDS, .most = 400000, .cut_one_in = 3 + seed};
        cuts += world_run(&options);
    }
    assert_true(cuts > 600);
}

static void test_never_cut(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 10; seed++) {
        const struct world_options options = {
            .seed = seed, .commands = WORLD_COMMANDS, .most = 1500000};
        assert_int_equal(world_run(&options), 1); /* at its end */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_at_random),
        cmocka_unit_test(test_never_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
