/*
 * One scene of the lesson about sticky packets: messages are exchanged over real sockets, and what
 * the calls did is drawn, written down (--json) and judged. What is said of it follows from what
 * happened.
 */
#ifndef REXEC_LESSON_SCENE_H
#define REXEC_LESSON_SCENE_H

#include "rexec/draw_show.h"
#include "rexec/lesson_exchange.h"
#include "rexec/lesson_frame.h"

/* The whole lesson. */
struct lesson {
    const struct options *o;
    struct draw_taste taste;
    struct draw_picture picture;
    struct buffer json;
    struct rx_failure failure;
};

/* The text in the lesson's language; `l` is the lesson. Both are formats of the same arguments. */
#define T(english, native) (l->taste.chinese ? native : english)

enum { SCENE_PIECES_MAX = 64 };

struct scene {
    const char *name;                                 /* in --json */
    struct exchange_piece messages[SCENE_PIECES_MAX]; /* what was meant */
    size_t message_count;
    struct exchange exchange; /* pieces are set by scene_run */
    bool framed;
    enum framing framing;
    struct buffer wire; /* framed: all frames */
    struct exchange_piece frames[SCENE_PIECES_MAX];
    size_t right; /* messages that came out as they went in */
    size_t got;   /* what the receiver takes for messages */
};

/* Exchanges, draws a panel's boxes and table, writes the events. False, with l->failure. The scene
 * is cleared by the caller either way. */
bool scene_run(struct lesson *l, struct scene *s);
void scene_clear(struct scene *s);

#endif
