/*
 * smtp_sink - takes mail as fast as it comes, throws it away and counts it: the far end of a
 * benchmark.  `sink` (tests/lib) keeps and judges what it gets; this one must cost next to nothing.
 *
 *     smtp_sink --listen 127.0.0.1:PORT [--expect N] [--chunking] [--delay-ms MS]
 *
 * --chunking offers CHUNKING, for clients that would rather send with BDAT (RFC 3030).
 * --delay-ms answers each message that much later: a gateway that thinks before it takes one.
 * Prints "ready".  A line "N" on standard input begins a count; with the N-th message since then it
 * prints "done NANOSECONDS" (CLOCK_MONOTONIC), and with the next line first "extra N" for what came
 * beyond.  It ends with its standard input, or, with --expect, after "done" of that count.
 */
#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/loop.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	BACKLOG = 1024,
	READ_PIECE = 256 * 1024,
	COMMAND_MAX = 8192,
	OUT_MAX = 65536,
	ORDER_MAX = 64,
	DELAY_MAX_MS = 60000
};

struct session {
	struct watch *watch;
	int fd;
	unsigned n_matched; /* while is_data: how much of END the last bytes are */
	bool is_data, is_ending, is_chunk, is_last;
	uint64_t chunk;       /* bytes of BDAT that are still to come */
	struct timer *late;   /* until a message's reply is said: nothing else is meanwhile */
	struct buf line, out; /* line: the beginning of a command, until the rest is here */
};

static struct loop *loop;
static char piece[READ_PIECE]; /* one turn's bytes: nothing in it outlives the turn */
static uint64_t n_taken, n_expected, delay_ms;
static bool is_single, has_chunking;
static struct buf order = {.max = ORDER_MAX};

