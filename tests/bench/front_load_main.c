/*
 * front_load - clients that come and go, for what front costs without a message.
 *
 *     front_load --to 127.0.0.1:PORT --how sessions|refused|handshakes [--sessions N] [--count N]
 *     front_load --to 127.0.0.1:PORT --how idle|idle-tls --sessions N [--first N]
 *
 * sessions: banner, EHLO, QUIT, 221.  refused: a banner that is 421, 521 or 554.  handshakes: STARTTLS
 * and a full handshake, after which the client is gone.  So many at once as --sessions says, --count in
 * all; each connection comes from another loopback address, so that no pair of ports is used again too
 * soon: of 127.2.0.0/16 who is to be refused, of 127.1.0.0/16 all others.  Ends with one line of JSON: count,
 * seconds, rate, others (visits that went another way, which are none of the count).
 *
 * idle: opens its sessions, says EHLO in each, prints "ready N" when N were greeted, and holds them.
 * idle-tls: says STARTTLS too, and EHLO again inside.  With --first it opens so many and prints that,
 * and goes on to all of them when its standard input says a line.  Each further line is answered with
 * "held N" where all are still open; with the end of the input it ends.
 */
#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/loop.h"
#include "relay/base/mem.h"
#include "relay/tls/tls.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	SESSIONS_MAX = 20000,
	COUNT_MAX = 10000000,
	OTHERS_MAX = 1000,
	ROOM = 4096,
	/* That idle sessions open at once.  Postfix listens with a backlog of 100: past it the kernel
	 * lets clients wait for ever who believe that they are connected. */
	AT_ONCE = 80,
	TAKEN = 0x7f010000, /* the networks 127.1 and 127.2: clients that are taken, and refused */
	REFUSED = 0x7f020000
};

enum how { HOW_SESSIONS, HOW_REFUSED, HOW_HANDSHAKES, HOW_IDLE, HOW_IDLE_TLS };
enum step { STEP_BANNER, STEP_EHLO, STEP_STARTTLS, STEP_HANDSHAKE, STEP_QUIT, STEP_HELD };

struct visit {
	struct watch *watch;
	struct tls *tls;
	int fd;
	enum step step;
};

static struct loop *loop;
static struct sockaddr_in server;
static enum how how;
static uint64_t n_sessions = 20, n_first, n_goal, n_count = 1000, n_begun, n_done, n_others, n_open;
static SSL_CTX *ctx;
static struct visit *visits;

static void begin(struct visit *v);

static bool
is_idle(void)
{
	return how == HOW_IDLE || how == HOW_IDLE_TLS;
}

static void
leave(struct visit *v)
{
	watch_remove(&v->watch);
	tls_free(&v->tls);
	(void)close(v->fd); /* a socket: nothing is due any more */
	v->fd = -1;
}

static void
done(struct visit *v, bool is_as_wanted)
{
	leave(v);
	n_done += is_as_wanted;
	if (!is_as_wanted && ++n_others > OTHERS_MAX)
		die("too many visits went another way");
	begin(v);
}

static void
say(struct visit *v, struct span text, enum step next)
{
	enum tls_wait wait;
	ssize_t n = v->tls != NULL ? tls_write(v->tls, text.p, text.n, &wait)
				   : send(v->fd, text.p, text.n, MSG_NOSIGNAL);

	v->step = next;
	if (n != (ssize_t)text.n)
		die("a command did not go out at once");
}

static void
hold(struct visit *v)
{
	v->step = STEP_HELD;
	n_done++;
	if (n_begun < n_goal)
		begin(&visits[n_begun]);
	else if (n_done == n_goal)
		loop_stop(loop);
}

