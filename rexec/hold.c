/* rexec -N HOST: a proven connection, and no command, until a signal or the server ends it. */
#include <fcntl.h>
#include <unistd.h>

#include "rexec/reach.h"
#include "rexec/report.h"
#include "rexec/signals.h"
#include "rexec/verbs.h"

struct hold {
    struct reach reach;
    struct signals signals;
    struct rx_failure failure;
    int status;
};

static void on_signal(void *user, int number)
{
    struct hold *h = user;
    h->status = 128 + number;
    reach_stop(&h->reach);
}

/* In the background nothing is read or written any more, and who waits for the end of our output
 * (`$(...)`) waits in vain; as ssh does it, our words go with it, but for those that -v asks for.
 */
static void let_go(const struct options *o)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0)
        return;
    (void)dup2(nothing, STDIN_FILENO);
    (void)dup2(nothing, STDOUT_FILENO);
    if (o->verbose == 0)
        (void)dup2(nothing, STDERR_FILENO);
    (void)close(nothing);
}

static void on_event(void *user, const struct rx_client_event *event)
{
    struct hold *h = user;
    if (event->what == RX_ON_WELCOME && h->reach.options->background)
        let_go(h->reach.options);
    if (event->what == RX_ON_READY) /* before, signals end us, too */
        (void)signals_catch(&h->signals, h->reach.base, on_signal, h);
}

static void on_ended(void *user, const struct rx_failure *failure)
{
    struct hold *h = user;
    h->failure = *failure;
    h->status = EXIT_REXEC;
    reach_stop(&h->reach);
}

int verb_hold(struct options *o)
{
    struct hold h = {
        .reach = {.event = on_event, .ended = on_ended, .user = &h},
        .signals = {.fd = -1},
        .status = EXIT_REXEC,
    };
    if (reach_open(&h.reach, o, &h.failure))
        reach_run(&h.reach);
    if (h.failure.trouble != RX_TROUBLE_NONE)
        report_failure(o->host, &h.failure);
    signals_release(&h.signals);
    reach_close(&h.reach);
    return h.status;
}
