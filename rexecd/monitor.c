/* The monitor's life, and the dispatch of net's messages. */

#include "rexecd/monitor.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "rexecd/grantdir.h"
#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"

enum {
    COMPLAINTS_A_SECOND = 10,
    POOL_PAIRS = 64,
    DELIVER_MS = 1000, /* for clients to take their last answers */
    KILL_MS = 2000,    /* for what is killed to be dead */
};

static const char *const state_names[] = {
    [MONITOR_NEW] = "new",           [MONITOR_STARTING] = "starting", [MONITOR_SERVING] = "serving",
    [MONITOR_STOPPING] = "stopping", [MONITOR_LEAVING] = "leaving",
};

int64_t wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t rising_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void monitor_set_state(struct monitor *m, enum monitor_state state)
{
    log_debug("monitor: %s -> %s", state_names[m->state], state_names[state]);
    m->state = state;
}

bool monitor_may_say(struct monitor *m)
{
    int64_t second = rising_us() / 1000000;
    if (second != m->complaint_second) {
        if (m->complaints_left_out > 0)
            log_info("%u more lines of that kind were left out", m->complaints_left_out);
        m->complaint_second = second;
        m->complaints = m->complaints_left_out = 0;
    }
    if (m->complaints++ < COMPLAINTS_A_SECOND)
        return true;
    m->complaints_left_out++;
    return false;
}

void monitor_send(struct monitor *m, enum ipc_type type, uint32_t session, const void *fixed,
                  const void *tail, size_t tail_len, const int *fds)
{
    if (m->link == NULL || m->net_lost) {
        for (size_t i = 0; fds != NULL && i < ipc_type_fds(type); i++)
            (void)close(fds[i]);
        return;
    }
    /* Nothing that was half said can be taken back; a net that cannot be reached ends by itself. */
    if (link_send(m->link, type, session, fixed, tail, tail_len, fds) < 0) {
        log_error("net cannot be reached: %s: ending it", strerror(errno));
        m->net_lost = true;
        if (m->net_pid > 0)
            (void)kill(m->net_pid, SIGKILL);
    }
}

/* ---- dispatch --------------------------------------------------------------------------- */

/* The session's state as the list of messages has it. */
static unsigned state_bit(const struct session *s)
{
    if (s == NULL)
        return IPC_STATE_NONE;
    if (s->state == SESSION_CHALLENGED)
        return IPC_STATE_CHALLENGED;
    return s->state == SESSION_PROVEN ? IPC_STATE_PROVEN : 0;
}

/* Net said what it may not: what it knows of the session is worth nothing. */
static void violation(struct monitor *m, struct session *s, const struct ipc_message *message)
{
    if (monitor_may_say(m))
        log_error("net: %s is not allowed for session %u now", ipc_type_name(message->type),
                  (unsigned)message->session);
    if (s != NULL && s->state == SESSION_PROVEN) {
        session_fail(m, s, RX_E_INTERNAL);
        return;
    }
    monitor_send(m, IPC_DROP, message->session, NULL, NULL, 0, NULL);
    if (s != NULL && s->state == SESSION_CHALLENGED)
        session_free(m, s);
}

/* DRAINED, OVER_LIMIT, FINISHED, GONE, NOT_RESUMED: of a command that net has, or has had. */
static void job_message(struct monitor *m, const struct ipc_message *message)
{
    const struct ipc_command *which = message->fixed; /* the others begin alike */
    struct job *c = job_find(m, which->command);
    if (which->command == 0 || which->command > m->last_command) {
        net_give_up(m, "it spoke of a command that never was");
        return;
    }
    if (message->type == IPC_NOT_RESUMED) {
        job_not_resumed(m, c, message->fixed);
        return;
    }
    if (c == NULL || (!c->held && message->type != IPC_FINISHED))
        return; /* it crossed its end on the way */
    if (c->state == JOB_STARTING) {
        net_give_up(m, "it spoke of a command that it has not got yet");
        return;
    }
    switch (message->type) {
    case IPC_DRAINED:
        job_drained(c);
        break;
    case IPC_OVER_LIMIT:
        if (!c->ending)
            c->detail = "output: the command wrote more than it may";
        job_end(c, BY_LIMIT, m->config->kill_grace);
        break;
    case IPC_FINISHED:
        job_finished(c, message->fixed);
        break;
    default:
        job_gone(c);
        break;
    }
}

static void session_message(struct monitor *m, struct session *s, const struct ipc_message *message)
{
    switch (message->type) {
    case IPC_M1:
        session_m1(m, message);
        break;
    case IPC_M3:
        session_m3(m, s, message);
        break;
    case IPC_REQUEST:
        session_request(m, s, message);
        break;
    case IPC_TRACE_LOST:
        if (s->traced)
            session_trace_lost(m, s, message->fixed);
        else
            violation(m, s, message);
        break;
    default:
        session_closed(m, s, message->fixed);
        break;
    }
}