static void
shake(struct visit *v)
{
	enum tls_wait wait = tls_handshake(v->tls);

	if (wait == TLS_FAILED && how == HOW_IDLE_TLS)
		die("a handshake failed");
	if (wait == TLS_DONE && how == HOW_IDLE_TLS) {
		watch_change(v->watch, LOOP_READ);
		say(v, SPAN("EHLO load.example\r\n"), STEP_EHLO);
	} else if (wait == TLS_DONE || wait == TLS_FAILED) {
		done(v, wait == TLS_DONE);
	} else {
		watch_change(v->watch, wait == TLS_WANT_WRITE ? LOOP_WRITE : LOOP_READ);
	}
}

/* A reply's last line has come; what stands before it needs no look. */
static void
on_reply(struct visit *v, unsigned code)
{
	if (how == HOW_REFUSED) {
		done(v, code == 554 || code == 521 || code == 421);
		return;
	}
	if (code != (v->step == STEP_EHLO ? 250 : v->step == STEP_QUIT ? 221 : 220)) {
		if (is_idle())
			die("a session that should be idle was answered %u", code);
		done(v, false);
		return;
	}
	switch (v->step) {
	case STEP_BANNER:
		say(v, SPAN("EHLO load.example\r\n"), STEP_EHLO);
		break;
	case STEP_EHLO:
		if (how == HOW_IDLE || v->tls != NULL)
			hold(v);
		else if (how == HOW_SESSIONS)
			say(v, SPAN("QUIT\r\n"), STEP_QUIT);
		else
			say(v, SPAN("STARTTLS\r\n"), STEP_STARTTLS);
		break;
	case STEP_STARTTLS:
		v->step = STEP_HANDSHAKE;
		v->tls = tls_new_client(ctx, v->fd, SPAN(""));
		shake(v);
		break;
	case STEP_QUIT:
		done(v, true);
		break;
	case STEP_HANDSHAKE:
	case STEP_HELD:
		die("a reply out of place");
	}
}

static bool
is_last_line(struct span text)
{
	struct span line = span_take(text, text.n - 1);
	size_t at = line.n;

	while (at > 0 && line.p[at - 1] != '\n')
		at--;
	line = span_skip(line, at);
	return line.n > 3 && line.p[3] == ' ';
}

/* As recv: -1 when there is nothing yet. */
static ssize_t
receive(struct visit *v, char *room, size_t size)
{
	enum tls_wait wait;
	bool is_cut;
	ssize_t n;

	if (v->tls == NULL) {
		n = recv(v->fd, room, size, 0);
		return n < 0 && errno != EAGAIN && errno != EINTR ? 0 : n;
	}
	n = tls_read(v->tls, room, size, &wait, &is_cut);
	return n < 0 && wait == TLS_FAILED ? 0 : n;
}

static void
on_ready(void *arg, unsigned events)
{
	struct visit *v = arg;
	char room[ROOM];
	ssize_t n;
	uint64_t code;

	(void)events; /* one of them is wanted at a time */
	if (v->step == STEP_HANDSHAKE) {
		shake(v);
		return;
	}
	n = receive(v, room, sizeof(room));
	if (n < 0)
		return;
	if (n == 0) {
		if (is_idle())
			die("a session that should be idle was closed");
		done(v, false);
		return;
	}
	/* Servers write a reply at once; what is no whole line is waited for with the rest dropped. */
	if (room[n - 1] != '\n' || !is_last_line(span_of(room, (size_t)n)))
		return;
	if (!span_to_u64(span_take(span_of(room, (size_t)n), 3), &code))
		code = 0;
	on_reply(v, (unsigned)code);
}

