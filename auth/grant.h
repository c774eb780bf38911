/*
 * Grants: what a server stores of one client's key, and what that client may do. docs/PROTOCOL.md,
 * "Files".
 */
#ifndef REXEC_AUTH_GRANT_H
#define REXEC_AUTH_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/fields.h"
#include "auth/secret.h"
#include "auth/source.h"

enum {
    RX_GRANT_FILE_MAX = 16384, /* longest that is read */
    RX_GRANT_TEXT_MAX = 8192,  /* longest that is printed, with the final NUL */
    RX_GRANT_USERS = 32,
    RX_USER_MAX = 32,
    RX_GRANT_SOURCES = 32,
    RX_FORCED_COMMAND_MAX = 1000,
};

struct rx_grant {
    struct rx_grant_keys keys;
    char server[RX_SERVER_NAME_MAX + 1];
    char name[RX_PRINCIPAL_MAX + 1]; /* empty: none */
    unsigned user_count;             /* 0: none named */
    bool any_user;                   /* users = * */
    char users[RX_GRANT_USERS][RX_USER_MAX + 1];
    unsigned source_count; /* 0: from anywhere */
    struct rx_source sources[RX_GRANT_SOURCES];
    int64_t not_before, expires; /* seconds since 1970; 0: not set */
    bool revoked, readable;
    bool no_pty;                             /* commands get no terminal */
    unsigned max_commands;                   /* 0: not set */
    char command[RX_FORCED_COMMAND_MAX + 1]; /* empty: none */
};

/*
 * Parses a grant file's text of n bytes. RX_OK; RX_E_BAD_FILE with *error set and *grant wiped. The
 * caller wipes the text, and the grant with rx_grant_wipe.
 */
enum rx_error rx_grant_parse(const char *text, size_t n, struct rx_grant *grant,
                             struct rx_file_error *error);

/*
 * Prints the file's text, NUL-terminated, only what is set; its length to *n. RX_E_NO_SPACE if cap
 * is too small (RX_GRANT_TEXT_MAX always does), RX_E_BAD_FILE for a grant that could not be read
 * again (a list longer than a line among them); `out` is wiped then. What was parsed can always be
 * printed. The keys come last: a file that was cut short anywhere is refused, so no restriction is
 * lost with its end.
 */
enum rx_error rx_grant_print(const struct rx_grant *grant, char *out, size_t cap, size_t *n);

/*
 * Whether the grant may be used now (seconds since 1970) by a client at `peer`: not revoked, begun,
 * not expired (the second named is the first at which it is), and from an address that it names, if
 * it names any. An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) counts as the IPv4 address. Takes
 * the same path whatever the grant says.
 */
bool rx_grant_usable(const struct rx_grant *grant, int64_t now, const struct rx_source *peer);

/* Whether commands may run as this user: it is named, or users = * and it has a name at all. With
 * no users named: false (the server decides whose default that is). */
bool rx_grant_allows_user(const struct rx_grant *grant, const char *user);

/* Overwrites the grant with zeros. */
void rx_grant_wipe(struct rx_grant *grant);

#endif
