/*
 * The JSON headers of messages as C structures, both ways (docs/PROTOCOL.md, "Messages" and
 * "Commands"). proto/header.c alone knows jansson. Decoding is strict (duplicate names, NUL,
 * nesting, ranges); unknown names are ignored. A header that is empty reads as {}.
 *
 * In each structure, an absent integer is RX_ABSENT, an absent string is empty, an absent boolean
 * false.
 */
#ifndef REXEC_PROTO_HEADER_H
#define REXEC_PROTO_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/message.h"

#define RX_ABSENT INT64_C(-1)
#define RX_INTEGER_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

enum {
    RX_COMMAND_ID_SIZE = 16,
    RX_TEXT_MAX = 512, /* an error's text */
    RX_NAME_MAX = 255, /* a server's name */
    RX_LABEL_MAX = 64,
    RX_HEADER_USER_MAX = 32,
    RX_SIGNAL_NAME_MAX = 16,
    RX_HOLDERS_MAX = 32,
    RX_MODES_MAX = 72,
    RX_MODE_NAME_MAX = 12,
    RX_FEATURES_MAX = 16,
    RX_FEATURE_MAX = 32,
};

/* A short list of strings, or of integers; what does not fit is refused when decoded. */
struct rx_features {
    size_t count;
    char names[RX_FEATURES_MAX][RX_FEATURE_MAX + 1];
};

struct rx_holders {
    size_t count;
    int64_t pids[RX_HOLDERS_MAX];
};

struct rx_modes {
    size_t count;
    struct {
        char name[RX_MODE_NAME_MAX + 1];
        int64_t value;
    } modes[RX_MODES_MAX];
};

struct rx_welcome {
    char server[RX_NAME_MAX + 1];   /* required */
    char version[RX_LABEL_MAX + 1]; /* required */
    int64_t time_us;                /* required */
    int64_t commands, linger_ms, keepalive_ms;
    struct rx_features features;
};

/* ERROR, GOAWAY, REFUSED, and CLOSE's reason in `text`. */
struct rx_notice {
    int64_t code; /* required, but for CLOSE */
    char name[RX_LABEL_MAX + 1];
    char text[RX_TEXT_MAX + 1];
    int64_t grace_ms; /* GOAWAY */
    int64_t n;        /* REFUSED */
};

enum rx_input { RX_INPUT_STREAM, RX_INPUT_NONE };

enum rx_run { RX_RUN_SHELL, RX_RUN_EXEC, RX_RUN_LOGIN, RX_RUN_SUBSYSTEM };

struct rx_pty {
    bool wanted;
    char term[RX_LABEL_MAX + 1];
    int64_t rows, cols, width, height;
    struct rx_modes modes;
};

struct rx_limits {
    int64_t cpu_ms, memory, output, files, processes, file_size, core;
};

struct rx_exec {
    uint8_t id[RX_COMMAND_ID_SIZE]; /* required */
    int run;                        /* enum rx_run */
    char user[RX_HEADER_USER_MAX + 1];
    int64_t age_ms, timeout_ms, linger_ms, drain_ms;
    int input; /* enum rx_input */
    bool detach;
    char label[RX_LABEL_MAX + 1];
    struct rx_pty pty;
    struct rx_limits limits;
};

/* RESUME, ATTACH, FORGET, LIST. */
struct rx_target {
    bool has_id;
    uint8_t id[RX_COMMAND_ID_SIZE]; /* required, but for LIST */
    bool steal;                     /* ATTACH */
};

struct rx_signal {
    char signal[RX_SIGNAL_NAME_MAX + 1]; /* required */
    int64_t n;
    bool has_id;
    uint8_t id[RX_COMMAND_ID_SIZE];
};

/* RESIZE; all required. */
struct rx_size {
    int64_t rows, cols, width, height;
};

/* DETACH. */
struct rx_detach {
    int64_t linger_ms;
};

/* STARTED, RESUMED, DONE. */
struct rx_reply {
    int64_t pid, start_us, n;
    char user[RX_HEADER_USER_MAX + 1];
    bool already;
};

struct rx_rusage {
    int64_t utime_us, stime_us, maxrss_kib, minflt, majflt, inblock, oublock, nvcsw, nivcsw;
};

struct rx_exit {
    int64_t code;                        /* or signal */
    char signal[RX_SIGNAL_NAME_MAX + 1]; /* exactly one of the two */
    bool core;
    char by[RX_SIGNAL_NAME_MAX + 1];
    char detail[RX_TEXT_MAX + 1];
    int64_t start_us, end_us;
    struct rx_rusage rusage;
    struct rx_holders holders;
};

struct rx_listed {
    bool has_id;
    uint8_t id[RX_COMMAND_ID_SIZE];
    char state[RX_SIGNAL_NAME_MAX + 1];
    char label[RX_LABEL_MAX + 1];
    char user[RX_HEADER_USER_MAX + 1];
    bool attached;
    struct rx_exit exit; /* its start_us counts for running ones too */
};

/* The header of any type; which member counts follows from the type. */
struct rx_header {
    union {
        struct rx_welcome welcome; /* WELCOME */
        struct rx_notice notice;   /* ERROR, GOAWAY, REFUSED, CLOSE */
        struct rx_exec exec;       /* EXEC */
        struct rx_target target;   /* RESUME, ATTACH, LIST, FORGET */
        struct rx_signal signal;   /* SIGNAL */
        struct rx_size size;       /* RESIZE */
        struct rx_detach detach;   /* DETACH */
        struct rx_reply reply;     /* STARTED, RESUMED, DONE */
        struct rx_exit exit;       /* EXIT */
        struct rx_listed listed;   /* LISTED */
    };
};

/* Seeds the hash that names in headers are looked up by, so that who sends them cannot choose ones
 * that collide. Once, before any header: else jansson takes what it can get, from files or clocks.
 */
void rx_header_seed(uint32_t random);

/* Sets the type's member to "all absent". Types without header names (data): nothing. */
void rx_header_init(enum rx_type type, struct rx_header *h);

/*
 * Decodes a header of n bytes. RX_OK, RX_E_BAD_HEADER, RX_E_NO_MEMORY; *h holds nothing of use
 * after an error.
 */
enum rx_error rx_header_decode(enum rx_type type, const uint8_t *p, size_t n, struct rx_header *h);

/*
 * Encodes to at most cap bytes at p (RX_HEADER_MAX does, for what is within the type's bound),
 * without a final NUL; the length to *n. RX_E_BAD_HEADER for what decoding would refuse (a string
 * that is not UTF-8, an integer out of its range, a required name that is absent), RX_E_NO_SPACE,
 * RX_E_NO_MEMORY.
 */
enum rx_error rx_header_encode(enum rx_type type, const struct rx_header *h, uint8_t *p, size_t cap,
                               size_t *n);

/* Makes h->notice say an error: its number, its name, and `text` or the error's own if NULL. */
void rx_header_error(struct rx_header *h, enum rx_error error, const char *text);

/*
 * Checks what a message carries: its header, and the words of EXEC (as many as its `run` wants) and
 * LISTED. *h gets the header. RX_E_BAD_HEADER, RX_E_BAD_BODY, RX_E_NO_MEMORY.
 */
enum rx_error rx_message_check(const struct rx_message *m, struct rx_header *h);

#endif
