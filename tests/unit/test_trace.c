/* proto/trace.c and proto/tap.c: the lines of a trace, and the tap that they are made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/tap.h"
#include "proto/trace.h"

static char line[RX_TRACE_LINE_MAX];

static void expect(size_t n, const char *text)
{
    assert_string_equal(line, text);
    assert_int_equal(n, strlen(text));
}

/* Each direction counts its own bytes, of calls and of records. */
static void test_lines(void **state)
{
    struct rx_trace t = {.out = RX_S2C};
    uint8_t payload[20] = {0};
    (void)state;
    rx_message_head(payload, RX_STDOUT, RX_FLAG_LAST, 0, 7);
    expect(rx_trace_call(&t, true, 104, 17, line), "{\"write\":104,\"at\":0,\"ns\":17}\n");
    expect(rx_trace_call(&t, false, 88, 18, line), "{\"read\":88,\"at\":0,\"ns\":18}\n");
    expect(rx_trace_call(&t, true, 1, 19, line), "{\"write\":1,\"at\":104,\"ns\":19}\n");
    expect(rx_trace_record(&t, false, "M1", NULL, 0, 88, line),
           "{\"record\":\"M1\",\"dir\":\"in\",\"at\":0,\"bytes\":88}\n");
    expect(rx_trace_record(&t, true, NULL, payload, sizeof payload, 40, line),
           "{\"record\":\"STDOUT\",\"dir\":\"out\",\"at\":0,\"bytes\":40,\"stream\":7,\"header\":0,"
           "\"body\":12,\"last\":true}\n");
    expect(rx_trace_record(&t, true, "M2", NULL, 0, 104, line),
           "{\"record\":\"M2\",\"dir\":\"out\",\"at\":40,\"bytes\":104}\n");
    expect(rx_trace_limit(line), "{\"end\":\"limit\"}\n");
}

/* A message has its name only on the way that it may go: who writes the trace counts. */
static void test_direction(void **state)
{
    uint8_t payload[20] = {0};
    (void)state;
    rx_message_head(payload, RX_STDOUT, 0, 0, 7);
    for (int i = 0; i < 4; i++) {
        struct rx_trace t = {.out = (i & 1) != 0 ? RX_S2C : RX_C2S};
        bool out = (i & 2) != 0;
        (void)rx_trace_record(&t, out, NULL, payload, sizeof payload, 40, line);
        assert_int_equal(strstr(line, "\"STDOUT\"") != NULL, out == (t.out == RX_S2C));
        assert_int_equal(strstr(line, "\"?\"") != NULL, out != (t.out == RX_S2C));
    }
}

static void test_longest(void **state)
{
    struct rx_trace t = {.out = RX_C2S, .moved = {0, UINT64_MAX}, .recorded = {0, UINT64_MAX}};
    uint8_t payload[RX_MESSAGE_HEAD + 16] = {0};
    (void)state;
    rx_message_head(payload, RX_EXIT_ACK, 0, 0, UINT32_MAX);
    size_t n = rx_trace_call(&t, true, SIZE_MAX, INT64_MIN, line);
    assert_true(n > 60 && line[n - 1] == '\n');
    t.recorded[1] = UINT64_MAX;
    n = rx_trace_record(&t, true, NULL, payload, RX_MESSAGE_HEAD, SIZE_MAX, line);
    assert_true(n > 60 && line[n - 1] == '\n');
}

/* ---- the tap ---------------------------------------------------------------------------- */

static unsigned records;
static size_t last_n, last_size;
static bool last_out, fails;

static void on_record(void *user, bool out, const char *name, const uint8_t *payload, size_t n,
                      size_t size)
{
    assert_ptr_equal(user, &records);
    assert_null(name);
    assert_int_equal(payload[0], 'p');
    records++;
    last_out = out;
    last_n = n;
    last_size = size;
}

static enum rx_error fake_seal(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               const uint8_t *payload, size_t n, uint8_t *out)
{
    (void)length;
    assert_string_equal(context, "real");
    memmove(out, payload, n);
    return fails ? RX_E_INTERNAL : RX_OK;
}

static enum rx_error fake_open(void *context, const uint8_t length[static RX_RECORD_LENGTH],
                               uint8_t *sealed, size_t n)
{
    (void)length;
    (void)n;
    assert_string_equal(context, "real");
    sealed[0] = 'p';
    return fails ? RX_E_BAD_SEAL : RX_OK;
}

static void test_tap(void **state)
{
    static const struct rx_seal_ops ops = {.tag_size = 16, .seal = fake_seal, .open = fake_open};
    static char name[] = "real";
    const struct rx_tap tap = {.record = on_record, .user = &records};
    const struct rx_seal real = {&ops, name};
    const uint8_t length[RX_RECORD_LENGTH] = {0};
    uint8_t out[32], payload[12] = "payload", sealed[28] = {0};
    struct rx_tapped tapped;
    (void)state;
    assert_ptr_equal(rx_tap_seal(&tapped, real, NULL).ops, &ops);
    const struct rx_seal seal = rx_tap_seal(&tapped, real, &tap);
    assert_int_equal(seal.ops->tag_size, 16);
    assert_int_equal(seal.ops->seal(seal.context, length, payload, sizeof payload, out), RX_OK);
    assert_true(records == 1 && last_out && last_n == 12 && last_size == 4 + 12 + 16);
    assert_memory_equal(out, payload, sizeof payload);
    assert_int_equal(seal.ops->open(seal.context, length, sealed, sizeof sealed), RX_OK);
    assert_true(records == 2 && !last_out && last_n == 12 && last_size == 4 + 28);
    /* What does not verify is no record. */
    fails = true;
    assert_int_equal(seal.ops->open(seal.context, length, sealed, sizeof sealed), RX_E_BAD_SEAL);
    assert_int_equal(records, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_direction),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_tap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
