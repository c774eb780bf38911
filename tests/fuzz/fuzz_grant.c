/* auth/grant.c: what is read can be printed, and what was printed is read as the same grant. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "auth/grant.h"
#include "tests/unit/grant_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Whatever it says, it can be asked, and what it names it allows. */
static void ask(const struct rx_grant *grant)
{
    for (unsigned i = 0; i < grant->user_count; i++) {
        if (!rx_grant_allows_user(grant, grant->users[i]))
            abort();
    }
    int64_t last = grant->expires != 0 ? grant->expires - 1 : grant->not_before;
    for (unsigned i = 0; i < grant->source_count; i++) {
        if (rx_grant_usable(grant, last, &grant->sources[i]) == grant->revoked)
            abort();
    }
    if (grant->expires != 0 && rx_grant_usable(grant, grant->expires, &grant->sources[0]))
        abort();
    if (grant->not_before != 0 && rx_grant_usable(grant, grant->not_before - 1, &grant->sources[0]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rx_grant grant;
    struct rx_grant again;
    struct rx_file_error error = {0};
    if (rx_grant_parse((const char *)data, n, &grant, &error) != RX_OK) {
        if (error.what == NULL || error.line > n + 1 ||
            !sodium_is_zero((const uint8_t *)&grant, sizeof grant))
            abort();
        return 0;
    }
    ask(&grant);
    char text[RX_GRANT_TEXT_MAX];
    size_t length;
    if (rx_grant_print(&grant, text, sizeof text, &length) != RX_OK || strlen(text) != length ||
        rx_grant_parse(text, length, &again, &error) != RX_OK || !grant_same(&grant, &again))
        abort();
    return 0;
}
