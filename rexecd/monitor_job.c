/* Commands: how they start, end and are ended. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"

enum { KILL_ROUNDS = 8 };

static void job_over(struct job *c);
static bool arm(struct job *c, int64_t ms);

static const char *const state_names[] = {
    [JOB_NEW] = "new",     [JOB_STARTING] = "starting", [JOB_RUNNING] = "running",
    [JOB_ENDED] = "ended", [JOB_OVER] = "over",
};

/* Which states follow which. */
static const unsigned next_states[] = {
    [JOB_NEW] = 1 << JOB_STARTING | 1 << JOB_OVER,
    [JOB_STARTING] = 1 << JOB_RUNNING | 1 << JOB_OVER,
    [JOB_RUNNING] = 1 << JOB_ENDED,
    [JOB_ENDED] = 1 << JOB_OVER,
    [JOB_OVER] = 0,
};

void job_set_state(struct job *c, enum job_state state)
{
    log_debug("command %llu: %s -> %s", (unsigned long long)c->number, state_names[c->state],
              state_names[state]);
    if ((next_states[c->state] & 1U << state) == 0)
        fatal("command %llu: %s -> %s is not possible", (unsigned long long)c->number,
              state_names[c->state], state_names[state]);
    c->state = state;
}

/* ---- tables ----------------------------------------------------------------------------- */

struct job *job_find(const struct monitor *m, uint64_t number)
{
    struct job *c;
    LIST_FOREACH(c, &m->commands[number % BUCKETS], by_number)
    if (c->number == number)
        return c;
    return NULL;
}

static struct job *find_pid(const struct monitor *m, pid_t pid)
{
    struct job *c;
    LIST_FOREACH(c, &m->pids[(size_t)pid % BUCKETS], by_pid)
    if (c->pid == pid)
        return c;
    return NULL;
}

struct job *job_by_stream(const struct session *s, uint32_t stream)
{
    struct job *c;
    LIST_FOREACH(c, &s->commands, of_session)
    if (c->stream == stream)
        return c;
    return NULL;
}

struct job *job_new(struct monitor *m, struct session *s,
                    const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct job *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->monitor = m;
    c->session = s;
    c->number = ++m->last_command;
    memcpy(c->id, id, sizeof c->id);
    job_index(c);
    c->spawn = (struct spawn){.pid = -1, .fds = {-1, -1, -1}, .terminal = -1, .status = -1};
    LIST_INSERT_HEAD(&m->commands[c->number % BUCKETS], c, by_number);
    LIST_INSERT_HEAD(&s->commands, c, of_session);
    s->running++;
    m->command_count++;
    c->counted = true;
    return c;
}

static void close_pipes(struct job *c)
{
    for (int i = 0; i < 3; i++) {
        if (c->spawn.fds[i] >= 0)
            (void)close(c->spawn.fds[i]);
        c->spawn.fds[i] = -1;
    }
}

static void uncount(struct job *c)
{
    if (!c->counted)
        return;
    c->counted = false;
    c->session->running--;
    c->monitor->command_count--;
    quota_give(c->monitor->quota, c->session->kid);
}

/* Both sessions are the same client's. */
void job_move(struct job *c, struct session *to, uint32_t stream)
{
    struct session *from = c->session;
    LIST_REMOVE(c, of_session);
    LIST_INSERT_HEAD(&to->commands, c, of_session);
    from->running -= c->counted;
    to->running += c->counted;
    c->session = to;
    c->stream = stream;
    c->early_count = 0; /* the client asks again for what was not answered */
    session_release(c->monitor, from);
}

