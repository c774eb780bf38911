/*
 * What the monitor's own files share; nobody else includes it.
 */
#ifndef REXEC_REXECD_MONITOR_INTERNAL_H
#define REXEC_REXECD_MONITOR_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "auth/handshake.h"
#include "auth/request_mac.h"
#include "rexecd/accounts.h"
#include "rexecd/ids.h"
#include "rexecd/ipc.h"
#include "rexecd/link.h"
#include "rexecd/monitor.h"
#include "rexecd/policy.h"
#include "rexecd/quota.h"
#include "rexecd/spawn.h"
#include "rexecd/tree.h"

enum { BUCKETS = 4096 };

#define VERSION_TEXT "rexecd 0.1.0"

/* ---- a session -------------------------------------------------------------------------- */

enum session_state {
    SESSION_NEW,
    SESSION_CHALLENGED, /* M2 was sent */
    SESSION_PROVEN,     /* the client is who it says */
    SESSION_FAILED,     /* net was told to end it; nothing of it counts any more but CLOSED */
    SESSION_CLOSED,     /* the connection is gone; kept while commands remain */
};

struct session {
    LIST_ENTRY(session) by_id; /* but for CLOSED ones */
    LIST_HEAD(jobs, job) commands;
    struct rx_server_handshake *handshake; /* until PROVEN */
    struct rx_request_key request_key;
    struct rx_request_chain chain;
    struct rx_source peer;
    int64_t answered_us; /* when M2 was sent, by the clock of ids */
    int64_t start_us;    /* when it was proven, by the clock on the wall */
    int64_t accepted_us; /* the same of its connection, as net says, if sessions are traced */
    int64_t expires;     /* its grant; 0: never */
    uint64_t commands_total;
    uint32_t id;
    uint32_t running;     /* commands that count against the limits */
    uint32_t refusals;    /* of EXEC */
    uint32_t last_stream; /* the highest that a request has opened */
    uint16_t port;
    enum session_state state;
    bool pinned; /* is being looked through: not to be freed */
    bool traced; /* net has a file for it */
    enum rx_suite suite;
    enum rx_error failure; /* why it failed; net need not say so */
    uint8_t kid[RX_KID_SIZE], public_id[RX_SESSION_ID_SIZE];
    char principal[RX_PRINCIPAL_MAX + 1];
};

LIST_HEAD(session_bucket, session);

/* ---- a command -------------------------------------------------------------------------- */

enum job_state {
    JOB_NEW,
    JOB_STARTING, /* the process is on its way to execute */
    JOB_RUNNING,  /* START was sent */
    JOB_ENDED,    /* the main process is dead; net waits for the ends of output */
    JOB_OVER,     /* recorded; net may still hold its result for the client */
};

/* Who ended a command, as EXIT says it. */
#define ENDED_BY(X)                                                                                \
    X(SELF, "self")                                                                                \
    X(CLIENT, "client")                                                                            \
    X(TIMEOUT, "timeout")                                                                          \
    X(LOST, "lost")                                                                                \
    X(CLOSED, "closed")                                                                            \
    X(LIMIT, "limit")                                                                              \
    X(SHUTDOWN, "shutdown")                                                                        \
    X(OPERATOR, "operator")

enum ended_by {
#define X(NAME, name) BY_##NAME,
    ENDED_BY(X)
#undef X
};

/* Answers that have to wait for STARTED. */
enum { EARLY_MAX = 16 };

struct early {
    enum rx_error error; /* RX_OK: DONE */
    int64_t n;
};

struct job {
    LIST_ENTRY(job) of_session, by_number, by_pid, by_id;
    LIST_ENTRY(job) of_search; /* if `searching` is set */
    TAILQ_ENTRY(job) of_kept;  /* if it is OVER, the oldest first */
    struct monitor *monitor;
    struct session *session;
    uint64_t number, output_limit;
    uint64_t cgroup; /* that it is in; 0: none */
    struct holders_output output;
    uint64_t bytes[3];     /* as net counted */
    uint64_t signals_sent; /* by the client, as bits */
    struct spawn spawn;    /* its `terminal` stays while it may be resized */
    struct event *started; /* the status of the start, while STARTING */
    struct event *timer;   /* of the timeout, then of the grace before KILL */
    struct event *wait;    /* for a lost client */
    struct rusage rusage;
    int64_t start_us, end_us, signal_n, timeout_ms;
    uint64_t kept; /* bytes that net holds, when it is OVER */
    uint32_t stream, drain_ms, linger_ms;
    uint32_t away_ms; /* in its place, while the client said so; 0: it has not */
    uint32_t resumed; /* so often */
    pid_t pid;
    int wait_status;
    enum job_state state;
    enum ended_by by;
    const char *detail; /* static; which limit */
    struct early early[EARLY_MAX];
    size_t early_count;
    size_t search_slot;
    int64_t cpu_seconds; /* -1: as many as it likes */
    bool cgroup_safe;    /* from being changed by it */
    bool reaped, finished;
    bool drained, searching; /* the holders of its output were asked for; are being looked for */
    bool reported;           /* to log and audit */
    bool ending, killed;     /* TERM was sent; KILL was */
    bool start_failed;
    bool counted;  /* against the limits */
    bool held;     /* net has its streams, or its result */
    bool unwanted; /* its client will not come back: nothing is held for it */
    bool lost;     /* its connection is gone; it waits for another */
    bool again;    /* STARTED says that it was asked for before */
    struct spawn_failure failure;
    uint8_t id[RX_COMMAND_ID_SIZE];
    /* For the audit record; the words also to say why it does not start. */
    int run;
    char *user, *forced, *label;
    uint8_t *words;
    size_t words_len;
};

