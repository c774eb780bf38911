#include "rexec/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *home(void)
{
    const char *value = getenv("HOME");
    if (value != NULL && value[0] == '/')
        return value;
    const struct passwd *user = getpwuid(geteuid());
    return user != NULL ? user->pw_dir : NULL;
}

static bool join(const char *directory, const char *rest, char path[static PATH_MAX])
{
    if (directory == NULL)
        return false;
    int n = snprintf(path, PATH_MAX, "%s/%s", directory, rest);
    return n > 0 && n < PATH_MAX;
}

bool keyfile_default(const char *name, char path[static PATH_MAX])
{
    char below[64];
    (void)snprintf(below, sizeof below, ".config/rexec/%s", name);
    return join(home(), below, path);
}

bool keyfile_expand(const char *given, char path[static PATH_MAX])
{
    if (strncmp(given, "~/", 2) == 0)
        return join(home(), given + 2, path);
    int n = snprintf(path, PATH_MAX, "%s", given);
    return n > 0 && n < PATH_MAX;
}

static bool cannot(struct rx_failure *failure, const char *path, int error)
{
    if (error == ENOENT) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "there is no key %s", path);
        rx_failure_todo(failure, "make one with `rexec keygen %s`, or name another with -i", path);
    } else {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot read the key %s: %s", path,
                       strerror(error));
        rx_failure_todo(failure, error == EACCES ? "check its permissions, or name another with -i"
                                                 : "name the file of a key with -i");
    }
    return false;
}

static bool not_private(struct rx_failure *failure, const char *path)
{
    rx_failure_set(failure, RX_TROUBLE_SYSTEM, "the key %s can be read or changed by others", path);
    rx_failure_todo(failure, "chmod 600 %s, and make a new key if somebody may have read it", path);
    return false;
}

/* All of a file, or RX_KEY_FILE_MAX + 1 bytes of one that is too long. -1, with errno. */
static ssize_t read_file(int fd, char *text, size_t cap)
{
    size_t n = 0;
    while (n < cap) {
        ssize_t got = read(fd, text + n, cap - n);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
    }
    return (ssize_t)n;
}

bool keyfile_read(const char *path, struct rx_key *key, struct rx_failure *failure)
{
    rx_key_wipe(key);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return cannot(failure, path, errno);
    struct stat status;
    bool known = fstat(fd, &status) == 0;
    /* A pipe may be a shell's <(...). Nobody shall be told to change the mode of anything else. */
    if (known && !S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
        (void)close(fd);
        return cannot(failure, path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
    }
    if (known && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)close(fd);
        return not_private(failure, path);
    }
    char text[RX_KEY_FILE_MAX + 1];
    ssize_t n = read_file(fd, text, sizeof text);
    int error = errno;
    (void)close(fd);
    if (n < 0) {
        sodium_memzero(text, sizeof text); /* a part of it may have come */
        return cannot(failure, path, error);
    }
    struct rx_file_error why;
    bool good = rx_key_parse(text, (size_t)n, key, &why) == RX_OK;
    sodium_memzero(text, sizeof text);
    if (good)
        return true;
    if (why.line > 0) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s:%u: %s", path, why.line, why.what);
    } else {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "%s: %s", path, why.what);
    }
    rx_failure_todo(failure, "repair the key file, or make a new one with `rexec keygen`");
    return false;
}
