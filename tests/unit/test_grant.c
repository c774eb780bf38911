/* auth/grant.c: reading grant files, and what a grant allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/grant.h"
#include "tests/unit/grant_same.h"
#include "tests/unit/grant_text.h"

#define NOW INT64_C(1800000000)

static void refused_with(const char *line, const char *what)
{
    char text[RX_GRANT_FILE_MAX];
    int n = snprintf(text, sizeof text, BASE "%s\n", line);
    grant_expect_refused(text, (size_t)n, 7, what);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void test_least(void **state)
{
    (void)state;
    struct rx_grant grant = grant_parsed(BASE);
    struct rx_grant expected = {.server = "build.example"};
    for (unsigned i = 0; i < 16; i++) {
        expected.keys.kid[i] = (uint8_t)(0x11 * i);
        expected.keys.client_auth[1 + i] = (uint8_t)(0x11 * i);
    }
    static const uint8_t tail[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                   0x99, 0x00, 0x11, 0x22, 0x33, 0x44, 0xaa};
    memcpy(expected.keys.client_auth + 17, tail, sizeof tail);
    memcpy(expected.keys.server_auth, expected.keys.client_auth, RX_KEY_SIZE);
    memcpy(expected.keys.mix, expected.keys.client_auth, RX_KEY_SIZE);
    expected.keys.client_auth[0] = 0x11;
    expected.keys.server_auth[0] = 0x22;
    expected.keys.server_auth[31] = 0xbb;
    expected.keys.mix[0] = 0x33;
    expected.keys.mix[31] = 0xcc;
    assert_true(grant_same(&grant, &expected));
}

static void test_everything(void **state)
{
    (void)state;
    struct rx_grant grant =
        grant_parsed("# of the build farm\n" FIRST "revoked = no\n" MIX "name = Ci.bot_1@farm+x-y\n"
                     "users = root,build,www-data\nfrom = 10.1.0.0/16,2001:db8::/32,unix,::1\n"
                     "expires = 2030-01-01T00:00:00Z\nreadable=yes\n" SERVER_AUTH CLIENT KID
                     "max-commands = 65535\ncommand =  make -C /src   all # x  \n"
                     "not-before = 2020-01-01T00:00:00Z\n" SERVER);
    assert_string_equal(grant.server, "build.example");
    assert_string_equal(grant.name, "Ci.bot_1@farm+x-y");
    assert_int_equal(grant.user_count, 3);
    assert_false(grant.any_user);
    assert_string_equal(grant.users[0], "root");
    assert_string_equal(grant.users[1], "build");
    assert_string_equal(grant.users[2], "www-data");
    assert_int_equal(grant.source_count, 4);
    assert_int_equal(grant.sources[0].family, RX_FAMILY_IPV4);
    assert_int_equal(grant.sources[0].bits, 16);
    assert_int_equal(grant.sources[1].family, RX_FAMILY_IPV6);
    assert_int_equal(grant.sources[1].bits, 32);
    assert_int_equal(grant.sources[2].family, RX_FAMILY_UNIX);
    assert_int_equal(grant.sources[3].family, RX_FAMILY_IPV6);
    assert_int_equal(grant.sources[3].bits, 128);
    assert_true(grant.not_before == INT64_C(1577836800));
    assert_true(grant.expires == INT64_C(1893456000));
    assert_false(grant.revoked);
    assert_true(grant.readable);
    assert_int_equal(grant.max_commands, 65535);
    assert_string_equal(grant.command, "make -C /src   all # x");
}

static void test_required(void **state)
{
    (void)state;
    REFUSED("", 0, "empty");
    REFUSED(FIRST, 0, "server's name is missing");
    REFUSED(FIRST KID CLIENT SERVER_AUTH MIX, 0, "server's name is missing");
    REFUSED(FIRST SERVER CLIENT SERVER_AUTH MIX, 0, "kid is missing");
    REFUSED(FIRST SERVER KID SERVER_AUTH MIX, 0, "client-auth is missing");
    REFUSED(FIRST SERVER KID CLIENT MIX, 0, "server-auth is missing");
    REFUSED(FIRST SERVER KID CLIENT SERVER_AUTH, 0, "mix is missing");
    REFUSED("rexec-key 1\n" SERVER KID CLIENT SERVER_AUTH MIX, 1, "not the file expected");
    REFUSED("rexec-grant 2\n" SERVER KID CLIENT SERVER_AUTH MIX, 1, "not the file expected");
    REFUSED(SERVER FIRST KID CLIENT SERVER_AUTH MIX, 1, "not the file expected");
}

static void test_duplicates(void **state)
{
    (void)state;
    static const char *const lines[] = {"server = build.example", "kid = " HEX32,
                                        "client-auth = " ZERO64, "server-auth = " ZERO64,
                                        "mix = " ZERO64};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        refused_with(lines[i], "already");

    static const char *const more[] = {"name = a",
                                       "users = a",
                                       "from = unix",
                                       "not-before = 2020-01-01T00:00:00Z",
                                       "expires = 2020-01-01T00:00:00Z",
                                       "revoked = no",
                                       "max-commands = 1",
                                       "readable = no",
                                       "pty = yes",
                                       "command = a"};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char text[RX_GRANT_FILE_MAX];
        int n = snprintf(text, sizeof text, BASE "%s\n\n%s\n", more[i], more[i]);
        grant_expect_refused(text, (size_t)n, 9, "already");
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {"psk = 1",         "comment = a",   "user = a",
                                        "expire = a",      "Revoked = yes", "revoked\xc2\xa0 = yes",
                                        "\trevoked = yes", "= yes",         "max_commands = 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused_with(wrong[i], "unknown name");
    refused_with("revoked", "name = value");
}

static void test_server(void **state)
{
    (void)state;
    static const char rest[] = KID CLIENT SERVER_AUTH MIX;
    char name[RX_SERVER_NAME_MAX + 2];
    char text[RX_GRANT_FILE_MAX];
    for (size_t n = 1; n <= RX_SERVER_NAME_MAX + 1; n++) {
        memset(name, 's', n);
        name[n] = '\0';
        int length = snprintf(text, sizeof text, FIRST "server = %s\n%s", name, rest);
        if (n <= RX_SERVER_NAME_MAX) {
            assert_string_equal(grant_parsed(text).server, name);
        } else {
            grant_expect_refused(text, (size_t)length, 2, "server: needs");
        }
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        int length = snprintf(text, sizeof text, FIRST "server = a?b\n%s", rest);
        *strchr(text, '?') = (char)byte;
        struct rx_grant grant;
        struct rx_file_error error;
        bool valid = byte > 0x20 && byte < 0x7f && !(byte >= 'A' && byte <= 'Z');
        assert_int_equal(grant_read(text, (size_t)length, &grant, &error) == RX_OK, valid);
        assert_true(valid || error.line == (byte == '\n' ? 3 : 2));
    }
    REFUSED(FIRST "server = Build\n" KID CLIENT SERVER_AUTH MIX, 2, "lower case");
    REFUSED(FIRST "server =\n" KID CLIENT SERVER_AUTH MIX, 2, "server: needs");
}

static void test_keys(void **state)
{
    (void)state;
    REFUSED(FIRST "kid = 0" HEX32 "\n", 2, "32 hex");
    REFUSED(FIRST "kid = 00" HEX32 "\n", 2, "32 hex");
    REFUSED(FIRST "kid = g" HEX32 "\n", 2, "32 hex");
    REFUSED(FIRST "kid =\n", 2, "32 hex");
    (void)grant_parsed(FIRST SERVER
                       "kid = 00000000000000000000000000000000\n" CLIENT SERVER_AUTH MIX);
    static const char *const names[] = {"client-auth", "server-auth", "mix"};
    for (size_t i = 0; i < 3; i++) {
        char text[RX_GRANT_FILE_MAX];
        int n = snprintf(text, sizeof text, FIRST SERVER "%s = " ZERO64 "\n", names[i]);
        grant_expect_refused(text, (size_t)n, 3, "all zero");
        text[n - 2] = 'x';
        grant_expect_refused(text, (size_t)n, 3, "64 hex");
        n = snprintf(text, sizeof text, FIRST SERVER "%s = " ZERO64 "1\n", names[i]);
        grant_expect_refused(text, (size_t)n, 3, "64 hex");
        text[n - 3] = '\n';
        grant_expect_refused(text, (size_t)n - 2, 3, "64 hex");
    }
}

static void test_principal(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789._@+-";
    char line[256];
    char name[RX_PRINCIPAL_MAX + 2];
    for (unsigned byte = 1; byte < 256; byte++) {
        if (byte == '\n')
            continue;
        (void)snprintf(line, sizeof line, "name = a%cb", (char)byte);
        if (strchr(alphabet, (int)byte) != NULL) {
            (void)grant_with(line);
        } else {
            refused_with(line, "");
        }
    }
    for (size_t n = 1; n <= RX_PRINCIPAL_MAX + 1; n++) {
        memset(name, 'n', n);
        name[n] = '\0';
        (void)snprintf(line, sizeof line, "name = %s", name);
        if (n <= RX_PRINCIPAL_MAX) {
            assert_string_equal(grant_with(line).name, name);
        } else {
            refused_with(line, "name: needs");
        }
    }
    refused_with("name =", "name: needs");
}

static void test_users(void **state)
{
    (void)state;
    struct rx_grant grant = grant_with("users = *");
    assert_true(grant.any_user && grant.user_count == 0);
    grant = grant_with("users = a,12345678901234567890123456789012,DOM\\b$");
    assert_int_equal(grant.user_count, 3);
    assert_string_equal(grant.users[1], "12345678901234567890123456789012");
    static const char *const wrong[] = {"users =",
                                        "users = a,",
                                        "users = ,a",
                                        "users = a,,b",
                                        "users = ,",
                                        "users = a, b",
                                        "users = a b",
                                        "users = a ,b",
                                        "users = *,a",
                                        "users = a,*",
                                        "users = **",
                                        "users = a*",
                                        "users = a,123456789012345678901234567890123",
                                        "users = caf\xc3\xa9"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused_with(wrong[i], "users: needs");
    for (unsigned byte = 1; byte < 256; byte++) {
        char line[32];
        if (byte == '\n')
            continue;
        (void)snprintf(line, sizeof line, "users = a%cb", (char)byte);
        if (byte > 0x20 && byte < 0x7f && byte != '*') {
            assert_int_equal(grant_with(line).user_count, byte == ',' ? 2 : 1);
        } else {
            refused_with(line, "");
        }
    }
}

static void test_many_users(void **state)
{
    (void)state;
    char line[RX_LINE_MAX] = "users = u0";
    for (unsigned i = 1; i < RX_GRANT_USERS; i++)
        (void)snprintf(line + strlen(line), 8, ",u%u", i);
    struct rx_grant grant = grant_with(line);
    assert_int_equal(grant.user_count, RX_GRANT_USERS);
    assert_string_equal(grant.users[31], "u31");
    (void)snprintf(line + strlen(line), 8, ",u32");
    refused_with(line, "more than 32");
}

static void test_sources(void **state)
{
    (void)state;
    char line[RX_LINE_MAX] = "from = 10.0.0.0";
    for (unsigned i = 1; i < RX_GRANT_SOURCES; i++)
        (void)snprintf(line + strlen(line), 16, ",10.0.0.%u", i);
    struct rx_grant grant = grant_with(line);
    assert_int_equal(grant.source_count, RX_GRANT_SOURCES);
    assert_int_equal(grant.sources[31].address[3], 31);
    (void)snprintf(line + strlen(line), 16, ",10.0.0.32");
    refused_with(line, "more than 32");

    static const char *const wrong[] = {"from =",
                                        "from = ,",
                                        "from = unix,",
                                        "from = ,unix",
                                        "from = 1.2.3.4, 1.2.3.5",
                                        "from = 1.2.3.4 ,::1",
                                        "from = *",
                                        "from = any",
                                        "from = localhost",
                                        "from = Unix"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused_with(wrong[i], "an address is");
    refused_with("from = unix,10.1.2.3/24", "beyond its /BITS");
    refused_with("from = unix,10.1.2.3/33", "BITS is");
}

/* 32 addresses as long as they may be, of which so many have one byte more. A zero is left out of
 * each, which is not left out when they are printed. */
