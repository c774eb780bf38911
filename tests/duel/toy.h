/*
 * Stand-ins for auth/ in tests of proto/: a seal and a MAC that hide and protect nothing, but
 * notice every change, and fail when they are told to.
 */
#ifndef REXEC_TESTS_DUEL_TOY_H
#define REXEC_TESTS_DUEL_TOY_H

#include "proto/record.h"
#include "proto/request.h"

enum { TOY_TAG = 16 };

/* One direction. Zero-initialised is ready. */
struct toy_seal {
    uint64_t counter; /* records sealed or opened so far */
    uint64_t fail_at; /* from this record on (the first is 1) it fails with `error`; 0: never */
    enum rx_error error;
    bool plain; /* payloads as they are, tags of zeros that nobody looks at */
};

/* With a tag of TOY_TAG bytes, of RX_TAG_MAX, and without any. */
struct rx_seal toy_seal(struct toy_seal *toy);
struct rx_seal toy_seal_long(struct toy_seal *toy);
struct rx_seal toy_seal_bare(struct toy_seal *toy);

/* The MAC of requests, under a key that everybody has. Zero-initialised is ready. */
struct toy_mac {
    uint64_t fail_at; /* from this call on (the first is 1) it fails; 0: never */
    uint64_t calls;
};

struct rx_mac toy_mac(struct toy_mac *toy);

#endif
