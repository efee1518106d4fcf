#include "relay/process/listener.h"
#include "relay/front/files.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
	/* Of the supervisor: for itself and the roles, and for each front, while all of them are
	 * started in one turn: their channels, and what is sent by them. */
	SUPERVISOR_FILES = 64,
	SUPERVISOR_FILES_FRONT = 24
};

static int
refuse(const struct endpoint *a, struct err *err)
{
	if (errno == EADDRINUSE)
		return err_set(err, E_EXISTS,
		    "%s is taken by another program; stop it or choose another address", a->text);
	if (errno == EACCES)
		return err_set(err, E_DENIED,
		    "no permission to listen on %s; start as root or choose a port above 1023",
		    a->text);
	if (errno == EADDRNOTAVAIL)
		return err_set(err, E_NOT_FOUND,
		    "%s is no address of this machine; add it or choose another one", a->text);
	return err_set(err, E_IO, "cannot listen on %s: %m", a->text);
}

unsigned
listener_count(const struct listener_set *set)
{
	unsigned n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += !set->items[i].is_web;
	return n;
}

unsigned
listener_number(const struct listener *l)
{
	return l->share * ADDRESSES_MAX + l->index;
}

unsigned
listener_index(unsigned number)
{
	return number % ADDRESSES_MAX;
}

unsigned
listener_owner(const struct listener *l, unsigned fronts)
{
	return fronts > 0 ? l->share % fronts : 0;
}

/* is_beside: we listen there with another socket, so that this one needs its leave. */
static int
open_one(const struct endpoint *a, bool is_beside, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&a->ip, a->port, &sa);
	int one = 1, fd, r;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(a, err);
	/* Accepted sockets inherit these; they are performance, not promises. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (is_beside)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)); /* bind tells */
	if (sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		r = refuse(a, err);
		(void)close(fd); /* never used */
		return r;
	}
	return fd;
}

static bool
is_at(const struct listener *l, const struct endpoint *a)
{
	return l->fd >= 0 && l->address.port == a->port && ip_eq(&l->address.ip, &a->ip);
}

/*
 * Only once there is a second socket may the first one be shared: a port that another relay, or the
 * same one started twice, holds is refused at the first bind.
 */
static int
open_beside(struct listener_set *set, const struct listener *new, struct err *err)
{
	bool is_beside = false;
	int one = 1;

	for (size_t i = 0; i < set->n; i++)
		if (is_at(&set->items[i], &new->address) && set->items[i].is_web == new->is_web &&
		    set->items[i].index == new->index) {
			(void)setsockopt(set->items[i].fd, SOL_SOCKET, SO_REUSEPORT, &one,
			    sizeof(one)); /* else the next bind is refused */
			is_beside = true;
		}
	return open_one(&new->address, is_beside, err);
}

static struct listener *
find(struct listener_set *set, const struct endpoint *a, unsigned share)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].share == share && is_at(&set->items[i], a))
			return &set->items[i];
	return NULL;
}

static int
add(struct listener_set *next, struct listener_set *now, const struct listener *new,
    struct err *err)
{
	struct listener *kept = find(now, &new->address, new->share);
	int fd = kept != NULL ? dup(kept->fd) : open_beside(next, new, err);

	if (fd < 0)
		return kept != NULL ? refuse(&new->address, err) : fd;
	must(next->n < LISTENERS_MAX);
	next->items[next->n] = *new;
	next->items[next->n].fd = fd;
	next->items[next->n++].address.text = mem_dup(span_str(new->address.text));
	return 0;
}

/* Of one address: as many as there are fronts, and those that were there before. */
static unsigned
shares_of(struct listener_set *now, const struct endpoint *a, unsigned fronts)
{
	unsigned n = fronts;

	while (n < CONFIG_FRONTS_MAX && find(now, a, n) != NULL)
		n++;
	return n;
}

static int
add_shares(struct listener_set *next, struct listener_set *now, const struct endpoint *a,
    unsigned index, unsigned fronts, struct err *err)
{
	unsigned n = shares_of(now, a, fronts);
	int r = 0;

	if (index >= ADDRESSES_MAX)
		return err_set(err, E_LIMIT, "more than %d addresses to listen on", ADDRESSES_MAX);
	for (unsigned share = 0; r == 0 && share < n; share++)
		r = add(next, now, &(struct listener){*a, false, index, share, -1}, err);
	return r;
}

static void
close_all(struct listener_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->items[i].fd >= 0)
			(void)close(set->items[i].fd); /* a socket: nothing to lose */
		mem_free((char *)(uintptr_t)set->items[i].address.text);
	}
	set->n = 0;
}

/*
 * Of the supervisor each listener takes two for a moment: when it is sent to a role, and when a
 * configuration replaces another.  Each front may come to have them all.
 */
static int
check_files(struct listener_set *now, const struct config *config, struct err *err)
{
	uint64_t n = 0, ours, fronts_need;

	for (size_t i = 0; i < config->n_listens; i++)
		for (size_t k = 0; k < config->listens[i].n_addresses; k++)
			n += shares_of(now, &config->listens[i].addresses[k], config->fronts);
	ours = SUPERVISOR_FILES + SUPERVISOR_FILES_FRONT * (uint64_t)config->fronts + 2 * n;
	fronts_need = files_needed(n);
	if (fronts_need > ours)
		ours = fronts_need;
	if (now->files_max == 0 || now->files_max >= ours)
		return 0;
	return err_set(err, E_LIMIT,
	    "%" PRIu64 " listening sockets (one for each address and front) need a limit of open "
	    "files of at least %" PRIu64 ", and it is %" PRIu64
	    "; raise it (LimitNOFILE), or have fewer addresses or fronts",
	    n, ours, now->files_max);
}

int
listener_open_all(struct listener_set *now, const struct config *config, struct err *err)
{
	struct listener_set *next = mem_alloc(sizeof(*next));
	unsigned index = 0;
	int r = check_files(now, config, err);

	next->files_max = now->files_max;
	for (size_t i = 0; r == 0 && i < config->n_listens; i++)
		for (size_t k = 0; r == 0 && k < config->listens[i].n_addresses; k++)
			r = add_shares(next, now, &config->listens[i].addresses[k], index++,
			    config->fronts, err);
	if (r == 0 && config->web.is_on)
		r = add(next, now, &(struct listener){config->web.address, true, 0, 0, -1}, err);
	if (r == 0) {
		close_all(now);
		*now = *next;
	} else {
		close_all(next);
	}
	mem_free(next);
	return r;
}

static bool
is_listening(int fd)
{
	socklen_t n = sizeof(int);
	int is_on = 0;

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_on, &n) == 0 && is_on;
}

int
listener_check_all(struct listener_set *set, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct listener *l = &set->items[i];

		if (is_listening(l->fd))
			continue;
		/* Not listen() again: whatever else was done to this socket would stay. */
		if (l->fd >= 0)
			(void)close(l->fd); /* frees the address; nobody waits there */
		l->fd = -1;
		l->fd = open_beside(set, l, err);
		if (l->fd < 0) {
			r = l->fd;
			l->fd = -1;
		} else if (r >= 0) {
			r++;
		}
	}
	return r;
}
