#include "proto/modes.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { DISABLED = 255 }; /* a control character that there is not, on the wire */

enum { FLAGS_IN, FLAGS_OUT, FLAGS_CONTROL, FLAGS_LOCAL, FLAGS_COUNT };

static const struct {
    const char *name;
    int at;
} characters[] = {
    {"vintr", VINTR},       {"vquit", VQUIT}, {"verase", VERASE},
    {"vkill", VKILL},       {"veof", VEOF},   {"veol", VEOL},
    {"vstart", VSTART},     {"vstop", VSTOP}, {"vsusp", VSUSP},
#ifdef VEOL2
    {"veol2", VEOL2},
#endif
#ifdef VREPRINT
    {"vreprint", VREPRINT},
#endif
#ifdef VWERASE
    {"vwerase", VWERASE},
#endif
#ifdef VLNEXT
    {"vlnext", VLNEXT},
#endif
#ifdef VDISCARD
    {"vdiscard", VDISCARD},
#endif
};

static const struct {
    const char *name;
    int which;
    tcflag_t mask, value; /* on: the masked bits have this value */
} flags[] = {
#define FLAG(which, name, bit)                                                                     \
    {                                                                                              \
        (name), (which), (bit), (bit)                                                              \
    }
    FLAG(FLAGS_IN, "ignbrk", IGNBRK),      FLAG(FLAGS_IN, "brkint", BRKINT),
    FLAG(FLAGS_IN, "ignpar", IGNPAR),      FLAG(FLAGS_IN, "parmrk", PARMRK),
    FLAG(FLAGS_IN, "inpck", INPCK),        FLAG(FLAGS_IN, "istrip", ISTRIP),
    FLAG(FLAGS_IN, "inlcr", INLCR),        FLAG(FLAGS_IN, "igncr", IGNCR),
    FLAG(FLAGS_IN, "icrnl", ICRNL),        FLAG(FLAGS_IN, "ixon", IXON),
    FLAG(FLAGS_IN, "ixany", IXANY),        FLAG(FLAGS_IN, "ixoff", IXOFF),
#ifdef IMAXBEL
    FLAG(FLAGS_IN, "imaxbel", IMAXBEL),
#endif
#ifdef IUTF8
    FLAG(FLAGS_IN, "iutf8", IUTF8),
#endif
    FLAG(FLAGS_OUT, "opost", OPOST),       FLAG(FLAGS_OUT, "onlcr", ONLCR),
    FLAG(FLAGS_OUT, "ocrnl", OCRNL),       FLAG(FLAGS_OUT, "onocr", ONOCR),
    FLAG(FLAGS_OUT, "onlret", ONLRET),     FLAG(FLAGS_CONTROL, "parenb", PARENB),
    FLAG(FLAGS_CONTROL, "parodd", PARODD), {"cs7", FLAGS_CONTROL, CSIZE, CS7},
    {"cs8", FLAGS_CONTROL, CSIZE, CS8},    FLAG(FLAGS_LOCAL, "isig", ISIG),
    FLAG(FLAGS_LOCAL, "icanon", ICANON),   FLAG(FLAGS_LOCAL, "echo", ECHO),
    FLAG(FLAGS_LOCAL, "echoe", ECHOE),     FLAG(FLAGS_LOCAL, "echok", ECHOK),
    FLAG(FLAGS_LOCAL, "echonl", ECHONL),   FLAG(FLAGS_LOCAL, "noflsh", NOFLSH),
    FLAG(FLAGS_LOCAL, "tostop", TOSTOP),   FLAG(FLAGS_LOCAL, "iexten", IEXTEN),
#ifdef ECHOCTL
    FLAG(FLAGS_LOCAL, "echoctl", ECHOCTL),
#endif
#ifdef ECHOKE
    FLAG(FLAGS_LOCAL, "echoke", ECHOKE),
#endif
#undef FLAG
};

