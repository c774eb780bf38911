#include <stdlib.h>
#include <string.h>

#include "rexec/connection_internal.h"

/* The engine that has its channel; NULL: none has, and its bytes wait. */
static struct rx_engine *engine_of(const struct rx_command *command)
{
    return command->own ? NULL : command->connection->engine;
}

static void drop_request(struct rx_command *command)
{
    free(command->exec);
    free(command->words);
    command->exec = NULL;
    command->words = NULL;
    command->words_len = 0;
}

/* ---- asking ----------------------------------------------------------------------------- */

/* A connection that has failed takes no requests: they wait for the next one, if there is one. */
static bool is_open(const struct rx_connection *c)
{
    return c->phase == PHASE_SESSION && rx_connection_error(c) == RX_OK;
}

static enum rx_error request(struct rx_command *command, enum rx_type type,
                             const struct rx_header *h, const void *body, size_t body_len)
{
    uint8_t header[RX_HEADER_MAX];
    size_t n = 0;
    enum rx_error error = rx_header_encode(type, h, header, sizeof header, &n);
    if (error != RX_OK)
        return error;
    return rx_engine_request(command->connection->engine, type, header, n, body, body_len,
                             &command->channel);
}

static enum rx_error send_exec(struct rx_command *command)
{
    const struct rx_connection *c = command->connection;
    struct rx_header h = {.exec = *command->exec};
    if (command->sent_ms != RX_ABSENT)
        h.exec.age_ms = c->now_ms - command->sent_ms + 1; /* rounded up */
    enum rx_error error = request(command, RX_EXEC, &h, command->words, command->words_len);
    if (error == RX_OK && command->sent_ms == RX_ABSENT)
        command->sent_ms = c->now_ms;
    return error;
}

static enum rx_error send_resume(struct rx_command *command)
{
    struct rx_header h;
    rx_header_init(RX_RESUME, &h);
    h.target.has_id = true;
    memcpy(h.target.id, command->id, sizeof h.target.id);
    return request(command, RX_RESUME, &h, NULL, 0);
}

static enum rx_error send_signal(struct rx_command *command, const struct asked_signal *signal)
{
    struct rx_header h;
    rx_header_init(RX_SIGNAL, &h);
    h.signal.n = signal->n;
    memcpy(h.signal.signal, signal->name, sizeof signal->name);
    return request(command, RX_SIGNAL, &h, NULL, 0);
}

static enum rx_error send_size(struct rx_command *command)
{
    struct rx_header h = {.size = command->size};
    return request(command, RX_RESIZE, &h, NULL, 0);
}

/* Asks for it on its connection, the first time or again. */
static enum rx_error ask(struct rx_command *command)
{
    enum rx_error error = command->started ? send_resume(command) : send_exec(command);
    if (error != RX_OK)
        return error;
    command->own = false;
    rx_channel_set_user(command->channel, command);
    for (size_t i = 0; i < command->asked_count && error == RX_OK; i++)
        error = send_signal(command, &command->asked[i]);
    if (error == RX_OK && command->sized)
        error = send_size(command);
    if (error == RX_OK && command->finished)
        rx_engine_finish(engine_of(command), command->channel, RX_WHICH_STDIN);
    return error;
}

static bool is_over(const struct rx_command *command)
{
    return command->exited || command->refused;
}

enum rx_error connection_ask_all(struct rx_connection *c)
{
    struct rx_command *command = TAILQ_FIRST(&c->commands);
    for (; command != NULL; command = TAILQ_NEXT(command, link)) {
        enum rx_error error = is_over(command) ? RX_OK : ask(command);
        if (error != RX_OK)
            return error;
    }
    return RX_OK;
}

static struct rx_command *new_command(const struct rx_exec *exec, const void *words, size_t n)
{
    struct rx_command *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->exec = malloc(sizeof *made->exec);
    made->words = malloc(n + 1);
    if (made->exec == NULL || made->words == NULL) {
        drop_request(made);
        free(made);
        return NULL;
    }
    *made->exec = *exec;
    made->exec->age_ms = RX_ABSENT;
    if (n > 0)
        memcpy(made->words, words, n);
    made->words_len = n;
    made->sent_ms = RX_ABSENT;
    memcpy(made->id, exec->id, sizeof made->id);
    return made;
}

