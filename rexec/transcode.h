/*
 * A command's output from the encoding it is written in to another one, in whatever pieces it
 * comes: what a piece cuts off is kept for the next. What cannot be decoded becomes U+FFFD, what
 * the other encoding does not have becomes `?`.
 */
#ifndef REXEC_TRANSCODE_H
#define REXEC_TRANSCODE_H

#include "rexec/buffer.h"

struct transcode;

/* From one encoding to another, by iconv's names; NULL: no such encoding (errno is EINVAL), or no
 * memory. */
struct transcode *transcode_new(const char *from, const char *to);

/* Frees it; NULL is fine. */
void transcode_free(struct transcode *t);

/* Appends n bytes to *out, decoded; false: no memory. */
bool transcode_put(struct transcode *t, const void *bytes, size_t n, struct buffer *out);

/* The end: what is incomplete becomes U+FFFD. false: no memory. */
bool transcode_end(struct transcode *t, struct buffer *out);

#endif
