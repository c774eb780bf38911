/* EXEC: whether it may, as whom, and what is spawned for it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/words.h"
#include "rexecd/log.h"
#include "rexecd/monitor_internal.h"
#include "rexecd/subsystem.h"

/* One EXEC on its way to a process. */
struct asked {
    struct monitor *m;
    struct session *s;
    const struct rx_message *message;
    const struct rx_exec *exec;
    const struct rx_grant *grant;
    struct rx_word directory; /* bytes NULL: none */
    const char *subsystem; /* its path; NULL: none was asked for, or the grant's command counts */
    size_t arguments;
    struct policy_refusal refusal;
};

/* ---- whether ---------------------------------------------------------------------------- */

/* At most once: an id that is known starts nothing, nor does one that may have been forgotten. */
static enum rx_error check_id(struct asked *a)
{
    const struct monitor *m = a->m;
    bool again = a->exec->age_ms != RX_ABSENT;
    enum ids_answer known = ids_find(m->ids, a->exec->id, a->s->kid);
    /* A result is kept for as long as its client may ask, its id may be forgotten before. */
    if (known != IDS_UNKNOWN || job_by_id(m, a->s->kid, a->exec->id) != NULL)
        return policy_refuse(&a->refusal, RX_E_DUPLICATE_ID,
                             "this command id was used before; the command was started once, and "
                             "is not started again");
    if (!again)
        return RX_OK;
    int64_t most = INT64_MAX / 1000;
    int64_t age_us = (a->exec->age_ms < most ? a->exec->age_ms : most) * 1000;
    if (a->s->answered_us - age_us <= ids_horizon(m->ids))
        return policy_refuse(&a->refusal, RX_E_FATE_UNKNOWN,
                             "the server may have started this command before and forgotten it; "
                             "look what it did, and send it anew");
    return RX_OK;
}

static enum rx_error check_limits(struct asked *a)
{
    const struct config *config = a->m->config;
    if (a->m->state != MONITOR_SERVING && a->m->state != MONITOR_STARTING)
        return policy_refuse(&a->refusal, RX_E_SHUTTING_DOWN, "%s",
                             rx_error_text(RX_E_SHUTTING_DOWN));
    if (a->s->running >= config->max_commands)
        return policy_refuse(&a->refusal, RX_E_LIMIT_REACHED,
                             "the limit of commands on one connection (%" PRIu32
                             ") is reached; wait until one "
                             "has ended",
                             a->s->running);
    if (a->m->command_count >= config->max_commands_total)
        return policy_refuse(&a->refusal, RX_E_LIMIT_REACHED,
                             "the server runs as many commands as it may; try again later");
    return RX_OK;
}

/* The grant as it is now: it may have been reloaded since the session began. */
static enum rx_error check_grant(struct asked *a)
{
    a->grant = session_grant(a->m, a->s);
    if (a->grant == NULL)
        return policy_refuse(&a->refusal, RX_E_NOT_PERMITTED,
                             "the grant has expired or was taken back; ask for a new one");
    return RX_OK;
}

/* ---- what ------------------------------------------------------------------------------- */

static void scan_words(struct asked *a)
{
    struct rx_word word;
    for (size_t at = 0; rx_words_next(a->message->body, a->message->body_len, &at, &word);) {
        a->arguments += word.kind == RX_WORD_ARGUMENT;
        if (word.kind == RX_WORD_DIRECTORY)
            a->directory = word;
    }
}

/* Of bytes behind which no NUL stands. */
static char *copy_bytes(const uint8_t *bytes, size_t n)
{
    char *copy = malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, bytes, n);
        copy[n] = '\0';
    }
    return copy;
}

/* A vector of strings in one block: `count` of them, `bytes` with all their NULs. */
static char **new_vector(size_t count, size_t bytes)
{
    char **argv = malloc((count + 1) * sizeof *argv + bytes);
    if (argv != NULL)
        argv[count] = NULL;
    return argv;
}

