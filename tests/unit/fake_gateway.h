/*
 * fake_gateway.h - a scripted SMTP server inside the test's own loop.
 *
 * Each command has its reply; NULL closes the connection instead, "" says nothing.  What arrives
 * is kept: the commands as lines, the messages as they came (dot-stuffed, without the final dot).
 * With tls_ctx, STARTTLS leads to TLS; a message may come by BDAT, in one chunk.
 */
#ifndef TEST_FAKE_GATEWAY_H
#define TEST_FAKE_GATEWAY_H
#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/loop.h"
#include "relay/tls/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAKE_CONNECTIONS = 256, FAKE_BIND_TRIES = 1000, FAKE_BIND_WAIT_US = 10000 };

struct fake_connection {
	struct fake *fake;
	struct watch *watch;
	int fd;
	struct buf in;
	bool is_in_data;
	size_t chunk; /* bytes of BDAT that are still to come */
	bool is_in_chunk;
	struct tls *tls; /* from STARTTLS on */
	bool is_secured;
	bool is_mute; /* its 220 to STARTTLS was the last it said */
};

struct fake {
	struct loop *loop;
	struct watch *watch;
	int listener;
	uint16_t port;
	struct fake_connection connections[FAKE_CONNECTIONS];
	size_t n_connections; /* ever made */
	size_t most;          /* at once, more are told 421; 0: any number */
	size_t n_messages;
	struct ssl_ctx_st *tls_ctx; /* NULL: silence behind the 220 to STARTTLS */
	size_t n_secured, n_resumed;
	const char *starttls, *ehlo_tls; /* ehlo_tls NULL: as in clear */
	bool closes_in_handshake;
	struct buf commands, data;
	const char *banner, *ehlo, *helo, *mail, *rcpt, *bad_rcpt, *data_reply, *final, *rset,
	    *quit;
	bool closes_in_data; /* after the first bytes of a message */
};

#define FAKE_EHLO "250-fake\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n"

static inline void
fake_init(struct fake *f, struct loop *loop)
{
	*f = (struct fake){.loop = loop,
	    .listener = -1,
	    .commands = BUF_INIT(1 << 20),
	    .data = BUF_INIT(1 << 24),
	    .banner = "220 fake ESMTP\r\n",
	    .ehlo = FAKE_EHLO,
	    .helo = "250 fake\r\n",
	    .mail = "250 2.1.0 ok\r\n",
	    .rcpt = "250 2.1.5 ok\r\n",
	    .bad_rcpt = "550 5.1.1 no such user\r\n",
	    .data_reply = "354 go on\r\n",
	    .final = "250 2.0.0 taken\r\n",
	    .rset = "250 ok\r\n",
	    .quit = "221 bye\r\n",
	    .starttls = "220 2.0.0 go on\r\n"};
}

static inline void
fake_close(struct fake_connection *c)
{
	watch_remove(&c->watch);
	tls_free(&c->tls);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
}

static inline bool
fake_say(struct fake_connection *c, const char *reply)
{
	if (reply == NULL) {
		fake_close(c);
		return false;
	}
	if (c->is_secured) {
		enum tls_wait wait;

		must(reply[0] == '\0' || tls_write(c->tls, reply, strlen(reply), &wait) > 0 ||
		     wait == TLS_FAILED);
		return true;
	}
	must(send(c->fd, reply, strlen(reply), MSG_NOSIGNAL) >= 0 || errno == EPIPE ||
	     errno == EAGAIN);
	return true;
}

/* After its 220: what comes now is TLS, or nothing at all. */
static inline bool
fake_start_tls(struct fake_connection *c)
{
	struct fake *f = c->fake;

	if (!fake_say(c, f->starttls) || !span_starts(span_str(f->starttls), SPAN("220")))
		return c->fd >= 0;
	if (f->tls_ctx != NULL)
		c->tls = tls_new_server(f->tls_ctx, c->fd);
	c->is_mute = f->tls_ctx == NULL;
	if (f->closes_in_handshake)
		fake_close(c);
	return false;
}

static inline const char *
fake_answer(struct fake_connection *c, struct span line)
{
	struct fake *f = c->fake;

	if (span_starts(line, SPAN("EHLO")))
		return c->is_secured && f->ehlo_tls != NULL ? f->ehlo_tls : f->ehlo;
	if (span_starts(line, SPAN("HELO")))
		return f->helo;
	if (span_starts(line, SPAN("MAIL")))
		return f->mail;
	if (span_starts(line, SPAN("RCPT TO:<bad")))
		return f->bad_rcpt;
	if (span_starts(line, SPAN("RCPT")))
		return f->rcpt;
	if (span_starts(line, SPAN("RSET")))
		return f->rset;
	if (span_starts(line, SPAN("QUIT")))
		return f->quit;
	if (!span_starts(line, SPAN("DATA")))
		return "500 what\r\n";
	c->is_in_data = f->data_reply != NULL && span_starts(span_str(f->data_reply), SPAN("354"));
	return f->data_reply;
}

/* "BDAT 123 LAST": its bytes follow. */
static inline void
fake_begin_chunk(struct fake_connection *c, struct span line)
{
	uint64_t n;

	line = span_trim(line);
	(void)span_word(&line);
	must(span_to_u64(span_word(&line), &n) && span_eq(span_word(&line), SPAN("LAST")));
	c->chunk = (size_t)n;
	c->is_in_chunk = true;
}

