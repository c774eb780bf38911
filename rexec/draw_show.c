#include "rexec/draw_show.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rexec/report.h"
#include "rexec/transcode.h"

enum { WIDTH_DEFAULT = 80, WIDTH_WIDEST = 160 };

/* What the environment says of one category, whether that locale is installed here or not. */
static const char *locale_of(const char *category)
{
    const char *const names[] = {"LC_ALL", category, "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return "C";
}

static bool is_utf8(const char *charset)
{
    return strcasecmp(charset, "UTF-8") == 0 || strcasecmp(charset, "utf8") == 0;
}

/* The locale's charset; NULL: UTF-8; "": ASCII. */
static const char *charset_here(void)
{
    const char *charset = strchr(locale_of("LC_CTYPE"), '.');
    if (charset != NULL && is_utf8(charset + 1))
        return NULL;
    if (setlocale(LC_CTYPE, "") == NULL)
        return "";
    charset = nl_langinfo(CODESET);
    if (is_utf8(charset))
        return NULL;
    return strstr(charset, "ASCII") != NULL || strncmp(charset, "ANSI_", 5) == 0 ? "" : charset;
}

static size_t width_here(const struct options *o)
{
    struct winsize size;
    if (o->columns != 0)
        return o->columns;
    const char *columns = getenv("COLUMNS");
    size_t width = columns != NULL ? strtoul(columns, NULL, 10) : 0;
    if (width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width < 40)
        width = WIDTH_DEFAULT;
    return width < WIDTH_WIDEST ? width : WIDTH_WIDEST;
}

void draw_taste(const struct options *o, struct draw_taste *taste)
{
    const char *color = getenv("NO_COLOR");
    const char *asked = o->language;
    taste->charset = charset_here();
    taste->chinese = strncasecmp(asked != NULL ? asked : locale_of("LC_MESSAGES"), "zh", 2) == 0;
    bool ascii = taste->charset != NULL && taste->charset[0] == '\0';
    if (ascii)
        taste->charset = NULL;
    if (ascii && asked == NULL)
        taste->chinese = false;
    taste->style = (struct draw_style){
        .width = width_here(o),
        .ascii = ascii && !taste->chinese,
        .colour = isatty(STDOUT_FILENO) != 0 && (color == NULL || color[0] == '\0'),
    };
}

static bool out_of_memory(void)
{
    report(NULL, "out of memory", "close other programs");
    return false;
}

static bool to_terminal(const struct draw_picture *p, const struct draw_taste *taste)
{
    struct buffer text = {0}, other = {0};
    bool done = draw_text(p, &taste->style, &text);
    const struct buffer *shown = &text;
    struct transcode *t = NULL;
    if (done && taste->charset != NULL) {
        t = transcode_new("UTF-8", taste->charset);
        done =
            t == NULL || (transcode_put(t, text.bytes, text.n, &other) && transcode_end(t, &other));
        if (t != NULL)
            shown = &other;
    }
    done = done ? print_all(shown->bytes, shown->n) : out_of_memory();
    transcode_free(t);
    buffer_clear(&text);
    buffer_clear(&other);
    return done;
}

static bool is_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

static bool to_file(const struct draw_picture *p, const char *path,
                    bool (*draw)(const struct draw_picture *p, struct buffer *out))
{
    struct buffer text = {0};
    if (path == NULL)
        return true;
    bool done = draw(p, &text);
    if (!done) {
        buffer_clear(&text);
        return out_of_memory();
    }
    if (is_stdout(path)) {
        done = print_all(text.bytes, text.n);
        buffer_clear(&text);
        return done;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    done = fd >= 0 && write_all(fd, text.bytes, text.n);
    if (fd >= 0)
        done = close(fd) == 0 && done;
    if (!done) {
        char what[512];
        (void)snprintf(what, sizeof what, "cannot write %.256s: %s", path, strerror(errno));
        report(NULL, what, "name another file");
    }
    buffer_clear(&text);
    return done;
}

bool draw_show(const struct draw_picture *p, const struct draw_taste *taste,
               const struct options *o)
{
    if (p->failed)
        return out_of_memory();
    bool instead = o->json || is_stdout(o->svg) || is_stdout(o->html);
    return (instead || to_terminal(p, taste)) && to_file(p, o->svg, draw_svg) &&
           to_file(p, o->html, draw_html);
}
