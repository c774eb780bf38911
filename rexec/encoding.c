#include "rexec/encoding.h"

#include <langinfo.h>
#include <locale.h>

struct transcode *encoding_open(const char *name, bool utf8, struct rx_failure *failure)
{
    const char *to = "UTF-8";
    if (!utf8 && setlocale(LC_CTYPE, "") != NULL)
        to = nl_langinfo(CODESET);
    struct transcode *t = transcode_new(name, to);
    if (t == NULL) {
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot decode from %s to %s", name, to);
        rx_failure_todo(failure, "`iconv -l` lists the encodings that there are");
    }
    return t;
}

bool encoding_check(const char *name, bool utf8, struct rx_failure *failure)
{
    struct transcode *decoder = name != NULL ? encoding_open(name, utf8, failure) : NULL;
    transcode_free(decoder);
    return name == NULL || decoder != NULL;
}