LIST_HEAD(job_bucket, job);
TAILQ_HEAD(job_queue, job);

/* ---- the monitor ------------------------------------------------------------------------ */

enum monitor_state {
    MONITOR_NEW,
    MONITOR_STARTING, /* net is not ready */
    MONITOR_SERVING,
    MONITOR_STOPPING, /* waiting for commands */
    MONITOR_LEAVING,  /* waiting for net to deliver what it has */
};

enum { RESTARTS_MAX = 5, RESTARTS_SECONDS = 60 };

struct monitor {
    struct event_base *base;
    const struct config *config;
    struct rx_grants *grants;
    struct audit *audit;
    struct cgroups *cgroups;
    struct listen_sockets *listeners;
    struct link *link; /* NULL: there is no net */
    struct rx_pool *pool;
    struct ids *ids;
    struct quota *quota; /* commands of each grant */
    struct accounts *accounts;
    int child_fd; /* SIGCHLD, to be read */
    struct event *on_child, *on_idle, *on_leave, *on_sweep, *on_kill, *on_judge, *on_search;
    struct tree_root *to_kill; /* in the next turn, all at once */
    size_t to_kill_count, to_kill_capacity;
    struct session_bucket sessions[BUCKETS];
    struct job_bucket commands[BUCKETS], pids[BUCKETS], by_id[BUCKETS];
    LIST_HEAD(searching, job) searching; /* who is to be told who holds their output */
    int64_t search_again_us;             /* not before */
    struct job_queue kept;
    size_t kept_count;
    uint64_t kept_bytes;
    LIST_HEAD(sessions, session) closed;               /* SESSION_CLOSED */
    size_t session_count, proven_count, command_count; /* commands that are not OVER */
    uint64_t last_command;
    int64_t restarts[RESTARTS_MAX]; /* when net was started again, seconds */
    size_t restart_count;
    int64_t judge_at;         /* when the first grant of a session expires; 0: none does */
    int64_t complaint_second; /* lines of what others can cause at will, in this second */
    unsigned complaints, complaints_left_out;
    pid_t net_pid; /* 0: none */
    enum monitor_state state;
    bool net_unasked; /* net ended by itself; when it is reaped another follows */
    bool net_ours;    /* net was started here */
    bool net_lost;    /* it cannot be reached, and is being ended */
    int status;
    struct user self;
    struct policy_host host;
    uint8_t decoy_secret[RX_KEY_SIZE];
};

/* Microseconds: on the wall, and of a clock that only rises, also while the machine sleeps. */
int64_t wall_us(void);
int64_t rising_us(void);

/* monitor.c */
void monitor_set_state(struct monitor *m, enum monitor_state state);
void monitor_message(void *context, struct ipc_message *message);
/* Makes what the next command will need. */
void monitor_prepare(struct monitor *m);

/* Whether one more line may be logged of what others can cause as often as they like: so many in a
 * second, and then how many were left out. */
bool monitor_may_say(struct monitor *m);
/* Something is over: a stopping monitor sees whether all is. */
void monitor_check_stop(struct monitor *m);
/* Sends, and gives net up where that fails. */
void monitor_send(struct monitor *m, enum ipc_type type, uint32_t session, const void *fixed,
                  const void *tail, size_t tail_len, const int *fds);

/* monitor_net.c */
void net_ready(struct monitor *m);
void net_ended(void *context, int error);
void net_reaped(struct monitor *m, int wait_status);
/* Net broke the rules: it is not itself any more. */
void net_give_up(struct monitor *m, const char *why);
void notify_systemd(const char *state);

/* monitor_session.c */
struct session *session_find(const struct monitor *m, uint32_t id);
void session_m1(struct monitor *m, const struct ipc_message *message);
void session_m3(struct monitor *m, struct session *s, const struct ipc_message *message);
void session_closed(struct monitor *m, struct session *s, const struct ipc_closed *closed);
/* Ends it with an error to the client; its commands are ended as lost. */
void session_fail(struct monitor *m, struct session *s, enum rx_error error);
/* Frees a CLOSED one that has no commands left. */
void session_release(struct monitor *m, struct session *s);
/* Its grant as it is now; NULL if that is not usable any more. */
const struct rx_grant *session_grant(const struct monitor *m, const struct session *s);
/* Ends the sessions of grants that have ended, and what waits for their clients. reloaded: any may
 * have changed; else only time has passed. */
