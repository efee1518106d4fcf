#include "relay/ipc/channel.h"
#include "relay/base/err.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHANNEL_VERSION = 1,
	HEAD_BYTES = 12, /* version u16, type u16, id u64 */
	PACKET_MAX = HEAD_BYTES + CHANNEL_PAYLOAD_MAX,
	BATCH = 16,
	SOCKET_BUFFER = 8 * 1024 * 1024
};

struct outgoing {
	struct list node;
	int fds[CHANNEL_FDS];
	size_t n;
	char bytes[];
};

struct channel {
	struct loop *loop;
	struct watch *watch;
	int fd;
	const struct channel_events *events;
	void *arg;
	struct list out;
	size_t queued;
	bool is_broken;  /* on_close is due or was called */
	bool was_closed; /* on_close was called */
	bool *freed;     /* set while callbacks run, so that channel_free inside them is seen */
};

union fd_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
};

static char *
receive_area(void)
{
	static char *area; /* one for all channels: a process has one loop and one thread on it */

	if (area == NULL)
		area = mem_alloc((size_t)BATCH * PACKET_MAX);
	return area;
}

static void
flush_hook(void *arg)
{
	channel_flush(arg);
}

static void
close_fds(int fds[CHANNEL_FDS])
{
	for (int i = 0; i < CHANNEL_FDS; i++)
		if (fds[i] >= 0) {
			(void)close(fds[i]); /* read-only or sealed: nothing to lose */
			fds[i] = -1;
		}
}

static void
drop_outgoing(struct channel *c, struct outgoing *o)
{
	list_remove(&o->node);
	c->queued -= o->n;
	close_fds(o->fds);
	mem_free(o);
}

static bool
parse_packet(struct span packet, struct message *m)
{
	struct wire w = wire_over(packet);
	uint16_t version = get_u16(&w);

	m->type = get_u16(&w);
	m->id = get_u64(&w);
	m->payload = w.rest;
	return !w.failed && version == CHANNEL_VERSION;
}

/* Descriptors of a control message into m->fds; false when there were more than we take. */
static bool
take_fds(struct msghdr *hdr, struct message *m)
{
	bool is_fine = !(hdr->msg_flags & MSG_CTRUNC);
	int n_taken = 0;

	for (int i = 0; i < CHANNEL_FDS; i++)
		m->fds[i] = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c != NULL; c = CMSG_NXTHDR(hdr, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n_taken < CHANNEL_FDS) {
				m->fds[n_taken++] = fd;
			} else {
				(void)close(fd); /* not wanted */
				is_fine = false;
			}
		}
	}
	return is_fine;
}

static void
deliver(struct channel *c, struct msghdr *hdr, size_t n)
{
	struct message m;
	bool is_fine = take_fds(hdr, &m) && !(hdr->msg_flags & MSG_TRUNC);

	if (!is_fine || !parse_packet(span_of(hdr->msg_iov[0].iov_base, n), &m)) {
		log_event(LOG_ERROR, "channel broken", KV_STR("why", "malformed packet"));
		c->is_broken = true;
	} else {
		c->events->on_message(c->arg, &m);
	}
	close_fds(m.fds);
}

/* Returns false when the channel was freed by a callback. */
static bool
receive_batch(struct channel *c)
{
	struct mmsghdr hdrs[BATCH] = {0};
	struct iovec iov[BATCH];
	static union fd_control control[BATCH];
	char *area = receive_area();
	bool freed = false;
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){area + (size_t)i * PACKET_MAX, PACKET_MAX};
		hdrs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
		    .msg_iovlen = 1,
		    .msg_control = control[i].bytes,
		    .msg_controllen = sizeof(control[i].bytes)};
	}
	n = recvmmsg(c->fd, hdrs, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			c->is_broken = true;
		return true;
	}
	c->freed = &freed;
	for (int i = 0; i < n; i++) {
		if (hdrs[i].msg_len == 0) {
			if (!freed)
				c->is_broken = true; /* end of the connection */
			break;
		}
		if (freed || c->is_broken) {
			struct message unread = {0};

			(void)take_fds(&hdrs[i].msg_hdr, &unread); /* only to close them */
			close_fds(unread.fds);
			continue;
		}
		deliver(c, &hdrs[i].msg_hdr, hdrs[i].msg_len);
	}
	if (!freed)
		c->freed = NULL;
	return !freed;
}