static char **vector_of(const char *const *strings, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(strings[i]) + 1;
    char **argv = new_vector(count, bytes);
    if (argv == NULL)
        return NULL;
    char *text = (char *)(argv + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(strings[i]) + 1;
        argv[i] = memcpy(text, strings[i], n);
        text += n;
    }
    return argv;
}

/* The client's own words. */
static char **vector_of_words(const struct asked *a)
{
    char **argv = new_vector(a->arguments, a->message->body_len);
    if (argv == NULL)
        return NULL;
    char *text = (char *)(argv + a->arguments + 1);
    struct rx_word word;
    size_t i = 0;
    for (size_t at = 0; rx_words_next(a->message->body, a->message->body_len, &at, &word);) {
        if (word.kind != RX_WORD_ARGUMENT)
            continue;
        argv[i++] = text;
        memcpy(text, word.bytes, word.len);
        text[word.len] = '\0';
        text += word.len + 1; /* a word's head in the body has 5 bytes */
    }
    return argv;
}

/* A subsystem's path, unless the grant's command runs in its place. */
static enum rx_error find_subsystem(struct asked *a)
{
    if (a->exec->run != RX_RUN_SUBSYSTEM || a->grant->command[0] != '\0')
        return RX_OK;
    struct rx_word word = {0};
    size_t at = 0;
    while (rx_words_next(a->message->body, a->message->body_len, &at, &word))
        if (word.kind == RX_WORD_ARGUMENT)
            break;
    a->subsystem = subsystem_path(a->m->config, word.bytes, word.len);
    if (a->subsystem != NULL)
        return RX_OK;
    char name[128];
    (void)log_escape(word.bytes, word.len, name, sizeof name);
    bool no_sftp = strcmp(name, "sftp") == 0 && subsystem_default(a->m->config);
    return policy_refuse(&a->refusal, RX_E_NO_SUCH_SUBSYSTEM,
                         no_sftp ? "%s: there is no sftp-server on the server; install it there "
                                   "(on Debian the package openssh-sftp-server)"
                                 : "%s: the server has no such subsystem; see subsystem in "
                                   "rexecd.conf(5) there",
                         name);
}

