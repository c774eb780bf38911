#include "rexec/keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rexec/report.h"

enum { HEX_KEY = 2 * RX_KEY_SIZE + 1 };

int keylog_open(const char *path, struct rx_failure *failure)
{
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK,
             S_IRUSR | S_IWUSR);
    if (fd < 0) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot open the key log %s: %s", path,
                       strerror(errno));
        rx_failure_todo(failure, "name another file with REXEC_KEYLOG or KeyLogFile, or none");
        return -1;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return fd;
    (void)close(fd);
    rx_failure_set(failure, RX_TROUBLE_SYSTEM,
                   "the key log %s is no plain file, or others can read or change it", path);
    rx_failure_todo(failure, "name a file that is not there yet, or chmod 600 it");
    return -1;
}

bool keylog_write(int fd, const uint8_t nonce_c[static RX_KEY_SIZE],
                  const struct rx_session_keys *keys)
{
    char nonce[HEX_KEY], c2s[HEX_KEY], s2c[HEX_KEY], line[4 * HEX_KEY];
    (void)sodium_bin2hex(nonce, sizeof nonce, nonce_c, RX_KEY_SIZE);
    (void)sodium_bin2hex(c2s, sizeof c2s, keys->c2s, RX_KEY_SIZE);
    (void)sodium_bin2hex(s2c, sizeof s2c, keys->s2c, RX_KEY_SIZE);
    int n = snprintf(line, sizeof line, "REXEC_TRAFFIC_SECRETS %s %s %s %s\n", nonce,
                     rx_suite_name(keys->suite), c2s, s2c);
    bool done = n > 0 && (size_t)n < sizeof line && write_all(fd, line, (size_t)n);
    sodium_memzero(c2s, sizeof c2s);
    sodium_memzero(s2c, sizeof s2c);
    sodium_memzero(line, sizeof line);
    return done;
}
