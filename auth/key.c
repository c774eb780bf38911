#include "auth/key.h"

#include <sodium.h>
#include <string.h>

static const char *read_comment(const struct rx_field *field, void *file)
{
    struct rx_key *key = file;
    if (!rx_field_text(field, key->comment, RX_COMMENT_MAX))
        return "comment: needs 1 to 128 bytes without control characters";
    return NULL;
}

static void print_comment(const void *file, struct rx_text *text)
{
    const struct rx_key *key = file;
    rx_text_bytes(text, key->comment, strnlen(key->comment, sizeof key->comment));
}

static const char *read_psk(const struct rx_field *field, void *file)
{
    struct rx_key *key = file;
    if (!rx_field_hex(field, key->psk, sizeof key->psk))
        return "psk: needs 64 hex digits";
    if (sodium_is_zero(key->psk, sizeof key->psk))
        return "psk: all zero is not a key";
    return NULL;
}

static void print_psk(const void *file, struct rx_text *text)
{
    const struct rx_key *key = file;
    rx_text_hex(text, key->psk, sizeof key->psk);
}

static const struct rx_field_rule rules[] = {
    {"comment", NULL, read_comment, print_comment},
    {"psk", "the psk is missing", read_psk, print_psk},
};

static const struct rx_file_kind key_file = {
    .first_line = "rexec-key 1",
    .max = RX_KEY_FILE_MAX,
    .rules = rules,
    .rule_count = sizeof rules / sizeof rules[0],
};

enum rx_error rx_key_parse(const char *text, size_t n, struct rx_key *key,
                           struct rx_file_error *error)
{
    rx_key_wipe(key);
    if (rx_file_read(&key_file, text, n, key, error))
        return RX_OK;
    rx_key_wipe(key);
    return RX_E_BAD_FILE;
}

enum rx_error rx_key_print(const struct rx_key *key, char *out, size_t cap, size_t *n)
{
    struct rx_key scratch = {0};
    enum rx_error error = rx_file_print(&key_file, key, &scratch, out, cap, n);
    rx_key_wipe(&scratch);
    return error;
}

void rx_key_wipe(struct rx_key *key)
{
    sodium_memzero(key, sizeof *key);
}
