/* rexec keygen FILE: a new key, where nobody else can read it. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexec/keyfile.h"
#include "rexec/report.h"
#include "rexec/verbs.h"

static int cannot(const char *path, int error)
{
    char what[PATH_MAX + 128];
    if (error == EEXIST) {
        (void)snprintf(what, sizeof what, "%s is there already, and is not overwritten", path);
        report(NULL, what, "give another name, or move the old key away");
    } else {
        (void)snprintf(what, sizeof what, "cannot write %s: %s", path, strerror(error));
        report(NULL, what, "check the directory, its permissions and the room left");
    }
    return EXIT_REXEC;
}

/* The directories above the default key, as nobody made them before. */
static void make_parents(const char *path)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    for (int level = 0; level < 2 && slash != NULL; level++) {
        *slash = '\0';
        if (mkdir(parent, S_IRWXU) == 0 && level == 0)
            return;
        if (errno != ENOENT)
            return;
        slash = strrchr(parent, '/');
    }
    /* .config was missing, too: it is there now. */
    (void)snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    if (slash != NULL) {
        *slash = '\0';
        (void)mkdir(parent, S_IRWXU);
    }
}

/* Writes the new file, all of it or none. 0, or errno. */
static int write_new(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return errno;
    int error = 0;
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 || !write_all(fd, text, n) || fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error != 0)
        (void)unlink(path);
    return error;
}

/* Makes a key's text; false: the comment cannot stand in it. */
static bool make_text(const char *comment, char text[static RX_KEY_TEXT_MAX], size_t *n)
{
    struct rx_key key = {0};
    if (comment != NULL && strlen(comment) > RX_COMMENT_MAX)
        return false;
    (void)snprintf(key.comment, sizeof key.comment, "%s", comment != NULL ? comment : "");
    randombytes_buf(key.psk, sizeof key.psk);
    enum rx_error error = rx_key_print(&key, text, RX_KEY_TEXT_MAX, n);
    rx_key_wipe(&key);
    return error == RX_OK;
}

int verb_keygen(struct options *o)
{
    char path[PATH_MAX];
    if (o->word_count > 1) {
        report(NULL, "keygen wants one file", "rexec keygen [-C COMMENT] [FILE]");
        return EXIT_REXEC;
    }
    bool named = o->word_count == 1;
    if (named ? !keyfile_expand(o->words[0], path) : !keyfile_default("key", path)) {
        report(NULL, "there is no home directory for the key", "name a file");
        return EXIT_REXEC;
    }
    if (sodium_init() < 0) {
        report(NULL, rx_error_text(RX_E_CRYPTO_FAILED), "check libsodium and /dev/urandom");
        return EXIT_REXEC;
    }
    char text[RX_KEY_TEXT_MAX];
    char standard[PATH_MAX];
    size_t n = 0;
    if (!make_text(o->comment, text, &n)) {
        report(NULL, "the comment needs 1 to 128 bytes of text without control characters", NULL);
        return EXIT_REXEC;
    }
    if (keyfile_default("key", standard) && strcmp(path, standard) == 0)
        make_parents(path);
    int error = write_new(path, text, n);
    sodium_memzero(text, sizeof text);
    if (error != 0)
        return cannot(path, error);
    if (!o->quiet)
        note(NULL, "new key in %s; for each server: rexec grant %s SERVER-NAME", path, path);
    return 0;
}