static void long_sources(char line[static RX_LINE_MAX], unsigned longer)
{
    size_t n = (size_t)snprintf(line, RX_LINE_MAX, "from=");
    for (unsigned i = 0; i < RX_GRANT_SOURCES; i++) {
        n += (size_t)snprintf(line + n, RX_LINE_MAX - n, "%s1111::2222:3333:4444:5:%s:%u",
                              i > 0 ? "," : "", i < longer ? "66" : "6", 1000 + i);
    }
}

/* A list is read only if it fits in a line as it will be printed: with spaces around the `=`, and
 * addresses in the form that they are given back in. */
static void test_lists_fit_in_a_line(void **state)
{
    (void)state;
    char line[RX_LINE_MAX + 1] = "users=";
    char text[RX_GRANT_TEXT_MAX];
    size_t n = strlen(line);
    for (unsigned i = 0; i < 30; i++, n += RX_USER_MAX + 1)
        (void)snprintf(line + n, sizeof line - n, "12345678901234567890123456789%03u,", i);
    memset(line + n, 'u', RX_LINE_MAX - n);
    line[RX_LINE_MAX] = '\0';
    refused_with(line, "does not fit");
    line[RX_LINE_MAX - 1] = '\0';
    refused_with(line, "does not fit");
    line[RX_LINE_MAX - 2] = '\0';
    struct rx_grant grant = grant_with(line);
    assert_int_equal(grant.user_count, 31);
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);

    /* "from = " and 31 commas leave 986 bytes: 26 of 31 and 6 of 30. */
    long_sources(line, 26);
    grant = grant_with(line);
    assert_int_equal(grant.source_count, 32);
    assert_int_equal(rx_grant_print(&grant, text, sizeof text, &n), RX_OK);
    long_sources(line, 27);
    refused_with(line, "does not fit");
}

