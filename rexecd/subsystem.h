/*
 * Subsystems: programs that clients ask for by name, as sftp and scp do for `sftp`.
 */
#ifndef REXEC_REXECD_SUBSYSTEM_H
#define REXEC_REXECD_SUBSYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexecd/config.h"

/* Whether an item of the configuration is NAME=/PATH. */
bool subsystem_valid(const char *item);

/* Whether the configuration does not say what subsystems there are: an empty list says that too. */
bool subsystem_default(const struct config *config);

/* The path of the subsystem of this name, in the configuration or static; NULL if it has none.
 * Where the configuration names no subsystems at all, `sftp` is the system's sftp-server, if that
 * is there. A path of the configuration need not be there. */
const char *subsystem_path(const struct config *config, const uint8_t *name, size_t n);

#endif