void job_free(struct job *c)
{
    struct monitor *m = c->monitor;
    struct session *s = c->session;
    uncount(c);
    if (c->state == JOB_OVER && c->held) {
        TAILQ_REMOVE(&m->kept, c, of_kept);
        m->kept_count--;
        m->kept_bytes -= c->kept;
    }
    if (c->searching)
        LIST_REMOVE(c, of_search);
    LIST_REMOVE(c, by_id);
    LIST_REMOVE(c, by_number);
    LIST_REMOVE(c, of_session);
    if (c->pid > 0 && !c->reaped)
        LIST_REMOVE(c, by_pid);
    if (c->spawn.child != NULL)
        spawn_end(&c->spawn);
    close_pipes(c);
    terminal_close(c);
    if (c->started != NULL)
        event_free(c->started);
    if (c->timer != NULL)
        event_free(c->timer);
    if (c->wait != NULL)
        event_free(c->wait);
    free(c->user);
    free(c->forced);
    free(c->label);
    free(c->words);
    free(c);
    session_release(m, s);
}

/* ---- how it ended ----------------------------------------------------------------------- */

/* Nothing more will come of it: recorded, its id kept, its cgroup given back. Its result may have
 * to wait for the client. */
static void job_over(struct job *c)
{
    struct monitor *m = c->monitor;
    job_set_state(c, JOB_OVER);
    terminal_close(c);
    if (c->ending)
        job_kill(c); /* the rest of the tree */
    if (!c->start_failed)
        ids_end(m->ids, c->id);
    job_report(c);
    if (c->cgroup != 0) {
        cgroups_give(m->cgroups, c->cgroup, c->cgroup_safe);
        c->cgroup = 0; /* soon another's */
        const struct timeval soon = {.tv_sec = 1};
        if (!event_pending(m->on_sweep, EV_TIMEOUT, NULL))
            (void)event_add(m->on_sweep, &soon);
    }
    uncount(c);
    if (c->held)
        job_keep(c);
    else
        job_free(c);
    monitor_check_stop(m);
}

/* The main process is dead and reaped. Who is told, and who waits for what, depends on whether
 * net has its streams. */
static void job_dead(struct job *c)
{
    job_judge(c);
    job_set_state(c, JOB_ENDED);
    if (c->timer != NULL && !c->ending)
        (void)event_del(c->timer);
    bool delivering = c->held && !c->finished;
    if (delivering && (!c->ending || c->killed))
        (void)arm(c, c->monitor->config->record_wait);
    if (delivering)
        job_send_exit(c, IPC_ENDED, NULL);
    else if (!c->ending || c->killed)
        job_over(c);
    /* Else the rest of the tree has until the end of the grace (on_timer). */
}

/* A child that has no session yet has no group either. */
static void signal_command(const struct job *c, int number)
{
    if (c->reaped || c->pid <= 0)
        return;
    if (tree_signal(c->pid, number) < 0 && errno == ESRCH)
        (void)kill(c->pid, number);
}

/* ---- starting --------------------------------------------------------------------------- */

size_t job_start_header(struct job *c, enum rx_type type, uint8_t *bytes, size_t cap)
{
    struct rx_header h;
    size_t n = 0;
    rx_header_init(type, &h);
    h.reply.pid = c->pid;
    h.reply.start_us = c->start_us;
    if (type == RX_RESUMED) {
        h.reply.n = c->signal_n > 0 ? c->signal_n : RX_ABSENT;
    } else {
        h.reply.already = c->again;
        (void)snprintf(h.reply.user, sizeof h.reply.user, "%s", c->user);
    }
    if (rx_header_encode(type, &h, bytes, cap, &n) == RX_OK)
        return n;
    /* A name that JSON cannot hold is left out. */
    h.reply.user[0] = '\0';
    return rx_header_encode(type, &h, bytes, cap, &n) == RX_OK ? n : 0;
}

static void send_start(struct job *c)
{
    struct monitor *m = c->monitor;
    uint8_t bytes[1024];
    size_t n = job_start_header(c, RX_STARTED, bytes, sizeof bytes);
    if (n == 0) {
        session_fail(m, c->session, RX_E_INTERNAL);
        return;
    }
    const struct ipc_start start = {
        .command = c->number,
        .output_limit = c->output_limit,
        .stream = c->stream,
        .drain_ms = c->drain_ms,
    };
    bool no_stdin = c->spawn.fds[0] < 0;
    enum ipc_type type = c->spawn.fds[2] < 0 ? IPC_START_PTY
                         : no_stdin          ? IPC_START_NO_STDIN
                                             : IPC_START;
    int fds[3];
    memcpy(fds, c->spawn.fds, sizeof fds);
    /* The link closes them. */
    for (int i = 0; i < 3; i++)
        c->spawn.fds[i] = -1;
    c->held = m->link != NULL;
    monitor_send(m, type, c->session->id, &start, bytes, n, no_stdin ? fds + 1 : fds);
    answer_early(c);
}

