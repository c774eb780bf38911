/*
 * What probe prints: for people as it goes, or TAP; JSON and JUnit's XML at the end.
 */
#ifndef REXEC_PROBE_REPORT_H
#define REXEC_PROBE_REPORT_H

#include "rexec/probe.h"

enum { PROBE_CHECKS_MAX = 128 };

struct probe_run {
    const struct probe_check *checks[PROBE_CHECKS_MAX]; /* those that were asked for */
    struct probe_finding findings[PROBE_CHECKS_MAX];
    size_t count, done;
    const char *target; /* host, or what is listened on */
    uint64_t seed;
    bool tap, json, junit;
    bool lost; /* output could not be written: it was reported */
};

/* The names and what they try. False: could not be written. */
bool probe_report_list(const struct probe_run *run);

void probe_report_begin(struct probe_run *run);
void probe_report_one(struct probe_run *run); /* the last that was done */
void probe_report_end(struct probe_run *run);

/* It could not be begun, or not gone on with: for those who read TAP, JSON or XML. */
void probe_report_abort(struct probe_run *run, const char *why);

#endif