/* What was asked for, its words with spaces between. NULL: no memory. */
static char *original_command(const struct asked *a)
{
    char **words = vector_of_words(a);
    if (words == NULL)
        return NULL;
    char *text = calloc(1, a->message->body_len + 1);
    size_t at = 0;
    for (size_t i = 0; text != NULL && i < a->arguments; i++) {
        size_t n = strlen(words[i]);
        if (i > 0)
            text[at++] = ' ';
        memcpy(text + at, words[i], n);
        at += n;
    }
    free((void *)words);
    return text;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* argv and file: the shell, or the words as they are. 0, or -1 without memory. */
static int plan_words(const struct asked *a, struct spawn_plan *plan)
{
    const char *shell = plan->user.shell;
    char zero[256];
    if (a->grant->command[0] == '\0' && a->exec->run == RX_RUN_EXEC) {
        plan->argv = vector_of_words(a);
        plan->file = plan->argv != NULL ? strdup(plan->argv[0]) : NULL;
        return plan->file != NULL ? 0 : -1;
    }
    plan->file = strdup(shell);
    bool login = a->grant->command[0] == '\0' && a->exec->run == RX_RUN_LOGIN;
    (void)snprintf(zero, sizeof zero, "%s%s", login ? "-" : "", base_name(shell));
    char *line = NULL;
    if (a->grant->command[0] != '\0') {
        line = strdup(a->grant->command);
    } else if (a->subsystem != NULL) {
        line = strdup(a->subsystem);
    } else if (!login) {
        char **words = vector_of_words(a);
        line = words != NULL ? strdup(words[0]) : NULL;
        free((void *)words);
    }
    if (login || line != NULL) {
        const char *const strings[] = {zero, "-c", line};
        plan->argv = vector_of(strings, login ? 1 : 3);
    }
    free(line);
    return plan->file != NULL && plan->argv != NULL ? 0 : -1;
}

static enum rx_error plan_environment(struct asked *a, struct spawn_plan *plan)
{
    const struct config *config = a->m->config;
    bool forced = a->grant->command[0] != '\0';
    const struct environment_policy policy = {
        .patterns = (const char *const *)config->accept_env.items,
        .pattern_count = config->accept_env.count,
        .path = config->path,
        .terminal = plan->pty != NULL ? plan->pty->name : NULL,
        .term = plan->pty != NULL ? a->exec->pty.term : NULL,
        .forced = forced,
    };
    char peer[RX_SOURCE_TEXT_MAX], connection[RX_SOURCE_TEXT_MAX + 8];
    struct environment_name which = {0};
    (void)rx_source_print(&a->s->peer, peer);
    (void)snprintf(connection, sizeof connection, "%s %u", peer, (unsigned)a->s->port);
    char *original = forced ? original_command(a) : NULL;
    enum environment_result result =
        forced && original == NULL
            ? ENVIRONMENT_NO_MEMORY
            : environment_build(&plan->environment, &policy, &plan->user, connection, original,
                                a->message->body, a->message->body_len, &which);
    free(original);
    char name[128];
    switch (result) {
    case ENVIRONMENT_OK:
        return RX_OK;
    case ENVIRONMENT_NOT_ACCEPTED:
        (void)log_escape(which.bytes, which.n, name, sizeof name);
        return policy_refuse(
            &a->refusal, RX_E_NOT_PERMITTED,
            "the server does not accept the environment variable %s; leave it out, or see accept_env "
            "in rexecd.conf(5)",
            name);
    case ENVIRONMENT_TOO_MANY:
        return policy_refuse(&a->refusal, RX_E_TOO_LONG, "more than %d environment variables",
                             (int)ENVIRONMENT_MAX);
    case ENVIRONMENT_NO_MEMORY:
        break;
    }
    return policy_refuse(&a->refusal, RX_E_NO_RESOURCES, "out of memory");
}

static enum rx_error plan_terminal(struct asked *a, struct spawn_plan *plan)
{
    if (!a->exec->pty.wanted)
        return RX_OK;
    plan->pty = pty_new(&a->exec->pty, &plan->user, plan->become);
    if (plan->pty != NULL)
        return RX_OK;
    return policy_refuse(&a->refusal, RX_E_NO_TERMINAL,
                         "the server cannot make a terminal: %s; leave it out (-T), or try again "
                         "later",
                         strerror(errno));
}

static void plan_limits(const struct rx_limits *asked, struct spawn_plan *plan)
{
    const struct {
        int64_t value;
        int resource;
    } limits[] = {
        /* Processor time is limited in whole seconds. */
        {asked->cpu_ms == RX_ABSENT ? RX_ABSENT : (asked->cpu_ms + 999) / 1000, RLIMIT_CPU},
        {asked->memory, RLIMIT_AS},
        {asked->files, RLIMIT_NOFILE},
        {asked->processes, RLIMIT_NPROC},
        {asked->file_size, RLIMIT_FSIZE},
        {asked->core, RLIMIT_CORE},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].value == RX_ABSENT)
            continue;
        plan->limits[plan->limit_count].resource = limits[i].resource;
        plan->limits[plan->limit_count].value = (rlim_t)limits[i].value;
        plan->limit_count++;
    }
}

/* Who, by the data base of users; an ordinary user's daemon has looked itself up at its start and
 * *account stays NULL. */
