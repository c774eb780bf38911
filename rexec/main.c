/* rexec: runs commands on other machines. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rexec/background.h"
#include "rexec/report.h"
#include "rexec/resolve.h"
#include "rexec/verbs.h"

/* Descriptors that we were given closed must not come to stand for something else. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest that is free, which is this one. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
            _exit(EXIT_REXEC);
    }
}

/* -E: what we have to say goes behind what a file has. False, after a report. */
static bool open_log(const struct options *o)
{
    if (o->log_file == NULL)
        return true;
    int fd = open(o->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0) {
        char what[512];
        (void)snprintf(what, sizeof what, "cannot open the log %.256s: %s", o->log_file,
                       strerror(errno));
        report(NULL, what, "name another file with -E");
        return false;
    }
    report_to(fd);
    return true;
}

/* -f. The settings are read first, as they may say so, too; what is wrong with them, the verb will
 * tell. False, after a report. */
static bool go_to_background(struct options *o)
{
    struct rx_failure failure;
    if (!options_resolve(o, &failure) || !o->background || background_start())
        return true;
    report(o->host, "cannot go to the background", strerror(errno));
    return false;
}

static int run(struct options *o)
{
    if (o->show)
        return verb_show(o);
    if (!go_to_background(o))
        return EXIT_REXEC;
    return o->session == SESSION_NONE ? verb_hold(o) : verb_run(o);
}

static int dispatch(struct options *o)
{
    if (!open_log(o))
        return EXIT_REXEC;
    switch (o->verb) {
    case VERB_RUN:
        return run(o);
    case VERB_PING:
        return o->show ? verb_show(o) : verb_ping(o);
    case VERB_BATCH:
        return o->show ? verb_show(o) : verb_batch(o);
    case VERB_PROBE:
        return o->show ? verb_show(o) : verb_probe(o);
    case VERB_KEYGEN:
        return verb_keygen(o);
    case VERB_GRANT:
        return verb_grant(o);
    case VERB_LESSON:
        return verb_lesson(o);
    case VERB_TRACE:
        return verb_trace(o);
    case VERB_HELP:
        return verb_help();
    case VERB_VERSION:
    case VERB_SSH_VERSION:
        return verb_version(o);
    case VERB_CONTROL:
        return verb_control(o);
    case VERB_QUERY:
        return verb_query(o);
    case VERB_NONE:
        break;
    }
    return EXIT_REXEC;
}

int main(int argc, char **argv)
{
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    keep_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN); /* a write says EPIPE instead */
    int status = EXIT_REXEC;
    if (options_parse(&options, argc, argv, error)) {
        status = finish_output(dispatch(&options));
    } else {
        report(NULL, error, "see `rexec help`");
    }
    options_clear(&options);
    return status;
}
