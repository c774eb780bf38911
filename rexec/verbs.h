/*
 * The verbs: each takes the command line and gives the program's exit status.
 */
#ifndef REXEC_VERBS_H
#define REXEC_VERBS_H

#include "rexec/options.h"

int verb_run(struct options *o);
int verb_hold(struct options *o); /* -N */
int verb_show(struct options *o); /* -G */
int verb_ping(struct options *o);
int verb_batch(struct options *o);
int verb_probe(struct options *o);
int verb_keygen(struct options *o);
int verb_grant(struct options *o);
int verb_lesson(struct options *o);
int verb_trace(struct options *o);
int verb_help(void);
int verb_version(const struct options *o);
int verb_query(const struct options *o);   /* -Q */
int verb_control(const struct options *o); /* -O */

#endif
