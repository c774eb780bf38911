/*
 * Where to: [USER@]HOST, ssh://[USER@]HOST[:PORT] or rexec://..., unix:PATH.
 */
#ifndef REXEC_DESTINATION_H
#define REXEC_DESTINATION_H

#include <stdbool.h>

/* Owned strings; user and port may be NULL. */
struct destination {
    char *user, *host, *port;
};

/* Takes it apart; the host comes without brackets. False: malformed, or no memory. To be cleared
 * either way. */
bool destination_parse(struct destination *d, const char *word);

void destination_clear(struct destination *d);

#endif
