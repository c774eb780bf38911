/*
 * proto/words.c: a list that is good is its words and nothing else; added again one by one, they
 * give the same list. A word that may be added is one that a list may hold.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(good) ((good) ? (void)0 : broken(__LINE__))

static void broken(int line)
{
    (void)fprintf(stderr, "fuzz_words.c:%d: does not hold\n", line);
    abort();
}

static enum rx_word_kind kind_of(uint8_t number)
{
    unsigned value = number; /* the enum does not name all of them */
    enum rx_word_kind kind;
    _Static_assert(sizeof kind == sizeof value, "an enum is an unsigned");
    memcpy(&kind, &value, sizeof kind);
    return kind;
}

/* The same list, from its words. */
static void rebuild(const uint8_t *body, size_t n, const struct rx_word_counts *counts)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    must(copy != NULL);
    struct rx_word_counts found = {0};
    struct rx_word word;
    size_t at = 0, length = 0;
    while (rx_words_next(body, n, &at, &word)) {
        must(word.bytes >= body && word.bytes + word.len <= body + n);
        must(word.kind >= RX_WORD_ARGUMENT &&
             (word.kind <= RX_WORD_DIRECTORY || word.kind >= RX_WORD_OPTIONAL));
        must(word.len == 0 || memchr(word.bytes, '\0', word.len) == NULL);
        found.arguments += word.kind == RX_WORD_ARGUMENT;
        found.environment += word.kind == RX_WORD_ENVIRONMENT;
        found.directories += word.kind == RX_WORD_DIRECTORY;
        /* One byte less than it needs is too little. */
        if (length + RX_WORD_HEAD + word.len > 0)
            must(rx_words_add(copy, length + RX_WORD_HEAD + word.len - 1, &length,
                              kind_of(word.kind), word.bytes, word.len) == RX_E_NO_SPACE);
        must(rx_words_add(copy, n, &length, kind_of(word.kind), word.bytes, word.len) == RX_OK);
        must(length == at);
    }
    must(at == n && length == n && memcmp(copy, body, n) == 0);
    must(found.arguments == counts->arguments && found.environment == counts->environment &&
         found.directories == counts->directories && found.directories <= 1);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rx_word_counts counts;
    if (rx_words_check(data, n, &counts) == RX_OK)
        rebuild(data, n, &counts);

    /* The input as one word. */
    if (n == 0 || n > 4096)
        return 0;
    uint8_t list[4096 + RX_WORD_HEAD];
    size_t length = 0;
    enum rx_error error =
        rx_words_add(list, sizeof list, &length, kind_of(data[0]), data + 1, n - 1);
    must(error == RX_OK || (error == RX_E_BAD_BODY && length == 0));
    if (error == RX_OK) {
        must(length == RX_WORD_HEAD + n - 1);
        must(rx_words_check(list, length, &counts) == RX_OK);
        rebuild(list, length, &counts);
    }
    return 0;
}
