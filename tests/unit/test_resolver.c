/*
 * The resolver against a server of the test's own that misbehaves on demand, and against a real
 * rbldnsd on loopback.  Everything runs on one loop; no result depends on who is faster.
 */
#include "relay/base/err.h"
#include "relay/lookup/packet.h"
#include "relay/lookup/service.h"
#include "relay/ipc/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RBLDNSD "/usr/sbin/rbldnsd"

enum behaviour { ANSWER, SILENT, GARBAGE, SERVFAIL, WRONG_ID, TRUNCATED, OTHER_QUESTION };
enum { PATIENCE_MS = 60000, TURNS_MAX = 20000, QUERY_MAX = 600 };

/* A DNS server on the test's loop; keeps the last query so that it can be answered later. */
static struct server {
	int udp, tcp, tcp_client; /* -1: none */
	struct watch *udp_watch, *tcp_watch, *client_watch;
	uint16_t port;
	enum behaviour how;
	unsigned n_udp, n_tcp;
	char query[QUERY_MAX];
	size_t query_n;
	struct sockaddr_storage from;
	socklen_t from_n;
} server;

static struct loop *loop;
static struct resolver *resolver;
static struct endpoint endpoint;
static struct conf_dns conf;

/* What a question came to. */
struct result {
	unsigned n_calls;
	struct dns_answer answer;
};

static void
on_done(void *arg, const struct dns_answer *a)
{
	struct result *r = arg;

	r->n_calls++;
	r->answer = *a;
}

static void
turn_until(const bool *flag, const unsigned *count, unsigned wanted)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		if (flag != NULL ? *flag : *count >= wanted)
			return;
		loop_turn(loop, 1000);
	}
	fail_msg("nothing came");
}

static void
wait_for(const struct result *r)
{
	turn_until(NULL, &r->n_calls, 1);
	assert_int_equal(r->n_calls, 1);
}

static void
wait_for_queries(unsigned n)
{
	turn_until(NULL, &server.n_udp, n);
}

/* The query turned into an answer: one A record 127.0.0.2 with a TTL of 60 seconds. */
static size_t
make_answer(enum behaviour how, char to[QUERY_MAX])
{
	static const char record[] = {(char)0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2};

	assert_true(server.query_n + sizeof(record) <= QUERY_MAX);
	memcpy(to, server.query, server.query_n);
	to[2] = (char)0x81;
	to[3] = (char)0x80;
	if (how == GARBAGE) {
		memset(to + 2, 0xff, server.query_n - 2);
		return server.query_n;
	}
	if (how == SERVFAIL)
		to[3] = (char)0x82;
	if (how == WRONG_ID)
		to[0] = (char)(to[0] ^ 0x55);
	if (how == TRUNCATED)
		to[2] = (char)0x83;
	if (how == OTHER_QUESTION)
		to[13] = (char)(to[13] ^ 1);
	if (how == SERVFAIL || how == TRUNCATED)
		return server.query_n;
	to[7] = 1;
	memcpy(to + server.query_n, record, sizeof(record));
	return server.query_n + sizeof(record);
}

static void
answer_udp(enum behaviour how)
{
	char bytes[QUERY_MAX];
	size_t n = make_answer(how, bytes);

	assert_int_equal(
	    sendto(server.udp, bytes, n, 0, (struct sockaddr *)&server.from, server.from_n), n);
}

static void
on_udp(void *arg, unsigned events)
{
	ssize_t n;

	(void)arg;
	(void)events;
	server.from_n = sizeof(server.from);
	n = recvfrom(server.udp, server.query, sizeof(server.query), MSG_DONTWAIT,
	    (struct sockaddr *)&server.from, &server.from_n);
	if (n < 12)
		return;
	server.query_n = (size_t)n;
	server.n_udp++;
	if (server.how != SILENT)
		answer_udp(server.how);
}