static void
begin(struct visit *v)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	uint64_t number = n_begun;

	if (n_begun == (is_idle() ? n_goal : n_count)) {
		if (!is_idle() && --n_open == 0)
			loop_stop(loop);
		return;
	}
	n_begun++;
	own.sin_addr.s_addr = htonl((uint32_t)((how == HOW_REFUSED ? REFUSED : TAKEN) +
					       (number / 250 % 200 << 8) + number % 250 + 1));
	v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (v->fd < 0 || bind(v->fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		die("socket: %m");
	if (connect(v->fd, (struct sockaddr *)&server, sizeof(server)) < 0 && errno != EINPROGRESS)
		die("connect: %m");
	v->step = STEP_BANNER;
	v->watch = loop_watch(loop, v->fd, LOOP_READ, on_ready, v);
}

static double
now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
set_number(uint64_t *to, uint64_t max, const char *text)
{
	if (!span_to_u64(span_str(text), to) || *to == 0 || *to > max)
		die_with(EXIT_USAGE, "%s: a number from 1 to %" PRIu64 " is wanted", text, max);
}

static void
set_how(const char *text)
{
	static const char *const names[] = {
	    "sessions", "refused", "handshakes", "idle", "idle-tls"};

	for (how = HOW_SESSIONS; !span_eq(span_str(text), span_str(names[how])); how++)
		if (how == HOW_IDLE_TLS)
			die_with(EXIT_USAGE, "no such way: %s", text);
}

static void
set_server(const char *text)
{
	struct ip ip;
	uint16_t port;
	struct sockaddr_storage to;

	if (!ip_parse_with_port(span_str(text), &ip, &port))
		die_with(EXIT_USAGE, "no ADDRESS:PORT: %s", text);
	if (ip_to_sockaddr(&ip, port, &to) != sizeof(server))
		die_with(EXIT_USAGE, "IPv4 only: %s", text);
	memcpy(&server, &to, sizeof(server));
}

static void
parse_options(int argc, char **argv)
{
	static const struct option longs[] = {{"to", required_argument, NULL, 't'},
	    {"sessions", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'c'},
	    {"how", required_argument, NULL, 'h'}, {"first", required_argument, NULL, 'f'},
	    {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 't')
			set_server(optarg);
		else if (c == 's')
			set_number(&n_sessions, SESSIONS_MAX, optarg);
		else if (c == 'c')
			set_number(&n_count, COUNT_MAX, optarg);
		else if (c == 'f')
			set_number(&n_first, SESSIONS_MAX, optarg);
		else if (c == 'h')
			set_how(optarg);
		else
			die_with(EXIT_USAGE, "see the head of front_load_main.c");
	}
	if (server.sin_port == 0 || optind != argc)
		die_with(EXIT_USAGE, "--to ADDRESS:PORT is needed, and options only");
}

static void
more_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("limit of descriptors: %m");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < n_sessions + 100)
		die("%" PRIu64 " sessions need as many descriptors", n_sessions);
}

/* So many in all. */
static void
open_idle(uint64_t goal)
{
	uint64_t left = goal - n_begun;

	n_goal = goal;
	for (uint64_t i = left < AT_ONCE ? left : AT_ONCE; i > 0; i--)
		begin(&visits[n_begun]);
	loop_run(loop);
	printf("ready %" PRIu64 "\n", n_done);
	(void)fflush(stdout); /* who reads it sees the end otherwise */
}

static void
stay_idle(void)
{
	char line[16];

	if (n_first > 0 && n_first < n_sessions) {
		open_idle(n_first);
		if (fgets(line, sizeof(line), stdin) == NULL)
			return;
	}
	open_idle(n_sessions);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		loop_turn(loop, 0); /* one that was closed would be told */
		printf("held %" PRIu64 "\n", n_done);
		(void)fflush(stdout); /* as above */
	}
}

int
main(int argc, char **argv)
{
	double started;

	parse_options(argc, argv);
	more_descriptors();
	visits = mem_alloc(n_sessions * sizeof(*visits));
	ctx = SSL_CTX_new(TLS_client_method());
	loop = loop_new();
	if (is_idle()) {
		stay_idle();
		return EXIT_OK;
	}
	n_open = n_sessions;
	started = now_s();
	for (uint64_t i = 0; i < n_sessions; i++)
		begin(&visits[i]);
	loop_run(loop);
	printf("{\"count\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.1f,\"others\":%" PRIu64 "}\n",
	    n_done, now_s() - started, (double)n_done / (now_s() - started), n_others);
	return EXIT_OK; /* everything else ends with the process */
}
