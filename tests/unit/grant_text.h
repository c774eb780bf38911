/*
 * Grant files for tests: a good one, and reading it from the end of the memory.
 */
#ifndef REXEC_TESTS_UNIT_GRANT_TEXT_H
#define REXEC_TESTS_UNIT_GRANT_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/grant.h"
#include "tests/unit/guard.h"

#define FIRST "rexec-grant 1\n"
#define SERVER "server = build.example\n"
#define HEX32 "00112233445566778899aabbccddeeff"
#define KID "kid = " HEX32 "\n"
#define CLIENT "client-auth = 11" HEX32 "1122334455667788990011223344AA\n"
#define SERVER_AUTH "server-auth = 22" HEX32 "1122334455667788990011223344BB\n"
#define MIX "mix = 33" HEX32 "1122334455667788990011223344CC\n"
#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"
#define BASE FIRST SERVER KID CLIENT SERVER_AUTH MIX /* what is added stands in line 7 */

static inline enum rx_error grant_read(const void *bytes, size_t n, struct rx_grant *grant,
                                       struct rx_file_error *error)
{
    memset(grant, 0xa5, sizeof *grant);
    *error = (struct rx_file_error){0};
    return rx_grant_parse((const char *)guard_copy(bytes, n), n, grant, error);
}

static inline void grant_expect_wiped(const struct rx_grant *grant)
{
    static const struct rx_grant zero;
    assert_memory_equal(grant, &zero, sizeof zero);
}

static inline void grant_expect_refused(const void *bytes, size_t n, unsigned line,
                                        const char *what)
{
    struct rx_grant grant;
    struct rx_file_error error;
    if (grant_read(bytes, n, &grant, &error) != RX_E_BAD_FILE)
        fail_msg("accepted, but should say \"%s\": %.*s", what, (int)n, (const char *)bytes);
    if (error.line != line || strstr(error.what, what) == NULL)
        fail_msg("line %u: %s; expected line %u: %s", error.line, error.what, line, what);
    grant_expect_wiped(&grant);
}

#define REFUSED(text, line, what) grant_expect_refused(text, sizeof(text) - 1, line, what)

static inline struct rx_grant grant_parsed(const char *text)
{
    struct rx_grant grant;
    struct rx_file_error error;
    if (grant_read(text, strlen(text), &grant, &error) != RX_OK)
        fail_msg("line %u: %s: %s", error.line, error.what, text);
    return grant;
}

/* The grant with one more line. */
static inline struct rx_grant grant_with(const char *line)
{
    char text[RX_GRANT_FILE_MAX];
    (void)snprintf(text, sizeof text, BASE "%s\n", line);
    return grant_parsed(text);
}

#endif
