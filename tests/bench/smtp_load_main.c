/*
 * smtp_load - sends many equal messages over many sessions as fast as they are taken.
 *
 *     smtp_load --to 127.0.0.1:PORT [--sessions N] [--messages N] [--size BYTES] [--reuse]
 *               [--pipeline] [--from ADDRESS] [--rcpt ADDRESS] [--corpus FILE]
 *
 * --reuse: a session sends one message after the other; without it, each message has a connection
 * of its own.  --pipeline: MAIL, RCPT and DATA in one write (RFC 2920).  --corpus: not
 * one message many times, but those of a file (length in decimal, line end, bytes; scan_corpus.py)
 * one after the other, again from the first when there are fewer.  A closed loop: a session
 * begins its next message when the last one is answered.  A message that is not taken counts under
 * its reply's code (0: the connection broke) and is sent again after RETRY_MS.
 *
 * Ends with one line of JSON: messages, started_ns (CLOCK_MONOTONIC), seconds, rate, the latency from
 * MAIL to the final 250 as p50_ms and p99_ms, the longest time between two of those 250 as gap_ms, and
 * others {code: count}.  Status 1 when more than
 * OTHERS_MAX attempts failed.
 */
#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/loop.h"
#include "relay/base/mem.h"
#include "tests/lib/corpus.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	SESSIONS_MAX = 5000,
	MESSAGES_MAX = 10000000,
	BYTES_MAX = 64 * 1024 * 1024,
	IN_MAX = 65536,
	LINE_LENGTH = 72,
	RETRY_MS = 50,
	CODES = 1000,
	OTHERS_MAX = 10000
};

enum step { STEP_BANNER, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_DOT, STEP_QUIT };

struct session {
	struct watch *watch;
	struct timer *timer; /* until it tries again */
	int fd;              /* -1: no connection */
	enum step step;      /* whose reply comes next */
	bool has_message;    /* one of the messages to send is this session's */
	uint64_t number;     /* of that message, from 0 on */
	int64_t begun_ns;
	struct span out; /* what is left to write of one of the texts below */
	struct buf in;
};

static struct loop *loop;
static struct sockaddr_storage server;
static socklen_t server_len;
static bool is_reusing, is_pipelining;
static uint64_t n_sessions = 20, n_messages = 1000, size = 4096;
static uint64_t n_begun, n_done, n_others, n_open;
static uint32_t *latencies_us, others[CODES];
static int64_t last_ns, gap_ns;
static struct span *texts; /* of the corpus, ready to be sent; NULL: `message` alone */
static size_t n_texts;
static struct buf mail, rcpt, message; /* mail: with RCPT and DATA behind it when pipelining */

static void begin(struct session *s);

static int64_t
now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
disconnect(struct session *s)
{
	watch_remove(&s->watch);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->out = SPAN("");
	buf_clear(&s->in);
}

static void
on_retry(void *arg)
{
	begin(arg);
}

/* This attempt is over; the message, if there is one, goes again. */
static void
fail(struct session *s, unsigned code)
{
	disconnect(s);
	others[code]++;
	if (++n_others > OTHERS_MAX)
		die("too many failures, the last one with code %u", code);
	loop_timer(loop, &s->timer, RETRY_MS, on_retry, s);
}

