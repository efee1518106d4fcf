#include "relay/ipc/channel.h"
#include "relay/base/err.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHANNEL_VERSION = 1,
	IS_SPILLED = 0x100, /* beside the version: the payload is in the last descriptor */
	HEAD_BYTES = 12,    /* version u16, type u16, id u64 */
	FDS_MAX = CHANNEL_FDS + 1,
	PACKET_MAX = HEAD_BYTES + CHANNEL_PACKET_MAX,
	BATCH = 16,
	SOCKET_BUFFER = 8 * 1024 * 1024
};

struct outgoing {
	struct list node;
	int fds[FDS_MAX]; /* those that are there stand first */
	size_t n_fds, n;
	char bytes[];
};

/* A packet as received, before its payload is known. */
struct packet {
	struct span bytes;
	int fds[FDS_MAX];
	size_t n_fds;
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
	char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

/* What a batch is received into. */
struct room {
	union fd_control control[BATCH];
	char bytes[BATCH][PACKET_MAX];
};

/* One for all channels: a process has one loop and one thread on it.  A message in it may have another
 * channel drained (channel_drain): for that time there is a second one. */
static struct {
	struct room *room;
	bool is_taken;
} common;

static struct room *
room_take(void)
{
	if (common.is_taken)
		return mem_alloc(sizeof(struct room));
	if (common.room == NULL)
		common.room = mem_alloc(sizeof(struct room));
	common.is_taken = true;
	return common.room;
}

static void
room_give(struct room *room)
{
	if (room == common.room)
		common.is_taken = false;
	else
		mem_free(room);
}

static void
flush_hook(void *arg)
{
	channel_flush(arg);
}

static void
close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
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
	close_fds(o->fds, o->n_fds);
	explicit_bzero(o->bytes, o->n); /* it may have been a password */
	mem_free(o);
}

/* Descriptors of a control message into the packet; false when there were more than we take. */
static bool
take_fds(struct msghdr *hdr, struct packet *packet)
{
	bool is_fine = !(hdr->msg_flags & (MSG_CTRUNC | MSG_TRUNC));

	packet->n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c != NULL; c = CMSG_NXTHDR(hdr, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (packet->n_fds < FDS_MAX) {
				packet->fds[packet->n_fds++] = fd;
			} else {
				(void)close(fd); /* not wanted */
				is_fine = false;
			}
		}
	}
	return is_fine;
}

/* Takes the packet's descriptors in any case.  `spilled` is to be unmapped after use. */
static int
parse_packet(struct packet *packet, struct message *m, struct span *spilled)
{
	struct wire w = wire_over(packet->bytes);
	uint16_t version = get_u16(&w);
	int r = 0;

	*spilled = (struct span){0};
	m->type = get_u16(&w);
	m->id = get_u64(&w);
	m->payload = w.rest;
	if (w.failed || (version & ~IS_SPILLED) != CHANNEL_VERSION)
		r = -E_CORRUPT;
	if (r == 0 && (version & IS_SPILLED)) {
		int last = packet->n_fds > 0 ? packet->fds[--packet->n_fds] : -1;

		r = channel_map(last, CHANNEL_PAYLOAD_MAX, spilled);
		m->payload = *spilled;
		close_fds(&last, 1);
	}
	if (packet->n_fds > CHANNEL_FDS)
		r = -E_CORRUPT;
	if (r < 0) {
		close_fds(packet->fds, packet->n_fds);
		packet->n_fds = 0;
	}
	for (size_t i = 0; i < CHANNEL_FDS; i++)
		m->fds[i] = i < packet->n_fds ? packet->fds[i] : -1;
	return r;
}

static void
deliver(struct channel *c, struct packet *packet)
{
	struct message m;
	struct span spilled;

	if (parse_packet(packet, &m, &spilled) < 0) {
		log_event(LOG_ERROR, "channel broken", KV_STR("why", "malformed packet"));
		c->is_broken = true;
	} else {
		c->events->on_message(c->arg, &m);
		close_fds(m.fds, CHANNEL_FDS);
	}
	channel_unmap(&spilled);
}

/* Returns false when the channel was freed by a callback. */
static bool
receive_batch(struct channel *c)
{
	struct mmsghdr hdrs[BATCH] = {0};
	struct iovec iov[BATCH];
	struct room *room = room_take();
	bool freed = false;
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){room->bytes[i], PACKET_MAX};
		hdrs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
		    .msg_iovlen = 1,
		    .msg_control = room->control[i].bytes,
		    .msg_controllen = sizeof(room->control[i].bytes)};
	}
	n = recvmmsg(c->fd, hdrs, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->is_broken = true;
	c->freed = &freed;
	for (int i = 0; i < n; i++) {
		struct packet packet = {.bytes = span_of(iov[i].iov_base, hdrs[i].msg_len)};
		bool is_fine = take_fds(&hdrs[i].msg_hdr, &packet);

		if (freed || c->is_broken || !is_fine || packet.bytes.n == 0) {
			close_fds(packet.fds, packet.n_fds);
			if (!freed)
				c->is_broken = true; /* the end, or no packet of ours */
			continue;
		}
		deliver(c, &packet);
	}
	if (!freed)
		c->freed = NULL;
	room_give(room);
	return !freed;
}