static void
on_client(void *arg, unsigned events)
{
	char bytes[2 + QUERY_MAX];
	ssize_t n = recv(server.tcp_client, bytes, QUERY_MAX, MSG_DONTWAIT);
	size_t out;

	(void)arg;
	(void)events;
	if (n <= 2) {
		watch_remove(&server.client_watch);
		return;
	}
	server.n_tcp++;
	server.query_n = (size_t)n - 2;
	memcpy(server.query, bytes + 2, server.query_n);
	out = make_answer(ANSWER, bytes + 2);
	bytes[0] = (char)(out >> 8);
	bytes[1] = (char)out;
	assert_int_equal(send(server.tcp_client, bytes, out + 2, 0), out + 2);
}

static void
on_tcp(void *arg, unsigned events)
{
	(void)arg;
	(void)events;
	server.tcp_client = accept(server.tcp, NULL, NULL);
	assert_true(server.tcp_client >= 0);
	server.client_watch = loop_watch(loop, server.tcp_client, LOOP_READ, on_client, NULL);
}

static int
bind_socket(int type, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&endpoint.ip, port, &sa);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (bind(fd, (struct sockaddr *)&sa, n) < 0) {
		(void)close(fd); /* taken: the caller tries another */
		return -1;
	}
	return fd;
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	uint16_t port;
	struct ip ip;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	assert_true(ip_from_sockaddr(&sa, &ip, &port));
	return port;
}

static void
start_resolver(uint16_t port)
{
	struct err err = {0};

	endpoint.port = port;
	conf = (struct conf_dns){.servers = &endpoint, .n_servers = 1};
	resolver = resolver_new(loop, &conf, &err);
	assert_non_null(resolver);
}

static int
setup(void **state)
{
	(void)state;
	assert_true(ip_parse(SPAN("127.0.0.1"), &endpoint.ip));
	loop = loop_new();
	server = (struct server){.tcp = -1, .tcp_client = -1};
	server.udp = bind_socket(SOCK_DGRAM, 0);
	assert_true(server.udp >= 0);
	server.port = port_of(server.udp);
	server.udp_watch = loop_watch(loop, server.udp, LOOP_READ, on_udp, NULL);
	start_resolver(server.port);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	resolver_free(&resolver);
	watch_remove(&server.udp_watch);
	watch_remove(&server.tcp_watch);
	watch_remove(&server.client_watch);
	(void)close(server.udp);
	if (server.tcp >= 0)
		(void)close(server.tcp);
	if (server.tcp_client >= 0)
		(void)close(server.tcp_client);
	loop_free(&loop);
	return 0;
}

static struct waiter *
ask(const char *name, uint32_t timeout_ms, struct result *r)
{
	struct dns_question q = {.type = DNS_A, .name = span_str(name), .timeout_ms = timeout_ms};

	*r = (struct result){0};
	return resolver_ask(resolver, &q, on_done, r);
}

static void
test_found_and_kept(void **state)
{
	struct result r;

	(void)state;
	assert_non_null(ask("a.example", PATIENCE_MS, &r));
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_FOUND);
	assert_int_equal(r.answer.n_addresses, 1);
	assert_int_equal(r.answer.ttl_s, 60);
	assert_null(ask("A.EXAMPLE", PATIENCE_MS, &r));
	assert_int_equal(r.n_calls, 1);
	assert_int_equal(r.answer.status, DNS_FOUND);
	assert_int_equal(server.n_udp, 1);
	assert_int_equal(resolver_stats(resolver).questions, 2);
	assert_int_equal(resolver_stats(resolver).cache_hits, 1);
	assert_int_equal(resolver_cached(resolver), 1);
}

static void
test_joined(void **state)
{
	struct result a, b;

	(void)state;
	(void)ask("a.example", PATIENCE_MS, &a);
	(void)ask("A.example", PATIENCE_MS, &b);
	wait_for(&a);
	wait_for(&b);
	assert_int_equal(server.n_udp, 1);
	assert_int_equal(b.answer.status, DNS_FOUND);
}

