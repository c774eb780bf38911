/*
 * What each option does.
 */
#ifndef REXEC_OPTION_APPLY_H
#define REXEC_OPTION_APPLY_H

#include "rexec/option_list.h"
#include "rexec/options.h"

/* Takes an option; `value` is "" for one without argument. False, with `error` (a clause). */
bool option_apply(struct options *o, enum option option, const char *value,
                  char error[static OPTIONS_ERROR_MAX]);

/* Puts "WHAT WORD" into `error`; word may be NULL. Returns false. */
bool option_wrong(char error[static OPTIONS_ERROR_MAX], const char *what, const char *word);

#endif