/* Whether the process executes, or why not. */
static void start_answer(struct job *c)
{
    enum spawn_answer said = spawn_check(&c->spawn, &c->failure);
    if (said == SPAWN_PENDING)
        return;
    if (c->started != NULL)
        event_free(c->started);
    c->started = NULL;
    spawn_end(&c->spawn);
    if (said == SPAWN_FAILED && c->ending && c->failure.error == ECANCELED)
        said = SPAWN_STARTED; /* ended before it had begun; how says the process's end */
    if (said == SPAWN_FAILED) {
        c->start_failed = true;
        close_pipes(c);
        ids_remove(c->monitor->ids, c->id);
        if (c->session->state == SESSION_PROVEN)
            exec_start_failed(c->monitor, c);
        if (c->reaped)
            job_over(c);
        return;
    }
    if (c->monitor->audit == NULL) {
        free(c->words);
        c->words = NULL;
        c->words_len = 0;
    }
    job_set_state(c, JOB_RUNNING);
    /* What it was told on its way may not have reached it; and it must be told before its stdin
     * ends, which it would take for the end of its input. */
    if (c->ending)
        signal_command(c, c->spawn.terminal >= 0 ? SIGHUP : SIGTERM);
    if (!c->unwanted)
        send_start(c); /* whose connection was lost, net keeps for the next */
    close_pipes(c);
    if (c->reaped)
        job_dead(c);
}

static void on_started(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    start_answer(context);
}

/* Time is up: first the timeout, then the grace. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct job *c = context;
    if (c->state == JOB_ENDED && (!c->ending || c->killed)) {
        job_report(c); /* net need not ever say that the client has all of it */
        return;
    }
    if (!c->ending) {
        c->detail = "it took longer than it was given";
        job_end(c, BY_TIMEOUT, c->monitor->config->kill_grace);
        return;
    }
    c->killed = true;
    job_kill(c);
    if (c->state == JOB_ENDED && (!c->held || c->finished))
        job_over(c);
    else if (c->state == JOB_ENDED)
        (void)arm(c, c->monitor->config->record_wait);
}

/* False: no memory. */
static bool arm(struct job *c, int64_t ms)
{
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    return c->timer != NULL && event_add(c->timer, &after) == 0;
}

void job_watch(struct job *c)
{
    struct monitor *m = c->monitor;
    c->pid = c->spawn.pid;
    c->output = c->spawn.output;
    LIST_INSERT_HEAD(&m->pids[(size_t)c->pid % BUCKETS], c, by_pid);
    c->started = event_new(m->base, c->spawn.status, EV_READ | EV_PERSIST, on_started, c);
    c->timer = event_new(m->base, -1, 0, on_timer, c);
    if (c->started == NULL || c->timer == NULL || event_add(c->started, NULL) < 0 ||
        (c->timeout_ms > 0 && !arm(c, c->timeout_ms))) {
        /* A process that nobody watches must not be; that it is dead is heard of without memory. */
        (void)kill(c->pid, SIGKILL);
        c->killed = true;
    }
}

/* ---- ending ----------------------------------------------------------------------------- */

/* Whether the main process is dead, if it has not been heard of yet: then it was nobody else. */
static bool is_dead(const struct job *c)
{
    siginfo_t info = {0};
    return c->reaped ||
           (c->pid > 0 && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == c->pid);
}

