/* rexecd/ipc.c: every type from every side, with every wrong length and number of descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rexecd/ipc.h"
#include "tests/duel/session.h"

enum { NET = IPC_FROM_NET, MONITOR = IPC_FROM_MONITOR, HEAD = 8, FDS_SENT = 6 };
enum {
    NONE = IPC_STATE_NONE,
    CHALLENGED = IPC_STATE_CHALLENGED,
    PROVEN = IPC_STATE_PROVEN,
    WHOLE = IPC_STATE_WHOLE,
    COMMAND = IPC_STATE_COMMAND,
};

static const struct {
    enum ipc_type type;
    int from;
    size_t fixed, tail, fds;
    unsigned states;
} list[] = {
#define X(NAME, from, fixed, tail, fds, states)                                                    \
    {IPC_##NAME, (from), (fixed), (tail), (fds), (states)},
#include "rexecd/ipc.def"
#undef X
};

enum { COUNT = sizeof list / sizeof list[0] };

static bool of_no_session(size_t i)
{
    return list[i].states == WHOLE || list[i].states == COMMAND;
}

struct way {
    int fds[2];
    struct ipc_reader *reader;
    size_t open_before;
};

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static int setup(void **state)
{
    static struct way way;
    way.open_before = open_fds();
    way.reader = ipc_reader_new();
    *state = &way;
    return way.reader != NULL ? ipc_pair(way.fds) : -1;
}

static int teardown(void **state)
{
    struct way *way = *state;
    (void)close(way->fds[0]);
    (void)close(way->fds[1]);
    ipc_reader_free(way->reader);
    return open_fds() == way->open_before ? 0 : -1; /* none leaked */
}

/* A datagram as it is, with any number of descriptors. */
static void send_raw(const struct way *way, const void *bytes, size_t n, size_t fds)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * FDS_SENT)];
    } control;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): iovec is not const, sendmsg does not write
    struct iovec part = {(void *)(uintptr_t)bytes, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fds > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * fds);
        for (size_t i = 0; i < fds; i++) {
            const int zero = 0;
            memcpy(CMSG_DATA(&control.align) + i * sizeof zero, &zero, sizeof zero);
        }
    }
    assert_int_equal(sendmsg(way->fds[0], &message, 0), (ssize_t)n);
}

static enum ipc_result get(const struct way *way, int side, struct ipc_message *m)
{
    return ipc_receive(way->fds[1], way->reader, (enum ipc_side)side, m);
}

static uint8_t *datagram(uint32_t type, uint32_t session, size_t n)
{
    static uint8_t bytes[IPC_REQUEST_MAX + 4096];
    memset(bytes, 0x5a, sizeof bytes);
    memcpy(bytes, &type, sizeof type);
    memcpy(bytes + 4, &session, sizeof session);
    assert_true(HEAD + n <= sizeof bytes);
    return bytes;
}

/* As the list says: it comes as it was sent. */
static void test_every_type(void **state)
{
    struct way *way = *state;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[IPC_FDS_MAX] = {null, null, null};
    static uint8_t fixed[512], tail[IPC_REQUEST_MAX];
    for (size_t i = 0; i < COUNT; i++) {
        memset(fixed, 0x11, sizeof fixed);
        memset(tail, 0x22, sizeof tail);
        const size_t tails[] = {0, list[i].tail / 2, list[i].tail};
        for (size_t k = 0; k < 3; k++) {
            struct ipc_message m;
            uint32_t session = of_no_session(i) ? 0 : 0x12345678;
            assert_int_equal(
                ipc_send(way->fds[0], list[i].type, session, fixed, tail, tails[k], fds), 0);
            assert_int_equal(get(way, list[i].from, &m), IPC_GOT);
            assert_int_equal(m.type, list[i].type);
            assert_int_equal(m.session, session);
            assert_int_equal(m.tail_len, tails[k]);
            assert_int_equal((uintptr_t)m.fixed % 8, 0);
            assert_memory_equal(m.fixed, fixed, list[i].fixed);
            assert_memory_equal(m.tail, tail, tails[k]);
            assert_int_equal(m.fd_count, list[i].fds);
            for (size_t f = 0; f < m.fd_count; f++)
                assert_true((fcntl(m.fds[f], F_GETFD) & FD_CLOEXEC) != 0);
            ipc_close_fds(&m);
        }
        errno = 0;
        assert_int_equal(ipc_send(way->fds[0], list[i].type, 1, fixed, tail, list[i].tail + 1, fds),
                         -1);
        assert_int_equal(errno, EMSGSIZE);
    }
    (void)close(null);
}

