/*
 * Names of signals, as they go over the wire: without SIG; a realtime signal without a name of its
 * own is RT and its number, any other its number.
 */
#ifndef REXEC_REXECD_SIGNAL_NAMES_H
#define REXEC_REXECD_SIGNAL_NAMES_H

#include "proto/header.h"

/* Writes the name, NUL-terminated. */
void signal_name(int number, char name[static RX_SIGNAL_NAME_MAX + 1]);

/* The number of a name (TERM, RT34 or 15; not SIGTERM), or 0 if this system has no such signal. */
int signal_number(const char *name);

#endif
