/* proto/modes.c: a terminal's modes by name, from one terminal and to another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "proto/modes.h"

/* The value of a mode that is there exactly once. */
static int64_t value_of(const struct rx_modes *modes, const char *name)
{
    size_t found = 0;
    int64_t value = RX_ABSENT;
    for (size_t i = 0; i < modes->count; i++) {
        if (strcmp(modes->modes[i].name, name) == 0) {
            value = modes->modes[i].value;
            found++;
        }
    }
    assert_int_equal(found, 1);
    return value;
}

static void put(struct rx_modes *modes, const char *name, int64_t value)
{
    (void)snprintf(modes->modes[modes->count].name, sizeof modes->modes[0].name, "%s", name);
    modes->modes[modes->count++].value = value;
}

/* As stty sane makes it. */
static struct termios sane(void)
{
    struct termios t = {0};
    t.c_iflag = ICRNL | IXON | BRKINT;
    t.c_oflag = OPOST | ONLCR;
    t.c_cflag = CS8 | CREAD;
    t.c_lflag = ISIG | ICANON | ECHO | ECHOE | IEXTEN;
    t.c_cc[VINTR] = 3;
    t.c_cc[VEOF] = 4;
    t.c_cc[VEOL] = _POSIX_VDISABLE;
    (void)cfsetispeed(&t, B38400);
    (void)cfsetospeed(&t, B38400);
    return t;
}

static void test_read(void **state)
{
    (void)state;
    struct rx_modes modes;
    struct termios t = sane();
    rx_modes_read(&t, &modes);
    static const char *const on[] = {"icrnl", "ixon",   "brkint", "opost", "onlcr", "cs8",
                                     "isig",  "icanon", "echo",   "echoe", "iexten"};
    static const char *const off[] = {"ignbrk", "ignpar", "parmrk", "inpck",  "istrip",
                                      "inlcr",  "igncr",  "ixany",  "ixoff",  "ocrnl",
                                      "onocr",  "onlret", "cs7",    "parenb", "parodd",
                                      "echok",  "echonl", "noflsh", "tostop"};
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++)
        assert_int_equal(value_of(&modes, on[i]), 1);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        assert_int_equal(value_of(&modes, off[i]), 0);
    assert_int_equal(value_of(&modes, "vintr"), 3);
    assert_int_equal(value_of(&modes, "veof"), 4);
    assert_int_equal(value_of(&modes, "veol"), 255);
    assert_int_equal(value_of(&modes, "ispeed"), 38400);
    assert_int_equal(value_of(&modes, "ospeed"), 38400);
    assert_true(modes.count <= RX_MODES_MAX);
}

/* What was read makes the same terminal of another. */
static void test_there_and_back(void **state)
{
    (void)state;
    struct rx_modes modes, again;
    struct termios t = sane(), other = {0};
    t.c_cflag = CS7 | PARENB | CREAD;
    other.c_cflag = CS8;
    other.c_lflag = NOFLSH | TOSTOP | ECHONL;
    other.c_cc[VEOL] = 9;
    rx_modes_read(&t, &modes);
    rx_modes_apply(&modes, &other);
    rx_modes_read(&other, &again);
    assert_int_equal(modes.count, again.count);
    for (size_t i = 0; i < modes.count; i++)
        assert_int_equal(value_of(&again, modes.modes[i].name), modes.modes[i].value);
    assert_int_equal(other.c_cflag & CSIZE, CS7);
    assert_int_equal(other.c_lflag, t.c_lflag);
    assert_int_equal(other.c_cc[VEOL], _POSIX_VDISABLE);
}

/* Names that are not known, and values that mean nothing, change nothing. */
static void test_strange(void **state)
{
    (void)state;
    struct rx_modes modes = {.count = 0};
    struct termios t = sane(), before = t;
    put(&modes, "vintr", 256);
    put(&modes, "vquit", UINT32_MAX);
    put(&modes, "vdsusp", 1);
    put(&modes, "ECHO", 0);
    put(&modes, "", 1);
    put(&modes, "ospeed", 12345);
    put(&modes, "speed", 9600);
    put(&modes, "cs8", 0); /* how many bits instead, it does not say */
    rx_modes_apply(&modes, &t);
    assert_memory_equal(&t, &before, sizeof t);
}

/* Each alone, on and off, leaves all others as they are. */
static void test_each(void **state)
{
    (void)state;
    struct rx_modes all;
    struct termios t = sane();
    rx_modes_read(&t, &all);
    for (size_t i = 0; i < all.count; i++) {
        const char *name = all.modes[i].name;
        bool character = name[0] == 'v', speed = strstr(name, "speed") != NULL;
        if (strcmp(name, "cs7") == 0 || strcmp(name, "cs8") == 0)
            continue;
        int64_t other = character ? 77 : speed ? 300 : !all.modes[i].value;
        struct rx_modes one = {.count = 0}, now;
        put(&one, name, other);
        t = sane();
        rx_modes_apply(&one, &t);
        rx_modes_read(&t, &now);
        for (size_t j = 0; j < all.count; j++) {
            bool it = j == i;
            int64_t expected = it ? other : all.modes[j].value;
            /* Some systems have one speed for both ways. */
            if (!it && speed && strstr(all.modes[j].name, "speed") != NULL)
                continue;
            assert_int_equal(value_of(&now, all.modes[j].name), expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
