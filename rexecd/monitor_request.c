/* Requests of proven clients: checked before they are read, then answered or handed on. */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"
#include "rexecd/signal_names.h"

void answer(struct monitor *m, const struct session *s, uint32_t stream, enum rx_type type,
            bool last, const struct rx_header *header)
{
    uint8_t bytes[RX_HEADER_MAX];
    size_t n = 0;
    if (rx_header_encode(type, header, bytes, sizeof bytes, &n) != RX_OK) {
        /* An answer that says nothing would only puzzle the client. */
        session_fail(m, session_find(m, s->id), RX_E_INTERNAL);
        return;
    }
    const struct ipc_answer to_net = {
        .stream = stream,
        .header_len = (uint16_t)n,
        .type = (uint8_t)type,
        .last = last,
    };
    monitor_send(m, IPC_ANSWER, s->id, &to_net, bytes, n, NULL);
}

void refuse(struct monitor *m, const struct session *s, uint32_t stream, bool last,
            enum rx_error error, const char *text, int64_t n)
{
    struct rx_header h;
    uint8_t bytes[RX_HEADER_MAX];
    size_t len;
    rx_header_error(&h, error, text);
    h.notice.n = n;
    /* A text with bytes of the client's may be cut within a character. */
    if (rx_header_encode(RX_REFUSED, &h, bytes, sizeof bytes, &len) != RX_OK) {
        rx_header_error(&h, error, NULL);
        h.notice.n = n;
    }
    answer(m, s, stream, RX_REFUSED, last, &h);
}

/* ---- SIGNAL ----------------------------------------------------------------------------- */

/* DONE, or REFUSED for this error. */
static void reply(struct monitor *m, const struct session *s, uint32_t stream, bool last,
                  enum rx_error error, int64_t n)
{
    struct rx_header h;
    if (error != RX_OK) {
        refuse(m, s, stream, last, error, NULL, n);
        return;
    }
    rx_header_init(RX_DONE, &h);
    h.reply.n = n;
    answer(m, s, stream, RX_DONE, last, &h);
}

/* Answers what was asked on the command's own stream: behind STARTED, which is still to come while
 * the process is on its way. */
static void reply_on_stream(struct job *c, enum rx_error error, int64_t n)
{
    if (c->state != JOB_STARTING)
        reply(c->monitor, c->session, c->stream, false, error, n);
    else if (c->early_count < EARLY_MAX)
        c->early[c->early_count++] = (struct early){error, n};
    else
        session_fail(c->monitor, c->session, RX_E_FLOOD);
}

void answer_early(struct job *c)
{
    for (size_t i = 0; i < c->early_count; i++)
        reply(c->monitor, c->session, c->stream, false, c->early[i].error, c->early[i].n);
    c->early_count = 0;
}

static enum rx_error send_signal(struct job *c, int number)
{
    if (c->reaped)
        return RX_E_ALREADY_ENDED;
    int sent = terminal_signal(c, number) ? 0 : tree_signal(c->pid, number);
    /* Before it has a group of its own. */
    if (sent < 0 && errno == ESRCH)
        sent = kill(c->pid, number);
    if (sent < 0)
        return errno == EPERM ? RX_E_NOT_PERMITTED : RX_E_ALREADY_ENDED;
    c->signals_sent |= UINT64_C(1) << (number - 1);
    return RX_OK;
}

static void signal_request(struct monitor *m, const struct session *s,
                           const struct rx_message *message, const struct rx_signal *asked)
{
    bool last = asked->has_id; /* on a stream of its own */
    struct job *c = last ? job_by_id(m, s->kid, asked->id) : job_by_stream(s, message->stream);
    if (c == NULL) {
        /* A stream that is closed has no answer. */
        if (last)
            refuse(m, s, message->stream, true, RX_E_UNKNOWN_COMMAND, NULL, RX_ABSENT);
        return;
    }
    enum rx_error error = RX_OK;
    if (last || asked->n > c->signal_n) {
        int number = signal_number(asked->signal);
        error = number > 0 ? send_signal(c, number) : RX_E_UNKNOWN_SIGNAL;
    }
    if (last) {
        reply(m, s, message->stream, true, error, asked->n);
        return;
    }
    if (error == RX_OK && asked->n > c->signal_n)
        c->signal_n = asked->n;
    reply_on_stream(c, error, asked->n);
}

