/*
 * listener.h - the listening sockets.  They belong to the supervisor for the relay's whole life,
 * so that a restarted front or web refuses no connection.
 */
#ifndef PROCESS_LISTENER_H
#define PROCESS_LISTENER_H
#include "policy/config/config.h"

enum { LISTENERS_MAX = 256, LISTENER_BACKLOG = 1024 };

struct listener {
	struct endpoint address; /* text is our own copy */
	bool is_web;
	int fd; /* -1: lost, and could not be opened again yet */
};

struct listener_set {
	struct listener
	    items[LISTENERS_MAX]; /* front's in the order of all addresses, then web's */
	size_t n;
};

/*
 * Opens what the configuration names, keeping what `now` has already; on success `now` is the new
 * set and what is no longer named is closed.  On failure nothing has changed and err is one
 * sentence that says what to do.
 */
int listener_open_all(struct listener_set *now, const struct config *config, struct err *err);

/*
 * A role that was taken over can end the listening of a socket for all who hold it, its successor
 * too.  Opens again what does not listen any more, after that role has ended.  How many that were,
 * or an error about one that stays closed until the next call.
 */
int listener_check_all(struct listener_set *set, struct err *err);

#endif
