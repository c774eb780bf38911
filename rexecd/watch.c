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
static bool is_remote(const char *path)
{
    static const unsigned remote[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                      SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, AFS_SUPER_MAGIC,
                                      AFS_FS_MAGIC,     CEPH_SUPER_MAGIC, V9FS_MAGIC,
                                      CODA_SUPER_MAGIC, OCFS2_SUPER_MAGIC};
    struct statfs system;
    if (statfs(path, &system) < 0)
        return true;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((unsigned)system.f_type == remote[i])
            return true;
    return false;
}

/* Asks to be told of one file, there or not. Where a name is a link to another name, nobody tells
 * of what happens to that one. */
static bool add(int told, const char *file)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t n = slash != NULL ? (size_t)(slash - file) : 0;
    if (n == 0 || n >= sizeof directory)
        return false;
    memcpy(directory, file, n);
    directory[n] = '\0';
    /* The directory first: whatever comes to be there from now on is told. */
    if (is_remote(directory) ||
        inotify_add_watch(told, directory,
                          IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0)
        return false;
    struct stat status;
    if (lstat(file, &status) < 0)
        return errno == ENOENT;
    /* A name that is taken away changes the file's number of links: an attribute. */
    return S_ISREG(status.st_mode) && !is_remote(file) &&
           inotify_add_watch(told, file, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF) >= 0;
}

/* Asks to be told of all, anew: what was asked for is another file by now. -1: it cannot be. */
static int begin_telling(const struct watch *w)
{
    int told = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    for (size_t i = 0; told >= 0 && i < WATCH_FILES_MAX && w->files[i] != NULL; i++) {
        if (!add(told, w->files[i])) {
            (void)close(told);
            told = -1;
        }
    }
    return told;
}

/* Whether something was told: 0: nothing; below 0: it does not work. */
static ssize_t hear(const struct watch *w)
{
    _Alignas(struct inotify_event) char events[4096];
    for (;;) {
        ssize_t n = read(w->told, events, sizeof events);
        if (n > 0 || (n < 0 && errno == EAGAIN))
            return n > 0 ? n : 0;
        if (n == 0 || errno != EINTR)
            return -1;
    }
}

struct watch *watch_new(const char *const *files, bool told)
{
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->files = files;
    w->fresh = true;
    w->told = told ? begin_telling(w) : -1;
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
    /* Before anybody reads them: what changes later is told. */
    (void)close(w->told);
    w->told = heard > 0 ? begin_telling(w) : -1;
    if (w->told < 0)
        (void)look(w);
    return true;
}

bool watch_is_told(const struct watch *w)
{
    return w->told >= 0;
}
