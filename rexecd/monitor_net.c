/* The net process: started, watched, and started again if it dies. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"
#include "rexecd/roles.h"
#include "rexecd/sandbox.h"
#include "rexecd/signal_names.h"

/* A datagram to the socket that systemd names, if it does (sd_notify(3)). */
void notify_systemd(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    else
        len++;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    (void)close(fd);
}

/* ---- starting --------------------------------------------------------------------------- */

/* Of those that systems leave to services: the last before nobody's. */
enum { NUMBER_LAST = 65533, NUMBER_FIRST = 65000 };

/* A number that no account and no group has, so that nobody else runs as it. 0: there is none. */
static uid_t free_number(void)
{
    for (uid_t number = NUMBER_LAST; number >= NUMBER_FIRST; number--)
        if (getpwuid(number) == NULL && getgrgid((gid_t)number) == NULL)
            return number;
    return 0;
}

/* Whom net runs as: the one configured, or _rexecd, or nobody at all. 0, or -1 with a line in the
 * log. */
static int net_user(const struct config *config, uid_t *uid, gid_t *gid)
{
    const struct passwd *found = getpwnam(config->user != NULL ? config->user : "_rexecd");
    uid_t number = found == NULL && config->user == NULL ? free_number() : 0;
    if (number != 0) {
        *uid = number;
        *gid = (gid_t)number;
        return 0;
    }
    if (found == NULL) {
        log_error("user: there is no user %s for net: make one, or name another with --user",
                  config->user != NULL ? config->user : "_rexecd");
        return -1;
    }
    if (found->pw_uid == 0 || found->pw_gid == 0) {
        log_error("user: %s is root: net must run as somebody without rights", found->pw_name);
        return -1;
    }
    *uid = found->pw_uid;
    *gid = found->pw_gid;
    return 0;
}

static pid_t start_role(const struct monitor *m, int fd)
{
    char uid_text[16], gid_text[16];
    char name[] = "rexecd: net", role[] = "--role", net[] = "net";
    char *as_root[] = {name, role, net, uid_text, gid_text, m->config->chroot, NULL};
    if (!m->host.root) {
        char *as_user[] = {name, role, net, NULL};
        return role_start(as_user, fd);
    }
    uid_t uid;
    gid_t gid;
    if (net_user(m->config, &uid, &gid) < 0 || priv_sandbox_directory(m->config->chroot) < 0)
        return -1;
    (void)snprintf(uid_text, sizeof uid_text, "%u", (unsigned)uid);
    (void)snprintf(gid_text, sizeof gid_text, "%u", (unsigned)gid);
    return role_start(as_root, fd);
}

/* A duplicate for the link, which closes what it has sent. */
static int send_listener(struct monitor *m, const struct listen_socket *s)
{
    int fd = dup(s->fd);
    if (fd < 0)
        return -1;
    return link_send(m->link, IPC_LISTENER, 0, NULL, s->name, strlen(s->name), &fd);
}

static int send_setup(struct monitor *m)
{
    const struct config *config = m->config;
    const struct ipc_setup setup = {
        .handshake_ms = config->handshake_timeout,
        .max_connections = config->max_connections,
        .max_unproven = config->max_unproven,
        .max_commands = config->max_commands,
        .keepalive_ms = config->keepalive,
        .window = config->window,
        .trace_bytes = config->tracing ? config->trace_bytes : 0,
    };
    if (link_send(m->link, IPC_SETUP, 0, &setup, NULL, 0, NULL) < 0)
        return -1;
    for (size_t i = 0; m->listeners != NULL && i < m->listeners->count; i++)
        if (send_listener(m, &m->listeners->sockets[i]) < 0)
            return -1;
    return link_send(m->link, IPC_SERVE, 0, NULL, NULL, 0, NULL);
}

int monitor_connect(struct monitor *m, int fd)
{
    m->link = link_new(m->base, fd, IPC_FROM_NET, monitor_message, net_ended, m);
    if (m->link == NULL || send_setup(m) < 0)
        return -1;
    m->net_lost = false;
    monitor_set_state(m, MONITOR_STARTING);
    return 0;
}

