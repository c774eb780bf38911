/*
 * rexecd/monitor.c and ipc.c: whatever net sends, the monitor lives, and runs nothing. The
 * datagrams go over the real socket into a real monitor; one session is a proven one. Input:
 * for each datagram one byte of length and descriptors, then its bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rexecd/monitor.h"
#include "tests/unit/monitor_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { DATAGRAMS_MAX = 64 };

static void take_answers(struct world *w)
{
    while (!w->gone && world_next(w, 0))
        ;
}

enum { NET_TYPES = IPC_CLOSED, RAW = 0x80, FDS = 0x40, LENGTH = 0x3f };

/* Makes the head name a type of net's and a session that is proven, one that is new, one that was
 * or none, and the length that type's. Returns the length. */
static size_t shape(uint8_t copy[static 512], size_t n, uint32_t session)
{
    const uint32_t sessions[] = {session, session + 1, session - 1, session};
    uint32_t type = 1 + copy[0] % NET_TYPES, which = sessions[copy[4] & 3];
    if (ipc_type_states((enum ipc_type)type) >= IPC_STATE_WHOLE)
        which = 0;
    memcpy(copy, &type, sizeof type);
    memcpy(copy + 4, &which, sizeof which);
    size_t fixed = 8 + ipc_type_fixed((enum ipc_type)type);
    return type == IPC_REQUEST && n > fixed ? n : fixed;
}

static void send_datagram(const struct world *w, uint32_t session, const uint8_t *bytes, size_t n,
                          unsigned how)
{
    uint8_t copy[512] = {0};
    size_t fds = (how & RAW) != 0 && (how & FDS) != 0 ? 1 + (how & 3) : 0;
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * 4)];
    } control;
    memcpy(copy, bytes, n);
    if ((how & RAW) == 0)
        n = shape(copy, n, session);
    struct iovec part = {copy, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fds > 0) {
        const int sent[4] = {0, 0, 0, 0};
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * fds);
        memcpy(CMSG_DATA(&control.align), sent, sizeof(int) * fds);
    }
    if (n > 0)
        (void)sendmsg(w->net, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whether the session is still proven: a request of its client's is answered. */
static bool answers(struct client *c)
{
    struct rx_header h;
    rx_header_init(RX_LIST, &h);
    client_sign(c, RX_LIST, 1, &h, NULL, 0);
    client_send(c);
    bool answered = world_next(c->w, 0) && c->w->in.type == IPC_ANSWER;
    take_answers(c->w);
    return answered;
}

/* The world stays from one input to the next, until an input ends it. */
static void begin(struct world *w)
{
    static bool open;
    const char *const settings[] = {"cgroups", "no", "remember", "16", NULL};
    if (open && !w->gone)
        return;
    if (open)
        world_close(w);
    world_log = LOG_LEVEL_NONE;
    world_open(w, NULL, settings);
    open = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct world w;
    static struct client client;
    static uint32_t session = 1;
    begin(&w);
    if (monitor_sessions(w.monitor) == 0 && !client_open(&client, &w, session += 2))
        abort();
    for (int i = 0; i < DATAGRAMS_MAX && n > 1 && !w.gone; i++) {
        unsigned how = data[0];
        size_t len = (size_t)(how & LENGTH) * 4;
        data++;
        n--;
        if (len > n)
            len = n;
        send_datagram(&w, session, data, len, how);
        data += len;
        n -= len;
        take_answers(&w);
    }
    if (monitor_commands(w.monitor) != 0)
        abort(); /* nothing that was not proven may run */
    /* The proven session alone is left: the next input may have it. */
    if (w.gone || (monitor_sessions(w.monitor) == 1 && answers(&client)))
        return 0;
    for (uint32_t i = session - 1; i <= session + 1; i++) {
        const struct ipc_closed closed = {.how = IPC_HOW_CLOSE};
        world_say(&w, IPC_CLOSED, i, &closed, NULL, 0);
        take_answers(&w);
    }
    if (!w.gone && monitor_sessions(w.monitor) != 0)
        abort(); /* all are closed, and none may be left */
    return 0;
}
