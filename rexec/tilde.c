#include "rexec/tilde.h"

#include <string.h>
#include <strings.h>

enum { CONTROL_Z = 'Z' & 31 };

void tilde_init(struct tilde *t, const char *setting)
{
    *t = (struct tilde){.character = '~', .line_start = true};
    if (setting == NULL)
        return;
    if (strcasecmp(setting, "none") == 0)
        t->character = -1;
    else if (setting[0] == '^' && setting[1] != '\0')
        t->character = setting[1] == '?' ? 127 : setting[1] & 31;
    else
        t->character = (unsigned char)setting[0];
}

/* What the byte behind an escape character asks for; 0: nothing. */
static unsigned meaning_of(uint8_t byte)
{
    switch (byte) {
    case '.':
        return TILDE_GIVE_UP;
    case CONTROL_Z:
        return TILDE_SUSPEND;
    case '?':
        return TILDE_HELP;
    default:
        return 0;
    }
}

size_t tilde_filter(struct tilde *t, const uint8_t *typed, size_t n, uint8_t *out, unsigned *asked)
{
    size_t written = 0;
    *asked = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = typed[i];
        if (t->held) {
            t->held = false;
            unsigned meaning = meaning_of(byte);
            *asked |= meaning;
            if (meaning == TILDE_GIVE_UP)
                break;
            if (meaning != 0)
                continue; /* still at the start of the line */
            if (byte != t->character)
                out[written++] = (uint8_t)t->character; /* twice means once */
        } else if (t->line_start && byte == t->character) {
            t->held = true;
            continue;
        }
        t->line_start = byte == '\r' || byte == '\n';
        out[written++] = byte;
    }
    return written;
}

size_t tilde_end(struct tilde *t, uint8_t out[static 1])
{
    if (!t->held)
        return 0;
    t->held = false;
    out[0] = (uint8_t)t->character;
    return 1;
}
