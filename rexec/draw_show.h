/*
 * Where a picture goes: the terminal, and the files that --svg and --html name; and in which
 * language it speaks.
 */
#ifndef REXEC_DRAW_SHOW_H
#define REXEC_DRAW_SHOW_H

#include "rexec/draw.h"
#include "rexec/options.h"

/* What the terminal, the locale and the options ask for. Static strings. */
struct draw_taste {
    bool chinese;
    struct draw_style style;
    const char *charset; /* of the terminal; NULL: UTF-8 */
};

/* Asks the environment. A language that is asked for by name is written in UTF-8 where the locale
 * has only ASCII. */
void draw_taste(const struct options *o, struct draw_taste *taste);

/* Draws to stdout (unless --json has it) and to the files. False, after a report. */
bool draw_show(const struct draw_picture *p, const struct draw_taste *taste,
               const struct options *o);

#endif
