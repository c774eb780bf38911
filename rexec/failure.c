#include "rexec/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void rx_failure_set(struct rx_failure *failure, enum rx_trouble trouble, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    failure->trouble = trouble;
    failure->code = 0;
    failure->todo[0] = '\0';
    (void)vsnprintf(failure->what, sizeof failure->what, format, list);
    va_end(list);
}

void rx_failure_todo(struct rx_failure *failure, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(failure->todo, sizeof failure->todo, format, list);
    va_end(list);
}

static const struct advice {
    enum rx_error code;
    const char *todo;
} advices[] = {
    {RX_E_SESSION_LIMIT, "try again when other connections have ended"},
    {RX_E_SUITE_NOT_PERMITTED, "leave --readable out, or put `readable = yes` into the grant"},
    {RX_E_GRANT_ENDED, "ask for a new one"},
    {RX_E_SHUTTING_DOWN, "try again when it is back"},
    {RX_E_NOT_PERMITTED, "ask for a grant that permits it (users, command, from)"},
    {RX_E_NO_SUCH_USER, "check the name given with -l or before the @"},
    {RX_E_NO_SUCH_DIRECTORY, "check --cwd and the user's home directory there"},
    {RX_E_COMMAND_NOT_FOUND, "check the spelling, and that it is installed there and in PATH"},
    {RX_E_CANNOT_EXECUTE, "check its permissions and format there"},
    {RX_E_TOO_LONG, "send the data by stdin instead"},
    {RX_E_FATE_UNKNOWN, "look what it did, and run it again if need be"},
    {RX_E_NO_RESOURCES, "try again later, or see the server's log"},
    {RX_E_NOT_SUPPORTED, "use a newer rexecd"},
    {RX_E_NO_COMMON_VERSION, "bring the older of the two up to date"},
};

/* Our way to write a line is "what happened; what to do", and rexecd's, too. */
static bool advises(const char *text)
{
    return strstr(text, "; ") != NULL;
}

static const char *advice_on(unsigned code)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        if (advices[i].code == code)
            return advices[i].todo;
    }
    return NULL;
}

void rx_failure_notice(struct rx_failure *failure, enum rx_trouble trouble,
                       const struct rx_notice *notice)
{
    unsigned code = notice->code > 0 && notice->code < 65536 ? (unsigned)notice->code : 0;
    const char *ours = rx_error_text(code);
    bool known = strcmp(rx_error_name(code), "unknown") != 0;
    bool says_more = notice->text[0] != '\0' && strcmp(notice->text, ours) != 0 &&
                     strcmp(notice->text, rx_error_name(code)) != 0;
    bool advised = advises(says_more ? notice->text : "");
    const char *todo = advised ? NULL : advice_on(code);
    bool joined = says_more && known && !advised && strncmp(notice->text, ours, strlen(ours)) != 0;
    const char *first = says_more && !joined ? notice->text : ours;
    rx_failure_set(failure, trouble, "%s%s%s", first, joined ? ": " : "",
                   joined ? notice->text : "");
    failure->code = code;
    /* Without advice of ours the server's words are all that there is. */
    if (todo != NULL || (!says_more && !advises(ours)))
        rx_failure_todo(failure, "%s", todo != NULL ? todo : "see the server's log");
}

void rx_failure_connect(struct rx_failure *failure, const char *address, int error)
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    switch (error) {
    case ECONNREFUSED:
        rx_failure_set(failure, RX_TROUBLE_REFUSED, "connection to %s refused", address);
        rx_failure_todo(failure, is_unix ? "start rexecd, or check the path"
                                         : "start rexecd there, or check the port (-p)");
        break;
    case ENOENT:
        rx_failure_set(failure, RX_TROUBLE_REFUSED, "there is no socket %s", address);
        rx_failure_todo(failure, "start rexecd, or check the path");
        break;
    case ETIMEDOUT:
        rx_failure_set(failure, RX_TROUBLE_TIMEOUT, "connection to %s timed out", address);
        rx_failure_todo(failure,
                        "check that the machine is up and no firewall is between, or raise "
                        "ConnectTimeout");
        break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EINVAL: /* a route that is a black hole */
        rx_failure_set(failure, RX_TROUBLE_ROUTE, "no route to %s", address);
        rx_failure_todo(failure, "check the address and your network");
        break;
    default:
        rx_failure_set(failure, RX_TROUBLE_SYSTEM, "cannot connect to %s: %s", address,
                       strerror(error));
        rx_failure_todo(failure, "check the address and your permissions");
        break;
    }
}
