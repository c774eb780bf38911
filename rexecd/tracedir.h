/*
 * The directory of traces (`trace`): a file for each session of a proven client, begun here by the
 * monitor and written on by net, which has no files of its own. proto/trace.h has the lines.
 */
#ifndef REXEC_REXECD_TRACEDIR_H
#define REXEC_REXECD_TRACEDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/schedule.h"

enum { TRACEDIR_ERROR_MAX = 512, TRACEDIR_NAME_MAX = 64 };

/* The session that a file is of. */
struct tracedir_session {
    int64_t start_us;    /* on the wall, when its client connected */
    const char *server;  /* the server's name */
    const char *address; /* who it is, and from where */
    uint8_t id[RX_SESSION_ID_SIZE];
};

/* Whether files can be made there: a directory of root or of who runs the daemon, which others
 * cannot write to. False, with error. */
bool tracedir_check(const char *path, char error[static TRACEDIR_ERROR_MAX]);

/*
 * Begins a new file, mode 0600: START-ID.trace, its name in the directory goes to `name`. There
 * will be no more than `most` files in the directory, whatever they are. The descriptor, for
 * writing at the end, with *written bytes in the file; -1, with error, and no file is left.
 */
int tracedir_begin(const char *path, size_t most, const struct tracedir_session *session,
                   char name[static TRACEDIR_NAME_MAX], size_t *written,
                   char error[static TRACEDIR_ERROR_MAX]);

#endif
