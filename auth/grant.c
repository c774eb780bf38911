#include "auth/grant.h"

#include <sodium.h>
#include <string.h>

enum { MAX_COMMANDS = 65535 };

static const char list_too_long[] = "the list does not fit in a line of 1024 bytes: shorten it";

/* ---- lists ------------------------------------------------------------------------------ */

/* What is left of a value that has commas in it; bytes is NULL behind the last item. */
struct list {
    const char *bytes;
    size_t n;
};

/* The next item, perhaps an empty one: a list has one more than it has commas. */
static bool next_item(struct list *list, struct list *item)
{
    if (list->bytes == NULL)
        return false;
    const char *comma = list->n > 0 ? memchr(list->bytes, ',', list->n) : NULL;
    *item = *list;
    if (comma == NULL) {
        list->bytes = NULL;
        return true;
    }
    item->n = (size_t)(comma - list->bytes);
    list->bytes = comma + 1;
    list->n -= item->n + 1;
    return true;
}

/* Whether a list of n bytes, as it will be printed, is a line that can be read. */
static bool fits_a_line(const struct rx_field *field, size_t n)
{
    return field->name_len + strlen(" = ") + n <= RX_LINE_MAX;
}

/* ---- who and where ---------------------------------------------------------------------- */

static const char *read_server(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    if (rx_server_name_fold(field->value, field->value_len, grant->server) != RX_OK)
        return "server: needs 1 to 255 printable characters without spaces";
    if (memcmp(grant->server, field->value, field->value_len) != 0)
        return "server: write the name in lower case";
    return NULL;
}

static void print_server(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_bytes(text, grant->server, strnlen(grant->server, sizeof grant->server));
}

static bool principal_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '@' || c == '+' || c == '-';
}

static const char *read_name(const struct rx_field *field, void *file)
{
    static const char why[] = "name: needs 1 to 64 of A-Z a-z 0-9 . _ @ + -";
    struct rx_grant *grant = file;
    if (!rx_field_text(field, grant->name, RX_PRINCIPAL_MAX))
        return why;
    for (size_t i = 0; i < field->value_len; i++) {
        if (!principal_byte(field->value[i]))
            return why;
    }
    return NULL;
}

static void print_name(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_bytes(text, grant->name, strnlen(grant->name, sizeof grant->name));
}

/* Visible ASCII; not `*`, which would look like a pattern and is none. */
static bool user_valid(const char *user, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (user[i] <= ' ' || user[i] > '~' || user[i] == '*' || user[i] == ',')
            return false;
    }
    return n >= 1 && n <= RX_USER_MAX;
}

static const char *read_users(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    if (field->value_len == 1 && field->value[0] == '*') {
        grant->any_user = true;
        return NULL;
    }
    if (!fits_a_line(field, field->value_len))
        return list_too_long;
    struct list list = {field->value, field->value_len};
    struct list user;
    while (next_item(&list, &user)) {
        if (!user_valid(user.bytes, user.n))
            return "users: needs names of 1 to 32 bytes, commas between and no spaces; or * alone";
        if (grant->user_count == RX_GRANT_USERS)
            return "users: has more than 32 names";
        memcpy(grant->users[grant->user_count], user.bytes, user.n);
        grant->users[grant->user_count][user.n] = '\0';
        grant->user_count++;
    }
    return NULL;
}

static void print_users(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->any_user) {
        rx_text_string(text, "*");
        return;
    }
    if (grant->user_count > RX_GRANT_USERS) {
        rx_text_refuse(text);
        return;
    }
    for (unsigned i = 0; i < grant->user_count; i++) {
        size_t n = strnlen(grant->users[i], sizeof grant->users[i]);
        if (!user_valid(grant->users[i], n)) /* "*" would be read as any user */
            rx_text_refuse(text);
        if (i > 0)
            rx_text_string(text, ",");
        rx_text_bytes(text, grant->users[i], n);
    }
}

