/* How commands ended: who did it, what EXIT, the log and the audit say, and who holds their output.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "rexecd/holders.h"
#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"
#include "rexecd/signal_names.h"

const char *ended_by_name(enum ended_by by)
{
    static const char *const names[] = {
#define X(NAME, name) [BY_##NAME] = (name),
        ENDED_BY(X)
#undef X
    };
    return names[by];
}

/* ---- how it ended ----------------------------------------------------------------------- */

static int64_t time_us(const struct timeval *t)
{
    return (int64_t)t->tv_sec * 1000000 + t->tv_usec;
}

/* The kernel counts by ticks where it limits, and exactly where it reports: on a busy machine it
 * may report much less. */
static bool cpu_is_spent(const struct job *c)
{
    int64_t spent = time_us(&c->rusage.ru_utime) + time_us(&c->rusage.ru_stime);
    return c->cpu_seconds >= 0 && spent >= c->cpu_seconds * 1000000 / 2;
}

/* The signal that ended it was the client's, or a limit's. */
void job_judge(struct job *c)
{
    if (c->by != BY_SELF)
        return;
    c->detail = NULL; /* of what was about to end it */
    if (!WIFSIGNALED(c->wait_status))
        return;
    int number = WTERMSIG(c->wait_status);
    if ((c->signals_sent & UINT64_C(1) << (number - 1)) != 0) {
        c->by = BY_CLIENT;
    } else if (c->cpu_seconds >= 0 &&
               (number == SIGXCPU || (number == SIGKILL && cpu_is_spent(c)))) {
        c->by = BY_LIMIT;
        c->detail = "cpu_ms: no more processor time";
    }
}

static void fill_exit(const struct job *c, struct rx_exit *x)
{
    *x = (struct rx_exit){.code = RX_ABSENT, .start_us = c->start_us, .end_us = c->end_us};
    if (WIFEXITED(c->wait_status))
        x->code = WEXITSTATUS(c->wait_status);
    else
        signal_name(WTERMSIG(c->wait_status), x->signal);
    x->core = WIFSIGNALED(c->wait_status) && WCOREDUMP(c->wait_status);
    (void)snprintf(x->by, sizeof x->by, "%s", ended_by_name(c->by));
    if (c->detail != NULL)
        (void)snprintf(x->detail, sizeof x->detail, "%s", c->detail);
    x->rusage = (struct rx_rusage){
        .utime_us = time_us(&c->rusage.ru_utime),
        .stime_us = time_us(&c->rusage.ru_stime),
        .maxrss_kib = c->rusage.ru_maxrss,
        .minflt = c->rusage.ru_minflt,
        .majflt = c->rusage.ru_majflt,
        .inblock = c->rusage.ru_inblock,
        .oublock = c->rusage.ru_oublock,
        .nvcsw = c->rusage.ru_nvcsw,
        .nivcsw = c->rusage.ru_nivcsw,
    };
}

/* ENDED, or EXIT_NOW with the holders. */
void job_send_exit(struct job *c, enum ipc_type type, const struct rx_holders *holders)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t n = 0;
    rx_header_init(RX_EXIT, &h);
    fill_exit(c, &h.exit);
    if (holders != NULL)
        h.exit.holders = *holders;
    const struct ipc_command which = {.command = c->number};
    if (rx_header_encode(RX_EXIT, &h, bytes, sizeof bytes, &n) != RX_OK) {
        if (c->session->state == SESSION_PROVEN)
            session_fail(c->monitor, c->session, RX_E_INTERNAL);
        else
            job_disown(c); /* its client will be told that nothing is left of it */
        return;
    }
    monitor_send(c->monitor, type, 0, &which, bytes, n, NULL);
}

static void record(const struct job *c)
{
    struct rx_exit x;
    struct audit_command r = {
        .run = exec_run_name((enum rx_run)c->run),
        .user = c->user,
        .words = c->words,
        .words_len = c->words_len,
        .forced = c->forced,
        .label = c->label,
        .unfinished = c->held && !c->finished,
        .pid = c->start_failed ? 0 : c->pid,
        .resumed = c->resumed,
        .bytes = {c->bytes[0], c->bytes[1], c->bytes[2]},
    };
    memcpy(r.id, c->id, sizeof r.id);
    session_who(c->session, &r.who);
    if (c->start_failed) {
        r.refused = spawn_step_name((enum spawn_step)c->failure.step);
        r.text = strerror(c->failure.error);
    } else {
        fill_exit(c, &x);
        r.exit = &x;
    }
    audit_command(c->monitor->audit, &r);
}