static void
test_bad_answers(void **state)
{
	static const struct {
		enum behaviour how;
		uint32_t timeout_ms;
		enum dns_status status;
	} rows[] = {
	    {SERVFAIL, PATIENCE_MS, DNS_FAILED},
	    {WRONG_ID, 30, DNS_TIMEOUT},
	    {OTHER_QUESTION, 30, DNS_TIMEOUT},
	    {SILENT, 30, DNS_TIMEOUT},
	    {GARBAGE, 30, DNS_TIMEOUT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[32];
		struct result r;

		server.how = rows[i].how;
		(void)snprintf(name, sizeof(name), "n%zu.example", i);
		(void)ask(name, rows[i].timeout_ms, &r);
		wait_for(&r);
		assert_int_equal(r.answer.status, rows[i].status);
		assert_int_equal(r.answer.n_addresses, 0);
	}
	assert_int_equal(resolver_cached(resolver), 0);
	assert_int_equal(resolver_stats(resolver).timeouts, 4);
	assert_int_equal(resolver_stats(resolver).failures, 1);
}

/* The waiting ends in time; the answer that comes later is not lost. */
static void
test_late_answer_is_kept(void **state)
{
	struct result r;

	(void)state;
	server.how = SILENT;
	(void)ask("late.example", 20, &r);
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_TIMEOUT);
	wait_for_queries(1);
	answer_udp(ANSWER);
	for (int i = 0; i < TURNS_MAX && resolver_cached(resolver) == 0; i++)
		loop_turn(loop, 1000);
	assert_null(ask("late.example", 20, &r));
	assert_int_equal(r.answer.status, DNS_FOUND);
}

static void
test_truncated_goes_over_tcp(void **state)
{
	struct result r;

	(void)state;
	server.tcp = bind_socket(SOCK_STREAM, server.port);
	if (server.tcp < 0)
		skip(); /* someone else has the port for TCP */
	assert_int_equal(listen(server.tcp, 5), 0);
	server.tcp_watch = loop_watch(loop, server.tcp, LOOP_READ, on_tcp, NULL);
	server.how = TRUNCATED;
	(void)ask("big.example", PATIENCE_MS, &r);
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_FOUND);
	assert_int_equal(server.n_udp, 1);
	assert_int_equal(server.n_tcp, 1);
}

/* No TCP server: that question fails, another one in flight must not. */
static void
test_refused_tcp_hurts_no_other(void **state)
{
	struct result other, r;

	(void)state;
	server.how = SILENT;
	(void)ask("other.example", PATIENCE_MS, &other);
	wait_for_queries(1);
	{
		struct server held = server;

		server.how = TRUNCATED;
		(void)ask("big.example", PATIENCE_MS, &r);
		wait_for(&r);
		assert_int_equal(r.answer.status, DNS_FAILED);
		assert_int_equal(other.n_calls, 0);
		memcpy(server.query, held.query, held.query_n);
		server.query_n = held.query_n;
		server.from = held.from;
	}
	answer_udp(ANSWER);
	wait_for(&other);
	assert_int_equal(other.answer.status, DNS_FOUND);
}

static void
test_cancel(void **state)
{
	struct result gone, kept;
	struct waiter *w;

	(void)state;
	w = ask("a.example", PATIENCE_MS, &gone);
	(void)ask("a.example", PATIENCE_MS, &kept);
	resolver_cancel(&w);
	assert_null(w);
	wait_for(&kept);
	assert_int_equal(gone.n_calls, 0);
	server.how = SILENT;
	(void)ask("pending.example", PATIENCE_MS, &gone); /* dropped by teardown */
}

static void
test_bad_name(void **state)
{
	struct result r;
	char label[80];

	(void)state;
	memset(label, 'x', sizeof(label));
	label[64] = '\0';
	assert_null(ask(label, PATIENCE_MS, &r));
	assert_int_equal(r.n_calls, 1);
	assert_int_equal(r.answer.status, DNS_FAILED);
	assert_null(ask("", PATIENCE_MS, &r));
	assert_int_equal(r.n_calls, 1);
	assert_int_equal(server.n_udp, 0);
}

