#include "proto/error.h"

#include <stddef.h>
#include <string.h>

static const struct {
    unsigned code;
    const char *name;
    const char *text;
} errors[] = {
#define X(number, NAME, name, text) {(number), #name, (text)},
#include "proto/error.def"
#undef X
};

static const size_t error_count = sizeof errors / sizeof errors[0];

const char *rx_error_name(unsigned code)
{
    if (code == RX_OK)
        return "ok";
    for (size_t i = 0; i < error_count; i++)
        if (errors[i].code == code)
            return errors[i].name;
    return "unknown";
}

const char *rx_error_text(unsigned code)
{
    if (code == RX_OK)
        return "no error";
    for (size_t i = 0; i < error_count; i++)
        if (errors[i].code == code)
            return errors[i].text;
    return "an error that this version does not know";
}

enum rx_error_class rx_error_class(unsigned code)
{
    if (code >= 1 && code <= 63)
        return RX_CLASS_SESSION;
    if (code >= 64 && code <= 127)
        return RX_CLASS_REFUSAL;
    if (code >= 128 && code <= 255)
        return RX_CLASS_LOCAL;
    return RX_CLASS_UNKNOWN;
}

unsigned rx_error_by_name(const char *name)
{
    for (size_t i = 0; i < error_count; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].code;
    return RX_OK;
}