static inline bool
fake_take_chunk(struct fake_connection *c)
{
	size_t n = c->in.n < c->chunk ? c->in.n : c->chunk;

	if (c->fake->closes_in_data) {
		fake_close(c);
		return false;
	}
	(void)buf_add(&c->fake->data, c->in.p, n);
	buf_consume(&c->in, n);
	c->chunk -= n;
	if (c->chunk > 0)
		return false;
	c->fake->n_messages++;
	c->is_in_chunk = false;
	return fake_say(c, c->fake->final);
}

static inline bool
fake_take_data(struct fake_connection *c)
{
	struct fake *f = c->fake;
	const char *end = c->in.n > 0 ? memmem(c->in.p, c->in.n, "\r\n.\r\n", 5) : NULL;
	bool is_empty = c->in.n >= 3 && memcmp(c->in.p, ".\r\n", 3) == 0;
	size_t n;

	if (f->closes_in_data) {
		fake_close(c);
		return false;
	}
	if (end == NULL && !is_empty)
		return false;
	n = is_empty ? 0 : (size_t)(end - c->in.p) + 2;
	(void)buf_add(&f->data, c->in.p, n);
	buf_consume(&c->in, n + 3);
	f->n_messages++;
	c->is_in_data = false;
	return fake_say(c, f->final);
}

static inline void
fake_take_input(struct fake_connection *c)
{
	while (c->fd >= 0 && !c->is_mute && (c->in.n > 0 || c->is_in_chunk)) {
		struct span line = buf_span(&c->in);
		size_t end;

		if (c->is_in_data || c->is_in_chunk) {
			if (!(c->is_in_data ? fake_take_data(c) : fake_take_chunk(c)))
				return;
			continue;
		}
		end = span_find(line, '\n');
		if (end == line.n)
			return;
		line = span_take(line, end + 1);
		(void)buf_add_span(&c->fake->commands, line);
		if (span_starts(line, SPAN("STARTTLS"))) {
			buf_consume(&c->in, line.n);
			if (!fake_start_tls(c))
				return;
			continue;
		}
		if (span_starts(line, SPAN("BDAT")))
			fake_begin_chunk(c, line);
		else if (!fake_say(c, fake_answer(c, line)))
			return;
		buf_consume(&c->in, line.n);
	}
}

static inline size_t
fake_open(const struct fake *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_connections; i++)
		n += f->connections[i].fd >= 0;
	return n;
}

static inline void
fake_shake_hands(struct fake_connection *c)
{
	enum tls_wait wait = tls_handshake(c->tls);

	if (wait == TLS_FAILED)
		fake_close(c);
	if (wait != TLS_DONE)
		return;
	c->is_secured = true;
	c->fake->n_secured++;
	c->fake->n_resumed += tls_is_resumed(c->tls);
}

static inline void
fake_ready(void *arg, unsigned events)
{
	struct fake_connection *c = arg;
	char bytes[65536];
	enum tls_wait wait = TLS_WANT_READ;
	bool is_cut;
	ssize_t n;

	(void)events;
	if (c->tls != NULL && !c->is_secured) {
		fake_shake_hands(c);
		return;
	}
	do {
		n = c->tls != NULL ? tls_read(c->tls, bytes, sizeof(bytes), &wait, &is_cut)
				   : recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (c->tls != NULL ? wait == TLS_WANT_READ : errno == EAGAIN))
			return;
		if (n <= 0) {
			fake_close(c);
			return;
		}
		(void)buf_add(&c->in, bytes, (size_t)n);
		fake_take_input(c);
	} while (c->fd >= 0 && c->is_secured && tls_has_pending(c->tls));
}

static inline void
fake_serve(struct fake *f, int fd)
{
	struct fake_connection *c = &f->connections[f->n_connections++];

	must(f->n_connections <= FAKE_CONNECTIONS);
	*c = (struct fake_connection){.fake = f, .fd = fd, .in = BUF_INIT(1 << 24)};
	c->watch = loop_watch(f->loop, fd, LOOP_READ, fake_ready, c);
	if (f->most > 0 && fake_open(f) > f->most) {
		(void)fake_say(c, "421 4.7.0 too many connections\r\n");
		fake_close(c);
		return;
	}
	(void)fake_say(c, f->banner);
}

static inline void
fake_accept(void *arg, unsigned events)
{
	struct fake *f = arg;
	int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	int one = 1;

	(void)events;
	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
	fake_serve(f, fd);
}

/* On a loopback port: `port` 0 takes a free one. */
static inline void
fake_listen(struct fake *f, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t n = sizeof(sa);
	int one = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(f->listener >= 0);
	(void)setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* A port that was ours may be somebody's for a moment: then it is waited for. */
	for (int tries = 0; bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)) != 0; tries++) {
		must(errno == EADDRINUSE && tries < FAKE_BIND_TRIES);
		(void)usleep(FAKE_BIND_WAIT_US);
	}
	must(listen(f->listener, 64) == 0);
	must(getsockname(f->listener, (struct sockaddr *)&sa, &n) == 0);
	f->port = ntohs(sa.sin_port);
	f->watch = loop_watch(f->loop, f->listener, LOOP_READ, fake_accept, f);
}

static inline void
fake_stop(struct fake *f)
{
	watch_remove(&f->watch);
	if (f->listener >= 0)
		(void)close(f->listener);
	f->listener = -1;
	for (size_t i = 0; i < f->n_connections; i++)
		fake_close(&f->connections[i]);
}

static inline void
fake_free(struct fake *f)
{
	fake_stop(f);
	buf_free(&f->commands);
	buf_free(&f->data);
}

#endif