static enum rx_error plan_user(struct asked *a, const char *name, struct spawn_plan *plan,
                               const struct account **account)
{
    enum user_result result = USER_FOUND;
    if (a->m->host.root)
        result = accounts_find(a->m->accounts, name, rising_us(), account);
    if (result == USER_FOUND)
        result = user_copy(*account != NULL ? &(*account)->user : &a->m->self, &plan->user);
    plan->become = a->m->host.root;
    if (result == USER_FOUND)
        return RX_OK;
    if (result == USER_UNKNOWN)
        return policy_refuse(&a->refusal, RX_E_NO_SUCH_USER,
                             "there is no user %s on the server; choose another with -l", name);
    return policy_refuse(&a->refusal, RX_E_NO_RESOURCES, "the user %s cannot be looked up: %s",
                         name, strerror(errno));
}

/* What the user's own account permits: --exec must not be a way around a shell that lets nobody in.
 */
static enum rx_error check_account(struct asked *a, const struct account *account)
{
    const struct user *user = &account->user;
    bool around_shell = a->exec->run == RX_RUN_EXEC && a->grant->command[0] == '\0';
    if (account->expired)
        return policy_refuse(&a->refusal, RX_E_NOT_PERMITTED,
                             "the account of the user %s has expired; choose another with -l",
                             user->name);
    if (around_shell && user->uid != 0 && !a->m->config->any_shell && !account->listed)
        return policy_refuse(&a->refusal, RX_E_NOT_PERMITTED,
                             "the user %s is not one to log in as, whose shell %s is not in "
                             "/etc/shells; choose another with -l, or see any_shell in "
                             "rexecd.conf(5)",
                             user->name, user->shell);
    return RX_OK;
}

static enum rx_error make_plan(struct asked *a, const char *user, struct spawn_plan *plan)
{
    const struct account *account = NULL;
    enum rx_error error = plan_user(a, user, plan, &account);
    if (error == RX_OK && account != NULL)
        error = check_account(a, account);
    if (error == RX_OK)
        error = plan_terminal(a, plan);
    if (error == RX_OK)
        error = plan_environment(a, plan);
    if (error != RX_OK)
        return error;
    if (a->directory.bytes != NULL)
        plan->directory = copy_bytes(a->directory.bytes, a->directory.len);
    if (plan_words(a, plan) < 0 || (a->directory.bytes != NULL && plan->directory == NULL))
        return policy_refuse(&a->refusal, RX_E_NO_RESOURCES, "out of memory");
    plan->no_stdin = a->exec->input == RX_INPUT_NONE;
    plan_limits(&a->exec->limits, plan);
    return RX_OK;
}

/* ---- starting --------------------------------------------------------------------------- */

static uint32_t bounded_ms(int64_t asked, uint32_t otherwise)
{
    if (asked == RX_ABSENT)
        return otherwise;
    return asked < UINT32_MAX ? (uint32_t)asked : UINT32_MAX;
}

/* What the command's end will need of the request. 0, or -1 without memory. */
static int fill_command(const struct asked *a, const char *user, struct job *c)
{
    const struct rx_exec *exec = a->exec;
    c->stream = a->message->stream;
    c->run = exec->run;
    c->linger_ms = bounded_ms(exec->linger_ms, a->m->config->linger);
    if (c->linger_ms > a->m->config->linger_max)
        c->linger_ms = a->m->config->linger_max;
    c->drain_ms = bounded_ms(exec->drain_ms, a->m->config->drain);
    c->timeout_ms = exec->timeout_ms != RX_ABSENT ? exec->timeout_ms : 0;
    c->output_limit = exec->limits.output != RX_ABSENT ? (uint64_t)exec->limits.output : 0;
    c->cpu_seconds = exec->limits.cpu_ms != RX_ABSENT ? (exec->limits.cpu_ms + 999) / 1000 : -1;
    c->label = exec->label[0] != '\0' ? strdup(exec->label) : NULL;
    c->user = strdup(user);
    if (a->grant->command[0] != '\0')
        c->forced = strdup(a->grant->command);
    if (a->message->body_len > 0) {
        c->words = malloc(a->message->body_len);
        if (c->words == NULL)
            return -1;
        memcpy(c->words, a->message->body, a->message->body_len);
        c->words_len = a->message->body_len;
    }
    return c->user != NULL && (a->grant->command[0] == '\0' || c->forced != NULL) ? 0 : -1;
}

