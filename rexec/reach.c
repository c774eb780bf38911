#include "rexec/reach.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "auth/aead_load.h"
#include "rexec/background.h"
#include "rexec/keyfile.h"
#include "rexec/keylog.h"
#include "rexec/report.h"
#include "rexec/resolve.h"

enum {
    ALIVE_COUNT_DEFAULT = 3, /* ssh's, with an interval that was asked for */
    TELL_MS = 3000,          /* what is shorter nobody needs to know */
    TELL_SECONDS = 30,       /* between two notes */
    HASTE_AFTER = 1 << 20,   /* bytes: a flow that is large enough for some library */
};

/* ---- the connection --------------------------------------------------------------------- */

static void on_event(void *user, const struct rx_client_event *event)
{
    struct reach *s = user;
    if (s->options->verbose > 0 && event->what == RX_ON_READY) {
        note(s->options->host, "connected to %s, suite %s", rx_driver_address(s->driver),
             rx_connection_suite(reach_connection(s)));
    }
    if (s->options->verbose > 0 && event->what == RX_ON_WELCOME) {
        note(s->options->host, "the server is %s, its version %s", event->header->welcome.server,
             event->header->welcome.version);
    }
    if (event->what == RX_ON_WELCOME && s->waits) {
        s->waits = false;
        note(s->options->host, "connected again");
    }
    /* Behind this, the caller's terminal is no longer ours (-f). */
    if (event->what == (s->options->session == SESSION_NONE ? RX_ON_WELCOME : RX_ON_STARTED))
        background_ready();
    s->event(s->user, event);
}

/* Silent as long as it goes quickly. */
static void on_waiting(void *user, int64_t ms, const struct rx_failure *why)
{
    struct reach *s = user;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    bool lately = s->told_at != 0 && now.tv_sec - s->told_at < TELL_SECONDS;
    if (s->waits || lately || ms < TELL_MS || s->options->quiet)
        return;
    s->waits = true;
    s->told_at = now.tv_sec;
    note(s->options->host, "the connection was lost %lld seconds ago, trying to get it again: %s",
         (long long)(ms / 1000), why->what);
}

static void on_keys(void *user, const uint8_t nonce_c[static RX_KEY_SIZE],
                    const struct rx_session_keys *keys)
{
    const struct reach *s = user;
    if (!keylog_write(s->keylog, nonce_c, keys))
        note(s->options->host, "cannot write the key log: %s", strerror(errno));
}

static void on_ended(void *user, const struct rx_failure *failure)
{
    struct reach *s = user;
    s->ended(s->user, failure);
}

/* Memory that a large flow lets go of, it needs again at once: given to the system in between, it
 * would come back a page at a time. From here on, to the end of the process, it is kept, but for
 * what is larger than any ring. */
static void keep_memory(void)
{
    enum { MAPPED_FROM = 2 * RX_WINDOW_MAX, KEPT = 4 * 1024 * 1024 };
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT);
}

/* A flow is large. Most commands say little, and need not wait until a library is loaded. Each is
 * tried once for the process, and stays to its end. */
static const struct rx_aead *on_large_flow(void *user, uint64_t moved, uint64_t *again)
{
    static const struct rx_aead_library *next = rx_aead_libraries;
    static const struct rx_aead *aead;
    static bool kept;
    (void)user;
    if (!kept)
        keep_memory();
    kept = true;
    if (aead == NULL)
        aead = rx_aead_load(&(struct rx_loader){dlopen, dlsym, dlclose}, &next, moved);
    if (aead == NULL)
        *again = next->worth;
    return aead;
}

static void on_trace(void *user, uint32_t stream, const char *from, const char *to)
{
    const struct reach *s = user;
    if (stream == 0) {
        note(s->options->host, "session: %s -> %s", from, to);
    } else {
        note(s->options->host, "stream %" PRIu32 ": %s -> %s", stream, from, to);
    }
}

