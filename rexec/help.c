/* rexec help, rexec --version. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rexec/buffer.h"
#include "rexec/option_list.h"
#include "rexec/report.h"
#include "rexec/verbs.h"

static const char head[] =
    "usage: rexec [OPTION...] [USER@]HOST [COMMAND...]\n"
    "       rexec VERB [OPTION...] [ARGUMENT...]\n"
    "\n"
    "Runs COMMAND on HOST by the user's shell there (the login shell without COMMAND)\n"
    "and ends as it ends: with its exit status, 128 + N where signal N killed it,\n"
    "255 where rexec itself failed. HOST is a name, an address or unix:PATH.\n"
    "\n"
    "  run HOST COMMAND...   the same, for a host that is named like a verb\n"
    "  keygen [FILE]         make a key (~/.config/rexec/key)\n"
    "  grant KEY NAME        print what server NAME is to store of the key\n"
    "  ping HOST             round trips, clock, version\n"
    "  batch HOST            run each line of stdin, all over one connection\n"
    "  lesson [NAME]         see how it works, and fails, live: lesson sticky, handshake\n"
    "  trace FILE            draw what --trace has written down\n"
    "  probe HOST            try attacks on a server; --serve: on a client\n"
    "  help                  print this\n"
    "\n"
    "options:\n";

static const char tail[] =
    "\nssh's -12ACIKMPSXYZacgkmxy and its -o settings without a meaning here are ignored,\n"
    "its tunnels (-DJLRWw) are refused.\n";

static bool add_option(struct buffer *text, const struct option_rule *rule)
{
    char option[64];
    char line[160];
    const char *value = rule->argument != NULL ? rule->argument : "";
    if (rule->letter != 0 && rule->name != NULL) {
        (void)snprintf(option, sizeof option, "-%c, --%s %s", rule->letter, rule->name, value);
    } else if (rule->letter != 0) {
        (void)snprintf(option, sizeof option, "-%c %s", rule->letter, value);
    } else {
        (void)snprintf(option, sizeof option, "    --%s %s", rule->name, value);
    }
    int n = snprintf(line, sizeof line, "  %-26s %s\n", option, rule->help);
    return n > 0 && buffer_add(text, line, strlen(line));
}

int verb_help(void)
{
    static const struct {
        unsigned verb;
        const char *title;
    } sections[] = {
        {VERB_RUN, ""},
        {VERB_PING, "only ping:\n"},
        {VERB_BATCH, "only batch:\n"},
        {VERB_TRACE, "only lesson and trace:\n"},
        {VERB_LESSON, "only lesson:\n"},
        {VERB_PROBE, "only probe:\n"},
        {VERB_KEYGEN, "only keygen:\n"},
        {VERB_GRANT, "only grant:\n"},
    };
    struct buffer text = {0};
    bool done = buffer_add(&text, head, strlen(head));
    unsigned shown = 0;
    for (size_t s = 0; s < sizeof sections / sizeof sections[0] && done; s++) {
        done = buffer_add(&text, sections[s].title, strlen(sections[s].title));
        for (size_t i = 0; option_list[i].option != OPTION_NONE && done; i++) {
            if (option_list[i].help != NULL && (option_list[i].verbs & sections[s].verb) != 0 &&
                (option_list[i].verbs & shown) == 0)
                done = add_option(&text, &option_list[i]);
        }
        shown |= sections[s].verb;
    }
    done = done && buffer_add(&text, tail, strlen(tail)) && print_all(text.bytes, text.n);
    buffer_clear(&text);
    return done ? 0 : print_status();
}

int verb_version(const struct options *o)
{
    static const char text[] = "rexec " REXEC_VERSION ", protocol 1\n";
    if (o->verb == VERB_SSH_VERSION) /* programs look for ssh's on stderr */
        return write_all(STDERR_FILENO, text, strlen(text)) ? 0 : EXIT_REXEC;
    return print_all(text, strlen(text)) ? 0 : print_status();
}
