#include "rexecd/ipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define NET IPC_FROM_NET
#define MONITOR IPC_FROM_MONITOR
#define NONE IPC_STATE_NONE
#define CHALLENGED IPC_STATE_CHALLENGED
#define PROVEN IPC_STATE_PROVEN
#define WHOLE IPC_STATE_WHOLE
#define COMMAND IPC_STATE_COMMAND

static const struct {
    const char *name;
    enum ipc_side from;
    size_t fixed, tail_max, fds;
    unsigned states;
} types[] = {
    [IPC_NOTHING] = {.name = "NOTHING"},
#define X(NAME, from, fixed, tail, fds, states)                                                    \
    [IPC_##NAME] = {#NAME, (from), (fixed), (tail), (fds), (states)},
#include "rexecd/ipc.def"
#undef X
};

enum { TYPE_COUNT = sizeof types / sizeof types[0] };

/* In front of every message. */
struct head {
    uint32_t type;
    uint32_t session;
};

/* Head, structure and tail lie one behind the other; 8 bytes of head keep the structure aligned. */
struct ipc_reader {
    _Alignas(16) uint8_t bytes[sizeof(struct head) + IPC_REQUEST_MAX + 256];
};

const char *ipc_type_name(enum ipc_type type)
{
    return (size_t)type < TYPE_COUNT ? types[type].name : "unknown";
}

unsigned ipc_type_states(enum ipc_type type)
{
    return (size_t)type < TYPE_COUNT ? types[type].states : 0;
}

size_t ipc_type_fixed(enum ipc_type type)
{
    return (size_t)type < TYPE_COUNT ? types[type].fixed : 0;
}

size_t ipc_type_fds(enum ipc_type type)
{
    return (size_t)type < TYPE_COUNT ? types[type].fds : 0;
}

int ipc_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

int ipc_send(int fd, enum ipc_type type, uint32_t session, const void *fixed, const void *tail,
             size_t tail_len, const int *fds)
{
    if (tail_len > types[type].tail_max) {
        errno = EMSGSIZE;
        return -1;
    }
    struct head head = {.type = type, .session = session};
    struct iovec parts[] = {
        {.iov_base = &head, .iov_len = sizeof head},
        // NOLINTNEXTLINE(performance-no-int-to-ptr): iovec is not const, sendmsg does not write
        {.iov_base = (void *)(uintptr_t)fixed, .iov_len = types[type].fixed},
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        {.iov_base = (void *)(uintptr_t)tail, .iov_len = tail_len},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control;
    size_t count = types[type].fds;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = &control.align; /* the first one */
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    ssize_t n;
    /* net's sandbox has no sendmsg: it sends no descriptors. Both roles ignore SIGPIPE. */
    do
        n = count > 0 ? sendmsg(fd, &message, MSG_NOSIGNAL) : writev(fd, parts, 3);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

struct ipc_reader *ipc_reader_new(void)
{
    return malloc(sizeof(struct ipc_reader));
}

void ipc_reader_free(struct ipc_reader *reader)
{
    free(reader);
}

void ipc_close_fds(struct ipc_message *message)
{
    for (size_t i = 0; i < message->fd_count; i++)
        if (message->fds[i] >= 0)
            (void)close(message->fds[i]);
    message->fd_count = 0;
}

/* Takes the descriptors out, and says how many came: one more than a message can have may fit, and
 * is closed; of more than that the kernel says MSG_CTRUNC. */
static size_t take_fds(struct msghdr *header, struct ipc_message *message)
{
    size_t came = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (message->fd_count < IPC_FDS_MAX)
                message->fds[message->fd_count++] = fd;
            else
                (void)close(fd);
        }
        came += n;
    }
    return came;
}

/* Whether the datagram is exactly what the list says of its type. */
static bool well_formed(const struct msghdr *header, size_t n, enum ipc_side side,
                        const struct ipc_reader *reader, size_t fd_count)
{
    struct head head;
    if ((header->msg_flags & MSG_TRUNC) != 0 || n < sizeof head)
        return false;
    memcpy(&head, reader->bytes, sizeof head);
    if (head.type == IPC_NOTHING || head.type >= TYPE_COUNT || types[head.type].from != side)
        return false;
    n -= sizeof head;
    if (n < types[head.type].fixed || n - types[head.type].fixed > types[head.type].tail_max)
        return false;
    bool of_session = (types[head.type].states & (IPC_STATE_WHOLE | IPC_STATE_COMMAND)) == 0;
    /* Fewer than were sent came, and no more than may: it is this process that could not take them.
     */
    bool lost = (header->msg_flags & MSG_CTRUNC) != 0;
    bool fds_fit = lost ? fd_count < types[head.type].fds : fd_count == types[head.type].fds;
    return fds_fit && of_session == (head.session != 0);
}

enum ipc_result ipc_receive(int fd, struct ipc_reader *reader, enum ipc_side side,
                            struct ipc_message *message)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    } control;
    struct iovec part = {.iov_base = reader->bytes, .iov_len = sizeof reader->bytes};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    *message = (struct ipc_message){0};
    ssize_t n;
    do
        n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? IPC_AGAIN : IPC_ERROR;
    if (n == 0)
        return IPC_EOF;
    size_t fd_count = take_fds(&header, message);
    if (!well_formed(&header, (size_t)n, side, reader, fd_count)) {
        ipc_close_fds(message);
        return IPC_BAD;
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
        ipc_close_fds(message);
        message->fds_lost = true;
    }
    struct head head;
    memcpy(&head, reader->bytes, sizeof head);
    message->type = head.type;
    message->session = head.session;
    message->fixed = reader->bytes + sizeof head;
    message->tail = reader->bytes + sizeof head + types[head.type].fixed;
    message->tail_len = (size_t)n - sizeof head - types[head.type].fixed;
    return IPC_GOT;
}