static void
count_message(void)
{
	struct timespec now;
	if (++n_taken != n_expected)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("done %" PRId64 "\n", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	fflush(stdout);
	if (is_single)
		loop_stop(loop);
}

static void
session_free(struct session *s)
{
	watch_remove(&s->watch);
	timer_cancel(&s->late);
	close(s->fd);
	buf_free(&s->line);
	buf_free(&s->out);
	mem_free(s);
}

static void on_late(void *arg);

/* The whole message is here: it counts when its client can know. */
static void
end_message(struct session *s)
{
	buf_add_str(&s->out, "250 2.0.0 gone\r\n");
	if (delay_ms > 0)
		loop_timer(loop, &s->late, (int64_t)delay_ms, on_late, s);
	else
		count_message();
}

/* BDAT 1234 [LAST] */
static void
begin_chunk(struct session *s, struct span line)
{
	line = span_trim(line);
	(void)span_word(&line);
	if (!span_to_u64(span_word(&line), &s->chunk)) {
		buf_add_str(&s->out, "501 5.5.4 BDAT SIZE [LAST]\r\n");
		return;
	}
	s->is_chunk = true;
	s->is_last = line.n > 0;
}

static void
on_command(struct session *s, struct span line)
{
	struct span verb = span_take(line, 4);
	if (span_eq_nocase(verb, SPAN("MAIL")) || span_eq_nocase(verb, SPAN("RCPT")) ||
	    span_eq_nocase(verb, SPAN("RSET")) || span_eq_nocase(verb, SPAN("NOOP")))
		buf_add_str(&s->out, "250 2.0.0 ok\r\n");
	else if (span_eq_nocase(verb, SPAN("DATA"))) {
		s->is_data = true;
		s->n_matched = 2; /* as after an end of line */
		buf_add_str(&s->out, "354 go ahead\r\n");
	} else if (span_eq_nocase(verb, SPAN("EHLO")) || span_eq_nocase(verb, SPAN("HELO")))
		buf_addf(&s->out,
		    "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n%s"
		    "250 SIZE 268435456\r\n",
		    has_chunking ? "250-CHUNKING\r\n" : "");
	else if (span_eq_nocase(verb, SPAN("BDAT")) && has_chunking)
		begin_chunk(s, line);
	else if (span_eq_nocase(verb, SPAN("QUIT"))) {
		s->is_ending = true;
		buf_add_str(&s->out, "221 2.0.0 bye\r\n");
	} else
		buf_add_str(&s->out, "500 5.5.1 what?\r\n");
}

/* Uses up message bytes: all of them, or up to the final dot's line end. */
static struct span
take_data(struct session *s, struct span in)
{
	static const char END[] = "\r\n.\r\n";
	while (in.n > 0) {
		if (s->n_matched == 0) { /* the common case: on to the next line end */
			in = span_skip(in, span_find(in, '\r'));
			if (in.n == 0)
				return in;
		}
		if (in.p[0] == END[s->n_matched])
			s->n_matched++;
		else
			s->n_matched = in.p[0] == '\r';
		in = span_skip(in, 1);
		if (s->n_matched == sizeof END - 1) {
			s->is_data = false;
			end_message(s);
			return in;
		}
	}
	return in;
}

static struct span
take_chunk(struct session *s, struct span in)
{
	size_t n = in.n < s->chunk ? in.n : (size_t)s->chunk;
	s->chunk -= n;
	if (s->chunk == 0) {
		s->is_chunk = false;
		if (s->is_last)
			end_message(s);
		else
			buf_add_str(&s->out, "250 2.0.0 more\r\n");
	}
	return span_skip(in, n);
}

static struct span
take_command(struct session *s, struct span in)
{
	size_t at = span_find(in, '\n');
	if (at == in.n || s->line.n > 0)
		buf_add_span(&s->line, span_take(in, at == in.n ? at : at + 1));
	if (at == in.n)
		return span_skip(in, in.n);
	on_command(s, s->line.n > 0 ? buf_span(&s->line) : span_take(in, at + 1));
	buf_clear(&s->line);
	return span_skip(in, at + 1);
}

static bool
flush(struct session *s)
{
	while (s->out.n > 0 && s->late == NULL) {
		ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_consume(&s->out, (size_t)n);
	}
	return !s->is_ending || s->late != NULL;
}

/* Says what there is to say; the session may be gone then. */
static void
go_on(struct session *s)
{
	if (!flush(s) || s->line.failed || s->out.failed)
		session_free(s);
	else
		watch_change(
		    s->watch, s->out.n > 0 && s->late == NULL ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void
on_late(void *arg)
{
	count_message();
	go_on(arg);
}

static void
on_ready(void *arg, unsigned events)
{
	struct session *s = arg;
	if ((events & LOOP_READ) != 0) {
		ssize_t n = recv(s->fd, piece, sizeof piece, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			session_free(s);
			return;
		}
		struct span in = span_of(piece, n > 0 ? (size_t)n : 0);
		while ((in.n > 0 || (s->is_chunk && s->chunk == 0)) && !s->is_ending)
			in = s->is_data    ? take_data(s, in)
			     : s->is_chunk ? take_chunk(s, in)
					   : take_command(s, in);
	}
	go_on(s);
}

static void
on_connection(void *arg, unsigned events)
{
	(void)events; /* only reading is waited for */
	for (int fd; (fd = accept4(*(int *)arg, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct session *s = mem_alloc(sizeof *s);
		s->fd = fd;
		s->line = BUF_INIT(COMMAND_MAX);
		s->out = BUF_INIT(OUT_MAX);
		s->watch = loop_watch(loop, fd, LOOP_READ, on_ready, s);
		buf_add_str(&s->out, "220 sink.example ESMTP\r\n");
		if (!flush(s))
			session_free(s);
	}
}

static void
on_order(void *arg, unsigned events)
{
	(void)arg;
	(void)events;
	char *room = buf_room(&order, 1), *end;
	ssize_t n = room != NULL ? read(STDIN_FILENO, room, 1) : 0;
	if (n <= 0) {
		loop_stop(loop);
		return;
	}
	order.n++;
	end = memchr(order.p, '\n', order.n);
	if (end == NULL)
		return;
	if (n_taken > n_expected && n_expected > 0)
		printf("extra %" PRIu64 "\n", n_taken - n_expected);
	fflush(stdout);
	n_taken = 0;
	if (!span_to_u64(span_of(order.p, (size_t)(end - order.p)), &n_expected))
		die("no count on standard input");
	buf_clear(&order);
}

static int
open_listener(const char *text)
{
	struct ip ip;
	uint16_t port;
	struct sockaddr_storage sa;
	if (!ip_parse_with_port(span_str(text), &ip, &port))
		die_with(EXIT_USAGE, "no ADDRESS:PORT: %s", text);
	socklen_t n = ip_to_sockaddr(&ip, port, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, BACKLOG) < 0)
		die("listen on %s: %m", text);
	return fd;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
	    {"expect", required_argument, NULL, 'e'}, {"chunking", no_argument, NULL, 'c'},
	    {"delay-ms", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
	const char *address = NULL;
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'l')
			address = optarg;
		else if (c == 'e' && span_to_u64(span_str(optarg), &n_expected))
			is_single = true;
		else if (c == 'c')
			has_chunking = true;
		else if (c != 'd' || !span_to_u64(span_str(optarg), &delay_ms) ||
			 delay_ms > DELAY_MAX_MS)
			die_with(EXIT_USAGE, "see the head of smtp_sink_main.c");
	}
	if (address == NULL)
		die_with(EXIT_USAGE, "--listen ADDRESS:PORT is needed");
	int listener = open_listener(address);
	loop = loop_new();
	struct watch *connections = loop_watch(loop, listener, LOOP_READ, on_connection, &listener);
	struct watch *orders = NULL;
	if (!is_single)
		orders = loop_watch(loop, STDIN_FILENO, LOOP_READ, on_order, NULL);
	printf("ready\n");
	fflush(stdout);
	loop_run(loop);
	watch_remove(&connections);
	watch_remove(&orders);
	close(listener);
	return EXIT_OK; /* the sessions end with the process */
}