void
channel_drain(struct channel *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	while (!c->is_broken && poll(&p, 1, 0) > 0)
		if (!receive_batch(c))
			return;
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
write_head(char to[HEAD_BYTES], unsigned flags, uint16_t type, uint64_t id)
{
	struct buf head = {.p = to, .cap = HEAD_BYTES, .max = HEAD_BYTES};

	put_u16(&head, (uint16_t)(CHANNEL_VERSION | flags));
	put_u16(&head, type);
	put_u64(&head, id);
	must(head.n == HEAD_BYTES);
}

/* Copies the descriptors that are there; returns how many. */
static size_t
gather_fds(int to[FDS_MAX], const int fds[CHANNEL_FDS])
{
	size_t n = 0;

	for (size_t i = 0; fds != NULL && i < CHANNEL_FDS && fds[i] >= 0; i++)
		to[n++] = fds[i];
	return n;
}

/* A payload too large for a packet goes into a memfd: flags to set, or -1 when there is none. */
static int
spill(struct span *payload, int fds[FDS_MAX], size_t *n_fds)
{
	int fd;

	if (payload->n <= CHANNEL_PACKET_MAX)
		return 0;
	fd = channel_seal(*payload, "payload");
	if (fd < 0)
		return -1;
	fds[(*n_fds)++] = fd;
	*payload = (struct span){0};
	return IS_SPILLED;
}

static void
break_channel(struct channel *c, const char *why)
{
	log_event(LOG_ERROR, "channel broken", KV_STR("why", why));
	c->is_broken = true;
	/* on_close comes from the loop: a socket whose peer reads nothing is never ready by itself. */
	(void)shutdown(c->fd, SHUT_RDWR); /* broken in any case */
	watch_for(c, LOOP_READ | LOOP_WRITE);
}

void
channel_send(
    struct channel *c, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS])
{
	int all_fds[FDS_MAX], flags;
	size_t n_fds = gather_fds(all_fds, fds);
	struct outgoing *o;

	must(payload.n <= CHANNEL_PAYLOAD_MAX);
	flags = c->is_broken ? -1 : spill(&payload, all_fds, &n_fds);
	if (flags < 0) {
		close_fds(all_fds, n_fds);
		if (!c->is_broken)
			break_channel(c, "no memory file for a large payload");
		return;
	}
	o = mem_alloc(sizeof(*o) + HEAD_BYTES + payload.n);
	o->n = HEAD_BYTES + payload.n;
	o->n_fds = n_fds;
	memcpy(o->fds, all_fds, n_fds * sizeof(int));
	write_head(o->bytes, (unsigned)flags, type, id);
	if (payload.n > 0)
		memcpy(o->bytes + HEAD_BYTES, payload.p, payload.n);
	list_append(&c->out, &o->node);
	c->queued += o->n;
	if (c->queued > CHANNEL_QUEUE_MAX)
		break_channel(c, "the peer reads too slowly");
}

static void
set_fds(struct msghdr *hdr, union fd_control *control, const int *fds, size_t n)
{
	struct cmsghdr *c;

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
		set_fds(&hdrs[n].msg_hdr, &control[n], o->fds, o->n_fds);
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

bool
channel_has_room(const struct channel *c)
{
	return channel_is_open(c) && c->queued <= CHANNEL_QUEUE_MAX / 2;
}

bool
channel_is_unread(const struct channel *c)
{
	int unread = 0;

	return c->queued > 0 || (ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > 0);
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
	struct packet packet = {0};
	struct span spilled;
	ssize_t n;
	int r;

	if (poll(&p, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms) == 0)
		return -E_TIMEOUT;
	buf_clear(buf);
	buf->max = HEAD_BYTES + CHANNEL_PAYLOAD_MAX;
	iov = (struct iovec){buf_room(buf, PACKET_MAX), PACKET_MAX};
	do
		n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -E_CLOSED;
	packet.bytes = span_of(buf->p, (size_t)n);
	if (!take_fds(&hdr, &packet)) {
		close_fds(packet.fds, packet.n_fds);
		return -E_CORRUPT;
	}
	r = parse_packet(&packet, m, &spilled);
	buf->n = (size_t)n;
	if (r == 0 && spilled.n > 0) {
		buf_clear(buf);
		r = buf_add_span(buf, spilled);
		m->payload = buf_span(buf);
	}
	channel_unmap(&spilled);
	return r;
}

int
channel_send_now(
    int fd, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS])
{
	char head[HEAD_BYTES];
	int all_fds[FDS_MAX], flags;
	size_t n_fds = gather_fds(all_fds, fds);
	union fd_control control;
	struct iovec iov[2];
	struct msghdr hdr = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	must(payload.n <= CHANNEL_PAYLOAD_MAX);
	flags = spill(&payload, all_fds, &n_fds);
	if (flags < 0)
		return -E_IO;
	write_head(head, (unsigned)flags, type, id);
	iov[0] = (struct iovec){head, HEAD_BYTES};
	iov[1] = (struct iovec){(void *)(uintptr_t)payload.p, payload.n};
	set_fds(&hdr, &control, all_fds, n_fds);
	do
		n = sendmsg(fd, &hdr, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (flags == IS_SPILLED)
		close_fds(&all_fds[n_fds - 1], 1); /* ours; the others are the caller's */
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