void job_end(struct job *c, enum ended_by by, uint32_t grace_ms)
{
    if (c->state == JOB_OVER || c->ending)
        return;
    c->ending = true;
    if (!is_dead(c))
        c->by = by;
    /* A shell at a terminal takes no notice of TERM; a hangup it passes on to its jobs. */
    signal_command(c, c->spawn.terminal >= 0 ? SIGHUP : SIGTERM);
    terminal_close(c);
    signal_command(c, SIGCONT); /* a stopped process hears nothing */
    if (!arm(c, grace_ms)) {
        /* Who cannot be waited for has no grace. */
        c->killed = true;
        job_kill(c);
    }
}

static void add_root(struct monitor *m, pid_t pid, bool reaped)
{
    if (m->to_kill_count == m->to_kill_capacity) {
        size_t capacity = m->to_kill_capacity > 0 ? m->to_kill_capacity * 2 : 64;
        struct tree_root *roots = reallocarray(m->to_kill, capacity, sizeof *roots);
        if (roots == NULL) {
            struct tree_root one = {pid, reaped};
            (void)tree_kill(&one, 1, KILL_ROUNDS);
            return;
        }
        m->to_kill = roots;
        m->to_kill_capacity = capacity;
    }
    m->to_kill[m->to_kill_count++] = (struct tree_root){pid, reaped};
}

void kill_pending(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct monitor *m = context;
    (void)tree_kill(m->to_kill, m->to_kill_count, KILL_ROUNDS);
    m->to_kill_count = 0;
}

void job_kill(struct job *c)
{
    struct monitor *m = c->monitor;
    if (c->pid <= 0 || (c->state == JOB_OVER && !c->counted))
        return;
    if (c->cgroup != 0 && cgroups_kill(m->cgroups, c->cgroup) == 0)
        return;
    /* The main process last: while it lives its descendants can be found. */
    add_root(m, c->pid, c->reaped);
    event_active(m->on_kill, EV_TIMEOUT, 0);
}

void job_disown(struct job *c)
{
    const struct ipc_command which = {.command = c->number};
    c->unwanted = true;
    if (c->held)
        monitor_send(c->monitor, IPC_FORGET, 0, &which, NULL, 0, NULL);
    job_gone(c);
}

void job_gone(struct job *c)
{
    if (c->state == JOB_OVER) {
        job_free(c);
        return;
    }
    c->held = false;
    if (c->lost)
        job_end(c, BY_LOST, c->monitor->config->kill_grace);
    if (c->state == JOB_ENDED && (!c->ending || c->killed))
        job_over(c);
}

void job_finished(struct job *c, const struct ipc_finished *finished)
{
    /* Once is enough: what is kept of it may be counted already. */
    if (c->finished)
        return;
    memcpy(c->bytes, finished->bytes, sizeof c->bytes);
    c->kept = finished->kept;
    c->finished = true;
    if (c->state == JOB_ENDED)
        job_over(c);
}

/* ---- children --------------------------------------------------------------------------- */

static void job_reaped(struct job *c, int wait_status, const struct rusage *usage)
{
    struct monitor *m = c->monitor;
    for (size_t i = 0; i < m->to_kill_count; i++)
        if (m->to_kill[i].pid == c->pid)
            m->to_kill[i].reaped = true;
    LIST_REMOVE(c, by_pid);
    c->reaped = true;
    c->wait_status = wait_status;
    c->rusage = *usage;
    c->end_us = wall_us();
    if (c->state == JOB_RUNNING)
        job_dead(c);
    else if (c->start_failed)
        job_over(c);
    else
        start_answer(c); /* a dead process has closed its end */
}

/* Commands, net, and what commands left behind: the monitor is the one that orphans come to. */
void children_reap(struct monitor *m)
{
    for (;;) {
        struct rusage usage;
        int wait_status;
        pid_t pid = wait4(-1, &wait_status, WNOHANG, &usage);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0 && errno != ECHILD)
            event_active(m->on_child, EV_READ, 0); /* whoever it is has said so but once */
        if (pid <= 0)
            return;
        struct job *c = find_pid(m, pid);
        if (c != NULL)
            job_reaped(c, wait_status, &usage);
        else if (pid == m->net_pid)
            net_reaped(m, wait_status);
    }
}
