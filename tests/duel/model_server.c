/* The model's server. It keeps commands by their ids, and starts each once at most. */

#include <string.h>

#include "proto/bytes.h"
#include "tests/duel/model.h"

static void refuse(struct link *link, struct rx_channel *channel, enum rx_error why)
{
    struct world *w = link->world;
    MODEL_CHECK(w, end_refuse(&link->server, channel, true, why) == RX_OK);
    w->moves++;
}

/* ---- EXEC and RESUME -------------------------------------------------------------------- */

static struct command *command_of(struct world *w, const uint8_t id[static RX_COMMAND_ID_SIZE])
{
    uint64_t number = rx_get64(id + 8);
    for (unsigned i = 0; i < w->command_count; i++) {
        if (w->commands[i].number == number)
            return &w->commands[i];
    }
    model_fail(w, __FILE__, __LINE__, "an id that nobody sent");
}

static void first_exec(struct link *link, struct command *c, struct rx_channel *channel)
{
    c->known = true;
    c->at_server = c->asked = channel;
    c->owner = c->asked_at = link;
    c->newest = link->number;
    c->flows[RX_WHICH_STDOUT].limit = c->flows[RX_WHICH_STDERR].limit = RX_WINDOW_OUTPUT;
    rx_channel_set_user(channel, c);
}

/*
 * A request for a command that is known. One that comes late, over an older connection than
 * another for the same command, must not take it away from there.
 */
static void ask_again(struct link *link, struct command *c, const struct rx_event *event)
{
    struct rx_channel *channel = event->channel;
    if (c->refused || c->forgotten) {
        refuse(link, channel, c->refused ? RX_E_NOT_PERMITTED : RX_E_UNKNOWN_COMMAND);
        return;
    }
    if (link->number < c->newest) {
        refuse(link, channel, RX_E_TAKEN_OVER);
        link->world->stats->late++;
        return;
    }
    if (c->asked != NULL && c->asked != c->at_server)
        refuse(c->asked_at, c->asked, RX_E_TAKEN_OVER);
    c->asked = channel;
    c->asked_at = link;
    c->newest = link->number;
    c->offsets = event->offsets;
    c->by_resume = event->message.type == RX_RESUME;
}

static void hear_exec(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    struct rx_header h;
    MODEL_CHECK(w, rx_message_check(&event->message, &h) == RX_OK);
    struct command *c = command_of(w, h.exec.id);
    if (!c->known) {
        first_exec(link, c, event->channel);
    } else if (h.exec.age_ms == RX_ABSENT) {
        refuse(link, event->channel, RX_E_DUPLICATE_ID);
    } else {
        ask_again(link, c, event);
    }
}

static void hear_resume(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    struct rx_header h;
    MODEL_CHECK(w, rx_message_check(&event->message, &h) == RX_OK);
    struct command *c = command_of(w, h.target.id);
    MODEL_CHECK(w, c->known && c->started == 1);
    ask_again(link, c, event);
}

static void forget(struct command *c)
{
    c->forgotten = true;
    c->at_server = NULL;
    c->owner = NULL;
}

static void hear_forget(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    struct rx_header h;
    MODEL_CHECK(w, rx_message_check(&event->message, &h) == RX_OK);
    struct command *c = command_of(w, h.target.id);
    if (c->forgotten) {
        refuse(link, event->channel, RX_E_UNKNOWN_COMMAND);
        return;
    }
    MODEL_CHECK(w, c->exited && c->stage == STAGE_OVER && c->owner != link);
    if (c->owner != NULL)
        MODEL_CHECK(w, rx_engine_release(c->owner->server.engine, c->at_server, NULL, 0) == RX_OK);
    rx_channel_free(c->at_server);
    forget(c);
    MODEL_CHECK(w, rx_engine_answer(link->server.engine, RX_DONE, event->channel, true, NULL, 0,
                                    NULL, 0) == RX_OK);
}

/* ---- all messages ----------------------------------------------------------------------- */

static void hear_stream(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    struct command *c = event->channel != NULL ? rx_channel_user(event->channel) : NULL;
    if (c == NULL) /* it was taken over, or is over */
        return;
    MODEL_CHECK(w, c->owner == link && c->at_server == event->channel);
    bool exited = rx_channel_state(event->channel) == RX_STREAM_EXITED;
    switch (event->message.type) {
    case RX_STDIN:
        if (!exited)
            flow_hear(w, &link->server, event, &c->flows[RX_WHICH_STDIN]);
        break;
    case RX_ACK:
        if (!exited)
            flow_hear_ack(w, event, &c->flows[event->which]);
        break;
    case RX_SIGNAL:
        MODEL_CHECK(w, rx_engine_answer(link->server.engine, RX_DONE, event->channel, false, NULL,
                                        0, NULL, 0) == RX_OK);
        break;
    case RX_EXIT_ACK:
        MODEL_CHECK(w, c->exited && c->stage == STAGE_OVER && c->asked == NULL);
        forget(c);
        break;
    default:
        model_fail(w, __FILE__, __LINE__, "an event that nobody expects");
    }
}