/* ---- RESIZE ----------------------------------------------------------------------------- */

static void resize_request(const struct session *s, uint32_t stream, const struct rx_size *asked)
{
    struct job *c = job_by_stream(s, stream);
    if (c != NULL) /* what is over gives no answer */
        reply_on_stream(c, terminal_resize(c, asked), RX_ABSENT);
}

/* ---- DETACH ----------------------------------------------------------------------------- */

/* Only for a time: what speaks of commands that run without a connection is not done. */
static void detach_request(struct monitor *m, const struct session *s, uint32_t stream,
                           const struct rx_detach *asked)
{
    struct job *c = job_by_stream(s, stream);
    if (c == NULL)
        return; /* what is over gives no answer */
    if (asked->linger_ms == RX_ABSENT) {
        refuse(m, s, stream, false, RX_E_NOT_SUPPORTED, NULL, RX_ABSENT);
        return;
    }
    job_away(c, asked->linger_ms);
    reply_on_stream(c, RX_OK, RX_ABSENT);
}

/* ---- all of them ------------------------------------------------------------------------ */

/* What speaks of commands that run without a connection: ATTACH, LIST, FORGET. */
static void not_supported(struct monitor *m, const struct session *s, const struct rx_message *r)
{
    refuse(m, s, r->stream, true, RX_E_NOT_SUPPORTED, NULL, RX_ABSENT);
}

static void dispatch(struct monitor *m, struct session *s, const struct rx_message *r,
                     const struct rx_header *h)
{
    switch (r->type) {
    case RX_EXEC:
        exec_request(m, s, r, &h->exec);
        break;
    case RX_SIGNAL:
        signal_request(m, s, r, &h->signal);
        break;
    case RX_RESIZE:
        resize_request(s, r->stream, &h->size);
        break;
    case RX_DETACH:
        detach_request(m, s, r->stream, &h->detach);
        break;
    case RX_RESUME:
        resume_request(m, s, r, &h->target);
        break;
    default:
        not_supported(m, s, r);
        break;
    }
}

static bool opens_stream(const struct rx_message *r, const struct rx_header *h)
{
    switch (r->type) {
    case RX_DETACH:
    case RX_RESIZE:
        return false;
    case RX_SIGNAL:
        return h->signal.has_id;
    default:
        return true;
    }
}

/* What opens a stream comes on a new one, what belongs to a command does not: the answers differ in
 * what they close. */
static bool fits_stream(const struct session *s, const struct rx_message *r,
                        const struct rx_header *h)
{
    return opens_stream(r, h) == (r->stream > s->last_stream);
}

/* Nothing of a request is looked at before its proof stands: whoever has net has not the key. */
void session_request(struct monitor *m, struct session *s, const struct ipc_message *message)
{
    struct rx_message r;
    struct rx_header h;
    enum rx_error error = rx_request_check(&s->chain, message->tail, message->tail_len);
    if (error == RX_OK)
        error = rx_message_decode(message->tail, message->tail_len, RX_C2S, &r);
    if (error == RX_OK && !rx_is_request(r.type))
        error = RX_E_BAD_MESSAGE;
    if (error == RX_OK)
        error = rx_message_check(&r, &h);
    if (error == RX_OK && !fits_stream(s, &r, &h))
        error = RX_E_BAD_STREAM;
    if (error != RX_OK) {
        session_fail(m, s, error);
        return;
    }
    if (opens_stream(&r, &h))
        s->last_stream = r.stream;
    dispatch(m, s, &r, &h);
}
