/* rexecd/watch.c: no change of a file is missed, told of or looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/watch.h"

static char directory[] = "/tmp/rexec-watch-XXXXXX";
static char inner[64], present[80], absent[80], other[80];
static const char *files[] = {present, absent, NULL};

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

/* The clock of files is coarse: two changes within one step of it look alike to who only looks. */
static void step(void)
{
    (void)usleep(20000);
}

static bool begun_told;

static int begin(void **state, bool told)
{
    begun_told = told;
    assert_int_equal(mkdir(inner, 0700), 0);
    put(present, "one");
    *state = watch_new(files, told);
    return *state == NULL || watch_is_told(*state) != told;
}

static int begin_told(void **state)
{
    return begin(state, true);
}

static int begin_looking(void **state)
{
    return begin(state, false);
}

static int end(void **state)
{
    watch_free(*state);
    (void)unlink(present);
    (void)unlink(absent);
    (void)unlink(other);
    return rmdir(inner);
}

/* Once, and then not again. */
static void expect_change(struct watch *w)
{
    assert_true(watch_changed(w));
    for (int i = 0; i < 3; i++)
        assert_false(watch_changed(w));
    step();
}

static void test_first(void **state)
{
    expect_change(*state);
}

static void test_changes(void **state)
{
    struct watch *w = *state;
    expect_change(w);
    put(present, "two");
    expect_change(w);
    put(absent, "");
    expect_change(w);
    put(absent, "is there now"); /* one that was not there is seen like the others */
    expect_change(w);
    put(other, "two");
    (void)watch_changed(w); /* a neighbour's coming may count */
    assert_int_equal(rename(other, present), 0);
    expect_change(w);
    put(present, "three"); /* the new file at its place */
    expect_change(w);
    assert_int_equal(chmod(present, 0644), 0);
    expect_change(w);
    assert_int_equal(rename(present, other), 0);
    expect_change(w);
    assert_int_equal(rename(other, present), 0);
    expect_change(w);
    assert_int_equal(unlink(absent), 0);
    expect_change(w);
    put(other, "comes by its name"); /* as tools make these files */
    assert_int_equal(rename(other, absent), 0);
    expect_change(w);
    put(absent, "and is written");
    expect_change(w);
    assert_int_equal(unlink(absent), 0);
    expect_change(w);
    int fd = open(present, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(fd, "x", 1), 1);
        expect_change(w);
    }
    assert_int_equal(close(fd), 0);
}

/* A name that leads to a file elsewhere, which goes and comes. */
static void test_link(void **state)
{
    struct watch *w = *state;
    expect_change(w);
    put(other, "elsewhere");
    assert_int_equal(symlink(other, absent), 0);
    expect_change(w);
    assert_false(watch_is_told(w)); /* links may lead on to links */
    put(other, "elsewhere, and changed");
    expect_change(w);
    assert_int_equal(unlink(other), 0);
    expect_change(w);
    put(other, "there again");
    expect_change(w);
    put(other, "there again, and changed");
    expect_change(w);
}

/* A file of two names. */
static void test_hard_link(void **state)
{
    struct watch *w = *state;
    expect_change(w);
    assert_int_equal(link(present, other), 0);
    expect_change(w);
    put(other, "by its other name");
    expect_change(w);
    assert_int_equal(unlink(present), 0);
    expect_change(w);
    put(other, "it is not there any more");
    assert_false(watch_changed(w));
}

/* Files that were replaced and live on elsewhere are nobody's business. */
static void test_moved_aside(void **state)
{
    struct watch *w = *state;
    expect_change(w);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rename(present, other), 0);
        put(present, i % 2 == 0 ? "new" : "newer");
        expect_change(w);
        put(other, "old");
        assert_false(watch_changed(w));
    }
    assert_int_equal(watch_is_told(w), begun_told);
}

/* More than the kernel keeps. */
static void test_many(void **state)
{
    struct watch *w = *state;
    expect_change(w);
    int fd = open(present, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int i = 0; i < 20000; i++) { /* two that are alike would be one */
        assert_int_equal(fchmod(fd, i % 2 == 0 ? 0644 : 0600), 0);
        assert_int_equal(write(fd, "x", 1), 1);
    }
    assert_int_equal(close(fd), 0);
    expect_change(w);
    put(present, "after");
    expect_change(w);
}

/* The directory goes, and another comes in its place: who was told looks from then on. */
static void test_directory_goes(void **state)
{
    struct watch *w = *state;
    static char away[80], left[100];
    expect_change(w);
    (void)snprintf(away, sizeof away, "%s.away", inner);
    assert_int_equal(rename(inner, away), 0);
    expect_change(w);
    assert_false(watch_is_told(w));
    assert_int_equal(mkdir(inner, 0700), 0);
    put(present, "another");
    expect_change(w);
    (void)snprintf(left, sizeof left, "%s/present", away);
    assert_int_equal(unlink(left), 0);
    assert_int_equal(rmdir(away), 0);
}

/* Where the kernel cannot be asked it is looked for. */
static void test_nowhere(void **state)
{
    (void)state;
    static const char *const list[] = {"/nonexistent/rexec/file", "relative", NULL};
    struct watch *w = watch_new(list, true);
    assert_non_null(w);
    assert_false(watch_is_told(w));
    expect_change(w);
    watch_free(w);
    watch_free(NULL);
}

#define BOTH(test)                                                                                 \
    {#test ": told", test, begin_told, end, NULL},                                                 \
    {                                                                                              \
#test ": looking", test, begin_looking, end, NULL                                          \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_first),          BOTH(test_changes),
        BOTH(test_link),           BOTH(test_hard_link),
        BOTH(test_moved_aside),    BOTH(test_many),
        BOTH(test_directory_goes), cmocka_unit_test(test_nowhere),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    (void)snprintf(inner, sizeof inner, "%s/inner", directory);
    (void)snprintf(present, sizeof present, "%s/present", inner);
    (void)snprintf(absent, sizeof absent, "%s/absent", inner);
    (void)snprintf(other, sizeof other, "%s/other", directory);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(directory);
    return failed;
}
