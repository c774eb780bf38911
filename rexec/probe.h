/*
 * rexec probe: checks of a server from outside, and of a client that connects to us. What its files
 * share: a check, what it found, and what all checks of one run stand on.
 */
#ifndef REXEC_PROBE_H
#define REXEC_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "rexec/address.h"
#include "rexec/options.h"

enum probe_result {
    PROBE_PASSED,
    PROBE_FAILED,
    PROBE_SKIPPED, /* could not be tried */
    PROBE_TOLD,    /* a measurement: neither good nor bad */
};

enum { PROBE_TEXT = 240 };

struct probe_finding {
    enum probe_result result;
    char text[PROBE_TEXT]; /* empty, or one clause: why */
    double seconds;
};

/* One run. Its checks see nothing else. */
struct probe {
    const struct options *options;
    struct rx_address address; /* of the server */
    char address_text[RX_ADDRESS_TEXT];
    const char *server_name;
    bool keyed;                /* keys are a real key's for this name */
    bool doubted;              /* the server did not prove itself to it */
    struct rx_grant_keys keys; /* without a key: random */
    uint8_t suites;            /* offered */
    int patience;              /* milliseconds to wait for an answer or a close */
    uint64_t seed, random;     /* what is sampled follows from the seed */
    int listener;              /* --serve */
    uint8_t earlier[104];      /* --serve: an M2 that was right on another connection */
    bool has_earlier;
    struct probe_finding finding; /* of the check that runs */
};

struct probe_check {
    const char *name;
    const char *tries; /* what it does, a clause */
    unsigned needs;    /* PROBE_NEEDS_* */
    void (*run)(struct probe *p);
};

enum { PROBE_NEEDS_NOTHING = 0, PROBE_NEEDS_KEY = 1, PROBE_NEEDS_TIME = 2 };

/* A list of checks, ended by one without a name. */
extern const struct probe_check probe_open_checks[];    /* before the handshake is over */
extern const struct probe_check probe_proof_checks[];   /* of proofs: with a key */
extern const struct probe_check probe_record_checks[];  /* of records: with a key */
extern const struct probe_check probe_message_checks[]; /* of messages: with a key */
extern const struct probe_check probe_last_checks[];    /* that it still serves */
extern const struct probe_check probe_serve_proofs[];   /* against a client: its handshake */
extern const struct probe_check probe_serve_records[];  /* against a client: what follows it */

/* What a check finds: the first that is not "passed" stays. Both return false. */
bool probe_fail(struct probe *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool probe_skip(struct probe *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A measurement. */
void probe_tell(struct probe *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number below n, from the seed. */
unsigned probe_pick(struct probe *p, unsigned n);

/* Whether nothing else than "passed" was found so far. */
static inline bool probe_good(const struct probe *p)
{
    return p->finding.result == PROBE_PASSED;
}

#endif
