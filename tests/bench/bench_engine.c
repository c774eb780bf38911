/* Messages a second and bytes a second through a pair of engines, and what an idle one holds. */

#include <malloc.h>
#include <sodium.h>
#include <string.h>

#include "tests/bench/measure.h"
#include "tests/duel/session.h"

static uint8_t wire[2 * RX_OUTPUT_MIN];

struct flow {
    struct session session;
    struct rx_channel *client, *server;
    size_t piece; /* bytes of stdout in one write */
    uint64_t moved;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* Moves what one side has to say to the other, and uses it up there. */
static void carry(struct flow *f, struct end *from, struct end *to)
{
    struct rx_event event;
    enum rx_next next;
    size_t n = rx_engine_output(from->engine, wire, sizeof wire);
    rx_engine_feed(to->engine, wire, n);
    while ((next = rx_engine_next(to->engine, &event)) == RX_NEXT_EVENT) {
        if (event.message.type == RX_EXEC) {
            f->server = event.channel;
            if (end_started(to, event.channel) != RX_OK)
                die("STARTED");
        } else if (rx_is_data(event.message.type)) {
            const uint8_t *bytes;
            size_t got = rx_engine_peek(to->engine, event.channel, event.which, &bytes);
            rx_engine_consume(to->engine, event.channel, event.which, got);
            f->moved += got;
        }
    }
    if (next == RX_NEXT_ERROR)
        die(rx_error_name(rx_engine_error(to->engine)));
}

static void flow_open(struct flow *f, enum rx_suite suite, size_t piece, size_t chunk)
{
    struct dice d = {1};
    struct rx_engine_config config = {.chunk = chunk, .keep = 1 << 20, .window = 1 << 20};
    memset(f, 0, sizeof *f);
    f->piece = piece;
    session_open(&f->session, &d, suite, &config, &config);
    if (end_exec(&f->session.client, 1, &f->client) != RX_OK)
        die("EXEC");
    carry(f, &f->session.client, &f->session.server);
    carry(f, &f->session.server, &f->session.client);
}

/* Small messages: each write of stdout becomes a record of its own. */
static void one_message(void *context)
{
    struct flow *f = context;
    uint8_t *room;
    if (rx_engine_write_room(f->server, RX_WHICH_STDOUT, f->piece, &room) == 0)
        die("no room");
    rx_engine_written(f->session.server.engine, f->server, RX_WHICH_STDOUT, f->piece);
    carry(f, &f->session.server, &f->session.client);
    if (rx_engine_pending(f->session.client.engine))
        carry(f, &f->session.client, &f->session.server);
}

static void bulk(void *context)
{
    struct flow *f = context;
    uint8_t *room;
    size_t n;
    while ((n = rx_engine_write_room(f->server, RX_WHICH_STDOUT, f->piece, &room)) > 0)
        rx_engine_written(f->session.server.engine, f->server, RX_WHICH_STDOUT, n);
    carry(f, &f->session.server, &f->session.client);
    if (rx_engine_pending(f->session.client.engine))
        carry(f, &f->session.client, &f->session.server);
}

static void flows(enum rx_suite suite)
{
    static struct flow f;
    char name[128];
    flow_open(&f, suite, 16, 0);
    (void)snprintf(name, sizeof name, "messages of 16 bytes through both engines, %s",
                   rx_suite_name(suite));
    figure(name, 1e9 / measure(one_message, &f), "1/s per core", "");
    session_close(&f.session);

    static const size_t chunks[] = {16384, 65536, RX_DATA_MAX};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        flow_open(&f, suite, 65536, chunks[i]);
        (void)measure(bulk, &f);
        f.moved = 0;
        int64_t start = cpu_ns();
        while (cpu_ns() - start < 10 * SLICE_NS)
            bulk(&f);
        (void)snprintf(name, sizeof name, "sealed and opened, records of %zu KiB, %s",
                       chunks[i] / 1024, rx_suite_name(suite));
        figure(name, (double)f.moved / (double)(cpu_ns() - start), "GB/s, both ends on one core",
               "");
        session_close(&f.session);
    }
}

static void idle_memory(void)
{
    enum { ENGINES = 1000 };
    static struct rx_engine *engines[ENGINES];
    struct dice d = {1};
    struct session s;
    session_open(&s, &d, RX_SUITE_CHACHA20POLY1305, NULL, NULL);
    struct rx_engine_config config = {.role = RX_SERVER, .seal = rx_sealer_seal(&s.server.out)};
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < ENGINES; i++)
        engines[i] = rx_engine_new(&config);
    size_t after = mallinfo2().uordblks;
    figure("an idle engine, beside its keys", (double)(after - before) / ENGINES, "bytes",
           "< 1024");
    figure("one direction's keys", sizeof(struct rx_sealer), "bytes", "");
    for (size_t i = 0; i < ENGINES; i++)
        rx_engine_free(engines[i]);
    session_close(&s);
}

int main(void)
{
    static const enum rx_suite suites[] = {RX_SUITE_AES256GCM, RX_SUITE_CHACHA20POLY1305,
                                           RX_SUITE_HMAC_SHA256};
    if (sodium_init() < 0)
        return 1;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        if ((rx_suites_here() & suites[i]) != 0)
            flows(suites[i]);
    idle_memory();
    return 0;
}
