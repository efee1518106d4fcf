/*
 * acceptor.h - accepts the connections of one listening socket; rests when there are no
 * descriptors for more or the socket was shut down.
 *
 * Without the rest a listener stays ready for ever and takes the whole processor to say so.  The
 * clients wait in the backlog meanwhile.
 */
#ifndef PROCESS_ACCEPTOR_H
#define PROCESS_ACCEPTOR_H
#include "relay/base/loop.h"

#include <sys/socket.h>

enum {
	ACCEPTOR_REST_MS = 200,
	ACCEPTOR_LOG_MS = 60000, /* at most one complaint in this time, of all acceptors */
	ACCEPTOR_TURN = 64       /* connections of one turn */
};

/* Embedded in its owner; all zeros is closed. */
struct acceptor {
	struct loop *loop;
	int fd; /* the caller's */
	struct watch *watch;
	struct timer *rest;
	/* Takes the descriptor; sa is all zeros when the family names nobody. */
	void (*on_accept)(void *arg, int fd, const struct sockaddr_storage *sa);
	void *arg;
};

/* The listening fd is non-blocking; accepted ones are too and close on exec. */
void acceptor_open(struct acceptor *a, struct loop *loop, int fd,
    void (*on_accept)(void *arg, int fd, const struct sockaddr_storage *sa), void *arg);
/* No more connections; the fd stays open. */
void acceptor_close(struct acceptor *a);

#endif
