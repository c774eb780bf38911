/* proto/header.c: each type has its own names; what another type's name holds is nobody's business.
 * And a NUL is nowhere in JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/header.h"

#define ID "\"id\":\"000102030405060708090a0b0c0d0e0f\""
#define NOTICE "\"code\":64,\"name\":\"a\",\"text\":\"b\""

static enum rx_error decode(enum rx_type type, const char *text, struct rx_header *h)
{
    return rx_header_decode(type, (const uint8_t *)text, strlen(text), h);
}

static void test_names_of_others(void **state)
{
    (void)state;
    static const struct {
        enum rx_type type;
        const char *text;
    } cases[] = {
        {RX_WELCOME, "{\"server\":\"a\",\"version\":\"b\",\"time_us\":1,\"code\":\"no\"}"},
        {RX_CLOSE, "{\"code\":\"no\",\"grace_ms\":\"no\",\"n\":\"no\",\"text\":1}"},
        {RX_GOAWAY, "{" NOTICE ",\"n\":\"no\",\"reason\":1}"},
        {RX_ERROR, "{" NOTICE ",\"n\":\"no\",\"grace_ms\":\"no\"}"},
        {RX_REFUSED, "{" NOTICE ",\"grace_ms\":\"no\"}"},
        {RX_EXEC, "{" ID ",\"steal\":1,\"n\":\"no\"}"},
        {RX_RESUME, "{" ID ",\"steal\":1}"},
        {RX_ATTACH, "{" ID ",\"n\":\"no\"}"},
        {RX_FORGET, "{" ID ",\"steal\":1}"},
        {RX_LIST, "{" ID ",\"steal\":1}"},
        {RX_DETACH, "{\"id\":1,\"steal\":1,\"n\":\"no\"}"},
        {RX_SIGNAL, "{\"signal\":\"TERM\",\"n\":1,\"steal\":1,\"code\":\"no\"}"},
        {RX_RESIZE, "{\"rows\":1,\"cols\":1,\"width\":1,\"height\":1,\"term\":1,\"n\":\"no\"}"},
        {RX_STARTED, "{\"n\":\"no\",\"id\":1}"},
        {RX_RESUMED, "{\"user\":1,\"already\":\"no\"}"},
        {RX_DONE, "{\"pid\":\"no\",\"start_us\":\"no\",\"user\":1,\"already\":\"no\"}"},
        {RX_LISTED, "{\"n\":\"no\",\"pid\":\"no\"}"},
        {RX_EXIT, "{\"code\":1,\"n\":\"no\",\"pid\":\"no\",\"user\":1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rx_header h;
        enum rx_error error = decode(cases[i].type, cases[i].text, &h);
        if (error != RX_OK)
            fail_msg("%s: %s", cases[i].text, rx_error_name(error));
    }
}

/* What a type does not have is absent in the struct it shares, not 0. */
static void test_absent(void **state)
{
    (void)state;
    static const enum rx_type notices[] = {RX_ERROR, RX_GOAWAY, RX_REFUSED};
    static const enum rx_type replies[] = {RX_STARTED, RX_RESUMED, RX_DONE};
    struct rx_header h;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(decode(notices[i], "{" NOTICE "}", &h), RX_OK);
        assert_int_equal(h.notice.n, RX_ABSENT);
        assert_int_equal(h.notice.grace_ms, RX_ABSENT);
        assert_int_equal(decode(replies[i], "{\"n\":7,\"pid\":8,\"start_us\":9}", &h), RX_OK);
        assert_int_equal(h.reply.n, replies[i] == RX_STARTED ? RX_ABSENT : 7);
        assert_int_equal(h.reply.pid, replies[i] == RX_DONE ? RX_ABSENT : 8);
        assert_int_equal(h.reply.start_us, replies[i] == RX_DONE ? RX_ABSENT : 9);
    }
    rx_header_error(&h, RX_E_NOT_PERMITTED, NULL);
    uint8_t text[RX_HEADER_MAX];
    size_t n;
    assert_int_equal(rx_header_encode(RX_REFUSED, &h, text, sizeof text - 1, &n), RX_OK);
    text[n] = '\0';
    assert_null(strstr((const char *)text, "\"n\""));
}

/* jansson takes a NUL behind a number for nothing. */
static void test_nul(void **state)
{
    (void)state;
    static const char text[] = " { \"a\" : [ 1 , \"b\" , 2.5 , true ] , \"n\" : 3 } ";
    uint8_t bytes[sizeof text];
    struct rx_header h;
    assert_int_equal(decode(RX_DONE, text, &h), RX_OK);
    for (size_t at = 0; at < sizeof text; at++) {
        memcpy(bytes, text, at);
        bytes[at] = 0;
        memcpy(bytes + at + 1, text + at, sizeof text - 1 - at);
        assert_int_equal(rx_header_decode(RX_DONE, bytes, sizeof text, &h), RX_E_BAD_HEADER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_others),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
