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
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
	      "  --count                keep nothing, even with --dir\n"
	      "  --fsync                sync each message before its 250\n"
	      "what it offers:\n"
	      "  --tls FILE             STARTTLS, with the certificate and key of a PEM file\n"
	      "  --offer WORD           another line of the reply to EHLO: DSN, SMTPUTF8,\n"
	      "                         CHUNKING (which it then understands) or anything\n"
	      "  --no-pipelining        not PIPELINING\n"
	      "  --no-8bitmime          not 8BITMIME\n"
	      "how it fails; STAGE is banner, ehlo, starttls, tls (the handshake: close and mute\n"
	      "only), mail, rcpt, data or dot (the end of a message, by DATA or BDAT):\n"
	      "  --reply-at STAGE=CODE  answer so; 421 hangs up behind it\n"
	      "  --close-at STAGE       hang up instead of answering\n"
	      "  --mute-at STAGE        say nothing any more; at banner: a black hole\n"
	      "  --garbage-at STAGE     answer with what is no reply\n"
	      "  --endless-at STAGE     answer with a line that never ends\n"
	      "  --delay-at STAGE=MS    answer late\n"
	      "  --delay-ms MS          answer everything late\n"
	      "  --stall                read nothing of a message\n"
	      "  --reject-rcpt ADDRESS[=CODE]    START* for all that begin so\n"
	      "  --lenient              a bare LF ends a line, too\n",
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

static enum sink_stage
stage_of(struct span name, const char *option)
{
	enum sink_stage stage = sink_stage_parse(name);
	if (stage == SINK_STAGES)
		fail_usage("no such stage", option);
	return stage;
}

static void
set_fault(const char *option, enum sink_fault fault)
{
	enum sink_stage stage = stage_of(span_str(option), option);
	if (stage == SINK_TLS && fault != FAULT_CLOSE && fault != FAULT_MUTE)
		fail_usage("in a handshake it can close or be mute only", option);
	rules.at[stage].fault = fault;
}

static void
set_reply(const char *option)
{
	struct span rest = span_str(option), name = span_cut(&rest, '=');
	enum sink_stage stage = stage_of(name, option);
	if (stage == SINK_TLS)
		fail_usage("in a handshake it can close or be mute only", option);
	rules.at[stage].fault = FAULT_REPLY;
	rules.at[stage].code = code_of(rest, option);
}

static void
add_offer(const char *word)
{
	if (rules.n_offers == SINK_RULES_MAX)
		fail_usage("too many --offer", word);
	rules.offers[rules.n_offers++] = word;
}

static void
read_certificate(const char *file)
{
	rules.tls = SSL_CTX_new(TLS_server_method());
	if (rules.tls == NULL || SSL_CTX_use_certificate_chain_file(rules.tls, file) != 1 ||
	    SSL_CTX_use_PrivateKey_file(rules.tls, file, SSL_FILETYPE_PEM) != 1)
		fail_usage("no PEM file with a certificate and its key", file);
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
delay_of(struct span digits, const char *option)
{
	uint64_t ms;
	if (!span_to_u64(digits, &ms) || ms > DELAY_MAX_MS)
		fail_usage("no delay in milliseconds", option);
	return (int64_t)ms;
}

static void
set_delay(const char *option)
{
	struct span rest = span_str(option), name = span_cut(&rest, '=');
	rules.at[stage_of(name, option)].delay_ms = delay_of(rest, option);
}

static void
set_all_delays(const char *option)
{
	for (size_t i = 0; i <= SINK_STAGES; i++)
		rules.at[i].delay_ms = delay_of(span_str(option), option);
}

struct options {
	const char *listen, *dir;
	bool is_synced, is_count;
};

enum option_id {
	LISTEN = 256,
	DIR_,
	FSYNC,
	COUNT,
	TLS,
	OFFER,
	NO_PIPELINING,
	NO_8BITMIME,
	REPLY,
	CLOSE,
	MUTE,
	GARBAGE,
	ENDLESS,
	DELAY_AT,
	DELAY,
	STALL,
	RCPT,
	LENIENT,
	HELP
};

static const struct option longs[] = {{"listen", required_argument, NULL, LISTEN},
    {"dir", required_argument, NULL, DIR_}, {"fsync", no_argument, NULL, FSYNC},
    {"count", no_argument, NULL, COUNT}, {"tls", required_argument, NULL, TLS},
    {"offer", required_argument, NULL, OFFER}, {"no-pipelining", no_argument, NULL, NO_PIPELINING},
    {"no-8bitmime", no_argument, NULL, NO_8BITMIME}, {"reply-at", required_argument, NULL, REPLY},
    {"close-at", required_argument, NULL, CLOSE}, {"mute-at", required_argument, NULL, MUTE},
    {"garbage-at", required_argument, NULL, GARBAGE},
    {"endless-at", required_argument, NULL, ENDLESS},
    {"delay-at", required_argument, NULL, DELAY_AT}, {"delay-ms", required_argument, NULL, DELAY},
    {"stall", no_argument, NULL, STALL}, {"reject-rcpt", required_argument, NULL, RCPT},
    {"lenient", no_argument, NULL, LENIENT}, {"help", no_argument, NULL, HELP}, {NULL, 0, NULL, 0}};

/* What needs a value. */
static void
take_value(struct options *o, int id, char *value)
{
	switch (id) {
	case LISTEN:
		o->listen = value;
		break;
	case DIR_:
		o->dir = value;
		break;
	case TLS:
		read_certificate(value);
		break;
	case OFFER:
		add_offer(value);
		break;
	case REPLY:
		set_reply(value);
		break;
	case CLOSE:
		set_fault(value, FAULT_CLOSE);
		break;
	case MUTE:
		set_fault(value, FAULT_MUTE);
		break;
	case GARBAGE:
		set_fault(value, FAULT_GARBAGE);
		break;
	case ENDLESS:
		set_fault(value, FAULT_ENDLESS);
		break;
	case DELAY_AT:
		set_delay(value);
		break;
	case DELAY:
		set_all_delays(value);
		break;
	case RCPT:
		add_rcpt_rule(value);
		break;
	default:
		break;
	}
}

static void
take_flag(struct options *o, int id)
{
	switch (id) {
	case FSYNC:
		o->is_synced = true;
		break;
	case COUNT:
		o->is_count = true;
		break;
	case NO_PIPELINING:
		rules.has_no_pipelining = true;
		break;
	case NO_8BITMIME:
		rules.has_no_8bitmime = true;
		break;
	case STALL:
		rules.is_stalling = true;
		break;
	case LENIENT:
		rules.is_lenient = true;
		break;
	default:
		usage(id == HELP ? stdout : stderr);
		exit(id == HELP ? EXIT_OK : EXIT_USAGE);
	}
}

static struct options
parse_options(int argc, char **argv)
{
	struct options o = {.listen = NULL};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (optarg != NULL)
			take_value(&o, c, optarg);
		else
			take_flag(&o, c);
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
		int on = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only speed */
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
	SSL_CTX_free(rules.tls);
	loop_free(&loop);
	return EXIT_OK;
}
