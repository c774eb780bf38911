/* rexec -Q and -O: what programs ask ssh about itself. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rexec/report.h"
#include "rexec/verbs.h"

int verb_query(const struct options *o)
{
    /* What there is of each kind; there is none of the kinds with an empty list. */
    static const struct {
        const char *what, *list;
    } answers[] = {
        {"help", "cipher\ncipher-auth\nkex\nkey\nmac\nprotocol-version\nsig\n"},
        {"cipher", "aes256gcm\nchacha20poly1305\nhmac-sha256\n"},
        {"ciphers", "aes256gcm\nchacha20poly1305\nhmac-sha256\n"},
        {"cipher-auth", "aes256gcm\nchacha20poly1305\n"},
        {"compression", "none\n"},
        {"kex", "x25519-psk\n"},
        {"kexalgorithms", "x25519-psk\n"},
        {"mac", "hmac-sha256\n"},
        {"macs", "hmac-sha256\n"},
        {"protocol-version", "1\n"},
        {"key", ""},
        {"key-cert", ""},
        {"key-plain", ""},
        {"key-sig", ""},
        {"kex-gss", ""},
        {"sig", ""},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (strcasecmp(o->query, answers[i].what) == 0)
            return print_all(answers[i].list, strlen(answers[i].list)) ? 0 : print_status();
    }
    char what[128];
    (void)snprintf(what, sizeof what, "-Q does not know %.64s", o->query);
    report(NULL, what, "see what it knows with -Q help");
    return EXIT_REXEC;
}

/* As ssh answers where no master runs. */
int verb_control(const struct options *o)
{
    static const char *const commands[] = {"check", "stop", "exit", "forward", "cancel", "proxy"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(o->query, commands[i]) == 0) {
            report(NULL, "no master is running (-O): each rexec has a connection of its own",
                   "rexec batch runs many commands over one");
            return EXIT_REXEC;
        }
    }
    report(NULL, "-O knows check, stop and exit, and no other word", "see rexec(1)");
    return EXIT_REXEC;
}
