/*
 * farewell.h - the last word to clients that there is no room for, without a session and at the cost
 * of a few system calls.
 *
 * A socket that is closed while input waits resets the connection, and a client that talks first may
 * never see our word.  So our side is shut, what has come is dropped, and the socket is kept a moment;
 * only so many of them, however many clients come: a new one then closes the oldest.
 */
#ifndef FRONT_FAREWELL_H
#define FRONT_FAREWELL_H
#include "relay/base/loop.h"
#include "relay/base/span.h"

enum {
	FAREWELLS = 32, /* sockets kept at once */
	FAREWELL_MS = 2000
};

struct farewells;

struct farewells *farewells_new(struct loop *loop);
void farewells_free(struct farewells **f); /* closes those that are kept */
/* Takes the fd, which is non-blocking; an empty word is none. */
void farewell_say(struct farewells *f, int fd, struct span word);

#endif