static const char *read_from(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    size_t length = 0; /* as it will be printed: an address may get longer than it was written */
    struct list list = {field->value, field->value_len};
    struct list address;
    while (next_item(&list, &address)) {
        if (grant->source_count == RX_GRANT_SOURCES)
            return "from: has more than 32 addresses";
        struct rx_source *source = &grant->sources[grant->source_count];
        const char *why = rx_source_parse(address.bytes, address.n, source);
        if (why != NULL)
            return why;
        char text[RX_SOURCE_TEXT_MAX];
        length += rx_source_print(source, text) + (grant->source_count > 0 ? 1 : 0);
        grant->source_count++;
    }
    return fits_a_line(field, length) ? NULL : list_too_long;
}

static void print_from(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->source_count > RX_GRANT_SOURCES) {
        rx_text_refuse(text);
        return;
    }
    for (unsigned i = 0; i < grant->source_count; i++) {
        char source[RX_SOURCE_TEXT_MAX];
        if (rx_source_print(&grant->sources[i], source) == 0)
            rx_text_refuse(text);
        if (i > 0)
            rx_text_string(text, ",");
        rx_text_string(text, source);
    }
}

/* ---- when ------------------------------------------------------------------------------- */

/* Whichever of the two lines comes last is the one at fault. */
static const char *check_times(const struct rx_grant *grant)
{
    if (grant->not_before != 0 && grant->expires != 0 && grant->expires <= grant->not_before)
        return "expires must be later than not-before";
    return NULL;
}

static const char *read_not_before(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    if (!rx_field_time(field, &grant->not_before) || grant->not_before == 0)
        return "not-before: needs a UTC time after 1970, as in 2030-01-31T23:59:59Z";
    return check_times(grant);
}

static void print_not_before(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->not_before != 0)
        rx_text_time(text, grant->not_before);
}

static const char *read_expires(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    if (!rx_field_time(field, &grant->expires) || grant->expires == 0)
        return "expires: needs a UTC time after 1970, as in 2030-01-31T23:59:59Z";
    return check_times(grant);
}

static void print_expires(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->expires != 0)
        rx_text_time(text, grant->expires);
}

static const char *read_revoked(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return rx_field_yes_no(field, &grant->revoked) ? NULL : "revoked: needs yes or no";
}

static void print_revoked(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->revoked)
        rx_text_string(text, "yes");
}

/* ---- what ------------------------------------------------------------------------------- */

static const char *read_max_commands(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    uint64_t number;
    if (!rx_field_number(field, 1, MAX_COMMANDS, &number))
        return "max-commands: needs a number from 1 to 65535";
    grant->max_commands = (unsigned)number;
    return NULL;
}

static void print_max_commands(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->max_commands != 0)
        rx_text_number(text, grant->max_commands);
}

static const char *read_readable(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return rx_field_yes_no(field, &grant->readable) ? NULL : "readable: needs yes or no";
}

static void print_readable(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->readable)
        rx_text_string(text, "yes");
}

static const char *read_pty(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    bool allowed = false;
    if (!rx_field_yes_no(field, &allowed))
        return "pty: needs yes or no";
    grant->no_pty = !allowed;
    return NULL;
}

static void print_pty(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    if (grant->no_pty)
        rx_text_string(text, "no");
}

static const char *read_command(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    if (!rx_field_text(field, grant->command, RX_FORCED_COMMAND_MAX))
        return "command: needs 1 to 1000 bytes without control characters";
    return NULL;
}

static void print_command(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_bytes(text, grant->command, strnlen(grant->command, sizeof grant->command));
}

/* ---- keys ------------------------------------------------------------------------------- */

static const char *read_kid(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return rx_field_hex(field, grant->keys.kid, RX_KID_SIZE) ? NULL : "kid: needs 32 hex digits";
}

static void print_kid(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_hex(text, grant->keys.kid, RX_KID_SIZE);
}

