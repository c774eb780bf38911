/*
 * A client's story with a monitor that lacks something once, told so that whatever the monitor does
 * instead is seen: every step ends in an answer that a client can use, or the story is broken. For
 * one file of a test program, which says how calls of the monitor are made to fail: they are armed
 * in its turns only, as the client is in the same process.
 */
#ifndef REXEC_TESTS_UNIT_MONITOR_STORY_H
#define REXEC_TESTS_UNIT_MONITOR_STORY_H

#include <dirent.h>
#include <sys/wait.h>

#include "tests/unit/monitor_world.h"

/* Given by the includer: the monitor's turn begins, or is over. */
static void story_arm(bool on);

enum { STORY_MS = 60000 }; /* a machine may have much else to do */

/* How far it came. */
enum fate {
    FATE_BROKEN,  /* nothing came, or what nobody can use: `why` */
    FATE_GONE,    /* the monitor gave the link up */
    FATE_DROPPED, /* no session */
    FATE_FAILED,  /* the session was ended, with an error */
    FATE_REFUSED, /* a command was, with an error */
    FATE_WHOLE,
};

struct story {
    struct world *w;
    struct client c;
    enum fate fate;
    bool keys; /* were given */
    bool held; /* EXIT named who held the output */
    const char *why;
    int64_t code; /* of the error that ended it */
};

static inline void story_turn(struct world *w)
{
    story_arm(true);
    world_turn(w);
    story_arm(false);
}

static inline bool story_broken(struct story *s, const char *why)
{
    s->fate = FATE_BROKEN;
    s->why = why;
    return false;
}

/* The next message, and what each of those means that may come instead of any other. */
static inline bool story_next(struct story *s)
{
    struct world *w = s->w;
    static uint8_t nothing[512] = {0};
    struct rx_header h;
    int64_t deadline = world_ms() + STORY_MS;
    ipc_close_fds(&w->in);
    for (;;) {
        story_turn(w);
        enum ipc_result got = ipc_receive(w->net, w->reader, IPC_FROM_MONITOR, &w->in);
        bool ours =
            w->in.session == s->c.session || w->in.type == IPC_ENDED || w->in.type == IPC_EXIT_NOW;
        if (got == IPC_GOT && ours)
            break;
        ipc_close_fds(&w->in); /* an earlier one's */
        w->in = (struct ipc_message){.fixed = nothing, .tail = nothing};
        if (got == IPC_EOF) {
            s->fate = FATE_GONE;
            w->gone = true;
            return false;
        }
        if (got != IPC_AGAIN && got != IPC_GOT)
            return story_broken(s, "the link is broken");
        if (world_ms() >= deadline)
            return story_broken(s, "nothing came");
        (void)usleep(200);
    }
    if (w->in.type == IPC_DROP) {
        s->fate = FATE_DROPPED;
        return false;
    }
    if (w->in.type == IPC_FAIL) {
        if (rx_header_decode(RX_ERROR, w->in.tail, w->in.tail_len, &h) != RX_OK)
            return story_broken(s, "FAIL says nothing");
        s->fate = FATE_FAILED;
        s->code = h.notice.code;
        return false;
    }
    if (w->in.type != IPC_ANSWER)
        return true;
    const struct ipc_answer *a = w->in.fixed;
    if (rx_header_decode(a->type, w->in.tail, a->header_len, &h) != RX_OK)
        return story_broken(s, "an answer cannot be read");
    if (a->type != RX_REFUSED)
        return true;
    if (h.notice.code <= 0 || h.notice.text[0] == '\0')
        return story_broken(s, "REFUSED says nothing");
    s->fate = FATE_REFUSED;
    s->code = h.notice.code;
    return false;
}

static inline bool story_expect(struct story *s, enum ipc_type type)
{
    if (!story_next(s))
        return false;
    return s->w->in.type == type || story_broken(s, ipc_type_name(s->w->in.type));
}

