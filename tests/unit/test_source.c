/* auth/source.c: addresses, ranges, and which peers are within them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/source.h"
#include "tests/unit/guard.h"

static const char *parse(const char *text, size_t n, struct rx_source *source)
{
    memset(source, 0xa5, sizeof *source);
    return rx_source_parse((const char *)guard_copy(text, n), n, source);
}

static struct rx_source parsed(const char *text)
{
    struct rx_source source;
    const char *why = parse(text, strlen(text), &source);
    if (why != NULL)
        fail_msg("%s: %s", text, why);
    return source;
}

static void refused(const char *text, const char *what)
{
    struct rx_source source;
    const char *why = parse(text, strlen(text), &source);
    if (why == NULL || strstr(why, what) == NULL)
        fail_msg("%s: %s", text, why != NULL ? why : "accepted");
}

static void expect(const char *text, enum rx_family family, unsigned bits, const char *printed)
{
    struct rx_source source = parsed(text);
    char out[RX_SOURCE_TEXT_MAX];
    assert_int_equal(source.family, family);
    assert_int_equal(source.bits, bits);
    assert_int_equal(rx_source_print(&source, out), strlen(printed));
    assert_string_equal(out, printed);
}

static void test_forms(void **state)
{
    (void)state;
    expect("unix", RX_FAMILY_UNIX, 0, "unix");
    expect("1.2.3.4", RX_FAMILY_IPV4, 32, "1.2.3.4");
    expect("1.2.3.4/32", RX_FAMILY_IPV4, 32, "1.2.3.4");
    expect("1.2.3.0/24", RX_FAMILY_IPV4, 24, "1.2.3.0/24");
    expect("0.0.0.0/0", RX_FAMILY_IPV4, 0, "0.0.0.0/0");
    expect("255.255.255.255", RX_FAMILY_IPV4, 32, "255.255.255.255");
    expect("::", RX_FAMILY_IPV6, 128, "::");
    expect("::/0", RX_FAMILY_IPV6, 0, "::/0");
    expect("2001:DB8::1", RX_FAMILY_IPV6, 128, "2001:db8::1");
    expect("2001:0db8:0000::/32", RX_FAMILY_IPV6, 32, "2001:db8::/32");
    expect("fe80::/10", RX_FAMILY_IPV6, 10, "fe80::/10");
    expect("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", RX_FAMILY_IPV6, 127,
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127");
}

static void test_mapped(void **state)
{
    (void)state;
    expect("::ffff:1.2.3.4", RX_FAMILY_IPV4, 32, "1.2.3.4");
    expect("::ffff:102:304", RX_FAMILY_IPV4, 32, "1.2.3.4");
    expect("0000:0000:0000:0000:0000:ffff:255.255.255.255", RX_FAMILY_IPV4, 32, "255.255.255.255");
    expect("::ffff:1.2.3.0/120", RX_FAMILY_IPV4, 24, "1.2.3.0/24");
    expect("::ffff:0:0/96", RX_FAMILY_IPV4, 0, "0.0.0.0/0");
    refused("::ffff:0:0/95", "beyond its /BITS");
    expect("::1.2.3.4", RX_FAMILY_IPV6, 128, "::1.2.3.4"); /* "compatible": not mapped */
    expect("::fffe:1.2.3.4", RX_FAMILY_IPV6, 128, "::fffe:102:304");
    expect("::/96", RX_FAMILY_IPV6, 96, "::/96");
    expect("1::ffff:1.2.3.4", RX_FAMILY_IPV6, 128, "1::ffff:102:304");
}

