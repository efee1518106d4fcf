#include "relay/lookup/ldap.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/lookup/host.h"
#include "relay/lookup/ldap_link.h"
#include "relay/tls/server.h"
#include "relay/tls/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct ldap_source {
	struct loop *loop;
	struct resolver *resolver;
	const struct conf_ldap *conf;
	char *password;
	struct ssl_ctx_st *tls;
	struct list waiting, asked; /* struct source_query */
	size_t n_asked;
	struct ldap_link *link;
	struct source_server reached; /* by the link */
	bool has_answered;            /* the link, at least once */
	bool is_doubtful;             /* all servers have failed since one has answered */
	struct host_search search;
	bool is_searching;
	struct host_memory *memories; /* of conf->servers */
	size_t server;                /* the one in use */
	size_t n_failed;              /* in a row, since an answer came */
	int64_t rest_until_ms;
	char why[LDAP_LINK_WHY_MAX + 128];
};

static void connect_next(struct ldap_source *s);

static void
settle(struct ldap_source *s, struct source_query *q, enum recipient_state state, const char *why)
{
	list_remove(&q->node);
	timer_cancel(&q->deadline);
	s->n_asked -= q->msgid != 0;
	q->msgid = 0;
	q->source = NULL;
	q->on_answer(q, state, why);
}

/* Nobody answers.  The list is emptied first: whoever is told may ask again. */
static void
give_up(struct ldap_source *s)
{
	struct list given_up;

	s->n_failed = 0;
	s->is_doubtful = true;
	s->rest_until_ms = clock_mono_ms() + LDAP_REST_MS;
	list_init(&given_up);
	while (!list_is_empty(&s->waiting)) {
		struct list *first = s->waiting.next;

		list_remove(first);
		list_append(&given_up, first);
	}
	while (!list_is_empty(&given_up))
		settle(s, LIST_ENTRY(given_up.next, struct source_query, node), RECIPIENT_UNKNOWN,
		    s->why);
}

/* The link is of no use now: what was asked over it goes to the next server, or, when this one has
 * answered before (idle connections are closed everywhere), to this one over a new link. */
static void
leave_server(struct ldap_source *s, const char *why)
{
	bool is_again = s->has_answered;

	(void)snprintf(s->why, sizeof(s->why), "%.120s: %s", s->conf->servers[s->server].text,
	    why); /* cut is fine */
	log_event(is_again ? LOG_INFO : LOG_WARN, "directory lost", KV_STR("ldap", s->conf->name),
	    KV_STR("why", s->why));
	ldap_link_free(&s->link);
	while (!list_is_empty(&s->asked)) {
		struct source_query *q = LIST_ENTRY(s->asked.prev, struct source_query, node);

		list_remove(&q->node);
		list_prepend(&s->waiting, &q->node);
		q->msgid = 0;
	}
	s->n_asked = 0;
	s->has_answered = false;
	if (is_again) {
		if (!list_is_empty(&s->waiting))
			connect_next(s);
		return;
	}
	s->server = (s->server + 1) % s->conf->n_servers;
	if (++s->n_failed >= s->conf->n_servers)
		give_up(s);
	else if (!list_is_empty(&s->waiting))
		connect_next(s);
}

static void
send_waiting(struct ldap_source *s)
{
	while (!list_is_empty(&s->waiting) && s->n_asked < LDAP_ASKED_MAX) {
		struct source_query *q = LIST_ENTRY(s->waiting.next, struct source_query, node);
		int msgid = ldap_link_search(s->link, span_str(q->address), q->is_ending);

		if (msgid == -E_SYNTAX) {
			settle(
			    s, q, RECIPIENT_UNKNOWN, "the filter is no filter with this address");
			continue;
		}
		if (msgid < 0)
			return; /* on_gone follows */
		q->msgid = msgid;
		s->n_asked++;
		list_remove(&q->node);
		list_append(&s->asked, &q->node);
	}
}

static void
on_ready(void *arg)
{
	struct ldap_source *s = arg;

	log_event(LOG_INFO, "directory ready", KV_STR("ldap", s->conf->name),
	    KV_STR("server", s->conf->servers[s->server].text));
	send_waiting(s);
}

static void
on_result(void *arg, int msgid, enum recipient_state state, const char *why)
{
	struct ldap_source *s = arg;

	if (state != RECIPIENT_UNKNOWN) {
		s->n_failed = 0;
		s->is_doubtful = false;
		s->has_answered = true;
		s->why[0] = '\0'; /* what was wrong before is over */
	}
	LIST_FOR (it, &s->asked) {
		struct source_query *q = LIST_ENTRY(it, struct source_query, node);

		if (q->msgid == msgid) {
			q->server = s->reached;
			settle(s, q, state, why);
			break; /* else: its asker has given up */
		}
	}
	if (!list_is_empty(&s->waiting) && ldap_link_is_ready(s->link))
		send_waiting(s);
}

static void
on_gone(void *arg, const char *why)
{
	leave_server(arg, why);
}

static int64_t
patience_ms(const struct ldap_source *s)
{
	/* So that every server can be asked before the question's own time is over. */
	int64_t ms = s->conf->timeout_ms / (int64_t)s->conf->n_servers;

	return ms > 1 ? ms : 1;
}

