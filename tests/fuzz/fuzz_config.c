/* rexecd/config.c: any text is read or refused with a reason, and what was read is within its
 * bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rexecd/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config config;
    char error[CONFIG_ERROR_MAX] = "";
    if (config_init(&config) < 0)
        abort();
    int read = config_parse(&config, (const char *)data, n, error);
    if (read < 0 && (strchr(error, ':') == NULL || strlen(error) >= sizeof error))
        abort();
    if (read == 0) {
        if (config.max_commands < 1 || config.max_commands > 65535 || config.drain > 86400000 ||
            config.listen.count > CONFIG_LIST_MAX || config.accept_env.count > CONFIG_LIST_MAX)
            abort();
        (void)config_complete(&config, error);
    }
    config_free(&config);
    return 0;
}
