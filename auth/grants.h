/*
 * All grants of a server, and the look-up by kid that takes the same time and path whether or not
 * there is one.
 */
#ifndef REXEC_AUTH_GRANTS_H
#define REXEC_AUTH_GRANTS_H

#include <stddef.h>

#include "auth/grant.h"

struct rx_grants;

/* An empty table, or NULL without memory. */
struct rx_grants *rx_grants_new(void);

/* Wipes and frees the table; NULL is fine. */
void rx_grants_free(struct rx_grants *grants);

/* Adds a copy. RX_E_NO_MEMORY; RX_E_BAD_FILE if the kid is there already: the second is not added,
 * but if it is revoked, so is the first from now on. */
enum rx_error rx_grants_add(struct rx_grants *grants, const struct rx_grant *grant);

size_t rx_grants_count(const struct rx_grants *grants);

/* The i-th in the order of adding, or NULL. Lives until the table changes. */
const struct rx_grant *rx_grants_at(const struct rx_grants *grants, size_t i);

/* The grant of this kid, or NULL, usable or not: for kids that are proven. Lives until the table
 * changes. */
const struct rx_grant *rx_grants_find(const struct rx_grants *grants,
                                      const uint8_t kid[static RX_KID_SIZE]);

/*
 * Looks a kid up and makes the keys to go on with: the grant's, if there is one and it is usable
 * for this peer now; the decoy's otherwise. Each kid in the table is compared, both key sets are
 * made, and the choice is made without a branch. For a kid that is not there some other grant is
 * judged in its stead, so that memory is touched in the same way. The grant goes to *found (NULL:
 * the keys are decoys) and lives until the table changes; the caller must not act on that before
 * the client's response was compared. RX_E_CRYPTO_FAILED, with *keys wiped and no grant.
 */
enum rx_error rx_grants_look_up(const struct rx_grants *grants,
                                const uint8_t decoy_secret[static RX_KEY_SIZE],
                                const uint8_t kid[static RX_KID_SIZE], int64_t now,
                                const struct rx_source *peer, struct rx_grant_keys *keys,
                                const struct rx_grant **found);

#endif
