#include "rexec/draw.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/draw_width.h"
#include "rexec/escape.h"

/* Room for one more at the end of a list, zeroed; NULL: no memory, which is remembered. */
static void *grow(struct draw_picture *p, void *list, size_t count, size_t size)
{
    void *bigger = list;
    if ((count & (count - 1)) == 0) /* 0, 1, 2, 4: the list is full */
        bigger = realloc(list, (count > 0 ? 2 * count : 1) * size);
    if (bigger == NULL) {
        p->failed = true;
        return NULL;
    }
    memset((char *)bigger + count * size, 0, size);
    return bigger;
}

static char *copy(struct draw_picture *p, const char *text)
{
    char *s = strdup(text);
    p->failed = p->failed || s == NULL;
    return s;
}

static struct draw_panel *last(struct draw_picture *p)
{
    return p->panel_count > 0 && !p->failed ? &p->panels[p->panel_count - 1] : NULL;
}

void draw_title(struct draw_picture *p, const char *title, const char *subtitle)
{
    p->title = copy(p, title);
    p->subtitle = copy(p, subtitle);
}

void draw_panel(struct draw_picture *p, const char *title)
{
    struct draw_panel *panels = grow(p, p->panels, p->panel_count, sizeof *panels);
    if (panels == NULL)
        return;
    p->panels = panels;
    panels[p->panel_count++].title = copy(p, title);
}

void draw_retitle(struct draw_picture *p, const char *title)
{
    struct draw_panel *panel = last(p);
    if (panel == NULL)
        return;
    free(panel->title);
    panel->title = copy(p, title);
}

void draw_say(struct draw_picture *p, bool before, enum draw_mark mark, const char *format, ...)
{
    struct draw_panel *panel = last(p);
    struct draw_line *lines =
        panel != NULL ? grow(p, panel->lines, panel->line_count, sizeof *lines) : NULL;
    if (lines == NULL)
        return;
    panel->lines = lines;
    struct draw_line *line = &lines[panel->line_count];
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&line->text, format, arguments) < 0) {
        line->text = NULL;
        p->failed = true;
    } else {
        line->mark = mark;
        line->before = before;
        panel->line_count++;
    }
    va_end(arguments);
}

size_t draw_row(struct draw_picture *p, const char *name)
{
    struct draw_panel *panel = last(p);
    if (panel == NULL || panel->row_count == DRAW_ROWS_MAX)
        return 0;
    panel->rows[panel->row_count] = copy(p, name);
    return panel->row_count++;
}

void draw_box(struct draw_picture *p, size_t row, enum draw_kind kind, uint64_t from, uint64_t to,
              const char *format, ...)
{
    struct draw_panel *panel = last(p);
    struct draw_box *boxes =
        panel != NULL ? grow(p, panel->boxes, panel->box_count, sizeof *boxes) : NULL;
    if (boxes == NULL)
        return;
    panel->boxes = boxes;
    char label[DRAW_LABEL_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(label, sizeof label, format, arguments);
    va_end(arguments);
    boxes[panel->box_count] = (struct draw_box){row, from, to, kind, copy(p, label)};
    panel->box_count += !p->failed;
}

void draw_table(struct draw_picture *p, const char *sent_head, const char *got_head)
{
    struct draw_panel *panel = last(p);
    if (panel == NULL)
        return;
    panel->sent_head = copy(p, sent_head);
    panel->got_head = copy(p, got_head);
}

void draw_answer(struct draw_picture *p, const char *sent, const char *got, bool right)
{
    struct draw_panel *panel = last(p);
    struct draw_answer *answers =
        panel != NULL ? grow(p, panel->answers, panel->answer_count, sizeof *answers) : NULL;
    if (answers == NULL)
        return;
    panel->answers = answers;
    struct draw_answer *answer = &answers[panel->answer_count++];
    answer->sent = copy(p, sent);
    answer->got = copy(p, got);
    answer->right = right;
}

/* Every byte that is not printable ASCII as \xNN. */
static void escape_all(const unsigned char *bytes, size_t n, char out[static DRAW_LABEL_MAX])
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 5 <= DRAW_LABEL_MAX; i++) {
        bool plain = bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\';
        at += (size_t)snprintf(out + at, DRAW_LABEL_MAX - at, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    out[at] = '\0';
}

void draw_bytes(const struct draw_picture *p, const void *bytes, size_t n, size_t columns,
                char out[static DRAW_LABEL_MAX])
{
    char text[DRAW_LABEL_MAX];
    if (n > DRAW_LABEL_MAX)
        n = DRAW_LABEL_MAX; /* of which not all is shown anyway */
    if (p->ascii)
        escape_all(bytes, n, text);
    else
        (void)rx_escape(bytes, n, text, sizeof text);
    draw_fit(text, columns, p->ascii, out);
}

static void clear_panel(struct draw_panel *panel)
{
    free(panel->title);
    for (size_t i = 0; i < panel->line_count; i++)
        free(panel->lines[i].text);
    for (size_t i = 0; i < panel->row_count; i++)
        free(panel->rows[i]);
    for (size_t i = 0; i < panel->box_count; i++)
        free(panel->boxes[i].label);
    for (size_t i = 0; i < panel->answer_count; i++) {
        free(panel->answers[i].sent);
        free(panel->answers[i].got);
    }
    free(panel->sent_head);
    free(panel->got_head);
    free(panel->lines);
    free(panel->boxes);
    free(panel->answers);
}

void draw_clear(struct draw_picture *p)
{
    for (size_t i = 0; i < p->panel_count; i++)
        clear_panel(&p->panels[i]);
    free(p->panels);
    free(p->title);
    free(p->subtitle);
    *p = (struct draw_picture){0};
}
