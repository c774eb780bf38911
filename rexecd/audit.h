/*
 * Audit records: one JSON object and one line each, ASCII only, whatever bytes are in it. A session
 * has one when it is over, a command when it has ended or was refused. docs/man/rexecd.8 lists the
 * names.
 */
#ifndef REXEC_REXECD_AUDIT_H
#define REXEC_REXECD_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "auth/source.h"
#include "proto/header.h"

enum { AUDIT_WORDS_MAX = 16 * 1024 }; /* bytes of a command's words that are recorded */

/* Who it was, in both kinds. */
struct audit_who {
    const char *principal;
    uint8_t kid[RX_KID_SIZE];
    uint8_t session[RX_SESSION_ID_SIZE];
    struct rx_source peer;
    uint16_t port;
};

struct audit_session {
    struct audit_who who;
    const char *suite;
    int64_t start_us, end_us;
    const char *how;   /* close, fin, reset, silence, error */
    const char *error; /* its name; NULL: none */
    uint64_t commands, received, sent;
};

struct audit_command {
    struct audit_who who;
    uint8_t id[RX_COMMAND_ID_SIZE];
    const char *run, *user; /* user: NULL where it was refused before there was one */
    const uint8_t *words;   /* proto/words.h, checked; environment words are not recorded */
    size_t words_len;
    const char *label;  /* the client's name for it; NULL: none */
    const char *forced; /* the command that the grant forces, NULL: none */
    int64_t pid;        /* 0: never started */
    uint32_t resumed;   /* times that the client took it up over another connection */
    /* Refused: */
    const char *refused, *text; /* the error's name, or NULL; and what was said */
    /* Ended: */
    bool unfinished; /* the client does not have all of its output yet: `bytes` is not known */
    const struct rx_exit *exit;
    uint64_t bytes[3];
};

struct audit;

/* "none" (NULL is returned, and errno is 0), "stderr", or a file that is appended to (made with
 * mode 0600). NULL with errno. */
struct audit *audit_open(const char *where);
void audit_close(struct audit *audit); /* NULL is fine */

/* Opens the file anew: it may have been moved away. 0, or -1 with errno, and the old one stays. */
int audit_reopen(struct audit *audit);

/* Writes a record; NULL audits nothing. */
void audit_session(struct audit *audit, const struct audit_session *record);
void audit_command(struct audit *audit, const struct audit_command *record);

/* The record's line, with its newline, on the heap; NULL: no memory. `now_us` is its time. */
char *audit_session_line(const struct audit_session *record, int64_t now_us);
char *audit_command_line(const struct audit_command *record, int64_t now_us);

#endif
