/* The configuration file: an INI file whose sections are host names or patterns of them. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexec/settings.h"

struct reading {
    struct settings *settings;
    const char *host;
    FILE *file;
    char error[SETTING_ERROR_MAX]; /* of the first wrong line */
};

/* How well a section fits the host; false: not at all. */
static bool section_rank(const char *section, const char *host, enum rank *rank)
{
    if (strcmp(section, "*") == 0) {
        *rank = RANK_ALL;
    } else if (strcasecmp(section, host) == 0) {
        *rank = RANK_HOST;
    } else if (fnmatch(section, host, FNM_CASEFOLD) == 0) {
        *rank = RANK_PATTERN;
    } else {
        return false;
    }
    return true;
}

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    if (r->error[0] != '\0')
        return 1;
    enum setting which = setting_by_name(name, strlen(name));
    if (section[0] == '\0') {
        (void)snprintf(r->error, sizeof r->error, "a section must come first: [*] is for all");
        return 0;
    }
    if (which == SETTING_COUNT) {
        (void)snprintf(r->error, sizeof r->error, "there is no setting %.100s", name);
        return 0;
    }
    /* Sections for other hosts are checked, too, so that mistakes show early. */
    enum rank rank = RANK_ALL;
    struct settings other = {0};
    bool ours = section_rank(section, r->host, &rank);
    bool set = settings_set(ours ? r->settings : &other, which, rank, value, r->error);
    settings_clear(&other);
    return set;
}

/* Whether inih would take for a comment, and cut off in silence, what may well be a part of the
 * value: of a command, of a list of variables, of anything in quotes. */
static bool is_cut(const char *line)
{
    const char *value = strpbrk(line, "=:");
    if (line[0] == ';' || line[0] == '#' || line[0] == '[' || value == NULL)
        return false;
    enum setting which = setting_by_name(line, strcspn(line, "=: \t"));
    bool spaced = which == SETTING_REMOTE_COMMAND || which == SETTING_PROXY_COMMAND ||
                  which == SETTING_SEND_ENV || which == SETTING_SET_ENV;
    for (const char *p = value + 1; *p != '\0'; p++) {
        spaced = spaced || *p == '"' || *p == '\'';
        if (isspace((unsigned char)*p) && p[1] == ';')
            return spaced;
    }
    return false;
}

/* A line that is refused, as it is no line of such a file. */
static char *refuse_line(struct reading *r, char *text, const char *why)
{
    if (r->error[0] == '\0')
        (void)snprintf(r->error, sizeof r->error, "%s", why);
    memcpy(text, "!\n", 3);
    return text;
}

/* A line for inih: what is indented is no continuation, as nobody expects that of lines that look
 * like ssh's, and what is too long is not cut in two. */
static char *next_line(char *text, int cap, void *user)
{
    struct reading *r = user;
    if (fgets(text, cap, r->file) == NULL)
        return NULL;
    size_t n = strlen(text);
    if (n > 0 && text[n - 1] != '\n' && !feof(r->file)) {
        int c;
        do
            c = fgetc(r->file);
        while (c != '\n' && c != EOF);
        char why[64];
        (void)snprintf(why, sizeof why, "a line has at most %d bytes", cap - 2);
        return refuse_line(r, text, why);
    }
    size_t blank = strspn(text, " \t");
    memmove(text, text + blank, n + 1 - blank);
    if (is_cut(text))
        return refuse_line(r, text,
                           "a ; behind a space begins a comment, and would cut this value");
    return text;
}

static bool fail(char *error, size_t cap, const char *path, const char *what)
{
    (void)snprintf(error, cap, "%s: %s", path, what);
    return false;
}

bool settings_load(struct settings *s, const char *path, bool optional, const char *host,
                   char *error, size_t error_cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && optional && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (fd < 0)
        return fail(error, error_cap, path, strerror(errno));
    struct stat status;
    if (fstat(fd, &status) == 0 && (status.st_mode & S_IWOTH) != 0 && S_ISREG(status.st_mode)) {
        (void)close(fd);
        return fail(error, error_cap, path, "may be written by others: chmod o-w it");
    }
    struct reading r = {.settings = s, .host = host, .file = fdopen(fd, "r")};
    if (r.file == NULL) {
        (void)close(fd);
        return fail(error, error_cap, path, strerror(errno));
    }
    int line = ini_parse_stream(next_line, &r, on_line, &r);
    int why = ferror(r.file) == 0 ? 0 : errno != 0 ? errno : EIO;
    (void)fclose(r.file);
    if (why != 0)
        return fail(error, error_cap, path, strerror(why));
    if (line == 0)
        return true;
    (void)snprintf(error, error_cap, "%s:%d: %s", path, line,
                   r.error[0] != '\0' ? r.error : "neither [SECTION] nor NAME = VALUE");
    return false;
}
