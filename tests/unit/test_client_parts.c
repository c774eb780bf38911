/* rexec/failure.c, rexec/address.c, rexec/keyfile.c, rexec/explain.c: what the user is told, and
 * what of it is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rexec/address.h"
#include "rexec/explain.h"
#include "rexec/failure.h"
#include "rexec/keyfile.h"
#include "tests/unit/client_world.h"

static struct rx_failure failure;

/* ---- failure ---------------------------------------------------------------------------- */

static void test_failure_bounds(void **state)
{
    (void)state;
    char text[2 * RX_WHAT_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    failure.code = 5;
    (void)snprintf(failure.todo, sizeof failure.todo, "old");
    rx_failure_set(&failure, RX_TROUBLE_LOST, "%s", text);
    assert_int_equal(failure.trouble, RX_TROUBLE_LOST);
    assert_int_equal(failure.code, 0);
    assert_string_equal(failure.todo, "");
    assert_int_equal(strlen(failure.what), RX_WHAT_MAX - 1);
    rx_failure_todo(&failure, "%s", text);
    assert_int_equal(strlen(failure.todo), RX_TODO_MAX - 1);
    assert_int_equal(strlen(failure.what), RX_WHAT_MAX - 1);
}

/* Every error that a server can name, with and without words of its own: something is said, and it
 * can be told from the code. */
static void test_notices(void **state)
{
    (void)state;
    struct rx_header h;
    for (unsigned code = 1; code < 300; code++) {
        if (strcmp(rx_error_name(code), "unknown") == 0)
            continue;
        rx_header_error(&h, (enum rx_error)code, NULL);
        rx_failure_notice(&failure, RX_TROUBLE_COMMAND, &h.notice);
        assert_int_equal(failure.trouble, RX_TROUBLE_COMMAND);
        assert_int_equal(failure.code, code);
        assert_non_null(strstr(failure.what, rx_error_text(code)));
        rx_header_error(&h, (enum rx_error)code, "because of Tuesday");
        rx_failure_notice(&failure, RX_TROUBLE_COMMAND, &h.notice);
        assert_int_equal(failure.code, code);
        assert_non_null(strstr(failure.what, "because of Tuesday"));
    }
}

/* A number that nobody knows, or that is none. */
static void test_notice_unknown(void **state)
{
    (void)state;
    static const int64_t codes[] = {0, -1, 65535, 65536, INT64_MAX, INT64_MIN, 9999};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct rx_notice notice = {.code = codes[i]};
        rx_failure_notice(&failure, RX_TROUBLE_PROTOCOL, &notice);
        assert_true(failure.what[0] != '\0');
        assert_true(failure.todo[0] != '\0');
        (void)snprintf(notice.text, sizeof notice.text, "new words");
        rx_failure_notice(&failure, RX_TROUBLE_PROTOCOL, &notice);
        assert_non_null(strstr(failure.what, "new words"));
    }
}

