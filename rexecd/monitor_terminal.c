/* Commands that have a terminal: its size, its signals, its end. */

#include <unistd.h>

#include "rexecd/monitor_internal.h"

void terminal_close(struct job *c)
{
    if (c->spawn.terminal >= 0)
        (void)close(c->spawn.terminal);
    c->spawn.terminal = -1;
}

bool terminal_signal(const struct job *c, int number)
{
    return c->spawn.terminal >= 0 && pty_signal(c->spawn.terminal, number) == 0;
}

enum rx_error terminal_resize(const struct job *c, const struct rx_size *size)
{
    int terminal = c->spawn.terminal;
    bool done = terminal >= 0 &&
                pty_resize(terminal, size->rows, size->cols, size->width, size->height) == 0;
    return done ? RX_OK : RX_E_NO_TERMINAL;
}