static void test_times(void **state)
{
    (void)state;
    assert_true(grant_with("expires = 9999-12-31T23:59:59Z").expires == INT64_C(253402300799));
    assert_true(grant_with("not-before = 1970-01-01T00:00:01Z").not_before == 1);
    /* 0 stands for "not set": it must not become a grant that never ends. */
    refused_with("expires = 1970-01-01T00:00:00Z", "expires: needs");
    refused_with("not-before = 1970-01-01T00:00:00Z", "not-before: needs");
    refused_with("expires = tomorrow", "expires: needs");
    refused_with("not-before = 2026-02-29T00:00:00Z", "not-before: needs");
    refused_with("expires =", "expires: needs");

    (void)grant_parsed(BASE "not-before = 2026-01-01T00:00:00Z\nexpires = 2026-01-01T00:00:01Z\n");
    (void)grant_parsed(BASE "expires = 2026-01-01T00:00:01Z\nnot-before = 2026-01-01T00:00:00Z\n");
    REFUSED(BASE "not-before = 2026-01-01T00:00:01Z\nexpires = 2026-01-01T00:00:00Z\n", 8, "later");
    REFUSED(BASE "expires = 2026-01-01T00:00:00Z\nnot-before = 2026-01-01T00:00:01Z\n", 8, "later");
    REFUSED(BASE "not-before = 2026-01-01T00:00:00Z\nexpires = 2026-01-01T00:00:00Z\n", 8, "later");
}

