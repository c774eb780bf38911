/*
 * The daemon's configuration: defaults, then an INI file (libinih), then flags. The list of keys is
 * rexecd/config.def. docs/man/rexecd.conf.5.
 */
#ifndef REXEC_REXECD_CONFIG_H
#define REXEC_REXECD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"

/* Strings that the list owns. */
struct config_list {
    char **items;
    size_t count;
};

#define CONFIG_TYPE_TEXT char *
#define CONFIG_TYPE_LIST struct config_list
#define CONFIG_TYPE_NUMBER uint32_t
#define CONFIG_TYPE_TIME uint32_t
#define CONFIG_TYPE_SWITCH bool

/* One member a key, named as it. TIME is in milliseconds. */
struct config {
#define X(name, kind, initial, min, max, help) CONFIG_TYPE_##kind name;
#include "rexecd/config.def"
#undef X
    char server_name[RX_SERVER_NAME_MAX + 1]; /* `name`, folded */
    bool tracing;                             /* `trace` is not none */
    bool check;                               /* --check: read everything, serve nothing */

    uint8_t level; /* of what is being read: 0 defaults, 1 file, 2 flags */
    struct {
#define X(name, kind, initial, min, max, help) uint8_t name;
#include "rexecd/config.def"
#undef X
    } set_at; /* the level of each key's value */
};

enum {
    CONFIG_ERROR_MAX = 512,
    CONFIG_LINE_MAX = 190, /* libinih's own limit is 200 */
    CONFIG_FILE_MAX = 65536,
    CONFIG_LIST_MAX = 64,
};

/* What to do after the command line was read. */
enum config_result {
    CONFIG_RUN,
    CONFIG_HELP,    /* --help: print config_usage */
    CONFIG_VERSION, /* --version */
    CONFIG_WRONG,   /* error says what */
};

/*
 * Reads the command line: -f FILE or --config FILE first wherever it stands, then the other flags
 * over it. Sets the defaults that depend on who runs it and where. The caller frees with
 * config_free in any case.
 */
enum config_result config_read(struct config *config, int argc, char *const argv[],
                               char error[static CONFIG_ERROR_MAX]);

/* The parts: defaults from the list; a file's text on top (0, or -1 with error "LINE: what"); one
 * value, as a file or flag would set it (0, or -1 with error). */
int config_init(struct config *config);
int config_parse(struct config *config, const char *text, size_t n,
                 char error[static CONFIG_ERROR_MAX]);
int config_set(struct config *config, const char *name, const char *value,
               char error[static CONFIG_ERROR_MAX]);

/* Fills in what is still unset, and checks what fits only together. 0, or -1 with error. */
int config_complete(struct config *config, char error[static CONFIG_ERROR_MAX]);

void config_free(struct config *config);

/* The text of --help; a static buffer. */
const char *config_usage(void);

#endif
