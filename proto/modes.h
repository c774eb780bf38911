/*
 * A terminal's modes as EXEC has them (docs/PROTOCOL.md, section 8): POSIX termios names in lower
 * case, numbers that mean the same on every system.
 */
#ifndef REXEC_PROTO_MODES_H
#define REXEC_PROTO_MODES_H

#include <termios.h>

#include "proto/header.h"

/* Names all modes that both this system and the protocol have. */
void rx_modes_read(const struct termios *t, struct rx_modes *modes);

/* Sets what is named; names and values that mean nothing here are passed over. */
void rx_modes_apply(const struct rx_modes *modes, struct termios *t);

#endif