static void test_switches(void **state)
{
    (void)state;
    assert_true(grant_with("revoked = yes").revoked);
    assert_false(grant_with("revoked = no").revoked);
    assert_true(grant_with("readable = yes").readable);
    assert_false(grant_with("readable = no").readable);
    refused_with("revoked = true", "revoked: needs");
    refused_with("revoked =", "revoked: needs");
    refused_with("readable = Yes", "readable: needs");
    assert_true(grant_with("pty = no").no_pty);
    assert_false(grant_with("pty = yes").no_pty);
    assert_false(grant_with("").no_pty);
    refused_with("pty = No", "pty: needs");
    assert_int_equal(grant_with("max-commands = 1").max_commands, 1);
    assert_int_equal(grant_with("max-commands = 65535").max_commands, 65535);
    static const char *const wrong[] = {"max-commands = 0",
                                        "max-commands = 65536",
                                        "max-commands = -1",
                                        "max-commands = 01",
                                        "max-commands =",
                                        "max-commands = 4294967297",
                                        "max-commands = 18446744073709551617"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused_with(wrong[i], "max-commands: needs");
}

static void test_command(void **state)
{
    (void)state;
    char line[RX_LINE_MAX + 1] = "command = ";
    size_t begin = strlen(line);
    memset(line + begin, 'c', RX_FORCED_COMMAND_MAX);
    line[begin + RX_FORCED_COMMAND_MAX] = '\0';
    assert_string_equal(grant_with(line).command, line + begin);
    (void)snprintf(line + begin + RX_FORCED_COMMAND_MAX, 2, "c");
    refused_with(line, "command: needs");
    refused_with("command =", "command: needs");
    assert_string_equal(grant_with("command = caf\xc3\xa9 = \"a b\"").command,
                        "caf\xc3\xa9 = \"a b\"");
    for (unsigned byte = 1; byte < 256; byte++) {
        (void)snprintf(line, sizeof line, "command = a%cb", (char)byte);
        if (byte >= 0x20 && byte < 0x7f) {
            assert_string_equal(grant_with(line).command, line + begin);
        } else if (byte != '\n') {
            refused_with(line, "");
        }
    }
}

static void test_file_lengths(void **state)
{
    (void)state;
    static char text[RX_GRANT_FILE_MAX + 1];
    struct rx_grant grant;
    struct rx_file_error error;
    memset(text, '\n', sizeof text);
    memcpy(text, BASE, sizeof BASE - 1);
    assert_int_equal(grant_read(text, RX_GRANT_FILE_MAX, &grant, &error), RX_OK);
    grant_expect_refused(text, RX_GRANT_FILE_MAX + 1, 0, "too long");
}

/* ---- decisions -------------------------------------------------------------------------- */

static struct rx_source peer(const char *text)
{
    struct rx_source source;
    if (rx_source_parse(text, strlen(text), &source) != NULL)
        fail_msg("%s", text);
    return source;
}

static bool usable(const struct rx_grant *grant, int64_t now, const char *from)
{
    struct rx_source source = peer(from);
    return rx_grant_usable(grant, now, &source);
}

static void test_usable_when(void **state)
{
    (void)state;
    struct rx_grant grant = grant_parsed(BASE);
    assert_true(usable(&grant, NOW, "10.0.0.1"));
    assert_true(usable(&grant, NOW, "unix"));
    assert_true(usable(&grant, -1, "unix"));
    grant.not_before = NOW;
    assert_false(usable(&grant, NOW - 1, "unix"));
    assert_true(usable(&grant, NOW, "unix"));
    grant.expires = NOW + 10;
    assert_true(usable(&grant, NOW + 9, "unix"));
    assert_false(usable(&grant, NOW + 10, "unix"));
    assert_false(usable(&grant, NOW + 11, "unix"));
    grant.not_before = 0;
    assert_true(usable(&grant, 0, "unix"));
    grant.revoked = true;
    assert_false(usable(&grant, NOW, "unix"));
}

static void test_usable_where(void **state)
{
    (void)state;
    struct rx_grant grant = grant_with("from = 10.1.0.0/16,2001:db8::/33,192.0.2.7,unix");
    assert_true(usable(&grant, NOW, "10.1.0.0"));
    assert_true(usable(&grant, NOW, "10.1.255.255"));
    assert_false(usable(&grant, NOW, "10.0.255.255"));
    assert_false(usable(&grant, NOW, "10.2.0.0"));
    assert_true(usable(&grant, NOW, "192.0.2.7"));
    assert_false(usable(&grant, NOW, "192.0.2.6"));
    assert_true(usable(&grant, NOW, "2001:db8:7fff::1"));
    assert_false(usable(&grant, NOW, "2001:db8:8000::"));
    assert_true(usable(&grant, NOW, "unix"));
    grant = grant_with("from = 10.1.0.0/16");
    assert_false(usable(&grant, NOW, "unix"));
    assert_false(usable(&grant, NOW, "::1"));

    /* A peer on a socket for both families shows as ::ffff:a.b.c.d. */
    struct rx_source mapped = {.family = RX_FAMILY_IPV6, .bits = 128};
    memcpy(mapped.address + 10, (const uint8_t[]){0xff, 0xff, 10, 1, 2, 3}, 6);
    assert_true(rx_grant_usable(&grant, NOW, &mapped));
    mapped.address[13] = 2;
    assert_false(rx_grant_usable(&grant, NOW, &mapped));
    grant = grant_with("from = ::/0");
    assert_false(rx_grant_usable(&grant, NOW, &mapped));
    grant = grant_with("from = ::ffff:10.2.0.0/112");
    assert_true(rx_grant_usable(&grant, NOW, &mapped));

    struct rx_source unknown = {.family = RX_FAMILY_NONE};
    assert_false(rx_grant_usable(&grant, NOW, &unknown));
    grant = grant_parsed(BASE);
    assert_true(rx_grant_usable(&grant, NOW, &unknown));
}

/* Each slot of the list counts, and none beyond its end. */
static void test_usable_every_slot(void **state)
{
    (void)state;
    struct rx_grant grant = grant_parsed(BASE);
    for (unsigned i = 0; i < RX_GRANT_SOURCES; i++) {
        grant.sources[i] = peer("10.0.0.0");
        grant.sources[i].address[3] = (uint8_t)i;
    }
    for (unsigned count = 1; count <= RX_GRANT_SOURCES; count++) {
        for (unsigned i = 0; i < RX_GRANT_SOURCES; i++) {
            grant.source_count = count;
            assert_int_equal(rx_grant_usable(&grant, NOW, &grant.sources[i]), i < count);
        }
    }
}

static void test_allows_user(void **state)
{
    (void)state;
    struct rx_grant grant = grant_parsed(BASE);
    assert_false(rx_grant_allows_user(&grant, "root"));
    assert_false(rx_grant_allows_user(&grant, ""));
    grant = grant_with("users = root,build");
    assert_true(rx_grant_allows_user(&grant, "root"));
    assert_true(rx_grant_allows_user(&grant, "build"));
    static const char *const others[] = {"", "roo", "root ", "Root", "roots", "root,build", "*"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(rx_grant_allows_user(&grant, others[i]));
    grant = grant_with("users = *");
    assert_true(rx_grant_allows_user(&grant, "anyone"));
    assert_false(rx_grant_allows_user(&grant, ""));
}

static void test_wipe(void **state)
{
    (void)state;
    struct rx_grant grant;
    memset(&grant, 0xa5, sizeof grant);
    rx_grant_wipe(&grant);
    grant_expect_wiped(&grant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_principal),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_many_users),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_lists_fit_in_a_line),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_file_lengths),
        cmocka_unit_test(test_usable_when),
        cmocka_unit_test(test_usable_where),
        cmocka_unit_test(test_usable_every_slot),
        cmocka_unit_test(test_allows_user),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
