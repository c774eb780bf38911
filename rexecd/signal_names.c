#include "rexecd/signal_names.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SIGNAL_LAST = 64, FIRST_REALTIME = 32 };

#define NAMED(name)                                                                                \
    {                                                                                              \
        SIG##name, #name                                                                           \
    }

static const struct {
    int number;
    const char *name;
} names[] = {
    NAMED(HUP),    NAMED(INT),  NAMED(QUIT),  NAMED(ILL),  NAMED(TRAP), NAMED(ABRT),
    NAMED(BUS),    NAMED(FPE),  NAMED(KILL),  NAMED(USR1), NAMED(SEGV), NAMED(USR2),
    NAMED(PIPE),   NAMED(ALRM), NAMED(TERM),  NAMED(CHLD), NAMED(CONT), NAMED(STOP),
    NAMED(TSTP),   NAMED(TTIN), NAMED(TTOU),  NAMED(URG),  NAMED(XCPU), NAMED(XFSZ),
    NAMED(VTALRM), NAMED(PROF), NAMED(WINCH), NAMED(IO),   NAMED(PWR),  NAMED(SYS),
#ifdef SIGSTKFLT
    NAMED(STKFLT),
#endif
};

void signal_name(int number, char name[static RX_SIGNAL_NAME_MAX + 1])
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == number) {
            (void)snprintf(name, RX_SIGNAL_NAME_MAX + 1, "%s", names[i].name);
            return;
        }
    }
    (void)snprintf(name, RX_SIGNAL_NAME_MAX + 1, "%s%d", number >= FIRST_REALTIME ? "RT" : "",
                   number);
}

/* Decimal, 1 to 64, nothing else. */
static int small_number(const char *text)
{
    int n = 0;
    if (text[0] < '1' || text[0] > '9')
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        n = n * 10 + (*text - '0');
        if (n > SIGNAL_LAST)
            return 0;
    }
    return n;
}

int signal_number(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].number;
    if (strncmp(name, "RT", 2) == 0) {
        int number = small_number(name + 2);
        return number >= FIRST_REALTIME ? number : 0;
    }
    return small_number(name);
}
