/* auth/key.c: what is read can be printed, and what was printed is read as the same key. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "auth/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool same(const struct rx_key *a, const struct rx_key *b)
{
    return memcmp(a->psk, b->psk, sizeof a->psk) == 0 && strcmp(a->comment, b->comment) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rx_key key;
    struct rx_key again;
    struct rx_file_error error = {0};
    if (rx_key_parse((const char *)data, n, &key, &error) != RX_OK) {
        if (error.what == NULL || error.line > n + 1 ||
            !sodium_is_zero((const uint8_t *)&key, sizeof key))
            abort();
        return 0;
    }
    char text[RX_KEY_TEXT_MAX];
    size_t length;
    if (rx_key_print(&key, text, sizeof text, &length) != RX_OK || strlen(text) != length ||
        rx_key_parse(text, length, &again, &error) != RX_OK || !same(&key, &again))
        abort();
    return 0;
}
