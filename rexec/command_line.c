#include "rexec/command_line.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/words.h"

static size_t lengths(char *const *words, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += strlen(words[i]) + RX_WORD_HEAD;
    return n;
}

/* ssh's way: one line, a space between two words. */
static enum rx_error add_line(struct request *request, size_t cap, char *const *words, size_t count)
{
    char *line = malloc(lengths(words, count) + 1);
    if (line == NULL)
        return RX_E_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(words[i]);
        if (i > 0)
            line[n++] = ' ';
        memcpy(line + n, words[i], length);
        n += length;
    }
    enum rx_error error =
        rx_words_add(request->words, cap, &request->words_len, RX_WORD_ARGUMENT, line, n);
    free(line);
    return error;
}

static enum rx_error add(struct request *request, size_t cap, enum rx_word_kind kind,
                         const char *word)
{
    return rx_words_add(request->words, cap, &request->words_len, kind, word, strlen(word));
}

static enum rx_error add_all(struct request *request, size_t cap, const struct options *o,
                             size_t wanted, char *const *words, size_t count)
{
    enum rx_error error = RX_OK;
    if (request->exec.run == RX_RUN_SHELL || request->exec.run == RX_RUN_SUBSYSTEM)
        error = add_line(request, cap, words, count);
    for (size_t i = 0; i < count && request->exec.run == RX_RUN_EXEC && error == RX_OK; i++)
        error = add(request, cap, RX_WORD_ARGUMENT, words[i]);
    /* First what may be dropped: of one name, the later counts. */
    for (size_t i = 0; i < wanted && error == RX_OK; i++)
        error = add(request, cap, RX_WORD_WANTED, o->wanted.list[i]);
    for (size_t i = 0; i < o->environment.count && error == RX_OK; i++)
        error = add(request, cap, RX_WORD_ENVIRONMENT, o->environment.list[i]);
    if (o->directory != NULL && error == RX_OK)
        error = add(request, cap, RX_WORD_DIRECTORY, o->directory);
    return error;
}

static void copy_text(char *out, size_t cap, const char *text)
{
    (void)snprintf(out, cap, "%s", text != NULL ? text : "");
}

static int run_of(const struct options *o, size_t count)
{
    if (o->session == SESSION_SUBSYSTEM)
        return RX_RUN_SUBSYSTEM;
    if (count == 0)
        return RX_RUN_LOGIN;
    return o->exec ? RX_RUN_EXEC : RX_RUN_SHELL;
}

/* How many of the variables that may be dropped there is room for behind *cap bytes. */
static size_t room_for_wanted(const struct options *o, size_t *cap)
{
    size_t i = 0;
    for (; i < o->wanted.count; i++) {
        size_t more = strlen(o->wanted.list[i]) + RX_WORD_HEAD;
        if (*cap + more > RX_WORDS_MAX)
            break;
        *cap += more;
    }
    return i;
}

bool request_make(struct request *request, const struct options *o, const char *user,
                  char *const *words, size_t count, struct rx_failure *failure)
{
    struct rx_header h;
    rx_header_init(RX_EXEC, &h);
    *request = (struct request){.exec = h.exec};
    struct rx_exec *exec = &request->exec;
    randombytes_buf(exec->id, sizeof exec->id);
    exec->run = run_of(o, count);
    exec->input = RX_INPUT_NONE;
    if (o->timeout_ms > 0)
        exec->timeout_ms = o->timeout_ms;
    /* Else the server's own time counts. */
    if (settings_get(&o->settings, SETTING_LINGER) != NULL || settings_linger_ms(&o->settings) == 0)
        exec->linger_ms = settings_linger_ms(&o->settings);
    copy_text(exec->user, sizeof exec->user, user);
    copy_text(exec->label, sizeof exec->label, o->label);
    if (exec->run == RX_RUN_EXEC && words[0][0] == '\0') {
        rx_failure_set(failure, RX_TROUBLE_COMMAND, "the command's name is empty");
        rx_failure_todo(failure, "name the program to run behind the host");
        return false;
    }

    size_t cap = lengths(words, count) + RX_WORD_HEAD;
    for (size_t i = 0; i < o->environment.count; i++)
        cap += strlen(o->environment.list[i]) + RX_WORD_HEAD;
    if (o->directory != NULL)
        cap += strlen(o->directory) + RX_WORD_HEAD;
    if (cap > RX_WORDS_MAX + RX_WORD_HEAD) {
        rx_failure_set(failure, RX_TROUBLE_COMMAND,
                       "the command and its environment have %zu bytes, more than the %d that can "
                       "be sent",
                       cap, RX_WORDS_MAX);
        rx_failure_todo(failure, "send the data by stdin instead");
        return false;
    }
    size_t wanted = room_for_wanted(o, &cap);
    request->words = malloc(cap);
    enum rx_error error =
        request->words != NULL ? add_all(request, cap, o, wanted, words, count) : RX_E_NO_MEMORY;
    if (error == RX_OK)
        return true;
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s", rx_error_text(error));
    return false;
}

void request_clear(struct request *request)
{
    free(request->words);
    request->words = NULL;
}