static const char *read_secret(const struct rx_field *field, uint8_t secret[static RX_KEY_SIZE])
{
    if (!rx_field_hex(field, secret, RX_KEY_SIZE))
        return "a key of a grant needs 64 hex digits";
    if (sodium_is_zero(secret, RX_KEY_SIZE))
        return "all zero is not a key";
    return NULL;
}

static const char *read_client_auth(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return read_secret(field, grant->keys.client_auth);
}

static void print_client_auth(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_hex(text, grant->keys.client_auth, RX_KEY_SIZE);
}

static const char *read_server_auth(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return read_secret(field, grant->keys.server_auth);
}

static void print_server_auth(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_hex(text, grant->keys.server_auth, RX_KEY_SIZE);
}

static const char *read_mix(const struct rx_field *field, void *file)
{
    struct rx_grant *grant = file;
    return read_secret(field, grant->keys.mix);
}

static void print_mix(const void *file, struct rx_text *text)
{
    const struct rx_grant *grant = file;
    rx_text_hex(text, grant->keys.mix, RX_KEY_SIZE);
}

/* ---- the file --------------------------------------------------------------------------- */

/* The keys last: see rx_grant_print. */
static const struct rx_field_rule rules[] = {
    {"server", "the server's name is missing", read_server, print_server},
    {"name", NULL, read_name, print_name},
    {"users", NULL, read_users, print_users},
    {"from", NULL, read_from, print_from},
    {"not-before", NULL, read_not_before, print_not_before},
    {"expires", NULL, read_expires, print_expires},
    {"revoked", NULL, read_revoked, print_revoked},
    {"max-commands", NULL, read_max_commands, print_max_commands},
    {"readable", NULL, read_readable, print_readable},
    {"pty", NULL, read_pty, print_pty},
    {"command", NULL, read_command, print_command},
    {"kid", "the kid is missing", read_kid, print_kid},
    {"client-auth", "client-auth is missing", read_client_auth, print_client_auth},
    {"server-auth", "server-auth is missing", read_server_auth, print_server_auth},
    {"mix", "mix is missing", read_mix, print_mix},
};

static const struct rx_file_kind grant_file = {
    .first_line = "rexec-grant 1",
    .max = RX_GRANT_FILE_MAX,
    .rules = rules,
    .rule_count = sizeof rules / sizeof rules[0],
};

enum rx_error rx_grant_parse(const char *text, size_t n, struct rx_grant *grant,
                             struct rx_file_error *error)
{
    rx_grant_wipe(grant);
    if (rx_file_read(&grant_file, text, n, grant, error))
        return RX_OK;
    rx_grant_wipe(grant);
    return RX_E_BAD_FILE;
}

enum rx_error rx_grant_print(const struct rx_grant *grant, char *out, size_t cap, size_t *n)
{
    struct rx_grant scratch = {0};
    enum rx_error error = rx_file_print(&grant_file, grant, &scratch, out, cap, n);
    rx_grant_wipe(&scratch);
    return error;
}

void rx_grant_wipe(struct rx_grant *grant)
{
    sodium_memzero(grant, sizeof *grant);
}

/* ---- decisions -------------------------------------------------------------------------- */

bool rx_grant_usable(const struct rx_grant *grant, int64_t now, const struct rx_source *peer)
{
    /* All slots, used or not, and no short cuts: the time taken must not tell what the grant says.
     */
    struct rx_source plain = rx_source_unmapped(peer);
    bool from = grant->source_count == 0;
    for (unsigned i = 0; i < RX_GRANT_SOURCES; i++)
        from |= rx_source_covers(&grant->sources[i], &plain) & (i < grant->source_count);

    bool begun = (grant->not_before == 0) | (now >= grant->not_before);
    bool expired = (grant->expires != 0) & (now >= grant->expires);
    return from & begun & (!expired) & (!grant->revoked);
}

bool rx_grant_allows_user(const struct rx_grant *grant, const char *user)
{
    if (grant->any_user)
        return user[0] != '\0';
    for (unsigned i = 0; i < grant->user_count; i++) {
        if (strcmp(grant->users[i], user) == 0)
            return true;
    }
    return false;
}