void monitor_message(void *context, struct ipc_message *message)
{
    struct monitor *m = context;
    if ((ipc_type_states(message->type) & IPC_STATE_WHOLE) != 0) {
        net_ready(m); /* the only one */
        return;
    }
    if ((ipc_type_states(message->type) & IPC_STATE_COMMAND) != 0) {
        job_message(m, message);
        return;
    }
    struct session *s = session_find(m, message->session);
    if ((ipc_type_states(message->type) & state_bit(s)) != 0) {
        session_message(m, s, message);
    } else if (message->type == IPC_CLOSED) {
        /* Of a session that failed, or was dropped while this was on its way. */
        if (s != NULL)
            session_closed(m, s, message->fixed);
    } else if (s == NULL || s->state != SESSION_FAILED) {
        violation(m, s, message);
    }
}

/* ---- life ------------------------------------------------------------------------------- */

/* However many have died, it is one signal. */
static void on_child(evutil_socket_t fd, short what, void *context)
{
    struct signalfd_siginfo one;
    (void)what;
    ssize_t n = read(fd, &one, sizeof one);
    (void)n; /* not read: then it comes again */
    children_reap(context);
}

/* Blocked, and read: a handler would interrupt the loop, and wake it by a pipe, at the end of each
 * command. Children do not keep the mask. */
static struct event *watch_children(struct monitor *m)
{
    sigset_t child;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)signal(SIGCHLD, SIG_DFL); /* who ignores it hears of none */
    if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
        return NULL;
    m->child_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    return m->child_fd >= 0 ? event_new(m->base, m->child_fd, EV_READ | EV_PERSIST, on_child, m)
                            : NULL;
}

static void unwatch_children(const struct monitor *m)
{
    sigset_t child;
    if (m->child_fd < 0)
        return;
    (void)close(m->child_fd);
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_UNBLOCK, &child, NULL);
}

static void on_leave(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct monitor *m = context;
    if (m->state == MONITOR_STOPPING)
        log_warning("%zu commands have not ended", m->command_count);
    if (m->net_pid > 0)
        (void)kill(m->net_pid, SIGKILL);
    (void)event_base_loopbreak(m->base);
}

static void on_judge(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    sessions_judge(context, false);
}

void monitor_prepare(struct monitor *m)
{
    cgroups_prepare(m->cgroups);
    spawn_prepare();
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct monitor *m = context;
    const struct timeval again = {.tv_sec = 1};
    if (m->command_count == 0) {
        cgroups_trim(m->cgroups);
        event_active(m->on_idle, EV_TIMEOUT, 0);
    }
    if (cgroups_sweep(m->cgroups))
        (void)event_add(m->on_sweep, &again);
}

/* Has the lower priority, so that it runs when nothing else is to be done. */
static void on_idle(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct monitor *m = context;
    if (m->state == MONITOR_SERVING)
        monitor_prepare(m);
    if (pool_refill(m))
        event_active(m->on_idle, EV_TIMEOUT, 0);
}

static bool make_events(struct monitor *m)
{
    m->on_child = watch_children(m);
    m->on_leave = event_new(m->base, -1, 0, on_leave, m);
    m->on_sweep = event_new(m->base, -1, 0, on_sweep, m);
    m->on_kill = event_new(m->base, -1, 0, kill_pending, m);
    m->on_search = event_new(m->base, -1, 0, search_holders, m);
    m->on_judge = event_new(m->base, -1, 0, on_judge, m);
    m->on_idle = event_new(m->base, -1, 0, on_idle, m);
    if (m->on_child == NULL || m->on_leave == NULL || m->on_sweep == NULL || m->on_kill == NULL ||
        m->on_judge == NULL || m->on_search == NULL || m->on_idle == NULL)
        return false;
    /* Behind all others, where there are three: theirs is the middle one. */
    int last = event_base_get_npriorities(m->base) - 1;
    return event_priority_set(m->on_idle, last) == 0 && event_add(m->on_child, NULL) == 0;
}

struct monitor *monitor_new(struct event_base *base, const struct monitor_parts *parts)
{
    struct monitor *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->base = base;
    m->child_fd = -1;
    m->config = parts->config;
    TAILQ_INIT(&m->kept);
    randombytes_buf(m->decoy_secret, sizeof m->decoy_secret);
    m->pool = rx_pool_new(POOL_PAIRS);
    m->ids = ids_new(m->config->remember, rising_us());
    m->quota = quota_new();
    m->accounts = accounts_new(NULL, account_find);
    if (user_by_id(geteuid(), &m->self) != USER_FOUND) {
        log_error("the user with the number %u has no name", (unsigned)geteuid());
    } else if (m->ids == NULL || m->quota == NULL || m->accounts == NULL || !make_events(m)) {
        log_error("out of memory");
    } else {
        m->host = (struct policy_host){.root = geteuid() == 0, .self = m->self.name};
        m->grants = parts->grants;
        m->audit = parts->audit;
        m->cgroups = parts->cgroups;
        m->listeners = parts->listeners;
        /* What commands leave behind comes to us, and is reaped. */
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (m->pool != NULL)
            event_active(m->on_idle, EV_TIMEOUT, 0);
        return m;
    }
    monitor_free(m);
    return NULL;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

static void each_command(struct monitor *m, void (*act)(struct job *c))
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct job *c, *next;
        for (c = LIST_FIRST(&m->commands[i]); c != NULL; c = next) {
            next = LIST_NEXT(c, by_number);
            act(c);
        }
    }
}

