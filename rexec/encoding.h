/*
 * --encoding: a decoder for the command's output, to the encoding of the user's locale.
 */
#ifndef REXEC_ENCODING_H
#define REXEC_ENCODING_H

#include <stdbool.h>

#include "rexec/failure.h"
#include "rexec/transcode.h"

/* A new decoder from `name`; to UTF-8 rather than to the locale's if `utf8`. NULL, with *failure.
 */
struct transcode *encoding_open(const char *name, bool utf8, struct rx_failure *failure);

/* Whether there would be one; no name asks for none. False: *failure says why not. */
bool encoding_check(const char *name, bool utf8, struct rx_failure *failure);

#endif
