/* A command's stdin: out of the engine into its pipe, or what is typed into its terminal. */

#include <errno.h>
#include <unistd.h>

#include "rexecd/net_internal.h"

bool command_drop_stdin(struct command *k)
{
    const uint8_t *bytes;
    size_t n;
    bool some = false;
    for (; (n = rx_engine_peek(command_engine(k), k->channel, RX_WHICH_STDIN, &bytes)) > 0;
         some = true)
        rx_engine_consume(command_engine(k), k->channel, RX_WHICH_STDIN, n);
    return some;
}

/*
 * A terminal's input never ends, but who reads from it gets an end when the character is typed that
 * means one: first what stands before it in its line, if that is not empty, so it may take two.
 */
static void end_typing(struct command *k)
{
    if (!k->typed) {
        int eof = terminal_eof(k->fds[RX_WHICH_STDIN]);
        k->typed = true;
        k->eof = eof >= 0 ? (uint8_t)eof : 0;
        k->eofs = eof < 0 ? 0 : k->in_line ? 2 : 1;
    }
    while (k->eofs > 0) {
        ssize_t n = write(k->fds[RX_WHICH_STDIN], &k->eof, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            (void)event_add(k->events[RX_WHICH_STDIN], NULL);
            return;
        }
        k->eofs = n < 0 ? 0 : (uint8_t)(k->eofs - 1);
    }
    command_close_pipe(k, RX_WHICH_STDIN);
}

static void end_stdin(struct command *k)
{
    if (k->terminal)
        end_typing(k);
    else
        command_close_pipe(k, RX_WHICH_STDIN);
}

/* As write. Notes where in a line of the terminal it ended. */
static ssize_t put_stdin(struct command *k, const uint8_t *bytes, size_t n)
{
    ssize_t written = write(k->fds[RX_WHICH_STDIN], bytes, n);
    if (written > 0)
        k->in_line = bytes[written - 1] != '\n' && bytes[written - 1] != '\r';
    return written;
}

void command_stdin(struct command *k)
{
    struct rx_engine *e = command_engine(k);
    const uint8_t *bytes;
    size_t n;
    bool taken = false; /* of which the client may have to hear */
    while (k->fds[RX_WHICH_STDIN] >= 0 &&
           (n = rx_engine_peek(e, k->channel, RX_WHICH_STDIN, &bytes)) > 0) {
        ssize_t written = put_stdin(k, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            (void)event_add(k->events[RX_WHICH_STDIN], NULL);
            break;
        }
        if (written < 0)
            command_close_pipe(k, RX_WHICH_STDIN);
        else
            rx_engine_consume(e, k->channel, RX_WHICH_STDIN, (size_t)written);
        taken = true;
    }
    if (k->fds[RX_WHICH_STDIN] < 0)
        taken = command_drop_stdin(k) || taken;
    else if (rx_in_done(rx_channel_in(k->channel, RX_WHICH_STDIN)))
        end_stdin(k);
    if (taken && e != NULL && rx_engine_pending(e))
        connection_dirty(k->net, k->connection);
}
