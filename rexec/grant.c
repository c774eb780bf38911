/* rexec grant FILE SERVER-NAME: what a server stores of a key, and what the client may do there. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/fields.h"
#include "auth/grant.h"
#include "rexec/keyfile.h"
#include "rexec/report.h"
#include "rexec/verbs.h"

static bool bad(const char *what, const char *word)
{
    char line[512];
    (void)snprintf(line, sizeof line, "%s%s%.200s", what, word != NULL ? ": " : "",
                   word != NULL ? word : "");
    report(NULL, line, "see rexec(1), grant");
    return false;
}

/* A day, or a time; a day begins at midnight, UTC. */
static bool set_time(const char *text, int64_t *out)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", text, strlen(text) == 10 ? "T00:00:00Z" : "");
    struct rx_field field = {.value = full, .value_len = strlen(full)};
    return rx_field_time(&field, out) || bad("not a time like 2027-01-31T12:00:00Z", text);
}

static bool set_users(struct rx_grant *grant, const struct words *users)
{
    for (size_t i = 0; i < users->count; i++) {
        const char *user = users->list[i];
        if (strcmp(user, "*") == 0) {
            grant->any_user = true;
            continue;
        }
        if (grant->user_count == RX_GRANT_USERS || user[0] == '\0' || strlen(user) > RX_USER_MAX)
            return bad("at most 32 users of at most 32 bytes", user);
        if (strpbrk(user, ", *") != NULL)
            return bad("give each user by a --user of its own", user);
        memcpy(grant->users[grant->user_count++], user, strlen(user) + 1);
    }
    return !grant->any_user || grant->user_count == 0 || bad("* stands for all users, alone", NULL);
}

static bool set_sources(struct rx_grant *grant, const struct words *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        const char *text = sources->list[i];
        if (grant->source_count == RX_GRANT_SOURCES)
            return bad("at most 32 addresses", text);
        const char *why =
            rx_source_parse(text, strlen(text), &grant->sources[grant->source_count++]);
        if (why != NULL)
            return bad(why, text);
    }
    return true;
}

static bool set_text(char *out, size_t cap, const char *text, const char *what)
{
    if (text == NULL)
        return true;
    if (text[0] == '\0' || strlen(text) >= cap)
        return bad(what, text);
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool set_policy(struct rx_grant *grant, const struct options *o)
{
    grant->readable = o->readable;
    grant->no_pty = o->no_pty;
    grant->max_commands = o->max_commands;
    return set_users(grant, &o->users) && set_sources(grant, &o->sources) &&
           set_text(grant->name, sizeof grant->name, o->principal, "a name has 1 to 64 bytes") &&
           set_text(grant->command, sizeof grant->command, o->forced,
                    "a command has 1 to 1000 bytes") &&
           (o->expires == NULL || set_time(o->expires, &grant->expires)) &&
           (o->not_before == NULL || set_time(o->not_before, &grant->not_before));
}

/* The keys for one server; the client's own key is gone afterwards. */
static bool set_keys(struct rx_grant *grant, const char *path, const char *server)
{
    struct rx_key key;
    struct rx_failure failure;
    if (!keyfile_read(path, &key, &failure)) {
        if (access(path, F_OK) != 0)
            rx_failure_todo(&failure, "give the key's file first, then the server's name; "
                                      "`rexec keygen` makes a key");
        report_failure(NULL, &failure);
        return false;
    }
    enum rx_error error = rx_server_name_fold(server, strlen(server), grant->server);
    if (error == RX_OK)
        error = rx_grant_keys_derive(key.psk, server, &grant->keys);
    rx_key_wipe(&key);
    return error == RX_OK || bad(rx_error_text(error), server);
}

/* Who can read the grant can be this client to that server. */
static void warn_of_readers(const struct options *o)
{
    struct stat status;
    if (!o->quiet && fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        note(NULL, "the file that this grant goes to can be read by others; chmod 600 it");
}

static bool print_grant(const struct rx_grant *grant)
{
    char text[RX_GRANT_TEXT_MAX];
    size_t n;
    if (rx_grant_print(grant, text, sizeof text, &n) != RX_OK)
        return bad("what was given cannot stand in a grant (names, lengths, times)", NULL);
    bool done = print_all(text, n);
    sodium_memzero(text, sizeof text);
    return done;
}

int verb_grant(struct options *o)
{
    char path[PATH_MAX];
    if (o->word_count != 2) {
        report(NULL, "grant wants a key file and a server's name",
               "rexec grant [--name P] [--user U]... [--from CIDR]... KEY SERVER-NAME");
        return EXIT_REXEC;
    }
    if (!keyfile_expand(o->words[0], path)) {
        (void)bad("a path that is too long", NULL);
        return EXIT_REXEC;
    }
    if (sodium_init() < 0) {
        (void)bad(rx_error_text(RX_E_CRYPTO_FAILED), NULL);
        return EXIT_REXEC;
    }
    struct rx_grant grant = {0};
    bool done = set_policy(&grant, o) && set_keys(&grant, path, o->words[1]) && print_grant(&grant);
    rx_grant_wipe(&grant);
    if (done)
        warn_of_readers(o);
    return done ? 0 : print_status();
}
