/* proto/message.c against the table of messages in docs/PROTOCOL.md, which is parsed here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bytes.h"
#include "proto/message.h"
#include "proto/record.h"
#include "tests/unit/doc_table.h"
#include "tests/unit/guard.h"

/* A row of the document. */
struct row {
    bool there;
    const char *name;
    unsigned directions;
    bool last, trailer;
    size_t header_max, body_min, body_max;
    unsigned states;
};

static struct doc_table table;
static struct row rows[256]; /* by number */

static size_t number_of(const char *cell)
{
    char *end;
    /* Asserted above. NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    unsigned long n = strtoul(cell, &end, 10);
    assert_true(*cell != '\0' && *end == '\0');
    return n;
}

static bool yes_or_dash(const char *cell)
{
    assert_true(strcmp(cell, "yes") == 0 || strcmp(cell, "-") == 0);
    return cell[0] == 'y';
}

static unsigned directions_of(const char *cell)
{
    /* Asserted above. NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    if (strcmp(cell, "both") == 0)
        return RX_C2S | RX_S2C;
    if (strcmp(cell, "C->S") == 0)
        return RX_C2S;
    assert_string_equal(cell, "S->C");
    return RX_S2C;
}

static unsigned states_of(const char *cell)
{
    static const struct {
        const char *name;
        unsigned state;
    } names[] = {
        {"idle", RX_STREAM_IDLE},       {"asked", RX_STREAM_ASKED},   {"asking", RX_STREAM_ASKING},
        {"running", RX_STREAM_RUNNING}, {"exited", RX_STREAM_EXITED}, {"closed", RX_STREAM_CLOSED},
        {"session", RX_STREAM_SESSION},
    };
    unsigned states = 0;
    while (*cell != '\0') {
        size_t n = strcspn(cell, " "), i = 0;
        while (strncmp(names[i].name, cell, n) != 0 || names[i].name[n] != '\0')
            assert_true(++i < sizeof names / sizeof names[0]);
        states |= names[i].state;
        cell += n + strspn(cell + n, " ");
    }
    return states;
}

static int read_document(void **state)
{
    (void)state;
    doc_table_read(&table, "messages");
    assert_int_equal(table.cells, 9);
    for (size_t i = 0; i < table.rows; i++) {
        const char *const *cell = table.cell[i];
        size_t number = number_of(cell[0]);
        assert_true(number > 0 && number < 256 && !rows[number].there);
        rows[number] = (struct row){
            .there = true,
            .name = cell[1],
            .directions = directions_of(cell[2]),
            .last = yes_or_dash(cell[3]),
            .header_max = number_of(cell[4]),
            .body_min = number_of(cell[5]),
            .body_max = number_of(cell[6]),
            .trailer = yes_or_dash(cell[7]),
            .states = states_of(cell[8]),
        };
    }
    return 0;
}

static int forget_document(void **state)
{
    (void)state;
    doc_table_free(&table);
    return 0;
}

/* ---- the list --------------------------------------------------------------------------- */

static void test_document(void **state)
{
    (void)state;
    for (size_t i = 0; i < table.rows; i++) {
        const struct rx_kind *kind = rx_kind_at(i);
        assert_non_null(kind);
        assert_int_equal(kind->number, number_of(table.cell[i][0]));
        const struct row *row = &rows[kind->number];
        assert_string_equal(kind->name, row->name);
        assert_int_equal(kind->directions, row->directions);
        assert_int_equal(kind->flags, row->last ? RX_FLAG_LAST : 0);
        assert_int_equal(kind->header_max, row->header_max);
        assert_int_equal(kind->body_min, row->body_min);
        assert_int_equal(kind->body_max, row->body_max);
        assert_int_equal(kind->states, row->states);
        assert_int_equal(rx_is_request(kind->number), row->trailer);
    }
    assert_null(rx_kind_at(table.rows));
    assert_null(rx_kind_at(SIZE_MAX));
}

static void test_by_number(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        const struct rx_kind *kind = rx_kind((uint8_t)type);
        assert_int_equal(kind != NULL, rows[type].there);
        if (kind != NULL)
            assert_int_equal(kind->number, type);
        assert_int_equal(rx_is_data((uint8_t)type), type >= 48 && type <= 50);
        assert_int_equal(rx_is_request((uint8_t)type), type >= 16 && type <= 23);
    }
}

