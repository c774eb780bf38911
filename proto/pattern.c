#include "proto/pattern.h"

#include <string.h>

/* Goes back to the last star only, which is enough: what an earlier one would take, it can take. */
bool rx_pattern_matches(const char *pattern, const void *name, size_t n)
{
    const char *bytes = name, *star = NULL;
    size_t i = 0, back = 0;
    while (i < n) {
        if (*pattern == '*') {
            star = pattern++;
            back = i;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == bytes[i])) {
            pattern++;
            i++;
        } else if (star != NULL) {
            pattern = star + 1;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool rx_pattern_is_literal(const char *pattern)
{
    return strpbrk(pattern, "*?") == NULL;
}
