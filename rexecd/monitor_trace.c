/* Traces of sessions: files are made here, and net writes to them. */

#include <string.h>
#include <unistd.h>

#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"
#include "rexecd/tracedir.h"

void session_trace(struct monitor *m, struct session *s)
{
    const struct config *config = m->config;
    struct tracedir_session of = {
        .start_us = s->accepted_us, .server = config->server_name, .address = session_label(s)};
    char name[TRACEDIR_NAME_MAX], error[TRACEDIR_ERROR_MAX];
    size_t written = 0;
    memcpy(of.id, s->public_id, sizeof of.id);
    int fd = tracedir_begin(config->trace, config->trace_files, &of, name, &written, error);
    if (fd < 0) {
        if (monitor_may_say(m))
            log_warning("%s: no trace of this session: %s", session_label(s), error);
        return;
    }
    const struct ipc_trace trace = {.most = config->trace_bytes - (uint32_t)written};
    log_info("%s: traced to %s/%s", session_label(s), config->trace, name);
    s->traced = true;
    monitor_send(m, IPC_TRACE, s->id, &trace, NULL, 0, &fd);
}

void session_trace_lost(struct monitor *m, struct session *s, const struct ipc_trace_lost *lost)
{
    if (monitor_may_say(m))
        log_warning("%s: the trace ends here, the session goes on: %s", session_label(s),
                    strerror((int)lost->error));
    s->traced = false;
}