static void
test_nobody_there(void **state)
{
	struct result r;
	int fd = bind_socket(SOCK_DGRAM, 0);
	uint16_t port = port_of(fd);

	(void)state;
	(void)close(fd);
	resolver_free(&resolver);
	start_resolver(port);
	(void)ask("a.example", PATIENCE_MS, &r);
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_FAILED);
}

/* --- the role's service over a channel -------------------------------------------------------- */

struct client {
	struct channel *channel;
	unsigned n_answers;
	uint64_t last_id;
	struct dns_answer answer;
	bool is_closed;
};

static void
on_client_message(void *arg, struct message *m)
{
	struct client *c = arg;

	assert_int_equal(m->type, LOOKUP_ANSWER);
	assert_int_equal(dns_answer_get(m->payload, &c->answer), 0);
	c->last_id = m->id;
	c->n_answers++;
}

static void
on_client_close(void *arg)
{
	((struct client *)arg)->is_closed = true;
}

static void
client_open(struct client *c, struct service *s)
{
	static const struct channel_events events = {
	    .on_message = on_client_message, .on_close = on_client_close};
	int ends[2];

	channel_pair(ends);
	*c = (struct client){.channel = channel_new(loop, ends[0], &events, c)};
	service_peer(s, ends[1]);
}

static void
client_ask(struct client *c, uint64_t id, const char *name, uint32_t timeout_ms)
{
	struct dns_question q = {.type = DNS_A, .name = span_str(name), .timeout_ms = timeout_ms};
	struct buf b = BUF_INIT(1024);

	dns_question_put(&b, &q);
	channel_send(c->channel, LOOKUP_ASK, id, buf_span(&b), NULL);
	buf_free(&b);
}

static void
test_service(void **state)
{
	struct client front, spool;
	struct buf status = BUF_INIT(4096);
	struct err err = {0};
	static const struct source_report nobody;
	struct config config = {.dns = conf};
	struct service *s = service_new(loop, &config, &nobody, &err);

	(void)state;
	assert_non_null(s);
	client_open(&front, s);
	client_open(&spool, s);
	client_ask(&front, 7, "a.example", PATIENCE_MS);
	client_ask(&spool, 7, "a.example", PATIENCE_MS); /* ids belong to the channel */
	turn_until(NULL, &front.n_answers, 1);
	turn_until(NULL, &spool.n_answers, 1);
	assert_int_equal(front.last_id, 7);
	assert_int_equal(front.answer.status, DNS_FOUND);
	assert_int_equal(spool.answer.status, DNS_FOUND);
	client_ask(&front, 8, "bad..name", PATIENCE_MS);
	turn_until(NULL, &front.n_answers, 2);
	assert_int_equal(front.answer.status, DNS_FAILED);

	server.how = SILENT; /* a peer that goes leaves nothing behind */
	client_ask(&spool, 9, "b.example", PATIENCE_MS);
	wait_for_queries(2);
	channel_free(&spool.channel);
	client_ask(&front, 10, "b.example", 20);
	turn_until(NULL, &front.n_answers, 3);
	assert_int_equal(front.answer.status, DNS_TIMEOUT);
	service_add_status(s, &status);
	(void)buf_add_char(&status, '\0');
	assert_string_equal(status.p, "{\"lookup\":{\"questions\":5,\"cache_hits\":0,"
				      "\"timeouts\":1,\"failures\":1,\"cached\":1,"
				      "\"pending\":0,\"recipients\":{"
				      "\"known\":0,\"asking\":0,\"asked\":0,\"unknown\":0}}}");
	channel_send(front.channel, LOOKUP_ASK, 11, SPAN("nonsense"), NULL);
	turn_until(&front.is_closed, NULL, 0);
	channel_free(&front.channel);
	service_free(&s);
	buf_free(&status);
}