static void
watch_for(struct channel *c, unsigned events)
{
	if (c->watch != NULL)
		watch_change(c->watch, events);
}

static void
tell_closed(struct channel *c)
{
	if (c->was_closed)
		return;
	c->was_closed = true;
	watch_remove(&c->watch);
	c->events->on_close(c->arg);
}

static void
on_ready(void *arg, unsigned events)
{
	struct channel *c = arg;

	if ((events & LOOP_READ) && !c->is_broken && !receive_batch(c))
		return;
	if ((events & LOOP_WRITE) && !c->is_broken)
		channel_flush(c);
	if (c->is_broken)
		tell_closed(c);
}

struct channel *
channel_new(struct loop *loop, int fd, const struct channel_events *events, void *arg)
{
	struct channel *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->fd = fd;
	c->events = events;
	c->arg = arg;
	list_init(&c->out);
	c->watch = loop_watch(loop, fd, LOOP_READ, on_ready, c);
	loop_at_turn_end(loop, flush_hook, c);
	return c;
}

void
channel_free(struct channel **c)
{
	if (*c == NULL)
		return;
	if ((*c)->freed != NULL)
		*(*c)->freed = true;
	watch_remove(&(*c)->watch);
	loop_forget_turn_end((*c)->loop, flush_hook, *c);
	LIST_FOR_SAFE (it, &(*c)->out)
		drop_outgoing(*c, LIST_ENTRY(it, struct outgoing, node));
	(void)close((*c)->fd); /* a socket: nothing to lose */
	mem_free(*c);
	*c = NULL;
}

static void
write_head(char to[HEAD_BYTES], uint16_t type, uint64_t id)
{
	struct buf head = {.p = to, .cap = HEAD_BYTES, .max = HEAD_BYTES};

	put_u16(&head, CHANNEL_VERSION);
	put_u16(&head, type);
	put_u64(&head, id);
	must(head.n == HEAD_BYTES);
}

void
channel_send(
    struct channel *c, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS])
{
	struct outgoing *o;

	must(payload.n <= CHANNEL_PAYLOAD_MAX);
	o = mem_alloc(sizeof(*o) + HEAD_BYTES + payload.n);
	o->n = HEAD_BYTES + payload.n;
	for (int i = 0; i < CHANNEL_FDS; i++)
		o->fds[i] = fds != NULL ? fds[i] : -1;
	write_head(o->bytes, type, id);
	if (payload.n > 0)
		memcpy(o->bytes + HEAD_BYTES, payload.p, payload.n);
	list_append(&c->out, &o->node);
	c->queued += o->n;
	if (c->is_broken)
		drop_outgoing(c, o);
	else if (c->queued > CHANNEL_QUEUE_MAX) {
		log_event(LOG_ERROR, "channel broken", KV_STR("why", "the peer reads too slowly"));
		c->is_broken = true;
		watch_for(c, LOOP_READ | LOOP_WRITE); /* on_close comes from the loop */
	}
}

static void
set_fds(struct msghdr *hdr, union fd_control *control, const int fds[CHANNEL_FDS])
{
	struct cmsghdr *c;
	size_t n = 0;

	while (n < CHANNEL_FDS && fds[n] >= 0)
		n++;
	if (n == 0)
		return;
	memset(control, 0, sizeof(*control));
	hdr->msg_control = control->bytes;
	hdr->msg_controllen = CMSG_SPACE(sizeof(int) * n);
	c = CMSG_FIRSTHDR(hdr);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
}