static void
flush(struct session *s)
{
	while (s->out.n > 0) {
		ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			break; /* EAGAIN; a broken connection is told by reading */
		s->out = span_skip(s->out, n > 0 ? (size_t)n : 0);
	}
	watch_change(s->watch, s->out.n > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void
say(struct session *s, struct span text, enum step next)
{
	s->step = next;
	s->out = text;
	flush(s);
}

static void
say_mail(struct session *s)
{
	s->begun_ns = now_ns();
	say(s, buf_span(&mail), STEP_MAIL);
}

static bool
take_message(struct session *s)
{
	if (!s->has_message && n_begun < n_messages) {
		s->number = n_begun++;
		s->has_message = true;
	}
	return s->has_message;
}

static void
finish_message(struct session *s)
{
	int64_t now = now_ns();
	if (last_ns > 0 && now - last_ns > gap_ns)
		gap_ns = now - last_ns;
	last_ns = now;
	latencies_us[n_done++] = (uint32_t)((last_ns - s->begun_ns) / 1000);
	s->has_message = false;
	if (is_reusing && take_message(s))
		say_mail(s);
	else
		say(s, SPAN("QUIT\r\n"), STEP_QUIT);
}

/* One whole reply; false when the session has no connection afterwards. */
static bool
on_reply(struct session *s, unsigned code)
{
	static const unsigned wanted[] = {[STEP_BANNER] = 220,
	    [STEP_EHLO] = 250,
	    [STEP_MAIL] = 250,
	    [STEP_RCPT] = 250,
	    [STEP_DATA] = 354,
	    [STEP_DOT] = 250,
	    [STEP_QUIT] = 221};
	if (code != wanted[s->step]) {
		fail(s, code);
		return false;
	}
	switch (s->step) {
	case STEP_BANNER:
		say(s, SPAN("EHLO load.example\r\n"), STEP_EHLO);
		break;
	case STEP_EHLO:
		say_mail(s);
		break;
	case STEP_MAIL:
		say(s, is_pipelining ? s->out : buf_span(&rcpt), STEP_RCPT);
		break;
	case STEP_RCPT:
		say(s, is_pipelining ? s->out : SPAN("DATA\r\n"), STEP_DATA);
		break;
	case STEP_DATA:
		say(s, texts != NULL ? texts[s->number % n_texts] : buf_span(&message), STEP_DOT);
		break;
	case STEP_DOT:
		finish_message(s);
		break;
	case STEP_QUIT:
		disconnect(s);
		begin(s);
		return false;
	}
	return true;
}

/* The code of the whole reply at the front of the input, which is dropped; 0: there is none yet. */
static unsigned
take_reply(struct session *s)
{
	struct span rest = buf_span(&s->in);
	for (size_t at; (at = span_find(rest, '\n')) < rest.n; rest = span_skip(rest, at + 1)) {
		uint64_t code;
		if (at > 3 && rest.p[3] == '-')
			continue;
		if (!span_to_u64(span_take(rest, 3), &code) || code < 200)
			code = CODES - 1; /* no SMTP at all */
		buf_consume(&s->in, s->in.n - rest.n + at + 1);
		return (unsigned)code;
	}
	return 0;
}

static void
on_ready(void *arg, unsigned events)
{
	struct session *s = arg;
	if ((events & LOOP_WRITE) != 0 && s->out.n > 0)
		flush(s);
	if ((events & LOOP_READ) == 0)
		return;
	char *room = buf_room(&s->in, IN_MAX / 4);
	ssize_t n = room != NULL ? recv(s->fd, room, IN_MAX / 4, 0) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(s, 0);
		return;
	}
	s->in.n += (size_t)n;
	for (unsigned code; (code = take_reply(s)) != 0;)
		if (!on_reply(s, code))
			return;
}

/* Opens a connection if there is a message left; the last session to find none ends the run. */
static void
begin(struct session *s)
{
	int on = 1;
	if (!take_message(s)) {
		if (--n_open == 0)
			loop_stop(loop);
		return;
	}
	s->fd = socket(server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
		die("socket: %m");
	if (connect(s->fd, (struct sockaddr *)&server, server_len) < 0 && errno != EINPROGRESS) {
		fail(s, 0);
		return;
	}
	s->step = STEP_BANNER;
	s->watch = loop_watch(loop, s->fd, LOOP_READ, on_ready, s);
}

/* A message of `size` bytes with CRLF line ends, and the final dot. */
static void
write_message(const char *from, const char *to)
{
	message = BUF_INIT(size + 1024);
	buf_addf(&message,
	    "From: <%s>\r\nTo: <%s>\r\nSubject: benchmark\r\n"
	    "Date: Sun, 22 Nov 2026 01:02:03 +0000\r\nMessage-ID: <benchmark@load.example>\r\n\r\n",
	    from, to);
	for (unsigned i = 0; message.n + 2 < size; i++) {
		size_t left = size - message.n - 2;
		for (size_t n = left < LINE_LENGTH ? left : LINE_LENGTH; n > 0; n--)
			buf_add_char(&message, (char)('a' + (i + n) % 26));
		buf_add_str(&message, "\r\n");
	}
	buf_add_str(&message, ".\r\n");
	mail = rcpt = BUF_INIT(4096);
	buf_addf(&rcpt, "RCPT TO:<%s>\r\n", to);
	buf_addf(&mail, "MAIL FROM:<%s>\r\n", from);
	if (is_pipelining) {
		buf_add_span(&mail, buf_span(&rcpt));
		buf_add_str(&mail, "DATA\r\n");
	}
	if (message.failed || rcpt.failed || mail.failed)
		die_with(EXIT_USAGE, "address too long");
}

/* The message with its dots doubled (RFC 5321 4.5.2) and the final one. */
static struct span
stuff(struct span bytes)
{
	struct buf b = BUF_INIT(2 * bytes.n + 8);
	while (bytes.n > 0) {
		size_t at = span_find(bytes, '\n');
		if (bytes.p[0] == '.')
			buf_add_char(&b, '.');
		buf_add_span(&b, span_take(bytes, at + 1));
		bytes = span_skip(bytes, at + 1);
	}
	buf_add_str(&b, ".\r\n");
	must(!b.failed);
	return buf_span(&b);
}

static void
read_corpus(const char *path)
{
	n_texts = corpus_read(path, &texts);
	for (size_t i = 0; i < n_texts; i++)
		texts[i] = stuff(texts[i]);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void
report(int64_t started_ns)
{
	double seconds = (double)(last_ns - started_ns) / 1e9;
	qsort(latencies_us, n_done, sizeof *latencies_us, compare);
	printf("{\"messages\":%" PRIu64 ",\"started_ns\":%" PRId64
	       ",\"seconds\":%.6f,\"rate\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"gap_ms\":%.3f,"
	       "\"others\":{",
	    n_done, started_ns, seconds, (double)n_done / seconds, latencies_us[n_done / 2] / 1e3,
	    latencies_us[n_done * 99 / 100] / 1e3, (double)gap_ns / 1e6);
	const char *comma = "";
	for (unsigned i = 0; i < CODES; i++) {
		if (others[i] > 0) {
			printf("%s\"%u\":%u", comma, i, others[i]);
			comma = ",";
		}
	}
	printf("}}\n");
}

static void
set_number(uint64_t *to, uint64_t max, const char *text)
{
	if (!span_to_u64(span_str(text), to) || *to == 0 || *to > max)
		die_with(EXIT_USAGE, "%s: a number from 1 to %" PRIu64 " is wanted", text, max);
}

static void
set_server(const char *text)
{
	struct ip ip;
	uint16_t port;
	if (!ip_parse_with_port(span_str(text), &ip, &port))
		die_with(EXIT_USAGE, "no ADDRESS:PORT: %s", text);
	server_len = ip_to_sockaddr(&ip, port, &server);
}

static void
parse_options(int argc, char **argv)
{
	static const struct option longs[] = {{"to", required_argument, NULL, 't'},
	    {"sessions", required_argument, NULL, 's'}, {"messages", required_argument, NULL, 'm'},
	    {"size", required_argument, NULL, 'b'}, {"reuse", no_argument, NULL, 'r'},
	    {"pipeline", no_argument, NULL, 'p'}, {"from", required_argument, NULL, 'F'},
	    {"rcpt", required_argument, NULL, 'R'}, {"corpus", required_argument, NULL, 'C'},
	    {NULL, 0, NULL, 0}};
	const char *from = "sender@load.example", *to = "user@example.org";
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 't')
			set_server(optarg);
		else if (c == 's')
			set_number(&n_sessions, SESSIONS_MAX, optarg);
		else if (c == 'm')
			set_number(&n_messages, MESSAGES_MAX, optarg);
		else if (c == 'b')
			set_number(&size, BYTES_MAX, optarg);
		else if (c == 'r')
			is_reusing = true;
		else if (c == 'p')
			is_pipelining = true;
		else if (c == 'F')
			from = optarg;
		else if (c == 'R')
			to = optarg;
		else if (c == 'C')
			read_corpus(optarg);
		else
			die_with(EXIT_USAGE, "see the head of smtp_load_main.c");
	}
	if (server_len == 0 || optind != argc)
		die_with(EXIT_USAGE, "--to ADDRESS:PORT is needed, and options only");
	write_message(from, to);
}

int
main(int argc, char **argv)
{
	parse_options(argc, argv);
	latencies_us = mem_alloc(n_messages * sizeof *latencies_us);
	struct session *sessions = mem_alloc(n_sessions * sizeof *sessions);
	loop = loop_new();
	n_open = n_sessions;
	int64_t started_ns = now_ns();
	for (uint64_t i = 0; i < n_sessions; i++) {
		sessions[i].fd = -1;
		sessions[i].in = BUF_INIT(IN_MAX);
		begin(&sessions[i]);
	}
	loop_run(loop);
	report(started_ns);
	return EXIT_OK; /* everything else ends with the process */
}
