/*
 * /dev/null as it was when the daemon started, whatever stands under its name later: tools of
 * root's that replace the file that they write to have taken many a machine's away for a moment, or
 * have left a plain file there.
 */
#ifndef REXEC_REXECD_NULL_H
#define REXEC_REXECD_NULL_H

/* Remembers which device it is; once. */
void null_remember(void);

/* A descriptor that is shared with nobody, close-on-exec. mode: O_RDONLY or O_RDWR. -1 with errno.
 */
int null_open(int mode);

#endif
