#include "rexec/expand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rexec/buffer.h"

static const char *environment(const char *name, size_t n, char error[static EXPAND_ERROR_MAX])
{
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)(n < sizeof copy ? n : 0), name);
    const char *value = copy[0] != '\0' ? getenv(copy) : NULL;
    if (value == NULL)
        (void)snprintf(error, EXPAND_ERROR_MAX, "the variable %s is not set", copy);
    return value;
}

/* What begins at *at, which is moved behind it; NULL, with `error`. */
static const char *replace(const char **at, const struct tokens *tokens,
                           char error[static EXPAND_ERROR_MAX])
{
    const char *p = *at;
    if (p[0] == '$') {
        const char *end = strchr(p, '}');
        if (end == NULL) {
            (void)snprintf(error, EXPAND_ERROR_MAX, "${ without }");
            return NULL;
        }
        *at = end + 1;
        return environment(p + 2, (size_t)(end - p - 2), error);
    }
    unsigned char letter = (unsigned char)p[1];
    const char *value = letter == '%' ? "%" : letter < 128 ? tokens->value[letter] : NULL;
    if (value == NULL) {
        (void)snprintf(error, EXPAND_ERROR_MAX, "%%%c means nothing in it (%%%% is a %%)",
                       letter >= ' ' && letter < 0x7f ? letter : ' ');
        return NULL;
    }
    *at = p + 2;
    return value;
}

char *expand_tokens(const char *text, const struct tokens *tokens,
                    char error[static EXPAND_ERROR_MAX])
{
    struct buffer out = {0};
    const char *p = text;
    bool good = true;
    error[0] = '\0';
    while (*p != '\0' && good) {
        size_t plain = 1;
        const char *bytes = p;
        if (*p == '%' || (*p == '$' && p[1] == '{' && tokens->variables)) {
            bytes = replace(&p, tokens, error);
            plain = bytes != NULL ? strlen(bytes) : 0;
            good = bytes != NULL;
        } else {
            p++;
        }
        good = good && (plain == 0 || buffer_add(&out, bytes, plain));
    }
    good = good && buffer_add(&out, "", 1);
    if (good)
        return (char *)out.bytes;
    if (error[0] == '\0')
        (void)snprintf(error, EXPAND_ERROR_MAX, "out of memory");
    buffer_clear(&out);
    return NULL;
}
