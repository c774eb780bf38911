/*
 * The directory of grants: every regular file in it is a grant (docs/PROTOCOL.md, "Files"), but for
 * names that begin with a dot or end in ~. A file that others could read or write, or that belongs
 * to somebody else, is refused, as is one for another server's name; the others count all the same.
 */
#ifndef REXEC_REXECD_GRANTDIR_H
#define REXEC_REXECD_GRANTDIR_H

#include <stddef.h>

#include "auth/grants.h"

struct grantdir_result {
    size_t read;    /* grants taken */
    size_t refused; /* files that were not, each with a line in the log */
};

/*
 * Reads the directory. The table, which the caller frees with rx_grants_free; NULL with a line in
 * the log if the directory itself cannot be read or may be written to by others.
 */
struct rx_grants *grantdir_read(const char *path, const char *server_name,
                                struct grantdir_result *result);

/* The grant of this kid, or NULL. For kids that are proven. */
const struct rx_grant *grantdir_find(const struct rx_grants *grants,
                                     const uint8_t kid[static RX_KID_SIZE]);

/* What to call a grant in logs and limits: its name, or its kid in hex. */
void grantdir_principal(const struct rx_grant *grant, char out[static RX_PRINCIPAL_MAX + 1]);

#endif
