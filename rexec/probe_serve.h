/*
 * rexec probe --serve: one connection of a client a case.
 */
#ifndef REXEC_PROBE_SERVE_H
#define REXEC_PROBE_SERVE_H

#include "rexec/probe_session.h"

/* Listens; the port chosen is in *port. False: reported. */
bool serve_listen(struct probe *p, const char *port, char text[static RX_ADDRESS_TEXT]);

/* Waits for the next client and its M1. False: the check is skipped. To be ended with session_end.
 */
bool serve_accept(struct probe *p, struct session *s);

/* M2 with everything right, the best suite that was offered; may be changed before it is sent. */
void serve_make_m2(struct session *s);

/* The right proof for m2 as it stands. */
void serve_prove(struct session *s);

/* Sends m2; the client must close and may say nothing: else "... behind `what`". */
bool serve_must_refuse(struct session *s, const char *what);

/* accept, M2, a right M3: keys are there, nothing was sent under them. False: skipped. */
bool serve_shake(struct probe *p, struct session *s);

/* The same and WELCOME. */
bool serve_open(struct probe *p, struct session *s);

/* The same and EXEC, whose stream is in *stream; answered by STARTED unless `quiet`. */
bool serve_command(struct probe *p, struct session *s, uint32_t *stream, bool quiet);

/* WELCOME, put behind what is to be sent. */
void serve_add_welcome(struct session *s);

/* STARTED, likewise. */
void serve_add_started(struct session *s, uint32_t stream);

/* Sends what was made and a PING; the client must give up: else "... behind `what`". */
bool serve_must_stop(struct session *s, const char *what);

/* Likewise behind a right EXIT: the client may be done, and say so. */
bool serve_must_stop_or_end(struct session *s, const char *what);

#endif
