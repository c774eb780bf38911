#include "proto/header_fields.h"

#include <string.h>

#define AT(member) .offset = offsetof(struct rx_header, member)
#define FLAG(member) .present = (ptrdiff_t)offsetof(struct rx_header, member)
#define INTEGER(key, member, low, high)                                                            \
    {                                                                                              \
        .name = (key), .kind = FIELD_INTEGER, AT(member), .min = (low), .max = (high),             \
        .present = NO_FLAG                                                                         \
    }
#define COUNT(key, member) INTEGER(key, member, 0, RX_INTEGER_MAX)
#define NEEDED(key, member, low, high)                                                             \
    {                                                                                              \
        .name = (key), .kind = FIELD_INTEGER, AT(member), .min = (low), .max = (high),             \
        .required = true, .present = NO_FLAG                                                       \
    }
#define TEXT(key, member, low)                                                                     \
    {                                                                                              \
        .name = (key), .kind = FIELD_TEXT, AT(member), .min = (low),                               \
        .max = sizeof(((struct rx_header *)0)->member) - 1, .present = NO_FLAG                     \
    }
#define NEEDED_TEXT(key, member, low)                                                              \
    {                                                                                              \
        .name = (key), .kind = FIELD_TEXT, AT(member), .min = (low),                               \
        .max = sizeof(((struct rx_header *)0)->member) - 1, .required = true, .present = NO_FLAG   \
    }
#define BOOLEAN(key, member)                                                                       \
    {                                                                                              \
        .name = (key), .kind = FIELD_BOOLEAN, AT(member), .present = NO_FLAG                       \
    }
#define ID(key, member)                                                                            \
    {                                                                                              \
        .name = (key), .kind = FIELD_ID, AT(member), .required = true, .present = NO_FLAG          \
    }
#define OPTIONAL_ID(key, member, flag)                                                             \
    {                                                                                              \
        .name = (key), .kind = FIELD_ID, AT(member), FLAG(flag)                                    \
    }
