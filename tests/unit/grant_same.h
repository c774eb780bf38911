/*
 * Whether two grants say the same, member by member: memcmp would look at the padding too.
 */
#ifndef REXEC_TESTS_UNIT_GRANT_SAME_H
#define REXEC_TESTS_UNIT_GRANT_SAME_H

#include <stdbool.h>
#include <string.h>

#include "auth/grant.h"

static inline bool grant_same(const struct rx_grant *a, const struct rx_grant *b)
{
    if (memcmp(&a->keys, &b->keys, sizeof a->keys) != 0 || strcmp(a->server, b->server) != 0 ||
        strcmp(a->name, b->name) != 0 || a->user_count != b->user_count ||
        a->any_user != b->any_user || a->source_count != b->source_count ||
        a->not_before != b->not_before || a->expires != b->expires || a->revoked != b->revoked ||
        a->readable != b->readable || a->no_pty != b->no_pty ||
        a->max_commands != b->max_commands || strcmp(a->command, b->command) != 0)
        return false;
    for (unsigned i = 0; i < RX_GRANT_USERS; i++) {
        if (strcmp(a->users[i], b->users[i]) != 0)
            return false;
    }
    for (unsigned i = 0; i < RX_GRANT_SOURCES; i++) {
        if (a->sources[i].family != b->sources[i].family ||
            a->sources[i].bits != b->sources[i].bits ||
            memcmp(a->sources[i].address, b->sources[i].address, 16) != 0)
            return false;
    }
    return true;
}

#endif
