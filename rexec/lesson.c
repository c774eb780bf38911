/* rexec lesson NAME: the table of lessons. */
#include "rexec/lesson.h"

#include <stdio.h>
#include <string.h>

#include "rexec/report.h"
#include "rexec/verbs.h"

static const struct {
    const char *name, *text;
    int (*teach)(const struct options *o);
} lessons[] = {
    {"sticky", "messages that stick together and fall apart in TCP, and two cures", lesson_sticky},
    {"handshake", "how a client proves itself, and how that goes wrong", lesson_handshake},
};

static const size_t lesson_count = sizeof lessons / sizeof lessons[0];

int verb_lesson(struct options *o)
{
    if (o->word_count == 0) {
        for (size_t i = 0; i < lesson_count; i++) {
            char line[160];
            (void)snprintf(line, sizeof line, "%-12s %s\n", lessons[i].name, lessons[i].text);
            if (!print_all(line, strlen(line)))
                return EXIT_REXEC;
        }
        return 0;
    }
    for (size_t i = 0; i < lesson_count && o->word_count == 1; i++) {
        if (strcmp(o->words[0], lessons[i].name) == 0)
            return lessons[i].teach(o);
    }
    report(NULL, o->word_count == 1 ? "there is no such lesson" : "one lesson at a time",
           "`rexec lesson` lists them");
    return EXIT_REXEC;
}
