/* rexecd/monitor*.c: sessions. Handshake, proofs of requests, messages out of turn, the stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "rexecd/monitor.h"
#include "tests/unit/monitor_world.h"

/* What a command would make that must not run. */
static char marker[64], touch[96];

static bool marked(void)
{
    struct stat st;
    return stat(marker, &st) == 0;
}

static int setup(void **state)
{
    static struct world w;
    (void)unlink(marker);
    world_open(&w, NULL, NULL);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    (void)unlink(marker);
    return 0;
}

/* ---- handshake -------------------------------------------------------------------------- */

static void test_handshake(void **state)
{
    struct world *w = *state;
    struct client c;
    assert_true(client_open(&c, w, 1));
    struct rx_header h;
    assert_int_equal(rx_header_decode(RX_WELCOME, w->in.tail, w->in.tail_len, &h), RX_OK);
    assert_string_equal(h.welcome.server, world_name);
    assert_int_equal(h.welcome.commands, 64);
    assert_int_equal(monitor_sessions(w->monitor), 1);
    client_close(&c, IPC_HOW_CLOSE);
    assert_true(world_silent(w, 20));
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

/* A client of another key gets an M2 like all others; its M3, whatever it is, ends it. */
static void test_unknown_client(void **state)
{
    struct world *w = *state;
    struct client c;
    struct ipc_m1 m1;
    struct ipc_m3 m3 = {{0}};
    uint8_t other[RX_KEY_SIZE];
    memset(other, 9, sizeof other);
    client_m1(&c, w, 1, other, RX_SUITE_CHACHA20POLY1305, &m1);
    world_say(w, IPC_M1, 1, &m1, NULL, 0);
    assert_true(world_expect(w, IPC_M2));
    assert_int_equal(((const struct ipc_m2 *)w->in.fixed)->last, 0);
    assert_int_equal(client_m3(&c, &m3), RX_E_PROOF_WRONG);
    world_say(w, IPC_M3, 1, &m3, NULL, 0);
    assert_true(world_expect(w, IPC_DROP));
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

/* A known client with each bit of M3 flipped in turn. */
static void test_m3_bits(void **state)
{
    struct world *w = *state;
    for (uint32_t bit = 0; bit < 8 * RX_M3_SIZE; bit++) {
        struct client c;
        struct ipc_m1 m1;
        struct ipc_m3 m3;
        client_m1(&c, w, bit + 1, w->psk, RX_SUITE_CHACHA20POLY1305, &m1);
        world_say(w, IPC_M1, bit + 1, &m1, NULL, 0);
        assert_true(world_expect(w, IPC_M2));
        assert_int_equal(client_m3(&c, &m3), RX_OK);
        m3.m3[bit / 8] ^= (uint8_t)(1U << bit % 8);
        world_say(w, IPC_M3, bit + 1, &m3, NULL, 0);
        assert_true(world_expect(w, IPC_DROP));
    }
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

static void drops_m1(struct world *w, size_t at, uint8_t value)
{
    struct client c;
    struct ipc_m1 m1;
    client_m1(&c, w, 1, w->psk, RX_SUITE_CHACHA20POLY1305, &m1);
    m1.m1[at] = value;
    world_say(w, IPC_M1, 1, &m1, NULL, 0);
    assert_true(world_expect(w, IPC_DROP));
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

static void test_bad_m1(void **state)
{
    drops_m1(*state, 0, 'R');
    drops_m1(*state, 4, 2);
    drops_m1(*state, 5, 0);
    drops_m1(*state, 6, 0);
}

/* Nothing in common: M2 says so, and it is the last word. */
static void test_nothing_in_common(void **state)
{
    struct world *w = *state;
    const size_t places[] = {5, 7};
    for (size_t i = 0; i < 2; i++) {
        struct client c;
        struct ipc_m1 m1;
        client_m1(&c, w, 1, w->psk, RX_SUITE_CHACHA20POLY1305, &m1);
        m1.m1[places[i]] = i == 0 ? 2 : RX_SUITE_HMAC_SHA256; /* the latter is not configured */
        if (i == 0)
            m1.m1[6] = 2;
        world_say(w, IPC_M1, 1, &m1, NULL, 0);
        assert_true(world_expect(w, IPC_M2));
        assert_int_equal(((const struct ipc_m2 *)w->in.fixed)->last, 1);
        assert_int_equal(monitor_sessions(w->monitor), 0);
    }
}

/* The keys of one grant that cannot be used for this reason: decoys, so M3 is refused. */
static void not_usable(void (*spoil)(struct rx_grant *grant))
{
    static struct world w;
    struct rx_grant grant;
    struct client c;
    struct ipc_m1 m1;
    struct ipc_m3 m3;
    uint8_t psk[RX_KEY_SIZE];
    memset(psk, 7, sizeof psk);
    world_grant(&w, psk, &grant);
    spoil(&grant);
    world_open(&w, &grant, NULL);
    client_m1(&c, &w, 1, w.psk, RX_SUITE_CHACHA20POLY1305, &m1);
    world_say(&w, IPC_M1, 1, &m1, NULL, 0);
    assert_true(world_expect(&w, IPC_M2));
    assert_int_equal(client_m3(&c, &m3), RX_E_PROOF_WRONG);
    world_close(&w);
}

static void expire(struct rx_grant *grant)
{
    grant->expires = 1;
}

static void begin_later(struct rx_grant *grant)
{
    grant->not_before = INT64_C(1) << 40;
}

static void take_back(struct rx_grant *grant)
{
    grant->revoked = true;
}

static void move(struct rx_grant *grant)
{
    grant->source_count = 1;
    grant->sources[0] =
        (struct rx_source){.family = RX_FAMILY_IPV4, .address = {198, 51, 100, 1}, .bits = 32};
}

static void test_unusable_grants(void **state)
{
    (void)state;
    not_usable(expire);
    not_usable(begin_later);
    not_usable(take_back);
    not_usable(move);
}

/* The readable suite: configured, but not in the grant. */
static void test_readable(void **state)
{
    (void)state;
    static struct world w;
    for (int allowed = 0; allowed < 2; allowed++) {
        struct rx_grant grant;
        struct client c;
        struct ipc_m1 m1;
        struct ipc_m3 m3;
        uint8_t psk[RX_KEY_SIZE];
        memset(psk, 7, sizeof psk);
        world_grant(&w, psk, &grant);
        grant.readable = allowed;
        const char *const settings[] = {"readable", "yes", NULL};
        world_open(&w, &grant, settings);
        client_m1(&c, &w, 1, w.psk, RX_SUITE_HMAC_SHA256, &m1);
        world_say(&w, IPC_M1, 1, &m1, NULL, 0);
        assert_true(world_expect(&w, IPC_M2));
        assert_int_equal(client_m3(&c, &m3), RX_OK);
        world_say(&w, IPC_M3, 1, &m3, NULL, 0);
        assert_true(world_expect(&w, IPC_KEYS));
        if (!allowed)
            assert_true(world_failed(&w, RX_E_SUITE_NOT_PERMITTED));
        else
            assert_true(world_silent(&w, 20));
        world_close(&w);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

/* Every bit of a request flipped: nothing runs, and the session is over. Sessions are cheap, so
 * that each bit has its own. */
static void test_request_bits(void **state)
{
    struct world *w = *state;
    struct client c;
    assert_true(client_open(&c, w, 1));
    client_shell(&c, 1, "true");
    size_t bits = 8 * c.last_len;
    struct running r = {0};
    assert_true(world_started(w, &r));
    running_close(&r);
    client_close(&c, IPC_HOW_CLOSE);
    assert_true(world_idle(w));
    while (world_next(w, 0))
        ;
    uint32_t session = 2;
    for (size_t bit = 0; bit < bits; bit += 7, session++) {
        assert_true(client_open(&c, w, session));
        struct rx_header h = client_exec_header(&c, RX_RUN_SHELL);
        uint8_t body[256];
        size_t n = 0;
        assert_int_equal(
            rx_words_add(body, sizeof body, &n, RX_WORD_ARGUMENT, touch, strlen(touch)), RX_OK);
        client_sign(&c, RX_EXEC, 1, &h, body, n);
        c.last[bit / 8] ^= (uint8_t)(1U << bit % 8);
        client_send(&c);
        assert_true(world_failed(w, RX_E_REQUEST_REJECTED));
        client_close(&c, IPC_HOW_ERROR);
        assert_int_equal(monitor_commands(w->monitor), 0);
    }
    assert_false(marked());
}

static void test_request_replayed(void **state)
{
    struct world *w = *state;
    struct client c;
    struct running r = {0};
    struct rx_header h;
    assert_true(client_open(&c, w, 1));
    client_shell(&c, 1, touch);
    assert_true(world_started(w, &r));
    assert_true(world_ended(w, &r, &h));
    client_finished(&c, &r);
    assert_true(marked());
    (void)unlink(marker);
    client_send(&c); /* once more */
    assert_true(world_failed(w, RX_E_REQUEST_REJECTED));
    /* Nor does it count in another session of the same client. */
    struct client other;
    assert_true(client_open(&other, w, 2));
    memcpy(other.last, c.last, c.last_len);
    other.last_len = c.last_len;
    client_send(&other);
    assert_true(world_failed(w, RX_E_REQUEST_REJECTED));
    assert_int_equal(monitor_commands(w->monitor), 0);
    assert_false(marked());
}

/* The second before the first; the second without the first. */
static void test_request_reordered(void **state)
{
    struct world *w = *state;
    struct client c;
    assert_true(client_open(&c, w, 1));
    struct rx_header h = client_exec_header(&c, RX_RUN_LOGIN);
    client_sign(&c, RX_EXEC, 1, &h, NULL, 0);
    h = client_exec_header(&c, RX_RUN_LOGIN);
    client_sign(&c, RX_EXEC, 2, &h, NULL, 0);
    client_send(&c);
    assert_true(world_failed(w, RX_E_REQUEST_REJECTED));
    assert_int_equal(monitor_commands(w->monitor), 0);
}

static void test_request_cut(void **state)
{
    struct world *w = *state;
    uint32_t session = 1;
    for (size_t n = 0; n < 120; n += 3, session++) {
        struct client c;
        assert_true(client_open(&c, w, session));
        struct rx_header h = client_exec_header(&c, RX_RUN_LOGIN);
        client_sign(&c, RX_EXEC, 1, &h, NULL, 0);
        if (n >= c.last_len)
            break;
        c.last_len = n;
        client_send(&c);
        assert_true(world_failed(w, RX_E_REQUEST_REJECTED));
    }
    assert_int_equal(monitor_commands(w->monitor), 0);
}

/* A proof that stands, over nonsense: the client's fault, and the end of it. */
static void test_proven_nonsense(void **state)
{
    struct world *w = *state;
    struct client c;
    struct rx_header h;
    assert_true(client_open(&c, w, 1));
    client_sign(&c, RX_EXEC, 1, NULL, NULL, 0); /* an EXEC without an id */
    client_send(&c);
    assert_true(world_failed(w, RX_E_BAD_HEADER));
    assert_true(client_open(&c, w, 2));
    h = client_exec_header(&c, RX_RUN_SHELL);
    client_sign(&c, RX_EXEC, 1, &h, (const uint8_t *)"xyz", 3);
    client_send(&c);
    assert_true(world_failed(w, RX_E_BAD_BODY));
    assert_true(client_open(&c, w, 3));
    client_sign(&c, RX_STDIN, 1, NULL, (const uint8_t *)"12345678", 8);
    client_send(&c);
    assert_true(world_failed(w, RX_E_BAD_MESSAGE));
}

/* ---- a net that lies -------------------------------------------------------------------- */

/* Each message of net's to a session that is not there: dropped, nothing made. */
static void test_no_session(void **state)
{
    struct world *w = *state;
    static const uint8_t zeros[512];
    const enum ipc_type types[] = {IPC_M3, IPC_REQUEST};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        world_say(w, types[i], 77, zeros, zeros, 0);
        assert_true(world_expect(w, IPC_DROP));
        assert_int_equal(w->in.session, 77);
    }
    const struct ipc_closed closed = {0};
    world_say(w, IPC_CLOSED, 77, &closed, NULL, 0);
    assert_true(world_silent(w, 20));
    assert_int_equal(monitor_sessions(w->monitor), 0);
}

static void test_out_of_turn(void **state)
{
    struct world *w = *state;
    struct client c;
    struct ipc_m1 m1;
    static const uint8_t zeros[512];
    /* Challenged: no request, no command, no second M1. */
    const enum ipc_type early[] = {IPC_M1, IPC_REQUEST};
    for (uint32_t i = 0; i < sizeof early / sizeof early[0]; i++) {
        client_m1(&c, w, i + 1, w->psk, RX_SUITE_CHACHA20POLY1305, &m1);
        world_say(w, IPC_M1, i + 1, &m1, NULL, 0);
        assert_true(world_expect(w, IPC_M2));
        world_say(w, early[i], i + 1, zeros, zeros, 0);
        assert_true(world_expect(w, IPC_DROP));
        assert_int_equal(monitor_sessions(w->monitor), 0);
    }
    /* Proven: no handshake. */
    const enum ipc_type late[] = {IPC_M1, IPC_M3};
    for (uint32_t i = 0; i < sizeof late / sizeof late[0]; i++) {
        assert_true(client_open(&c, w, 100 + i));
        world_say(w, late[i], 100 + i, zeros, zeros, 0);
        assert_true(world_failed(w, RX_E_INTERNAL));
        /* It counts no more, whatever it says. */
        client_shell(&c, 1, touch);
        assert_true(world_silent(w, 10));
        client_close(&c, IPC_HOW_ERROR);
    }
    assert_true(world_silent(w, 20));
    assert_int_equal(monitor_sessions(w->monitor), 0);
    assert_false(marked());
}

/* Net speaks of a command that never was, or that it has not been given yet: it is not itself. */
static void net_speaks(struct world *w, enum ipc_type type, uint64_t command)
{
    static uint8_t fixed[64];
    memset(fixed, 0, sizeof fixed);
    memcpy(fixed, &command, sizeof command);
    world_say(w, type, 0, fixed, NULL, 0);
    while (world_next(w, 5000))
        ;
    assert_true(w->gone);
    assert_int_equal(monitor_sessions(w->monitor), 0);
    assert_true(world_idle(w));
}

static void test_command_that_never_was(void **state)
{
    const enum ipc_type types[] = {IPC_DRAINED, IPC_OVER_LIMIT, IPC_FINISHED, IPC_GONE,
                                   IPC_NOT_RESUMED};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (uint64_t command = 0; command <= 2; command += 2) {
            struct world w;
            struct client c;
            struct running r = {0};
            world_open(&w, NULL, NULL);
            assert_true(client_open(&c, &w, 1));
            client_shell(&c, 1, "sleep 30"); /* the first */
            assert_true(world_started(&w, &r));
            net_speaks(&w, types[i], command);
            running_close(&r);
            world_close(&w);
        }
    }
}

/* A datagram that is none: net is not itself, and all of its sessions are over. */
static void test_malformed(void **state)
{
    struct world *w = *state;
    struct client c;
    struct running r = {0};
    assert_true(client_open(&c, w, 1));
    client_shell(&c, 1, "sleep 30");
    assert_true(world_started(w, &r));
    assert_int_equal(write(w->net, "nonsense", 8), 8);
    assert_false(world_next(w, 5000));
    assert_true(w->gone);
    assert_int_equal(monitor_sessions(w->monitor), 0);
    assert_true(world_idle(w));
    running_close(&r);
    assert_int_equal(monitor_status(w->monitor), 1); /* this net cannot be started again */
}

static void test_session_limit(void **state)
{
    (void)state;
    static struct world w;
    const char *const settings[] = {"max_connections", "3", "max_unproven", "2", NULL};
    struct client c[4];
    struct ipc_m1 m1;
    world_open(&w, NULL, settings);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(client_open(&c[i], &w, i + 1));
    /* The next can prove himself, and is told; so many at once as may be unproven. */
    assert_true(client_open(&c[3], &w, 4));
    assert_true(world_failed(&w, RX_E_SESSION_LIMIT));
    for (uint32_t i = 5; i < 7; i++) {
        client_m1(&c[3], &w, i, w.psk, RX_SUITE_CHACHA20POLY1305, &m1);
        world_say(&w, IPC_M1, i, &m1, NULL, 0);
        assert_true(world_expect(&w, i < 6 ? IPC_M2 : IPC_DROP));
    }
    /* There is room again when one of the proven has gone, and not when one that was told has. */
    const struct ipc_closed closed = {.how = IPC_HOW_CLOSE};
    world_say(&w, IPC_CLOSED, 4, &closed, NULL, 0);
    world_say(&w, IPC_CLOSED, 5, &closed, NULL, 0);
    assert_true(client_open(&c[3], &w, 7));
    assert_true(world_failed(&w, RX_E_SESSION_LIMIT));
    world_say(&w, IPC_CLOSED, 7, &closed, NULL, 0);
    world_say(&w, IPC_CLOSED, 1, &closed, NULL, 0);
    assert_true(client_open(&c[3], &w, 8));
    assert_true(world_silent(&w, 50));
    world_close(&w);
}

/* ---- the stop --------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    struct world *w = *state;
    struct client c;
    struct running good = {0}, stubborn = {0};
    struct rx_header h;
    assert_true(client_open(&c, w, 1));
    client_shell(&c, 1, "exec sleep 30");
    assert_true(world_started(w, &good));
    client_shell(&c, 2, "trap '' TERM; echo ready; while :; do sleep 1; done");
    assert_true(world_started(w, &stubborn));
    char ready[16];
    while (read(stubborn.fds[1], ready, sizeof ready) <= 0)
        world_turn(w);
    monitor_stop(w->monitor);
    assert_true(world_expect(w, IPC_GOAWAY));
    assert_int_equal(rx_header_decode(RX_GOAWAY, w->in.tail, w->in.tail_len, &h), RX_OK);
    assert_int_equal(h.notice.code, RX_E_SHUTTING_DOWN);
    assert_int_equal(h.notice.grace_ms, 500);
    assert_true(world_ended(w, &good, &h));
    assert_string_equal(h.exit.signal, "TERM");
    assert_string_equal(h.exit.by, "shutdown");
    client_finished(&c, &good);
    /* Nothing new meanwhile. */
    client_shell(&c, 3, touch);
    assert_true(world_refused(w, RX_E_SHUTTING_DOWN));
    assert_true(world_ended(w, &stubborn, &h));
    assert_string_equal(h.exit.signal, "KILL");
    assert_string_equal(h.exit.by, "shutdown");
    client_finished(&c, &stubborn);
    client_close(&c, IPC_HOW_CLOSE);
    assert_false(world_next(w, 3000));
    assert_true(w->gone);
    assert_int_equal(monitor_status(w->monitor), 0);
    assert_false(marked());
}

/* ---- grants anew ------------------------------------------------------------------------- */

static void write_grant(const char *directory, const struct rx_grant *grant)
{
    char path[256], text[RX_GRANT_TEXT_MAX];
    size_t n;
    (void)snprintf(path, sizeof path, "%s/grant", directory);
    assert_int_equal(rx_grant_print(grant, text, sizeof text, &n), RX_OK);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* A grant that is taken back while its client is connected, then given again, then broken. */
static void test_reload(void **state)
{
    (void)state;
    static struct world w;
    char directory[] = "/tmp/rexec-test-reload.XXXXXX", path[64];
    struct client c;
    struct running r = {0};
    assert_non_null(mkdtemp(directory));
    const char *const settings[] = {"grants", directory, NULL};
    world_open(&w, NULL, settings);
    assert_true(client_open(&c, &w, 1));
    struct rx_grant grant = w.grant;
    grant.any_user = false; /* the text has either `*` or names */
    grant.revoked = true;
    write_grant(directory, &grant);
    monitor_reload(w.monitor);
    assert_true(world_failed(&w, RX_E_GRANT_ENDED));
    client_shell(&c, 1, touch); /* nothing of it counts any more */
    client_close(&c, IPC_HOW_ERROR);
    assert_true(world_silent(&w, 50));
    grant.revoked = false;
    write_grant(directory, &grant);
    monitor_reload(w.monitor);
    assert_true(client_open(&c, &w, 2));
    client_shell(&c, 2, "exec sleep 30");
    assert_true(world_started(&w, &r));
    monitor_reload(w.monitor); /* the same again: nothing happens */
    assert_true(world_silent(&w, 50));
    (void)snprintf(path, sizeof path, "%s/grant", directory);
    assert_int_equal(chmod(path, 0644), 0);
    monitor_reload(w.monitor);
    assert_true(world_failed(&w, RX_E_GRANT_ENDED));
    assert_true(world_expect(&w, IPC_FORGET));
    client_close(&c, IPC_HOW_ERROR);
    assert_true(world_idle(&w)); /* what ran is ended */
    (void)unlink(path);
    (void)rmdir(directory);
    monitor_reload(w.monitor); /* the directory is gone: the grants stay */
    running_close(&r);
    world_close(&w);
    assert_false(marked());
}

int main(void)
{
    (void)snprintf(marker, sizeof marker, "/tmp/rexec-test-monitor.%d", (int)getpid());
    (void)snprintf(touch, sizeof touch, "touch %s", marker);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_m3_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_m1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_in_common, setup, teardown),
        cmocka_unit_test(test_unusable_grants),
        cmocka_unit_test(test_readable),
        cmocka_unit_test_setup_teardown(test_request_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_replayed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_reordered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proven_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_turn, setup, teardown),
        cmocka_unit_test(test_command_that_never_was),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test(test_session_limit),
        cmocka_unit_test(test_reload),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
