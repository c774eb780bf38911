/* What net has to know of a command's terminal. */

#include <asm/termbits.h> /* the kernel's own structure: libraries differ in the call they make */
#include <sys/ioctl.h>

#include "rexecd/net_internal.h"

int terminal_eof(int master)
{
    struct termios t;
    if (ioctl(master, TCGETS, &t) < 0)
        return -1;
    /* Who reads lines, or edits them itself but leaves the keys of signals alone, as shells do,
     * takes the character for an end. For who wants each byte as it is, it would be one too many.
     */
    bool raw = (t.c_lflag & (ICANON | ISIG)) == 0;
    return raw || t.c_cc[VEOF] == 0 ? -1 : t.c_cc[VEOF];
}
