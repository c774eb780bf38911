/*
 * One end of a session in C, on a socket that it was given by number: what the Python tests talk
 * to.
 *
 *   engine_peer server FD GRANTFILE [--readable]
 *   engine_peer client FD KEYFILE SERVERNAME aes256gcm|chacha20poly1305|hmac-sha256|any
 *
 * The client prints one line of JSON. Exits 0 if all went as it should, else says on stderr what
 * did not and exits 1.
 */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/key.h"
#include "tests/duel/peer.h"

static int usage(void)
{
    (void)fputs("usage: engine_peer server FD GRANTFILE [--readable]\n"
                "       engine_peer client FD KEYFILE SERVERNAME SUITE|any\n",
                stderr);
    return 2;
}

static int failed(const char *who, const char *what)
{
    (void)fprintf(stderr, "engine_peer %s: %s\n", who, what);
    return 1;
}

/* A whole file, at most cap bytes; 0 if that cannot be. */
static size_t read_file(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, cap, f);
    bool whole = n < cap || fgetc(f) == EOF;
    (void)fclose(f);
    return whole ? n : 0;
}

static int serve(int fd, const char *path, bool readable)
{
    static char text[RX_GRANT_FILE_MAX];
    static struct rx_grant grant;
    struct rx_file_error why;
    size_t n = read_file(path, text, sizeof text);
    if (rx_grant_parse(text, n, &grant, &why) != RX_OK)
        return failed("server", why.what);
    struct wire w;
    wire_open(&w, fd);
    const char *wrong = peer_serve(&w, &grant, readable);
    wire_close(&w);
    return wrong == NULL ? 0 : failed("server", wrong);
}

static int visit(int fd, const char *path, const char *server_name, const char *suite)
{
    static char text[RX_KEY_FILE_MAX];
    char server[RX_NAME_MAX + 1] = "";
    struct rx_key key;
    struct rx_file_error why;
    bool any = strcmp(suite, "any") == 0;
    unsigned suites = any ? (unsigned)RX_SUITES_SEALED : (unsigned)rx_suite_by_name(suite);
    if (suites == 0)
        return usage();
    size_t n = read_file(path, text, sizeof text);
    if (rx_key_parse(text, n, &key, &why) != RX_OK)
        return failed("client", why.what);
    struct wire w;
    wire_open(&w, fd);
    const char *wrong = peer_visit(&w, key.psk, server_name, suites, server);
    enum rx_suite chosen = w.suite;
    wire_close(&w);
    if (wrong != NULL)
        return failed("client", wrong);
    json_t *line =
        json_pack("{s:b,s:s,s:s}", "ok", 1, "suite", rx_suite_name(chosen), "server", server);
    if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT) != 0 || puts("") < 0)
        return failed("client", "the result cannot be printed");
    json_decref(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return usage();
    char *end;
    long fd = strtol(argv[2], &end, 10);
    if (*end != '\0' || fd < 0 || fd > 65535)
        return usage();
    if (strcmp(argv[1], "server") == 0 && argc == 4)
        return serve((int)fd, argv[3], false);
    if (strcmp(argv[1], "server") == 0 && argc == 5 && strcmp(argv[4], "--readable") == 0)
        return serve((int)fd, argv[3], true);
    if (strcmp(argv[1], "client") == 0 && argc == 6)
        return visit((int)fd, argv[3], argv[4], argv[5]);
    return usage();
}
