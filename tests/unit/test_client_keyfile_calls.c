/* rexec/keyfile.c: a key that cannot be read to its end leaves nothing of it behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rexec/keyfile.h"
#include "tests/unit/calls.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__USE_FORTIFY_LEVEL) && __USE_FORTIFY_LEVEL > 0
// NOLINTBEGIN(bugprone-reserved-identifier): the C library's name for a read whose buffer it checks
ssize_t __read_chk(int fd, void *out, size_t n, size_t room)
{
    assert_true(n <= room);
    return __wrap_read(fd, out, n);
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

enum { BELOW = 32 * 1024 };

static char text[RX_KEY_FILE_MAX + 1];
static char path[] = "/tmp/rexec-test-keyfile.XXXXXX";

/* What earlier calls have left below. */
static void __attribute__((noinline)) clear_below(void)
{
    volatile char below[2 * BELOW];
    for (size_t i = 0; i < sizeof below; i++)
        below[i] = 0;
}

/* With the n-th call failing: whether it was a read that did. */
static bool fails_at(size_t n)
{
    struct rx_key key;
    struct rx_failure failure;
    size_t found = 0;
    clear_below();
    calls_at(n, 1);
    bool read = keyfile_read(path, &key, &failure);
    const char *failed = call_failed;
#ifndef SANITIZED
    /* Where its frame was. No call until all is looked at. */
    size_t run = 0;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the compiler is not to know what stands there
    const volatile char *below = (const volatile char *)(here - BELOW);
    for (size_t i = 0; i < BELOW; i++) {
        run = below[i] == '5' || below[i] == 'a' ? run + 1 : 0;
        found += run == 16;
    }
#endif
    calls_off();
    rx_key_wipe(&key);
    assert_int_equal(read, failed == NULL);
    assert_int_equal(found, 0);
    return failed != NULL && strcmp(failed, "read") == 0;
}

static void test_nothing_left(void **state)
{
    (void)state;
    struct rx_key key = {.comment = "c"};
    size_t n = 0, reads = 0;
    memset(key.psk, 0x5a, sizeof key.psk);
    assert_int_equal(rx_key_print(&key, text, sizeof text, &n), RX_OK);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    (void)close(fd);
    for (size_t i = 1; i < 5; i++)
        reads += fails_at(i);
    (void)unlink(path);
    assert_int_equal(reads, 2); /* the key's bytes had come before the second */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
