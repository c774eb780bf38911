/*
 * The tables of docs/PROTOCOL.md that a test compares with the code: the rows between the lines
 * `<!-- NAME: begin` and `<!-- NAME: end`, without their heading.
 */
#ifndef REXEC_TESTS_UNIT_DOC_TABLE_H
#define REXEC_TESTS_UNIT_DOC_TABLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOC_ROWS = 128, DOC_CELLS = 12 };

struct doc_table {
    char *text; /* the cells are in it */
    size_t rows;
    size_t cells; /* of each row */
    const char *cell[DOC_ROWS][DOC_CELLS];
};

static inline char *doc_read(void)
{
    FILE *file = fopen(REXEC_SOURCE_DIR "/docs/PROTOCOL.md", "r");
    if (file == NULL)
        abort();
    size_t n = 0, cap = 0;
    char *text = NULL;
    do {
        cap += 65536;
        text = realloc(text, cap + 1);
        if (text == NULL)
            abort();
        n += fread(text + n, 1, cap - n, file);
    } while (n == cap);
    text[n] = '\0';
    if (ferror(file) || fclose(file) != 0)
        abort();
    return text;
}

/* Cuts `| a | b |` into cells; how many. */
static inline size_t doc_row(char *line, const char **cell)
{
    size_t n = 0;
    char *rest = line + 1, *bar;
    while ((bar = strchr(rest, '|')) != NULL) {
        char *end = bar;
        while (*rest == ' ')
            rest++;
        while (end > rest && end[-1] == ' ')
            end--;
        *end = '\0';
        if (n == DOC_CELLS)
            abort();
        cell[n++] = rest;
        rest = bar + 1;
    }
    return n;
}

/* Aborts where there is no such table, or its rows are not of one length. */
static inline void doc_table_read(struct doc_table *table, const char *name)
{
    char begin[64], end[64];
    (void)snprintf(begin, sizeof begin, "<!-- %s: begin", name);
    (void)snprintf(end, sizeof end, "<!-- %s: end", name);
    memset(table, 0, sizeof *table);
    table->text = doc_read();
    char *from = strstr(table->text, begin);
    char *to = from != NULL ? strstr(from, end) : NULL;
    if (to == NULL)
        abort();
    *to = '\0';
    size_t line_number = 0;
    for (char *line = strchr(from, '\n'); line != NULL && line[1] == '|'; line_number++) {
        char *next = strchr(++line, '\n');
        if (next != NULL)
            *next = '\0';
        if (line_number >= 2) { /* behind the heading and its rule */
            if (table->rows == DOC_ROWS)
                abort();
            size_t cells = doc_row(line, table->cell[table->rows]);
            if (table->rows++ > 0 && cells != table->cells)
                abort();
            table->cells = cells;
        }
        line = next;
    }
}

static inline void doc_table_free(struct doc_table *table)
{
    free(table->text);
    table->text = NULL;
}

#endif
