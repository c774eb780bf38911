#include "rexec/explain.h"

static void explain_lost(const struct rx_explain *about, struct rx_failure *failure)
{
    if (rx_connection_welcome(about->connection) != NULL) {
        rx_failure_set(failure, RX_TROUBLE_LOST,
                       "the connection to %s was lost before the command had ended",
                       about->address);
        rx_failure_todo(failure, "check the network and the server, and what the command has done");
    } else if (rx_connection_ready(about->connection)) {
        rx_failure_set(failure, RX_TROUBLE_LOST, "%s closed the connection behind the handshake",
                       about->address);
        rx_failure_todo(failure, "see the server's log");
    } else {
        rx_failure_set(failure, RX_TROUBLE_PEER,
                       "%s closed the connection without an answer: it is no rexec server, or "
                       "takes no more connections",
                       about->address);
        rx_failure_todo(failure, "check the port (-p), or try again");
    }
}

static void explain_proof(const struct rx_explain *about, struct rx_failure *failure)
{
    rx_failure_set(failure, RX_TROUBLE_GRANT,
                   "the server holds no grant of this key for the name %s that can be used",
                   about->server_name);
    rx_failure_todo(failure,
                    "put what `rexec grant %s %s` prints into its grants directory, or give its "
                    "name with -o HostKeyAlias=NAME",
                    about->key_file != NULL ? about->key_file : "KEY", about->server_name);
}

void rx_explain_session(const struct rx_explain *about, enum rx_error error,
                        struct rx_failure *failure)
{
    switch (error) {
    case RX_OK:
    case RX_E_CLOSED_EARLY:
        explain_lost(about, failure);
        return;
    case RX_E_NOT_REXEC:
        rx_failure_set(failure, RX_TROUBLE_PEER, "%s is not a rexec server", about->address);
        rx_failure_todo(failure, "check the port (-p)");
        break;
    case RX_E_PROOF_WRONG:
        explain_proof(about, failure);
        break;
    case RX_E_NO_COMMON_VERSION:
        rx_failure_set(failure, RX_TROUBLE_VERSION,
                       "the server speaks version %u of the protocol at most, this client %d",
                       rx_connection_server_version(about->connection), RX_VERSION);
        rx_failure_todo(failure, "bring the older of the two up to date");
        break;
    case RX_E_NO_COMMON_SUITE:
        rx_failure_set(failure, RX_TROUBLE_VERSION, "%s", rx_error_text(error));
        rx_failure_todo(failure, "leave out --readable and suite, or allow it in the server's "
                                 "configuration");
        break;
    case RX_E_COUNT_MISMATCH:
        rx_failure_set(failure, RX_TROUBLE_PROTOCOL, "%s", rx_error_text(error));
        rx_failure_todo(failure, "do not use this output; run the command again");
        break;
    default:
        rx_failure_set(failure, RX_TROUBLE_PROTOCOL, "the session with %s failed: %s",
                       about->address, rx_error_text(error));
        rx_failure_todo(failure, "try again; if it stays, see the server's log");
        break;
    }
    failure->code = error;
}
