/* Commands whose connection was lost: how long they wait, who takes them up again, and what is kept
 * of those that have ended. docs/PROTOCOL.md, section 11. */

#include <inttypes.h>
#include <string.h>

#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"

/* ---- by id ------------------------------------------------------------------------------ */

static size_t bucket_of(const struct monitor *m, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    return ids_hash(m->ids, id) % BUCKETS;
}

void job_index(struct job *c)
{
    LIST_INSERT_HEAD(&c->monitor->by_id[bucket_of(c->monitor, c->id)], c, by_id);
}

struct job *job_by_id(const struct monitor *m, const uint8_t kid[static RX_KID_SIZE],
                      const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct job *c;
    LIST_FOREACH(c, &m->by_id[bucket_of(m, id)], by_id)
    if (memcmp(c->id, id, sizeof c->id) == 0 &&
        memcmp(c->session->kid, kid, sizeof c->session->kid) == 0)
        return c;
    return NULL;
}

/* ---- waiting for a client --------------------------------------------------------------- */

static void on_wait(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct job *c = context;
    job_end(c, BY_LOST, c->monitor->config->kill_grace);
    job_disown(c); /* output that nobody takes would hold up its end */
}

/* False: without memory nobody would ever end it. */
static bool wait_for_client(struct job *c, uint32_t ms)
{
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    if (c->wait == NULL)
        c->wait = event_new(c->monitor->base, -1, 0, on_wait, c);
    return c->wait != NULL && event_add(c->wait, &after) == 0;
}

void job_away(struct job *c, int64_t ms)
{
    const uint32_t most = c->monitor->config->linger_max;
    c->away_ms = ms < (int64_t)most ? (uint32_t)ms : most;
}

static uint32_t linger_of(const struct job *c)
{
    return c->away_ms > 0 ? c->away_ms : c->linger_ms;
}

void job_lost(struct job *c, bool fin)
{
    const struct config *config = c->monitor->config;
    uint32_t ms = linger_of(c);
    c->lost = true;
    if (c->state != JOB_STARTING && !c->held) {
        job_gone(c); /* there is nothing left to come back for */
        return;
    }
    /* An ended command's result does nobody harm while it waits. */
    if (fin && c->state != JOB_OVER && config->fin_grace < ms)
        ms = config->fin_grace;
    if (ms == 0 || !wait_for_client(c, ms))
        on_wait(-1, 0, c);
}

void job_keep(struct job *c)
{
    struct monitor *m = c->monitor;
    TAILQ_INSERT_TAIL(&m->kept, c, of_kept);
    m->kept_count++;
    m->kept_bytes += c->kept;
    bool waits = !c->lost || (linger_of(c) > 0 && wait_for_client(c, linger_of(c)));
    if (!waits)
        job_disown(c);
    while (m->kept_count > m->config->keep_results || m->kept_bytes > m->config->keep_bytes)
        job_disown(TAILQ_FIRST(&m->kept));
}

/* ---- taking up again -------------------------------------------------------------------- */

static enum rx_error check_serving(const struct monitor *m, struct policy_refusal *refusal)
{
    if (m->state == MONITOR_SERVING || m->state == MONITOR_STARTING)
        return RX_OK;
    return policy_refuse(refusal, RX_E_SHUTTING_DOWN, "%s", rx_error_text(RX_E_SHUTTING_DOWN));
}