/* Everything that the list allows goes into one record, under the suite with the longest tag. */
static void test_fits_a_record(void **state)
{
    (void)state;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        const struct rx_kind *kind = rx_kind_at(i);
        size_t most = (size_t)RX_MESSAGE_HEAD + kind->header_max + kind->body_max;
        if (rx_is_request(kind->number))
            most += RX_REQUEST_TRAILER;
        assert_true(most <= RX_PAYLOAD_MAX);
        assert_true(kind->body_min <= kind->body_max && kind->header_max <= RX_HEADER_MAX);
    }
    assert_int_equal(rows[RX_EXEC].body_max, RX_WORDS_MAX);
    assert_int_equal(rows[RX_STDOUT].body_max, RX_DATA_OFFSET + RX_DATA_MAX);
    assert_int_equal(rows[RX_RESUME].body_max, RX_OFFSETS_SIZE);
}

static void test_state_names(void **state)
{
    (void)state;
    static const char *const names[] = {"idle",   "asked",  "asking", "running",
                                        "exited", "closed", "session"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(rx_stream_state_name((enum rx_stream_state)(1U << i)), names[i]);
    unsigned none = 0; /* a value that the enum lacks */
    assert_string_equal(rx_stream_state_name((enum rx_stream_state)none), "unknown");
}

/* ---- decoding --------------------------------------------------------------------------- */

/* What the document says of such a message. */
static bool allowed(unsigned type, enum rx_direction direction, unsigned flags, size_t header_len,
                    uint32_t stream, size_t n)
{
    const struct row *row = &rows[type];
    size_t around = 8 + header_len + (row->trailer ? 40 : 0);
    return row->there && (row->directions & direction) != 0 &&
           (flags == 0 || (flags == 1 && row->last)) && header_len <= row->header_max &&
           (stream == 0) == (row->states == RX_STREAM_SESSION) && n >= around &&
           n - around >= row->body_min && n - around <= row->body_max;
}

static void expect_parts(const struct rx_message *m, const uint8_t *p, size_t n, unsigned flags,
                         size_t header_len, uint32_t stream)
{
    size_t trailer = rows[p[0]].trailer ? 40 : 0;
    assert_ptr_equal(m->kind, rx_kind(p[0]));
    assert_int_equal(m->type, p[0]);
    assert_int_equal(m->flags, flags);
    assert_int_equal(m->stream, stream);
    assert_ptr_equal(m->header, p + 8);
    assert_int_equal(m->header_len, header_len);
    assert_ptr_equal(m->body, p + 8 + header_len);
    assert_int_equal(m->body_len, n - 8 - header_len - trailer);
    assert_ptr_equal(m->raw, p);
    assert_int_equal(m->raw_len, n);
}

/* A message of n bytes right before memory that cannot be read; its content does not matter. */
static void expect_decode(unsigned type, enum rx_direction direction, unsigned flags,
                          size_t header_len, uint32_t stream, size_t n)
{
    uint8_t head[RX_MESSAGE_HEAD];
    head[0] = (uint8_t)type;
    head[1] = (uint8_t)flags;
    rx_put16(head + 2, (uint16_t)header_len);
    rx_put32(head + 4, stream);
    uint8_t *payload = guard_copy(NULL, 0) - n;
    memcpy(payload, head, n < sizeof head ? n : sizeof head);
    struct rx_message m;
    enum rx_error error = rx_message_decode(payload, n, direction, &m);
    bool good = n >= 8 && allowed(type, direction, flags, header_len, stream, n);
    if (error != (good ? RX_OK : RX_E_BAD_MESSAGE))
        fail_msg("type %u direction %d flags %u header %zu stream %u bytes %zu: %s", type,
                 (int)direction, flags, header_len, (unsigned)stream, n, rx_error_name(error));
    if (good)
        expect_parts(&m, payload, n, flags, header_len, stream);
}

/* With this header: bodies around both bounds, without a trailer and with one. */
static void sweep_bodies(unsigned type, enum rx_direction direction, unsigned flags,
                         size_t header_len, uint32_t stream)
{
    const struct row *row = &rows[type];
    size_t bodies[] = {row->body_min, row->body_min + 1, row->body_max, row->body_max + 1};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        size_t n = 8 + header_len + bodies[i];
        expect_decode(type, direction, flags, header_len, stream, n);
        expect_decode(type, direction, flags, header_len, stream, n - 1);
        expect_decode(type, direction, flags, header_len, stream, n + 40);
        expect_decode(type, direction, flags, header_len, stream, n + 40 - 1);
    }
}

