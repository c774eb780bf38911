/*
 * Lessons: each shows one thing live. A new one is a line in lesson.c's table.
 */
#ifndef REXEC_LESSON_H
#define REXEC_LESSON_H

#include "rexec/options.h"

/* Sticky packets: what TCP does to messages, and two cures. The program's exit status. */
int lesson_sticky(const struct options *o);

/* The handshake: proofs, attacks that succeed against some and fail against ours. */
int lesson_handshake(const struct options *o);

#endif