/* Only what is IPv6 and names at least the whole of ::ffff:0:0 is a mapped address. */
static void test_not_mapped(void **state)
{
    (void)state;
    struct rx_source source = {.address = {[10] = 0xff, [11] = 0xff, [12] = 1}};
    for (unsigned family = RX_FAMILY_NONE; family <= RX_FAMILY_IPV6; family++) {
        for (unsigned bits = 0; bits <= 128; bits++) {
            source.family = (enum rx_family)family;
            source.bits = (uint8_t)bits;
            struct rx_source plain = rx_source_unmapped(&source);
            bool mapped = family == RX_FAMILY_IPV6 && bits >= 96;
            assert_int_equal(plain.family, mapped ? RX_FAMILY_IPV4 : family);
            assert_int_equal(plain.bits, mapped ? bits - 96 : bits);
            assert_int_equal(plain.address[0], mapped ? 1 : 0);
            assert_int_equal(plain.address[10], mapped ? 0 : 0xff);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "/",
        "/24",
        "Unix",
        "unix/0",
        "uni",
        "unixx",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.-4",
        "16909060",
        ":",
        ":::",
        "1::2::3",
        "12345::",
        "g::",
        "fe80::1%eth0",
        "[::1]",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "::1.2.3",
        "1.2.3.4:80",
        "*",
        "10.0.0.0-10.0.0.9",
        "0000:0000:0000:0000:0000:ffff:255.255.255.2555",
        "00000000000000000000000000000000000000000000000000000000000000000::1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused(wrong[i], "an address is");
    static const char *const bits[] = {"1.2.3.4/",
                                       "1.2.3.4/33",
                                       "1.2.3.4/-1",
                                       "1.2.3.4/+8",
                                       "1.2.3.4/032",
                                       "1.2.3.4/00",
                                       "1.2.3.4/ 8",
                                       "1.2.3.4/8 ",
                                       "1.2.3.4/255.255.0.0",
                                       "1.2.3.4/24/24",
                                       "::/129",
                                       "::/256",
                                       "::/384",
                                       "::/1000",
                                       "::/0000",
                                       "::/0x8",
                                       "::/4294967297",
                                       "1.2.3.4/18446744073709551640",
                                       "::/"};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        refused(bits[i], "BITS is");
    static const char *const hosts[] = {"1.2.3.4/29", "1.2.3.4/0",     "128.0.0.0/0", "::1/127",
                                        "8000::/0",   "2001:db8::/28", "0.0.0.1/31"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        refused(hosts[i], "beyond its /BITS");
}

/* A NUL must not hide what follows it. */
static void test_nul(void **state)
{
    (void)state;
    static const char text[] = "1.2.3.4\0.5";
    struct rx_source source;
    assert_non_null(parse(text, sizeof text - 1, &source));
    assert_non_null(parse(text, 8, &source));
    assert_null(parse(text, 7, &source));
}

static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct rx_source source;
        char ipv4[] = {'1', '.', (char)byte, '.', '3', '.', '4'};
        assert_int_equal(parse(ipv4, sizeof ipv4, &source) == NULL, byte >= '0' && byte <= '9');
        char ipv6[] = {'1', ':', ':', (char)byte};
        bool hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                   (byte >= 'A' && byte <= 'F');
        assert_int_equal(parse(ipv6, sizeof ipv6, &source) == NULL, hex);
        char bits[] = {':', ':', '/', '1', (char)byte};
        assert_int_equal(parse(bits, sizeof bits, &source) == NULL, byte >= '0' && byte <= '9');
    }
}

/* For every prefix length: the first and last address within, the ones beside it, and a set bit
 * beyond it refused. */
static void test_every_prefix(void **state)
{
    (void)state;
    for (unsigned family = RX_FAMILY_IPV4; family <= RX_FAMILY_IPV6; family++) {
        unsigned all = family == RX_FAMILY_IPV4 ? 32 : 128;
        for (unsigned bits = 0; bits <= all; bits++) {
            struct rx_source range = {.family = (enum rx_family)family, .bits = (uint8_t)bits};
            for (unsigned bit = 0; bit < bits; bit += 3)
                range.address[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
            char text[RX_SOURCE_TEXT_MAX];
            assert_true(rx_source_print(&range, text) > 0);
            struct rx_source again = parsed(text);
            assert_int_equal(again.bits, bits);
            assert_memory_equal(again.address, range.address, sizeof range.address);

            struct rx_source peer = range;
            peer.bits = (uint8_t)all;
            assert_true(rx_source_covers(&range, &peer));
            for (unsigned bit = 0; bit < all; bit++) {
                peer.address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                assert_int_equal(rx_source_covers(&range, &peer), bit >= bits);
                if (bit >= bits) {
                    struct rx_source host = peer;
                    host.bits = (uint8_t)bits;
                    assert_true(rx_source_print(&host, text) > 0);
                    refused(text, "beyond its /BITS");
                }
                peer.address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            }
        }
    }
}

static void test_families_are_apart(void **state)
{
    (void)state;
    struct rx_source places[] = {
        {.family = RX_FAMILY_NONE},
        {.family = RX_FAMILY_UNIX},
        {.family = RX_FAMILY_IPV4},
        {.family = RX_FAMILY_IPV6},
    };
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(rx_source_covers(&places[i], &places[j]), i == j && i > 0);
    }
}

static void test_print_refused(void **state)
{
    (void)state;
    const struct rx_source wrong[] = {
        {.family = RX_FAMILY_NONE},
        {.family = RX_FAMILY_IPV4, .bits = 33},
        {.family = RX_FAMILY_IPV6, .bits = 129},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char out[RX_SOURCE_TEXT_MAX] = "?";
        assert_int_equal(rx_source_print(&wrong[i], out), 0);
        assert_string_equal(out, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),         cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_not_mapped),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nul),           cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_prefix),  cmocka_unit_test(test_families_are_apart),
        cmocka_unit_test(test_print_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