static void log_end(const struct job *c)
{
    char name[RX_SIGNAL_NAME_MAX + 1];
    double seconds = (double)(c->end_us - c->start_us) / 1e6;
    if (WIFEXITED(c->wait_status)) {
        log_info("%s: command %llu as %s: exit status %d, ended by %s after %.3f s",
                 session_label(c->session), (unsigned long long)c->number, c->user,
                 WEXITSTATUS(c->wait_status), ended_by_name(c->by), seconds);
        return;
    }
    signal_name(WTERMSIG(c->wait_status), name);
    log_info("%s: command %llu as %s: killed by %s, ended by %s after %.3f s",
             session_label(c->session), (unsigned long long)c->number, c->user, name,
             ended_by_name(c->by), seconds);
}

void job_report(struct job *c)
{
    if (c->reported)
        return;
    c->reported = true;
    record(c);
    if (!c->start_failed && log_wanted(LOG_LEVEL_INFO))
        log_end(c);
}

/* ---- who holds its output --------------------------------------------------------------- */

enum {
    CGROUP_PIDS = 256,
    SEARCH_SHARE = 10,       /* of the time at most one part goes into looking through /proc */
    SEARCH_WAIT_US = 500000, /* but nobody waits longer for it */
};

static struct holders_search search_for(const struct job *c)
{
    return (struct holders_search){.output = c->output, .session = c->pid};
}

/* Looks through all processes, once for all commands that are to be told. */
void search_holders(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct monitor *m = context;
    size_t count = 0, i = 0;
    struct job *c;
    LIST_FOREACH(c, &m->searching, of_search)
    count++;
    int64_t before = rising_us();
    struct holders_search *searches = calloc(count + 1, sizeof *searches);
    LIST_FOREACH(c, &m->searching, of_search)
    {
        if (searches != NULL)
            searches[i] = search_for(c);
        c->search_slot = i++;
    }
    if (searches != NULL)
        holders_find(searches, i);
    while ((c = LIST_FIRST(&m->searching)) != NULL) {
        LIST_REMOVE(c, of_search);
        c->searching = false;
        /* It may end others that wait here, if it cannot be sent. */
        job_send_exit(c, IPC_EXIT_NOW, searches != NULL ? &searches[c->search_slot].found : NULL);
    }
    free(searches);
    int64_t after = rising_us(), wait = (after - before) * SEARCH_SHARE;
    m->search_again_us = after + (wait < SEARCH_WAIT_US ? wait : SEARCH_WAIT_US);
}

/* Most hold it within the command's own cgroup. */
static bool found_in_cgroup(const struct job *c, struct holders_search *search)
{
    pid_t pids[CGROUP_PIDS];
    size_t n = c->cgroup != 0 ? cgroups_pids(c->monitor->cgroups, c->cgroup, pids, CGROUP_PIDS) : 0;
    *search = search_for(c);
    holders_find_among(pids, n, search);
    return search->found.count > 0;
}

void job_drained(struct job *c)
{
    struct monitor *m = c->monitor;
    struct holders_search search = {0};
    /* What it means in other states comes with ENDED, which crossed it. Once is enough. */
    if (c->state != JOB_ENDED || c->drained)
        return;
    c->drained = true;
    /* The client ended it, and what has left its process group and still holds its output is to end
     * with it: of what calls ssh, some count on that. Who lets go of the output stays. */
    if (c->by == BY_CLIENT)
        c->ending = c->killed = true;
    if (found_in_cgroup(c, &search)) {
        job_send_exit(c, IPC_EXIT_NOW, &search.found);
        return;
    }
    int64_t wait = m->search_again_us - rising_us();
    const struct timeval after = {.tv_usec = wait > 0 ? (suseconds_t)wait : 0};
    c->searching = true;
    LIST_INSERT_HEAD(&m->searching, c, of_search);
    if (!event_pending(m->on_search, EV_TIMEOUT, NULL) && event_add(m->on_search, &after) < 0)
        search_holders(-1, 0, m);
}
