#include "rexec/buffer.h"

#include <stdlib.h>
#include <string.h>

char *buffer_room(struct buffer *b, size_t n)
{
    if (b->cap - b->n < n) {
        size_t cap = b->cap > 0 ? b->cap : 256;
        while (cap - b->n < n)
            cap *= 2;
        char *p = realloc(b->bytes, cap);
        if (p == NULL)
            return NULL;
        b->bytes = p;
        b->cap = cap;
    }
    return b->bytes + b->n;
}

bool buffer_add(struct buffer *b, const void *bytes, size_t n)
{
    if (n == 0)
        return true;
    char *room = buffer_room(b, n);
    if (room == NULL)
        return false;
    memcpy(room, bytes, n);
    b->n += n;
    return true;
}

void buffer_drop(struct buffer *b, size_t n)
{
    b->n -= n;
    if (b->n > 0)
        memmove(b->bytes, b->bytes + n, b->n);
}

void buffer_clear(struct buffer *b)
{
    free(b->bytes);
    *b = (struct buffer){0};
}