/* From the wrong side; with a session where there is none, and none where there is one. */
static void test_wrong_side(void **state)
{
    struct way *way = *state;
    for (size_t i = 0; i < COUNT; i++) {
        struct ipc_message m;
        bool whole = of_no_session(i);
        send_raw(way, datagram(list[i].type, whole ? 0 : 1, list[i].fixed), HEAD + list[i].fixed,
                 list[i].fds);
        assert_int_equal(get(way, list[i].from == NET ? MONITOR : NET, &m), IPC_BAD);
        send_raw(way, datagram(list[i].type, whole ? 1 : 0, list[i].fixed), HEAD + list[i].fixed,
                 list[i].fds);
        assert_int_equal(get(way, list[i].from, &m), IPC_BAD);
    }
}

static void test_wrong_lengths(void **state)
{
    struct way *way = *state;
    for (size_t i = 0; i < COUNT; i++) {
        struct ipc_message m;
        uint32_t session = of_no_session(i) ? 0 : 1;
        /* Everything too short, one too long. */
        for (size_t n = 0; n < list[i].fixed; n++) {
            send_raw(way, datagram(list[i].type, session, n), HEAD + n, list[i].fds);
            assert_int_equal(get(way, list[i].from, &m), IPC_BAD);
        }
        size_t over = list[i].fixed + list[i].tail + 1;
        send_raw(way, datagram(list[i].type, session, over), HEAD + over, list[i].fds);
        assert_int_equal(get(way, list[i].from, &m), IPC_BAD);
    }
    for (size_t n = 1; n < HEAD; n++) {
        struct ipc_message m;
        send_raw(way, datagram(IPC_READY, 0, 0), n, 0);
        assert_int_equal(get(way, NET, &m), IPC_BAD);
    }
}

static void test_wrong_fds(void **state)
{
    struct way *way = *state;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t fds = 0; fds <= FDS_SENT; fds++) {
            struct ipc_message m;
            uint32_t session = of_no_session(i) ? 0 : 1;
            send_raw(way, datagram(list[i].type, session, list[i].fixed), HEAD + list[i].fixed,
                     fds);
            assert_int_equal(get(way, list[i].from, &m), fds == list[i].fds ? IPC_GOT : IPC_BAD);
            ipc_close_fds(&m);
        }
    }
}

static void test_wrong_types(void **state)
{
    struct way *way = *state;
    const uint32_t types[] = {0, COUNT + 1, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < 4; i++) {
        for (int side = NET; side <= MONITOR; side++) {
            struct ipc_message m;
            send_raw(way, datagram(types[i], 1, 8), HEAD + 8, 0);
            assert_int_equal(get(way, side, &m), IPC_BAD);
        }
    }
    assert_string_equal(ipc_type_name(IPC_REQUEST), "REQUEST");
    assert_string_equal(ipc_type_name((enum ipc_type)(COUNT + 1)), "unknown");
    assert_int_equal(ipc_type_states((enum ipc_type)(COUNT + 1)), 0);
}

/* Datagrams of random types, lengths and numbers of descriptors: what comes through is as the list
 * says. */
static void test_random(void **state)
{
    struct way *way = *state;
    struct dice d = {.state = 1};
    size_t got = 0;
    for (int round = 0; round < 200000; round++) {
        struct ipc_message m;
        uint32_t type = (uint32_t)dice_below(&d, COUNT + 2);
        size_t n = (size_t)dice_below(&d, dice_below(&d, 8) == 0 ? 8192 : 160);
        size_t fds = dice_below(&d, 4) == 0 ? (size_t)dice_below(&d, FDS_SENT + 1) : 0;
        int side = (int)dice_below(&d, 2);
        send_raw(way, datagram(type, (uint32_t)dice_below(&d, 2), n), HEAD + n, fds);
        enum ipc_result result = get(way, side, &m);
        assert_true(result == IPC_GOT || result == IPC_BAD);
        if (result == IPC_GOT) {
            got++;
            assert_int_equal(m.type, type);
            assert_int_equal(list[type - 1].from, side);
            assert_int_equal(list[type - 1].fixed + m.tail_len, n);
            assert_true(m.tail_len <= list[type - 1].tail);
            assert_int_equal(m.fd_count, fds);
            assert_int_equal(list[type - 1].fds, fds);
        }
        ipc_close_fds(&m);
    }
    assert_true(got > 1000);
}

static void test_ends(void **state)
{
    struct way *way = *state;
    struct ipc_message m;
    assert_int_equal(get(way, NET, &m), IPC_AGAIN);
    assert_int_equal(shutdown(way->fds[0], SHUT_WR), 0);
    assert_int_equal(get(way, NET, &m), IPC_EOF);
    assert_int_equal(ipc_receive(-1, way->reader, IPC_FROM_NET, &m), IPC_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_side, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_fds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