#define OBJECT(key, table)                                                                         \
    {                                                                                              \
        .name = (key), .kind = FIELD_OBJECT, .fields = (table), .present = NO_FLAG                 \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct field welcome_fields[] = {
    NEEDED_TEXT("server", welcome.server, 1),
    NEEDED_TEXT("version", welcome.version, 1),
    NEEDED("time_us", welcome.time_us, 0, RX_INTEGER_MAX),
    COUNT("commands", welcome.commands),
    COUNT("linger_ms", welcome.linger_ms),
    COUNT("keepalive_ms", welcome.keepalive_ms),
    {.name = "features", .kind = FIELD_FEATURES, AT(welcome.features), .present = NO_FLAG},
    END,
};

static const struct field close_fields[] = {TEXT("reason", notice.text, 0), END};

#define NOTICE_FIELDS                                                                              \
    NEEDED("code", notice.code, 1, 65535), NEEDED_TEXT("name", notice.name, 1),                    \
        NEEDED_TEXT("text", notice.text, 0)

static const struct field error_fields[] = {NOTICE_FIELDS, END};
static const struct field goaway_fields[] = {
    NOTICE_FIELDS,
    COUNT("grace_ms", notice.grace_ms),
    END,
};
static const struct field refused_fields[] = {NOTICE_FIELDS, COUNT("n", notice.n), END};

static const char *const runs[] = {"shell", "exec", "login", "subsystem", NULL};
static const char *const inputs[] = {"stream", "none", NULL};

static const struct field pty_fields[] = {
    NEEDED_TEXT("term", exec.pty.term, 1),
    NEEDED("rows", exec.pty.rows, 0, 65535),
    NEEDED("cols", exec.pty.cols, 0, 65535),
    INTEGER("width", exec.pty.width, 0, 65535),
    INTEGER("height", exec.pty.height, 0, 65535),
    {.name = "modes", .kind = FIELD_MODES, AT(exec.pty.modes), .present = NO_FLAG},
    END,
};

static const struct field limits_fields[] = {
    INTEGER("cpu_ms", exec.limits.cpu_ms, 1, RX_INTEGER_MAX),
    INTEGER("memory", exec.limits.memory, 1, RX_INTEGER_MAX),
    INTEGER("output", exec.limits.output, 1, RX_INTEGER_MAX),
    INTEGER("files", exec.limits.files, 1, RX_INTEGER_MAX),
    INTEGER("processes", exec.limits.processes, 1, RX_INTEGER_MAX),
    INTEGER("file_size", exec.limits.file_size, 1, RX_INTEGER_MAX),
    COUNT("core", exec.limits.core),
    END,
};

static const struct field exec_fields[] = {
    ID("id", exec.id),
    {.name = "run", .kind = FIELD_CHOICE, AT(exec.run), .choices = runs, .present = NO_FLAG},
    TEXT("user", exec.user, 1),
    COUNT("age_ms", exec.age_ms),
    INTEGER("timeout_ms", exec.timeout_ms, 1, RX_INTEGER_MAX),
    COUNT("linger_ms", exec.linger_ms),
    COUNT("drain_ms", exec.drain_ms),
    BOOLEAN("detach", exec.detach),
    TEXT("label", exec.label, 1),
    {.name = "stdin", .kind = FIELD_CHOICE, AT(exec.input), .choices = inputs, .present = NO_FLAG},
    {.name = "pty", .kind = FIELD_OBJECT, .fields = pty_fields, FLAG(exec.pty.wanted)},
    OBJECT("limits", limits_fields),
    END,
};

static const struct field target_fields[] = {ID("id", target.id), END};

static const struct field attach_fields[] = {
    ID("id", target.id),
    BOOLEAN("steal", target.steal),
    END,
};

static const struct field list_fields[] = {
    OPTIONAL_ID("id", target.id, target.has_id),
    END,
};

static const struct field signal_fields[] = {
    NEEDED_TEXT("signal", signal.signal, 1),
    INTEGER("n", signal.n, 1, RX_INTEGER_MAX),
    OPTIONAL_ID("id", signal.id, signal.has_id),
    END,
};

static const struct field size_fields[] = {
    NEEDED("rows", size.rows, 0, 65535),
    NEEDED("cols", size.cols, 0, 65535),
    NEEDED("width", size.width, 0, 65535),
    NEEDED("height", size.height, 0, 65535),
    END,
};

static const struct field detach_fields[] = {COUNT("linger_ms", detach.linger_ms), END};

static const struct field started_fields[] = {
    COUNT("pid", reply.pid),
    COUNT("start_us", reply.start_us),
    TEXT("user", reply.user, 1),
    BOOLEAN("already", reply.already),
    END,
};

static const struct field resumed_fields[] = {
    COUNT("pid", reply.pid),
    COUNT("start_us", reply.start_us),
    COUNT("n", reply.n),
    END,
};

static const struct field done_fields[] = {COUNT("n", reply.n), END};

#define RUSAGE_FIELDS(prefix)                                                                      \
    COUNT("utime_us", prefix.utime_us), COUNT("stime_us", prefix.stime_us),                        \
        COUNT("maxrss_kib", prefix.maxrss_kib), COUNT("minflt", prefix.minflt),                    \
        COUNT("majflt", prefix.majflt), COUNT("inblock", prefix.inblock),                          \
        COUNT("oublock", prefix.oublock), COUNT("nvcsw", prefix.nvcsw),                            \
        COUNT("nivcsw", prefix.nivcsw), END

static const struct field exit_rusage_fields[] = {RUSAGE_FIELDS(exit.rusage)};
static const struct field listed_rusage_fields[] = {RUSAGE_FIELDS(listed.exit.rusage)};

#define EXIT_FIELDS(prefix, rusage_table)                                                          \
    INTEGER("code", prefix.code, 0, 255), TEXT("signal", prefix.signal, 1),                        \
        BOOLEAN("core", prefix.core), TEXT("by", prefix.by, 1), TEXT("detail", prefix.detail, 0),  \
        COUNT("start_us", prefix.start_us), COUNT("end_us", prefix.end_us),                        \
        OBJECT("rusage", rusage_table),                                                            \
        {.name = "holders", .kind = FIELD_HOLDERS, AT(prefix.holders), .present = NO_FLAG}, END

static const struct field exit_fields[] = {EXIT_FIELDS(exit, exit_rusage_fields)};

static const struct field listed_fields[] = {
    OPTIONAL_ID("id", listed.id, listed.has_id),
    TEXT("state", listed.state, 1),
    TEXT("label", listed.label, 1),
    TEXT("user", listed.user, 1),
    BOOLEAN("attached", listed.attached),
    EXIT_FIELDS(listed.exit, listed_rusage_fields),
};

static const struct field no_fields[] = {END};

const struct field *header_fields(enum rx_type type)
{
    switch (type) {
    case RX_WELCOME:
        return welcome_fields;
    case RX_CLOSE:
        return close_fields;
    case RX_GOAWAY:
        return goaway_fields;
    case RX_ERROR:
        return error_fields;
    case RX_REFUSED:
        return refused_fields;
    case RX_EXEC:
        return exec_fields;
    case RX_RESUME:
    case RX_FORGET:
        return target_fields;
    case RX_ATTACH:
        return attach_fields;
    case RX_LIST:
        return list_fields;
    case RX_SIGNAL:
        return signal_fields;
    case RX_RESIZE:
        return size_fields;
    case RX_DETACH:
        return detach_fields;
    case RX_STARTED:
        return started_fields;
    case RX_RESUMED:
        return resumed_fields;
    case RX_DONE:
        return done_fields;
    case RX_EXIT:
        return exit_fields;
    case RX_LISTED:
        return listed_fields;
    default:
        return no_fields;
    }
}

bool header_is_name(const char *name, const char *text, size_t n)
{
    return strncmp(name, text, n) == 0 && name[n] == '\0';
}

bool header_choice_of(const char *const *choices, const char *text, size_t n, int *out)
{
    for (int i = 0; choices[i] != NULL; i++) {
        if (header_is_name(choices[i], text, n)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool header_id_of(const char *text, size_t n, uint8_t out[static RX_COMMAND_ID_SIZE])
{
    if (n != (size_t)2 * RX_COMMAND_ID_SIZE)
        return false;
    for (size_t i = 0; i < RX_COMMAND_ID_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
