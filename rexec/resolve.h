/*
 * From flags and the configuration to what counts.
 */
#ifndef REXEC_RESOLVE_H
#define REXEC_RESOLVE_H

#include "rexec/failure.h"
#include "rexec/options.h"

/* Fills in what follows from the settings that are there: family, quiet and their like. */
void options_derive(struct options *o);

/*
 * Reads the configuration, and fills in all that follows. False, with *failure; may be called again
 * then. Once it has gone well, it does nothing more.
 */
bool options_resolve(struct options *o, struct rx_failure *failure);

/* Frees what options_resolve has made. */
void options_forget(struct options *o);

#endif