static enum rx_error start(struct asked *a, const char *user)
{
    struct monitor *m = a->m;
    struct spawn_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return policy_refuse(&a->refusal, RX_E_NO_RESOURCES, "out of memory");
    plan->cgroup = -1;
    enum rx_error error = make_plan(a, user, plan);
    if (error == RX_OK && !quota_take(m->quota, a->s->kid, a->grant->max_commands))
        error =
            policy_refuse(&a->refusal, RX_E_LIMIT_REACHED,
                          "the grant's limit of commands at once (%u) is reached; wait until one "
                          "has ended",
                          a->grant->max_commands);
    if (error != RX_OK) {
        spawn_plan_free(plan);
        return error;
    }
    struct job *c = job_new(m, a->s, a->exec->id);
    if (c == NULL) {
        quota_give(m->quota, a->s->kid);
        spawn_plan_free(plan);
        return policy_refuse(&a->refusal, RX_E_NO_RESOURCES, "out of memory");
    }
    plan->cgroup = cgroups_take(m->cgroups, &c->cgroup);
    /* As root or as the daemon's own user it could change what it is in. */
    c->cgroup_safe = plan->become && plan->user.uid != 0;
    if (m->cgroups != NULL && c->cgroup == 0 && monitor_may_say(m))
        log_warning("a command has no cgroup of its own: %s", strerror(errno));
    c->start_us = wall_us();
    struct spawn_failure failure = {SPAWN_STEP_PREPARE, ENOMEM};
    if (fill_command(a, user, c) < 0 || ids_add(m->ids, c->id, a->s->kid, rising_us()) < 0)
        spawn_plan_free(plan);
    else if (spawn_begin(plan, &c->spawn, &failure) == 0) {
        job_set_state(c, JOB_STARTING);
        a->s->commands_total++;
        job_watch(c);
        event_active(m->on_idle, EV_TIMEOUT, 0);
        return RX_OK;
    } else
        ids_remove(m->ids, c->id);
    cgroups_give(m->cgroups, c->cgroup, true);
    job_free(c);
    return policy_refuse(&a->refusal, RX_E_NO_RESOURCES,
                         "the server cannot start the command now: %s; try again later",
                         strerror(failure.error));
}

const char *exec_run_name(enum rx_run run)
{
    static const char *const runs[] = {
        [RX_RUN_SHELL] = "shell",
        [RX_RUN_EXEC] = "exec",
        [RX_RUN_LOGIN] = "login",
        [RX_RUN_SUBSYSTEM] = "subsystem",
    };
    return runs[run];
}

enum { REFUSALS_TOLD = 1000 };

static void record_refusal(const struct asked *a, const char *user)
{
    /* Who only asks must not fill the disk. */
    if (a->s->refusals++ >= REFUSALS_TOLD && !monitor_may_say(a->m))
        return;
    struct audit_command r = {
        .run = exec_run_name((enum rx_run)a->exec->run),
        .user = user,
        .words = a->message->body,
        .words_len = a->message->body_len,
        .label = a->exec->label[0] != '\0' ? a->exec->label : NULL,
        .refused = rx_error_name(a->refusal.error),
        .text = a->refusal.text,
    };
    memcpy(r.id, a->exec->id, sizeof r.id);
    session_who(a->s, &r.who);
    audit_command(a->m->audit, &r);
    log_info("%s: refused: %s", session_label(a->s), a->refusal.text);
}

