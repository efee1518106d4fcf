#include "relay/front/connection.h"
#include "relay/front/content.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void
on_time(void *arg)
{
	struct connection *c = arg;

	if (c->is_finishing)
		c->events->on_finished(c->arg);
	else
		c->events->on_timeout(c->arg);
}

static bool
may_read(const struct connection *c)
{
	return !c->is_paused && !c->is_finishing && c->in.n + CONNECTION_READ <= CONNECTION_IN_MAX;
}

static void
watch_again(struct connection *c)
{
	unsigned wanted = 0;

	if (c->watch == NULL)
		return;
	if (c->is_handshaking && !c->is_finishing) {
		if (c->read_wait == TLS_WANT_KEY)
			return; /* a client that speaks meanwhile changes it */
		wanted = c->out.n > 0 || c->read_wait == TLS_WANT_WRITE ? LOOP_WRITE : LOOP_READ;
		watch_change(c->watch, wanted);
		return;
	}
	if (c->is_shut || may_read(c))
		wanted |= LOOP_READ;
	if ((c->out.n > 0 && c->write_wait != TLS_WANT_READ) || c->read_wait == TLS_WANT_WRITE)
		wanted |= LOOP_WRITE;
	if (c->out.n > 0 && c->write_wait == TLS_WANT_READ)
		wanted |= LOOP_READ;
	watch_change(c->watch, wanted);
}

/* One room for all connections, so that a silent one needs none. */
static char room[CONNECTION_READ];

