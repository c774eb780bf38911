#include "proto/words.h"

#include <string.h>

#include "proto/bytes.h"

static bool word_valid(const struct rx_word *word)
{
    if (word->len > 0 && memchr(word->bytes, '\0', word->len) != NULL)
        return false;
    if (word->kind >= RX_WORD_OPTIONAL)
        return true;
    switch (word->kind) {
    case RX_WORD_ARGUMENT:
        return true;
    case RX_WORD_ENVIRONMENT:
        return word->len > 0 && word->bytes[0] != '=' && memchr(word->bytes, '=', word->len);
    case RX_WORD_DIRECTORY:
        return word->len > 0;
    default:
        return false;
    }
}

bool rx_words_next(const uint8_t *body, size_t n, size_t *at, struct rx_word *word)
{
    if (n - *at < RX_WORD_HEAD)
        return false;
    size_t len = rx_get32(body + *at + 1);
    if (n - *at - RX_WORD_HEAD < len)
        return false;
    *word = (struct rx_word){
        .kind = body[*at],
        .bytes = body + *at + RX_WORD_HEAD,
        .len = len,
    };
    *at += RX_WORD_HEAD + len;
    return true;
}

enum rx_error rx_words_check(const uint8_t *body, size_t n, struct rx_word_counts *counts)
{
    *counts = (struct rx_word_counts){0};
    size_t at = 0;
    struct rx_word word;
    while (rx_words_next(body, n, &at, &word)) {
        if (!word_valid(&word))
            return RX_E_BAD_BODY;
        counts->arguments += word.kind == RX_WORD_ARGUMENT;
        counts->environment += word.kind == RX_WORD_ENVIRONMENT;
        counts->directories += word.kind == RX_WORD_DIRECTORY;
    }
    return at == n && counts->directories <= 1 ? RX_OK : RX_E_BAD_BODY;
}

enum rx_error rx_words_add(uint8_t *buffer, size_t cap, size_t *n, enum rx_word_kind kind,
                           const void *bytes, size_t len)
{
    struct rx_word word = {.kind = (uint8_t)kind, .bytes = bytes, .len = len};
    if (!word_valid(&word))
        return RX_E_BAD_BODY;
    if (cap - *n < RX_WORD_HEAD || cap - *n - RX_WORD_HEAD < len)
        return RX_E_NO_SPACE;
    buffer[*n] = word.kind;
    rx_put32(buffer + *n + 1, (uint32_t)len);
    if (len > 0)
        memcpy(buffer + *n + RX_WORD_HEAD, bytes, len);
    *n += RX_WORD_HEAD + len;
    return RX_OK;
}
