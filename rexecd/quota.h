/*
 * How many commands each grant has at once.
 */
#ifndef REXEC_REXECD_QUOTA_H
#define REXEC_REXECD_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/secret.h"

struct quota;

struct quota *quota_new(void); /* NULL: no memory */
void quota_free(struct quota *quota);

/* One more for this grant, if that is at most `max` (0: no limit). False if not, or without memory.
 */
bool quota_take(struct quota *quota, const uint8_t kid[static RX_KID_SIZE], uint32_t max);

/* One less. */
void quota_give(struct quota *quota, const uint8_t kid[static RX_KID_SIZE]);

#endif
