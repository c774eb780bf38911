/*
 * How one command ended, as an exit status and as a JSON object.
 */
#ifndef REXEC_RESULT_H
#define REXEC_RESULT_H

#include "rexec/buffer.h"
#include "rexec/connection.h"
#include "rexec/failure.h"

struct result {
    const char *host;
    const char *command; /* as typed, or NULL */
    uint8_t id[RX_COMMAND_ID_SIZE];
    uint64_t line; /* batch: which line it was; 0: none */
    bool exited;
    struct rx_exit exit;             /* if it exited */
    uint64_t counts[RX_WHICH_COUNT]; /* likewise */
    struct rx_failure failure;       /* if not */
    int given_up;                    /* the exit status if we did not wait for its end; 0: we did */
};

/* Enters an RX_ON_EXIT. */
void result_exited(struct result *r, const struct rx_client_event *event);

/*
 * Enters why nothing more will be heard of a command that was asked for. refused: the server says
 * so, else there is no connection any more. Where the command ran, or may have, the advice is to
 * look what it has done; that is what it returns.
 */
bool result_failed(struct result *r, const struct rx_failure *failure,
                   const struct rx_command *command, bool refused);

/* The exit status: the command's own, 128 + N for death by signal N, 255 if it did not exit; or
 * `given_up`. */
int result_status(const struct result *r);

/* Whether it was killed by a signal that is not known here, which leaves no number for a status. */
bool result_unknown_signal(const struct result *r);

/*
 * Writes one line of JSON with the command's output to a descriptor, waiting for it as long as it
 * takes. The output is not copied. False, with errno: it cannot be written; ENOMEM: it has
 * "incomplete", or there is no line at all.
 */
bool result_print(const struct result *r, const struct buffer *output, const struct buffer *error,
                  int fd);

/* Likewise, for what failed at a host without a command. */
bool result_print_failure(const char *host, const struct rx_failure *failure, int fd);

#endif