/* Up to the keys. `flip`: one bit of M3 is wrong, and there must be none. */
static inline bool story_open(struct story *s, struct world *w, uint32_t session, bool flip)
{
    struct ipc_m1 m1;
    struct ipc_m3 m3;
    struct rx_header h;
    *s = (struct story){.w = w};
    client_m1(&s->c, w, session, w->psk, rx_suites_here() & RX_SUITES_SEALED, &m1);
    world_say(w, IPC_M1, session, &m1, NULL, 0);
    if (!story_expect(s, IPC_M2))
        return false;
    if (client_m3(&s->c, &m3) != RX_OK)
        return story_broken(s, "M2 is wrong");
    m3.m3[RX_M3_SIZE - 1] ^= flip;
    world_say(w, IPC_M3, session, &m3, NULL, 0);
    if (!story_next(s))
        return false;
    s->keys = w->in.type == IPC_KEYS;
    const struct ipc_keys *keys = w->in.fixed;
    if (!s->keys || flip || memcmp(keys->s2c, s->c.keys.s2c, RX_KEY_SIZE) != 0)
        return story_broken(s, flip ? "a wrong proof was taken" : "no keys, or wrong ones");
    if (rx_header_decode(RX_WELCOME, w->in.tail, w->in.tail_len, &h) != RX_OK)
        return story_broken(s, "WELCOME cannot be read");
    client_ready(&s->c);
    return true;
}

static inline bool story_start(struct story *s, uint32_t stream, const char *line,
                               struct running *r)
{
    *r = (struct running){.fds = {-1, -1, -1}};
    client_shell(&s->c, stream, line);
    if (!story_expect(s, IPC_START))
        return false;
    const struct ipc_start *start = s->w->in.fixed;
    r->number = start->command;
    for (size_t i = 0; i < 3; i++) {
        r->fds[i] = s->w->in.fds[i];
        s->w->in.fds[i] = -1;
    }
    return rx_header_decode(RX_STARTED, s->w->in.tail, s->w->in.tail_len, &r->started) == RX_OK ||
           story_broken(s, "STARTED cannot be read");
}

/* The end of a command, as ENDED or EXIT_NOW says it. */
static inline bool story_end(struct story *s, enum ipc_type type, const struct running *r,
                             struct rx_header *h)
{
    if (!story_expect(s, type))
        return false;
    const struct ipc_command *which = s->w->in.fixed;
    return (which->command == r->number &&
            rx_header_decode(RX_EXIT, s->w->in.tail, s->w->in.tail_len, h) == RX_OK) ||
           story_broken(s, "EXIT cannot be read");
}

static inline void story_finished(struct story *s, struct running *r)
{
    const struct ipc_finished finished = {.command = r->number};
    running_close(r);
    world_say(s->w, IPC_FINISHED, 0, &finished, NULL, 0);
    story_turn(s->w);
}

/* What a command was killed by if the monitor could not go on with it: the client is told. */
static inline bool story_killed(struct story *s, const struct rx_header *h)
{
    if (strcmp(h->exit.signal, "KILL") != 0)
        return story_broken(s, "the end is wrong");
    s->fate = FATE_FAILED;
    s->code = RX_E_NO_RESOURCES;
    return false;
}

/* A command that reads and writes. */
static inline bool story_talk(struct story *s, uint32_t stream)
{
    struct running r;
    struct rx_header h;
    char out[64];
    size_t n = 0;
    if (!story_start(s, stream, "read x; echo \"got $x\"; exit 3", &r)) {
        running_close(&r);
        return false;
    }
    (void)!write(r.fds[0], "it\n", 3);
    int64_t deadline = world_ms() + STORY_MS;
    for (ssize_t got = -1; got != 0 && world_ms() < deadline;) {
        story_turn(s->w);
        got = read(r.fds[1], out + n, sizeof out - 1 - n);
        if (got > 0)
            n += (size_t)got;
        else
            (void)usleep(200);
    }
    out[n] = '\0';
    bool ended = story_end(s, IPC_ENDED, &r, &h);
    story_finished(s, &r);
    if (!ended)
        return false;
    if (h.exit.code != 3 || strcmp(out, "got it\n") != 0)
        return story_killed(s, &h);
    return true;
}