static void sweep(unsigned type, unsigned flags)
{
    size_t max = rows[type].header_max;
    size_t headers[] = {0, max > 0 ? max - 1 : 1, max, max + 1, UINT16_MAX};
    static const uint32_t streams[] = {0, 1, UINT32_MAX};
    for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
        for (size_t s = 0; s < sizeof streams / sizeof streams[0]; s++) {
            sweep_bodies(type, RX_C2S, flags, headers[h], streams[s]);
            sweep_bodies(type, RX_S2C, flags, headers[h], streams[s]);
        }
    }
}

static void test_every_type_and_flag(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++)
        for (unsigned flags = 0; flags < 256; flags++)
            sweep(type, flags);
}

/* Each message that is good, cut at every length, and made longer. */
static void test_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        const struct rx_kind *kind = rx_kind_at(i);
        uint32_t stream = kind->states == RX_STREAM_SESSION ? 0 : 7;
        enum rx_direction direction = (kind->directions & RX_C2S) != 0 ? RX_C2S : RX_S2C;
        size_t header = kind->header_max > 0 ? 2 : 0;
        for (size_t n = 0; n <= 8 + header + kind->body_max + 40 + 2; n++)
            expect_decode(kind->number, direction, 0, header, stream, n);
    }
}

static void test_every_header_length(void **state)
{
    (void)state;
    for (size_t i = 0; rx_kind_at(i) != NULL; i++) {
        const struct rx_kind *kind = rx_kind_at(i);
        uint32_t stream = kind->states == RX_STREAM_SESSION ? 0 : 7;
        enum rx_direction direction = (kind->directions & RX_C2S) != 0 ? RX_C2S : RX_S2C;
        for (size_t n = 0; n <= UINT16_MAX; n++) {
            expect_decode(kind->number, direction, 0, n, stream, 8 + n + kind->body_min);
            expect_decode(kind->number, direction, 0, n, stream, 8 + n + kind->body_min + 40);
            expect_decode(kind->number, direction, 0, n, stream, 8 + 40 + kind->body_min);
        }
    }
}

static void test_head(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, flags;
        uint16_t header_len;
        uint32_t stream;
        uint8_t bytes[RX_MESSAGE_HEAD];
    } cases[] = {
        {1, 0, 0, 0, {1, 0, 0, 0, 0, 0, 0, 0}},
        {37, 0, 0x0102, 0x03040506, {37, 0, 1, 2, 3, 4, 5, 6}},
        {255, 255, UINT16_MAX, UINT32_MAX, {255, 255, 255, 255, 255, 255, 255, 255}},
        {48, RX_FLAG_LAST, 0, 1, {48, 1, 0, 0, 0, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[RX_MESSAGE_HEAD];
        rx_message_head(out, cases[i].type, cases[i].flags, cases[i].header_len, cases[i].stream);
        assert_memory_equal(out, cases[i].bytes, sizeof out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_by_number),
        cmocka_unit_test(test_fits_a_record),
        cmocka_unit_test(test_state_names),
        cmocka_unit_test(test_every_type_and_flag),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_every_header_length),
        cmocka_unit_test(test_head),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
