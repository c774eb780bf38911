/*
 * Each call of the monitor to the system fails once, in a session with commands from its first
 * message to its last, with an error that passes: nobody is let in who is not proven, the client is
 * told what it can use, nothing crashes, hangs, leaks or stays, and the next session is as good as
 * any.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rexecd/monitor.h"
#include "tests/unit/calls.h"
#include "tests/unit/monitor_story.h"

static size_t armed_at; /* 0: nothing fails */
static unsigned flavour;
static size_t counted; /* calls in the monitor's turns */
static const char *failed_call;

static void story_arm(bool on)
{
    if (on) {
        calls_at(armed_at, flavour);
        call_count = counted;
    } else {
        counted = call_count;
        if (call_failed != NULL)
            failed_call = call_failed;
        calls_off();
    }
}

static void arm(size_t n)
{
    counted = 0;
    armed_at = n;
    failed_call = NULL;
}

static const char *const settings[] = {"kill_grace", "0.01", "cgroups", "no", NULL};

static void expect_sound(struct world *w, uint32_t session)
{
    struct story s;
    arm(0);
    if (!story_open(&s, w, session, false) || !story_talk(&s, 1))
        fail_msg("the next session: %s", s.why);
    client_close(&s.c, IPC_HOW_CLOSE);
    assert_true(story_over(w));
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

/* How the story ended with this call failing; `failed_call` and `counted` stay. */
static enum fate tell(size_t n)
{
    static struct world w;
    struct story s;
    size_t before = story_fds();
    arm(0);
    world_open(&w, NULL, settings);
    arm(n);
    story_tell(&s, &w, 1);
    bool over = story_over(&w);
    const char *name = failed_call != NULL ? failed_call : "none";
    if (s.fate == FATE_BROKEN || s.fate == FATE_GONE || !over)
        fail_msg("call %zu (%s, flavour %u): %s%s", n, name, flavour,
                 s.fate == FATE_GONE     ? "the link is gone"
                 : s.fate == FATE_BROKEN ? s.why
                                         : "as it should",
                 over ? "" : ", and something stays");
    if (failed_call == NULL) {
        assert_int_equal(s.fate, FATE_WHOLE);
        assert_true(s.held);
    }
    /* These pass by themselves, and nobody notices. */
    if (failed_call != NULL && s.fate != FATE_WHOLE &&
        (strcmp(name, "sendmsg") == 0 || strcmp(name, "recvmsg") == 0 ||
         strcmp(name, "wait4") == 0 || strcmp(name, "read") == 0))
        fail_msg("call %zu (%s, flavour %u) was noticed", n, name, flavour);
    size_t count = counted;
    /* What comes now is not the story's. */
    static const char *names[CALL_LOG];
    memcpy(names, call_log, sizeof names);
    if (!w.gone)
        expect_sound(&w, 2);
    world_close(&w);
    assert_int_equal(story_fds(), before);
    memcpy(call_log, names, sizeof names);
    counted = count;
    failed_call = name;
    return s.fate;
}

/*
 * Which calls are made to fail: the first ones of each name, and some of the rest. How many there
 * are depends on how many processes the machine has, as all are looked at for those that a command
 * has left behind.
 */
enum { OF_EACH = 20, OF_THE_REST = 37, NAMES = 64 };

static size_t choose(bool chosen[static CALL_LOG], size_t all)
{
    struct {
        const char *name;
        size_t count;
    } names[NAMES] = {{0}};
    size_t n = 0;
    for (size_t i = 0; i < all && i < CALL_LOG; i++) {
        size_t k = 0;
        while (names[k].name != NULL && strcmp(names[k].name, call_log[i]) != 0)
            assert_true(++k < NAMES);
        names[k].name = call_log[i];
        chosen[i] = names[k].count++ < OF_EACH || i % OF_THE_REST == 0;
        n += chosen[i];
    }
    return n;
}

static void sweep(void)
{
    static bool chosen[CALL_LOG];
    size_t fates[FATE_WHOLE + 1] = {0};
    assert_int_equal(tell(0), FATE_WHOLE);
    size_t all = counted;
    size_t tried = choose(chosen, all);
    assert_true(tried > 50);
    for (size_t n = 1; n <= all && n <= CALL_LOG; n++)
        if (chosen[n - 1])
            fates[tell(n)]++;
    printf("%zu of %zu calls: %zu dropped, %zu failed, %zu refused, %zu whole\n", tried, all,
           fates[FATE_DROPPED], fates[FATE_FAILED], fates[FATE_REFUSED], fates[FATE_WHOLE]);
    assert_true(fates[FATE_REFUSED] > 0);
}

static void test_session(void **state)
{
    (void)state;
    flavour = 0;
    sweep();
}

static void test_session_otherwise(void **state)
{
    (void)state;
    flavour = 1;
    sweep();
}

/* "An error on the way counts as success": not that of a system call. */
static void test_never_authenticated(void **state)
{
    (void)state;
    static struct world w;
    arm(0);
    world_open(&w, NULL, settings);
    for (unsigned which = 0; which < 2; which++) {
        size_t all = 1;
        flavour = which;
        for (size_t n = 0; n <= all; n++) {
            struct story s;
            arm(n);
            assert_false(story_open(&s, &w, (uint32_t)(n * 2 + which + 1), true));
            if (s.keys || s.fate != FATE_DROPPED)
                fail_msg("call %zu (%s): %s", n, failed_call, s.why);
            if (n == 0)
                all = counted;
        }
        assert_true(all >= 2);
    }
    expect_sound(&w, UINT32_MAX);
    world_close(&w);
}

int main(void)
{
    world_log = LOG_LEVEL_NONE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_session_otherwise),
        cmocka_unit_test(test_never_authenticated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
