#include "rexecd/spawn_pipes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/null.h"

/* A pipe with both ends above those that the child replaces, one of which does not block: the
 * daemon's. */
struct pipe {
    int ours, theirs;
    uint64_t inode; /* of an output, which somebody may hold */
};

/* Pipes of a command to come. */
enum { SPARE_STDIN, SPARE_STDOUT, SPARE_STDERR, SPARE_STATUS, SPARE_COUNT };
static struct pipe spare[SPARE_COUNT] = {{-1, -1, 0}, {-1, -1, 0}, {-1, -1, 0}, {-1, -1, 0}};
static int spare_null = -1;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* A descriptor above those that the child replaces; the old one is closed in any case. */
static int raise_fd(int fd)
{
    if (fd < 0 || fd > SPAWN_FDS)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FDS + 1);
    (void)close(fd);
    return high;
}

static int inode_of(int fd, uint64_t *inode, uint64_t *device)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -1;
    *inode = st.st_ino;
    if (device != NULL)
        *device = st.st_dev;
    return 0;
}

/* Of its master the daemon gets one for what goes in and one for what comes out, as with pipes, and
 * one to keep. */
static int open_terminal(struct spawn *s, struct pty *pty, int theirs[static SPAWN_FDS])
{
    for (int i = 0; i < SPAWN_FDS; i++) {
        theirs[i] = fcntl(pty->slave, F_DUPFD_CLOEXEC, SPAWN_FDS + 1);
        if (theirs[i] < 0)
            return -1;
    }
    for (int i = 0; i < 2; i++) {
        s->fds[i] = fcntl(pty->master, F_DUPFD_CLOEXEC, SPAWN_FDS + 1);
        if (s->fds[i] < 0)
            return -1;
    }
    s->terminal = pty->master;
    pty->master = -1;
    return inode_of(pty->slave, &s->output.terminal, &s->output.device);
}

static bool open_pipe(struct pipe *p, int which)
{
    int fds[2];
    const bool ours_reads = which != SPARE_STDIN;
    const bool output = which == SPARE_STDOUT || which == SPARE_STDERR;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    p->ours = raise_fd(fds[ours_reads ? 0 : 1]);
    p->theirs = raise_fd(fds[ours_reads ? 1 : 0]);
    /* A new pipe's end has no other flags. */
    return p->ours >= 0 && p->theirs >= 0 && fcntl(p->ours, F_SETFL, O_NONBLOCK) == 0 &&
           (!output || inode_of(p->ours, &p->inode, NULL) == 0);
}

static void close_pipe(struct pipe *p)
{
    close_fd(&p->ours);
    close_fd(&p->theirs);
}

void spawn_prepare(void)
{
    for (int i = 0; i < SPARE_COUNT; i++)
        if (spare[i].ours < 0 && !open_pipe(&spare[i], i))
            close_pipe(&spare[i]);
    if (spare_null < 0)
        spare_null = raise_fd(null_open(O_RDONLY));
}

void spawn_unprepare(void)
{
    for (int i = 0; i < SPARE_COUNT; i++)
        close_pipe(&spare[i]);
    close_fd(&spare_null);
}

/* The prepared one, or a new one, for the caller: what of it is open even when it failed. */
static bool take_pipe(int which, int *ours, int *theirs, uint64_t *inode)
{
    struct pipe p = spare[which];
    bool made = p.ours >= 0 || open_pipe(&p, which);
    spare[which] = (struct pipe){-1, -1, 0};
    *ours = p.ours;
    *theirs = p.theirs;
    if (inode != NULL)
        *inode = p.inode;
    return made;
}

static int take_null(void)
{
    int fd = spare_null >= 0 ? spare_null : raise_fd(null_open(O_RDONLY));
    spare_null = -1;
    return fd;
}

int pipes_open(struct spawn *s, const struct spawn_plan *plan, int theirs[static SPAWN_FDS])
{
    if (plan->pty != NULL)
        return open_terminal(s, plan->pty, theirs);
    if (plan->no_stdin) {
        theirs[0] = take_null();
        if (theirs[0] < 0)
            return -1;
    } else if (!take_pipe(SPARE_STDIN, &s->fds[0], &theirs[0], NULL)) {
        return -1;
    }
    for (int i = 1; i < SPAWN_FDS; i++)
        if (!take_pipe(i == 1 ? SPARE_STDOUT : SPARE_STDERR, &s->fds[i], &theirs[i],
                       &s->output.pipes[i - 1]))
            return -1;
    return 0;
}

int pipes_status(int *ours, int *theirs)
{
    return take_pipe(SPARE_STATUS, ours, theirs, NULL) ? 0 : -1;
}
