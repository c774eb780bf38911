#include "rexec/destination.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy with %XX replaced; NULL: malformed, a NUL in it, or no memory. */
static char *decode(const char *text, size_t n)
{
    char *copy = malloc(n + 1);
    size_t used = 0;
    for (size_t i = 0; copy != NULL && i < n; i++) {
        int byte = (unsigned char)text[i];
        if (text[i] == '%') {
            int high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            byte = low >= 0 ? high * 16 + low : 0;
            i += 2;
        }
        if (byte == 0) {
            free(copy);
            return NULL;
        }
        copy[used++] = (char)byte;
    }
    if (copy != NULL)
        copy[used] = '\0';
    return copy;
}

/* Names and addresses; not what a terminal or a shell would take for something else. */
static bool host_valid(const char *host)
{
    if (host[0] == '\0' || host[0] == '-')
        return false;
    for (const char *p = host; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    }
    return true;
}

/* A host of n bytes, brackets around it taken off. */
static bool take_host(struct destination *d, const char *host, size_t n)
{
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    d->host = strndup(host, n);
    return d->host != NULL && host_valid(d->host);
}

/* Behind the scheme: [USER[;PARAMETERS]@]HOST[:PORT][/] */
static bool parse_uri(struct destination *d, const char *uri)
{
    size_t n = strcspn(uri, "/");
    if (uri[n] == '/' && uri[n + 1] != '\0')
        return false;
    const char *at = memrchr(uri, '@', n);
    const char *host = at != NULL ? at + 1 : uri;
    const char *end = uri + n;
    if (at != NULL) {
        const char *parameters = memchr(uri, ';', (size_t)(at - uri));
        d->user = decode(uri, (size_t)((parameters != NULL ? parameters : at) - uri));
        if (d->user == NULL || d->user[0] == '\0')
            return false;
    }
    const char *behind = host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host;
    if (behind == NULL)
        return false;
    const char *colon = memchr(behind, ':', (size_t)(end - behind));
    if (host[0] == '[' && behind + 1 != (colon != NULL ? colon : end))
        return false;
    if (colon != NULL) {
        d->port = strndup(colon + 1, (size_t)(end - colon - 1));
        if (d->port == NULL)
            return false;
        end = colon;
    }
    return take_host(d, host, (size_t)(end - host));
}

bool destination_parse(struct destination *d, const char *word)
{
    static const char *const schemes[] = {"ssh://", "rexec://"};
    *d = (struct destination){0};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strncmp(word, schemes[i], strlen(schemes[i])) == 0)
            return parse_uri(d, word + strlen(schemes[i]));
    }
    /* A path behind unix: may have an @ of its own. */
    bool local = strncmp(word, "unix:", 5) == 0;
    const char *at = local ? NULL : strstr(word, "@unix:");
    if (at == NULL && !local)
        at = strrchr(word, '@');
    const char *host = at != NULL ? at + 1 : word;
    if (at != NULL) {
        d->user = strndup(word, (size_t)(at - word));
        if (d->user == NULL)
            return false;
    }
    if (strncmp(host, "unix:", 5) != 0)
        return take_host(d, host, strlen(host));
    d->host = strdup(host);
    return d->host != NULL;
}

void destination_clear(struct destination *d)
{
    free(d->user);
    free(d->host);
    free(d->port);
    *d = (struct destination){0};
}
