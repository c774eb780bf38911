/*
 * librexec: run commands on machines with rexecd, from a C program.
 *
 *   rexec/connection.h  the connection and its commands, without any I/O: for programs that have an
 *                       event loop, a transport or a test bench of their own
 *   rexec/driver.h      the same on a socket, with libevent
 *   rexec/failure.h     what went wrong, in words
 *   rexec/escape.h      to show what others wrote
 *   proto/words.h       a command's words, environment and directory
 *   auth/key.h          key files
 *
 * A command, with the driver:
 *
 *   struct rx_driver *d = rx_driver_new(&config, &failure);
 *   rx_words_add(words, sizeof words, &n, RX_WORD_ARGUMENT, "uptime", 6);
 *   rx_header_init(RX_EXEC, &h);  randombytes_buf(h.exec.id, sizeof h.exec.id);
 *   rx_connection_exec(rx_driver_connection(d), &h.exec, words, n, NULL, &command);
 *   rx_command_finish(command);
 *   event_base_dispatch(base);   // RX_ON_DATA: rx_command_peek, rx_command_consume
 *                                // RX_ON_EXIT: event->header->exit.code; rx_driver_close
 *   rx_command_free(command);
 *   rx_driver_free(d);
 *
 * The library never exits, logs, or changes the process's signals. Errors are values. It must be
 * used from one thread for each event base.
 */
#ifndef REXEC_LIBREXEC_H
#define REXEC_LIBREXEC_H

#include "auth/key.h"
#include "proto/words.h"
#include "rexec/connection.h"
#include "rexec/driver.h"
#include "rexec/escape.h"
#include "rexec/failure.h"

#endif
