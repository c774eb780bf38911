/*
 * What the files of `rexec lesson handshake` share. The lesson's parts play their scenes on `net`
 * and show them on `page`; each attack's end is counted.
 */
#ifndef REXEC_LESSON_HANDSHAKE_H
#define REXEC_LESSON_HANDSHAKE_H

#include "rexec/lesson_handshake_net.h"
#include "rexec/lesson_handshake_page.h"

struct stage {
    struct page *page;
    struct net *net;
    unsigned toys_broken; /* attacks on toys that succeeded, as they must */
    unsigned stopped;     /* attacks on ours that failed, as they must */
    bool surprise;        /* something ended otherwise than it should */
};

/* One attack is over: whether it got in. `should` says what was to be expected. */
static inline void stage_count(struct stage *stage, bool got_in, bool should)
{
    stage->toys_broken += got_in && should;
    stage->stopped += !got_in && !should;
    stage->surprise = stage->surprise || got_in != should;
}

/* The toy protocols: never to be used for anything but this lesson. Each plays until the end or
 * until the net fails. */
void toy_password(struct stage *stage);
void toy_challenge(struct stage *stage);
void toy_relay(struct stage *stage);
void toy_repeated_challenge(struct stage *stage);
void toy_reflection(struct stage *stage);
void toy_change(struct stage *stage);

/* The handshake of docs/PROTOCOL.md, by the code that rexec and rexecd use. */
void ours_handshake(struct stage *stage);
void ours_replay(struct stage *stage);
void ours_reflection(struct stage *stage);
void ours_relay(struct stage *stage);
void ours_pretender(struct stage *stage);
void ours_change(struct stage *stage);
void ours_fields(struct stage *stage);

#endif
