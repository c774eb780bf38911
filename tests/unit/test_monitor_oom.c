/*
 * Each allocation of the monitor fails once, in a session with commands from its first message to
 * its last: nobody is let in who is not proven, the client is told what it can use, nothing
 * crashes, hangs, leaks or stays, and the next session is as good as any.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

#include "rexecd/monitor.h"
#include "tests/unit/monitor_story.h"
#include "tests/unit/oom.h"

static size_t armed_at; /* 0: nothing fails */
static size_t counted;  /* allocations in the monitor's turns */

static void story_arm(bool on)
{
    if (on) {
        oom_calls = counted;
        oom_failing = armed_at;
    } else {
        counted = oom_calls;
        oom_off();
    }
}

static void arm(size_t n)
{
    counted = 0;
    armed_at = n;
}

static char audit_path[] = "/tmp/rexec-test-monitor-oom.XXXXXX";

static const char *const settings[] = {
    "kill_grace", "0.01", "cgroups", "no", "audit", audit_path, NULL,
};

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

/* Allocations that there were, and how the story ended. */
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
    bool failed = n > 0 && counted >= n;
    if (s.fate == FATE_BROKEN || s.fate == FATE_GONE || !over)
        fail_msg("allocation %zu: %s%s", n,
                 s.fate == FATE_GONE     ? "the link is gone"
                 : s.fate == FATE_BROKEN ? s.why
                                         : "as it should",
                 over ? "" : ", and something stays");
    if (!failed) {
        assert_int_equal(s.fate, FATE_WHOLE);
        assert_true(s.held);
    }
    size_t count = counted;
    if (!w.gone)
        expect_sound(&w, 2);
    world_close(&w);
    assert_int_equal(story_fds(), before);
    arm(0);
    counted = count;
    return s.fate;
}

static void test_session(void **state)
{
    (void)state;
    size_t fates[FATE_WHOLE + 1] = {0};
    assert_int_equal(tell(0), FATE_WHOLE);
    size_t all = counted;
    assert_true(all > 50);
    for (size_t n = 1; n <= all; n++)
        fates[tell(n)]++;
    printf("%zu allocations: %zu dropped, %zu failed, %zu refused, %zu whole\n", all,
           fates[FATE_DROPPED], fates[FATE_FAILED], fates[FATE_REFUSED], fates[FATE_WHOLE]);
    assert_true(fates[FATE_DROPPED] > 0 && fates[FATE_REFUSED] > 0);
}

/* "An error on the way counts as success": not for want of memory. */
static void test_never_authenticated(void **state)
{
    (void)state;
    static struct world w;
    size_t all = 1;
    arm(0);
    world_open(&w, NULL, settings);
    for (size_t n = 0; n <= all; n++) {
        struct story s;
        arm(n);
        assert_false(story_open(&s, &w, (uint32_t)n + 1, true));
        if (s.keys || s.fate != FATE_DROPPED)
            fail_msg("allocation %zu: %s", n, s.why);
        if (n == 0)
            all = counted;
    }
    assert_true(all >= 2);
    expect_sound(&w, UINT32_MAX);
    world_close(&w);
}

/* A monitor that cannot be made is not half made. */
static void test_new(void **state)
{
    (void)state;
    struct config config;
    char error[CONFIG_ERROR_MAX];
    size_t fds = story_fds(), failed = 0;
    log_open("rexecd", LOG_LEVEL_NONE, false);
    assert_int_equal(config_init(&config), 0);
    assert_int_equal(config_set(&config, "name", world_name, error), 0);
    assert_int_equal(config_complete(&config, error), 0);
    for (size_t n = 1;; n++) {
        struct event_base *base = event_base_new();
        assert_non_null(base);
        assert_int_equal(event_base_priority_init(base, 2), 0);
        const struct monitor_parts parts = {.config = &config};
        oom_fail_at(n);
        struct monitor *m = monitor_new(base, &parts);
        bool reached = oom_failed();
        oom_off();
        failed += m == NULL;
        monitor_free(m);
        event_base_free(base);
        assert_int_equal(story_fds(), fds);
        if (!reached) {
            assert_non_null(m);
            break;
        }
    }
    assert_true(failed > 5);
    config_free(&config);
}

int main(void)
{
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    json_set_alloc_funcs(__wrap_malloc, free);
    world_log = LOG_LEVEL_NONE;
    world_spells = true;
    int fd = mkstemp(audit_path);
    if (fd < 0 || sodium_init() < 0)
        return 1;
    (void)close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_never_authenticated),
        cmocka_unit_test(test_new),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(audit_path);
    return failures;
}
