#include "rexecd/grantdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexecd/log.h"

/* One file as it is read. */
struct reading {
    const char *directory, *file, *server_name;
    struct rx_grants *grants;
};

static bool refuse(const struct reading *r, const char *what)
{
    log_warning("%s/%s: %s: not used", r->directory, r->file, what);
    return false;
}

/* Who may be trusted with a grant: root, or who runs the daemon. */
static bool owner_is_fine(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

/* The descriptor says whose file it is, so that nothing can be swapped in between. */
static bool file_is_private(const struct reading *r, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(r, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(r, "not a regular file");
    if (!owner_is_fine(st.st_uid))
        return refuse(r, "belongs to another user: chown it");
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return refuse(r, "others may read or write it: chmod 600 it");
    return true;
}

static bool add_grant(const struct reading *r, const struct rx_grant *grant)
{
    if (strcmp(grant->server, r->server_name) != 0) {
        log_warning("%s/%s: is for the server %s, and this one is %s (--name): not used",
                    r->directory, r->file, grant->server, r->server_name);
        return false;
    }
    enum rx_error error = rx_grants_add(r->grants, grant);
    if (error == RX_E_BAD_FILE)
        return refuse(r, grant->revoked ? "its kid is in another file, which it revokes"
                                        : "its kid is in another file already");
    return error == RX_OK || refuse(r, rx_error_text(error));
}

static bool read_text(const struct reading *r, int fd, char *text)
{
    struct rx_grant grant = {0};
    struct rx_file_error error = {0};
    size_t n = 0;
    while (n <= RX_GRANT_FILE_MAX) {
        ssize_t got = read(fd, text + n, RX_GRANT_FILE_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(r, strerror(errno));
        if (got == 0)
            break;
        n += (size_t)got;
    }
    bool added = false;
    if (rx_grant_parse(text, n, &grant, &error) == RX_OK)
        added = add_grant(r, &grant);
    else if (error.line > 0)
        log_warning("%s/%s:%u: %s: not used", r->directory, r->file, error.line, error.what);
    else
        (void)refuse(r, error.what);
    rx_grant_wipe(&grant);
    return added;
}

static bool read_file(const struct reading *r, int directory)
{
    int fd = openat(directory, r->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return refuse(r, errno == ELOOP ? "a symbolic link" : strerror(errno));
    bool added = false;
    char *text = file_is_private(r, fd) ? malloc(RX_GRANT_FILE_MAX + 1) : NULL;
    if (text != NULL) {
        added = read_text(r, fd, text);
        sodium_memzero(text, RX_GRANT_FILE_MAX + 1);
        free(text);
    }
    (void)close(fd);
    return added;
}

static bool is_skipped(const char *name)
{
    size_t n = strlen(name);
    return name[0] == '.' || name[n - 1] == '~';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int wanted(const struct dirent *entry)
{
    return !is_skipped(entry->d_name);
}

/* Who may write here could put a grant of their own in. */
static int open_directory(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        log_error("%s: there is no such directory of grants; make it: mkdir -p -m 700 %s", path,
                  path);
    } else if (fd < 0 || fstat(fd, &st) < 0) {
        log_error("%s: the grants cannot be read: %s", path, strerror(errno));
    } else if (!owner_is_fine(st.st_uid) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        log_error("%s: others may write to the grants: chown and chmod go-w the directory", path);
    } else {
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* Should a dump ever be made of this process, there shall be no keys in it. Whole pages, so that of
 * their neighbours some are left out, too. */
static void keep_out_of_dumps(const struct rx_grants *grants)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)rx_grants_at(grants, 0);
    uintptr_t end = begin + rx_grants_count(grants) * sizeof(struct rx_grant);
    if (begin == 0)
        return;
    begin -= begin % page;
    end += (page - end % page) % page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    (void)madvise((void *)begin, end - begin, MADV_DONTDUMP);
}

struct rx_grants *grantdir_read(const char *path, const char *server_name,
                                struct grantdir_result *result)
{
    *result = (struct grantdir_result){0};
    int directory = open_directory(path);
    if (directory < 0)
        return NULL;
    struct dirent **entries = NULL;
    int count = scandirat(directory, ".", &entries, wanted, by_name);
    struct rx_grants *grants = rx_grants_new();
    if (count < 0 || grants == NULL)
        log_error("%s: the grants cannot be read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        const struct reading r = {path, entries[i]->d_name, server_name, grants};
        if (grants != NULL && read_file(&r, directory))
            result->read++;
        else
            result->refused++;
        free(entries[i]);
    }
    free(entries);
    (void)close(directory);
    if (count >= 0 && grants != NULL)
        keep_out_of_dumps(grants);
    if (count >= 0)
        return grants;
    rx_grants_free(grants);
    return NULL;
}

const struct rx_grant *grantdir_find(const struct rx_grants *grants,
                                     const uint8_t kid[static RX_KID_SIZE])
{
    return rx_grants_find(grants, kid);
}

void grantdir_principal(const struct rx_grant *grant, char out[static RX_PRINCIPAL_MAX + 1])
{
    if (grant->name[0] != '\0')
        (void)snprintf(out, RX_PRINCIPAL_MAX + 1, "%s", grant->name);
    else
        (void)sodium_bin2hex(out, RX_PRINCIPAL_MAX + 1, grant->keys.kid, RX_KID_SIZE);
}
