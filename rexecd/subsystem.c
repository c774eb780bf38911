#include "rexecd/subsystem.h"

#include <string.h>
#include <unistd.h>

/* Where systems have theirs: Debian, Arch and Gentoo, the BSDs and Alpine, Fedora and SUSE. */
static const char *const sftp_servers[] = {
    "/usr/lib/openssh/sftp-server",     "/usr/lib/ssh/sftp-server",     "/usr/lib/misc/sftp-server",
    "/usr/lib64/misc/sftp-server",      "/usr/libexec/sftp-server",     "/usr/lib/sftp-server",
    "/usr/libexec/openssh/sftp-server", "/usr/libexec/ssh/sftp-server",
};

bool subsystem_valid(const char *item)
{
    const char *equals = strchr(item, '=');
    return equals != NULL && equals != item && equals[1] == '/';
}

bool subsystem_default(const struct config *config)
{
    return config->subsystem.count == 0 && config->set_at.subsystem == 0;
}

static const char *default_path(const uint8_t *name, size_t n)
{
    if (n != 4 || memcmp(name, "sftp", 4) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof sftp_servers / sizeof sftp_servers[0]; i++)
        if (access(sftp_servers[i], X_OK) == 0)
            return sftp_servers[i];
    return NULL;
}

const char *subsystem_path(const struct config *config, const uint8_t *name, size_t n)
{
    if (subsystem_default(config))
        return default_path(name, n);
    for (size_t i = 0; i < config->subsystem.count; i++) {
        const char *item = config->subsystem.items[i];
        size_t length = strcspn(item, "=");
        if (length == n && memcmp(item, name, n) == 0)
            return item + length + 1;
    }
    return NULL;
}