static const struct {
    speed_t constant;
    int64_t baud;
} speeds[] = {
    {B50, 50},       {B75, 75},         {B110, 110},   {B134, 134},     {B150, 150},
    {B200, 200},     {B300, 300},       {B600, 600},   {B1200, 1200},   {B1800, 1800},
    {B2400, 2400},   {B4800, 4800},     {B9600, 9600}, {B19200, 19200}, {B38400, 38400},
    {B57600, 57600}, {B115200, 115200},
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

_Static_assert(COUNT(characters) + COUNT(flags) + 2 <= RX_MODES_MAX, "more modes than EXEC has");

/* ---- from a terminal -------------------------------------------------------------------- */

static void add(struct rx_modes *modes, const char *name, int64_t value)
{
    size_t length = strlen(name);
    memcpy(modes->modes[modes->count].name, name, length + 1);
    modes->modes[modes->count].value = value;
    modes->count++;
}

static void add_speed(struct rx_modes *modes, const char *name, speed_t speed)
{
    for (size_t i = 0; i < COUNT(speeds); i++) {
        if (speeds[i].constant == speed)
            add(modes, name, speeds[i].baud);
    }
}

void rx_modes_read(const struct termios *t, struct rx_modes *modes)
{
    const tcflag_t now[FLAGS_COUNT] = {t->c_iflag, t->c_oflag, t->c_cflag, t->c_lflag};
    modes->count = 0;
    for (size_t i = 0; i < COUNT(characters); i++) {
        cc_t c = t->c_cc[characters[i].at];
        add(modes, characters[i].name, c == _POSIX_VDISABLE ? DISABLED : c);
    }
    for (size_t i = 0; i < COUNT(flags); i++)
        add(modes, flags[i].name, (now[flags[i].which] & flags[i].mask) == flags[i].value);
    add_speed(modes, "ispeed", cfgetispeed(t));
    add_speed(modes, "ospeed", cfgetospeed(t));
}

/* ---- to a terminal ---------------------------------------------------------------------- */

static bool apply_character(struct termios *t, const char *name, int64_t value)
{
    for (size_t i = 0; i < COUNT(characters); i++) {
        if (strcmp(characters[i].name, name) != 0)
            continue;
        if (value >= 0 && value <= DISABLED)
            t->c_cc[characters[i].at] = value == DISABLED ? _POSIX_VDISABLE : (cc_t)value;
        return true;
    }
    return false;
}

static bool apply_flag(struct termios *t, const char *name, int64_t value)
{
    tcflag_t *const all[FLAGS_COUNT] = {&t->c_iflag, &t->c_oflag, &t->c_cflag, &t->c_lflag};
    for (size_t i = 0; i < COUNT(flags); i++) {
        if (strcmp(flags[i].name, name) != 0)
            continue;
        tcflag_t *flag = all[flags[i].which];
        /* cs7 and cs8 are one field of bits: that it is not one of them does not say which. */
        bool size = flags[i].which == FLAGS_CONTROL && flags[i].mask == CSIZE;
        if (value != 0 || !size)
            *flag = (*flag & ~flags[i].mask) | (value != 0 ? flags[i].value : 0);
        return true;
    }
    return false;
}

static void apply_speed(struct termios *t, const char *name, int64_t value)
{
    for (size_t i = 0; i < COUNT(speeds); i++) {
        if (speeds[i].baud != value)
            continue;
        if (strcmp(name, "ispeed") == 0)
            (void)cfsetispeed(t, speeds[i].constant);
        else if (strcmp(name, "ospeed") == 0)
            (void)cfsetospeed(t, speeds[i].constant);
    }
}

void rx_modes_apply(const struct rx_modes *modes, struct termios *t)
{
    for (size_t i = 0; i < modes->count; i++) {
        const char *name = modes->modes[i].name;
        int64_t value = modes->modes[i].value;
        if (!apply_character(t, name, value) && !apply_flag(t, name, value))
            apply_speed(t, name, value);
    }
}
