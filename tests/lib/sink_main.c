/*
 * sink - a mail server that keeps what it is sent, for the demo's and the tests' gateways.
 *
 *     sink --listen 127.0.0.1:PORT [--dir DIR] [rules]
 *
 * Prints "ready ADDRESS:PORT" once it listens, and "accepted N" when SIGTERM or SIGINT ends it.
 */
#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "tests/lib/sink_session.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	BACKLOG = 1024,
	ACCEPTS_A_TURN = 64,
	DELAY_MAX_MS = 3600000,
	CODE_MIN = 200,
	CODE_MAX = 599
};

static struct sink_store store;
static struct sink_rules rules = {.store = &store};
static struct loop *loop;

static void
usage(FILE *to)
{
	fputs("usage: sink --listen ADDRESS:PORT [option]...\n"
	      "  --dir DIR              keep messages here (without: count them only)\n"
	      "  --fsync                sync each message before its 250\n"
	      "  --reply-at STAGE=CODE  banner, ehlo, mail, rcpt, data or dot\n"
	      "  --close-at STAGE       hang up instead of answering\n"
	      "  --reject-rcpt ADDRESS[=CODE]\n"
	      "  --delay-ms N           before every reply\n"
	      "  --no-pipelining        do not offer it\n"
	      "  --lenient              a bare LF ends a line, too\n"
	      "  --count                keep nothing, even with --dir\n",
	    to);
}

static void __attribute__((noreturn)) fail_usage(const char *what, const char *value)
{
	fprintf(stderr, "sink: %s: %s\n", what, value);
	usage(stderr);
	exit(EXIT_USAGE);
}

static int
code_of(struct span digits, const char *option)
{
	uint64_t code;
	if (!span_to_u64(digits, &code) || code < CODE_MIN || code > CODE_MAX)
		fail_usage("no reply code", option);
	return (int)code;
}

static void
set_reply(const char *option)
{
	struct span rest = span_str(option), name = span_cut(&rest, '=');
	enum sink_stage stage = sink_stage_parse(name);
	if (stage == SINK_STAGES)
		fail_usage("no such stage", option);
	rules.code_at[stage] = code_of(rest, option);
}

static void
set_close(const char *option)
{
	enum sink_stage stage = sink_stage_parse(span_str(option));
	if (stage == SINK_STAGES)
		fail_usage("no such stage", option);
	rules.is_closed_at[stage] = true;
}

static void
add_rcpt_rule(char *option)
{
	if (rules.n_rcpts == SINK_RULES_MAX)
		fail_usage("too many --reject-rcpt", option);
	struct sink_rcpt_rule *r = &rules.rcpts[rules.n_rcpts++];
	struct span text = span_str(option);
	size_t at = span_find(text, '=');
	r->code = at < text.n ? code_of(span_skip(text, at + 1), option) : 550;
	option[at] = '\0';
	r->address = option;
}

static int64_t
delay_of(const char *option)
{
	uint64_t ms;
	if (!span_to_u64(span_str(option), &ms) || ms > DELAY_MAX_MS)
		fail_usage("no delay in milliseconds", option);
	return (int64_t)ms;
}

struct options {
	const char *listen, *dir;
	bool is_synced, is_count;
};

static struct options
parse_options(int argc, char **argv)
{
	enum {
		LISTEN = 256,
		DIR_,
		FSYNC,
		REPLY,
		CLOSE,
		RCPT,
		DELAY,
		NO_PIPELINING,
		LENIENT,
		COUNT,
		HELP
	};
	static const struct option longs[] = {{"listen", required_argument, NULL, LISTEN},
	    {"dir", required_argument, NULL, DIR_}, {"fsync", no_argument, NULL, FSYNC},
	    {"reply-at", required_argument, NULL, REPLY},
	    {"close-at", required_argument, NULL, CLOSE},
	    {"reject-rcpt", required_argument, NULL, RCPT},
	    {"delay-ms", required_argument, NULL, DELAY},
	    {"no-pipelining", no_argument, NULL, NO_PIPELINING},
	    {"lenient", no_argument, NULL, LENIENT}, {"count", no_argument, NULL, COUNT},
	    {"help", no_argument, NULL, HELP}, {NULL, 0, NULL, 0}};
	struct options o = {.listen = NULL};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == LISTEN)
			o.listen = optarg;
		else if (c == DIR_)
			o.dir = optarg;
		else if (c == FSYNC)
			o.is_synced = true;
		else if (c == REPLY)
			set_reply(optarg);
		else if (c == CLOSE)
			set_close(optarg);
		else if (c == RCPT)
			add_rcpt_rule(optarg);
		else if (c == DELAY)
			rules.delay_ms = delay_of(optarg);
		else if (c == NO_PIPELINING)
			rules.has_no_pipelining = true;
		else if (c == LENIENT)
			rules.is_lenient = true;
		else if (c == COUNT)
			o.is_count = true;
		else {
			usage(c == HELP ? stdout : stderr);
			exit(c == HELP ? EXIT_OK : EXIT_USAGE);
		}
	}
	if (o.listen == NULL || optind != argc)
		fail_usage(
		    "--listen is needed, and options only", o.listen != NULL ? argv[optind] : "");
	return o;
}

static int
open_listener(const char *text)
{
	struct ip ip;
	uint16_t port;
	struct sockaddr_storage sa;
	if (!ip_parse_with_port(span_str(text), &ip, &port))
		fail_usage("no ADDRESS:PORT", text);
	socklen_t n = ip_to_sockaddr(&ip, port, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, BACKLOG) < 0)
		die("listen on %s: %m", text);
	return fd;
}

static void
on_connection(void *arg, unsigned events)
{
	(void)events; /* only reading is waited for */
	int listener = *(int *)arg;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t n = sizeof peer;
		int fd =
		    accept4(listener, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return; /* EAGAIN, or a peer that has gone: the loop says when to look again */
		sink_session_new(loop, fd, &peer, &rules);
	}
}

static void
on_signal(void *arg, unsigned events)
{
	(void)arg;
	(void)events;
	printf("accepted %llu\n", (unsigned long long)store.last);
	loop_stop(loop);
}

int
main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	int listener = open_listener(o.listen);
	sink_store_open(&store, o.is_count ? NULL : o.dir, o.is_synced);
	sigset_t ending;
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	int signals = signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0)
		die("signalfd: %m");
	loop = loop_new();
	struct watch *connections = loop_watch(loop, listener, LOOP_READ, on_connection, &listener);
	struct watch *ends = loop_watch(loop, signals, LOOP_READ, on_signal, NULL);
	printf("ready %s\n", o.listen);
	fflush(stdout);
	loop_run(loop);
	sink_sessions_end();
	watch_remove(&connections);
	watch_remove(&ends);
	close(listener);
	close(signals);
	loop_free(&loop);
	return EXIT_OK;
}