/* A loop for a handful of descriptors, of one thread: poll takes regular files, too, and asks the
 * kernel for nothing at the start. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                            EVENT_BASE_FLAG_NO_CACHE_TIME);
    (void)event_config_avoid_method(config, "epoll");
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static void set_alive(const struct settings *settings, struct rx_driver_config *config)
{
    const char *count = settings_get(settings, SETTING_ALIVE_COUNT);
    long interval = settings_seconds(settings, SETTING_ALIVE_INTERVAL);
    if (count != NULL)
        config->alive_count = (unsigned)strtoul(count, NULL, 10);
    if (settings_get(settings, SETTING_ALIVE_INTERVAL) == NULL)
        return;
    bool never = interval <= 0 || interval >= INT_MAX / 1000;
    config->alive_ms = never ? RX_ALIVE_NEVER : (unsigned)interval * 1000;
    if (config->alive_count == 0)
        config->alive_count = ALIVE_COUNT_DEFAULT;
}

/* As ssh: 0 and none leave it to the system how long connecting takes. 0: nothing was said. */
static unsigned timeout_ms(const struct settings *settings)
{
    long timeout = settings_seconds(settings, SETTING_TIMEOUT);
    if (settings_get(settings, SETTING_TIMEOUT) == NULL)
        return 0;
    return timeout > 0 && timeout < INT_MAX / 1000 ? (unsigned)timeout * 1000 : INT_MAX;
}

/* Where the sessions' keys are to be written, if anywhere. Said each time, even with -q: whoever
 * set it may have forgotten. False, with *failure. */
static bool open_keylog(struct reach *s, struct rx_failure *failure)
{
    const char *path = settings_get(&s->options->settings, SETTING_KEY_LOG);
    if (path == NULL)
        path = secure_getenv("REXEC_KEYLOG");
    if (path == NULL || path[0] == '\0' || strcasecmp(path, "none") == 0)
        return true;
    s->keylog = keylog_open(path, failure);
    if (s->keylog < 0)
        return false;
    s->logs_keys = true;
    note(s->options->host,
         "WARNING: the keys of this session are written to %s; who has that file "
         "can read all that is sent",
         path);
    return true;
}

static bool start(struct reach *s, const struct rx_key *key, struct rx_failure *failure)
{
    const struct settings *settings = &s->options->settings;
    const char *name = settings_get(settings, SETTING_NAME);
    const char *suite = settings_get(settings, SETTING_SUITE);
    s->haste = (struct rx_haste){.after = HASTE_AFTER, .aead = on_large_flow};
    struct rx_driver_config config = {
        .base = s->base,
        .host = s->options->hostname,
        .port = settings_get(settings, SETTING_PORT),
        .family = s->options->family,
        .bind_address = settings_get(settings, SETTING_BIND_ADDRESS),
        .bind_interface = settings_get(settings, SETTING_BIND_INTERFACE),
        .server_name = name != NULL ? name : s->options->host,
        .psk = key->psk,
        .key_file = s->options->key_path,
        .suites = suite != NULL ? rx_suite_by_name(suite) : 0,
        .connect_ms = timeout_ms(settings),
        .handshake_ms = timeout_ms(settings),
        .trace = s->options->verbose > 1 ? on_trace : NULL,
        .tap = s->trace != NULL ? trace_tap(s->trace) : NULL,
        .keylog = s->logs_keys ? on_keys : NULL,
        .haste = &s->haste,
        .resume_ms = settings_linger_ms(settings),
        .event = on_event,
        .waiting = on_waiting,
        .ended = on_ended,
        .user = s,
    };
    set_alive(settings, &config);
    s->driver = rx_driver_new(&config, failure);
    return s->driver != NULL;
}

bool reach_open(struct reach *s, struct options *options, struct rx_failure *failure)
{
    s->options = options;
    struct rx_key key;
    if (!options_resolve(options, failure) || !open_keylog(s, failure) ||
        !keyfile_read(options->key_path, &key, failure))
        return false;
    s->base = new_base();
    bool traced = options->trace == NULL ||
                  (s->trace = trace_open(options->trace, options->host, failure)) != NULL;
    bool started = traced && s->base != NULL && start(s, &key, failure);
    if (s->base == NULL)
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot make an event loop");
    rx_key_wipe(&key);
    return started;
}

struct rx_connection *reach_connection(struct reach *s)
{
    return rx_driver_connection(s->driver);
}

void reach_run(struct reach *s)
{
    (void)event_base_dispatch(s->base);
}

void reach_stop(struct reach *s)
{
    (void)event_base_loopbreak(s->base);
}

static void end_trace(struct reach *s)
{
    if (!trace_close(s->trace))
        note(s->options->host, "the trace is not complete: %s", strerror(errno));
    s->trace = NULL;
}

void reach_close(struct reach *s)
{
    if (s->driver != NULL)
        rx_driver_close(s->driver);
    rx_driver_free(s->driver);
    s->driver = NULL;
    end_trace(s);
    if (s->logs_keys)
        (void)close(s->keylog);
    s->logs_keys = false;
    if (s->base != NULL)
        event_base_free(s->base);
    s->base = NULL;
}