void server_hear(struct link *link, const struct rx_event *event)
{
    struct world *w = link->world;
    const struct rx_message *m = &event->message;
    w->moves++;
    if (rx_is_request(m->type))
        MODEL_CHECK(w, rx_request_check(&link->server.monitor, m->raw, m->raw_len) == RX_OK);
    switch (m->type) {
    case RX_EXEC:
        hear_exec(link, event);
        break;
    case RX_RESUME:
        hear_resume(link, event);
        break;
    case RX_FORGET:
        hear_forget(link, event);
        break;
    case RX_PING:
        MODEL_CHECK(w, rx_engine_pong(link->server.engine, m->body, 1) == RX_OK);
        break;
    case RX_PONG:
        break;
    default:
        hear_stream(link, event);
        break;
    }
}

/* ---- what it does ----------------------------------------------------------------------- */

void server_drop(struct link *link)
{
    struct world *w = link->world;
    for (unsigned i = 0; i < w->command_count; i++) {
        struct command *c = &w->commands[i];
        if (c->asked_at == link) {
            c->asked = NULL;
            c->asked_at = NULL;
        }
        if (c->owner == link) {
            MODEL_CHECK(w, rx_engine_release(link->server.engine, c->at_server, NULL, 0) == RX_OK);
            c->owner = NULL;
        }
    }
    end_close(&link->server);
    link->server_up = false;
    link->to_server.n = 0;
    if (!link->client_up)
        link->number = 0;
}

/* Takes the command from where it is to the stream that asked for it. */
static void take_over(struct world *w, struct command *c)
{
    static const char header[] = "{\"code\":76,\"name\":\"taken_over\"}";
    struct link *link = c->asked_at;
    bool resume = c->by_resume;
    if (c->owner != NULL) {
        bool told = model_chance(w, 2) || c->owner == link;
        MODEL_CHECK(w, rx_engine_release(c->owner->server.engine, c->at_server,
                                         told ? header : NULL, sizeof header - 1) == RX_OK);
        w->stats->taken_over++;
    }
    c->owner = NULL;
    MODEL_CHECK(w, rx_engine_start(link->server.engine, resume ? RX_RESUMED : RX_STARTED, &c->asked,
                                   c->at_server, NULL, 0) == RX_OK);
    MODEL_CHECK(w, c->asked == c->at_server);
    for (size_t i = 1; i < RX_WHICH_COUNT; i++) {
        c->flows[i].limit =
            resume ? c->offsets.at[i] + c->offsets.window : (uint64_t)RX_WINDOW_OUTPUT;
    }
}

void server_answer(struct world *w, struct command *c)
{
    if (c->asked == NULL)
        return;
    struct link *link = c->asked_at;
    if (c->asked != c->at_server) {
        take_over(w, c);
    } else if (!w->draining && model_chance(w, 20)) {
        refuse(link, c->asked, RX_E_NOT_PERMITTED);
        c->refused = true;
        c->asked = c->at_server = NULL;
        c->asked_at = c->owner = NULL;
        return;
    } else {
        MODEL_CHECK(w, end_started(&link->server, c->asked) == RX_OK);
    }
    if (c->started == 0)
        c->started++;
    c->owner = link;
    c->asked = NULL;
    c->asked_at = NULL;
    w->moves++;
    link_check(link, RX_SERVER);
}

bool server_has(const struct command *c)
{
    return c->owner != NULL && c->at_server != NULL &&
           rx_channel_state(c->at_server) == RX_STREAM_RUNNING;
}

void server_finish(struct world *w, struct command *c, enum rx_which which)
{
    if (!server_has(c) || c->exited)
        return;
    c->flows[which].finished = true;
    rx_engine_finish(c->owner->server.engine, c->at_server, which);
    w->moves++;
}

void server_exit(struct world *w, struct command *c)
{
    if (!server_has(c) || c->exited)
        return;
    MODEL_CHECK(w, end_exit(&c->owner->server, c->at_server, (int)(c->number % 256)) == RX_OK);
    c->exited = true;
    c->flows[1].finished = c->flows[2].finished = true;
    w->moves++;
}
