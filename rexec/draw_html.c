/* A picture as one page that needs nothing else: well-formed as XML, too. */
#include "rexec/draw.h"
#include "rexec/draw_print.h"
#include "rexec/draw_vector.h"

/* Boxes are drawn twice, and the one that fits the screen is shown. */
enum { NARROW = 52, WIDE = 118 };

static const char style[] =
    "body{margin:0 auto;max-width:976px;padding:16px;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;color-scheme:light dark}"
    "h1{font-size:1.5em;margin:.3em 0}h2{font-size:1.15em;margin:2em 0 .3em;"
    "border-top:1px solid var(--line);padding-top:1em}"
    "p{margin:.4em 0}.sub{color:var(--soft)}"
    ".right:before{content:'\\2713\\a0';color:var(--good);font-weight:700}"
    ".wrong:before{content:'\\2717\\a0';color:var(--bad);font-weight:700}"
    "svg{display:block;max-width:100%;height:auto;margin:.8em 0 0}.wide{display:none}"
    "@media(min-width:900px){.wide{display:block}.narrow{display:none}}"
    "table{border-collapse:collapse;margin:.6em 0;width:100%;table-layout:fixed;font-size:.9em}"
    "td,th{text-align:left;padding:.2em .6em .2em 0;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:anywhere}td{font-family:ui-monospace,Menlo,Consolas,"
    "monospace;white-space:pre-wrap}th{font-weight:600;color:var(--soft)}";

static bool element(struct buffer *out, const char *open, const char *text, const char *close)
{
    return draw_print(out, "%s", open) && draw_print_xml(out, text) &&
           draw_print(out, "%s\n", close);
}

static bool lines(struct buffer *out, const struct draw_panel *panel, bool before)
{
    static const char *const open[] = {"<p>", "<p class=\"right\">", "<p class=\"wrong\">"};
    bool done = true;
    for (size_t i = 0; i < panel->line_count && done; i++) {
        if (panel->lines[i].before == before)
            done = element(out, open[panel->lines[i].mark], panel->lines[i].text, "</p>");
    }
    return done;
}

static bool boxes(struct buffer *out, const struct draw_panel *panel, size_t width,
                  const char *class)
{
    size_t height = 0, y = 0;
    if (panel->box_count == 0)
        return true;
    return vector_boxes(panel, width, &height, NULL) &&
           draw_print(out,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"%s\" width=\"%zu\" "
                      "height=\"%zu\" viewBox=\"0 0 %zu %zu\">\n",
                      class, width * VECTOR_CELL, height, width * VECTOR_CELL, height) &&
           vector_boxes(panel, width, &y, out) && draw_print(out, "</svg>\n");
}

static bool table(struct buffer *out, const struct draw_panel *panel)
{
    if (panel->sent_head == NULL)
        return true;
    bool done = element(out, "<table>\n<tr><th>", panel->sent_head, "</th>") &&
                element(out, "<th>", panel->got_head, "</th></tr>");
    for (size_t i = 0; i < panel->answer_count && done; i++) {
        const struct draw_answer *a = &panel->answers[i];
        done = element(out, "<tr><td>", a->sent, "</td>") &&
               element(out, a->right ? "<td class=\"right\">" : "<td class=\"wrong\">", a->got,
                       "</td></tr>");
    }
    return done && draw_print(out, "</table>\n");
}

bool draw_html(const struct draw_picture *p, struct buffer *out)
{
    bool done = draw_print(out,
                           "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" "
                           "lang=\"%s\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta "
                           "name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n",
                           p->language) &&
                element(out, "<title>", p->title, "</title>") &&
                draw_print(out, "<style>%s\n%s</style>\n</head>\n<body>\n", vector_style, style) &&
                element(out, "<h1>", p->title, "</h1>") &&
                element(out, "<p class=\"sub\">", p->subtitle, "</p>");
    for (size_t i = 0; i < p->panel_count && done; i++) {
        const struct draw_panel *panel = &p->panels[i];
        done = element(out, "<section>\n<h2>", panel->title, "</h2>") && lines(out, panel, true) &&
               boxes(out, panel, WIDE, "wide") && boxes(out, panel, NARROW, "narrow") &&
               table(out, panel) && lines(out, panel, false) && draw_print(out, "</section>\n");
    }
    return done && draw_print(out, "</body>\n</html>\n");
}
