/*
 * The monitor: keys, handshake, policy, commands, audit. It never touches the network; what it
 * knows of clients comes from net over the link, and is believed only as far as keys prove it.
 *
 *   monitor.c          life: start, stop, reload; dispatch of net's messages
 *   monitor_net.c      the net process: started, watched, started again
 *   monitor_session.c  M1, M3, the end of a session
 *   monitor_trace.c    traces of sessions
 *   monitor_request.c  requests, checked before they are read
 *   monitor_exec.c     EXEC
 *   monitor_job.c      commands (jobs, here): how they start, end and are ended
 */
#ifndef REXEC_REXECD_MONITOR_H
#define REXEC_REXECD_MONITOR_H

#include <event2/event.h>

#include "auth/grants.h"
#include "rexecd/audit.h"
#include "rexecd/cgroup.h"
#include "rexecd/config.h"
#include "rexecd/listen.h"

struct monitor;

/* What a monitor works with. All but the configuration is its own from then on, and freed with it.
 */
struct monitor_parts {
    const struct config *config;
    struct rx_grants *grants;
    struct audit *audit;              /* NULL: none */
    struct cgroups *cgroups;          /* NULL: none */
    struct listen_sockets *listeners; /* NULL: none (tests) */
};

/* A monitor in this loop, which should have three priorities (event_base_priority_init). Handles
 * SIGCHLD: all children of the process are its own. NULL with a line in the log; the parts stay the
 * caller's then. */
struct monitor *monitor_new(struct event_base *base, const struct monitor_parts *parts);
void monitor_free(struct monitor *monitor);

/* Takes fd as the link to a net that runs already (tests). 0, or -1: no memory. */
int monitor_connect(struct monitor *monitor, int fd);

/* Starts net. When it is ready the monitor says so in the log, and tells systemd. 0, or -1 with a
 * line in the log. */
int monitor_start_net(struct monitor *monitor);

/* Ends in order: nothing new, commands told, given time, killed, their ends delivered; then the
 * loop ends. A second call does not wait. */
void monitor_stop(struct monitor *monitor);

/* Reads the grants anew and opens the audit file anew. If the directory cannot be read the old
 * grants stay. Sessions go on, but a client whose grant is gone, revoked or expired starts nothing
 * more. */
void monitor_reload(struct monitor *monitor);

/* 0, or what the process should exit with. */
int monitor_status(const struct monitor *monitor);

/* How many there are, for tests. */
size_t monitor_sessions(const struct monitor *monitor);
size_t monitor_commands(const struct monitor *monitor);

#endif
