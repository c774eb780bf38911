/* The engine's PING and PONG: one for the other, in order, and never too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/engine.h"
#include "tests/duel/lone.h"

static const uint8_t token[8] = {1, 2, 3, 4, 5, 6, 7, 8};

static enum rx_error say(struct lone *l, unsigned type)
{
    static const uint8_t body[16];
    return lone_say(l, type, 0, 0, NULL, body, rx_kind((uint8_t)type)->body_min);
}

static void test_ping_and_pong(void **state)
{
    (void)state;
    for (int role = RX_CLIENT; role <= RX_SERVER; role++) {
        struct lone l;
        struct rx_message m;
        lone_open(&l, (enum rx_role)role, NULL);
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
        assert_true(lone_hear(&l, &m));
        assert_int_equal(m.type, RX_PING);
        assert_memory_equal(m.body, token, 8);
        assert_int_equal(lone_say(&l, RX_PING, 0, 0, NULL, "abcdefgh", 8), RX_OK);
        assert_int_equal(rx_engine_pong(l.engine, l.event.message.body, UINT64_C(0x0102030405)),
                         RX_OK);
        assert_true(lone_hear(&l, &m));
        assert_int_equal(m.type, RX_PONG);
        assert_memory_equal(m.body, "abcdefgh\0\0\0\1\2\3\4\5", 16);
        lone_close(&l);
    }
}

/* "At most 16 PINGs may be unanswered" */
static void test_pings_sent(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_CLIENT, NULL);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_FLOOD);
    assert_int_equal(lone_hear_all(&l), 16);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_FLOOD);
    assert_int_equal(say(&l, RX_PONG), RX_OK);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_OK);
    assert_int_equal(rx_engine_ping(l.engine, token), RX_E_FLOOD);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(say(&l, RX_PONG), RX_OK);
    assert_int_equal(say(&l, RX_PONG), RX_E_BAD_STATE);
    lone_close(&l);
}

/* "a side that gets more while it cannot send refuses": what is answered but not sent counts. */
static void test_pings_received(void **state)
{
    (void)state;
    for (unsigned answered = 0; answered <= 16; answered += 8) {
        struct lone l;
        lone_open(&l, RX_SERVER, NULL);
        for (unsigned i = 0; i < 16; i++) {
            assert_int_equal(say(&l, RX_PING), RX_OK);
            if (i < answered)
                assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_OK);
        }
        if (answered == 8) { /* eight leave, eight more may come */
            assert_int_equal(lone_hear_all(&l), 8);
            for (unsigned i = 0; i < 8; i++)
                assert_int_equal(say(&l, RX_PING), RX_OK);
        }
        assert_int_equal(say(&l, RX_PING), RX_E_FLOOD);
        lone_close(&l);
    }
}

/* One PONG for each PING, and not one more. */
static void test_pong_unasked(void **state)
{
    (void)state;
    struct lone l;
    lone_open(&l, RX_SERVER, NULL);
    assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_E_MISUSE);
    assert_int_equal(say(&l, RX_PING), RX_OK);
    assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_OK);
    assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_E_MISUSE);
    assert_int_equal(lone_hear_all(&l), 1);
    assert_int_equal(rx_engine_pong(l.engine, token, 0), RX_E_MISUSE);
    assert_int_equal(say(&l, RX_PING), RX_OK);
    lone_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_and_pong),
        cmocka_unit_test(test_pings_sent),
        cmocka_unit_test(test_pings_received),
        cmocka_unit_test(test_pong_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
