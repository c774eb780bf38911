/*
 * Bytes that grow, for output that is collected before it is shown.
 */
#ifndef REXEC_BUFFER_H
#define REXEC_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised is empty. */
struct buffer {
    char *bytes;
    size_t n, cap;
};

/* Makes room for n bytes more behind the last; NULL: no memory, and nothing has changed. */
char *buffer_room(struct buffer *b, size_t n);

/* Appends; false: no memory. */
bool buffer_add(struct buffer *b, const void *bytes, size_t n);

/* Drops the first n bytes. */
void buffer_drop(struct buffer *b, size_t n);

void buffer_clear(struct buffer *b);

#endif
