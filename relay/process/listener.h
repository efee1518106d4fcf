/*
 * listener.h - the listening sockets.  They belong to the supervisor for the relay's whole life,
 * so that a restarted front or web refuses no connection.
 *
 * With several fronts each address has as many sockets (SO_REUSEPORT: the kernel gives each new
 * connection to one of them), and front number i accepts from share i.  When there are fewer fronts
 * later, the shares stay, and are dealt out: closing one would reset whoever waits there.
 */
#ifndef PROCESS_LISTENER_H
#define PROCESS_LISTENER_H
#include "policy/config/config.h"

enum {
	ADDRESSES_MAX = 256, /* of front */
	LISTENERS_MAX = ADDRESSES_MAX * CONFIG_FRONTS_MAX + 1,
	LISTENER_BACKLOG = 4096 /* or net.core.somaxconn, if that is less */
};

struct listener {
	struct endpoint address; /* text is our own copy */
	bool is_web;
	unsigned index; /* of its address among all of the configuration */
	unsigned share; /* of that address, from 0 on */
	int fd;         /* -1: lost, and could not be opened again yet */
};

struct listener_set {
	struct listener
	    items[LISTENERS_MAX]; /* front's in the order of all addresses, then web's */
	size_t n;
	uint64_t files_max; /* the limit of open files, of each process; 0: none */
};

/* Front's, without web's: any of them may come to any front. */
unsigned listener_count(const struct listener_set *set);
/* By which front knows a listener: below LISTENERS_MAX. */
unsigned listener_number(const struct listener *l);
unsigned listener_index(unsigned number); /* of its address */
/* The front whose share it is, of so many. */
unsigned listener_owner(const struct listener *l, unsigned fronts);

/*
 * Opens what the configuration names, keeping what `now` has already; on success `now` is the new
 * set and what is no longer named is closed.  On failure nothing has changed and err is one
 * sentence that says what to do: among others that there are too many (E_LIMIT) for a limit of open
 * files with which the supervisor or a front could not work.
 */
int listener_open_all(struct listener_set *now, const struct config *config, struct err *err);

/*
 * A role that was taken over can end the listening of a socket for all who hold it, its successor
 * too.  Opens again what does not listen any more, after that role has ended.  How many that were,
 * or an error about one that stays closed until the next call.
 */
int listener_check_all(struct listener_set *set, struct err *err);

#endif