static int
send_batch(struct channel *c)
{
	struct mmsghdr hdrs[BATCH] = {0};
	struct iovec iov[BATCH];
	static union fd_control control[BATCH];
	unsigned n = 0;
	int sent;

	LIST_FOR (it, &c->out) {
		struct outgoing *o = LIST_ENTRY(it, struct outgoing, node);

		if (n == BATCH)
			break;
		iov[n] = (struct iovec){o->bytes, o->n};
		hdrs[n].msg_hdr = (struct msghdr){.msg_iov = &iov[n], .msg_iovlen = 1};
		set_fds(&hdrs[n].msg_hdr, &control[n], o->fds);
		n++;
	}
	sent = sendmmsg(c->fd, hdrs, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (int i = 0; i < sent; i++)
		drop_outgoing(c, LIST_ENTRY(c->out.next, struct outgoing, node));
	return sent;
}

void
channel_flush(struct channel *c)
{
	while (!list_is_empty(&c->out) && !c->is_broken) {
		if (send_batch(c) >= 0)
			continue;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			watch_for(c, LOOP_READ | LOOP_WRITE);
			return;
		}
		c->is_broken = true;
		watch_for(c, LOOP_READ | LOOP_WRITE);
		return;
	}
	if (!c->is_broken)
		watch_for(c, LOOP_READ);
}

bool
channel_is_open(const struct channel *c)
{
	return c != NULL && !c->is_broken;
}

size_t
channel_queued(const struct channel *c)
{
	return c->queued;
}

void
channel_pair(int ends[2])
{
	int size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("no socket pair: %m; raise the limit of open files");
	for (int i = 0; i < 2; i++) {
		/* FORCE needs CAP_NET_ADMIN; without it the system's limit is what there is. */
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
}

int
channel_receive(int fd, struct message *m, struct buf *buf, int64_t timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	union fd_control control;
	struct iovec iov;
	struct msghdr hdr = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	if (poll(&p, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms) == 0)
		return -E_TIMEOUT;
	buf_clear(buf);
	buf->max = PACKET_MAX;
	iov = (struct iovec){buf_room(buf, PACKET_MAX), PACKET_MAX};
	do
		n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -E_CLOSED;
	if (!take_fds(&hdr, m) || (hdr.msg_flags & MSG_TRUNC) ||
	    !parse_packet(span_of(buf->p, (size_t)n), m)) {
		close_fds(m->fds);
		return -E_CORRUPT;
	}
	buf->n = (size_t)n;
	return 0;
}

int
channel_send_now(
    int fd, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS])
{
	char head[HEAD_BYTES];
	union fd_control control;
	struct iovec iov[2] = {{head, HEAD_BYTES}, {(void *)(uintptr_t)payload.p, payload.n}};
	struct msghdr hdr = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	must(payload.n <= CHANNEL_PAYLOAD_MAX);
	write_head(head, type, id);
	if (fds != NULL)
		set_fds(&hdr, &control, fds);
	do
		n = sendmsg(fd, &hdr, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -E_CLOSED : 0;
}

int
channel_seal(struct span bytes, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -E_IO;
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)close(fd); /* memory only */
			return -E_IO;
		}
		bytes = span_skip(bytes, (size_t)n);
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		(void)close(fd); /* memory only */
		return -E_IO;
	}
	return fd;
}

int
channel_map(int fd, size_t max, struct span *out)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	*out = (struct span){0};
	if (seals < 0 || (seals & wanted) != wanted)
		return -E_DENIED;
	if (fstat(fd, &st) < 0)
		return -E_IO;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -E_LIMIT;
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -E_IO;
	*out = span_of(p, (size_t)st.st_size);
	return 0;
}

void
channel_unmap(struct span *mapped)
{
	if (mapped->n > 0)
		(void)munmap((void *)(uintptr_t)mapped->p, mapped->n); /* our own mapping */
	*mapped = (struct span){0};
}
