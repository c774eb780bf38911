/* rexecd/subsystem.c: which program a subsystem's name means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "rexecd/subsystem.h"

static struct config config;
static char error[CONFIG_ERROR_MAX];

static int setup(void **state)
{
    (void)state;
    return config_init(&config);
}

static int teardown(void **state)
{
    (void)state;
    config_free(&config);
    return 0;
}

static const char *find(const char *name)
{
    return subsystem_path(&config, (const uint8_t *)name, strlen(name));
}

static void parse(const char *text)
{
    assert_int_equal(config_parse(&config, text, strlen(text), error), 0);
}

/* The system's sftp-server, and nothing else. */
static void test_default(void **state)
{
    (void)state;
    const char *path = find("sftp");
    if (access("/usr/lib/openssh/sftp-server", X_OK) == 0)
        assert_string_equal(path, "/usr/lib/openssh/sftp-server");
    else if (path != NULL)
        assert_int_equal(access(path, X_OK), 0);
    assert_null(find("sft"));
    assert_null(find("sftpd"));
    assert_null(find("SFTP"));
    assert_null(find("nftp"));
    assert_null(find(""));
}

static void test_configured(void **state)
{
    (void)state;
    parse("subsystem = sftp=/opt/a=b backup=/no/such/file\nsubsystem = sftp=/second\n");
    assert_int_equal(config_complete(&config, error), 0);
    assert_string_equal(find("sftp"), "/opt/a=b");
    assert_string_equal(find("backup"), "/no/such/file");
    assert_null(find("back"));
    assert_null(find("backup="));
    assert_null(find("backup=/no"));
    assert_null(subsystem_path(&config, (const uint8_t *)"sftp\0", 5));
}

/* Whoever names others, or none, has no sftp that was not asked for. */
static void test_no_default(void **state)
{
    (void)state;
    parse("subsystem = backup=/bin/true\n");
    assert_null(find("sftp"));
    config_free(&config);
    assert_int_equal(config_init(&config), 0);
    parse("subsystem =\n");
    assert_int_equal(config_complete(&config, error), 0);
    assert_null(find("sftp"));
}

static void test_wrong(void **state)
{
    (void)state;
    const char *const wrong[] = {"sftp", "=/bin/true", "sftp=", "sftp=internal-sftp", "/bin/true"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(subsystem_valid(wrong[i]));
        config_free(&config);
        assert_int_equal(config_init(&config), 0);
        assert_int_equal(config_set(&config, "subsystem", "ok=/bin/true", error), 0);
        assert_int_equal(config_set(&config, "subsystem", wrong[i], error), 0);
        assert_int_equal(config_complete(&config, error), -1);
        assert_non_null(strstr(error, "subsystem: give NAME=/PATH"));
    }
    assert_true(subsystem_valid("a=/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