/* Reads the number in the first line of a command's output; 0: none came. */
static inline pid_t story_line(struct story *s, const struct running *r)
{
    char text[16] = "";
    size_t n = 0;
    int64_t deadline = world_ms() + STORY_MS;
    while (n + 1 < sizeof text && memchr(text, '\n', n) == NULL && world_ms() < deadline) {
        ssize_t got = read(r->fds[1], text + n, 1);
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
        else
            story_turn(s->w);
    }
    return (pid_t)strtol(text, NULL, 10);
}

/* One that is signalled, and leaves somebody behind who holds its output. */
static inline bool story_signal(struct story *s, uint32_t stream)
{
    struct running r;
    struct rx_header h;
    static const char line[] = "sh -c 'trap \"\" INT; echo $$; exec sleep 99' & exec sleep 99";
    if (!story_start(s, stream, line, &r)) {
        running_close(&r);
        return false;
    }
    pid_t holder = story_line(s, &r);
    client_signal(&s->c, stream, "INT", 1);
    const struct ipc_command which = {.command = r.number};
    bool ended = story_next(s);
    bool unasked = ended && s->w->in.type == IPC_ENDED;
    if (unasked) {
        ended = rx_header_decode(RX_EXIT, s->w->in.tail, s->w->in.tail_len, &h) == RX_OK ||
                story_broken(s, "EXIT cannot be read");
    } else if (ended) {
        ended = (s->w->in.type == IPC_ANSWER || story_broken(s, "no answer")) &&
                story_end(s, IPC_ENDED, &r, &h);
    }
    if (ended && !unasked) {
        world_say(s->w, IPC_DRAINED, 0, &which, NULL, 0);
        ended = story_end(s, IPC_EXIT_NOW, &r, &h);
    }
    story_finished(s, &r);
    if (holder > 0)
        (void)kill(holder, SIGKILL);
    if (ended && (unasked || strcmp(h.exit.signal, "INT") != 0))
        return story_killed(s, &h);
    s->held = ended && h.exit.holders.count == 1 && h.exit.holders.pids[0] == holder;
    return ended;
}

/* All of it: a session, its commands, and a client that goes away from one of them. */
static inline void story_tell(struct story *s, struct world *w, uint32_t session)
{
    struct running r = {.fds = {-1, -1, -1}};
    if (story_open(s, w, session, false) && story_talk(s, 1) && story_signal(s, 3) &&
        story_start(s, 5, "trap '' TERM; echo; while :; do sleep 99; done", &r)) {
        (void)story_line(s, &r);
        s->fate = FATE_WHOLE;
    }
    running_close(&r);
    if (s->keys && !w->gone) {
        client_close(&s->c, IPC_HOW_FIN);
        story_turn(w);
    }
}

/* Turns until no command and no child is left; false: one stays. */
static inline bool story_over(struct world *w)
{
    int64_t deadline = world_ms() + STORY_MS;
    siginfo_t info;
    do {
        story_turn(w);
        ipc_close_fds(&w->in);
        if (!w->gone && ipc_receive(w->net, w->reader, IPC_FROM_MONITOR, &w->in) == IPC_GOT &&
            w->in.type == IPC_ENDED) {
            const struct ipc_command *which = w->in.fixed;
            const struct ipc_finished finished = {.command = which->command};
            world_say(w, IPC_FINISHED, 0, &finished, NULL, 0);
        }
        (void)usleep(200);
        if (monitor_commands(w->monitor) == 0 &&
            waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
            return true;
    } while (world_ms() < deadline);
    return false;
}

/* Descriptors that are open. */
static inline size_t story_fds(void)
{
    size_t n = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        abort();
    while (readdir(directory) != NULL)
        n++;
    (void)closedir(directory);
    return n;
}

#endif
