/*
 * Files of keys: where they are, and reading them only if nobody else can.
 */
#ifndef REXEC_KEYFILE_H
#define REXEC_KEYFILE_H

#include <limits.h>

#include "auth/key.h"
#include "rexec/failure.h"

/* Puts "$HOME/.config/rexec/NAME" into path; false: there is no home directory, or the path is too
 * long. */
bool keyfile_default(const char *name, char path[static PATH_MAX]);

/* Replaces a leading "~/" by the home directory; false: too long. */
bool keyfile_expand(const char *given, char path[static PATH_MAX]);

/* Reads a key file that only its owner may read. False, with *failure; *key is wiped then. The
 * caller wipes the key. */
bool keyfile_read(const char *path, struct rx_key *key, struct rx_failure *failure);

#endif
