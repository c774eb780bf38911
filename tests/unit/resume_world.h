/*
 * Two connections of one client and one of another to a monitor, for tests of commands that outlive
 * theirs. For one file of a test program, which includes cmocka before.
 */
#ifndef REXEC_TESTS_UNIT_RESUME_WORLD_H
#define REXEC_TESTS_UNIT_RESUME_WORLD_H

#include "proto/bytes.h"
#include "tests/unit/monitor_world.h"

/* Commands that wait wait long, unless a test is about that. */
#define PATIENT "linger", "600", "fin_grace", "600"

struct trio {
    struct world w;
    struct client a, b;             /* one client's two connections: sessions 1 and 2 */
    struct client other;            /* another client's: session 3 */
    char audit[64];                 /* its file */
    uint8_t id[RX_COMMAND_ID_SIZE]; /* of the last EXEC */
};

static inline struct trio *open_trio(const struct rx_grant *grant, const char *const settings[])
{
    static struct trio t;
    const char *all[32] = {"audit", t.audit};
    size_t n = 2;
    uint8_t psk[RX_KEY_SIZE];
    struct rx_grant bob;
    (void)snprintf(t.audit, sizeof t.audit, "/tmp/rexec-test-resume.XXXXXX");
    int fd = mkstemp(t.audit);
    assert_true(fd >= 0);
    (void)close(fd);
    for (size_t i = 0; settings[i] != NULL; i++)
        all[n++] = settings[i];
    all[n] = NULL;
    world_stranger(psk, &bob);
    world_open_two(&t.w, grant, &bob, all);
    assert_true(client_open(&t.a, &t.w, 1));
    assert_true(client_open(&t.b, &t.w, 2));
    assert_true(client_open_as(&t.other, &t.w, 3, psk));
    return &t;
}

static inline int setup(void **state)
{
    static const char *const settings[] = {PATIENT, NULL};
    *state = open_trio(NULL, settings);
    return 0;
}

/* For tests whose settings are their own. */
static inline int no_setup(void **state)
{
    *state = NULL;
    return 0;
}

static inline void close_trio(struct trio *t)
{
    world_close(&t->w);
    (void)unlink(t->audit);
}

static inline int teardown(void **state)
{
    if (*state != NULL)
        close_trio(*state);
    return 0;
}

/* The audit file's lines. */
static inline const char *audited(const struct trio *t)
{
    static char text[65536];
    FILE *f = fopen(t->audit, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    return text;
}

/* ---- what a client asks ----------------------------------------------------------------- */

static inline struct rx_header shell_header(struct trio *t)
{
    struct rx_header h = client_exec_header(&t->a, RX_RUN_SHELL);
    memcpy(t->id, h.exec.id, sizeof t->id);
    return h;
}

/* EXEC of the last id. age: RX_ABSENT for the first time. */
static inline void exec_id(struct trio *t, struct client *c, uint32_t stream, const char *line,
                           int64_t age)
{
    struct rx_header h = client_exec_header(c, RX_RUN_SHELL);
    const char *const words[] = {line, NULL};
    memcpy(h.exec.id, t->id, sizeof h.exec.id);
    h.exec.age_ms = age;
    client_exec(c, stream, &h, words);
}

/* The last id's command runs on A's stream. */
static inline void trio_start(struct trio *t, uint32_t stream, const char *line, struct running *r)
{
    (void)shell_header(t);
    exec_id(t, &t->a, stream, line, RX_ABSENT);
    assert_true(world_started(&t->w, r));
}

static inline void resume(struct trio *t, struct client *c, uint32_t stream)
{
    struct rx_header h;
    uint8_t offsets[32] = {0};
    rx_header_init(RX_RESUME, &h);
    h.target.has_id = true;
    memcpy(h.target.id, t->id, sizeof h.target.id);
    rx_put32(offsets + 24, 262144);
    client_sign(c, RX_RESUME, stream, &h, offsets, sizeof offsets);
    client_send(c);
}

/* RESUME must come, to this connection and stream, with what the old one is told. */
static inline void bound(struct trio *t, const struct client *to, uint32_t stream,
                         enum rx_type type, const struct running *r, struct rx_header *answer)
{
    struct rx_header taken = {0};
    assert_true(world_expect(&t->w, IPC_RESUME));
    const struct ipc_resume *said = t->w.in.fixed;
    assert_int_equal(t->w.in.session, to->session);
    assert_int_equal(said->command, r->number);
    assert_int_equal(said->stream, stream);
    assert_int_equal(said->answer, type);
    assert_true(said->header_len < t->w.in.tail_len);
    assert_int_equal(rx_header_decode(type, t->w.in.tail, said->header_len, answer), RX_OK);
    assert_int_equal(rx_header_decode(RX_REFUSED, t->w.in.tail + said->header_len,
                                      t->w.in.tail_len - said->header_len, &taken),
                     RX_OK);
    assert_int_equal(taken.notice.code, RX_E_TAKEN_OVER);
    assert_int_equal(answer->reply.pid, r->started.reply.pid);
    assert_int_equal(answer->reply.start_us, r->started.reply.start_us);
}

static inline void taken_up(struct trio *t, struct client *c, uint32_t stream,
                            const struct running *r)
{
    struct rx_header h = {0};
    resume(t, c, stream);
    bound(t, c, stream, RX_RESUMED, r, &h);
}

/* REFUSED must come to this connection's stream. */
static inline void refused(struct trio *t, const struct client *to, uint32_t stream,
                           enum rx_error error)
{
    assert_true(world_refused(&t->w, error));
    const struct ipc_answer *said = t->w.in.fixed;
    assert_int_equal(t->w.in.session, to->session);
    assert_int_equal(said->stream, stream);
}

static inline void about(struct trio *t, enum ipc_type type, const struct running *r)
{
    const struct ipc_command which = {.command = r->number};
    world_say(&t->w, type, 0, &which, NULL, 0);
    world_turn(&t->w);
}

/* Net has all of its output; `kept` of it waits for the client. */
static inline void trio_finished(struct trio *t, struct running *r, uint64_t kept)
{
    const struct ipc_finished said = {.command = r->number, .bytes = {1, 2, 3}, .kept = kept};
    running_close(r);
    world_say(&t->w, IPC_FINISHED, 0, &said, NULL, 0);
    world_turn(&t->w);
}

static inline void not_resumed(struct trio *t, const struct running *r, const struct client *c,
                               uint32_t stream, enum rx_error error)
{
    const struct ipc_not_resumed said = {
        .command = r->number, .session = c->session, .stream = stream, .error = (uint16_t)error};
    world_say(&t->w, IPC_NOT_RESUMED, 0, &said, NULL, 0);
}

/* FORGET must come: nobody waits for it any more. */
static inline void forgotten(struct trio *t, const struct running *r)
{
    assert_true(world_expect(&t->w, IPC_FORGET));
    const struct ipc_command *which = t->w.in.fixed;
    assert_int_equal(which->command, r->number);
}

/* A command that has ended, whose result net keeps. */
static inline void start_kept(struct trio *t, uint32_t stream, uint64_t kept, struct running *r)
{
    struct rx_header h = {0};
    trio_start(t, stream, "exit 3", r);
    assert_true(world_ended(&t->w, r, &h));
    trio_finished(t, r, kept);
}

#endif
