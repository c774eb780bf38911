/* rexec trace FILE: what --trace has written down, drawn. */
#include "rexec/draw_show.h"
#include "rexec/report.h"
#include "rexec/trace_draw.h"
#include "rexec/verbs.h"

enum { CALLS_DEFAULT = 100 };

static bool show(const struct trace *t, const struct options *o)
{
    struct draw_taste taste;
    struct draw_picture picture = {0};
    struct buffer lines = {0};
    draw_taste(o, &taste);
    picture.ascii = taste.style.ascii;
    trace_picture(t, taste.chinese, o->lesson.count != 0 ? o->lesson.count : CALLS_DEFAULT,
                  &picture);
    bool done = draw_show(&picture, &taste, o);
    if (done && o->json) {
        done = trace_lines(t, &lines);
        if (done)
            done = print_all(lines.bytes, lines.n);
        else
            report(NULL, "out of memory", "close other programs");
    }
    buffer_clear(&lines);
    draw_clear(&picture);
    return done;
}

int verb_trace(struct options *o)
{
    struct trace t;
    struct rx_failure failure;
    if (o->word_count != 1) {
        report(NULL, "trace wants one file", "write one with `rexec --trace FILE HOST COMMAND`");
        return EXIT_REXEC;
    }
    bool done = trace_read(o->words[0], &t, &failure);
    if (!done)
        report_failure(NULL, &failure);
    done = done && show(&t, o);
    trace_clear(&t);
    return done ? 0 : EXIT_REXEC;
}
