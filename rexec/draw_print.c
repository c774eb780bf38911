#include "rexec/draw_print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool draw_print(struct buffer *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *room = n >= 0 ? buffer_room(out, (size_t)n + 1) : NULL;
    if (room == NULL)
        return false;
    va_start(arguments, format);
    (void)vsnprintf(room, (size_t)n + 1, format, arguments);
    va_end(arguments);
    out->n += (size_t)n;
    return true;
}

bool draw_print_xml(struct buffer *out, const char *text)
{
    bool done = true;
    while (*text != '\0' && done) {
        size_t n = strcspn(text, "&<>\"");
        done = buffer_add(out, text, n);
        text += n;
        if (*text == '\0' || !done)
            break;
        done = draw_print(out, "&%s;",
                          *text == '&'   ? "amp"
                          : *text == '<' ? "lt"
                          : *text == '>' ? "gt"
                                         : "quot");
        text++;
    }
    return done;
}
