#include "rexecd/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/modes.h"

/* Above the descriptors that a child replaces (rexecd/spawn.c); the old one is closed in any case.
 */
enum { LOWEST_FD = 4 };

static int raise_fd(int fd)
{
    if (fd < 0 || fd >= LOWEST_FD)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    int error = errno;
    (void)close(fd);
    errno = error;
    return high;
}

/* The group whose programs may write to others' terminals: write(1), wall(1). False: there is none.
 */
static bool tty_group(gid_t *gid)
{
    static gid_t tty;
    static bool known;
    if (!known) {
        const struct group *group = getgrnam("tty");
        if (group == NULL)
            return false;
        tty = group->gr_gid;
        known = true;
    }
    *gid = tty;
    return true;
}

static int priv_give(int slave, const struct user *user)
{
    gid_t gid = user->gid;
    (void)tty_group(&gid);
    return fchown(slave, user->uid, gid);
}

/* Where it is not that group's, nobody but the user may. */
static int protect(int slave)
{
    struct stat st;
    gid_t gid;
    if (fstat(slave, &st) < 0)
        return -1;
    return fchmod(slave, tty_group(&gid) && gid == st.st_gid ? 0620 : 0600);
}

static int set_modes(int slave, const struct rx_modes *modes)
{
    struct termios t;
    if (tcgetattr(slave, &t) < 0)
        return -1;
    rx_modes_apply(modes, &t);
    return tcsetattr(slave, TCSANOW, &t);
}

static int open_both(struct pty *p)
{
    p->master = raise_fd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (p->master < 0 || unlockpt(p->master) < 0)
        return -1;
    int error = ptsname_r(p->master, p->name, sizeof p->name);
    if (error != 0) {
        errno = error;
        return -1;
    }
    /* By its master, not by its name: another /dev/pts may be mounted there meanwhile. */
    p->slave = raise_fd(ioctl(p->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    return p->slave < 0 ? -1 : 0;
}

struct pty *pty_new(const struct rx_pty *asked, const struct user *user, bool give)
{
    struct pty *p = malloc(sizeof *p);
    if (p == NULL)
        return NULL;
    *p = (struct pty){.master = -1, .slave = -1};
    if (open_both(p) == 0 && (!give || priv_give(p->slave, user) == 0) && protect(p->slave) == 0 &&
        set_modes(p->slave, &asked->modes) == 0 &&
        pty_resize(p->master, asked->rows, asked->cols, asked->width, asked->height) == 0)
        return p;
    int error = errno;
    pty_free(p);
    errno = error;
    return NULL;
}

void pty_free(struct pty *pty)
{
    if (pty == NULL)
        return;
    if (pty->master >= 0)
        (void)close(pty->master);
    if (pty->slave >= 0)
        (void)close(pty->slave);
    free(pty);
}

static unsigned short size_of(int64_t n)
{
    return n != RX_ABSENT ? (unsigned short)n : 0;
}

int pty_resize(int master, int64_t rows, int64_t cols, int64_t width, int64_t height)
{
    const struct winsize size = {
        .ws_row = size_of(rows),
        .ws_col = size_of(cols),
        .ws_xpixel = size_of(width),
        .ws_ypixel = size_of(height),
    };
    return ioctl(master, TIOCSWINSZ, &size);
}

int pty_signal(int master, int number)
{
    return ioctl(master, TIOCSIG, number);
}
