/*
 * Whether one of some files has changed, asked often: by one system call that says no (inotify(7))
 * where the kernel tells of all changes, else by a look at each of them.
 *
 * The kernel tells of what happens to the files and to their names in their directories. It does
 * not tell that a path leads elsewhere because of what happened further up (a symbolic link, a
 * mount), nor what is written through a mapping. Names that are links, and other machines' files,
 * are looked at.
 */
#ifndef REXEC_REXECD_WATCH_H
#define REXEC_REXECD_WATCH_H

#include <stdbool.h>

enum { WATCH_FILES_MAX = 8 };

struct watch;

/* `files`: a list of at most WATCH_FILES_MAX paths that ends with NULL and stays the caller's; they
 * need not be there. `told`: whether the kernel may be asked to tell. NULL: no memory. */
struct watch *watch_new(const char *const *files, bool told);
void watch_free(struct watch *watch);

/* Whether one may have changed since this was last asked; the first time: true. What the caller
 * reads after that is not older than the answer. */
bool watch_changed(struct watch *watch);

/* Whether the kernel tells. */
bool watch_is_told(const struct watch *watch);

#endif