static void
connect_to(struct ldap_source *s, const struct ip *ip)
{
	static const struct ldap_link_events events = {on_ready, on_result, on_gone};
	const struct conf_ldap_server *server = &s->conf->servers[s->server];
	struct ldap_link_options options = {.conf = s->conf,
	    .server = server,
	    .tls = s->tls,
	    .password = s->password,
	    .patience_ms = patience_ms(s)};
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(ip, server->port, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || (connect(fd, (struct sockaddr *)&sa, n) < 0 && errno != EINPROGRESS)) {
		char why[128];

		(void)snprintf(why, sizeof(why), "no connection: %m"); /* short */
		if (fd >= 0)
			(void)close(fd); /* never used */
		leave_server(s, why);
		return;
	}
	s->reached = (struct source_server){*ip, server->port};
	s->link = ldap_link_new(s->loop, fd, &options, &events, s);
}

static void
on_addresses(void *arg, const struct ip *addresses, size_t n)
{
	struct ldap_source *s = arg;

	s->is_searching = false;
	if (n == 0)
		leave_server(s, "the DNS has no address for it now");
	else
		connect_to(s, &addresses[0]);
}

static void
connect_next(struct ldap_source *s)
{
	const struct conf_ldap_server *server = &s->conf->servers[s->server];

	if (s->link != NULL || s->is_searching)
		return;
	if (!server->is_name) {
		connect_to(s, &server->ip);
		return;
	}
	s->is_searching = true;
	s->search.on_done = on_addresses;
	s->search.arg = s;
	host_search_start(&s->search, s->loop, s->resolver, span_str(server->host),
	    (uint32_t)patience_ms(s), s->is_doubtful, &s->memories[s->server]);
}

/* The question's own time is over, or it was never asked because everybody rests. */
static void
on_deadline(void *arg)
{
	struct source_query *q = arg;
	struct ldap_source *s = q->source;

	settle(
	    s, q, RECIPIENT_UNKNOWN, s->why[0] ? s->why : "the directory did not answer in time");
}

/* From the loop: connecting may end at once. */
static void
on_start(void *arg)
{
	struct source_query *q = arg;
	struct ldap_source *s = q->source;

	loop_timer(s->loop, &q->deadline, s->conf->timeout_ms, on_deadline, q);
	if (ldap_link_is_ready(s->link))
		send_waiting(s);
	else
		connect_next(s);
}

void
ldap_source_ask(struct ldap_source *s, struct source_query *q)
{
	must(q->source == NULL);
	q->source = s;
	q->msgid = 0;
	list_append(&s->waiting, &q->node);
	loop_timer(s->loop, &q->deadline, 0,
	    clock_mono_ms() < s->rest_until_ms ? on_deadline : on_start, q);
}

static int
read_password(struct ldap_source *s, struct err *err)
{
	const char *path = s->conf->password_file;
	char text[LDAP_PASSWORD_MAX + 1];
	struct span password;
	ssize_t n = -1;
	int fd;

	if (path == NULL)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0)
		n = read(fd, text, sizeof(text));
	if (n < 0)
		err_set(err, E_CONFIG, "password %s: %m; make it readable for this user", path);
	if (fd >= 0)
		(void)close(fd); /* was only read */
	if (n < 0)
		return -err->code;
	password = span_chomp(span_of(text, (size_t)n));
	/* An empty one would make the bind succeed as nobody (RFC 4513 section 5.1.2). */
	if (password.n == 0 || password.n > LDAP_PASSWORD_MAX ||
	    span_find(password, '\0') < password.n)
		return err_set(err, E_CONFIG,
		    "password %s: not one line of 1 to %d bytes; write the password alone into it",
		    path, LDAP_PASSWORD_MAX);
	s->password = mem_dup(password);
	return 0;
}

static int
load_trust(struct ldap_source *s, struct err *err)
{
	bool is_tls = s->conf->starttls;

	for (size_t i = 0; i < s->conf->n_servers; i++)
		is_tls = is_tls || s->conf->servers[i].is_ldaps;
	if (is_tls)
		s->tls = trust_verifying(s->conf->ca, err);
	return is_tls && s->tls == NULL ? -err->code : 0;
}

struct ldap_source *
ldap_source_new(
    struct loop *loop, struct resolver *resolver, const struct conf_ldap *conf, struct err *err)
{
	struct ldap_source *s = mem_alloc(sizeof(*s));

	s->loop = loop;
	s->resolver = resolver;
	s->conf = conf;
	s->memories = mem_array(conf->n_servers, sizeof(*s->memories));
	list_init(&s->waiting);
	list_init(&s->asked);
	if (read_password(s, err) < 0 || load_trust(s, err) < 0) {
		(void)err_add(err, "ldap \"%s\"", conf->name); /* NULL says it */
		ldap_source_free(&s);
		return NULL;
	}
	ldap_link_prepare();
	return s;
}

static void
drop(struct list *queries)
{
	while (!list_is_empty(queries)) {
		struct source_query *q = LIST_ENTRY(queries->next, struct source_query, node);

		list_remove(&q->node);
		timer_cancel(&q->deadline);
		q->source = NULL;
	}
}

void
ldap_source_free(struct ldap_source **source)
{
	struct ldap_source *s = *source;

	if (s == NULL)
		return;
	drop(&s->waiting);
	drop(&s->asked);
	host_search_cancel(&s->search);
	ldap_link_free(&s->link);
	tls_server_free(&s->tls);
	mem_free(s->password);
	mem_free(s->memories);
	mem_free(s);
	*source = NULL;
}