/* A request that could never be sent is refused at once. */
static enum rx_error check_request(const struct rx_exec *exec, size_t n)
{
    struct rx_header h = {.exec = *exec};
    uint8_t header[RX_HEADER_MAX];
    size_t header_len = 0;
    const struct rx_kind *kind = rx_kind(RX_EXEC);
    h.exec.age_ms = RX_INTEGER_MAX; /* the longest that it may become */
    enum rx_error error = rx_header_encode(RX_EXEC, &h, header, sizeof header, &header_len);
    if (error == RX_OK && (header_len > kind->header_max || n > kind->body_max))
        error = RX_E_BAD_MESSAGE;
    return error;
}

enum rx_error rx_connection_exec(struct rx_connection *c, const struct rx_exec *exec,
                                 const void *words, size_t n, void *user,
                                 struct rx_command **command)
{
    *command = NULL;
    enum rx_error error = c->closed ? RX_E_BAD_STATE : check_request(exec, n);
    if (error != RX_OK)
        return error;
    struct rx_command *made = new_command(exec, words, n);
    if (made == NULL)
        return RX_E_NO_MEMORY;
    made->connection = c;
    made->user = user;
    error = is_open(c) ? ask(made) : RX_OK;
    if (error != RX_OK) {
        drop_request(made);
        free(made);
        return error;
    }
    TAILQ_INSERT_TAIL(&c->commands, made, link);
    *command = made;
    return RX_OK;
}

void *rx_command_user(const struct rx_command *command)
{
    return command->user;
}

bool rx_command_started(const struct rx_command *command)
{
    return command->started;
}

bool rx_command_asked(const struct rx_command *command)
{
    return command->sent_ms != RX_ABSENT;
}

void command_started(struct rx_command *command)
{
    command->started = true;
    drop_request(command);
}

void command_closed(struct rx_command *command)
{
    command->refused = !command->exited;
    command->own = rx_engine_keep(command->connection->engine, command->channel);
    if (!command->own)
        command->channel = NULL;
}

/* ---- from one connection to the next ------------------------------------------------------ */

/* Its channel leaves the engine of the lost connection. False: it cannot, and is over. */
static bool unbind(struct rx_command *command)
{
    if (command->channel == NULL || command->own)
        return true;
    if (rx_engine_release(command->connection->engine, command->channel, NULL, 0) != RX_OK)
        return false;
    command->own = true;
    return true;
}

enum rx_error rx_connection_move(struct rx_connection *to, struct rx_connection *from)
{
    struct rx_command *command;
    enum rx_error error = RX_OK;
    while ((command = TAILQ_FIRST(&from->commands)) != NULL) {
        if (!unbind(command)) {
            command_detach(command);
            error = RX_E_NO_MEMORY;
            continue;
        }
        TAILQ_REMOVE(&from->commands, command, link);
        TAILQ_INSERT_TAIL(&to->commands, command, link);
        command->connection = to;
    }
    return error;
}

bool rx_connection_busy(const struct rx_connection *c)
{
    const struct rx_command *command;
    TAILQ_FOREACH(command, &c->commands, link)
    if (!is_over(command))
        return true;
    return false;
}

/* ---- its bytes -------------------------------------------------------------------------- */

size_t rx_command_peek(const struct rx_command *command, enum rx_which which, const uint8_t **bytes)
{
    if (command->channel == NULL)
        return 0;
    return rx_engine_peek(engine_of(command), command->channel, which, bytes);
}

void rx_command_consume(struct rx_command *command, enum rx_which which, size_t n)
{
    if (command->channel != NULL)
        rx_engine_consume(engine_of(command), command->channel, which, n);
}

bool rx_command_ended(const struct rx_command *command, enum rx_which which)
{
    if (command->channel == NULL)
        return true;
    const struct rx_in *in = rx_channel_in(command->channel, which);
    return rx_in_done(in) || (command->refused && in->consumed == in->received);
}

size_t rx_command_room(struct rx_command *command, size_t want, uint8_t **room)
{
    if (command->channel == NULL || is_over(command))
        return 0;
    const struct rx_out *out = rx_channel_out(command->channel, RX_WHICH_STDIN);
    uint64_t window = out->limit - rx_out_end(out);
    if (want > window)
        want = (size_t)window;
    if (want == 0)
        return 0;
    size_t n = rx_engine_write_room(command->channel, RX_WHICH_STDIN, want, room);
    return n < want ? n : want;
}

