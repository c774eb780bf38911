/*
 * What a grant lets its client do: as whom, and what.
 */
#ifndef REXEC_REXECD_POLICY_H
#define REXEC_REXECD_POLICY_H

#include <stdbool.h>

#include "auth/grant.h"
#include "proto/header.h"

/* What is decided on: who runs the daemon decides what it can do at all. */
struct policy_host {
    bool root;        /* commands can run as others */
    const char *self; /* the name of who runs it */
};

struct policy_refusal {
    enum rx_error error;
    char text[RX_TEXT_MAX + 1]; /* for the client */
};

/*
 * Decides on an EXEC, but for what only trying shows. RX_OK and *user, who it is to run as (a name
 * in the grant, the header or the host); or the refusal's error, and *refusal says more.
 * `has_directory`: the client names one.
 */
enum rx_error policy_exec(const struct policy_host *host, const struct rx_grant *grant,
                          const struct rx_exec *exec, bool has_directory, const char **user,
                          struct policy_refusal *refusal);

/* Puts a refusal together. Returns its error. */
enum rx_error policy_refuse(struct policy_refusal *refusal, enum rx_error error, const char *format,
                            ...) __attribute__((format(printf, 3, 4)));

#endif
