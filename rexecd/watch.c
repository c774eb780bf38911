#include "rexecd/watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What tells one content of a file from another. All zero: it is not there. */
struct mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct watch {
    const char *const *files;
    int told;                           /* by inotify; -1: not */
    bool fresh;                         /* not asked yet */
    struct mark marks[WATCH_FILES_MAX]; /* as they were last seen, if not told */
};

/* ---- looking ---------------------------------------------------------------------------- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct mark *a, const struct mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

static bool look(struct watch *w)
{
    bool changed = false;
    for (size_t i = 0; i < WATCH_FILES_MAX && w->files[i] != NULL; i++) {
        struct mark mark = {0};
        struct stat file;
        if (stat(w->files[i], &file) == 0)
            mark =
                (struct mark){file.st_dev, file.st_ino, file.st_size, file.st_mtim, file.st_ctim};
        changed = changed || !same(&mark, &w->marks[i]);
        w->marks[i] = mark;
    }
    return changed;
}

/* ---- being told ------------------------------------------------------------------------- */

/* Of changes that another machine makes the kernel does not tell. */
static bool is_remote(const char *directory)
{
    static const unsigned remote[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                      SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, AFS_SUPER_MAGIC,
                                      AFS_FS_MAGIC,     CEPH_SUPER_MAGIC, V9FS_MAGIC,
                                      CODA_SUPER_MAGIC, OCFS2_SUPER_MAGIC};
    struct statfs system;
    if (statfs(directory, &system) < 0)
        return true;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((unsigned)system.f_type == remote[i])
            return true;
    return false;
}

/* Asks to be told of one file, there or not. */
static bool add(int told, const char *file)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t n = slash != NULL ? (size_t)(slash - file) : 0;
    if (n == 0 || n >= sizeof directory)
        return false;
    memcpy(directory, file, n);
    directory[n] = '\0';
    return !is_remote(directory) &&
           inotify_add_watch(told, directory,
                             IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
                                 IN_MOVE_SELF | IN_ONLYDIR) >= 0 &&
           (inotify_add_watch(told, file, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) >=
                0 ||
            errno == ENOENT);
}

/* Asks to be told of all. What was asked before goes on: a name may be another file by now. */
static void add_all(struct watch *w)
{
    bool all = true;
    for (size_t i = 0; all && i < WATCH_FILES_MAX && w->files[i] != NULL; i++)
        all = add(w->told, w->files[i]);
    if (all)
        return;
    (void)close(w->told);
    w->told = -1;
}

/* Takes all that was told: how many bytes. Below 0: it does not work. */
static ssize_t hear(const struct watch *w)
{
    _Alignas(struct inotify_event) char events[4096];
    ssize_t heard = 0;
    for (;;) {
        ssize_t n = read(w->told, events, sizeof events);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? heard : -1;
        heard += n;
        if ((size_t)n < sizeof events / 2) /* what was not taken would fit */
            return heard;
    }
}

struct watch *watch_new(const char *const *files, bool told)
{
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->files = files;
    w->fresh = true;
    w->told = told ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    if (w->told >= 0)
        add_all(w);
    return w;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    if (w->told >= 0)
        (void)close(w->told);
    free(w);
}

bool watch_changed(struct watch *w)
{
    bool fresh = w->fresh;
    w->fresh = false;
    if (w->told < 0)
        return look(w) || fresh;
    ssize_t heard = hear(w);
    if (heard == 0)
        return fresh;
    if (heard > 0) {
        add_all(w); /* before anybody reads them: what changes later is told */
    } else {
        (void)close(w->told);
        w->told = -1;
    }
    if (w->told < 0)
        (void)look(w);
    return true;
}

bool watch_is_told(const struct watch *w)
{
    return w->told >= 0;
}
