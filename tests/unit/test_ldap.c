/* A directory's servers on loopback: which of them has answered. */
#include "relay/base/clock.h"
#include "relay/base/loop.h"
#include "relay/base/mem.h"
#include "relay/lookup/ldap.h"
#include "tests/unit/ldap_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SERVERS = 2, TURNS_MAX = 20000, QUESTION_MAX = 4096 };

struct server {
	struct loop *loop;
	int listener, client; /* -1: none */
	struct watch *watch, *client_watch;
	uint16_t port;
};

struct world {
	struct loop *loop;
	struct server servers[SERVERS];
	struct conf_ldap_server conf_servers[SERVERS];
	struct conf_ldap conf;
	struct conf_domain domain;
	struct ldap_source *source;
	struct source_query query;
	unsigned n_answers;
	enum recipient_state state;
	char why[LOOKUP_WHY_MAX + 1];
};

/* --- a server that finds nobody ------------------------------------------------------------------ */

static void
on_question(void *arg, unsigned events)
{
	struct server *s = arg;
	char question[QUESTION_MAX];
	struct buf b = BUF_INIT(64);
	ssize_t n = recv(s->client, question, sizeof(question), MSG_DONTWAIT);

	(void)events;
	if (n < 5)
		return; /* the other side has gone */
	ldap_bytes_add(&b, question[4], LDAP_SEARCH_DONE, 0);
	must(send(s->client, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n);
	buf_free(&b);
}

static void
on_client(void *arg, unsigned events)
{
	struct server *s = arg;

	(void)events;
	s->client = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	must(s->client >= 0);
	s->client_watch = loop_watch(s->loop, s->client, LOOP_READ, on_question, s);
}

static void
server_open(struct server *s, struct loop *loop)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t n = sizeof(sa);

	*s = (struct server){.loop = loop, .client = -1};
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(s->listener, 4) == 0);
	must(getsockname(s->listener, (struct sockaddr *)&sa, &n) == 0);
	s->port = ntohs(sa.sin_port);
	s->watch = loop_watch(loop, s->listener, LOOP_READ, on_client, s);
}

static void
server_close(struct server *s)
{
	watch_remove(&s->watch);
	watch_remove(&s->client_watch);
	if (s->listener >= 0)
		(void)close(s->listener);
	if (s->client >= 0)
		(void)close(s->client);
	s->listener = s->client = -1;
}

/* --- the source ---------------------------------------------------------------------------------- */

static void
begin(struct world *w)
{
	struct err err = {0};

	*w = (struct world){.loop = loop_new()};
	clock_fake(1000, 1);
	for (size_t i = 0; i < SERVERS; i++) {
		server_open(&w->servers[i], w->loop);
		w->conf_servers[i] = (struct conf_ldap_server){
		    .text = "ldap://127.0.0.1", .host = "127.0.0.1", .port = w->servers[i].port};
		assert_true(ip_parse(SPAN("127.0.0.1"), &w->conf_servers[i].ip));
	}
	w->conf = (struct conf_ldap){.name = "staff",
	    .servers = w->conf_servers,
	    .n_servers = SERVERS,
	    .base = "dc=x",
	    .filter = "(mail=%s)",
	    .timeout_ms = 20 * 1000};
	w->domain = (struct conf_domain){
	    .name = "d.example", .recipients = RECIPIENTS_LDAP, .ldap = &w->conf};
	w->source = ldap_source_new(w->loop, NULL, &w->conf, &err);
	assert_non_null(w->source);
}

static void
end(struct world *w)
{
	ldap_source_free(&w->source);
	for (size_t i = 0; i < SERVERS; i++)
		server_close(&w->servers[i]);
	loop_free(&w->loop);
	clock_fake(0, -1);
}

static void
on_answer(struct source_query *q, enum recipient_state state, const char *why)
{
	struct world *w = q->arg;

	w->n_answers++;
	w->state = state;
	assert_true(span_copy(span_str(why), w->why, sizeof(w->why)));
}

static enum recipient_state
ask(struct world *w)
{
	w->n_answers = 0;
	w->query = (struct source_query){
	    .domain = &w->domain, .address = "no@d.example", .on_answer = on_answer, .arg = w};
	list_init(&w->query.node);
	ldap_source_ask(w->source, &w->query);
	for (int i = 0; i < TURNS_MAX && w->n_answers == 0; i++)
		loop_turn(w->loop, 10);
	assert_int_equal(w->n_answers, 1);
	return w->state;
}

/* An answer says whose it is: a denial counts only with a witness from the same server. */
static void
test_who_has_answered(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	assert_int_equal(ask(&w), RECIPIENT_NONE);
	assert_int_equal(w.query.server.port, w.servers[0].port);
	assert_true(ip_eq(&w.query.server.ip, &w.conf_servers[0].ip));
	server_close(&w.servers[0]);
	assert_int_equal(ask(&w), RECIPIENT_NONE);
	assert_int_equal(w.query.server.port, w.servers[1].port);
	server_close(&w.servers[1]);
	assert_int_equal(ask(&w), RECIPIENT_UNKNOWN);
	assert_string_equal(w.why, "ldap://127.0.0.1: no connection: Connection refused");
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_has_answered)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