void rx_command_written(struct rx_command *command, size_t n)
{
    if (command->channel != NULL)
        rx_engine_written(engine_of(command), command->channel, RX_WHICH_STDIN, n);
}

void rx_command_finish(struct rx_command *command)
{
    if (command->channel != NULL)
        rx_engine_finish(engine_of(command), command->channel, RX_WHICH_STDIN);
    command->finished = true;
}

/* ---- signals, the end ------------------------------------------------------------------- */

enum rx_error rx_command_signal(struct rx_command *command, const char *name)
{
    size_t length = strlen(name);
    if (command->connection == NULL || is_over(command))
        return RX_E_BAD_STATE;
    if (length > RX_SIGNAL_NAME_MAX)
        return RX_E_BAD_HEADER;
    if (command->asked_count == SIGNALS_MAX)
        return RX_E_FLOOD;
    struct asked_signal *asked = &command->asked[command->asked_count];
    asked->n = command->signals + 1;
    memcpy(asked->name, name, length + 1);
    /* Without a stream it waits for one. */
    bool bound = command->channel != NULL && !command->own && is_open(command->connection);
    enum rx_error error = bound ? send_signal(command, asked) : RX_OK;
    if (error == RX_OK) {
        command->signals++;
        command->asked_count++;
    }
    return error;
}

bool command_signaled(struct rx_command *command, int64_t n)
{
    for (size_t i = 0; i < command->asked_count; i++) {
        if (command->asked[i].n != n)
            continue;
        command->asked_count--;
        memmove(&command->asked[i], &command->asked[i + 1],
                (command->asked_count - i) * sizeof command->asked[0]);
        return true;
    }
    return false;
}

enum rx_error rx_command_resize(struct rx_command *command, const struct rx_size *size)
{
    if (command->connection == NULL || is_over(command))
        return RX_E_BAD_STATE;
    command->size = *size;
    command->sized = true;
    /* Without a stream it waits for one. */
    bool bound = command->channel != NULL && !command->own && is_open(command->connection);
    return bound ? send_size(command) : RX_OK;
}

enum rx_error rx_command_away(struct rx_command *command, bool away)
{
    const struct rx_connection *c = command->connection;
    struct rx_header h;
    if (c == NULL || is_over(command) || command->channel == NULL || command->own || !c->welcomed ||
        c->welcome.linger_ms == RX_ABSENT)
        return RX_E_BAD_STATE;
    rx_header_init(RX_DETACH, &h);
    h.detach.linger_ms = away ? c->welcome.linger_ms : 0;
    return request(command, RX_DETACH, &h, NULL, 0);
}

void command_detach(struct rx_command *command)
{
    TAILQ_REMOVE(&command->connection->commands, command, link);
    if (command->own)
        rx_channel_free(command->channel);
    else if (command->channel != NULL)
        rx_channel_set_user(command->channel, NULL);
    command->own = false;
    command->channel = NULL;
    command->connection = NULL;
}

/* Nobody listens to a command that still runs: its output is dropped, its input ends. */
static void abandon(struct rx_engine *engine, struct rx_channel *channel)
{
    const uint8_t *bytes;
    for (enum rx_which w = RX_WHICH_STDOUT; w <= RX_WHICH_STDERR; w++) {
        for (size_t n; (n = rx_engine_peek(engine, channel, w, &bytes)) > 0;)
            rx_engine_consume(engine, channel, w, n);
    }
    rx_engine_finish(engine, channel, RX_WHICH_STDIN);
}

void rx_command_free(struct rx_command *command)
{
    if (command == NULL)
        return;
    if (command->connection != NULL) {
        struct rx_engine *engine = command->connection->engine;
        struct rx_channel *bound = command->own ? NULL : command->channel;
        command_detach(command);
        if (bound != NULL && command->exited) {
            (void)rx_engine_exit_ack(engine, bound);
        } else if (bound != NULL) {
            abandon(engine, bound);
        }
    }
    drop_request(command);
    free(command);
}
