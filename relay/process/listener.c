#include "relay/process/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

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

static int
open_one(const struct endpoint *a, struct err *err)
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
	if (sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
		r = refuse(a, err);
		(void)close(fd); /* never used */
		return r;
	}
	return fd;
}

static struct listener *
find(struct listener_set *set, const struct endpoint *a)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].fd >= 0 && set->items[i].address.port == a->port &&
		    ip_eq(&set->items[i].address.ip, &a->ip))
			return &set->items[i];
	return NULL;
}

static int
add(struct listener_set *next, struct listener_set *now, const struct endpoint *a, bool is_web,
    struct err *err)
{
	struct listener *kept = find(now, a);
	int fd = kept != NULL ? dup(kept->fd) : open_one(a, err);

	if (fd < 0)
		return kept != NULL ? refuse(a, err) : fd;
	if (next->n == LISTENERS_MAX) {
		(void)close(fd); /* never used */
		return err_set(err, E_LIMIT, "more than %d addresses to listen on", LISTENERS_MAX);
	}
	next->items[next->n] = (struct listener){*a, is_web, fd};
	next->items[next->n++].address.text = mem_dup(span_str(a->text));
	return 0;
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

int
listener_open_all(struct listener_set *now, const struct config *config, struct err *err)
{
	struct listener_set *next = mem_alloc(sizeof(*next));
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->n_listens; i++)
		for (size_t k = 0; r == 0 && k < config->listens[i].n_addresses; k++)
			r = add(next, now, &config->listens[i].addresses[k], false, err);
	if (r == 0 && config->web.is_on)
		r = add(next, now, &config->web.address, true, err);
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
		l->fd = open_one(&l->address, err);
		if (l->fd < 0) {
			r = l->fd;
			l->fd = -1;
		} else if (r >= 0) {
			r++;
		}
	}
	return r;
}