int monitor_start_net(struct monitor *m)
{
    int fds[2];
    if (ipc_pair(fds) < 0) {
        log_error("net: %s", strerror(errno));
        return -1;
    }
    m->net_pid = start_role(m, fds[1]);
    m->net_ours = m->net_pid > 0;
    (void)close(fds[1]);
    if (m->net_pid > 0 && monitor_connect(m, fds[0]) == 0)
        return 0;
    if (m->net_pid < 0)
        log_error("net cannot be started");
    else
        log_error("net cannot be set up: %s", strerror(errno));
    m->net_pid = m->net_pid > 0 ? m->net_pid : 0;
    if (m->link == NULL)
        (void)close(fds[0]);
    return -1;
}

void net_ready(struct monitor *m)
{
    if (m->state != MONITOR_STARTING) {
        net_give_up(m, "it said READY twice");
        return;
    }
    monitor_set_state(m, MONITOR_SERVING);
    monitor_prepare(m);
    for (size_t i = 0; m->listeners != NULL && i < m->listeners->count; i++)
        log_info("listening on %s", m->listeners->sockets[i].name);
    notify_systemd("READY=1");
}

/* ---- its end ---------------------------------------------------------------------------- */

static bool may_restart(struct monitor *m)
{
    int64_t now = rising_us() / 1000000;
    int64_t oldest = m->restarts[m->restart_count % RESTARTS_MAX];
    if (m->restart_count >= RESTARTS_MAX && now - oldest < RESTARTS_SECONDS)
        return false;
    m->restarts[m->restart_count++ % RESTARTS_MAX] = now;
    return true;
}

static void leave(struct monitor *m, int status)
{
    m->status = status;
    (void)event_base_loopbreak(m->base);
}

static void start_again(struct monitor *m)
{
    m->net_unasked = false;
    if (m->state == MONITOR_STOPPING || m->state == MONITOR_LEAVING)
        return;
    if (!may_restart(m)) {
        log_error("net has ended %d times within %d seconds: giving up", (int)RESTARTS_MAX,
                  (int)RESTARTS_SECONDS);
        leave(m, 1);
        return;
    }
    if (monitor_start_net(m) < 0)
        leave(m, 1);
}

/* The way to net is gone; so are all sessions. */
static void link_lost(struct monitor *m)
{
    bool first = m->state == MONITOR_STARTING && m->restart_count == 0;
    link_free(m->link);
    m->link = NULL;
    sessions_lost(m);
    if (m->state == MONITOR_STOPPING || m->state == MONITOR_LEAVING) {
        leave(m, m->status);
        return;
    }
    /* What fails at the first start fails again. */
    if (first) {
        log_error("net did not come up");
        leave(m, 1);
        return;
    }
    m->net_unasked = true;
    if (!m->net_ours)
        leave(m, 1);
    else if (m->net_pid > 0) /* else it was reaped before its end of the link was seen */
        (void)kill(m->net_pid, SIGKILL);
}

void net_ended(void *context, int error)
{
    struct monitor *m = context;
    if (m->state != MONITOR_LEAVING)
        log_error("net is gone%s%s: its sessions are lost", error != 0 ? ": " : "",
                  error != 0 ? strerror(error) : "");
    link_lost(m);
}

void net_give_up(struct monitor *m, const char *why)
{
    if (m->link == NULL)
        return;
    log_error("net broke the rules: %s: ending it and its sessions", why);
    link_lost(m);
}

void net_reaped(struct monitor *m, int wait_status)
{
    m->net_pid = 0;
    if (WIFSIGNALED(wait_status)) {
        char name[RX_SIGNAL_NAME_MAX + 1];
        signal_name(WTERMSIG(wait_status), name);
        log_error("net was killed by %s", name);
    }
    if (m->link != NULL) {
        net_ended(m, 0);
        if (m->net_unasked)
            start_again(m);
        return;
    }
    if (m->net_unasked)
        start_again(m);
    else if (m->state == MONITOR_LEAVING)
        leave(m, m->status);
}
