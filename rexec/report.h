/*
 * What the program says on stderr: whole lines, nothing in them that a terminal acts on.
 */
#ifndef REXEC_REPORT_H
#define REXEC_REPORT_H

#include <stdbool.h>

#include "rexec/failure.h"

enum { EXIT_REXEC = 255 }; /* rexec itself failed */

/* What follows goes to this descriptor instead of stderr (-E). */
void report_to(int fd);

/* Whether the terminal that this goes to, if it goes to one, is in raw mode: lines end otherwise
 * there. */
void report_raw(bool raw);

/* "rexec: HOST: what; todo": host and todo may be NULL or empty. */
void report(const char *host, const char *what, const char *todo);
void report_failure(const char *host, const struct rx_failure *failure);

/* "rexec: HOST: ..." of what is worth a word but no failure. */
void note(const char *host, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes all n bytes to a descriptor, waiting for it as long as it takes; false, with errno. */
bool write_all(int fd, const void *bytes, size_t n);

/* write_all to stdout; false after print_failed. */
bool print_all(const void *bytes, size_t n);

/* Stdout could not be written for this reason: reports it, unless it is that nobody reads there any
 * more. Returns print_status. */
int print_failed(int error);

/* The exit status when something could not be printed: as a program's that SIGPIPE has killed if
 * nobody reads stdout any more, else EXIT_REXEC. */
int print_status(void);

/* Whether the system has room for all that was written to a descriptor: some say so only when it is
 * closed (NFS, quotas). It stays open. False, with errno. */
bool write_settled(int fd);

/* The exit status when all is said and done: `status`, unless stdout or stderr did not settle. */
int finish_output(int status);

#endif