void exec_request(struct monitor *m, struct session *s, const struct rx_message *message,
                  const struct rx_exec *exec)
{
    struct asked a = {.m = m, .s = s, .message = message, .exec = exec};
    const char *user = NULL;
    scan_words(&a);
    if (exec->age_ms != RX_ABSENT && exec_known(m, s, exec->id)) {
        exec_again(m, s, message->stream, exec->id);
        return;
    }
    enum rx_error error = check_id(&a);
    if (error == RX_OK)
        error = check_limits(&a);
    if (error == RX_OK)
        error = check_grant(&a);
    if (error == RX_OK)
        error = policy_exec(&m->host, a.grant, exec, a.directory.bytes != NULL, &user, &a.refusal);
    if (error == RX_OK)
        error = find_subsystem(&a);
    if (error == RX_OK)
        error = start(&a, user);
    if (error == RX_OK)
        return;
    record_refusal(&a, user);
    refuse(m, s, message->stream, true, error, a.refusal.text, RX_ABSENT);
}

enum { SHOWN_MAX = 200 }; /* of a word, in a refusal */

/* ---- when it did not start -------------------------------------------------------------- */

/* The first word of a kind, as a person may see it; "" if there is none. */
static const char *shown_word(const struct job *c, enum rx_word_kind kind,
                              char out[static SHOWN_MAX])
{
    size_t at = 0;
    struct rx_word word;
    out[0] = '\0';
    while (rx_words_next(c->words, c->words_len, &at, &word)) {
        if (word.kind == kind) {
            (void)log_escape(word.bytes, word.len, out, SHOWN_MAX);
            break;
        }
    }
    return out;
}

static enum rx_error failure_of(const struct job *c, struct policy_refusal *refusal)
{
    char shown[SHOWN_MAX];
    const char *why = strerror(c->failure.error);
    int error = c->failure.error;
    bool exec = c->run == RX_RUN_EXEC && c->forced == NULL;
    switch ((enum spawn_step)c->failure.step) {
    case SPAWN_STEP_DIRECTORY:
        if (shown_word(c, RX_WORD_DIRECTORY, shown)[0] == '\0')
            (void)snprintf(shown, sizeof shown, "the user's home directory");
        return policy_refuse(refusal, RX_E_NO_SUCH_DIRECTORY, "%s: %s", shown, why);
    case SPAWN_STEP_EXECUTE:
        if (error == E2BIG)
            return policy_refuse(refusal, RX_E_TOO_LONG,
                                 "the command and its environment are too long for the system");
        if (error == EAGAIN || error == ENOMEM)
            break;
        if (error == ENOENT && exec)
            return policy_refuse(refusal, RX_E_COMMAND_NOT_FOUND,
                                 "%s, or the interpreter that it names",
                                 shown_word(c, RX_WORD_ARGUMENT, shown));
        return policy_refuse(refusal, RX_E_CANNOT_EXECUTE, "%s cannot be executed: %s",
                             exec ? "the command" : "the user's shell", why);
    case SPAWN_STEP_USER:
    case SPAWN_STEP_LIMITS:
    case SPAWN_STEP_CAPABILITIES:
        return policy_refuse(refusal, RX_E_NOT_PERMITTED,
                             "the server cannot give the command its %s: %s",
                             spawn_step_name((enum spawn_step)c->failure.step), why);
    default:
        break;
    }
    return policy_refuse(refusal, RX_E_NO_RESOURCES,
                         "the server cannot start the command now (%s: %s); try again later",
                         spawn_step_name((enum spawn_step)c->failure.step), why);
}

void exec_start_failed(struct monitor *m, const struct job *c)
{
    struct policy_refusal refusal;
    enum rx_error error = failure_of(c, &refusal);
    log_info("%s: command %llu as %s: not started: %s: %s", session_label(c->session),
             (unsigned long long)c->number, c->user, rx_error_name(error), refusal.text);
    refuse(m, c->session, c->stream, true, error, refusal.text, RX_ABSENT);
}