static pid_t rbldnsd;
static char rbldnsd_dir[32];

/* --- a real DNSBL server ----------------------------------------------------------------------- */

static void
write_zone(const char *path)
{
	static const char zone[] = "$SOA 600 ns.bl.test admin.bl.test 1 600 300 86400 300\n"
				   ":127.0.0.2:listed\n"
				   "127.0.0.2\n"
				   "192.0.2.7\n";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, zone, sizeof(zone) - 1), sizeof(zone) - 1);
	assert_int_equal(close(fd), 0);
}

static pid_t
start_rbldnsd(const char *dir, uint16_t port)
{
	char bind_to[32];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	(void)snprintf(bind_to, sizeof(bind_to), "127.0.0.1/%u", port);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	(void)dup2(fd, STDOUT_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	if (getuid() == 0)
		(void)execl(RBLDNSD, "rbldnsd", "-n", "-u", "nobody", "-b", bind_to, "-w", dir,
		    "bl.test:ip4set:zone", (char *)NULL);
	else
		(void)execl(RBLDNSD, "rbldnsd", "-n", "-b", bind_to, "-w", dir,
		    "bl.test:ip4set:zone", (char *)NULL);
	_exit(127);
}

static void
ask_rbldnsd(void)
{
	struct result r = {0};

	/* It needs a moment to start; until then nobody listens and the answer is "failed". */
	for (int i = 0; i < 100 && r.answer.n_addresses == 0; i++) {
		(void)ask("2.0.0.127.bl.test", PATIENCE_MS, &r);
		wait_for(&r);
	}
	assert_int_equal(r.answer.n_addresses, 1);
	assert_int_equal(r.answer.addresses[0].bytes[15], 2);
	(void)ask("7.2.0.192.bl.test", PATIENCE_MS, &r);
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_FOUND);
	(void)ask("8.2.0.192.bl.test", PATIENCE_MS, &r);
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_NONE);
	assert_int_equal(r.answer.ttl_s, 300);
	(void)ask("2.0.0.127.other.test", PATIENCE_MS, &r); /* not its zone: REFUSED */
	wait_for(&r);
	assert_int_equal(r.answer.status, DNS_FAILED);
}

/* Also after a failure: a server left behind would hold the test's output open. */
static int
teardown_rbldnsd(void **state)
{
	char path[64];
	int status;

	if (rbldnsd > 0) {
		(void)kill(rbldnsd, SIGTERM);
		(void)waitpid(rbldnsd, &status, 0);
		(void)snprintf(path, sizeof(path), "%s/zone", rbldnsd_dir);
		(void)unlink(path);
		(void)rmdir(rbldnsd_dir);
	}
	return teardown(state);
}

static void
test_rbldnsd(void **state)
{
	char path[64];
	uint16_t port;
	int fd;

	(void)state;
	if (access(RBLDNSD, X_OK) != 0) {
		print_message("SKIPPED: no " RBLDNSD "; install the package rbldnsd\n");
		skip();
	}
	(void)snprintf(rbldnsd_dir, sizeof(rbldnsd_dir), "/tmp/postern-rbl-XXXXXX");
	assert_non_null(mkdtemp(rbldnsd_dir));
	assert_int_equal(chmod(rbldnsd_dir, 0755), 0); /* rbldnsd changes its user */
	(void)snprintf(path, sizeof(path), "%s/zone", rbldnsd_dir);
	write_zone(path);
	fd = bind_socket(SOCK_DGRAM, 0);
	port = port_of(fd);
	(void)close(fd);
	resolver_free(&resolver);
	start_resolver(port);
	rbldnsd = start_rbldnsd(rbldnsd_dir, port);
	assert_true(rbldnsd > 0);
	ask_rbldnsd();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_found_and_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_late_answer_is_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_truncated_goes_over_tcp, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused_tcp_hurts_no_other, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_service, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rbldnsd, setup, teardown_rbldnsd),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