/* Returns false when the connection has ended or failed. */
static bool
read_socket(struct connection *c, struct span *got)
{
	ssize_t n = recv(c->fd, room, c->is_slow ? 1 : sizeof(room), 0);

	*got = span_of(room, n > 0 ? (size_t)n : 0);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The room is larger than a record, so that nothing stays inside OpenSSL; what follows it is still
 * in the socket, and the loop tells. */
static bool
read_tls(struct connection *c, struct span *got)
{
	bool is_cut;
	ssize_t n = tls_read(c->tls, room, sizeof(room), &c->read_wait, &is_cut);

	must(!tls_has_pending(c->tls));
	*got = span_of(room, n > 0 ? (size_t)n : 0);
	return n > 0 || (n < 0 && c->read_wait != TLS_FAILED);
}

static bool
read_some(struct connection *c, struct span *got)
{
	return c->tls != NULL ? read_tls(c, got) : read_socket(c, got);
}

/* What is empty holds nothing; the rest counts. */
static void
settle_buffers(struct connection *c)
{
	if (c->in.n == 0)
		buf_free(&c->in);
	if (c->out.n == 0 && !c->out.failed)
		buf_free(&c->out);
	content_count(&c->held, c->in.cap + c->out.cap +
				    (c->tls == NULL         ? 0
					: c->is_handshaking ? CONNECTION_HANDSHAKE_BYTES
							    : CONNECTION_TLS_BYTES));
}

/* Defers on_gone to the loop: callers of flush and finish do not expect to lose their session. */
static void
fail_soon(struct connection *c)
{
	buf_clear(&c->out);
	c->is_finishing = true;
	loop_timer(c->loop, &c->timer, 0, on_time, c);
}

/* Our side is shut: waits for the client's end. */
static void
drop_input(struct connection *c)
{
	struct span got;

	if (!read_socket(c, &got) || (c->dropped += got.n) > CONNECTION_LINGER_MAX)
		fail_soon(c);
}

/* Reset while nothing is read from it: no later event would tell. */
static void
on_reset(struct connection *c)
{
	if (c->is_finishing)
		fail_soon(c);
	else
		c->events->on_gone(c->arg);
}

static void
shake_hands(struct connection *c)
{
	c->read_wait = tls_handshake(c->tls);
	if (c->read_wait == TLS_FAILED) {
		c->events->on_gone(c->arg);
		return;
	}
	if (c->read_wait == TLS_DONE) {
		c->is_handshaking = false;
		timer_cancel(&c->timer);
		c->events->on_secure(c->arg);
	}
	if (c->fd >= 0)
		watch_again(c);
}

static void
on_go_on(void *arg)
{
	struct connection *c = arg;

	if (!c->is_finishing)
		shake_hands(c);
}

/* From inside another connection's handshake, perhaps. */
static void
go_on_soon(void *arg)
{
	struct connection *c = arg;

	if (c->go_on == NULL)
		loop_timer(c->loop, &c->go_on, 0, on_go_on, c);
}

/* Its signature is waited for: what the client says meanwhile can wait, too. */
static void
on_early_word(struct connection *c, unsigned events)
{
	if (events & LOOP_GONE)
		c->events->on_gone(c->arg);
	else
		watch_change(c->watch, 0);
}

static void
on_ready(void *arg, unsigned events)
{
	struct connection *c = arg;
	bool is_due = events & LOOP_READ;
	struct span got;

	if ((events & LOOP_WRITE) || (c->out.n > 0 && c->write_wait == TLS_WANT_READ))
		connection_flush(c);
	if (c->fd >= 0 && c->is_handshaking && !c->is_finishing) {
		if (c->read_wait == TLS_WANT_KEY)
			on_early_word(c, events);
		else if ((events & LOOP_GONE) && !(events & (LOOP_READ | LOOP_WRITE)))
			c->events->on_gone(c->arg);
		else if (c->out.n == 0)
			shake_hands(c);
		return;
	}
	is_due = is_due || ((events & LOOP_WRITE) && c->read_wait == TLS_WANT_WRITE);
	if (c->fd >= 0 && (events & LOOP_GONE) && !(events & LOOP_READ)) {
		on_reset(c);
		return;
	}
	if (c->fd < 0 || !is_due)
		return;
	if (c->is_shut) {
		drop_input(c);
		return;
	}
	if (!may_read(c))
		return;
	if (!read_some(c, &got)) {
		c->events->on_gone(c->arg);
		return;
	}
	if (c->tls != NULL && got.n == 0) {
		watch_again(c); /* half a record, or one that is not for us */
		return;
	}
	(void)buf_add_span(&c->in, got); /* there was room, or we had not asked to read */
	if (!c->is_all_due)
		connection_expect(c, c->timeout_ms);
	c->events->on_input(c->arg);
}

void
connection_open(struct connection *c, struct loop *loop, int fd,
    const struct connection_events *events, void *arg)
{
	*c = (struct connection){.loop = loop, .fd = fd, .events = events, .arg = arg};
	c->in.max = CONNECTION_IN_MAX;
	c->out.max = CONNECTION_OUT_MAX;
	c->watch = loop_watch(loop, fd, LOOP_READ, on_ready, c);
}

void
connection_close(struct connection *c)
{
	if (c->fd < 0)
		return;
	watch_remove(&c->watch);
	timer_cancel(&c->timer);
	tls_free(&c->tls);
	timer_cancel(&c->go_on);
	(void)close(c->fd); /* a socket: what could be sent was sent */
	c->fd = -1;
	buf_free(&c->in);
	buf_free(&c->out);
	content_count(&c->held, 0);
}

void
connection_send(struct connection *c, struct span bytes)
{
	if (c->is_handshaking)
		return; /* a word in the clear would be taken for one of the handshake's */
	/* A client that lets replies pile up past the maximum loses them, and is found out below. */
	(void)buf_add_span(&c->out, bytes);
}

/* All is said.  A socket that cannot be shut has failed. */
static void
shut(struct connection *c)
{
	c->is_shut = true;
	c->read_wait = c->write_wait = TLS_DONE;
	if (c->tls != NULL && !c->is_handshaking)
		tls_bye(c->tls);
	buf_free(&c->in);
	if (shutdown(c->fd, SHUT_WR) < 0)
		fail_soon(c);
}

static void
write_socket(struct connection *c)
{
	ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&c->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail_soon(c);
}

static void
write_tls(struct connection *c)
{
	ssize_t n = 1;

	while (n > 0 && c->out.n > 0) {
		n = tls_write(c->tls, c->out.p, c->out.n, &c->write_wait);
		if (n > 0)
			buf_consume(&c->out, (size_t)n);
	}
	if (c->write_wait == TLS_FAILED)
		fail_soon(c);
}

void
connection_flush(struct connection *c)
{
	if (c->fd < 0)
		return;
	if (c->out.failed) {
		fail_soon(c);
	} else if (c->out.n > 0 && c->tls != NULL && !c->is_handshaking) {
		write_tls(c);
	} else if (c->out.n > 0) {
		write_socket(c);
	}
	if (c->is_finishing && !c->is_shut && c->out.n == 0)
		shut(c);
	settle_buffers(c);
	watch_again(c);
}

void
connection_finish(struct connection *c)
{
	if (c->fd < 0 || c->is_finishing)
		return;
	if (c->is_handshaking) {
		fail_soon(c); /* there is no word that the client could read */
		return;
	}
	c->is_finishing = true;
	loop_timer(c->loop, &c->timer, CONNECTION_LINGER_MS, on_time, c);
	connection_flush(c);
}

void
connection_start_tls(struct connection *c, struct ssl_ctx_st *ctx)
{
	if (c->fd < 0 || c->is_finishing)
		return;
	must(c->tls == NULL);
	buf_free(&c->in); /* what was said in the clear counts for nothing (RFC 3207 section 4.2) */
	c->in.max = CONNECTION_IN_MAX;
	c->tls = tls_new_server(ctx, c->fd);
	tls_sign_later(c->tls, go_on_soon, c);
	c->is_handshaking = true;
	loop_timer(c->loop, &c->timer, CONNECTION_HANDSHAKE_MS, on_time, c);
	connection_flush(c);
}

void
connection_read_slowly(struct connection *c, bool is_slow)
{
	c->is_slow = is_slow;
}

void
connection_pause(struct connection *c, bool is_paused)
{
	c->is_paused = is_paused;
	watch_again(c);
}

void
connection_expect(struct connection *c, int64_t timeout_ms)
{
	if (c->is_finishing || c->is_handshaking)
		return;
	c->is_all_due = false;
	c->timeout_ms = timeout_ms;
	timer_cancel(&c->timer);
	if (timeout_ms > 0)
		loop_timer(c->loop, &c->timer, timeout_ms, on_time, c);
}

void
connection_expect_all(struct connection *c, int64_t timeout_ms)
{
	connection_expect(c, timeout_ms);
	c->is_all_due = true;
}

bool
connection_has_spoken(const struct connection *c)
{
	char byte;

	return c->in.n > 0 || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}