/* Binds the command to the stream that was asked on. */
static enum rx_error take_over(struct job *c, struct session *s, uint32_t stream,
                               enum rx_type answer, struct policy_refusal *refusal)
{
    struct monitor *m = c->monitor;
    struct rx_header taken;
    uint8_t bytes[2048];
    size_t n = 0;
    if (c->counted && c->session != s && s->running >= m->config->max_commands)
        return policy_refuse(refusal, RX_E_LIMIT_REACHED,
                             "%" PRIu32 " commands run on this connection already; wait until one "
                             "has ended",
                             s->running);
    struct session *old = c->session;
    uint32_t old_stream = c->stream;
    c->again = answer == RX_STARTED;
    rx_header_error(&taken, RX_E_TAKEN_OVER, NULL);
    struct ipc_resume resume = {.command = c->number, .stream = stream, .answer = (uint8_t)answer};
    size_t header = job_start_header(c, answer, bytes, 1024);
    if (header == 0 ||
        rx_header_encode(RX_REFUSED, &taken, bytes + header, sizeof bytes - header, &n) != RX_OK)
        return policy_refuse(refusal, RX_E_NO_RESOURCES, "out of memory");
    resume.header_len = (uint16_t)header;
    if (c->wait != NULL)
        (void)event_del(c->wait);
    c->lost = false;
    c->away_ms = 0;
    c->resumed++;
    log_info("%s: command %llu goes on here", session_label(s), (unsigned long long)c->number);
    if (c->state != JOB_STARTING) {
        job_move(c, s, stream);
        monitor_send(m, IPC_RESUME, s->id, &resume, bytes, header + n, NULL);
        return RX_OK;
    }
    /* Net has not heard of it yet: START will go to the new stream. */
    if (old->state == SESSION_PROVEN)
        refuse(m, old, old_stream, true, RX_E_TAKEN_OVER, NULL, RX_ABSENT);
    job_move(c, s, stream);
    return RX_OK;
}

void resume_request(struct monitor *m, struct session *s, const struct rx_message *message,
                    const struct rx_target *asked)
{
    struct job *c = job_by_id(m, s->kid, asked->id);
    struct policy_refusal refusal;
    enum rx_error error = check_serving(m, &refusal);
    if (error != RX_OK)
        log_info("%s: not resumed: %s", session_label(s), refusal.text);
    else if (c != NULL && c->held)
        error = take_over(c, s, message->stream, RX_RESUMED, &refusal);
    else if (ids_find(m->ids, asked->id, s->kid) == IDS_OWN)
        error = policy_refuse(&refusal, RX_E_DATA_LOST,
                              "the server no longer has what the command wrote, nor how it ended");
    else
        error =
            policy_refuse(&refusal, RX_E_UNKNOWN_COMMAND,
                          "the server knows nothing of this command any more; it was restarted, "
                          "or gave it up");
    if (error != RX_OK)
        refuse(m, s, message->stream, true, error, refusal.text, RX_ABSENT);
}

bool exec_known(const struct monitor *m, const struct session *s,
                const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    return job_by_id(m, s->kid, id) != NULL || ids_find(m->ids, id, s->kid) == IDS_OWN;
}

void exec_again(struct monitor *m, struct session *s, uint32_t stream,
                const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    struct job *c = job_by_id(m, s->kid, id);
    struct policy_refusal refusal;
    enum rx_error error = check_serving(m, &refusal);
    if (error != RX_OK)
        log_info("%s: not resumed: %s", session_label(s), refusal.text);
    else if (c != NULL && !c->unwanted && (c->held || c->state == JOB_STARTING))
        error = take_over(c, s, stream, RX_STARTED, &refusal);
    else
        error = policy_refuse(&refusal, RX_E_DATA_LOST,
                              "the command was started once, and is not started again; the server "
                              "no longer has what it wrote, nor how it ended");
    if (error != RX_OK)
        refuse(m, s, stream, true, error, refusal.text, RX_ABSENT);
}

void job_not_resumed(struct monitor *m, struct job *c, const struct ipc_not_resumed *said)
{
    const struct session *s = session_find(m, said->session);
    enum rx_error error = said->error == RX_E_DATA_LOST ? RX_E_DATA_LOST : RX_E_NO_RESOURCES;
    /* Else the command was let go of, or taken elsewhere, before net could say this. */
    bool here =
        c != NULL && c->held && c->session->id == said->session && c->stream == said->stream;
    if (s != NULL && s->state == SESSION_PROVEN && (here || job_by_stream(s, said->stream) == NULL))
        refuse(m, s, said->stream, true, error, NULL, RX_ABSENT);
    if (here)
        job_lost(c, false);
}