/* Those that have not ended by now are killed, whatever becomes of them. */
static void free_commands(struct monitor *m)
{
    /* All at once, and before the memory goes that one on its way still runs in. */
    each_command(m, job_kill);
    kill_pending(-1, 0, m);
    for (size_t i = 0; i < BUCKETS; i++) {
        struct job *c;
        while ((c = LIST_FIRST(&m->commands[i])) != NULL) {
            cgroups_give(m->cgroups, c->cgroup, false);
            job_free(c);
        }
    }
}

void monitor_free(struct monitor *m)
{
    if (m == NULL)
        return;
    link_free(m->link);
    m->link = NULL;
    free_commands(m);
    for (size_t i = 0; i < BUCKETS; i++) {
        struct session *s;
        while ((s = LIST_FIRST(&m->sessions[i])) != NULL)
            session_free(m, s);
    }
    free_event(m->on_child);
    unwatch_children(m);
    free_event(m->on_idle);
    free_event(m->on_leave);
    free_event(m->on_sweep);
    free_event(m->on_kill);
    free_event(m->on_judge);
    free_event(m->on_search);
    free(m->to_kill);
    rx_pool_free(m->pool);
    rx_grants_free(m->grants);
    audit_close(m->audit);
    cgroups_close(m->cgroups);
    spawn_unprepare();
    if (m->listeners != NULL)
        listen_close(m->listeners);
    ids_free(m->ids);
    quota_free(m->quota);
    accounts_free(m->accounts);
    user_free(&m->self);
    sodium_memzero(m->decoy_secret, sizeof m->decoy_secret);
    free(m);
}

/* ---- stopping, reloading ---------------------------------------------------------------- */

static void arm_leave(struct monitor *m, uint32_t ms)
{
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(m->on_leave, &after);
}

static void send_goaway(struct monitor *m)
{
    struct rx_header h;
    uint8_t bytes[1024];
    size_t n = 0;
    rx_header_error(&h, RX_E_SHUTTING_DOWN, NULL);
    h.notice.grace_ms = m->config->stop_grace;
    if (rx_header_encode(RX_GOAWAY, &h, bytes, sizeof bytes, &n) != RX_OK)
        n = 0;
    monitor_send(m, IPC_GOAWAY, 0, NULL, bytes, n, NULL);
}

/* All commands are over: net has yet to bring the last answers to the clients, and has until those
 * have gone. */
void monitor_check_stop(struct monitor *m)
{
    if (m->state == MONITOR_STOPPING && m->command_count == 0) {
        monitor_set_state(m, MONITOR_LEAVING);
        arm_leave(m, DELIVER_MS);
    }
    if (m->state == MONITOR_LEAVING && m->session_count == 0 && m->link != NULL) {
        /* Net goes when it sees that we are gone. */
        link_free(m->link);
        m->link = NULL;
        arm_leave(m, m->net_pid > 0 ? DELIVER_MS : 0);
    }
}

static void tell(struct job *c)
{
    job_end(c, BY_SHUTDOWN, c->monitor->config->stop_grace);
}

void monitor_stop(struct monitor *m)
{
    if (m->state == MONITOR_LEAVING)
        return;
    if (m->state == MONITOR_STOPPING) {
        log_warning("stopping at once");
        each_command(m, job_kill);
        return;
    }
    log_info("stopping: %zu sessions, %zu commands", m->session_count, m->command_count);
    notify_systemd("STOPPING=1");
    monitor_set_state(m, MONITOR_STOPPING);
    send_goaway(m);
    if (m->listeners != NULL)
        listen_close(m->listeners);
    each_command(m, tell);
    arm_leave(m, m->config->stop_grace + KILL_MS);
    monitor_check_stop(m);
}

void monitor_reload(struct monitor *m)
{
    struct grantdir_result result;
    struct rx_grants *grants = grantdir_read(m->config->grants, m->config->server_name, &result);
    if (grants != NULL) {
        rx_grants_free(m->grants);
        m->grants = grants;
        log_info("%s: grants: %zu, files not used: %zu", m->config->grants, result.read,
                 result.refused);
        sessions_judge(m, true);
    } else {
        log_error("%s: the grants stay as they were", m->config->grants);
    }
    if (audit_reopen(m->audit) < 0)
        log_error("%s: the audit file cannot be opened anew: %s", m->config->audit,
                  strerror(errno));
}

int monitor_status(const struct monitor *m)
{
    return m->status;
}

size_t monitor_sessions(const struct monitor *m)
{
    return m->session_count;
}

size_t monitor_commands(const struct monitor *m)
{
    return m->command_count;
}
