#include "rexecd/tracedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ID_BYTES = 4 }; /* of the session's id that are in a file's name */

static bool wrong(char error[static TRACEDIR_ERROR_MAX], const char *path, const char *what)
{
    (void)snprintf(error, TRACEDIR_ERROR_MAX, "%.300s: %s", path, what);
    return false;
}

/* The directory, open: whoever may write to it could give away what is in it, or fill it. -1, with
 * error. */
static int open_directory(const char *path, char error[static TRACEDIR_ERROR_MAX])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = true;
    if (fd < 0 || fstat(fd, &st) < 0)
        good = wrong(error, path, strerror(errno));
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        good = wrong(error, path, "belongs to another user: chown it");
    else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        good = wrong(error, path, "others may write here: chmod 700 it");
    if (!good && fd >= 0)
        (void)close(fd);
    return good ? fd : -1;
}

bool tracedir_check(const char *path, char error[static TRACEDIR_ERROR_MAX])
{
    int fd = open_directory(path, error);
    if (fd < 0)
        return false;
    (void)close(fd);
    return access(path, W_OK | X_OK) == 0 || wrong(error, path, strerror(errno));
}

/* Whether so many files are there already. */
static bool is_full(int directory, size_t most)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    size_t count = 0;
    if (entries == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return true;
    }
    const struct dirent *entry;
    while (count < most && (entry = readdir(entries)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(entries);
    return count >= most;
}

static bool utc(int64_t us, struct tm *parts)
{
    time_t seconds = (time_t)(us / 1000000);
    return gmtime_r(&seconds, parts) != NULL;
}

static bool file_name(const struct tracedir_session *s, char name[static TRACEDIR_NAME_MAX])
{
    char date[32], id[2 * ID_BYTES + 1];
    struct tm parts;
    if (!utc(s->start_us, &parts) || strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &parts) == 0)
        return false;
    (void)sodium_bin2hex(id, sizeof id, s->id, ID_BYTES);
    (void)snprintf(name, TRACEDIR_NAME_MAX, "%s-%s.trace", date, id);
    return true;
}

/* The lines with text in them. NULL: no memory. The caller frees. */
static char *first_lines(const struct tracedir_session *s)
{
    char date[32], start[48];
    struct tm parts;
    if (!utc(s->start_us, &parts) || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return NULL;
    (void)snprintf(start, sizeof start, "%s.%06dZ", date, (int)(s->start_us % 1000000));
    json_t *head = json_pack("{s:i,s:s,s:s,s:s}", "trace", 1, "side", "server", "host", s->server,
                             "start", start);
    json_t *connection =
        json_pack("{s:i,s:i,s:s}", "connection", 1, "ns", 0, "address", s->address);
    char *one = head != NULL ? json_dumps(head, JSON_COMPACT) : NULL;
    char *two = connection != NULL ? json_dumps(connection, JSON_COMPACT) : NULL;
    char *lines = NULL;
    if (one != NULL && two != NULL && asprintf(&lines, "%s\n%s\n", one, two) < 0)
        lines = NULL;
    free(one);
    free(two);
    json_decref(head);
    json_decref(connection);
    return lines;
}

/* Makes the file, and writes its first lines: all of them, or it is taken away again. */
static int make_file(int directory, const char *name, const struct tracedir_session *s,
                     size_t *written)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    char *lines = first_lines(s);
    int fd = lines != NULL ? openat(directory, name, flags, 0600) : -1;
    int saved = lines != NULL ? errno : ENOMEM;
    if (fd >= 0) {
        *written = strlen(lines);
        ssize_t n = write(fd, lines, *written);
        if (n != (ssize_t)*written) {
            saved = n < 0 ? errno : ENOSPC;
            (void)close(fd);
            (void)unlinkat(directory, name, 0);
            fd = -1;
        }
    }
    free(lines);
    errno = saved;
    return fd;
}

int tracedir_begin(const char *path, size_t most, const struct tracedir_session *session,
                   char name[static TRACEDIR_NAME_MAX], size_t *written,
                   char error[static TRACEDIR_ERROR_MAX])
{
    int directory = open_directory(path, error);
    int fd = -1;
    if (directory < 0)
        return -1;
    if (is_full(directory, most))
        (void)wrong(error, path, "trace_files are there: remove some");
    else if (!file_name(session, name) || (fd = make_file(directory, name, session, written)) < 0)
        (void)wrong(error, path, strerror(errno));
    (void)close(directory);
    return fd;
}
