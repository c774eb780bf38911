/*
 * One end of the way between net and monitor, driven by libevent: messages that come go to a
 * callback, messages that do not fit now wait in a queue.
 */
#ifndef REXEC_REXECD_LINK_H
#define REXEC_REXECD_LINK_H

#include <event2/event.h>

#include "rexecd/ipc.h"

struct link;

/* Who makes messages on somebody's behalf makes no more of them for whom much waits already, as
 * long as more than LINK_LOW bytes wait, and none at all when LINK_HIGH do. */
enum { LINK_LOW = 64 * 1024, LINK_HIGH = 1024 * 1024 };

/* A message came. Descriptors that it does not take (set to -1) are closed behind it. */
typedef void (*link_message)(void *context, struct ipc_message *message);

/* The other side is gone (0), or broke the rules (EPROTO), or the socket failed (errno). Called
 * once; the link does nothing more then, and may be freed from inside. */
typedef void (*link_ended)(void *context, int error);

/* A link over fd, which it owns from now on, to a peer whose messages are `side`'s. NULL: no
 * memory; fd stays the caller's. */
struct link *link_new(struct event_base *base, int fd, enum ipc_side side, link_message message,
                      link_ended ended, void *context);

/* Has `drained` called whenever no more than LINK_LOW bytes wait, and more did before. */
void link_when_drained(struct link *link, void (*drained)(void *context));

/* Closes the socket and the descriptors that wait in the queue; NULL is fine. */
void link_free(struct link *link);

/*
 * Sends, or queues, one message; see ipc_send. The descriptors are the link's in any case and
 * closed when they are sent. 0; -1 with errno (ENOBUFS: too much is waiting, the peer does not
 * read; never for net's words about what is over, of which there are only so many).
 */
int link_send(struct link *link, enum ipc_type type, uint32_t session, const void *fixed,
              const void *tail, size_t tail_len, const int *fds);

/* Bytes that wait. */
size_t link_queued(const struct link *link);

#endif
