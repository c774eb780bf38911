/* rexec probe HOST: does a server withstand what others did not? --serve PORT: does a client? */
#include "rexec/probe.h"

#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/handshake_layout.h"
#include "rexec/driver.h"
#include "rexec/keyfile.h"
#include "rexec/probe_report.h"
#include "rexec/probe_serve.h"
#include "rexec/report.h"
#include "rexec/resolve.h"
#include "rexec/verbs.h"

enum { PATIENCE = 10000, EXIT_FAILED = 1, EXIT_UNTRIED = 2 };

/* ---- what a check finds ----------------------------------------------------------------- */

static void find(struct probe *p, enum probe_result result, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

static void find(struct probe *p, enum probe_result result, const char *format, va_list list)
{
    if (!probe_good(p))
        return;
    p->finding.result = result;
    (void)vsnprintf(p->finding.text, sizeof p->finding.text, format, list);
}

bool probe_fail(struct probe *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    find(p, PROBE_FAILED, format, list);
    va_end(list);
    return false;
}

bool probe_skip(struct probe *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    find(p, PROBE_SKIPPED, format, list);
    va_end(list);
    return false;
}

void probe_tell(struct probe *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    find(p, PROBE_TOLD, format, list);
    va_end(list);
}

/* splitmix64: good enough to choose samples by, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned probe_pick(struct probe *p, unsigned n)
{
    return (unsigned)(next_random(&p->random) % n);
}

/* ---- which checks ----------------------------------------------------------------------- */

static const struct probe_check *const against_servers[] = {
    probe_open_checks,    probe_proof_checks, probe_record_checks,
    probe_message_checks, probe_last_checks,  NULL};

static const struct probe_check *const against_clients[] = {probe_serve_proofs, probe_serve_records,
                                                            NULL};

/* Whether a name is in a list with commas; *used counts those that were found. */
static bool is_named(const char *name, const char *only)
{
    size_t n = strlen(name);
    for (const char *at = only; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

/* The checks that were asked for. False: there is none of a name; reported. */
static bool choose(struct probe_run *run, const struct probe_options *o)
{
    const struct probe_check *const *lists = o->serve != NULL ? against_clients : against_servers;
    size_t wanted = 1;
    for (; *lists != NULL; lists++) {
        for (const struct probe_check *c = *lists; c->name != NULL; c++) {
            if ((o->only == NULL || is_named(c->name, o->only)) && run->count < PROBE_CHECKS_MAX)
                run->checks[run->count++] = c;
        }
    }
    for (const char *at = o->only; at != NULL && *at != '\0'; at++)
        wanted += *at == ',';
    if (o->only == NULL || run->count == wanted)
        return true;
    report(NULL, "not every name behind --only is a check's, or one is there twice",
           "see `rexec probe --list`");
    return false;
}

/* ---- what all checks stand on ----------------------------------------------------------- */

/* A key is used if there is one; one that was named must be there. */
static bool read_key(struct probe *p, struct options *o, struct rx_failure *failure)
{
    struct rx_key key;
    bool needed = settings_get(&o->settings, SETTING_KEY) != NULL || o->probe.serve != NULL;
    randombytes_buf(&p->keys, sizeof p->keys);
    if (o->probe.keyless && o->probe.serve == NULL)
        return true;
    if (!needed && access(o->key_path, F_OK) != 0)
        return true;
    if (!keyfile_read(o->key_path, &key, failure))
        return false;
    p->keyed = rx_grant_keys_derive(key.psk, p->server_name, &p->keys) == RX_OK;
    rx_key_wipe(&key);
    if (p->keyed)
        return true;
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s is no server's name", p->server_name);
    rx_failure_todo(failure, "give it with -o HostKeyAlias=NAME");
    return false;
}

static bool prepare(struct probe *p, struct options *o, struct rx_failure *failure)
{
    if (!options_resolve(o, failure))
        return false;
    const struct settings *s = &o->settings;
    const char *name = settings_get(s, SETTING_NAME), *suite = settings_get(s, SETTING_SUITE);
    long timeout = settings_seconds(s, SETTING_TIMEOUT);
    p->server_name = name != NULL ? name : o->host;
    p->patience = timeout > 0 && timeout < INT_MAX / 1000 ? (int)timeout * 1000 : PATIENCE;
    p->suites =
        (uint8_t)(suite != NULL ? rx_suite_by_name(suite) : rx_suites_here() & RX_SUITES_SEALED);
    p->random = p->seed;
    return read_key(p, o, failure);
}

/* An M2 for a right M1. False, with why not: whatever listens there is no rexecd. */
static bool is_rexec(struct probe *p, char why[static PROBE_TEXT])
{
    struct session s;
    session_begin(p, &s);
    bool came = wire_open(p, &s.wire);
    if (came)
        wire_send(&s.wire, s.m1, sizeof s.m1);
    size_t n = came ? wire_take(&s.wire, s.m2, sizeof s.m2) : 0;
    bool good = n == sizeof s.m2 && handshake_is(s.m2, TYPE_M2);
    if (!good && came)
        (void)snprintf(why, PROBE_TEXT, "not a rexec server: %s",
                       n > 0                ? "it answers something else"
                       : wire_over(&s.wire) ? "it closes without an answer"
                                            : "it does not answer");
    uint8_t proof[RX_HASH_SIZE];
    p->doubted = good && p->keyed &&
                 (handshake_proof(p->keys.server_auth, s.m1, s.m2, proof) != RX_OK ||
                  sodium_memcmp(proof, s.m2 + M2_PROOF, sizeof proof) != 0);
    session_end(&s);
    p->finding.result = PROBE_PASSED;
    return good;
}

/* The first address that somebody listens at. */
static bool find_server(struct probe *p, struct options *o, struct rx_failure *failure)
{
    const char *port = settings_get(&o->settings, SETTING_PORT);
    char default_port[8];
    struct rx_addresses found;
    (void)snprintf(default_port, sizeof default_port, "%d", RX_PORT_DEFAULT);
    if (!rx_address_find(o->hostname, port != NULL ? port : default_port, o->family, &found,
                         failure))
        return false;
    for (size_t i = 0; i < found.count; i++) {
        struct wire w;
        p->address = found.list[i];
        p->finding = (struct probe_finding){.result = PROBE_PASSED};
        bool open = wire_open(p, &w);
        wire_close(&w);
        rx_address_text(&p->address, p->address_text);
        if (open)
            return true;
    }
    rx_failure_set(failure, RX_TROUBLE_REFUSED, "%s: %s", p->address_text, p->finding.text);
    rx_failure_todo(failure, "check the host, the port, and that rexecd runs there");
    return false;
}

/* ---- the run ---------------------------------------------------------------------------- */

/* To a key without a grant, a server is as to none: it must not be told by what follows, too. */
static bool doubt(struct probe *p, const struct probe_check *c)
{
    if (strcmp(c->name, "server_proof") != 0)
        return probe_skip(p, "the server does not prove itself to this key");
    return probe_fail(
        p,
        "M2's proof is wrong: it has no grant of this key under the name %.60s, or is another server",
        p->server_name);
}

static void run_one(struct probe *p, const struct probe_check *c)
{
    int64_t from = wire_now();
    p->finding = (struct probe_finding){.result = PROBE_PASSED};
    p->random = p->seed;
    for (const char *at = c->name; *at != '\0'; at++) /* the same alone as among others */
        p->random = p->random * 131 + (unsigned char)*at;
    if ((c->needs & PROBE_NEEDS_KEY) != 0 && !p->keyed)
        (void)probe_skip(p, "it needs a key");
    else if ((c->needs & PROBE_NEEDS_KEY) != 0 && p->doubted)
        (void)doubt(p, c);
    else if ((c->needs & PROBE_NEEDS_TIME) != 0 && p->options->probe.slow == 0)
        (void)probe_skip(p, "it needs --slow");
    else
        c->run(p);
    p->finding.seconds = (double)(wire_now() - from) / 1e3;
}

static int run_all(struct probe *p, struct probe_run *run)
{
    bool failed = false, passed = false;
    probe_report_begin(run);
    for (size_t i = 0; i < run->count && !run->lost; i++) {
        run_one(p, run->checks[i]);
        run->findings[i] = p->finding;
        run->done = i + 1;
        failed = failed || p->finding.result == PROBE_FAILED;
        passed = passed || p->finding.result == PROBE_PASSED;
        probe_report_one(run);
    }
    probe_report_end(run);
    if (run->lost)
        return print_status();
    return failed ? EXIT_FAILED : passed ? 0 : EXIT_UNTRIED;
}

static int probe_server(struct probe *p, struct options *o, struct probe_run *run)
{
    struct rx_failure failure;
    char why[PROBE_TEXT] = "not a rexec server";
    if (!find_server(p, o, &failure)) {
        report_failure(o->host, &failure);
        probe_report_abort(run, failure.what);
        return EXIT_REXEC;
    }
    if (!is_rexec(p, why)) {
        report(o->host, why, "check the host and the port");
        probe_report_abort(run, why);
        return EXIT_UNTRIED;
    }
    char target[RX_ADDRESS_TEXT + 300];
    (void)snprintf(target, sizeof target, "%.255s (%s)%s", o->host, p->address_text,
                   p->keyed ? "" : ", without a key");
    run->target = target;
    return run_all(p, run);
}

static int probe_client(struct probe *p, struct options *o, struct probe_run *run)
{
    char text[RX_ADDRESS_TEXT];
    if (!serve_listen(p, o->probe.serve, text))
        return EXIT_REXEC;
    note(NULL, "listening on %s as %s for %zu connections of a client", text, p->server_name,
         run->count);
    run->target = text;
    int status = run_all(p, run);
    (void)close(p->listener);
    return status;
}

static bool arguments_fit(const struct options *o)
{
    const struct probe_options *probe = &o->probe;
    const char *wrong = NULL;
    if (o->word_count > 0)
        wrong = "probe wants one host, and no command";
    else if (probe->tap + probe->junit + o->json > 1)
        wrong = "--tap, --json and --junit exclude each other";
    else if (probe->serve != NULL && probe->keyless)
        wrong = "--serve needs the client's key";
    if (wrong != NULL)
        report(NULL, wrong, "rexec probe [OPTION...] HOST");
    return wrong == NULL;
}

int verb_probe(struct options *o)
{
    struct probe p = {.options = o, .listener = -1};
    struct rx_failure failure;
    struct probe_run run = {
        .target = o->host, .tap = o->probe.tap, .json = o->json, .junit = o->probe.junit};
    if (!arguments_fit(o) || !choose(&run, &o->probe))
        return EXIT_REXEC;
    if (o->probe.list)
        return probe_report_list(&run) ? 0 : print_status();
    if (sodium_init() < 0) {
        report(NULL, "the cryptographic library does not start", NULL);
        return EXIT_REXEC;
    }
    p.seed = run.seed = o->probe.seed != 0 ? o->probe.seed : 1 + randombytes_uniform(999999);
    int status = EXIT_REXEC;
    if (prepare(&p, o, &failure))
        status = o->probe.serve != NULL ? probe_client(&p, o, &run) : probe_server(&p, o, &run);
    else
        report_failure(o->host, &failure);
    sodium_memzero(&p.keys, sizeof p.keys);
    return status;
}
