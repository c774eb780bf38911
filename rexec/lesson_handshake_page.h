/*
 * What the lesson shows, as text for a terminal and as one HTML page: both are written at once.
 * Texts may have `code` in backticks.
 */
#ifndef REXEC_LESSON_HANDSHAKE_PAGE_H
#define REXEC_LESSON_HANDSHAKE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rexec/buffer.h"

struct page {
    bool chinese;
    bool colour; /* of the text */
    bool failed; /* there was no memory: what is there is not whole */
    bool ended;  /* an outcome was the last thing shown */
    const char *lanes[3];
    struct buffer text, html;
};

/* The words of the page's language. */
#define WORDS(page, en, zh) ((page)->chinese ? (zh) : (en))

enum lane { CLIENT, MALLORY, SERVER };

/* A piece of a message, or a value computed from it. */
struct field {
    const char *name;
    const void *bytes;
    size_t n;
    const char *remark; /* or NULL */
    bool text;          /* show it as characters */
};

enum outcome {
    OUTCOME_FINE,    /* as it should be, nobody attacks */
    OUTCOME_GOT_IN,  /* an attack succeeded */
    OUTCOME_STOPPED, /* an attack failed */
};

void page_title(struct page *page, const char *title, const char *below);
void page_part(struct page *page, const char *title);
void page_scene(struct page *page, const char *title);
void page_say(struct page *page, const char *text);

/* Who takes part in what follows, left to right; lanes[MALLORY] may be "": nobody. */
void page_lanes(struct page *page, const char *client, const char *mallory, const char *server);

/* One message on its way, and what is in it. */
void page_send(struct page *page, enum lane from, enum lane to, const char *label,
               const struct field *fields, size_t count);

/* Values that somebody works out, not sent. */
void page_values(struct page *page, enum lane who, const char *label, const struct field *fields,
                 size_t count);

/* How it ended; `error` is the name of the check that stopped it, or NULL. */
void page_outcome(struct page *page, enum outcome outcome, const char *error, const char *text);

/* A table of four columns. */
void page_table(struct page *page, const char *const head[4]);
void page_row(struct page *page, const char *const cells[4]);
void page_table_end(struct page *page);

void page_end(struct page *page);
void page_clear(struct page *page);

#endif