void sessions_judge(struct monitor *m, bool reloaded);
/* All sessions are gone, as net is. */
void sessions_lost(struct monitor *m);
void session_free(struct monitor *m, struct session *s);
void session_who(const struct session *s, struct audit_who *who);
/* "NAME from ADDRESS:PORT", for the log; a static buffer. */
const char *session_label(const struct session *s);
/* One more pair of keys into the pool. Whether there is room for another. */
bool pool_refill(struct monitor *m);

/* monitor_trace.c */
/* Its client is proven: gives net a file for its trace, if sessions are traced. */
void session_trace(struct monitor *m, struct session *s);
/* Net can write no more of it: which it may say once. */
void session_trace_lost(struct monitor *m, struct session *s, const struct ipc_trace_lost *lost);

/* monitor_request.c */
void session_request(struct monitor *m, struct session *s, const struct ipc_message *message);
void answer(struct monitor *m, const struct session *s, uint32_t stream, enum rx_type type,
            bool last, const struct rx_header *header);
/* REFUSED. text: NULL for the error's own; n: which SIGNAL, or RX_ABSENT. */
void refuse(struct monitor *m, const struct session *s, uint32_t stream, bool last,
            enum rx_error error, const char *text, int64_t n);

/* The answers that waited for STARTED. */
void answer_early(struct job *c);

/* monitor_exec.c */
void exec_request(struct monitor *m, struct session *s, const struct rx_message *message,
                  const struct rx_exec *exec);
/* Says to the client why a start failed. */
void exec_start_failed(struct monitor *m, const struct job *c);
/* As audit records have it. */
const char *exec_run_name(enum rx_run run);

/* monitor_resume.c */
/* The client's command of this id, on whichever session it runs, or on none. */
struct job *job_by_id(const struct monitor *m, const uint8_t kid[static RX_KID_SIZE],
                      const uint8_t id[static RX_COMMAND_ID_SIZE]);
void job_index(struct job *c);
/* The client may be away for so long, or (0) is back. */
void job_away(struct job *c, int64_t ms);
/* Its connection is gone without CLOSE: it waits for the client, so long as it may. fin: the
 * client's end of the connection was closed. */
void job_lost(struct job *c, bool fin);
/* It is OVER, and net holds the result: within the limits that stays. */
void job_keep(struct job *c);
/* c: NULL if the command is over. */
void job_not_resumed(struct monitor *m, struct job *c, const struct ipc_not_resumed *said);
void resume_request(struct monitor *m, struct session *s, const struct rx_message *message,
                    const struct rx_target *asked);
/* EXEC sent again, of an id that this client is known to have used: the command is found, or it is
 * said why not. */
bool exec_known(const struct monitor *m, const struct session *s,
                const uint8_t id[static RX_COMMAND_ID_SIZE]);
void exec_again(struct monitor *m, struct session *s, uint32_t stream,
                const uint8_t id[static RX_COMMAND_ID_SIZE]);

/* monitor_report.c */
const char *ended_by_name(enum ended_by by);
/* It is dead and reaped: who ended it, if that is not known. */
void job_judge(struct job *c);
/* ENDED, or EXIT_NOW with the holders. */
void job_send_exit(struct job *c, enum ipc_type type, const struct rx_holders *holders);
/* To the log and the audit, once, as it is now. */
void job_report(struct job *c);
/* Net has waited long enough for the ends of output: says who holds it. */
void job_drained(struct job *c);
void search_holders(evutil_socket_t fd, short what, void *context);
/* monitor_terminal.c */
/* Once net's ends are closed too, the kernel hangs up on all that still use the terminal. */
void terminal_close(struct job *c);
/* Sends a signal that the terminal's keys can send to where they would: its foreground. False: it
 * is none of those, or there is no terminal. */
bool terminal_signal(const struct job *c, int number);
enum rx_error terminal_resize(const struct job *c, const struct rx_size *size);

/* monitor_job.c */
struct job *job_new(struct monitor *m, struct session *s,
                    const uint8_t id[static RX_COMMAND_ID_SIZE]);
void job_set_state(struct job *c, enum job_state state);
/* Its process is on the way; without memory to watch it, to its end. */
void job_watch(struct job *c);
struct job *job_find(const struct monitor *m, uint64_t number);
struct job *job_by_stream(const struct session *s, uint32_t stream);
/* TERM to its group (a terminal's: HUP), after the grace KILL to all of it; who wants that first is
 * who ended it. */
void job_end(struct job *c, enum ended_by by, uint32_t grace_ms);
/* KILL to all of it, in this turn of the loop or the next. */
void job_kill(struct job *c);
void kill_pending(evutil_socket_t fd, short what, void *context);
/* Nobody wants its result any more: net is to let go of it, if it has not. */
void job_disown(struct job *c);
/* Net has let go of it. */
void job_gone(struct job *c);
void job_move(struct job *c, struct session *to, uint32_t stream);
/* The header of STARTED or RESUMED. Bytes, or 0: it cannot be made. */
size_t job_start_header(struct job *c, enum rx_type type, uint8_t *bytes, size_t cap);
void job_finished(struct job *c, const struct ipc_finished *finished);
void job_free(struct job *c);
void children_reap(struct monitor *m);

#endif
