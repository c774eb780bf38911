/* rexecd: the command line, and the start of the role it asks for. */

#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/aead_load.h"
#include "proto/header.h"
#include "rexecd/config.h"
#include "rexecd/grantdir.h"
#include "rexecd/ipc.h"
#include "rexecd/log.h"
#include "rexecd/monitor.h"
#include "rexecd/net.h"
#include "rexecd/null.h"
#include "rexecd/sandbox.h"
#include "rexecd/spawn.h"
#include "rexecd/tracedir.h"

/* 0, 1 and 2 must be something: a socket there would get what is printed. */
static void open_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        exit(1);
    (void)close(fd);
}

/* ---- net -------------------------------------------------------------------------------- */

static bool read_id(const char *text, unsigned *id)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    *id = (unsigned)n;
    return errno == 0 && end != text && *end == '\0' && n > 0 && n < UINT32_MAX;
}

/* --role net [UID GID DIRECTORY]: by roles.c only. */
static _Noreturn void run_role(int argc, char *argv[])
{
    log_open("rexecd: net", LOG_LEVEL_INFO, false);
    if ((argc != 3 && argc != 6) || strcmp(argv[2], "net") != 0)
        fatal("--role is for rexecd itself");
    if (sodium_init() < 0)
        fatal("cannot initialise libsodium");
    /* Of the system's files, for which there is no way later. */
    const struct rx_aead_library *first = rx_aead_libraries;
    const struct rx_aead *aead =
        rx_aead_load(&(struct rx_loader){dlopen, dlsym, dlclose}, &first, UINT64_MAX);
    if (argc == 6) {
        unsigned uid, gid;
        if (!read_id(argv[3], &uid) || !read_id(argv[4], &gid) ||
            priv_sandbox_become(uid, gid, argv[5]) < 0)
            fatal("cannot give up root: %s", strerror(errno));
    } else if (geteuid() == 0) {
        fatal("--role is for rexecd itself");
    }
    /* Without the C library's end: what a sanitizer does then is not allowed here. */
    _exit(net_main(IPC_FD, aead));
}

/* ---- the monitor ------------------------------------------------------------------------ */

static void on_stop(evutil_socket_t number, short what, void *context)
{
    (void)what;
    log_info("got %s", number == SIGINT ? "SIGINT" : "SIGTERM");
    monitor_stop(context);
}

static void on_reload(evutil_socket_t number, short what, void *context)
{
    (void)number;
    (void)what;
    monitor_reload(context);
}

/* Connections cost net a descriptor each, commands three; the hard limit is the administrator's. */
static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void open_listeners(const struct config *config, struct listen_sockets *listeners)
{
    char error[LISTEN_ERROR_MAX];
    for (size_t i = 0; i < config->listen.count; i++) {
        if (listen_open(listeners, config->listen.items[i], error) == 0)
            continue;
        listen_close(listeners);
        fatal("cannot listen on %s", error);
    }
}

static struct rx_grants *read_grants(const struct config *config)
{
    struct grantdir_result result;
    struct rx_grants *grants = grantdir_read(config->grants, config->server_name, &result);
    if (grants == NULL)
        exit(1);
    if (result.read == 0)
        log_warning("%s: no grants for the server %s: nobody can connect; put in what `rexec grant "
                    "KEY %s` prints",
                    config->grants, config->server_name, config->server_name);
    else
        log_info("server %s, grants: %zu, files not used: %zu", config->server_name, result.read,
                 result.refused);
    return grants;
}

static struct audit *open_audit(const struct config *config)
{
    struct audit *audit = audit_open(config->audit);
    if (audit == NULL && errno != 0)
        fatal("%s: the audit file cannot be opened: %s", config->audit, strerror(errno));
    return audit;
}

static void check_traces(const struct config *config)
{
    char error[TRACEDIR_ERROR_MAX];
    if (!config->tracing)
        return;
    if (!tracedir_check(config->trace, error))
        fatal("trace: %s", error);
    log_warning("trace: who can read %s sees when and how much every client sends and is sent",
                config->trace);
}

static int serve(struct event_base *base, struct monitor *monitor)
{
    struct event *stop[] = {evsignal_new(base, SIGTERM, on_stop, monitor),
                            evsignal_new(base, SIGINT, on_stop, monitor)};
    struct event *reload = evsignal_new(base, SIGHUP, on_reload, monitor);
    if (stop[0] == NULL || stop[1] == NULL || reload == NULL || event_add(stop[0], NULL) < 0 ||
        event_add(stop[1], NULL) < 0 || event_add(reload, NULL) < 0)
        fatal("out of memory");
    int status = monitor_start_net(monitor) == 0 ? 0 : 1;
    if (status == 0) {
        (void)event_base_dispatch(base);
        status = monitor_status(monitor);
    }
    event_free(stop[0]);
    event_free(stop[1]);
    event_free(reload);
    return status;
}

static int run_monitor(const struct config *config)
{
    static struct listen_sockets listeners;
    sandbox_monitor();
    raise_files();
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    struct rx_grants *grants = read_grants(config);
    struct audit *audit = open_audit(config);
    check_traces(config);
    open_listeners(config, &listeners);
    if (config->check) {
        rx_grants_free(grants);
        audit_close(audit);
        listen_close(&listeners);
        return 0;
    }
    struct event_base *base = event_base_new();
    if (base == NULL || event_base_priority_init(base, 3) < 0)
        fatal("the event loop cannot be made");
    const struct monitor_parts parts = {
        .config = config,
        .grants = grants,
        .audit = audit,
        .cgroups = config->cgroups ? cgroups_open() : NULL,
        .listeners = &listeners,
    };
    struct monitor *monitor = monitor_new(base, &parts);
    if (monitor == NULL)
        exit(1);
    int status = serve(base, monitor);
    monitor_free(monitor);
    event_base_free(base);
    return status;
}

int main(int argc, char *argv[])
{
    open_standard_fds();
    if (argc > 2 && strcmp(argv[1], "--role") == 0)
        run_role(argc, argv);
    spawn_remember_limits();
    null_remember();
    if (sodium_init() < 0)
        fatal("libsodium cannot be initialised");
    rx_header_seed(randombytes_random());
    struct config config;
    char error[CONFIG_ERROR_MAX];
    int status = 0;
    switch (config_read(&config, argc, argv, error)) {
    case CONFIG_HELP:
        (void)fputs(config_usage(), stdout);
        break;
    case CONFIG_VERSION:
        (void)puts("rexecd 0.1.0");
        break;
    case CONFIG_WRONG:
        log_error("%s", error);
        status = 2;
        break;
    case CONFIG_RUN:
        log_open("rexecd", (enum log_level)log_level_by_name(config.log), config.syslog);
        status = run_monitor(&config);
        break;
    }
    config_free(&config);
    return status;
}