static void test_connect_errors(void **state)
{
    (void)state;
    static const struct {
        int error;
        enum rx_trouble trouble;
    } rows[] = {
        {ECONNREFUSED, RX_TROUBLE_REFUSED}, {ENOENT, RX_TROUBLE_REFUSED},
        {ETIMEDOUT, RX_TROUBLE_TIMEOUT},    {ENETUNREACH, RX_TROUBLE_ROUTE},
        {EHOSTUNREACH, RX_TROUBLE_ROUTE},   {EACCES, RX_TROUBLE_SYSTEM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rx_failure_connect(&failure, "the place", rows[i].error);
        assert_int_equal(failure.trouble, rows[i].trouble);
        assert_non_null(strstr(failure.what, "the place"));
        assert_true(failure.todo[0] != '\0');
    }
}

/* ---- address ---------------------------------------------------------------------------- */

static struct rx_addresses found;

static bool find(const char *host, const char *port, int family)
{
    failure = (struct rx_failure){0};
    bool good = rx_address_find(host, port, family, &found, &failure);
    if (!good) {
        assert_int_equal(failure.trouble, RX_TROUBLE_NAME);
        assert_true(failure.what[0] != '\0');
    } else {
        assert_true(found.count > 0 && found.count <= RX_ADDRESSES_MAX);
    }
    return good;
}

static void expect_text(const char *host, const char *port, int family, const char *expected)
{
    char text[RX_ADDRESS_TEXT];
    if (!find(host, port, family))
        fail_msg("%s: %s", host, failure.what);
    rx_address_text(&found.list[0], text);
    assert_string_equal(text, expected);
}

static void test_numeric(void **state)
{
    (void)state;
    expect_text("192.0.2.1", "7512", AF_UNSPEC, "192.0.2.1 port 7512");
    expect_text("192.0.2.1", "1", AF_INET, "192.0.2.1 port 1");
    expect_text("::1", "65535", AF_UNSPEC, "::1 port 65535");
    expect_text("[2001:db8::7]", "7512", AF_INET6, "2001:db8::7 port 7512");
    assert_int_equal(found.count, 1);
    assert_int_equal(found.list[0].len, sizeof(struct sockaddr_in6));
    assert_int_equal(found.list[0].storage.ss_family, AF_INET6);
    assert_false(find("192.0.2.1", "7512", AF_INET6));
    assert_false(find("::1", "7512", AF_INET));
}

static void test_bad_ports(void **state)
{
    (void)state;
    static const char *const ports[] = {"65536",           "-1",   "0", "", "99999999999",
                                        "no-such-service", "7512x"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        assert_false(find("192.0.2.1", ports[i], AF_UNSPEC));
}

static void test_unix(void **state)
{
    (void)state;
    char path[200] = "unix:";
    const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    memset(path + 5, 'a', most);
    path[5] = '/';
    assert_true(find(path, "x", AF_UNSPEC));
    assert_int_equal(found.list[0].storage.ss_family, AF_UNIX);
    char text[RX_ADDRESS_TEXT];
    rx_address_text(&found.list[0], text);
    assert_non_null(strstr(text, path + 5));
    path[5 + most] = 'b';
    assert_false(find(path, "x", AF_UNSPEC));
    assert_false(find("unix:", "x", AF_UNSPEC));
}

/* ---- key files -------------------------------------------------------------------------- */

static char directory[] = "/tmp/rexec-test-parts.XXXXXX";
static char key_path[128];

static void write_key(const char *text, size_t n, mode_t mode)
{
    (void)unlink(key_path);
    int fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static void expect_no_key(const char *says)
{
    struct rx_key key;
    static const uint8_t zero[sizeof key.psk];
    memset(&key, 0xee, sizeof key);
    failure = (struct rx_failure){0};
    assert_false(keyfile_read(key_path, &key, &failure));
    assert_memory_equal(key.psk, zero, sizeof zero);
    assert_int_equal(failure.trouble, RX_TROUBLE_SYSTEM);
    assert_non_null(strstr(failure.what, key_path));
    assert_true(failure.todo[0] != '\0');
    if (strstr(failure.what, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", failure.what, says);
}

static void test_key_file(void **state)
{
    (void)state;
    struct rx_key key = {.comment = "c"}, read = {0};
    char text[RX_KEY_FILE_MAX + 1];
    size_t n = 0;
    memset(key.psk, 9, sizeof key.psk);
    assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_OK);
    write_key(text, n, 0600);
    assert_true(keyfile_read(key_path, &read, &failure));
    assert_memory_equal(read.psk, key.psk, sizeof key.psk);
    write_key(text, n, 0400);
    assert_true(keyfile_read(key_path, &read, &failure));
    /* Any bit for anybody else. */
    for (mode_t bit = 1; bit <= 040; bit *= 2) {
        write_key(text, n, 0600 | bit);
        expect_no_key("others");
    }
    for (size_t cut = 0; cut + 1 < n; cut++) {
        write_key(text, cut, 0600);
        struct rx_key none = {0};
        if (keyfile_read(key_path, &none, &failure))
            assert_memory_equal(none.psk, key.psk, sizeof key.psk); /* only its end was cut */
    }
    memset(text, '#', sizeof text);
    write_key(text, sizeof text, 0600); /* one byte more than a key file may have */
    expect_no_key("");
    (void)unlink(key_path);
    expect_no_key("");
    rx_key_wipe(&key);
    rx_key_wipe(&read);
}

static void test_key_paths(void **state)
{
    (void)state;
    char path[PATH_MAX], longest[PATH_MAX + 8];
    assert_int_equal(setenv("HOME", "/home/x", 1), 0);
    assert_true(keyfile_default("key", path));
    assert_string_equal(path, "/home/x/.config/rexec/key");
    assert_true(keyfile_expand("~/k", path));
    assert_string_equal(path, "/home/x/k");
    assert_true(keyfile_expand("/a/~/b", path));
    assert_string_equal(path, "/a/~/b");
    assert_true(keyfile_expand("~user", path)); /* as it stands */
    assert_string_equal(path, "~user");
    memset(longest, 'a', sizeof longest);
    longest[PATH_MAX - 1] = '\0';
    assert_true(keyfile_expand(longest, path));
    longest[PATH_MAX - 1] = 'a';
    longest[PATH_MAX] = '\0';
    assert_false(keyfile_expand(longest, path));
    assert_int_equal(setenv("HOME", "relative", 1), 0); /* not to be trusted */
    assert_true(!keyfile_default("key", path) || path[0] == '/');
}

/* ---- explanations ----------------------------------------------------------------------- */

/* How far it had come decides what its end means. */
static void test_explain(void **state)
{
    (void)state;
    static struct client_world w;
    client_world_open(&w);
    struct rx_explain about = {
        .address = "192.0.2.1 port 7512", .server_name = "lab", .connection = w.c};
    rx_explain_session(&about, RX_E_CLOSED_EARLY, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_LOST);
    rx_explain_session(&about, RX_OK, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_LOST);
    rx_explain_session(&about, RX_E_COUNT_MISMATCH, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_PROTOCOL);
    assert_int_equal(failure.code, RX_E_COUNT_MISMATCH);
    client_world_close(&w);
    uint8_t random[RX_CONNECTION_RANDOM];
    enum rx_error error;
    memset(random, 5, sizeof random);
    const struct rx_connection_config config = {.keys = &w.p.grant};
    struct rx_connection *c = rx_connection_new(&config, random, &error);
    assert_non_null(c);
    about.connection = c;
    rx_explain_session(&about, RX_E_CLOSED_EARLY, &failure); /* not a word came */
    assert_int_equal(failure.trouble, RX_TROUBLE_PEER);
    rx_explain_session(&about, RX_E_NOT_REXEC, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_PEER);
    rx_explain_session(&about, RX_E_PROOF_WRONG, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_GRANT);
    assert_non_null(strstr(failure.todo, "lab"));
    about.key_file = "/the/key";
    rx_explain_session(&about, RX_E_PROOF_WRONG, &failure);
    assert_non_null(strstr(failure.todo, "/the/key"));
    rx_explain_session(&about, RX_E_NO_COMMON_VERSION, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_VERSION);
    rx_explain_session(&about, RX_E_NO_COMMON_SUITE, &failure);
    assert_int_equal(failure.trouble, RX_TROUBLE_VERSION);
    for (unsigned code = 1; code < 300; code++) {
        if (strcmp(rx_error_name(code), "unknown") == 0)
            continue;
        rx_explain_session(&about, (enum rx_error)code, &failure);
        assert_int_not_equal(failure.trouble, RX_TROUBLE_NONE);
        assert_true(failure.what[0] != '\0' && failure.todo[0] != '\0');
    }
    rx_connection_free(c);
}

/* ---- connection ------------------------------------------------------------------------- */

/* A REFUSED that ends the stream and cannot be read: the session is over, and the command does not
 * outlive its channel. */
static void test_refused_unreadable(void **state)
{
    (void)state;
    static struct client_world w;
    struct rx_client_event event;
    const uint8_t *bytes;
    client_world_open(&w);
    uint8_t payload[RX_MESSAGE_HEAD + 1];
    struct rx_seal seal = rx_sealer_seal(&w.server.out);
    size_t n = 0;
    rx_message_head(payload, RX_REFUSED, RX_FLAG_LAST, 1, rx_channel_stream(w.channel));
    payload[RX_MESSAGE_HEAD] = '{';
    assert_int_equal(rx_record_seal(&seal, payload, sizeof payload, w.wire, &n), RX_OK);
    rx_connection_feed(w.c, w.wire, n);
    assert_int_equal(rx_connection_next(w.c, 1, &event), RX_NEXT_ERROR);
    assert_int_equal(rx_connection_next(w.c, 1, &event), RX_NEXT_ERROR);
    assert_int_equal(rx_connection_error(w.c), RX_E_BAD_HEADER);
    assert_int_equal(rx_command_peek(w.command, RX_WHICH_STDOUT, &bytes), 0);
    assert_int_equal(rx_command_signal(w.command, "INT"), RX_E_BAD_STATE);
    client_world_close(&w);
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    (void)snprintf(key_path, sizeof key_path, "%s/key", directory);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_bounds),
        cmocka_unit_test(test_notices),
        cmocka_unit_test(test_notice_unknown),
        cmocka_unit_test(test_connect_errors),
        cmocka_unit_test(test_numeric),
        cmocka_unit_test(test_bad_ports),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_key_file),
        cmocka_unit_test(test_key_paths),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_refused_unreadable),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(key_path);
    (void)rmdir(directory);
    return failures;
}
